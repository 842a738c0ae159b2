//! Uploads by HTML form over the S3 face: a policy that is signed with a key, and what it does not
//! allow.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

#[allow(dead_code, reason = "each file of tests uses a part of it")]
mod common;
#[allow(dead_code, reason = "each file of tests uses a part of it")]
#[path = "common/sigv4.rs"]
mod sigv4;

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use common::{ACCESS, Answer, Running, config, head, noise, put_key};
use drystone_store::{BucketName, Grant, Key};

const FORM: (&str, &str) = ("Content-Type", "multipart/form-data; boundary=xyz");
const CONDITIONS: &str = r#"{"bucket": "files"}, ["starts-with", "$key", "in/"], {"acl": "private"},
    ["starts-with", "$Content-Type", "text/"], ["content-length-range", 3, 300000], ["starts-with", "$x-amz-meta-who", ""],
    ["starts-with", "$success_action_redirect", ""], ["starts-with", "$success_action_status", ""]"#;

/// A form under way: fields in order, and the file.
#[derive(Clone)]
struct Form {
    fields: Vec<(String, String)>,
    file: Option<(String, Vec<u8>)>,
}

impl Form {
    /// Signed for these conditions and the signature's own.
    fn signed(access: &str, expiration: &str, conditions: &str) -> Self {
        let date = sigv4::now();
        let credential = format!("{access}/{}", sigv4::scope(&date));
        let policy = format!(
            r#"{{"expiration": "{expiration}", "conditions": [{conditions}, {{"x-amz-credential": "{credential}"}},
                {{"x-amz-date": "{date}"}}, {{"X-Amz-Algorithm": "AWS4-HMAC-SHA256"}}]}}"#
        );
        let policy = BASE64.encode(policy);
        let signature = sigv4::sign(&date, &policy);
        let form = Self {
            fields: Vec::new(),
            file: Some((r"C:\fakepath\wall.txt".into(), b"stone".to_vec())),
        };
        form.with("key", "in/${filename}")
            .with("acl", "private")
            .with("Content-Type", "text/plain")
            .with("X-Amz-Meta-Who", "mason")
            .with("success_action_redirect", "")
            .with("success_action_status", "")
            .with("X-Amz-Algorithm", "AWS4-HMAC-SHA256")
            .with("X-Amz-Credential", &credential)
            .with("X-Amz-Date", &date)
            .with("X-Amz-Signature", &signature)
            .with("policy", &policy)
    }

    fn new() -> Self {
        Self::signed(ACCESS, "2999-01-01T00:00:00Z", CONDITIONS)
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        match self.fields.iter_mut().find(|(found, _)| found == name) {
            Some((_, found)) => *found = value.to_owned(),
            None => self.fields.push((name.to_owned(), value.to_owned())),
        }
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.fields.retain(|(found, _)| found != name);
        self
    }

    fn with_file(mut self, bytes: &[u8]) -> Self {
        self.file = Some(("wall.txt".to_owned(), bytes.to_vec()));
        self
    }

    fn body(&self) -> Vec<u8> {
        let mut body = Vec::new();
        for (name, value) in &self.fields {
            body.extend(
                format!(
                    "--xyz\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
                )
                .bytes(),
            );
        }
        if let Some((name, bytes)) = &self.file {
            let head = format!(
                "--xyz\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\nContent-Type: a/b\r\n\r\n"
            );
            body.extend(head.bytes());
            body.extend(bytes);
            body.extend(b"\r\n");
        }
        body.extend(b"--xyz--\r\n");
        body
    }

    fn post(&self, server: &Running) -> Answer {
        server.request_as(None, "POST", "/files", &[FORM], &self.body())
    }

    #[track_caller]
    fn check(&self, server: &Running, status: u16, code: &str) {
        let answer = self.post(server);
        assert_eq!(answer.status, status, "{}", answer.text());
        assert!(answer.text().contains(&format!("<Code>{code}</Code>")), "{}", answer.text());
    }
}

fn keys(server: &Running) -> Vec<String> {
    let all = server
        .store
        .list(&BucketName::new("files").unwrap(), "", std::ops::Bound::Unbounded, 99)
        .unwrap();
    all.into_iter().map(|object| object.key.as_str().to_owned()).collect()
}

#[test]
fn a_form_becomes_an_object() {
    let server = Running::start(config());
    let bytes = noise(300_000, 5);
    let answer = Form::new().with_file(&bytes).post(&server);
    assert_eq!(answer.status, 204, "{}", answer.text());
    assert_eq!(answer.header("location"), Some("/files/in/wall.txt"));
    let object = server
        .store
        .stat(&BucketName::new("files").unwrap(), &Key::new("in/wall.txt").unwrap())
        .unwrap();
    assert_eq!(object.size, 300_000);
    // The field, not what the browser thinks of the file.
    assert_eq!(object.meta.media_type.as_deref(), Some("text/plain"));
    assert_eq!(object.meta.user["who"], "mason");
    let got = server.request("GET", "/_/files/files/in/wall.txt", &[], b"");
    assert!(got.body == bytes);
    assert_eq!(got.header("etag"), answer.header("etag"));
    assert!(!answer.header("etag").unwrap().contains('-'), "small enough for an MD5");
    // The name that browsers send from some systems is a path.
    assert_eq!(Form::new().post(&server).status, 204);
    assert_eq!(keys(&server), ["in/wall.txt"]);
}

#[test]
fn the_form_says_what_happens_then() {
    let server = Running::start(config());
    let created = Form::new().with("success_action_status", "201").post(&server);
    assert_eq!((created.status, created.header("content-type")), (201, Some("application/xml")));
    for expected in [
        "<Location>/files/in/wall.txt</Location>",
        "<Bucket>files</Bucket>",
        "<Key>in/wall.txt</Key>",
    ] {
        assert!(created.text().contains(expected), "{}", created.text());
    }
    // XML reads a bare carriage return as a line feed, and cannot carry a control character.
    let odd = |key: &str| {
        Form::new().with("success_action_status", "201").with("key", key).post(&server).text()
    };
    assert!(odd("in/Icon\r").contains("<Key>in/Icon&#13;</Key>"), "{}", odd("in/Icon\r"));
    let unnamed = odd("in/a\u{1}");
    assert!(
        unnamed.contains("<Location>/files/in/a%01</Location><Bucket>files</Bucket><ETag>"),
        "{unnamed}"
    );
    assert_eq!(Form::new().with("success_action_status", "200").post(&server).status, 200);
    assert_eq!(Form::new().with("success_action_status", "404").post(&server).status, 204);
    let sent =
        Form::new().with("success_action_redirect", "http://example.com/done?a=b").post(&server);
    assert_eq!(sent.status, 303);
    let tag = created.header("etag").unwrap().trim_matches('"');
    let expected =
        format!("http://example.com/done?a=b&bucket=files&key=in/wall.txt&etag=%22{tag}%22");
    assert_eq!(sent.header("location"), Some(expected.as_str()));
}

#[test]
fn what_the_policy_does_not_allow_is_refused() {
    let server = Running::start(config());
    let denied = |form: Form| form.check(&server, 403, "AccessDenied");
    denied(Form::new().with("key", "out/a"));
    denied(Form::new().with("Content-Type", "text/plain,image/png"));
    denied(Form::new().without("Content-Type"));
    denied(Form::new().with("x-amz-meta-more", "b"));
    denied(Form::new().with("Cache-Control", "no-store"));
    denied(Form::new().with("bucket", "others"));
    denied(Form::signed(ACCESS, "2020-01-01T00:00:00Z", CONDITIONS));
    denied(Form::signed(
        ACCESS,
        "2999-01-01T00:00:00Z",
        &CONDITIONS.replace(r#"{"bucket": "files"}, "#, ""),
    ));
    denied(Form::signed(
        ACCESS,
        "2999-01-01T00:00:00Z",
        &CONDITIONS.replace("\"files\"", "\"others\""),
    ));
    Form::new().with_file(b"st").check(&server, 400, "EntityTooSmall");
    Form::new().with_file(&noise(300_001, 1)).check(&server, 400, "EntityTooLarge");
    Form::new().with_file(&noise(8 << 20, 1)).check(&server, 400, "EntityTooLarge");
    // Not for the policy to allow.
    let public =
        Form::signed(ACCESS, "2999-01-01T00:00:00Z", &CONDITIONS.replace("private", "public-read"));
    public.with("acl", "public-read").check(&server, 400, "AccessControlListNotSupported");
    assert_eq!(keys(&server), [""; 0]);
    assert_eq!(Form::new().with_file(b"sto").post(&server).status, 204);
    assert_eq!(
        Form::new().with("x-ignore-me", "b").with("bucket", "files").post(&server).status,
        204
    );
}

#[test]
fn a_form_needs_the_signature_of_a_key_that_may_write() {
    let server = Running::start(config());
    let other = Grant {
        bucket: Some(BucketName::new("others").unwrap()),
        read: true,
        write: true,
        list: true,
        admin: true,
    };
    let reader = Grant { bucket: None, read: true, write: false, list: true, admin: false };
    put_key(&server.store, "other", vec![other]);
    put_key(&server.store, "reader", vec![reader]);
    for access in ["other", "reader"] {
        Form::signed(access, "2999-01-01T00:00:00Z", CONDITIONS).check(
            &server,
            403,
            "AccessDenied",
        );
    }
    Form::signed("nobody", "2999-01-01T00:00:00Z", CONDITIONS).check(
        &server,
        403,
        "InvalidAccessKeyId",
    );
    Form::new().with("X-Amz-Signature", &"0".repeat(64)).check(
        &server,
        403,
        "SignatureDoesNotMatch",
    );
    let wider = BASE64.encode(r#"{"expiration": "2999-01-01T00:00:00Z", "conditions": []}"#);
    Form::new().with("policy", &wider).check(&server, 403, "SignatureDoesNotMatch");
    Form::new().without("X-Amz-Signature").check(&server, 400, "InvalidArgument");
    Form::new().without("policy").check(&server, 400, "InvalidArgument");
    Form::new().without("key").check(&server, 400, "InvalidArgument");
    Form::new().without("policy").without("X-Amz-Signature").check(&server, 403, "AccessDenied");
    Form::signed(ACCESS, "soon", CONDITIONS).check(&server, 400, "InvalidPolicyDocument");
    assert_eq!(keys(&server), [""; 0]);
}

#[test]
fn digests_of_the_file_are_verified() {
    let server = Running::start(config());
    let sum = |bytes: &[u8]| BASE64.encode(ring::digest::digest(&ring::digest::SHA256, bytes));
    Form::new().with("x-amz-checksum-sha256", &sum(b"mortar")).check(&server, 400, "BadDigest");
    Form::new().with("x-amz-checksum-sha256", "none").check(&server, 400, "BadDigest");
    assert_eq!(keys(&server), [""; 0]);
    assert_eq!(Form::new().with("x-amz-checksum-sha256", &sum(b"stone")).post(&server).status, 204);
}

#[test]
fn forms_that_make_no_sense_are_refused() {
    let server = Running::start(config());
    let mut form = Form::new();
    form.file = None;
    form.check(&server, 400, "MalformedPOSTRequest");
    let mut twice = Form::new();
    twice.fields.push(("KEY".into(), "in/b".into()));
    twice.check(&server, 400, "MalformedPOSTRequest");
    let post = |path: &str, kind: &str, body: &[u8]| {
        server.request_as(None, "POST", path, &[("Content-Type", kind)], body)
    };
    for kind in [
        "multipart/form-data",
        "Multipart/Form-Data; boundary=none",
        "multipart/form-data; boundary=\"\"",
    ] {
        assert_eq!(post("/files", kind, &Form::new().body()).status, 400, "{kind}");
    }
    assert_eq!(post("/files/a", FORM.1, &Form::new().body()).status, 405);
    assert_eq!(post("/", FORM.1, &Form::new().body()).status, 405);
    assert_eq!(post("/others", FORM.1, &Form::new().body()).status, 403);
    // Cut off in a field, in the file, and behind it.
    let body = Form::new().body();
    for cut in [9, body.len() - 20, body.len() - 9] {
        let answer = post("/files", FORM.1, &body[..cut]);
        assert_eq!(answer.status, 400, "{cut} {}", answer.text());
    }
    assert_eq!(keys(&server), [""; 0]);
}

#[test]
fn what_comes_before_the_file_has_a_ceiling() {
    let server = Running::start(config());
    let too_long = "MaxPostPreDataLengthExceededError";
    Form::new().with("x-ignore-me", &"a".repeat(20 << 10)).check(&server, 400, too_long);
    let mut many = Form::new();
    many.fields.extend((0..2000).map(|number| (format!("x-ignore-{number}"), String::new())));
    many.check(&server, 400, too_long);
    assert_eq!(Form::new().with("x-ignore-me", &"a".repeat(15 << 10)).post(&server).status, 204);
    // The pieces that the fields come in have some of the file, too.
    let long = Form::new().with("x-ignore-me", &"a".repeat(15 << 10)).with_file(&noise(300_000, 7));
    assert_eq!(long.post(&server).status, 204);
    // Before the server has checked the signature, a small form must not become much memory.
    let mut much = Form::new().with("key", &"${filename}".repeat(1_000));
    much.file = Some(("a".repeat(4_000), Vec::new()));
    much.check(&server, 400, "MalformedPOSTRequest");
    // A head that never ends, and nothing at all that is part of a form.
    for begin in ["--xyz\r\nContent-Disposition: ", ""] {
        let mut socket = server.connect();
        socket.write_all(head(None, "POST", "/files", &[FORM], Some(1 << 30)).as_bytes()).unwrap();
        socket.write_all(begin.as_bytes()).unwrap();
        let piece = [b'a'; 16 << 10];
        // The server answers long before this, and closes.
        let sent = (0..1 << 16).take_while(|_| socket.write_all(&piece).is_ok()).count();
        assert!(sent < 1 << 16, "all of it was taken");
    }
}

#[test]
fn a_page_of_another_site_may_send_what_was_signed() {
    let server = Running::start(config());
    let form = Form::new();
    let headers = [FORM, ("Origin", "https://app.example"), ("Sec-Fetch-Site", "cross-site")];
    let answer = server.request_as(None, "POST", "/files", &headers, &form.body());
    assert_eq!(answer.status, 204, "{}", answer.text());
    assert_eq!(keys(&server), ["in/wall.txt"]);
}

#[test]
fn what_a_form_does_not_read_is_refused() {
    let server = Running::start(config());
    let body = Form::new().body();
    let post = |path: &str, headers: &[(&str, &str)]| {
        server.request_as(None, "POST", path, &[&[FORM], headers].concat(), &body)
    };
    for (name, value, status) in [
        ("Content-MD5", "AAAAAAAAAAAAAAAAAAAAAA==", 400),
        ("x-amz-content-sha256", "00", 400),
        ("x-amz-checksum-crc32", "AAAAAA==", 501),
        ("x-amz-meta-a", "b", 501),
        ("x-amz-acl", "public-read", 501),
        ("x-amz-tagging", "a=b", 501),
        ("If-None-Match", "*", 501),
    ] {
        let answer = post("/files", &[(name, value)]);
        assert_eq!(answer.status, status, "{name}: {}", answer.text());
        assert!(answer.text().to_lowercase().contains(&name.to_lowercase()), "{}", answer.text());
    }
    for query in ["x-amz-acl=public-read", "x-amz-meta-a=b", "x-amz-checksum-crc32=AAAAAQ%3D%3D"] {
        let answer = post(&format!("/files?{query}"), &[]);
        assert_eq!(answer.status, 501, "{query}: {}", answer.text());
    }
    assert_eq!(keys(&server), [""; 0]);
    // What every request may have.
    let usual = [("x-amz-date", "x"), ("x-amz-user-agent", "a"), ("Cache-Control", "no-cache")];
    assert_eq!(post("/files", &usual).status, 204);
}

#[test]
fn a_condition_among_the_fields_is_refused() {
    let server = Running::start(config());
    assert_eq!(Form::new().post(&server).status, 204);
    for (name, value) in [("If-None-Match", "*"), ("If-Match", "\"x\"")] {
        let conditions = format!(r#"{CONDITIONS}, ["starts-with", "${name}", ""]"#);
        let form = Form::signed(ACCESS, "2999-01-01T00:00:00Z", &conditions).with_file(b"other");
        form.with(name, value).check(&server, 501, "NotImplemented");
    }
    let got = server.request("GET", "/_/files/files/in/wall.txt", &[], b"");
    assert_eq!(got.body, b"stone");
}
