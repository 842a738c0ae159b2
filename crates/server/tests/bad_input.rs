//! What only an attacker or a broken client sends. docs/verification.md says which test has which
//! input.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

#[allow(dead_code, reason = "each file of tests uses a part of it")]
mod common;
#[allow(dead_code, reason = "each file of tests uses a part of it")]
#[path = "common/sigv4.rs"]
mod sigv4;

use std::io::ErrorKind;
use std::time::{Duration, SystemTime};

use common::{Answer, Running, config, noise};
use drystone_store::SyncPolicy;
use drystone_testkit::memory::{Fault, FaultPlan, Io, Memory, MemoryConfig};
use sigv4::{Signing, ask, stamp};

const OBJECT: &str = "/_/files/files/object";
const STREAMING: [&str; 3] = [
    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
    "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
];

#[track_caller]
fn check(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert!(answer.text().contains(&format!("<Code>{code}</Code>")), "{}", answer.text());
}

/// The server goes on as if nothing had been, and nothing of it was kept.
#[track_caller]
fn check_untouched(server: &Running) {
    assert_eq!(server.request("GET", OBJECT, &[], b"").status, 404, "something was stored");
    assert_eq!(server.request("PUT", "/_/files/files/next", &[], b"next").status, 201);
    assert_eq!(server.request("GET", "/_/files/files/next", &[], b"").body, b"next");
}

#[test]
fn a_forged_signature_of_a_streamed_upload_is_refused_before_its_body_is_looked_at() {
    let server = Running::start(config());
    // Well framed, with signatures of chunks that cannot be right: so it is the first signature
    // that is refused.
    let zeros = "0".repeat(64);
    let body = format!(
        "5;chunk-signature={zeros}\r\nstone\r\n0;chunk-signature={zeros}\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n"
    );
    let forged = |text: &str| {
        let at = text.find("Signature=").unwrap() + "Signature=".len();
        let other = if &text[at..=at] == "0" { "1" } else { "0" };
        [&text[..at], other, &text[at + 1..]].concat()
    };
    for payload in STREAMING {
        let mut headers =
            vec![("x-amz-decoded-content-length", "5"), ("content-encoding", "aws-chunked")];
        headers.extend(
            payload.ends_with("TRAILER").then_some(("x-amz-trailer", "x-amz-checksum-crc32")),
        );
        let signing = Signing { payload, ..Signing::now("PUT", "/files/object", &headers) };
        let mut sent = signing.headers();
        let authorization = sent.iter_mut().find(|(name, _)| name == "authorization").unwrap();
        authorization.1 = forged(&authorization.1);
        let sent: Vec<_> =
            sent.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let answer = server.request_as(None, "PUT", "/files/object", &sent, body.as_bytes());
        check(&answer, 403, "SignatureDoesNotMatch");
        headers.push(("x-amz-content-sha256", payload));
        let url = forged(
            &Signing { payload, ..Signing::now("PUT", "/files/object", &headers) }.presigned(600),
        );
        // The right one would get no further: S3 has chunks in a request with headers only.
        check(
            &server.request_as(None, "PUT", &url, &headers, body.as_bytes()),
            501,
            "NotImplemented",
        );
    }
    check_untouched(&server);
}

#[test]
fn a_forged_signature_in_the_query_is_refused_and_the_right_one_is_not() {
    let server = Running::start(config());
    let url = Signing::now("PUT", "/files/object", &[]).presigned(600);
    let (rest, last) = url.split_at(url.len() - 1);
    let forged = format!("{rest}{}", if last == "0" { "1" } else { "0" });
    check(&server.request_as(None, "PUT", &forged, &[], b"stone"), 403, "SignatureDoesNotMatch");
    let other = url.replace("/files/object", "/files/other");
    check(&server.request_as(None, "PUT", &other, &[], b"stone"), 403, "SignatureDoesNotMatch");
    check_untouched(&server);
    let put = server.request_as(None, "PUT", &url, &[], b"stone");
    assert_eq!(put.status, 200, "{}", put.text());
    assert_eq!(server.request("GET", OBJECT, &[], b"").body, b"stone");
}

#[test]
fn a_clock_that_is_wrong_by_more_than_a_quarter_of_an_hour_is_refused() {
    let server = Running::start(config());
    let minutes = |number: u64| Duration::from_secs(60 * number);
    let now = SystemTime::now();
    let ask_at = |date: SystemTime| {
        let signing = Signing { date: stamp(date), ..Signing::now("PUT", "/files/object", &[]) };
        let headers = signing.headers();
        let headers: Vec<_> =
            headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        server.request_as(None, "PUT", "/files/object", &headers, b"stone")
    };
    for wrong in [now - minutes(16), now + minutes(16)] {
        check(&ask_at(wrong), 403, "RequestTimeTooSkewed");
    }
    check_untouched(&server);
    for right in [now - minutes(14), now + minutes(14)] {
        assert_eq!(ask_at(right).status, 200);
    }
}

#[test]
fn a_presigned_url_is_refused_before_its_time_and_after() {
    let server = Running::start(config());
    let ask_with = |date: SystemTime, expires_s: u64| {
        let url = Signing { date: stamp(date), ..Signing::now("PUT", "/files/object", &[]) }
            .presigned(expires_s);
        server.request_as(None, "PUT", &url, &[], b"stone")
    };
    let now = SystemTime::now();
    let early = ask_with(now + Duration::from_secs(16 * 60), 600);
    assert_eq!(early.status, 403, "{}", early.text());
    check(&ask_with(now - Duration::from_secs(61), 60), 403, "AccessDenied");
    check(&ask_with(now, 604_801), 400, "AuthorizationQueryParametersError");
    check_untouched(&server);
}

#[test]
fn a_slash_with_an_escape_is_a_slash_of_the_key() {
    let server = Running::start(config());
    assert_eq!(server.request("PUT", "/_/files/files/a%2Fb", &[], b"one").status, 201);
    assert_eq!(server.request("GET", "/_/files/files/a/b", &[], b"").body, b"one");
    // The signature is over the path in its normal form, in which the slash of a key is not
    // escaped.
    assert_eq!(ask(&server, "GET", "/files/a/b", &[], b"").body, b"one");
    for path in [
        "/files%2Fa%2Fb",
        "/files%2Fa/b",
        "/_%2Ffiles%2Ffiles%2Fa%2Fb",
        "/files/a%2F..%2Fb",
        "/files/a/%2e%2E/b",
    ] {
        let answer = server.request("GET", path, &[], b"");
        assert!((400..500).contains(&answer.status), "{path} {}", answer.text());
    }
    for path in [
        "/_/files/files%2F..%2Fother/x",
        "/_/files/files/a%2F..%2Fb",
        "/_/files/files/a%2F%2e%2e%2Fb",
    ] {
        assert_eq!(server.request("GET", path, &[], b"").status, 400, "{path}");
    }
}

#[test]
fn a_copy_from_nowhere_is_refused() {
    let server = Running::start(config());
    for source in [
        "",
        "/",
        "//",
        "files",
        "files/",
        "files/..",
        "files/a%00b",
        "files/%ff",
        "files/../files/a",
        "?versionId=1",
    ] {
        let answer = ask(&server, "PUT", "/files/object", &[("x-amz-copy-source", source)], b"");
        assert!((400..500).contains(&answer.status), "{source:?} {}", answer.text());
    }
    check_untouched(&server);
}

#[test]
fn a_thousand_ranges_are_the_whole() {
    let server = Running::start(config());
    let bytes = noise(20_000, 1);
    assert_eq!(server.request("PUT", OBJECT, &[], &bytes).status, 201);
    let ranges: Vec<String> = (0..1000).map(|at| format!("{at}-{at}")).collect();
    let range = format!("bytes={}", ranges.join(","));
    let answer = ask(&server, "GET", "/files/object", &[("range", &range)], b"");
    assert!([200, 400, 416].contains(&answer.status), "{}", answer.status);
    assert!(answer.body.len() <= bytes.len());
    let open = Signing::now("GET", "/files/object", &[]).presigned(600);
    let answer = server.request_as(None, "GET", &open, &[("Range", &range)], b"");
    assert_eq!(answer.status, 200);
    assert!(answer.body == bytes);
}

#[test]
fn a_disk_that_can_no_longer_be_written_fails_what_is_under_way_and_nothing_else() {
    let config = config();
    let memory = Memory::new(MemoryConfig { sync: SyncPolicy::Never, segment_bytes_max: 1 << 30 });
    let (records, segments) = memory.open();
    let server = Running::over(common::store(records, segments, &config), config, None);
    let before = noise(300_000, 1);
    assert_eq!(server.request("PUT", "/_/files/files/before", &[], &before).status, 201);
    for (kind, status) in [
        (ErrorKind::ReadOnlyFilesystem, 500),
        (ErrorKind::StorageFull, 507),
        (ErrorKind::Other, 500),
    ] {
        for (io, after) in [(Io::Append, 3), (Io::Commit, 0)] {
            memory.arm(FaultPlan { io: Some(io), after, fault: Fault::Fail(kind) });
            for (path, expected) in
                [(OBJECT, status), ("/files/object", if status == 507 { 507 } else { 500 })]
            {
                let fired = memory.faults_fired();
                let put = |bytes: &[u8]| match path {
                    OBJECT => server.request("PUT", path, &[], bytes),
                    _ => ask(&server, "PUT", path, &[], bytes),
                };
                let answer = put(&noise(2_000_000, fired));
                // The disk is full once: room is made, and the append repeated.
                let has_room_again = io == Io::Append && kind == ErrorKind::StorageFull;
                if fired == memory.faults_fired() || has_room_again {
                    assert!([200, 201].contains(&answer.status), "{kind} {io:?} {}", answer.text());
                } else {
                    assert_eq!(answer.status, expected, "{kind} {io:?} {}", answer.text());
                    assert_eq!(
                        server.request("GET", OBJECT, &[], b"").status,
                        404,
                        "{kind} {io:?}"
                    );
                }
                assert!(server.request("GET", "/_/files/files/before", &[], b"").body == before);
                server.request("DELETE", OBJECT, &[], b"");
                memory.arm(FaultPlan { io: Some(io), after, fault: Fault::Fail(kind) });
            }
            memory.disarm();
            check_untouched(&server);
        }
    }
    assert!(memory.faults_fired() >= 6, "{} faults", memory.faults_fired());
    assert_eq!(memory.violations(), Vec::<String>::new());
}

#[test]
fn stored_pages_do_not_run() {
    let server = Running::start(config());
    for kind in [
        "text/html",
        "image/svg+xml",
        "application/xhtml+xml",
        "text/html; charset=x",
        "TEXT/HTML",
        "text/xml",
    ] {
        let put =
            server.request("PUT", OBJECT, &[("Content-Type", kind)], b"<script>alert(1)</script>");
        assert_eq!(put.status, 201);
        let got = server.request("GET", OBJECT, &[], b"");
        assert!(got.header("content-disposition").unwrap().starts_with("attachment;"), "{kind}");
        let signed = ask(&server, "GET", "/files/object", &[], b"");
        for answer in [got, signed] {
            assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{kind}");
            assert!(
                answer.header("content-security-policy").unwrap().starts_with("sandbox"),
                "{kind}"
            );
        }
    }
    // Not by way of an answer's overrides, either.
    let url =
        Signing::now("GET", "/files/object?response-content-type=text%2Fhtml", &[]).presigned(600);
    let answer = server.request_as(None, "GET", &url, &[], b"");
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.header("content-security-policy").unwrap().starts_with("sandbox"));
}

#[test]
fn names_do_not_turn_round_what_is_around_them() {
    let server = Running::start(config());
    let name = "a%E2%80%AEgpj.exe%0D%0ASet-Cookie:%20x%00".trim_end_matches("%00");
    assert_eq!(server.request("PUT", &format!("/_/files/files/in/{name}"), &[], b"x").status, 201);
    let got = server.request("GET", &format!("/_/files/files/in/{name}"), &[], b"");
    assert_eq!(got.header("set-cookie"), None);
    let disposition = got.header("content-disposition").unwrap();
    assert!(disposition.contains("%E2%80%AE") && disposition.contains("%0D%0A"), "{disposition}");
    let page = server.request("GET", "/_/files/files/in/", &[("Accept", "text/html")], b"").text();
    assert!(!page.contains('\u{202e}') && !page.contains("exe\r\n"), "{page}");
    let missing = server.request("GET", &format!("/_/files/files/{name}x"), &[], b"");
    assert_eq!((missing.status, missing.header("set-cookie")), (404, None));
    assert!(!missing.text().contains("\r\nSet-Cookie"), "{}", missing.text());
    assert_eq!(missing.header("content-type"), Some("text/plain; charset=utf-8"));
}
