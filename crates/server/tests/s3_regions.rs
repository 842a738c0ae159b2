//! Where a bucket is said to be, and a bucket that is made again.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

#[allow(dead_code, reason = "each file of tests uses a part of it")]
mod common;
#[allow(dead_code, reason = "each file of tests uses a part of it")]
#[path = "common/sigv4.rs"]
mod sigv4;

use common::{Answer, Running, config};
use drystone_store::BucketName;
use sigv4::ask;

#[track_caller]
fn check(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status, status, "{}", answer.text());
    if !code.is_empty() {
        assert!(answer.text().contains(&format!("<Code>{code}</Code>")), "{}", answer.text());
    }
}

fn make(server: &Running, path: &str, region: &str) -> Answer {
    let document = format!(
        "<CreateBucketConfiguration><LocationConstraint>{region}</LocationConstraint></CreateBucketConfiguration>"
    );
    ask(server, "PUT", path, &[], document.as_bytes())
}

/// What the document of a location says, and the header.
fn location(server: &Running, bucket: &str) -> (String, String) {
    let text = ask(server, "GET", &format!("/{bucket}?location"), &[], b"").text();
    let (_, rest) = text.split_once("<LocationConstraint").unwrap();
    let inside = rest.split_once('>').unwrap().1.split('<').next().unwrap().to_owned();
    let head = ask(server, "HEAD", &format!("/{bucket}"), &[], b"");
    assert_eq!(head.status, 200);
    (inside, head.header("x-amz-bucket-region").unwrap().to_owned())
}

fn says(constraint: &str, region: &str) -> (String, String) {
    (constraint.to_owned(), region.to_owned())
}

#[test]
fn a_bucket_is_where_it_was_made() {
    let server = Running::start(config());
    check(&make(&server, "/abroad", "eu-west-1"), 200, "");
    check(&make(&server, "/old-style", "EU"), 200, "");
    check(&make(&server, "/home", "us-east-1"), 200, "");
    check(&make(&server, "/nowhere", ""), 200, "");
    assert_eq!(location(&server, "abroad"), says("eu-west-1", "eu-west-1"));
    assert_eq!(location(&server, "old-style"), says("EU", "eu-west-1"));
    assert_eq!(location(&server, "home"), says("", "us-east-1"));
    assert_eq!(location(&server, "nowhere"), says("", "us-east-1"));
    assert_eq!(location(&server, "files"), says("", "us-east-1"));
    let listed = ask(&server, "GET", "/", &[], b"").text();
    assert!(listed.contains("<BucketRegion>eu-west-1</BucketRegion>"), "{listed}");
    let listed = ask(&server, "GET", "/?bucket-region=eu-west-1", &[], b"").text();
    assert_eq!(listed.matches("<Name>").count(), 2, "abroad and old-style: {listed}");
    let listed = ask(&server, "GET", "/?bucket-region=us-east-1", &[], b"").text();
    assert_eq!(listed.matches("<Name>").count(), 3, "files, home and nowhere: {listed}");
    for odd in ["EU-WEST-1", "eu_west", "eu west", &"e".repeat(64)] {
        check(&make(&server, "/odd", odd), 400, "InvalidLocationConstraint");
    }
    assert!(server.store.bucket(&BucketName::new("odd").unwrap()).unwrap().is_none());
}

#[test]
fn a_bucket_is_made_again_in_the_first_region_only() {
    let server = Running::start(config());
    let bare = |path: &str| ask(&server, "PUT", path, &[], b"");
    check(&bare("/home"), 200, "");
    check(&ask(&server, "PUT", "/home/a", &[], b"stone"), 200, "");
    for answer in [bare("/home"), make(&server, "/home", "us-east-1"), make(&server, "/home", "")] {
        check(&answer, 200, "");
        assert_eq!(answer.header("location"), Some("/home"));
    }
    check(&make(&server, "/home", "eu-west-1"), 409, "BucketAlreadyOwnedByYou");
    check(&make(&server, "/abroad", "eu-west-1"), 200, "");
    check(&make(&server, "/abroad", "eu-west-1"), 409, "BucketAlreadyOwnedByYou");
    check(&bare("/abroad"), 409, "BucketAlreadyOwnedByYou");
    assert_eq!(location(&server, "home"), says("", "us-east-1"));
    assert_eq!(location(&server, "abroad"), says("eu-west-1", "eu-west-1"));
    assert_eq!(ask(&server, "GET", "/home/a", &[], b"").body, b"stone", "what is in it stays");
}

#[test]
fn buckets_of_another_kind_are_refused() {
    let server = Running::start(config());
    for inside in [
        "<Location><Name>use1-az4</Name><Type>AvailabilityZone</Type></Location>",
        "<Bucket><DataRedundancy>SingleAvailabilityZone</DataRedundancy><Type>Directory</Type></Bucket>",
    ] {
        let document = format!("<CreateBucketConfiguration>{inside}</CreateBucketConfiguration>");
        check(&ask(&server, "PUT", "/directory", &[], document.as_bytes()), 501, "NotImplemented");
    }
    assert!(server.store.bucket(&BucketName::new("directory").unwrap()).unwrap().is_none());
}
