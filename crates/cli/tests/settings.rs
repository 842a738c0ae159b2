//! Settings are read whole or refused: a path that begins with `~`, half of a key, a variable that
//! is misspelt.

#![allow(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]

mod support;

use std::fs;

use support::{Ran, Sandbox, args};

/// The binary without a store given, at home in the sandbox.
fn at_home(sandbox: &Sandbox, args: &[&str], envs: &[(&str, &str)]) -> Ran {
    let mut command = sandbox.clean(env!("CARGO_BIN_EXE_drystone"));
    command.env("HOME", sandbox.path("home")).args(args).envs(envs.iter().copied());
    if args.contains(&"serve") { Ran::of_server(&mut command) } else { Ran::of(&mut command) }
}

#[test]
fn a_tilde_is_the_home_folder_in_flags_variables_and_the_file() {
    let sandbox = Sandbox::bare();
    let store = |name: &str| sandbox.path("home").join(name).join("records.db");
    fs::create_dir(sandbox.path("home")).unwrap();
    let file = sandbox.path("config/drystone/config.toml");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    let ran = at_home(&sandbox, &["--store=~/flag", "init"], &[]);
    assert_eq!((ran.code, store("flag").exists()), (Some(0), true), "{}", ran.err);
    let ran = at_home(&sandbox, &["init"], &[("DRYSTONE_STORE", "~/variable")]);
    assert_eq!((ran.code, store("variable").exists()), (Some(0), true), "{}", ran.err);
    fs::write(&file, "store = \"~/file\"\n").unwrap();
    let ran = at_home(&sandbox, &["init"], &[]);
    assert_eq!((ran.code, store("file").exists()), (Some(0), true), "{}", ran.err);
    fs::write(sandbox.path("home/c.toml"), "store = \"~/other\"\n").unwrap();
    let ran = at_home(&sandbox, &["--config=~/c.toml", "init"], &[]);
    assert_eq!((ran.code, store("other").exists()), (Some(0), true), "{}", ran.err);
    // The files are read at the right place: the error is only that they are empty.
    for name in ["cert", "key"] {
        fs::write(sandbox.path("home").join(name), "").unwrap();
    }
    let tls =
        ["serve", "--tls-cert=~/cert", "--tls-key=~/key", "--store=~/flag", "--listen=127.0.0.1:0"];
    let ran = at_home(&sandbox, &tls, &[]);
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    ran.says(&[sandbox.path("home/key").to_str().unwrap()]);
    assert!(!sandbox.path("~").exists());
    // One that is really called so.
    let ran = at_home(&sandbox, &["--store=./~", "init"], &[]);
    assert_eq!((ran.code, sandbox.path("~/records.db").exists()), (Some(0), true), "{}", ran.err);
}

#[test]
fn another_users_home_folder_is_refused_and_nothing_is_made() {
    let sandbox = Sandbox::bare();
    let file = sandbox.path("config/drystone/config.toml");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    for (args, envs) in [
        (&["--store=~anna/s", "init"][..], &[][..]),
        (&["init"], &[("DRYSTONE_STORE", "~anna/s")]),
        (&["serve", "~anna/s"], &[]),
    ] {
        let ran = at_home(&sandbox, args, envs);
        assert_eq!(ran.code, Some(2), "{args:?}: {}", ran.err);
        ran.says(&["`~anna` stands for another user's folder", "`./~anna`"]);
    }
    fs::write(&file, "store = \"~anna/s\"\n").unwrap();
    let ran = at_home(&sandbox, &["init"], &[]);
    assert_eq!(ran.code, Some(2), "{}", ran.err);
    ran.says(&["config.toml: store: `~anna` stands for another user's folder"]);
    fs::write(&file, "").unwrap();
    let mut without = sandbox.clean(env!("CARGO_BIN_EXE_drystone"));
    let ran = Ran::of(without.env_remove("HOME").args(["--store=~/s", "init"]));
    assert_eq!(ran.code, Some(2), "{}", ran.err);
    ran.says(&["HOME is not set"]);
    assert!(!sandbox.path("~anna").exists() && !sandbox.path("~").exists());
}

#[test]
fn a_key_comes_from_both_variables_or_from_none() {
    let sandbox = Sandbox::new();
    let create = |envs: &[(&str, &str)], more: &[&str]| {
        let mut command = sandbox.drystone(args!["--json", "key", "create", "--name", "me"]);
        Ran::of(command.args(more).envs(envs.iter().copied()))
    };
    let (access, secret) =
        (("DRYSTONE_ACCESS_KEY", "alice"), ("DRYSTONE_SECRET_KEY", "k7Qw-93xv.Tz2_pL"));
    for (half, given) in
        [(access, "only the access key is given"), (secret, "only the secret is given")]
    {
        let ran = create(&[half], &[]);
        assert_eq!(ran.code, Some(2), "{}", ran.err);
        ran.says(&[given, "DRYSTONE_ACCESS_KEY and DRYSTONE_SECRET_KEY", "both or neither"]);
        let mut serve = sandbox.drystone(args!["serve", "--listen", "127.0.0.1:0"]);
        let ran = Ran::of_server(serve.env(half.0, half.1));
        assert_eq!(ran.code, Some(2), "{}", ran.err);
        ran.says(&[given]);
    }
    assert_eq!(sandbox.ok(args!["key", "list"]).text(), "");
    let both = create(&[access, secret], &[]);
    assert_eq!(
        (both.code, &both.json()[0]["access_key"]),
        (Some(0), &"alice".into()),
        "{}",
        both.err
    );
    assert_eq!(both.json()[0]["secret_key"], secret.1);
    // A flag and a variable are a pair as well, and the flag is the stronger one.
    let mixed = create(&[access, secret], &["--access-key", "bob"]);
    assert_eq!(
        (mixed.code, &mixed.json()[0]["access_key"]),
        (Some(0), &"bob".into()),
        "{}",
        mixed.err
    );
    let neither = create(&[("DRYSTONE_ACCESS_KEY", ""), ("DRYSTONE_SECRET_KEY", "")], &[]);
    assert_eq!(neither.json()[0]["access_key"].as_str().map(str::len), Some(20), "{}", neither.err);
    // The name is taken. The message says so, and what to do.
    let again = create(&[access, secret], &[]);
    assert_eq!(again.code, Some(1), "{}", again.err);
    again.says(&["`alice` exists already", "drystone key revoke alice", "a random one"]);
}

#[test]
fn a_variable_that_is_no_setting_is_named() {
    let sandbox = Sandbox::new();
    sandbox.put_bytes("k", b"bytes");
    let ran = Ran::of(
        sandbox.drystone(args!["ls"]).env("DRYSTONE_BUKET", "b").env("DRYSTONE_MEMORY", "100MiB"),
    );
    assert_eq!((ran.code, ran.err.lines().count()), (Some(0), 1), "{}", ran.err);
    ran.says(&["there is no setting `DRYSTONE_BUKET`"]);
    let quiet = Ran::of(sandbox.drystone(args!["--quiet", "ls"]).env("DRYSTONE_BUKET", "b"));
    assert_eq!((quiet.code, quiet.err.as_str()), (Some(0), ""));
}

#[test]
fn what_a_log_cannot_be_is_refused() {
    let sandbox = Sandbox::bare();
    for text in ["drystone=dbug", "a=b=c", "drystone[="] {
        let mut command = sandbox.drystone(args!["serve", "--listen", "127.0.0.1:0"]);
        let ran = Ran::of_server(command.env("DRYSTONE_LOG", text));
        assert_eq!(ran.code, Some(2), "{text}: {}", ran.err);
        ran.says(&["DRYSTONE_LOG: ", "try `debug`"]);
    }
    assert!(!sandbox.store().exists(), "no store was made");
}
