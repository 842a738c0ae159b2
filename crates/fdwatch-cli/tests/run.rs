//! A command under `run`: its code, its signals, what it leaves behind. The probe is
//! `examples/run_probe.rs`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

#[path = "run/probe.rs"]
mod probe;

use probe::{Probe, is_alive, until};

/// Code and what was said on stderr.
fn run(command: &[&str]) -> (Option<i32>, String) {
    Probe::start(&[], command).end()
}

#[test]
fn the_exit_code_goes_through() {
    for code in [0, 1, 7, 255] {
        assert_eq!(run(&["sh", "-c", &format!("exit {code}")]).0, Some(code));
    }
}

#[test]
fn a_death_by_a_signal_is_128_and_its_number() {
    for (signal, code) in [("SEGV", 139), ("KILL", 137), ("TERM", 143)] {
        let (found, said) = run(&["sh", "-c", &format!("kill -{signal} $$")]);
        assert_eq!(found, Some(code), "{said}");
    }
}

#[test]
fn a_command_that_cannot_run_says_why() {
    let (code, said) = run(&["no-such-command-at-all"]);
    assert_eq!(code, Some(127));
    assert!(said.contains("no-such-command-at-all: command not found"), "{said}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("plain");
    std::fs::write(&file, "text").unwrap();
    let (code, said) = run(&[file.to_str().unwrap()]);
    assert_eq!(code, Some(126));
    assert!(said.contains("plain: cannot be executed: Permission denied"), "{said}");
    let (code, said) = run(&[]);
    assert_eq!(code, Some(64));
    assert!(said.contains("no command to run"), "{said}");
}

#[test]
fn what_the_command_is_given_is_what_we_have() {
    let script = "ls /proc/self/fd | wc -l >&2; pwd >&2; env | grep -v '^_=' | sort >&2; \
        grep -E 'SigBlk|SigIgn|SigCgt|NoNewPrivs|Seccomp|NSpgid|NSsid' /proc/self/status >&2";
    // Both without the signals that the tests may have been started with as ignored.
    let plain = std::process::Command::new("env")
        .args(["--default-signal", "sh", "-c", script])
        .output()
        .unwrap();
    let plain = String::from_utf8(plain.stderr).unwrap();
    assert!(plain.contains("SigBlk"), "{plain}");
    let (code, said) = run(&["sh", "-c", script]);
    assert_eq!(code, Some(0));
    let said: String =
        said.split_inclusive('\n').filter(|line| !line.starts_with("probe: ")).collect();
    assert_eq!(said, plain);
}

#[test]
fn a_signal_to_us_reaches_the_command() {
    for signal in ["TERM", "INT", "HUP", "QUIT", "USR1", "USR2", "WINCH"] {
        let script = format!(
            "trap 'echo got it >&2; exit 9' {signal}; echo ready >&2; while :; do sleep 0.02; done"
        );
        let mut probe = Probe::start(&[], &["bash", "-c", &script]);
        probe.wait_for("ready");
        probe.signal(signal);
        let (code, said) = probe.end();
        assert_eq!(code, Some(9), "{signal}: {said}");
        assert_eq!(said.matches("got it").count(), 1, "{signal}: {said}");
    }
}

#[test]
fn an_ignored_signal_stays_ignored() {
    let mut probe = Probe::start_under(
        &["sh", "-c", "trap '' HUP; exec \"$@\"", "sh"],
        &[],
        &["sh", "-c", "echo ready >&2; grep SigIgn /proc/self/status >&2; read line; exit 5"],
    );
    probe.wait_for("SigIgn");
    probe.signal("HUP");
    probe.give("go\n");
    let (code, said) = probe.end();
    assert_eq!(code, Some(5), "{said}");
    let ignored = u64::from_str_radix(probe::word_after(&said, "SigIgn:"), 16).unwrap();
    assert_eq!(ignored & 1, 1, "{said}");
    assert!(!said.contains("caught"), "{said}");
}

#[test]
fn what_is_left_behind_is_reported_and_lives_on() {
    // It ends only when what it leaves behind has its own name: until then it is a copy of the
    // shell.
    let script =
        "(sleep 300 & until grep -q sleep /proc/$!/comm; do :; done; echo left-is $! >&2) ; exit 3";
    let (code, said) = run(&["sh", "-c", script]);
    assert_eq!(code, Some(3));
    let pid: u32 = probe::word_after(&said, "left-is ").parse().unwrap();
    assert!(said.contains(&format!("probe: left {pid} sleep")), "{said}");
    assert!(is_alive(pid));
    probe::kill(pid);
}

#[test]
fn what_is_left_behind_is_killed_on_demand() {
    let mut probe = Probe::start(
        &["--kill-leftovers"],
        &["sh", "-c", "(setsid sh -c 'echo left-is $$ >&2; exec sleep 300' &) ; read line; exit 0"],
    );
    probe.wait_for("left-is ");
    probe.give("go\n");
    let (code, said) = probe.end();
    assert_eq!(code, Some(0));
    let pid: u32 = probe::word_after(&said, "left-is ").parse().unwrap();
    assert!(said.contains("probe: killed 1"), "{said}");
    until("the one left behind is gone", || !is_alive(pid));
}

#[test]
fn orphans_are_reaped() {
    // The command reads how many zombies we have: its two orphans ended long before.
    let script = "for i in 1 2; do (true & ) ; done; i=0; \
        while grep -l \"^State:.Z\" /proc/[0-9]*/status 2>/dev/null | xargs -r grep -l \
        \"^PPid:.$PPID\\$\" | grep -q .; do \
        i=$((i+1)); [ $i -gt 500 ] && exit 1; done; exit 0";
    let (code, said) = run(&["bash", "-c", script]);
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn the_command_dies_with_us() {
    let (code, said) = Probe::start(&["--die-when-started"], &["sleep", "300"]).end();
    assert_eq!(code, None, "{said}");
    let pid: u32 = probe::word_after(&said, "probe: started ").parse().unwrap();
    until("the command is gone", || !is_alive(pid));
}

#[test]
fn a_stopped_command_is_not_an_ended_one() {
    let mut probe = Probe::start(&[], &["sh", "-c", "echo ready >&2; kill -STOP $$; exit 4"]);
    let pid: u32 =
        probe::word_after(&probe.wait_for("probe: started "), "probe: started ").parse().unwrap();
    until("it is stopped", || probe::state(pid) == Some('T'));
    assert!(probe.is_running());
    probe::signal(pid, "CONT");
    assert_eq!(probe.end().0, Some(4));
}
