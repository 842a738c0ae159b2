//! What the binary says of itself.

mod support;

use std::fs;

use support::{Sandbox, args};

#[test]
fn help_is_what_it_was() {
    insta::assert_snapshot!("help", Sandbox::bare().ok(args!["--help"]).text());
}

#[test]
fn help_of_put_is_what_it_was() {
    insta::assert_snapshot!("help_put", Sandbox::bare().ok(args!["put", "--help"]).text());
}

#[test]
fn every_command_has_help_and_a_manual_page() {
    let sandbox = Sandbox::bare();
    let folder = sandbox.path("man");
    fs::create_dir(&folder).unwrap();
    sandbox.ok(args!["man", folder]);
    assert!(fs::read_to_string(folder.join("drystone.1")).unwrap().contains("Exit codes"));
    let commands = [
        "init",
        "put",
        "get",
        "cat",
        "ls",
        "rm",
        "stat",
        "scrub",
        "check",
        "plan",
        "bench",
        "serve",
        "key",
        "bucket",
        "completions",
        "man",
    ];
    for command in commands {
        assert!(
            sandbox.ok(args![command, "--help"]).text().contains("Usage: drystone"),
            "{command}"
        );
        let page = fs::read_to_string(folder.join(format!("drystone-{command}.1"))).unwrap();
        assert!(page.contains(".SH SYNOPSIS"), "{command}");
    }
}

#[test]
fn completions_are_written_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = Sandbox::bare().ok(args!["completions", shell]);
        assert!(
            script.text().contains("drystone") && script.text().contains("recursive"),
            "{shell}"
        );
    }
}

#[test]
fn the_version_is_printed() {
    let version = format!("drystone {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(Sandbox::bare().ok(args!["--version"]).text(), version);
}
