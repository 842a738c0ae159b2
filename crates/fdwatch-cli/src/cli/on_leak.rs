//! `--on-leak COMMAND`: runs it when the verdict becomes leaking, once for each time.
//!
//! The command is a line for `sh -c`. What leaks is told by variables of its environment and never
//! becomes a part of that line, so no name of a process or a file can be taken for shell code. One
//! runs at a time, in a process group of its own, for [`TIME_MAX`] at most.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fdwatch::{Report, Verdict};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use super::failure::Failure;
use super::streams;

/// So long it may run.
const TIME_MAX: Duration = Duration::from_secs(30);

/// The command, and the one that runs.
#[derive(Debug)]
pub(super) struct OnLeak {
    command: Option<OsString>,
    /// What it says would tear up the live view.
    is_silent: bool,
    was_leaking: bool,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    child: Child,
    pid: Pid,
    /// Can be read when it has ended, also after it was reaped elsewhere.
    end: OwnedFd,
    deadline: Instant,
}

/// Whether something leaks: also what leaks and is near its limit already.
pub(super) fn is_leaking(report: &Report) -> bool {
    matches!(report.verdict, Verdict::Leaking { .. })
        || report.processes.iter().any(|process| {
            process.trend.is_leak
                && matches!(process.verdict, Verdict::Leaking { .. } | Verdict::NearLimit { .. })
        })
}

impl OnLeak {
    pub(super) fn new(command: Option<&str>, is_silent: bool) -> Self {
        Self { command: command.map(OsString::from), is_silent, was_leaking: false, running: None }
    }

    /// After a tick.
    pub(super) fn look(&mut self, report: &Report) -> Result<(), Failure> {
        self.check();
        let is_leaking = is_leaking(report);
        let was_leaking = std::mem::replace(&mut self.was_leaking, is_leaking);
        let begins = is_leaking && !was_leaking;
        let Some(command) = self.command.as_deref().filter(|_| begins) else { return Ok(()) };
        if self.running.is_some() {
            self.say("the command of --on-leak is still running, and is not started again");
            return Ok(());
        }
        self.running = Some(
            start(command, self.is_silent, report).map_err(Failure::system("start --on-leak"))?,
        );
        Ok(())
    }

    /// When it has to end at the latest.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.running.as_ref().map(|running| running.deadline)
    }

    /// Can be read when it has ended.
    pub(super) fn waits_for(&self) -> Option<BorrowedFd<'_>> {
        self.running.as_ref().map(|running| running.end.as_fd())
    }

    pub(super) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Reaps it if it has ended, and ends it if its time is up.
    pub(super) fn check(&mut self) {
        let Some(running) = &mut self.running else { return };
        if running.has_ended() {
            self.running = None;
        } else if running.deadline <= Instant::now() {
            self.kill();
            self.say(format_args!(
                "the command of --on-leak took longer than {} s and was killed",
                TIME_MAX.as_secs()
            ));
        }
    }

    /// Ends it at once, with all of its process group.
    pub(super) fn kill(&mut self) {
        let Some(mut running) = self.running.take() else { return };
        // Its pid is still its own: it has not ended, or only this process can reap it.
        if !running.has_ended() {
            let _ = kill_process_group(running.pid, Signal::KILL);
            let _ = running.child.wait();
        }
    }

    fn say(&self, what: impl std::fmt::Display) {
        if !self.is_silent {
            streams::note(what);
        }
    }
}

impl Drop for OnLeak {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Running {
    fn has_ended(&mut self) -> bool {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let mut ready = [PollFd::new(&self.end, PollFlags::IN)];
        let has_ended = poll(&mut ready, Some(&now)).is_ok_and(|ready| ready > 0);
        if has_ended {
            // Of a run, the owner of the command may have reaped it.
            let _ = self.child.try_wait();
        }
        has_ended
    }
}

fn start(command: &OsStr, is_silent: bool, report: &Report) -> io::Result<Running> {
    let output = || -> io::Result<Stdio> {
        Ok(if is_silent {
            Stdio::null()
        } else {
            io::stderr().as_fd().try_clone_to_owned()?.into()
        })
    };
    let mut shell = Command::new("/bin/sh");
    shell.arg("-c").arg(command).process_group(0).envs(facts(report));
    let mut child = shell.stdin(Stdio::null()).stdout(output()?).stderr(output()?).spawn()?;
    let pid = Pid::from_child(&child);
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(end) => Ok(Running { child, pid, end, deadline: Instant::now() + TIME_MAX }),
        Err(error) => {
            let _ = child.kill();
            let _ = child.wait();
            Err(error.into())
        }
    }
}

/// What leaks, for the environment of the command. What is unknown is empty.
fn facts(report: &Report) -> Vec<(&'static str, OsString)> {
    let text = |value: Option<String>| OsString::from(value.unwrap_or_default());
    let mut facts = vec![
        ("FDWATCH_VERDICT", OsString::from(crate::report::verdict_word(report.verdict))),
        ("FDWATCH_ELAPSED_MS", report.elapsed.as_millis().to_string().into()),
    ];
    // If children are left over, or workers leak that are replaced, no process leaks.
    let process = report.processes.iter().find(|process| process.trend.is_leak);
    let lineage = report.lineages.first().filter(|_| process.is_none());
    let name = process.map(|process| &process.name).or(lineage.map(|lineage| &lineage.name));
    let per_second = process
        .map(|process| process.trend.per_second)
        .or(lineage.map(|lineage| lineage.per_second));
    let group = process.and_then(|process| process.groups.iter().max_by_key(|group| group.growth));
    let limit_in = match process.map(|process| process.verdict) {
        Some(Verdict::Leaking { limit_in, .. }) => limit_in,
        _ => None,
    };
    let bytes = |bytes: &[u8]| {
        OsStr::from_bytes(bytes.split(|byte| *byte == 0).next().unwrap_or_default()).to_owned()
    };
    facts.extend([
        ("FDWATCH_PID", text(process.map(|process| process.key.pid.to_string()))),
        ("FDWATCH_NAME", name.map(|name| bytes(name)).unwrap_or_default()),
        ("FDWATCH_COUNT", text(process.and_then(|process| Some(process.count?.to_string())))),
        ("FDWATCH_LIMIT", text(process.and_then(|process| Some(process.limit?.to_string())))),
        ("FDWATCH_PER_SECOND", text(per_second.map(|per_second| per_second.to_string()))),
        ("FDWATCH_LIMIT_IN_S", text(limit_in.map(|limit_in| limit_in.as_secs().to_string()))),
        ("FDWATCH_KIND", text(group.map(|group| group.kind.name().to_owned()))),
        ("FDWATCH_PATTERN", group.map(|group| bytes(&group.pattern)).unwrap_or_default()),
        ("FDWATCH_GROWTH", text(group.map(|group| group.growth.to_string()))),
    ]);
    facts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::{empty, leaking};

    /// A folder, and a hook that writes a line into a file there each time.
    fn counting() -> (tempfile::TempDir, OnLeak) {
        let folder = tempfile::tempdir().unwrap();
        let line = format!(
            "echo \"$FDWATCH_PID $FDWATCH_NAME $FDWATCH_KIND\" >> {}",
            folder.path().join("said").display()
        );
        let hook = OnLeak::new(Some(&line), false);
        (folder, hook)
    }

    fn settle(hook: &mut OnLeak) {
        let running = hook.running.as_mut().unwrap();
        let mut ready = [PollFd::new(&running.end, PollFlags::IN)];
        poll(&mut ready, None).unwrap();
        hook.check();
        assert!(!hook.is_running());
    }

    #[test]
    fn each_change_to_leaking_runs_it_once() {
        let (folder, mut hook) = counting();
        let said = || std::fs::read_to_string(folder.path().join("said")).unwrap_or_default();
        hook.look(&empty()).unwrap();
        assert!(!hook.is_running());
        hook.look(&leaking()).unwrap();
        settle(&mut hook);
        assert_eq!(said(), "4711 nginx socket\n");
        hook.look(&leaking()).unwrap();
        assert!(!hook.is_running(), "it leaks still, which is no change");
        hook.look(&empty()).unwrap();
        hook.look(&leaking()).unwrap();
        settle(&mut hook);
        assert_eq!(said().lines().count(), 2);
    }

    #[test]
    fn workers_that_leak_together_are_named() {
        let (folder, mut hook) = counting();
        let mut report = leaking();
        report.processes.clear();
        report.lineages[0].name = b"php-fpm".to_vec();
        hook.look(&report).unwrap();
        settle(&mut hook);
        let said = std::fs::read_to_string(folder.path().join("said")).unwrap();
        assert_eq!(said, " php-fpm \n");
    }

    #[test]
    fn one_that_takes_too_long_is_killed_with_all_that_it_has_started() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        let line =
            format!("sleep 300 & echo $! > {0}.part; mv {0}.part {0}; sleep 300", file.display());
        let mut hook = OnLeak::new(Some(&line), true);
        hook.look(&leaking()).unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        while !file.exists() && Instant::now() < deadline {
            std::thread::yield_now();
        }
        let pid = std::fs::read_to_string(file).unwrap();
        hook.check();
        assert!(hook.is_running());
        hook.running.as_mut().unwrap().deadline = Instant::now();
        hook.check();
        assert!(!hook.is_running());
        // Killed, it may stay a zombie for as long as its new parent likes.
        let is_alive = || {
            let stat = std::fs::read(format!("/proc/{}/stat", pid.trim()));
            stat.is_ok_and(|stat| fdwatch::parse::stat(&stat).is_some_and(|stat| !stat.has_ended()))
        };
        let deadline = Instant::now() + Duration::from_secs(60);
        while is_alive() && Instant::now() < deadline {
            std::thread::yield_now();
        }
        assert!(!is_alive());
    }

    #[test]
    fn no_name_becomes_shell_code() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("said");
        let mut report = leaking();
        report.processes[0].name = b"$(touch x);`id`\0rest".to_vec();
        let mut hook =
            OnLeak::new(Some(&format!("printf %s \"$FDWATCH_NAME\" > {}", file.display())), true);
        hook.look(&report).unwrap();
        settle(&mut hook);
        assert_eq!(std::fs::read_to_string(file).unwrap(), "$(touch x);`id`");
    }
}
