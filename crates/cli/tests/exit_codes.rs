//! `partly done` means that something was done.

mod support;

use std::fs;

use support::{Sandbox, args};

#[test]
fn a_put_that_stores_nothing_has_failed() {
    let sandbox = Sandbox::new();
    fs::write(sandbox.path("f"), "x").unwrap();
    sandbox
        .fails(1, args!["put", "missing", "gone"])
        .says(&["missing: cannot read it", "gone: cannot read it"]);
    sandbox.fails(3, args!["put", "missing", "f"]);
    // Nothing was to be stored, and nothing failed.
    sandbox.ok(args!["put", "store"]);
}

#[test]
fn a_get_that_restores_nothing_has_failed() {
    let sandbox = Sandbox::new();
    for key in ["s/a", "s/b"] {
        sandbox.put_bytes(key, b"bytes");
    }
    sandbox.ok(args!["get", "s/a", "into/s/"]);
    sandbox.fails(3, args!["get", "s", "into"]).says(&["s/a: it exists already"]);
    let again = sandbox.fails(1, args!["--json", "get", "s", "into"]);
    assert_eq!((again.summary("objects"), again.summary("failed")), (0, 2));
    sandbox.fails(1, args!["get", "s/a", "into/s/a"]);
}
