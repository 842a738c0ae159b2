//! What only somebody with bad intentions, or a broken client, sends. docs/verification.md says which test has which input.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

#[allow(dead_code, reason = "each file of tests uses a part of it")]
mod common;
#[allow(dead_code, reason = "each file of tests uses a part of it")]
#[path = "common/sigv4.rs"]
mod sigv4;

use std::io::{ErrorKind, Write as _};
use std::time::{Duration, SystemTime};

use common::{ACCESS, Answer, Running, SECRET, config, head, noise};
use drystone_server::{Deadlines, ServerConfig};
use drystone_store::SyncPolicy;
use drystone_testkit::memory::{Fault, FaultPlan, Io, Memory, MemoryConfig};
use sigv4::{Signing, ask, stamp};

const OBJECT: &str = "/_/files/files/object";
/// Longer than any deadline under test, shorter than whoever reads gives up.
const LONG: Duration = Duration::from_secs(600);
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
    // Well framed, with signatures of chunks that cannot be right: so it is the first signature that is refused.
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
        let mut headers = vec![("x-amz-decoded-content-length", "5"), ("content-encoding", "aws-chunked")];
        headers.extend(payload.ends_with("TRAILER").then_some(("x-amz-trailer", "x-amz-checksum-crc32")));
        let signing = Signing { payload, ..Signing::now("PUT", "/files/object", &headers) };
        let mut sent = signing.headers();
        let authorization = sent.iter_mut().find(|(name, _)| name == "authorization").unwrap();
        authorization.1 = forged(&authorization.1);
        let sent: Vec<_> = sent.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let answer = server.request_as(None, "PUT", "/files/object", &sent, body.as_bytes());
        check(&answer, 403, "SignatureDoesNotMatch");
        headers.push(("x-amz-content-sha256", payload));
        let url =
            forged(&Signing { payload, ..Signing::now("PUT", "/files/object", &headers) }.presigned(600));
        // The right one would get no further: S3 has chunks in a request with headers only.
        check(&server.request_as(None, "PUT", &url, &headers, body.as_bytes()), 501, "NotImplemented");
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
        let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
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
        let url =
            Signing { date: stamp(date), ..Signing::now("PUT", "/files/object", &[]) }.presigned(expires_s);
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
    // The signature is over the path in its normal form, in which the slash of a key is not escaped.
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
    for path in
        ["/_/files/files%2F..%2Fother/x", "/_/files/files/a%2F..%2Fb", "/_/files/files/a%2F%2e%2e%2Fb"]
    {
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
fn a_body_whose_end_is_in_doubt_ends_the_connection() {
    let server = Running::start(config());
    let key = head(Some((ACCESS, SECRET)), "GET", OBJECT, &[], None);
    let auth = key.lines().find(|line| line.starts_with("Authorization")).unwrap().to_owned();
    let put = format!("PUT {OBJECT} HTTP/1.1\r\nHost: x\r\n{auth}\r\n");
    let hidden = format!("DELETE /_/files/files/kept HTTP/1.1\r\nHost: x\r\n{auth}\r\n\r\n");
    assert_eq!(server.request("PUT", "/_/files/files/kept", &[], b"kept").status, 201);
    let len = hidden.len();
    for framing in [
        format!("Content-Length: 4\r\nContent-Length: {len}\r\n"),
        format!("Content-Length: 4, {len}\r\n"),
        format!("Content-Length: +{len}\r\n"),
        format!("Content-Length: {len} \u{b}\r\n"),
        format!("Content-Length: -{len}\r\n"),
        "Content-Length: 99999999999999999999\r\n".to_owned(),
        format!("Transfer-Encoding: identity\r\nContent-Length: {len}\r\n"),
        format!("Transfer-Encoding: chunked, gzip\r\nContent-Length: {len}\r\n"),
        format!("Transfer-Encoding : chunked\r\nContent-Length: {len}\r\n"),
        format!("Content-Length : {len}\r\n"),
    ] {
        let answer = server.say(format!("{put}{framing}\r\n{hidden}").as_bytes());
        assert!([0, 400, 501].contains(&answer.status), "{framing:?} {}", answer.status);
        assert_eq!(server.request("GET", "/_/files/files/kept", &[], b"").status, 200, "{framing:?}");
    }
    for chunks in [
        "4\nabcd\r\n0\r\n\r\n",
        "4;a\nb\r\nabcd\r\n0\r\n\r\n",
        "4\r\nabcd\n0\r\n\r\n",
        "-4\r\nabcd\r\n0\r\n\r\n",
        "0x4\r\nabcd\r\n0\r\n\r\n",
        "FFFFFFFFFFFFFFFF\r\nabcd",
        "FFFFFFFFFFFFFFFF1\r\nabcd",
    ] {
        let mut socket = server.connect();
        let text = format!("{put}Transfer-Encoding: chunked\r\n\r\n{chunks}");
        let _ = socket.write_all(text.as_bytes());
        let _ = socket.shutdown(std::net::Shutdown::Write);
        let status = Answer::read(&mut socket).status;
        assert!([0, 400].contains(&status), "{chunks:?} {status}");
    }
    check_untouched(&server);
}

#[test]
fn two_ways_to_say_where_a_body_ends_do_not_hide_a_request() {
    let server = Running::start(config());
    let key = head(Some((ACCESS, SECRET)), "GET", OBJECT, &[], None);
    let auth = key.lines().find(|line| line.starts_with("Authorization")).unwrap().to_owned();
    assert_eq!(server.request("PUT", "/_/files/files/kept", &[], b"kept").status, 201);
    let hidden = format!("DELETE /_/files/files/kept HTTP/1.1\r\nHost: x\r\n{auth}\r\n\r\n");
    let body = format!("0\r\n\r\n{hidden}");
    let len = body.len();
    // What stands in front may read all of it as one body, and a line that ends with LF alone as a part of the line before.
    for framing in [
        format!("Content-Length: {len}\r\nTransfer-Encoding: chunked\r\n"),
        format!("Transfer-Encoding: chunked\r\nContent-Length: {len}\r\n"),
        format!("Content-Length: {len}\nTransfer-Encoding: chunked\r\n"),
        format!("Content-Length: {len}\r\nA: b\nTransfer-Encoding: chunked\r\n"),
    ] {
        let mut socket = server.connect();
        let text = format!("PUT {OBJECT} HTTP/1.1\r\nHost: x\r\n{auth}\r\n{framing}\r\n{body}");
        socket.write_all(text.as_bytes()).unwrap();
        let _ = socket.shutdown(std::net::Shutdown::Write);
        let mut said = String::new();
        let _ = std::io::Read::read_to_string(&mut socket, &mut said);
        assert_eq!(server.request("GET", "/_/files/files/kept", &[], b"").status, 200, "{framing:?} {said}");
        assert!(
            said.matches("HTTP/1.1").count() <= 1 && !said.starts_with("HTTP/1.1 204"),
            "{framing:?} {said}"
        );
    }
}

#[test]
fn a_head_with_a_line_that_makes_no_sense_is_refused() {
    let server = Running::start(config());
    for line in [
        "B\rC: d",
        "B: c\rD: e",
        // A folded line, which some join with the one before and others do not.
        "B: c\r\n d",
        "B: c\0d",
        "B : c",
        "B",
        ": c",
        "B\u{e9}: c",
    ] {
        let text = format!("GET /_/health/live HTTP/1.1\r\nHost: x\r\n{line}\r\n\r\n");
        let status = server.say(text.as_bytes()).status;
        assert!([0, 400].contains(&status), "{line:?} {status}");
    }
    for begin in [
        "GET  /_/health/live HTTP/1.1",
        "GET /_/health/live",
        "GET /_/health/live HTTP/1.2x",
        "\u{1}GET / HTTP/1.1",
    ] {
        let status = server.say(format!("{begin}\r\nHost: x\r\n\r\n").as_bytes()).status;
        assert!([0, 400].contains(&status), "{begin:?} {status}");
    }
    assert_eq!(server.request("GET", "/_/health/live", &[], b"").status, 200);
}

/// Opens a connection, says `begin`, and goes on with `more` until the server closes; what it said last.
fn drip(server: &Running, begin: &str, more: &[u8]) -> u16 {
    let mut socket = server.connect();
    socket.write_all(begin.as_bytes()).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let begun = std::time::Instant::now();
    let mut said = Vec::new();
    loop {
        let mut some = [0; 1000];
        match std::io::Read::read(&mut socket, &mut some) {
            Ok(0) => break,
            Ok(len) => said.extend_from_slice(&some[..len]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => break,
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "it is still open");
        let _ = socket.write_all(more);
    }
    let text = String::from_utf8_lossy(&said);
    text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
}

#[test]
fn whoever_does_not_come_to_the_point_is_closed() {
    let second = Duration::from_secs(1);
    let slow = Deadlines { head: LONG, idle: LONG, body: LONG, unread: LONG, turn: LONG, drain: second };
    let with = |deadlines: Deadlines| Running::start(ServerConfig { deadlines, ..config() });
    let refused = |status: u16| assert!([0, 400, 408].contains(&status), "{status}");
    // Not a byte; a byte at a time, of the line, of a header, between two.
    let server = with(Deadlines { head: second, ..slow });
    refused(drip(&server, "", b""));
    refused(drip(&server, "", b"G"));
    refused(drip(&server, "GET / HTTP/1.1\r\nA: ", b"a"));
    refused(drip(&server, "GET / HTTP/1.1\r\n", b"A: b\r\n"));
    // Empty lines in front of a request are passed over, but not for ever.
    refused(drip(&server, "", b"\r\n"));
    // A body that says nothing more, and an object's chunk that never comes.
    let server = with(Deadlines { body: second, ..slow });
    let put = head(Some((ACCESS, SECRET)), "PUT", OBJECT, &[], Some(1 << 20));
    assert_eq!(drip(&server, &put, b""), 408);
    let chunked = head(Some((ACCESS, SECRET)), "PUT", OBJECT, &[("Transfer-Encoding", "chunked")], None);
    assert_eq!(drip(&server, &chunked, b""), 408);
    assert_eq!(drip(&server, &format!("{chunked}4\r\nab"), b""), 408);
    // Between two requests.
    let server = with(Deadlines { idle: second, ..slow });
    let alive = "GET /_/health/live HTTP/1.1\r\nHost: x\r\n\r\n";
    assert_eq!(drip(&server, alive, b""), 200);
    // An answer that nobody reads: it is closed, although its client says nothing and is there.
    let server = with(Deadlines { unread: second, ..slow });
    assert_eq!(server.request("PUT", OBJECT, &[], &noise(20 << 20, 1)).status, 201);
    let mut socket = server.connect();
    socket.write_all(head(Some((ACCESS, SECRET)), "GET", OBJECT, &[], None).as_bytes()).unwrap();
    let gone = || {
        let metrics = server.request("GET", "/_/metrics", &[], b"").text();
        metrics.contains("drystone_resource_now{resource=\"transfers\"} 0\n")
            && metrics.contains("drystone_resource_now{resource=\"connections\"} 1\n")
    };
    let begun = std::time::Instant::now();
    while !gone() {
        assert!(begun.elapsed() < Duration::from_secs(60), "it is still served");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_disk_that_can_no_longer_be_written_fails_what_is_under_way_and_nothing_else() {
    let config = config();
    let memory = Memory::new(MemoryConfig { sync: SyncPolicy::Never, segment_bytes_max: 1 << 30 });
    let (records, segments) = memory.open();
    let server = Running::over(common::store(records, segments, &config), config, None);
    let before = noise(300_000, 1);
    assert_eq!(server.request("PUT", "/_/files/files/before", &[], &before).status, 201);
    for (kind, status) in
        [(ErrorKind::ReadOnlyFilesystem, 500), (ErrorKind::StorageFull, 507), (ErrorKind::Other, 500)]
    {
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
                if fired == memory.faults_fired() {
                    assert!([200, 201].contains(&answer.status), "{kind} {io:?} {}", answer.text());
                } else {
                    assert_eq!(answer.status, expected, "{kind} {io:?} {}", answer.text());
                    assert_eq!(server.request("GET", OBJECT, &[], b"").status, 404, "{kind} {io:?}");
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
        let put = server.request("PUT", OBJECT, &[("Content-Type", kind)], b"<script>alert(1)</script>");
        assert_eq!(put.status, 201);
        let got = server.request("GET", OBJECT, &[], b"");
        assert!(got.header("content-disposition").unwrap().starts_with("attachment;"), "{kind}");
        let signed = ask(&server, "GET", "/files/object", &[], b"");
        for answer in [got, signed] {
            assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{kind}");
            assert!(answer.header("content-security-policy").unwrap().starts_with("sandbox"), "{kind}");
        }
    }
    // Not by way of an answer's overrides, either.
    let url = Signing::now("GET", "/files/object?response-content-type=text%2Fhtml", &[]).presigned(600);
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
