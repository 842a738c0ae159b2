//! A body has a length that its client has announced, and exactly so many bytes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

#[allow(dead_code, reason = "each file of tests uses a part of it")]
mod common;
#[allow(dead_code, reason = "each file of tests uses a part of it")]
#[path = "common/sigv4.rs"]
mod sigv4;

use common::{Answer, Running, config, head, noise};
use drystone_store::{BucketName, Key};
use ring::digest;
use sigv4::{Signing, ask, hex, scope, sign};

const UNSIGNED: &str = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";
const SIGNED: &str = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";

fn is_there(server: &Running) -> bool {
    server.store.stat(&BucketName::new("files").unwrap(), &Key::new("k").unwrap()).is_ok()
}

/// Sends a body as `Transfer-Encoding: chunked`, without a `Content-Length`.
fn send(
    server: &Running,
    path: &str,
    payload: &str,
    extra: &[(&str, &str)],
    frames: impl FnOnce(&Signing<'_>, &str) -> Vec<u8>,
) -> Answer {
    send_to_end(server, path, payload, extra, frames, b"0\r\n\r\n")
}

/// With these bytes behind the last chunk of HTTP.
fn send_to_end(
    server: &Running,
    path: &str,
    payload: &str,
    extra: &[(&str, &str)],
    frames: impl FnOnce(&Signing<'_>, &str) -> Vec<u8>,
    end: &[u8],
) -> Answer {
    let mut signing = Signing::now("PUT", path, extra);
    signing.payload = payload;
    let mut sent = signing.headers();
    let seed = sent.last().unwrap().1.rsplit('=').next().unwrap().to_owned();
    sent.push(("transfer-encoding".to_owned(), "chunked".to_owned()));
    let body = frames(&signing, &seed);
    let sent: Vec<_> = sent.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let mut bytes = head(None, "PUT", path, &sent, None).into_bytes();
    for piece in body.chunks(10_000) {
        bytes.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        bytes.extend_from_slice(piece);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(end);
    server.say(&bytes)
}

/// As the SDKs for C++ and JavaScript send it by default.
fn send_unsigned(server: &Running, path: &str, body: &[u8], announced: Option<&str>) -> Answer {
    let trailer = [("x-amz-trailer", "x-amz-checksum-sha256")];
    let len = announced.map(|len| ("x-amz-decoded-content-length", len));
    let extra: Vec<_> = len.into_iter().chain(trailer).collect();
    send(server, path, UNSIGNED, &extra, |_, _| {
        use base64::Engine as _;
        let sum = digest::digest(&digest::SHA256, body);
        let sum = base64::engine::general_purpose::STANDARD.encode(sum);
        let mut framed = Vec::new();
        for piece in body.chunks(65_536) {
            framed.extend_from_slice(
                &[format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat(),
            );
        }
        framed.extend_from_slice(format!("0\r\nx-amz-checksum-sha256:{sum}\r\n\r\n").as_bytes());
        framed
    })
}

/// With a signature for each frame.
fn send_signed(server: &Running, path: &str, body: &[u8], announced: &str) -> Answer {
    send(server, path, SIGNED, &[("x-amz-decoded-content-length", announced)], |signing, seed| {
        let hash = |bytes: &[u8]| hex(digest::digest(&digest::SHA256, bytes).as_ref());
        let (date, mut last) = (&signing.date, seed.to_owned());
        let mut framed = Vec::new();
        for piece in body.chunks(65_536).chain([&b""[..]]) {
            let (scope, empty, of_piece) = (scope(date), hash(b""), hash(piece));
            let kind = "AWS4-HMAC-SHA256-PAYLOAD";
            last = sign(date, &format!("{kind}\n{date}\n{scope}\n{last}\n{empty}\n{of_piece}"));
            let line = format!("{:x};chunk-signature={last}\r\n", piece.len());
            framed.extend_from_slice(&[line.as_bytes(), piece, b"\r\n"].concat());
        }
        framed
    })
}

#[test]
fn a_framed_body_needs_no_content_length() {
    let server = Running::start(config());
    let begun = ask(&server, "POST", "/files/parts?uploads", &[], b"").text();
    let id = begun.split("<UploadId>").nth(1).unwrap().split('<').next().unwrap().to_owned();
    let part = format!("/files/parts?partNumber=1&uploadId={id}");
    for len in [0, 1, 100, 300_000] {
        let body = noise(len, 7);
        let announced = len.to_string();
        for path in ["/files/k", &part] {
            let answer = send_unsigned(&server, path, &body, Some(&announced));
            assert_eq!(answer.status, 200, "{path} {len}: {}", answer.text());
        }
        let found = ask(&server, "GET", "/files/k", &[], b"");
        assert!(found.body == body && found.header("content-encoding").is_none(), "{len}");
        assert_eq!(ask(&server, "DELETE", "/files/k", &[], b"").status, 204);
        for path in ["/files/k", &part] {
            let answer = send_signed(&server, path, &body, &announced);
            assert_eq!(answer.status, 200, "{path} {len}: {}", answer.text());
        }
        assert!(ask(&server, "GET", "/files/k", &[], b"").body == body, "{len}");
        assert_eq!(ask(&server, "DELETE", "/files/k", &[], b"").status, 204);
    }
}

#[test]
fn a_framed_body_is_held_to_the_length_that_it_announces() {
    let server = Running::start(config());
    for len in [100_usize, 300_000] {
        let body = noise(len, 7);
        for announced in [0, len - 1, len + 1, len * 1000] {
            for answer in [
                send_unsigned(&server, "/files/k", &body, Some(&announced.to_string())),
                send_signed(&server, "/files/k", &body, &announced.to_string()),
            ] {
                assert_eq!(answer.status, 400, "{len} {announced}: {}", answer.text());
                assert!(answer.text().contains("<Code>IncompleteBody</Code>"), "{}", answer.text());
                assert!(!is_there(&server), "{len} {announced}");
            }
        }
    }
}

#[test]
fn a_body_without_a_length_is_refused() {
    let server = Running::start(config());
    let plain = send(&server, "/files/k", "UNSIGNED-PAYLOAD", &[], |_, _| b"body".to_vec());
    let framed = send_unsigned(&server, "/files/k", b"body", None);
    for answer in [plain, framed] {
        assert_eq!(answer.status, 411, "{}", answer.text());
        assert!(answer.text().contains("<Code>MissingContentLength</Code>"), "{}", answer.text());
        assert!(!is_there(&server));
    }
}

#[test]
fn lengths_that_contradict_each_other_or_are_none_are_refused() {
    let server = Running::start(config());
    for announced in ["5", "+4", "4x", "-4", "0x4", "99999999999999999999999"] {
        let extra = [("x-amz-decoded-content-length", announced)];
        for answer in [
            ask(&server, "PUT", "/files/k", &extra, b"body"),
            send_unsigned(&server, "/files/k", b"body", Some(announced)),
        ] {
            assert_eq!(answer.status, 400, "{announced}: {}", answer.text());
            assert!(!is_there(&server), "{announced}");
        }
    }
    let answer = ask(&server, "PUT", "/files/k", &[("x-amz-decoded-content-length", "4")], b"body");
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[test]
fn trailers_of_http_itself_are_refused() {
    let server = Running::start(config());
    let extra = [("x-amz-decoded-content-length", "5"), ("x-amz-trailer", "x-amz-checksum-crc32")];
    // The CRC32 of the five bytes.
    let framed = b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n";
    let frames = |_: &Signing<'_>, _: &str| framed.to_vec();
    let end = b"0\r\nx-amz-checksum-crc32: AAAAAA==\r\n\r\n";
    let answer = send_to_end(&server, "/files/k", UNSIGNED, &extra, frames, end);
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert!(answer.text().contains("trailers"), "{}", answer.text());
    assert!(!is_there(&server));
    let answer = send_to_end(&server, "/files/k", UNSIGNED, &extra, frames, b"0\r\n\r\n");
    assert_eq!(answer.status, 200, "{}", answer.text());
}
