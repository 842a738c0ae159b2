//! Watching real processes: such that end, that have ended half, that are new.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod common;

use std::process::Command;
use std::time::Duration;

use common::{Running, skipped, wait_until};
use fdwatch::{Error, Target, Tick, Verdict, WatchConfig, Watcher, count, snapshot};

fn watch(targets: Vec<Target>) -> Watcher {
    Watcher::new(WatchConfig::new(targets)).unwrap()
}

#[test]
fn a_zombie_has_no_descriptors() {
    let child = Running::start(&mut Command::new("true"));
    let pid = child.pid();
    wait_until("it has ended", || count(pid).unwrap().is_zombie);
    assert_eq!(count(pid).unwrap().descriptors, 0);
    let mut watcher = watch(vec![Target::Pid(pid)]);
    assert_eq!(watcher.tick(Duration::ZERO).unwrap(), Tick { targets_gone: 1, ..Tick::default() });
    assert_eq!(watcher.report().verdict, Verdict::Gone);
    drop(child);
    assert!(matches!(count(pid), Err(Error::Gone { .. })));
    assert!(matches!(snapshot(pid), Err(Error::Gone { .. })));
}

#[test]
fn a_process_may_end_at_any_time() {
    let mut child = Running::idle();
    let mut watcher = watch(vec![Target::Pid(child.pid())]);
    assert_eq!(watcher.tick(Duration::ZERO).unwrap().alive, 1);
    let report = watcher.report();
    assert_eq!(report.processes[0].count, Some(child.descriptors()));
    assert_eq!(report.processes[0].name, b"cat");
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    assert_eq!(report.processes[0].limit, limit);
    child.0.kill().unwrap();
    child.0.wait().unwrap();
    let tick = watcher.tick(Duration::from_secs(1)).unwrap();
    assert_eq!(tick, Tick { targets_gone: 1, ..Tick::default() });
    assert_eq!(watcher.own_descriptors(), 1);
}

#[test]
fn a_leader_that_ended_before_its_threads_is_not_gone() {
    let source = "#include <fcntl.h>\n#include <pthread.h>\n#include <stdlib.h>\n#include \
         <unistd.h>\n\
        static void *wait(void *no) { char c; while (read(0, &c, 1) > 0); exit(0); }\n\
        int main(void) { pthread_t t; for (int i = 0; i < 4; i++) open(\"/dev/zero\", O_RDONLY);\n\
        pthread_create(&t, 0, wait, 0); pthread_exit(0); }\n";
    let folder = tempfile::tempdir().unwrap();
    let (text, program) = (folder.path().join("leader.c"), folder.path().join("leader"));
    std::fs::write(&text, source).unwrap();
    let compiled = Command::new("cc").arg("-pthread").arg("-o").arg(&program).arg(&text).status();
    if !compiled.is_ok_and(|status| status.success()) {
        skipped("a leader that ends before its threads needs cc");
        return;
    }
    let child = Running::start(&mut Command::new(program));
    let stat = format!("/proc/{}/stat", child.pid());
    wait_until("the leader has ended", || {
        fdwatch::parse::stat(&std::fs::read(&stat).unwrap()).unwrap().has_ended()
    });
    let counted = count(child.pid()).unwrap();
    assert_eq!((counted.is_zombie, counted.tables), (false, 1));
    assert!(counted.descriptors >= 3 + 4);
    let found = snapshot(child.pid()).unwrap().descriptors;
    assert_eq!(found.iter().filter(|open| open.target == b"/dev/zero").count(), 4);
    let mut watcher = watch(vec![Target::Pid(child.pid())]);
    assert_eq!(watcher.tick(Duration::ZERO).unwrap().alive, 1);
    assert_eq!(watcher.report().processes[0].count, Some(counted.descriptors));
}

#[test]
fn a_process_that_gets_the_name_is_watched_from_then_on() {
    let folder = tempfile::tempdir().unwrap();
    // Longer than a comm, and of this test only.
    let name = format!("watched-by-its-name-{}", std::process::id());
    let program = folder.path().join(&name);
    // A shell: where one program does the work of many, it goes by the name that it is called.
    std::fs::copy("/bin/sh", &program).unwrap();
    let mut watcher = watch(vec![Target::new(name.as_ref())]);
    assert_eq!(watcher.tick(Duration::ZERO).unwrap().alive, 0);
    let children: Vec<_> = (0..2)
        .map(|_| Running::start(Command::new(&program).args(["-c", "read -r line"])))
        .collect();
    let mut second = 0;
    wait_until("both are seen", || {
        second += 1;
        watcher.tick(Duration::from_secs(second)).unwrap().alive == 2
    });
    let mut pids: Vec<u32> =
        watcher.report().processes.iter().map(|process| process.key.pid).collect();
    pids.sort_unstable();
    assert_eq!(pids, children.iter().map(Running::pid).collect::<Vec<_>>());
    drop(children);
    second += 1;
    assert_eq!(watcher.tick(Duration::from_secs(second)).unwrap(), Tick::default());
    assert_eq!(watcher.report().verdict, Verdict::Gone);
}

#[test]
fn a_tree_has_the_children_and_not_us() {
    let shell =
        Running::start(Command::new("sh").args(["-c", "exec 3<&0; cat <&3 & cat <&3 & wait"]));
    let config = WatchConfig { tree: true, ..WatchConfig::new(vec![Target::Pid(shell.pid())]) };
    let mut watcher = Watcher::new(config).unwrap();
    let mut second = 0;
    wait_until("the shell and its children are seen", || {
        second += 1;
        watcher.tick(Duration::from_secs(second)).unwrap().alive == 3
    });
    assert_eq!(watcher.report().children.count, 2);

    let config = WatchConfig {
        tree: true,
        ..WatchConfig::new(vec![Target::Pid(std::os::unix::process::parent_id())])
    };
    let mut watcher = Watcher::new(config).unwrap();
    watcher.tick(Duration::ZERO).unwrap();
    let all = watcher.report().processes;
    assert!(all.iter().all(|process| process.key.pid != std::process::id()));
}

#[test]
fn a_kernel_thread_has_none_and_no_name() {
    if std::fs::read("/proc/2/comm").ok().as_deref() != Some(b"kthreadd\n") {
        skipped("there is no kernel thread to be seen");
        return;
    }
    match count(2) {
        Err(Error::NotPermitted { .. }) => {
            skipped("this kernel shows the descriptors of its threads to root only");
            return;
        }
        counted => assert_eq!(counted.unwrap().descriptors, 0),
    }
    let mut watcher = watch(vec![Target::new("kthreadd".as_ref())]);
    assert_eq!(watcher.tick(Duration::ZERO).unwrap().alive, 0);
}

/// Another network namespace has other sockets.
#[test]
fn sockets_are_those_of_the_process_and_not_ours() {
    let script = "import socket, sys; s = socket.socket(); s.bind(('0.0.0.0', 1)); s.listen(); \
         sys.stdin.read()";
    let probe = Command::new("unshare").args(["-n", "python3", "-c", "0"]).output();
    if !probe.is_ok_and(|output| output.status.success()) {
        skipped("a network namespace needs unshare, python3 and the right to make one");
        return;
    }
    let child = Running::start(Command::new("unshare").args(["-n", "python3", "-c", script]));
    wait_until("it listens in a network of its own", || {
        let found = snapshot(child.pid()).unwrap().descriptors;
        let mut sockets = found.iter().filter_map(|open| open.socket.as_ref());
        sockets.any(|socket| socket.state == "listen" && socket.local == "0.0.0.0:1")
    });
}
