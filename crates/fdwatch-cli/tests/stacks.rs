//! Which functions opened what a command has open: `examples/named_opener.rs` under
//! `examples/run_probe.rs`, and what being traced changes for a command, which is to be nothing.

#![cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

#[path = "../../fdwatch/tests/common/mod.rs"]
mod common;
#[path = "run/probe.rs"]
mod probe;

use std::collections::BTreeMap;

use probe::{Probe, is_alive, until};

/// The command has said `ready` as often as there are processes in it.
fn opener(mode: &str, processes: usize) -> Probe {
    let program = probe::example("named_opener");
    let mut probe = Probe::start(&["--stacks"], &[program.to_str().unwrap(), mode]);
    probe.wait_for_lines("ready", processes);
    probe
}

fn run(command: &[&str]) -> (Option<i32>, String) {
    Probe::start(&["--stacks"], command).end()
}

/// What the probe knows: the frames, innermost first, by process and descriptor.
fn stacks(probe: &mut Probe) -> BTreeMap<(u32, i32), String> {
    probe.signal("USR2");
    let said = probe.wait_for("stacks end");
    let lines = said.lines().filter_map(|line| line.strip_prefix("probe: ")?.split_once(" has "));
    let known = lines.filter_map(|(pid, rest)| {
        let (fd, frames) = rest.split_once(" by ")?;
        Some(((pid.parse().ok()?, fd.parse().ok()?), frames.to_owned()))
    });
    known.collect()
}

/// What the command says it has opened, and in which functions.
fn opened(said: &str) -> Vec<(i32, String)> {
    let lines = said.lines().filter_map(|line| line.strip_prefix("opened ")?.split_once(" in "));
    lines.map(|(fd, name)| (fd.parse().unwrap(), name.to_owned())).collect()
}

/// All that was said until the command is ready. It may be so before the probe says that it has
/// started it.
fn ready(probe: &mut Probe) -> String {
    probe.wait_for("probe: started ");
    probe.wait_for("ready")
}

fn pid(said: &str) -> u32 {
    probe::word_after(said, "probe: started ").parse().unwrap()
}

/// Its own function, called by `main`.
#[track_caller]
fn check(frames: Option<&String>, name: &str) {
    let frames = frames.unwrap_or_else(|| panic!("no stack is known for {name}"));
    let calls: Vec<&str> = frames.split(" < ").collect();
    let place = calls.iter().position(|call| call.starts_with(&format!("named_opener::{name}+")));
    let place = place.unwrap_or_else(|| panic!("no {name} in {frames}"));
    assert!(calls[place + 1..].iter().any(|call| call.contains("main")), "{frames}");
}

#[test]
fn every_creating_call_is_known_by_its_function() {
    let mut probe = opener("each", 1);
    let said = ready(&mut probe);
    let (pid, stacks) = (pid(&said), stacks(&mut probe));
    let opened = opened(&said);
    assert!(opened.len() >= 18, "{said}");
    for (fd, name) in opened {
        if name == "receives_a_descriptor" {
            assert_eq!(stacks.get(&(pid, fd)), None, "no stack, rather than a wrong one");
        } else {
            check(stacks.get(&(pid, fd)), &name);
        }
    }
    assert_eq!(probe.end_input().0, Some(0));
}

#[test]
fn threads_that_open_at_the_same_time_are_told_apart_from_main() {
    let mut probe = opener("threads", 1);
    let said = ready(&mut probe);
    let (pid, stacks) = (pid(&said), stacks(&mut probe));
    let opened = opened(&said);
    assert_eq!(opened.len(), 32);
    for (fd, _) in opened {
        let frames = &stacks[&(pid, fd)];
        assert!(frames.contains("named_opener::opens_in_a_thread+"), "{frames}");
        assert!(!frames.contains("named_opener::main+"), "{frames}");
    }
    assert_eq!(probe.end_input().0, Some(0));
}

#[test]
fn the_last_creator_of_a_number_is_the_one() {
    let mut probe = opener("again", 1);
    let said = ready(&mut probe);
    let (pid, stacks) = (pid(&said), stacks(&mut probe));
    let [(fd, name)] = &opened(&said)[..] else { panic!("{said}") };
    check(stacks.get(&(pid, *fd)), name);
    assert!(!stacks[&(pid, *fd)].contains("opens_and_closes"));
    assert_eq!(probe.end_input().0, Some(0));
}

#[test]
fn a_child_has_what_it_was_given_and_what_it_opens() {
    // Itself, its fork, and another program.
    let mut probe = opener("children", 3);
    let said = ready(&mut probe);
    let (first, stacks) = (pid(&said), stacks(&mut probe));
    let number = |name: &str| opened(&said).into_iter().find(|(_, of)| of == name).unwrap().0;
    let (before_fork, before_exec) =
        (number("opens_before_the_fork"), number("opens_before_the_exec"));
    check(stacks.get(&(first, before_fork)), "opens_before_the_fork");
    check(stacks.get(&(first, before_exec)), "opens_before_the_exec");
    let children: Vec<u32> =
        said.lines().filter_map(|line| line.strip_prefix("child ")?.parse().ok()).collect();
    assert_eq!(children.len(), 2, "{said}");
    for child in children {
        let is_fork = stacks.contains_key(&(child, before_fork))
            && stacks[&(child, before_fork)].contains("opens_before_the_fork");
        if is_fork {
            check(stacks.get(&(child, number("opens_after_the_fork"))), "opens_after_the_fork");
        } else {
            check(stacks.get(&(child, before_exec)), "opens_before_the_exec");
            check(stacks.get(&(child, number("opens_in_a_child"))), "opens_in_a_child");
        }
    }
    assert_eq!(probe.end_input().0, Some(0));
}

#[test]
fn a_thread_may_become_another_program() {
    let mut probe = opener("exec-in-thread", 1);
    let said = ready(&mut probe);
    let (pid, stacks) = (pid(&said), stacks(&mut probe));
    for (fd, name) in opened(&said) {
        check(stacks.get(&(pid, fd)), &name);
    }
    assert!(said.contains(&format!("child {pid}\n")), "{said}");
    assert_eq!(probe.end_input().0, Some(0));
}

#[test]
fn code_that_was_made_at_run_time_has_the_name_that_its_maker_gave_it() {
    let mut probe = opener("made", 1);
    let said = ready(&mut probe);
    let (pid, stacks) = (pid(&said), stacks(&mut probe));
    let [(fd, name)] = &opened(&said)[..] else { panic!("{said}") };
    let frames = &stacks[&(pid, *fd)];
    check(Some(frames), name);
    let calls: Vec<&str> = frames.split(" < ").collect();
    let made = calls.iter().position(|call| *call == "made::by a compiler (made at run time)");
    let made = made.unwrap_or_else(|| panic!("{frames}"));
    assert!(calls[made - 1].contains("opens_below_made_code+"), "{frames}");
    assert!(calls[made + 1].starts_with("named_opener::made+"), "{frames}");
    assert_eq!(probe.end_input().0, Some(0));
}

#[test]
fn functions_of_python_are_known_where_it_names_them() {
    let script = "import sys\ndef opens_in_python():\n  return open('/dev/null')\n\
        held = opens_in_python()\nprint('opened', held.fileno(), 'in x', file=sys.stderr)\n\
        print('ready', file=sys.stderr, flush=True)\nsys.stdin.read()\n";
    let names_its_functions = |python: &&str| {
        let asked = std::process::Command::new(python)
            .args([
                "-X",
                "perf",
                "-c",
                "import sys; sys.exit(not sys.is_stack_trampoline_active())",
            ])
            .stderr(std::process::Stdio::null())
            .status();
        asked.is_ok_and(|status| status.success())
    };
    let Some(python) =
        ["python3", "python3.12", "python3.13", "python3.14"].into_iter().find(names_its_functions)
    else {
        common::skipped("functions of Python are named from version 3.12 on");
        return;
    };
    let mut probe = Probe::start(&["--stacks"], &[python, "-X", "perf", "-c", script]);
    let said = ready(&mut probe);
    let (pid, stacks) = (pid(&said), stacks(&mut probe));
    let [(fd, _)] = &opened(&said)[..] else { panic!("{said}") };
    let frames = &stacks[&(pid, *fd)];
    let place = |name: &str| frames.find(name).unwrap_or_else(|| panic!("no {name} in {frames}"));
    assert!(place("py::opens_in_python:<string>") < place("py::<module>:<string>"), "{frames}");
    assert!(place("py::<module>:<string>") < place("main+"), "{frames}");
    assert_eq!(probe.end_input().0, Some(0));
}

#[test]
fn a_creating_call_may_be_stopped_and_continued() {
    let program = probe::example("named_opener");
    let mut probe = Probe::start(&["--stacks"], &[program.to_str().unwrap(), "accept"]);
    let said = probe.wait_for("listens at ");
    let (pid, address) = (pid(&said), probe::word_after(&said, "listens at ").to_owned());
    for _ in 0..20 {
        until("it waits", || probe::state(pid) == Some('S'));
        probe::signal(pid, "STOP");
        until("it is stopped", || matches!(probe::state(pid), Some('T' | 't')));
        assert!(probe.is_running());
        probe::signal(pid, "CONT");
    }
    let _connected = std::net::TcpStream::connect(address).unwrap();
    let said = ready(&mut probe);
    let stacks = stacks(&mut probe);
    for (fd, name) in opened(&said) {
        check(stacks.get(&(pid, fd)), &name);
    }
    assert_eq!(probe.end_input().0, Some(0));
}

#[test]
fn codes_and_deaths_go_through() {
    for code in [0, 7, 255] {
        assert_eq!(run(&["sh", "-c", &format!("exec 9</dev/null; exit {code}")]).0, Some(code));
    }
    for (signal, code) in [("SEGV", 139), ("KILL", 137), ("TERM", 143)] {
        let (found, said) = run(&["sh", "-c", &format!("exec 9</dev/null; kill -{signal} $$")]);
        assert_eq!(found, Some(code), "{said}");
    }
    let (code, said) = run(&["no-such-command-at-all"]);
    assert_eq!(code, Some(127), "{said}");
}

#[test]
fn signals_reach_a_command_that_opens_all_the_time() {
    for signal in ["TERM", "INT", "HUP", "QUIT", "USR1", "WINCH"] {
        let script = format!(
            "trap 'echo got it >&2; exit 9' {signal}; echo ready >&2; while :; do read -r line \
             </dev/null; done"
        );
        let mut probe = Probe::start(&["--stacks"], &["bash", "-c", &script]);
        ready(&mut probe);
        probe.signal(signal);
        let (code, said) = probe.end();
        assert_eq!(code, Some(9), "{signal}: {said}");
        assert_eq!(said.matches("got it").count(), 1, "{signal}: {said}");
    }
}

#[test]
fn a_stopped_command_goes_on_when_it_is_told_to() {
    let script = "echo ready >&2; read line; exec 9</dev/null; exit 4";
    let mut probe = Probe::start(&["--stacks"], &["sh", "-c", script]);
    let pid = pid(&ready(&mut probe));
    until("it reads", || probe::state(pid) == Some('S'));
    probe::signal(pid, "STOP");
    until("it is stopped", || matches!(probe::state(pid), Some('T' | 't')));
    probe.give("go\n");
    assert!(probe.is_running());
    probe::signal(pid, "CONT");
    assert_eq!(probe.end().0, Some(4));
}

#[test]
fn no_code_is_lost_and_no_zombie_stays() {
    // 200 children that end with codes of their own, four at a time, and orphans in between; the
    // code says how many were right.
    let script = "right=0; for i in $(seq 50); do for j in 1 2 3 4; do sh -c \"exit $((i+j))\" & \
         eval p$j=$!; done; \
        (true & ); for j in 1 2 3 4; do eval wait \\$p$j; [ $? = $((i+j)) ] && right=$((right+1)); \
        done; done; \
        i=0; while grep -l \"^State:.Z\" /proc/[0-9]*/status 2>/dev/null | xargs -r grep -l \
        \"^PPid:.$PPID\\$\" | grep -q .; \
        do i=$((i+1)); [ $i -gt 500 ] && exit 1; done; exit $right";
    let (code, said) = run(&["bash", "-c", script]);
    assert_eq!(code, Some(200), "{said}");
}

#[test]
fn everything_traced_ends_with_us() {
    let script = "sleep 300 & echo child-is $! >&2; sleep 300";
    let mut probe = Probe::start(&["--stacks"], &["sh", "-c", script]);
    let said = probe.wait_for("child-is ");
    let pids = [pid(&said), probe::word_after(&said, "child-is ").parse().unwrap()];
    assert!(pids.iter().all(|pid| is_alive(*pid)));
    probe.signal("KILL");
    assert_eq!(probe.end().0, None);
    until("both are gone", || !pids.iter().any(|pid| is_alive(*pid)));
}

#[test]
fn where_tracing_is_refused_it_says_so_and_goes_on() {
    let opener = probe::example("named_opener");
    for (call, reason) in [
        ("ptrace", "the kernel refuses ptrace"),
        ("seccomp", "the kernel refuses a seccomp filter"),
    ] {
        let ended = std::process::Command::new(&opener)
            .args(["without", call, env!("CARGO_BIN_EXE_fdwatch"), "run", "--stacks", "--"])
            .args(["sh", "-c", "echo out; exit 7"])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!((ended.status.code(), &*ended.stdout), (Some(7), &b"out\n"[..]), "{said}");
        assert_eq!(said.matches(reason).count(), 1, "{said}");
        assert!(said.contains("fdwatch: goes on without call stacks"), "{said}");
    }
}

#[test]
fn the_report_names_the_functions() {
    use std::io::{BufRead as _, BufReader, Read as _};
    use std::process::{Command, Stdio};

    let folder = tempfile::tempdir().unwrap();
    let seen = folder.path().join("seen");
    let mut run = Command::new(env!("CARGO_BIN_EXE_fdwatch"))
        .args([
            "run",
            "--stacks",
            "--interval",
            "10ms",
            &format!("--json={}", seen.display()),
            "--",
        ])
        .arg(probe::example("named_opener"))
        .arg("again")
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(run.stderr.take().unwrap());
    let mut line = String::new();
    while line != "ready\n" {
        line.clear();
        assert!(said.read_line(&mut line).unwrap() > 0);
    }
    // The second count from here on began after everything was open.
    let counts = || std::fs::read_to_string(&seen).unwrap().lines().count();
    let before = counts();
    until("it is counted", || counts() >= before + 3);
    drop(run.stdin.take());
    let mut report = String::new();
    said.read_to_string(&mut report).unwrap();
    assert_eq!(run.wait().unwrap().code(), Some(0));
    assert!(
        report.contains("1 opened by") && report.contains("named_opener::opens_in_its_place+"),
        "{report}"
    );
    assert!(!report.contains("opens_and_closes"), "{report}");
}
