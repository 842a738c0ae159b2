//! The plain HTTP face, over a real socket.

#![allow(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]

#[allow(dead_code, reason = "each file of tests uses a part of it")]
mod common;

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::time::Duration;

use common::{
    ACCESS, Answer, Running, SECRET, assert_quiet, config, dechunked, head, noise, put_key,
};
use drystone_server::bearer_token;
use drystone_store::{BucketName, Grant};

const FILE: &str = "/_/files/files/folder/file.bin";

fn bucket() -> BucketName {
    BucketName::new("files").unwrap()
}

#[test]
fn an_object_comes_back_as_it_was_sent() {
    let server = Running::start(config());
    for len in [0, 1, 511, 65_535, 65_536, 65_537, 3_000_000] {
        let bytes = noise(len, len as u64);
        let put = server.request("PUT", FILE, &[("Content-Type", "image/x-test")], &bytes);
        assert_eq!(put.status, 201, "{}", put.text());
        let got = server.request("GET", FILE, &[], b"");
        assert_eq!(got.status, 200);
        assert!(got.body == bytes, "{len} bytes came back as {}", got.body.len());
        assert_eq!(got.header("etag"), put.header("etag"));
        assert_eq!(got.header("content-type"), Some("image/x-test"));
        assert_eq!(got.header("x-content-type-options"), Some("nosniff"));
        assert!(got.header("content-disposition").unwrap().starts_with("attachment"));
        let head = server.request("HEAD", FILE, &[], b"");
        assert_eq!(
            (head.status, head.header("content-length")),
            (200, Some(len.to_string().as_str()))
        );
    }
    assert_eq!(server.request("DELETE", FILE, &[], b"").status, 204);
    assert_eq!(server.request("DELETE", FILE, &[], b"").status, 404);
    assert_eq!(server.request("GET", FILE, &[], b"").status, 404);
    assert_quiet(&server);
}

#[test]
fn small_bodies_have_the_md5_as_their_tag() {
    let server = Running::start(config());
    let put = server.request("PUT", FILE, &[], b"123456789");
    assert_eq!(put.header("etag"), Some("\"25f9e794323b453885f5181f1b624d0b\""));
}

#[test]
fn ranges_and_conditions() {
    let server = Running::start(config());
    let bytes = noise(300_000, 7);
    let etag = server.request("PUT", FILE, &[], &bytes).header("etag").unwrap().to_owned();
    let get = |headers: &[(&str, &str)]| server.request("GET", FILE, headers, b"");
    let part = get(&[("Range", "bytes=100000-200000")]);
    assert_eq!(part.status, 206);
    assert!(part.body == bytes[100_000..=200_000]);
    assert_eq!(part.header("content-range"), Some("bytes 100000-200000/300000"));
    assert!(get(&[("Range", "bytes=-5")]).body == bytes[299_995..]);
    let beyond = get(&[("Range", "bytes=300000-")]);
    assert_eq!((beyond.status, beyond.header("content-range")), (416, Some("bytes */300000")));
    let many: Vec<String> = (0..1000).map(|at| format!("{at}-{at}")).collect();
    assert_eq!(
        get(&[("Range", &format!("bytes={}", many.join(",")))]).status,
        200,
        "many ranges are the whole"
    );
    assert_eq!(get(&[("If-None-Match", &etag)]).status, 304);
    assert_eq!(get(&[("If-None-Match", "\"other\"")]).status, 200);
    assert_eq!(get(&[("If-Match", "\"other\"")]).status, 412);
    assert_eq!(get(&[("If-Modified-Since", "Fri, 01 Jan 2100 00:00:00 GMT")]).status, 304);
    assert_eq!(get(&[("If-Unmodified-Since", "Thu, 01 Jan 1970 00:00:00 GMT")]).status, 412);
    assert_eq!(get(&[("Range", "bytes=0-1"), ("If-Range", &etag)]).status, 206);
    assert_eq!(get(&[("Range", "bytes=0-1"), ("If-Range", "\"other\"")]).status, 200);
    let put = |headers: &[(&str, &str)]| server.request("PUT", FILE, headers, b"new").status;
    assert_eq!(put(&[("If-None-Match", "*")]), 412);
    assert_eq!(put(&[("If-Match", "\"other\"")]), 412);
    assert_eq!(put(&[("If-None-Match", &format!("\"x\", {etag}"))]), 412);
    assert!(get(&[]).body == bytes, "a refused put changes nothing");
    assert_eq!(put(&[("If-Match", &etag)]), 201);
    assert_quiet(&server);
}

#[test]
fn checksums_are_verified() {
    let server = Running::start(config());
    let put = |name: &str, value: &str| server.request("PUT", FILE, &[(name, value)], b"123456789");
    assert_eq!(put("Content-MD5", "JfnnlDI7RTiF9RgfG2JNCw==").status, 201);
    assert_eq!(put("x-amz-checksum-crc32", "y/Q5Jg==").status, 201);
    let wrong = put("Content-MD5", "AAAAAAAAAAAAAAAAAAAAAA==");
    assert_eq!(wrong.status, 400, "{}", wrong.text());
    assert!(wrong.text().contains("md5"));
    assert_eq!(put("Content-MD5", "short").status, 400);
    assert_quiet(&server);
}

#[test]
fn who_may_do_what() {
    let server = Running::start(config());
    let grant =
        |read, write, list| Grant { bucket: Some(bucket()), read, write, list, admin: false };
    put_key(&server.store, "reader", vec![grant(true, false, false)]);
    put_key(&server.store, "writer", vec![grant(false, true, false)]);
    put_key(&server.store, "lister", vec![grant(false, false, true)]);
    server.request("PUT", "/_/files/other/", &[], b"");
    let as_key = |key: Option<(&str, &str)>, method: &str, path: &str| {
        server.request_as(key, method, path, &[], b"bytes").status
    };
    let reader = Some(("reader", SECRET));
    let writer = Some(("writer", SECRET));
    let lister = Some(("lister", SECRET));
    assert_eq!(as_key(writer, "PUT", FILE), 201);
    assert_eq!(as_key(reader, "PUT", FILE), 403);
    assert_eq!(as_key(lister, "DELETE", FILE), 403);
    assert_eq!(as_key(reader, "GET", FILE), 200);
    assert_eq!(as_key(writer, "GET", FILE), 403);
    assert_eq!(as_key(lister, "GET", "/_/files/files/folder/"), 200);
    assert_eq!(as_key(reader, "GET", "/_/files/files/folder/"), 403);
    assert_eq!(
        as_key(lister, "GET", "/_/files/files/folder/?archive=tar"),
        403,
        "an archive needs reading, too"
    );
    assert_eq!(as_key(writer, "PUT", "/_/files/other/x"), 403);
    assert_eq!(as_key(writer, "PUT", "/_/files/third/"), 403);
    assert_eq!(as_key(writer, "GET", "/_/metrics"), 403);
    for (key, status) in
        [(None, 401), (Some((ACCESS, "wrong")), 401), (Some(("nobody", SECRET)), 401)]
    {
        assert_eq!(as_key(key, "GET", FILE), status);
        assert_eq!(as_key(key, "PUT", FILE), status);
        assert_eq!(as_key(key, "GET", "/_/files/"), status);
        assert_eq!(as_key(key, "GET", "/_/metrics"), status);
    }
    let token = format!("Bearer {}", bearer_token("reader", SECRET));
    let by_token = server.request_as(None, "GET", FILE, &[("Authorization", &token)], b"");
    assert_eq!(by_token.status, 200);
    server.store.set_bucket_public(&bucket(), true).unwrap();
    assert_eq!(as_key(None, "GET", FILE), 200);
    assert_eq!(as_key(None, "PUT", FILE), 401);
    assert_eq!(
        as_key(None, "GET", "/_/files/files/folder/"),
        401,
        "public means reading, not listing"
    );
}

#[test]
fn folders_are_listed_and_packed() {
    let server = Running::start(config());
    let long = format!("folder/{}", "n".repeat(150));
    for (key, bytes) in
        [("a.txt", "1"), ("folder/b.txt", "22"), ("folder/deep/c.txt", "333"), (long.as_str(), "4")]
    {
        assert_eq!(
            server.request("PUT", &format!("/_/files/files/{key}"), &[], bytes.as_bytes()).status,
            201
        );
    }
    let strange = "/_/files/files/folder/%3Cscript%3E%22%0A.html";
    assert_eq!(server.request("PUT", strange, &[], b"x").status, 201);
    let json = server.request("GET", "/_/files/files/folder/", &[], b"").text();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let names: Vec<&str> =
        json["entries"].as_array().unwrap().iter().map(|e| e["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["<script>\"\n.html", "b.txt", "deep/", &long[7..]]);
    let html =
        server.request("GET", "/_/files/files/folder/", &[("Accept", "text/html")], b"").text();
    assert!(!html.contains("<script>") && html.contains("&lt;script&gt;&quot;\\n.html"), "{html}");
    assert!(html.contains("href=\"./%3Cscript%3E%22%0A.html\""), "{html}");
    let tar = server.say(
        head(Some((ACCESS, SECRET)), "GET", "/_/files/files/folder/?archive=tar", &[], None)
            .as_bytes(),
    );
    assert_eq!(tar.header("content-type"), Some("application/x-tar"));
    let bytes = dechunked(&tar.body);
    let mut archive = tar::Archive::new(bytes.as_slice());
    let found: Vec<(String, String)> = archive
        .entries()
        .unwrap()
        .map(|entry| {
            let mut entry = entry.unwrap();
            let name = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            (name, text)
        })
        .collect();
    let find =
        |name: &str| found.iter().find(|(found, _)| found == name).map(|(_, text)| text.as_str());
    assert_eq!(find("folder/deep/c.txt"), Some("333"));
    assert_eq!(find(&long), Some("4"));
    assert_eq!(found.len(), 4);
    assert_eq!(
        server.request("DELETE", "/_/files/files/", &[], b"").status,
        409,
        "it is not empty"
    );
    assert_quiet(&server);
}

#[test]
fn forms_become_objects() {
    let server = Running::start(config());
    let kind = [("Content-Type", "multipart/form-data; boundary=XX")];
    let form = "--XX\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nhello\r\n\
        --XX\r\nContent-Disposition: form-data; name=\"a\"; filename=\"one.txt\"\r\nContent-Type: text/plain\r\n\r\nfirst\r\n\
        --XX\r\nContent-Disposition: form-data; name=\"b\"; filename=\"C:\\\\up\\\\..\\\\two.txt\"\r\n\r\nsecond\r\n--XX--\r\n";
    let done = server.request("POST", "/_/files/files/in/", &kind, form.as_bytes());
    assert_eq!(done.status, 201, "{}", done.text());
    assert_eq!(server.request("GET", "/_/files/files/in/one.txt", &[], b"").text(), "first");
    assert_eq!(server.request("GET", "/_/files/files/in/two.txt", &[], b"").text(), "second");
    // Cut off in the second file: the first is kept and said to be, the second is not there.
    let cut =
        form.replace("one", "eins").replace("two", "zwei").replace("second\r\n--XX--\r\n", "sec");
    let broken = server.request("POST", "/_/files/files/in/", &kind, cut.as_bytes());
    assert_eq!(broken.status, 207, "{}", broken.text());
    assert!(broken.text().contains("eins.txt"));
    assert_eq!(server.request("GET", "/_/files/files/in/zwei.txt", &[], b"").status, 404);
    let bad = |kind: &str, body: &str| {
        server
            .request("POST", "/_/files/files/in/", &[("Content-Type", kind)], body.as_bytes())
            .status
    };
    assert_eq!(bad("multipart/form-data", form), 415);
    assert_eq!(bad("text/plain", form), 415);
    assert_eq!(bad("multipart/form-data; boundary=XX", "nothing like a form"), 400);
    assert_eq!(bad("multipart/form-data; boundary=XX", "--XX--\r\n"), 400);
    let many: String = (0..10_000)
        .map(|n| format!("--XX\r\nContent-Disposition: form-data; name=\"{n}\"\r\n\r\n\r\n"))
        .collect();
    assert_eq!(bad("multipart/form-data; boundary=XX", &many), 400);
    let climbing = form.replace("one.txt", "..");
    assert_eq!(bad("multipart/form-data; boundary=XX", &climbing), 400);
    assert_quiet(&server);
}

#[test]
fn bad_requests_get_an_answer_or_a_closed_connection() {
    let server = Running::start(config());
    let key = head(Some((ACCESS, SECRET)), "GET", FILE, &[], None);
    let auth = key.lines().find(|line| line.starts_with("Authorization")).unwrap().to_owned();
    let say = |text: &str| server.say(text.replace("AUTH", &auth).as_bytes()).status;
    let put = |rest: &str| say(&format!("PUT {FILE} HTTP/1.1\r\nHost: x\r\nAUTH\r\n{rest}"));
    assert_eq!(put("Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"), 400, "two lengths");
    let smuggled = put("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    assert!([400, 201].contains(&smuggled), "{smuggled}");
    assert_eq!(
        put("Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n"),
        400,
        "a chunk beyond every number"
    );
    assert_eq!(say("GET /_/health/live HTTP/1.1\r\nBad Header\r\n\r\n"), 400);
    assert_eq!(say("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 0, "HTTP/2 is not spoken");
    let long = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(100_000));
    assert!([414, 431, 400, 0].contains(&say(&long)));
    for (path, status) in [
        ("/_/files/files/../x", 400),
        ("/_/files/files/%2e%2e%2fx", 400),
        ("/_/files/files/a/%2e/b", 400),
        ("/_/files/files/a%00b", 400),
        ("/_/files/files/a%ffb", 400),
        ("/_/files/files/a//b", 404),
        ("/_/files/UPPER/x", 400),
        ("/_/files/absent/x", 404),
        ("/_/nothing", 404),
    ] {
        assert_eq!(server.request("GET", path, &[], b"").status, status, "{path}");
    }
    assert_eq!(
        server.request("GET", &format!("/_/files/files/{}", "k".repeat(1025)), &[], b"").status,
        400
    );
    assert_eq!(server.request("PUT", "/_/files/absent/x", &[], b"x").status, 404);
    assert_eq!(server.request("PATCH", FILE, &[], b"x").status, 405);
    assert_eq!(server.request("GET", "/_/health/ready", &[], b"").status, 200);
    assert_quiet(&server);
}

#[test]
fn a_body_that_breaks_off_leaves_nothing() {
    let server = Running::start(config());
    for sent in [0, 10, 70_000, 1_000_000] {
        let mut socket = server.connect();
        let bytes = noise(sent, 3);
        let head = head(Some((ACCESS, SECRET)), "PUT", FILE, &[], Some(2_000_000));
        socket.write_all(&[head.as_bytes(), &bytes].concat()).unwrap();
        socket.shutdown(Shutdown::Write).unwrap();
        let answer = Answer::read(&mut socket);
        assert!([0, 400].contains(&answer.status), "{answer:?}");
        assert_quiet(&server);
        assert_eq!(server.request("GET", FILE, &[], b"").status, 404, "{sent}");
    }
    // The next one goes the same way as if nothing had been.
    assert_eq!(server.request("PUT", FILE, &[], &noise(2_000_000, 5)).status, 201);
}

#[test]
fn a_stop_lets_requests_end() {
    let mut server = Running::start(config());
    let bytes = noise(500_000, 11);
    let mut socket = server.connect();
    let head =
        head(Some((ACCESS, SECRET)), "PUT", FILE, &[("Expect", "100-continue")], Some(bytes.len()));
    socket.write_all(head.as_bytes()).unwrap();
    // It is under way once the server asks for the body.
    socket.read_exact(&mut [0; 25]).unwrap();
    socket.write_all(&bytes[..100_000]).unwrap();
    let late = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        socket.write_all(&bytes[100_000..]).unwrap();
        Answer::read(&mut socket).status
    });
    server.stop();
    assert_eq!(late.join().unwrap(), 201);
}
