//! Access lists that say what is so, and a bucket that is made public by one.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

#[allow(dead_code, reason = "each file of tests uses a part of it")]
mod common;
#[allow(dead_code, reason = "each file of tests uses a part of it")]
#[path = "common/sigv4.rs"]
mod sigv4;

use common::{Answer, Running, config};
use drystone_store::{BucketName, Key};
use sigv4::ask;

const ALL_USERS: &str = "http://acs.amazonaws.com/groups/global/AllUsers";

#[track_caller]
fn check(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status, status, "{}", answer.text());
    if !code.is_empty() {
        assert!(answer.text().contains(&format!("<Code>{code}</Code>")), "{}", answer.text());
    }
}

fn is_public(server: &Running, bucket: &str) -> bool {
    server.store.bucket(&BucketName::new(bucket).unwrap()).unwrap().unwrap().public
}

fn is_there(server: &Running, key: &str) -> bool {
    server.store.stat(&BucketName::new("files").unwrap(), &Key::new(key).unwrap()).is_ok()
}

fn put(server: &Running, path: &str, acl: &str) -> Answer {
    ask(server, "PUT", path, &[("x-amz-acl", acl)], b"")
}

fn grant(kind: &str, who: &str, permission: &str) -> String {
    format!(
        "<Grant><Grantee xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:type=\"{kind}\">{who}</Grantee>\
         <Permission>{permission}</Permission></Grant>"
    )
}

fn document(grants: &[String]) -> String {
    format!(
        "<AccessControlPolicy><Owner><ID>drystone</ID></Owner><AccessControlList>{}</AccessControlList>\
         </AccessControlPolicy>",
        grants.concat()
    )
}

fn of_owner() -> String {
    grant("CanonicalUser", "<ID>drystone</ID>", "FULL_CONTROL")
}

fn of_all_users(permission: &str) -> String {
    grant("Group", &format!("<URI>{ALL_USERS}</URI>"), permission)
}

/// What each question about a bucket answers, whether it is public.
#[track_caller]
fn check_bucket(server: &Running, public: bool) {
    assert_eq!(is_public(server, "files"), public);
    let acl = ask(server, "GET", "/files?acl", &[], b"").text();
    assert_eq!(
        acl.contains(ALL_USERS) && acl.contains("<Permission>READ</Permission>"),
        public,
        "{acl}"
    );
    assert!(acl.contains("<Permission>FULL_CONTROL</Permission>"), "{acl}");
    let status = ask(server, "GET", "/files?policyStatus", &[], b"").text();
    assert!(status.contains(&format!("<IsPublic>{public}</IsPublic>")), "{status}");
    let acl = ask(server, "GET", "/files/a?acl", &[], b"").text();
    assert_eq!(acl.contains(ALL_USERS), public, "{acl}");
    // A client without a key then reads the objects, and lists and writes nothing.
    assert_eq!(
        server.request_as(None, "GET", "/files/a", &[], b"").status,
        if public { 200 } else { 403 }
    );
    assert_eq!(server.request_as(None, "GET", "/files", &[], b"").status, 403);
    assert_eq!(server.request_as(None, "PUT", "/files/a", &[], b"x").status, 403);
}

#[test]
fn a_bucket_is_made_public_and_taken_back() {
    let server = Running::start(config());
    check(&put(&server, "/files/a", "bucket-owner-full-control"), 200, "");
    check_bucket(&server, false);
    for (acl, public) in [("public-read", true), ("public-read", true), ("private", false)] {
        check(&put(&server, "/files?acl", acl), 200, "");
        check_bucket(&server, public);
    }
    let set =
        |grants: &[String]| ask(&server, "PUT", "/files?acl", &[], document(grants).as_bytes());
    check(&set(&[of_all_users("READ"), of_owner()]), 200, "");
    check_bucket(&server, true);
    check(&set(&[of_owner()]), 200, "");
    check_bucket(&server, false);
    check(&put(&server, "/none?acl", "public-read"), 404, "NoSuchBucket");
}

#[test]
fn a_bucket_is_public_from_its_beginning() {
    let server = Running::start(config());
    for (name, acl, public) in [("open", "public-read", true), ("closed", "private", false)] {
        check(&put(&server, &format!("/{name}"), acl), 200, "");
        assert_eq!(is_public(&server, name), public);
    }
    // Made again it stays as it is: what asks for something else is refused.
    check(&put(&server, "/open", "public-read"), 200, "");
    check(&ask(&server, "PUT", "/open", &[], b""), 200, "");
    check(&put(&server, "/open", "private"), 409, "BucketAlreadyOwnedByYou");
    check(&put(&server, "/closed", "public-read"), 409, "BucketAlreadyOwnedByYou");
    assert!(is_public(&server, "open") && !is_public(&server, "closed"));
}

#[test]
fn lists_that_say_anything_else_are_refused() {
    let server = Running::start(config());
    check(&put(&server, "/files/a", "private"), 200, "");
    let unknown = "AccessControlListNotSupported";
    for acl in [
        "public-read-write",
        "authenticated-read",
        "aws-exec-read",
        "log-delivery-write",
        "Private",
        "",
    ] {
        for path in ["/files?acl", "/files/a?acl", "/files/b", "/new-bucket"] {
            check(&put(&server, path, acl), 400, unknown);
        }
    }
    for name in ["read", "write", "read-acp", "write-acp", "full-control"] {
        let name = format!("x-amz-grant-{name}");
        for path in ["/files?acl", "/files/a?acl", "/files/b", "/new-bucket"] {
            let answer = ask(&server, "PUT", path, &[(&name, "id=drystone")], b"");
            check(&answer, 400, unknown);
            assert!(answer.text().contains(&name), "{}", answer.text());
        }
    }
    let somebody = grant("CanonicalUser", "<ID>somebody</ID>", "READ");
    let known = grant(
        "Group",
        "<URI>http://acs.amazonaws.com/groups/global/AuthenticatedUsers</URI>",
        "READ",
    );
    for grants in [
        &[of_owner(), of_all_users("WRITE")][..],
        &[of_owner(), of_all_users("FULL_CONTROL")],
        &[of_owner(), somebody],
        &[of_owner(), known],
        &[of_all_users("READ")],
        &[grant("CanonicalUser", "<ID>drystone</ID>", "READ")],
        &[],
    ] {
        for path in ["/files?acl", "/files/a?acl"] {
            check(&ask(&server, "PUT", path, &[], document(grants).as_bytes()), 400, unknown);
        }
    }
    let foreign = document(&[of_owner()]).replace("<Owner><ID>drystone", "<Owner><ID>somebody");
    for path in ["/files?acl", "/files/a?acl"] {
        check(&ask(&server, "PUT", path, &[], foreign.as_bytes()), 400, unknown);
        check(&ask(&server, "PUT", path, &[], b""), 400, "MissingSecurityHeader");
        check(&ask(&server, "PUT", path, &[], b"<AccessControlPolicy>"), 400, "MalformedXML");
        let both = [("x-amz-acl", "public-read")];
        check(
            &ask(&server, "PUT", path, &both, document(&[of_owner()]).as_bytes()),
            400,
            "UnexpectedContent",
        );
    }
    // A list where there can be none.
    let misplaced = ask(&server, "DELETE", "/files/a", &[("x-amz-acl", "public-read")], b"");
    check(&misplaced, 501, "NotImplemented");
    assert!(is_there(&server, "a") && !is_there(&server, "b"));
    check_bucket(&server, false);
}

#[test]
fn an_object_is_as_public_as_its_bucket() {
    let server = Running::start(config());
    let put_all = |acl: &str| {
        let copy = [("x-amz-copy-source", "files/a"), ("x-amz-acl", acl)];
        [
            ask(&server, "PUT", "/files/b", &[("x-amz-acl", acl)], b"stone").status,
            ask(&server, "PUT", "/files/c", &copy, b"").status,
            ask(&server, "POST", "/files/d?uploads", &[("x-amz-acl", acl)], b"").status,
            ask(&server, "PUT", "/files/a?acl", &[("x-amz-acl", acl)], b"").status,
        ]
    };
    check(&put(&server, "/files/a", "private"), 200, "");
    for (public, private, open) in [(false, 200, 400), (true, 400, 200)] {
        server.store.set_bucket_public(&BucketName::new("files").unwrap(), public).unwrap();
        assert_eq!(put_all("private"), [private; 4], "{public}");
        assert_eq!(put_all("public-read"), [open; 4], "{public}");
        assert_eq!(put_all("bucket-owner-full-control"), [200; 4], "{public}");
        assert_eq!(put_all("bucket-owner-read"), [200; 4], "{public}");
        let of = |grants: &[String]| {
            ask(&server, "PUT", "/files/a?acl", &[], document(grants).as_bytes()).status
        };
        assert_eq!(of(&[of_owner()]), private);
        assert_eq!(of(&[of_owner(), of_all_users("READ")]), open);
    }
    let refused = put(&server, "/files/b", "private");
    check(&refused, 400, "AccessControlListNotSupported");
    assert!(refused.text().contains("the bucket is public"), "{}", refused.text());
    server.store.set_bucket_public(&BucketName::new("files").unwrap(), false).unwrap();
    let refused = put(&server, "/files/b", "public-read");
    assert!(refused.text().contains("make the bucket public"), "{}", refused.text());
    check(&put(&server, "/files/none?acl", "private"), 404, "NoSuchKey");
}
