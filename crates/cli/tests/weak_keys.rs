//! A server that others can reach does not start with a secret that can be guessed.

#![allow(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]

mod served;
mod support;

use served::{DRYSTONE, Served};
use support::{Ran, Sandbox, args};

const STRONG: &str = "k7Qw-93xv.Tz2_pL";

fn pair<'a>(access: &'a str, secret: &'a str) -> [(&'a str, &'a str); 2] {
    [("DRYSTONE_ACCESS_KEY", access), ("DRYSTONE_SECRET_KEY", secret)]
}

#[test]
fn a_weak_pair_is_refused_where_others_can_reach_the_server() {
    let sandbox = Sandbox::bare();
    for listen in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        for (access, secret) in
            [("admin", "password"), ("alice", "first-secret"), ("admin", "Password-1234567890")]
        {
            for tls in [&[][..], &["--tls-cert", "absent", "--tls-key", "absent"][..]] {
                let mut command = sandbox.drystone(args!["serve", "--listen", listen]);
                let ran = Ran::of_server(command.args(tls).envs(pair(access, secret)));
                let what = format!("{listen} {secret} {tls:?}: {}", ran.err);
                if tls.is_empty() {
                    assert_eq!(ran.code, Some(2), "{what}");
                    ran.says(&[
                        listen,
                        "can be reached from elsewhere",
                        &format!("the key `{access}`"),
                    ]);
                    ran.says(&["drystone key create", "--allow-weak-keys"]);
                    assert!(!ran.err.contains(secret), "{what}");
                } else {
                    assert_eq!(ran.code, Some(1), "{what}");
                }
                assert!(!sandbox.store().exists(), "{what}");
            }
        }
    }
}

#[test]
fn a_weak_key_of_the_store_is_found_among_strong_ones() {
    let sandbox = Sandbox::new();
    for number in 0..3 {
        sandbox.ok(args!["key", "create", "--name", format!("strong {number}")]);
    }
    let weak = sandbox.ok(args![
        "key",
        "create",
        "--name",
        "w",
        "--access-key",
        "zoe",
        "--secret-key",
        "12345678"
    ]);
    weak.says(&["the secret can be guessed", "--allow-weak-keys"]);
    let serve = args!["serve", "--listen", "0.0.0.0:0"];
    let ran = Ran::of_server(&mut sandbox.drystone(serve));
    assert_eq!(ran.code, Some(2), "{}", ran.err);
    ran.says(&["the key `zoe`", "drystone key revoke zoe"]);
    // A strong pair beside the weak one does not help.
    let ran = Ran::of_server(sandbox.drystone(serve).envs(pair("alice", STRONG)));
    assert_eq!(ran.code, Some(2), "{}", ran.err);
    ran.says(&["the key `zoe`"]);
    sandbox.ok(args!["key", "revoke", "zoe"]);
    let mut command = sandbox.drystone(serve);
    Served::listening(&mut command);
}

#[test]
fn a_strong_pair_is_served_and_a_network_without_tls_is_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let is_warning = |line: &serde_json::Value| {
        line["message"]
            .as_str()
            .is_some_and(|message| message.contains("without TLS keys can be read"))
    };
    let listen = ["--listen", "0.0.0.0:0"];
    let serve = |listen: &[&str], envs: &[(&str, &str)]| {
        let mut command = std::process::Command::new(DRYSTONE);
        command
            .args(["serve", "--log", "json"])
            .args(listen)
            .arg(&store)
            .envs(envs.iter().copied());
        Served::listening(&mut command)
    };
    serve(&listen, &pair("alice", STRONG)).log_until(is_warning);
    // On loopback a weak secret harms only the user, so there is no warning.
    let mut loopback = serve(&["--listen", "127.0.0.1:0"], &pair("bob", "first-secret"));
    loopback.signal(rustix::process::Signal::TERM);
    assert_eq!(loopback.ends_in(served::PATIENCE), Some(0));
    let said: Vec<_> = loopback.rest_of_log();
    assert!(!said.iter().any(|line| line.contains("without TLS")), "{said:?}");
    // Weak keys exist now, and the flag allows them.
    let mut weak = std::process::Command::new(DRYSTONE);
    assert_eq!(
        Ran::of_server(weak.args(["serve", "--listen", "0.0.0.0:0"]).arg(&store)).code,
        Some(2)
    );
    serve(&[&listen[..], &["--allow-weak-keys"]].concat(), &[]);
    serve(&listen, &[("DRYSTONE_ALLOW_WEAK_KEYS", "1")]);
}
