//! What a plain request says and is not understood refuses it, before anything is done.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

#[allow(dead_code, reason = "each file of tests uses a part of it")]
mod common;
#[allow(dead_code, reason = "each file of tests uses a part of it")]
#[path = "common/sigv4.rs"]
mod sigv4;

use common::{ACCESS, Answer, Running, SECRET, config, head};

const FILE: &str = "/_/files/files/folder/file";
const FOLDER: &str = "/_/files/files/folder/";
const PAST: &str = "Thu, 01 Jan 1970 00:00:01 GMT";
const FUTURE: &str = "Fri, 01 Jan 2100 00:00:00 GMT";
const FORM: (&str, &str) = ("Content-Type", "multipart/form-data; boundary=XX");
const FORM_BODY: &[u8] =
    b"--XX\r\nContent-Disposition: form-data; name=f; filename=file\r\n\r\nnew\r\n--XX--\r\n";

/// A server with one object, and its entity tag with quotes.
fn start() -> (Running, String) {
    let server = Running::start(config());
    let put = server.request("PUT", FILE, &[], b"as it was");
    assert_eq!(put.status, 201, "{}", put.text());
    let etag = put.header("etag").unwrap().to_owned();
    (server, etag)
}

#[track_caller]
fn check_untouched(server: &Running, what: &str) {
    assert_eq!(server.request("GET", FILE, &[], b"").body, b"as it was", "{what}");
}

/// Every way to say a condition so that it cannot be read.
fn unreadable() -> Vec<Vec<(&'static str, &'static str)>> {
    let mut all = Vec::new();
    for name in ["If-Match", "If-None-Match"] {
        for value in [
            "\"\u{e9}\"",
            "",
            "abc",
            "\"abc",
            "abc\"",
            "\"a\" \"b\"",
            "w/\"a\"",
            "*, \"a\"",
            "\"a\"b",
            ",",
            "**",
        ] {
            all.push(vec![(name, value)]);
        }
        all.push(vec![(name, "*"), (name, "\"a\"")]);
        all.push(vec![(name, "\"a\""), (name, "\u{e9}")]);
    }
    for name in ["If-Unmodified-Since", "If-Modified-Since", "If-Range"] {
        all.push(vec![(name, "\u{e9}")]);
        all.push(vec![(name, FUTURE), (name, FUTURE)]);
    }
    all.push(vec![("If-Range", "\"a\", \"b\"")]);
    all.push(vec![("If-Schedule-Tag-Match", "\"a\"")]);
    all.push(vec![("If", "(<urn:x>)")]);
    all
}

#[test]
fn a_condition_that_cannot_be_read_is_refused() {
    let (server, _) = start();
    for headers in unreadable() {
        for (method, body) in [("PUT", &b"new"[..]), ("DELETE", b""), ("GET", b""), ("HEAD", b"")] {
            let answer = server.request(method, FILE, &headers, body);
            assert_eq!(answer.status, 400, "{method} {headers:?} {}", answer.text());
            if method != "HEAD" {
                let name = headers[0].0.to_ascii_lowercase();
                assert!(answer.text().contains(&name), "{method} {headers:?} {}", answer.text());
            }
        }
        check_untouched(&server, &format!("{headers:?}"));
    }
    // A date that is none is no condition of a read, as RFC 9110 has it; a write would be one
    // without its guard.
    for value in ["yesterday", "", "Thu, 01 Jan 1970 00:00:01"] {
        for name in ["If-Unmodified-Since", "If-Modified-Since"] {
            assert_eq!(
                server.request("GET", FILE, &[(name, value)], b"").status,
                200,
                "{name} {value}"
            );
            for method in ["PUT", "DELETE"] {
                let answer = server.request(method, FILE, &[(name, value)], b"");
                assert_eq!(answer.status, 400, "{method} {name} {value} {}", answer.text());
            }
        }
    }
    check_untouched(&server, "a date");
}

#[test]
fn a_write_holds_its_conditions() {
    let (server, etag) = start();
    let weak = format!("W/{etag}");
    let listed = format!("\"a,{}\", {etag}", etag.trim_matches('"'));
    let hidden = format!("\"a,{}\"", etag.trim_matches('"'));
    let own = etag.as_str();
    for method in ["PUT", "DELETE"] {
        for headers in [
            vec![("If-Match", "\"other\"")],
            vec![("If-Match", weak.as_str())],
            // A comma between quotes is a part of the tag.
            vec![("If-Match", hidden.as_str())],
            vec![("If-None-Match", "*")],
            vec![("If-None-Match", own)],
            vec![("If-None-Match", weak.as_str())],
            vec![("If-None-Match", "\"other\""), ("If-None-Match", own)],
            vec![("If-Unmodified-Since", PAST)],
            vec![("If-Match", own), ("If-None-Match", own)],
        ] {
            let answer = server.request(method, FILE, &headers, b"new");
            assert_eq!(answer.status, 412, "{method} {headers:?} {}", answer.text());
            check_untouched(&server, &format!("{method} {headers:?}"));
        }
        for headers in [
            // Of these no method but GET and HEAD knows what to do.
            vec![("If-Modified-Since", PAST)],
            vec![("If-Modified-Since", FUTURE)],
            vec![("If-Range", own)],
        ] {
            let answer = server.request(method, FILE, &headers, b"new");
            assert_eq!(answer.status, 400, "{method} {headers:?} {}", answer.text());
            check_untouched(&server, &format!("{method} {headers:?}"));
        }
    }
    for headers in [
        vec![("If-Match", own)],
        vec![("If-Match", "*")],
        vec![("If-Match", listed.as_str())],
        vec![("If-Match", "\"other\""), ("If-Match", own)],
        vec![("If-None-Match", "\"other\", W/\"another\"")],
        vec![("If-Unmodified-Since", FUTURE)],
        // The tag says more than the date, which then does not count.
        vec![("If-Match", own), ("If-Unmodified-Since", PAST)],
    ] {
        assert_eq!(server.request("PUT", FILE, &headers, b"as it was").status, 201, "{headers:?}");
        assert_eq!(server.request("DELETE", FILE, &headers, b"").status, 204, "{headers:?}");
        // Nothing is there now.
        let guarded = headers.iter().any(|(name, _)| *name != "If-None-Match");
        let (put, deleted) = if guarded { (412, 412) } else { (201, 404) };
        assert_eq!(server.request("DELETE", FILE, &headers, b"").status, deleted, "{headers:?}");
        assert_eq!(server.request("PUT", FILE, &headers, b"as it was").status, put, "{headers:?}");
        assert_eq!(server.request("PUT", FILE, &[], b"as it was").status, 201);
    }
}

#[test]
fn a_read_takes_conditions_of_two_lines_as_one() {
    let (server, etag) = start();
    let get = |headers: &[(&str, &str)]| server.request("GET", FILE, headers, b"").status;
    assert_eq!(get(&[("If-None-Match", "\"x\""), ("If-None-Match", &etag)]), 304);
    assert_eq!(get(&[("If-Match", "\"x\""), ("If-Match", &etag)]), 200);
    assert_eq!(get(&[("If-Match", "\"x\""), ("If-Match", "\"y\"")]), 412);
    assert_eq!(get(&[("If-None-Match", &format!("W/{etag}"))]), 304);
    let part = ("Range", "bytes=0-1");
    assert_eq!(get(&[part, ("If-Range", &etag)]), 206);
    assert_eq!(get(&[part, ("If-Range", &format!("W/{etag}"))]), 200);
    assert_eq!(get(&[part, ("If-Range", "yesterday")]), 200);
    // Which of the two would be meant?
    assert_eq!(get(&[part, ("Range", "bytes=2-3")]), 200);
}

#[test]
fn a_condition_on_what_has_none_is_refused() {
    let (server, _) = start();
    let every =
        ["If-Match", "If-None-Match", "If-Unmodified-Since", "If-Modified-Since", "If-Range"];
    for name in every {
        let value = if name.ends_with("Since") { FUTURE } else { "\"a\"" };
        let refused = |method: &str, path: &str, more: &[(&str, &str)], body: &[u8]| {
            let headers = [&[(name, value)], more].concat();
            let answer = server.request(method, path, &headers, body);
            assert_eq!(answer.status, 400, "{method} {path} {name} {}", answer.text());
        };
        refused("PUT", "/_/files/fresh/", &[], b"");
        refused("DELETE", "/_/files/files/", &[], b"");
        refused("POST", FOLDER, &[FORM], FORM_BODY);
        if name == "If-Match" || name == "If-Unmodified-Since" {
            for page in [FOLDER, "/_/files/", "/_/limits", "/_/metrics"] {
                refused("GET", page, &[], b"");
            }
        } else {
            // Tools that mirror a folder ask so, and are sent what there is.
            assert_eq!(server.request("GET", FOLDER, &[(name, value)], b"").status, 200, "{name}");
        }
    }
    assert_eq!(server.request("GET", "/_/files/fresh/", &[], b"").status, 404);
    check_untouched(&server, "a condition");
}

#[test]
fn a_query_that_is_not_understood_is_refused() {
    let (server, _) = start();
    let refused = |method: &str, path: &str, query: &str, body: &[u8]| {
        let headers: &[_] = if method == "POST" { &[FORM] } else { &[] };
        let answer = server.request(method, &format!("{path}?{query}"), headers, body);
        assert_eq!(answer.status, 400, "{method} {path}?{query} {}", answer.text());
        answer.text()
    };
    for (method, path) in [
        ("GET", FILE),
        ("HEAD", FILE),
        ("PUT", FILE),
        ("DELETE", FILE),
        ("POST", FOLDER),
        ("PUT", "/_/files/fresh/"),
        ("DELETE", "/_/files/files/"),
        ("GET", "/_/"),
        ("GET", "/_/files/"),
        ("GET", FOLDER),
        ("GET", "/_/limits"),
        ("GET", "/_/metrics"),
        ("GET", "/_/health/live"),
        ("GET", "/_/health/ready"),
    ] {
        let body = if method == "POST" { FORM_BODY } else { b"" };
        let said = refused(method, path, "foo", body);
        assert!(method == "HEAD" || said.contains("`foo`"), "{said}");
        refused(method, path, "append=true", body);
        refused(method, path, "=x", body);
        refused(method, path, "%ff=x", body);
        check_untouched(&server, path);
    }
    for query in [
        "archive=rar",
        "archive=",
        "archive",
        "archive=tar&archive=zip",
        "archive=tar&foo",
        "archive=tar&from=a",
        "archive=zip&format=json",
        "format=xml",
        "format=",
        "format=json&format=html",
        "format=json&form%61t=json",
        "from=%ff",
        "from=a&from=b",
        "Format=json",
    ] {
        refused("GET", FOLDER, query, b"");
    }
    refused("GET", "/_/limits", "format=text", b"");
    refused("GET", "/_/files/", "from=_", b"");
    refused("GET", "/_/files/", "archive=tar", b"");
    for (path, query) in [
        (FOLDER, "format=json"),
        (FOLDER, "format=html"),
        (FOLDER, "%66ormat=json"),
        (FOLDER, ""),
        ("/_/limits", "format=json"),
        ("/_/limits", "format=html"),
        ("/_/files/", "from=abc&format=json"),
    ] {
        let answer = server.request("GET", &format!("{path}?{query}"), &[], b"");
        assert_eq!(answer.status, 200, "{path}?{query} {}", answer.text());
    }
}

#[test]
fn a_promise_that_is_not_kept_here_is_refused() {
    let (server, _) = start();
    for (name, value) in [
        ("x-amz-checksum-sha4096", "AAAA"),
        ("x-amz-expected-bucket-owner", "123456789012"),
        ("x-amz-copy-source", "/files/folder/other"),
        ("x-amz-meta-who", "mason"),
        ("x-amz-acl", "public-read"),
        ("Content-Digest", "sha-256=:AAAA:"),
        ("Repr-Digest", "sha-256=:AAAA:"),
        ("Digest", "sha-256=AAAA"),
    ] {
        for (method, path, more, body) in [
            ("PUT", FILE, None, &b"new"[..]),
            ("DELETE", FILE, None, b""),
            ("GET", FILE, None, b""),
            ("POST", FOLDER, Some(FORM), FORM_BODY),
            ("PUT", "/_/files/fresh/", None, b""),
        ] {
            let headers: Vec<_> = more.into_iter().chain([(name, value)]).collect();
            let answer = server.request(method, path, &headers, body);
            assert_eq!(answer.status, 400, "{method} {name} {}", answer.text());
            let name = name.to_ascii_lowercase();
            assert!(answer.text().contains(&name), "{method} {name} {}", answer.text());
        }
        check_untouched(&server, name);
    }
    let md5 = ("Content-MD5", "AAAAAAAAAAAAAAAAAAAAAA==");
    assert_eq!(server.request("POST", FOLDER, &[FORM, md5], FORM_BODY).status, 400);
    // "as it was" has the first, and nothing has the second.
    let two = [("Content-MD5", "aNVAxjUlyByZRqDqZxNJ4A=="), md5];
    assert_eq!(server.request("PUT", FILE, &two, b"as it was").status, 400);
    check_untouched(&server, "an MD5");
    assert_eq!(server.request("PUT", "/_/files/fresh/", &[], b"<x/>").status, 400, "a body");
    let trailer =
        head(Some((ACCESS, SECRET)), "PUT", FILE, &[("Transfer-Encoding", "chunked")], None);
    let answer =
        server.say(format!("{trailer}3\r\nnew\r\n0\r\nContent-MD5: AAAA\r\n\r\n").as_bytes());
    assert_eq!(answer.status, 400, "{}", answer.text());
    check_untouched(&server, "a trailer");
}

#[test]
fn a_body_without_an_announced_end_is_refused() {
    let (server, _) = start();
    let answer = server.say(head(Some((ACCESS, SECRET)), "PUT", FILE, &[], None).as_bytes());
    assert_eq!(answer.status, 411, "{}", answer.text());
    let signed = sigv4::Signing::now("PUT", "/files/folder/file", &[]).headers();
    let signed: Vec<_> =
        signed.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let answer = server.say(head(None, "PUT", "/files/folder/file", &signed, None).as_bytes());
    assert_eq!(answer.status, 411, "{}", answer.text());
    check_untouched(&server, "no length");
    assert_eq!(server.request("PUT", FILE, &[], b"").status, 201, "an empty body is one");
}

#[test]
fn what_a_body_is_said_to_be_is_kept_or_refused() {
    let (server, _) = start();
    let put =
        |headers: &[(&str, &str)]| -> Answer { server.request("PUT", FILE, headers, b"as it was") };
    for headers in [
        vec![("Content-Type", "\u{e9}")],
        vec![("Content-Type", "text/plain"), ("Content-Type", "text/html")],
        vec![("Content-Language", "\u{e9}")],
        vec![("Content-Encoding", "\u{e9}")],
        vec![("Content-Encoding", "aws-chunked")],
        vec![("Content-Encoding", "gzip, rot13")],
        vec![("Content-Encoding", "")],
        vec![("Content-Disposition", "a"), ("Content-Disposition", "b")],
    ] {
        let answer = put(&headers);
        assert!(
            [400, 415].contains(&answer.status),
            "{headers:?} {} {}",
            answer.status,
            answer.text()
        );
    }
    assert_eq!(
        server.request("POST", FOLDER, &[FORM, ("Content-Encoding", "gzip")], FORM_BODY).status,
        415
    );
    let headers =
        [("Content-Encoding", "br"), ("Content-Encoding", "gzip"), ("Content-Language", "de, en")];
    assert_eq!(put(&headers).status, 201);
    let got = server.request("GET", FILE, &[], b"");
    assert_eq!(got.header("content-encoding"), Some("br, gzip"));
    assert_eq!(got.header("content-language"), Some("de, en"));
    assert_eq!(put(&[("Content-Encoding", "identity")]).status, 201);
    assert_eq!(server.request("GET", FILE, &[], b"").header("content-encoding"), None);
}
