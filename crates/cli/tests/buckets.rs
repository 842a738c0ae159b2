//! `bucket`, through the binary, and what a server makes of it.

#![allow(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]

mod served;
mod support;

use served::Served;
use support::{Sandbox, args};

#[test]
fn buckets_are_made_listed_changed_and_removed() {
    let sandbox = Sandbox::new();
    sandbox
        .ok(args!["bucket", "create", "photos"])
        .says(&["made the bucket `photos`; it is private"]);
    let made = sandbox.ok(args!["--json", "bucket", "create", "site", "--public"]).json();
    assert_eq!((&made[0]["bucket"], &made[0]["public"]), (&"site".into(), &true.into()));
    let state = || -> Vec<(String, bool)> {
        let listed = sandbox.ok(args!["--json", "bucket", "list"]).json();
        let of = |line: &serde_json::Value| {
            (line["bucket"].as_str().unwrap().to_owned(), line["public"].as_bool().unwrap())
        };
        listed.iter().map(of).collect()
    };
    assert_eq!(state(), [("photos".into(), false), ("site".into(), true)]);
    let text = sandbox.ok(args!["bucket", "list"]);
    assert!(text.text().lines().next().unwrap().ends_with("  private  photos"), "{}", text.text());
    assert!(text.text().lines().nth(1).unwrap().ends_with("  public   site"), "{}", text.text());
    sandbox.ok(args!["bucket", "set", "photos", "--public"]);
    sandbox.ok(args!["bucket", "set", "site", "--private"]);
    assert_eq!(state(), [("photos".into(), true), ("site".into(), false)]);
    sandbox.ok(args!["bucket", "rm", "site"]).says(&["removed the bucket `site`"]);
    assert_eq!(state(), [("photos".into(), true)]);
}

#[test]
fn what_a_bucket_cannot_be_or_do_is_said() {
    let sandbox = Sandbox::new();
    sandbox.put_bytes("k", b"bytes");
    sandbox
        .fails(1, args!["bucket", "create", "default"])
        .says(&["already", "drystone bucket set default"]);
    for command in [args!["bucket", "rm", "nosuch"], args!["bucket", "set", "nosuch", "--public"]] {
        sandbox.fails(4, command).says(&["no bucket `nosuch`"]);
    }
    for command in [args!["bucket", "create", "B!"], args!["bucket", "rm", "B!"]] {
        sandbox.fails(2, command).says(&["is not a bucket name"]);
    }
    sandbox.fails(2, args!["bucket", "set", "default"]).says(&["--public", "--private"]);
    sandbox.fails(2, args!["bucket", "set", "default", "--public", "--private"]);
    let full = sandbox.fails(1, args!["bucket", "rm", "default"]);
    full.says(&[
        "the bucket `default` has objects",
        "drystone ls --bucket default",
        "drystone rm --recursive",
    ]);
    assert_eq!(sandbox.cat("k"), b"bytes");
    sandbox.ok(args!["rm", "k"]);
    sandbox.ok(args!["bucket", "rm", "default"]);
    assert_eq!(sandbox.ok(args!["bucket", "list"]).text(), "");
}

#[test]
fn more_buckets_than_a_page_has_are_listed() {
    let sandbox = Sandbox::new();
    let names: Vec<String> = (0..260).map(|number| format!("bucket-{number:03}")).collect();
    let records = rusqlite::Connection::open(sandbox.store().join("records.db")).unwrap();
    for name in &names {
        records.execute("INSERT INTO buckets (name, created_ms) VALUES (?1, 0)", [name]).unwrap();
    }
    drop(records);
    let listed = sandbox.ok(args!["bucket", "list"]);
    let found: Vec<_> =
        listed.text().lines().map(|line| line.rsplit(' ').next().unwrap()).collect();
    assert_eq!(found, names);
}

#[test]
fn a_public_bucket_is_read_by_name_without_a_key_and_not_listed() {
    let sandbox = Sandbox::new();
    sandbox.put_bytes("hello", b"Hello.");
    let server = Served::start(&sandbox.store(), &[], &[]);
    let status = |path: &str| server.get(path, None).split(' ').nth(1).unwrap().to_owned();
    assert_eq!(status("/_/files/default/hello"), "401");
    sandbox.ok(args!["bucket", "set", "default", "--public"]);
    assert_eq!(status("/_/files/default/hello"), "200");
    assert!(server.get("/_/files/default/hello", None).ends_with("Hello."));
    assert_eq!(status("/_/files/default/"), "401");
    assert_eq!(status("/_/files/"), "401");
    sandbox.ok(args!["bucket", "set", "default", "--private"]);
    assert_eq!(status("/_/files/default/hello"), "401");
}
