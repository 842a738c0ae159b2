//! Runs one child process: output into a log file, a wall-clock limit, and no survivor.
//!
//! Every child leads a process group of its own. When the child ends, runs out of time or fills its
//! log, or the user interrupts, the whole group is killed. So a test that leaves a grandchild
//! behind cannot outlive its stage. There is no thread here: the child writes straight into the log
//! and the parent looks at it now and then.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

/// A child that writes more than this is killed: a livelock that prints must not fill the disk.
const LOG_BYTES_MAX: u64 = 64 << 20;
const TAIL_BYTES_MAX: u64 = 64 << 10;
const POLL: Duration = Duration::from_millis(20);
/// The parent looks at a child after a short time, then less and less often: there are thousands of
/// children that take milliseconds.
const POLL_MIN: Duration = Duration::from_millis(1);
const HEARTBEAT: Duration = Duration::from_secs(60);

/// Where lines for the reader go. With `--json`, stdout is kept for the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Talk {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Talk {
    /// Prints one line. When the reader has gone away, checking goes on.
    pub fn line(self, text: impl std::fmt::Display) {
        let _ = match self {
            Self::Stdout => writeln!(std::io::stdout(), "{text}"),
            Self::Stderr => writeln!(std::io::stderr(), "{text}"),
        };
    }
}

/// The log file of one stage; several children may append to it one after another.
pub struct Log {
    path: PathBuf,
}

impl Log {
    pub(crate) fn create(directory: &Path, name: &str) -> Result<Self> {
        std::fs::create_dir_all(directory)
            .with_context(|| format!("create {}", directory.display()))?;
        let path = directory.join(format!("{name}.log"));
        File::create(&path).with_context(|| format!("create {}", path.display()))?;
        Ok(Self { path })
    }

    /// The path of the log.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the log for a child, which writes into it.
    pub fn open(&self) -> Result<File> {
        OpenOptions::new()
            .append(true)
            .open(&self.path)
            .with_context(|| format!("open {}", self.path.display()))
    }

    pub(crate) fn write(&self, text: &str) -> Result<()> {
        std::fs::write(&self.path, text).with_context(|| format!("write {}", self.path.display()))
    }

    fn bytes(&self) -> u64 {
        std::fs::metadata(&self.path).map_or(0, |meta| meta.len())
    }

    fn text_from(&self, start: u64) -> Result<String> {
        let mut file =
            File::open(&self.path).with_context(|| format!("open {}", self.path.display()))?;
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// The last `count` lines of a log; nothing when it cannot be read.
pub fn tail(path: &Path, count: usize) -> String {
    let log = Log { path: path.to_owned() };
    let text = log.text_from(log.bytes().saturating_sub(TAIL_BYTES_MAX)).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

/// How a child ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With code 0.
    Success,
    /// It exited with another code or died of a signal; the text says which.
    Failed(String),
    /// It was killed after so long.
    TimedOut(Duration),
}

/// A child that has ended.
pub struct Finished {
    /// How it ended.
    pub ending: Ending,
    /// How long it ran.
    pub elapsed: Duration,
    /// stdout and stderr as they came.
    pub output: String,
}

impl Finished {
    /// Whether it ended with code 0 in time.
    pub fn succeeded(&self) -> bool {
        self.ending == Ending::Success
    }

    /// Why the child is not a success, for a table cell.
    pub fn reason(&self) -> Option<String> {
        match &self.ending {
            Ending::Success => None,
            Ending::Failed(how) => Some(how.clone()),
            Ending::TimedOut(limit) => Some(format!("killed after {} s", limit.as_secs())),
        }
    }
}

/// Starts children and stops them when the user interrupts.
pub struct Runner {
    talk: Talk,
    interrupted: Arc<AtomicBool>,
}

impl Runner {
    /// Installs the handlers: without them Ctrl-C would end xtask and leave the child's group
    /// running.
    pub fn new(talk: Talk) -> Result<Self> {
        let interrupted = Arc::new(AtomicBool::new(false));
        for signal in
            [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP]
        {
            signal_hook::flag::register(signal, Arc::clone(&interrupted))
                .context("install signal handler")?;
        }
        Ok(Self { talk, interrupted })
    }

    /// Whether Ctrl-C has come since this was made.
    pub fn interrupted(&self) -> bool {
        // Relaxed: a flag that is only ever set. No other data is published through it.
        self.interrupted.load(Ordering::Relaxed)
    }

    /// Runs `command` to its end or to `limit`. An error means that it could not be run at all.
    pub fn run(&self, mut command: Command, log: &Log, limit: Duration) -> Result<Finished> {
        if self.interrupted() {
            bail!("interrupted");
        }
        let mut sink = log.open()?;
        writeln!(sink, "$ {}", shown(&command))?;
        let start_bytes = log.bytes();
        command.stdout(sink.try_clone()?).stderr(sink);
        let started = Instant::now();
        let mut group = Group::start(command)?;
        let ending = self.wait(&mut group, log, start_bytes, started, limit)?;
        Ok(Finished { ending, elapsed: started.elapsed(), output: log.text_from(start_bytes)? })
    }

    fn wait(
        &self,
        group: &mut Group,
        log: &Log,
        start_bytes: u64,
        started: Instant,
        limit: Duration,
    ) -> Result<Ending> {
        let mut next_heartbeat = HEARTBEAT;
        loop {
            if group.leader_ended()? {
                return Ok(ending_of(group.end()?));
            }
            let elapsed = started.elapsed();
            if self.interrupted() {
                bail!("interrupted");
            }
            if elapsed >= limit {
                group.end()?;
                return Ok(Ending::TimedOut(limit));
            }
            if log.bytes().saturating_sub(start_bytes) > LOG_BYTES_MAX {
                group.end()?;
                return Ok(Ending::Failed(format!(
                    "killed: wrote more than {} MiB",
                    LOG_BYTES_MAX >> 20
                )));
            }
            if elapsed >= next_heartbeat {
                let last = tail(&log.path, 1);
                self.talk.line(format!("    {:>4} s  {}", elapsed.as_secs(), cut(last.trim(), 90)));
                next_heartbeat += HEARTBEAT;
            }
            std::thread::sleep((elapsed / 8).clamp(POLL_MIN, POLL));
        }
    }
}

/// A child and its process group; dropping it kills and reaps both.
pub struct Group {
    child: Child,
}

impl Group {
    /// Starts it without standard input. The caller decides where its output goes.
    pub fn start(mut command: Command) -> Result<Self> {
        command.stdin(Stdio::null()).process_group(0);
        let child = command.spawn().with_context(|| format!("start `{}`", shown(&command)))?;
        Ok(Self { child })
    }

    /// The leader's process id, which is the group's id, too.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Looks without reaping. While the leader is a zombie, its id cannot be given to another
    /// process.
    pub fn leader_ended(&self) -> Result<bool> {
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let ended =
            waitid(WaitId::Pid(Pid::from_child(&self.child)), look).context("look at a child")?;
        Ok(ended.is_some())
    }

    fn end(&mut self) -> Result<ExitStatus> {
        // The group may hold only the leader's zombie. Then the signal has no effect.
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        self.child.wait().context("reap a child")
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // After `end` the id may belong to another process. `leader_ended` then fails with ECHILD.
        if self.leader_ended().is_ok() {
            let _ = self.end();
        }
    }
}

fn ending_of(status: ExitStatus) -> Ending {
    if status.success() {
        return Ending::Success;
    }
    Ending::Failed(match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => status.to_string(),
    })
}

/// The command as a person would type it.
pub fn shown(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|arg| arg.to_string_lossy().into_owned()));
    words.join(" ")
}

/// The first `chars_max` characters of `text`, marked when something was cut off.
pub fn cut(text: &str, chars_max: usize) -> String {
    if text.chars().count() <= chars_max {
        return text.to_owned();
    }
    let kept: String = text.chars().take(chars_max.saturating_sub(3)).collect();
    format!("{}...", kept.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(script: &str, limit: Duration) -> Finished {
        let directory = tempfile::tempdir().expect("a scratch directory");
        let log = Log::create(directory.path(), "case").expect("a log");
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        let runner = Runner { talk: Talk::Stderr, interrupted: Arc::default() };
        runner.run(command, &log, limit).expect("sh runs")
    }

    #[test]
    fn output_and_exit_code_are_kept() {
        let done = run("echo out; echo err >&2; exit 3", Duration::from_secs(30));
        assert_eq!(done.ending, Ending::Failed("exit code 3".to_owned()));
        assert_eq!(done.output, "out\nerr\n");
    }

    #[test]
    fn a_child_past_its_limit_is_killed_with_its_children() {
        let done = run("sleep 600 & echo $!; wait", Duration::from_millis(300));
        assert_eq!(done.ending, Ending::TimedOut(Duration::from_millis(300)));
        assert_ended(done.output.trim());
    }

    #[test]
    fn a_grandchild_does_not_outlive_the_child() {
        let done = run("sleep 600 & echo $!", Duration::from_secs(30));
        assert_eq!(done.ending, Ending::Success);
        assert_ended(done.output.trim());
    }

    /// SIGKILL was sent before `run` returned, but the kernel delivers it in its own time.
    fn assert_ended(pid: &str) {
        let pid = Pid::from_raw(pid.parse().expect("a pid")).expect("a pid above zero");
        let deadline = Instant::now() + Duration::from_secs(20);
        while is_running(pid) {
            assert!(Instant::now() < deadline, "process {pid:?} is still running");
            std::thread::sleep(POLL);
        }
    }

    /// A zombie that is never reaped (in a container without an init) counts as ended.
    fn is_running(pid: Pid) -> bool {
        if rustix::process::test_kill_process(pid).is_err() {
            return false;
        }
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
        !stat.is_ok_and(|stat| {
            stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z'))
        })
    }

    #[test]
    fn a_long_text_is_cut() {
        assert_eq!(cut("abcdef", 6), "abcdef");
        assert_eq!(cut("abcdefg", 6), "abc...");
    }
}
