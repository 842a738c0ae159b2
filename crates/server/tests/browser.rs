//! What a person with a browser meets.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

#[allow(dead_code, reason = "each file of tests uses a part of it")]
mod common;
#[allow(dead_code, reason = "each file of tests uses a part of it")]
#[path = "common/sigv4.rs"]
mod sigv4;

use common::{ACCESS, Answer, Running, SECRET, config, put_key};
use drystone_store::{BucketName, BucketRecords as _, Grant, NewBucket, SyncPolicy};
use drystone_testkit::memory::{Memory, MemoryConfig};
use sigv4::{Signing, ask};

const HTML: (&str, &str) = ("Accept", "text/html,application/xhtml+xml,*/*;q=0.8");
const FORM: (&str, &str) = ("Content-Type", "multipart/form-data; boundary=XX");

fn form(file: &str) -> Vec<u8> {
    format!("--XX\r\nContent-Disposition: form-data; name=file; filename=\"{file}\"\r\n\r\nnew\r\n--XX--\r\n")
        .into_bytes()
}

#[test]
fn the_address_alone_leads_a_browser_to_the_files() {
    let server = Running::start(config());
    let goes_on =
        |answer: &Answer| answer.status == 307 && answer.header("location") == Some("/_/files/");
    for method in ["GET", "HEAD"] {
        assert!(goes_on(&server.request_as(None, method, "/", &[HTML], b"")), "{method}");
        // A browser that knows a password already may send it.
        assert!(goes_on(&server.request(method, "/", &[HTML], b"")), "{method}");
    }
    let plain = server.request_as(None, "GET", "/", &[], b"");
    assert_eq!(plain.status, 403, "{}", plain.text());
    assert_eq!(server.request_as(None, "GET", "/", &[("Accept", "*/*")], b"").status, 403);
    assert_eq!(
        server.request_as(None, "GET", "/", &[("Accept", "text/html;q=0, */*")], b"").status,
        403
    );
    // A client that signs is a program, whatever it accepts.
    let listed = ask(&server, "GET", "/", &[("accept", HTML.1)], b"");
    assert_eq!(listed.status, 200, "{}", listed.text());
    let url = Signing::now("GET", "/", &[]).presigned(600);
    let listed = server.request_as(None, "GET", &url, &[HTML], b"");
    assert!(listed.status == 200 && listed.text().contains("<Buckets>"), "{}", listed.text());
    assert_eq!(server.request_as(None, "GET", "/files", &[HTML], b"").status, 403);
}

#[test]
fn a_folders_page_has_what_can_be_done_there() {
    let server = Running::start(config());
    for key in ["top", "a%20b/%3Cc%3E/one", "a%20b/two"] {
        assert_eq!(server.request("PUT", &format!("/_/files/files/{key}"), &[], b"x").status, 201);
    }
    let page = server.request("GET", "/_/files/files/a%20b/%3Cc%3E/", &[HTML], b"").text();
    for part in [
        "<form method=\"post\" enctype=\"multipart/form-data\" action=\"./\">",
        "<input type=\"file\" name=\"file\"",
        "<a href=\"?archive=tar\">",
        "<a href=\"?archive=zip\">",
        "<a href=\"/_/limits\">",
        "<a href=\"/_/files/\">",
        "<a href=\"/_/files/files/\"><bdi>files</bdi></a>",
        "<a href=\"/_/files/files/a%20b/\"><bdi>a b</bdi></a>",
        "<bdi>&lt;c&gt;</bdi>",
        "<a href=\"./one\">",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    // Nothing that the key cannot do.
    let grant = Grant {
        bucket: BucketName::new("files").ok(),
        read: false,
        write: false,
        list: true,
        admin: false,
    };
    put_key(&server.store, "lister", vec![grant]);
    let page =
        server.request_as(Some(("lister", SECRET)), "GET", "/_/files/files/", &[HTML], b"").text();
    assert!(page.contains("<a href=\"./top\">"), "{page}");
    for part in ["<form", "?archive=", "/_/limits"] {
        assert!(!page.contains(part), "{part}: {page}");
    }
    let buckets = server.request("GET", "/_/files/", &[HTML], b"").text();
    assert!(buckets.contains("<a href=\"/_/limits\">") && !buckets.contains("<form"), "{buckets}");
}

#[test]
fn a_browsers_form_leads_back_to_the_folder() {
    let server = Running::start(config());
    let sent =
        server.request("POST", "/_/files/files/new%20one/", &[HTML, FORM], &form("wall.txt"));
    assert_eq!((sent.status, sent.header("location")), (303, Some("/_/files/files/new%20one/")));
    let page = server.request("GET", "/_/files/files/new%20one/", &[HTML], b"").text();
    assert!(page.contains("./wall%2Etxt") || page.contains("./wall.txt"), "{page}");
    let json = server.request("POST", "/_/files/files/new%20one/", &[FORM], &form("wall.txt"));
    assert!(
        json.status == 201 && json.text().contains("\"key\":\"new one/wall.txt\""),
        "{}",
        json.text()
    );
    // No file was chosen.
    assert_eq!(server.request("POST", "/_/files/files/", &[HTML, FORM], &form("")).status, 400);
}

#[test]
fn a_folder_that_is_not_there_is_not_found() {
    let server = Running::start(config());
    assert_eq!(server.request("PUT", "/_/files/files/photos/one", &[], b"x").status, 201);
    let get = |path: &str| server.request("GET", &format!("/_/files/{path}"), &[], b"").status;
    for query in ["", "?format=json", "?format=html", "?archive=tar", "?archive=zip"] {
        for folder in
            ["files/photo/", "files/photos/one/", "files/Photos/", "absent/", "absent/photos/"]
        {
            assert_eq!(get(&format!("{folder}{query}")), 404, "{folder}{query}");
        }
        assert_eq!(get(&format!("files/photos/{query}")), 200, "{query}");
    }
    // A page behind the last one is empty, and its folder is there.
    assert_eq!(get("files/photos/?from=%3Ephotos/z"), 200);
    assert_eq!(server.request("PUT", "/_/files/empty/", &[], b"").status, 201);
    for query in ["", "?format=html", "?archive=tar", "?archive=zip"] {
        assert_eq!(get(&format!("empty/{query}")), 200, "{query}");
    }
    assert_eq!(server.request("HEAD", "/_/files/files/photo/", &[], b"").status, 404);
}

#[test]
fn a_bucket_that_s3_would_refuse_is_not_made() {
    let server = Running::start(config());
    for name in [
        "192.168.1.1",
        "xn--abc",
        "sthree-a",
        "amzn-s3-demo-a",
        "a-s3alias",
        "a--ols-s3",
        "a.mrap",
        "a--x-s3",
        "a--table-s3",
    ] {
        let made = server.request("PUT", &format!("/_/files/{name}/"), &[], b"");
        assert_eq!(made.status, 400, "{name} {}", made.text());
        assert!(made.text().contains(name), "{}", made.text());
        let made = ask(&server, "PUT", &format!("/{name}"), &[], b"");
        assert_eq!(made.status, 400, "{name} {}", made.text());
        assert!(made.text().contains("<Code>InvalidBucketName</Code>"), "{name} {}", made.text());
        let looked = server.request_as(
            Some((ACCESS, SECRET)),
            "GET",
            &format!("/_/files/{name}/"),
            &[],
            b"",
        );
        assert_eq!(looked.status, 404, "{name}");
    }
}

#[test]
fn a_bucket_from_a_time_when_its_name_was_allowed_can_be_used_and_removed() {
    let config = config();
    let memory = Memory::new(MemoryConfig { sync: SyncPolicy::Never, segment_bytes_max: 1 << 30 });
    let (records, segments) = memory.open();
    records.create_bucket(&NewBucket::named(BucketName::new("192.168.1.1").unwrap())).unwrap();
    let server = Running::over(common::store(records, segments, &config), config, None);
    let (bucket, file) = ("/_/files/192.168.1.1/", "/_/files/192.168.1.1/file");
    assert_eq!(server.request("PUT", bucket, &[], b"").status, 200, "it is there");
    assert_eq!(server.request("PUT", file, &[], b"bytes").status, 201);
    assert_eq!(server.request("GET", bucket, &[], b"").status, 200);
    assert_eq!(server.request("GET", file, &[], b"").body, b"bytes");
    assert_eq!(server.request("DELETE", file, &[], b"").status, 204);
    assert_eq!(server.request("DELETE", bucket, &[], b"").status, 204);
    assert_eq!(server.request("PUT", bucket, &[], b"").status, 400);
}
