//! Pages of other sites, which a browser gives the password that it remembers for this one.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

#[allow(dead_code, reason = "each file of tests uses a part of it")]
mod common;
#[allow(dead_code, reason = "each file of tests uses a part of it")]
#[path = "common/sigv4.rs"]
mod sigv4;

use common::{ACCESS, Running, SECRET, config};
use drystone_server::bearer_token;
use sigv4::{Signing, ask};

const FILE: &str = "/_/files/files/folder/file";
const FOLDER: &str = "/_/files/files/folder/";
const FORM: (&str, &str) = ("Content-Type", "multipart/form-data; boundary=XX");
const FORM_BODY: &[u8] =
    b"--XX\r\nContent-Disposition: form-data; name=f; filename=file\r\n\r\nnew\r\n--XX--\r\n";

const FOREIGN: [&[(&str, &str)]; 14] = [
    &[("Sec-Fetch-Site", "cross-site")],
    &[("Sec-Fetch-Site", "same-site")],
    &[("Sec-Fetch-Site", "something new")],
    &[("Sec-Fetch-Site", "\u{e9}")],
    &[("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Site", "cross-site")],
    &[("Sec-Fetch-Site", "cross-site"), ("Origin", "http://localhost")],
    &[("Sec-Fetch-Site", "none"), ("Origin", "http://evil.example")],
    &[("Origin", "http://evil.example")],
    &[("Origin", "http://localhost:8080")],
    &[("Origin", "http://localhost.evil.example")],
    &[("Origin", "http://evil.example/localhost")],
    &[("Origin", "null")],
    &[("Origin", "")],
    &[("Origin", "http://localhost"), ("Origin", "http://evil.example")],
];

const OWN: [&[(&str, &str)]; 6] = [
    &[],
    &[("Sec-Fetch-Site", "same-origin"), ("Origin", "http://localhost")],
    &[("Sec-Fetch-Site", "none")],
    // A proxy in front ends TLS; the ports are those that the schemes have anyway.
    &[("Origin", "https://localhost")],
    &[("Origin", "https://LOCALHOST:443")],
    &[("Origin", "http://localhost:80")],
];

fn start() -> Running {
    let server = Running::start(config());
    assert_eq!(server.request("PUT", FILE, &[], b"as it was").status, 201);
    server
}

#[track_caller]
fn check_untouched(server: &Running) {
    assert_eq!(server.request("GET", FILE, &[], b"").body, b"as it was");
    assert_eq!(server.request("GET", "/_/files/fresh/", &[], b"").status, 404);
}

#[test]
fn a_foreign_page_changes_nothing_with_a_remembered_password() {
    let server = start();
    for foreign in FOREIGN {
        for (method, path, body) in [
            ("PUT", FILE, &b"new"[..]),
            ("DELETE", FILE, b""),
            ("POST", FOLDER, FORM_BODY),
            ("POST", &format!("{FOLDER}?X-Amz-Signature=0"), FORM_BODY),
            ("PUT", "/_/files/fresh/", b""),
            ("DELETE", "/_/files/files/", b""),
            ("PUT", "/files/folder/file", b"new"),
            ("DELETE", "/files/folder/file", b""),
        ] {
            let headers: Vec<_> =
                foreign.iter().copied().chain((method == "POST").then_some(FORM)).collect();
            let answer = server.request(method, path, &headers, body);
            assert_eq!(answer.status, 403, "{method} {path} {foreign:?} {}", answer.text());
            assert!(answer.text().contains("another site"), "{method} {path} {}", answer.text());
        }
        check_untouched(&server);
        // To look is no change; and a page cannot read the answer.
        assert_eq!(server.request("GET", FILE, foreign, b"").status, 200, "{foreign:?}");
    }
}

#[test]
fn the_servers_own_pages_and_programs_may_write() {
    let server = start();
    for own in OWN {
        assert_eq!(server.request("PUT", FILE, own, b"new").status, 201, "{own:?}");
        let headers: Vec<_> = own.iter().copied().chain([FORM]).collect();
        assert_eq!(server.request("POST", FOLDER, &headers, FORM_BODY).status, 201, "{own:?}");
        assert_eq!(server.request("DELETE", FILE, own, b"").status, 204, "{own:?}");
    }
}

#[test]
fn what_a_foreign_page_cannot_attach_by_itself_is_enough() {
    let server = start();
    for foreign in FOREIGN {
        let bearer = format!("Bearer {}", bearer_token(ACCESS, SECRET));
        let headers: Vec<_> =
            foreign.iter().copied().chain([("Authorization", bearer.as_str())]).collect();
        let by_token = server.request_as(None, "PUT", FILE, &headers, b"new");
        assert_eq!(by_token.status, 201, "{foreign:?} {}", by_token.text());
        if foreign.iter().all(|(_, value)| value.is_ascii()) {
            let mut signed = Signing::now("PUT", "/files/object", &[]).headers();
            signed.extend(
                foreign.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
            );
            let signed: Vec<_> =
                signed.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let answer = server.request_as(None, "PUT", "/files/object", &signed, b"new");
            assert_eq!(answer.status, 200, "{foreign:?} {}", answer.text());
        }
        let url = Signing::now("PUT", "/files/object", &[]).presigned(600);
        let answer = server.request_as(None, "PUT", &url, foreign, b"new");
        assert_eq!(answer.status, 200, "{foreign:?} {}", answer.text());
        // A form over S3 is signed in its fields; this one is not, and is read to find that out.
        let headers: Vec<_> = foreign.iter().copied().chain([FORM]).collect();
        let answer = server.request_as(None, "POST", "/files", &headers, FORM_BODY);
        assert!(!answer.text().contains("another site"), "{}", answer.text());
    }
    assert_eq!(ask(&server, "DELETE", "/files/object", &[], b"").status, 204);
}
