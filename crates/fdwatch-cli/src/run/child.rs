//! The command, from its start to its end.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::marker::PhantomData;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, WaitOptions, WaitStatus, getpgid, getpgrp, getpid, getsid, kill_process,
    set_child_subreaper, wait,
};

use super::error::{RunError, StacksError};
use super::events::Events;
use super::exec_stage::{self, Message};
use super::leftovers::Leftovers;
use super::signals::{Caught, Sender};
use super::stacks::{self, Stacks};

/// So many ends of children are looked at in one go: a storm of them must not hold up the tick.
const CHANGES_AT_ONCE_MAX: usize = 256;
/// So long a command that was killed is waited for.
const END_MAX: Duration = Duration::from_secs(1);
const LISTEN: &str = "hear from the new process";

/// What to run, and how.
#[derive(Clone, Debug)]
pub struct RunConfig {
    /// The command and its arguments; the command is looked up in PATH.
    pub command: Vec<OsString>,
    /// The binary whose `main` calls [`exec_stage`](super::exec_stage()) first: this one, unless
    /// set otherwise.
    pub trampoline: OsString,
    /// Whether to note which call stack opens each descriptor. What that changes for the command:
    /// [`Stacks`].
    pub with_stacks: bool,
}

impl RunConfig {
    /// Runs `command` through this very binary.
    pub fn new(command: Vec<OsString>) -> Self {
        // The link, not what it says: it works also when the file was replaced or deleted.
        Self { command, trampoline: "/proc/self/exe".into(), with_stacks: false }
    }
}

/// What became of the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Not ended (it may be stopped).
    Running,
    /// It ended with a code.
    Exited(u8),
    /// A signal killed it.
    Signalled(i32),
}

impl Status {
    /// What we end with in its place: its code, 128+N for a death by signal N; `None` while it
    /// runs.
    pub fn exit_code(self) -> Option<u8> {
        match self {
            Self::Running => None,
            Self::Exited(code) => Some(code),
            Self::Signalled(signal) => Some(u8::try_from(128 + signal).unwrap_or(u8::MAX)),
        }
    }

    fn of(status: WaitStatus) -> Self {
        match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => Self::Exited(u8::try_from(code).unwrap_or(u8::MAX)),
            (None, Some(signal)) => Self::Signalled(signal),
            (None, None) => Self::Running,
        }
    }
}

/// A command that was started. Dropped before its end, it is killed.
#[derive(Debug)]
pub struct Child {
    pid: Pid,
    status: Status,
    is_end_told: bool,
    has_more: bool,
    stacks: Option<Stacks>,
    /// Waiting and tracing belong to the thread that started the command.
    _of_this_thread: PhantomData<*const ()>,
}

impl Child {
    /// Starts the command, and returns once it is the command that runs: from here on `/proc/PID`
    /// is its own.
    ///
    /// `events` come first, so that no signal falls between. Makes this process the one that
    /// orphans below it go to.
    pub fn start(config: &RunConfig, events: &Events) -> Result<Self, RunError> {
        let failed = |step| move |source| RunError::Start { step, source };
        let program = config.command.first().ok_or(RunError::NoCommand)?;
        if config.with_stacks {
            stacks::check()?;
        }
        set_child_subreaper(Some(getpid()))
            .map_err(|error| failed("adopt orphans")(error.into()))?;
        let (ours, theirs) = UnixStream::pair().map_err(failed("make a socket"))?;
        let mask = events.mask_before();
        let mut stage = exec_stage::command(
            &config.trampoline,
            &theirs,
            &mask,
            config.with_stacks,
            &config.command,
        )?;
        let process = stage.spawn().map_err(failed("start our own binary"))?;
        drop(theirs);
        let pid = i32::try_from(process.id()).ok().and_then(Pid::from_raw);
        let mut child = Self {
            pid: pid.expect("the kernel's pids are positive and fit"),
            status: Status::Running,
            is_end_told: false,
            has_more: false,
            stacks: None,
            _of_this_thread: PhantomData,
        };
        let mut message = Message::read(&ours).map_err(failed(LISTEN))?;
        if config.with_stacks && message == Some(Message::Ready) {
            child.stacks = Some(Stacks::seize(child.pid())?);
            (&ours).write_all(b"g").map_err(failed("tell the new process to go on"))?;
            message = child.serve_until(&ours).map_err(failed(LISTEN))?;
        }
        match (message, child.poll().map_err(failed(LISTEN))?) {
            (None, _) => Ok(child),
            (Some(message), _) => Err(child.not_started(message, program)),
        }
    }

    /// Of the command, and of its stage before.
    pub fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// What was known at the last [`poll`](Self::poll).
    pub fn status(&self) -> Status {
        self.status
    }

    /// Who opened what, if that was asked for.
    pub fn stacks(&mut self) -> Option<&mut Stacks> {
        self.stacks.as_mut()
    }

    /// Takes note of every child that has ended, without waiting for any.
    pub fn poll(&mut self) -> io::Result<Status> {
        self.has_more = false;
        // Threads are waited for like processes where they are traced.
        let options =
            WaitOptions::NOHANG | WaitOptions::from_bits_retain(libc::__WALL.cast_unsigned());
        for _ in 0..CHANGES_AT_ONCE_MAX {
            match wait(options) {
                Ok(Some((pid, status))) => self.note(pid, status),
                Ok(None) | Err(Errno::CHILD) => return Ok(self.status),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.has_more = true;
        Ok(self.status)
    }

    /// Whether the last [`poll`](Self::poll) stopped before the end: the next must not wait for a
    /// signal.
    pub(super) fn has_more(&self) -> bool {
        self.has_more
    }

    /// True once: when it has ended, also if another call noticed that (it may end before
    /// [`start`](Self::start) returns).
    pub(super) fn tells_its_end(&mut self) -> bool {
        let tells = self.status != Status::Running && !self.is_end_told;
        self.is_end_told |= tells;
        tells
    }

    /// Passes a signal on, unless the command has it already.
    pub fn forward(&self, caught: Caught) -> io::Result<()> {
        match Signal::from_named_raw(caught.signal) {
            Some(signal) if self.lacks(caught) => self.send(signal),
            _ => Ok(()),
        }
    }

    /// Ends the command, at once.
    pub fn kill(&self) -> io::Result<()> {
        self.send(Signal::KILL)
    }

    /// What is alive below us now: after the end of the command, what it left behind.
    ///
    /// They are left running unless [`Leftovers::kill`] is called: our end does not end them.
    pub fn leftovers(&self) -> io::Result<Leftovers> {
        Leftovers::find()
    }

    /// The kernel sends for a terminal to the whole foreground group; the hang-up, however, to the
    /// leader of the terminal's session alone.
    fn lacks(&self, caught: Caught) -> bool {
        let is_leader = || getsid(None).is_ok_and(|session| session == getpid());
        match caught.sender {
            Sender::Process { pid } => pid != self.pid(),
            Sender::Kernel if caught.signal == libc::SIGHUP && is_leader() => true,
            Sender::Kernel => getpgid(Some(self.pid)).is_ok_and(|group| group != getpgrp()),
        }
    }

    fn send(&self, signal: Signal) -> io::Result<()> {
        // Until it is reaped its pid is its own.
        if self.status != Status::Running {
            return Ok(());
        }
        Ok(kill_process(self.pid, signal)?)
    }

    fn note(&mut self, pid: Pid, status: WaitStatus) {
        let tid = pid.as_raw_nonzero().get();
        if !(status.exited() || status.signaled()) {
            if let Some(stacks) = &mut self.stacks {
                stacks.stopped(tid, status.as_raw());
            }
            return;
        }
        if let Some(stacks) = &mut self.stacks {
            stacks.ended(tid);
        }
        if pid == self.pid {
            self.status = Status::of(status);
        }
    }

    /// Traces the new process until it says something or becomes the command. Were it not served,
    /// it could stop and wait for us while we wait for it.
    fn serve_until(&mut self, socket: &UnixStream) -> io::Result<Option<Message>> {
        loop {
            self.poll()?;
            let short = Timespec { tv_sec: 0, tv_nsec: 1_000_000 };
            let mut ready = [PollFd::new(socket, PollFlags::IN)];
            match poll(&mut ready, Some(&short)) {
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => return Message::read(socket),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The stage has said what went wrong and is about to end.
    fn not_started(&mut self, message: Message, program: &OsString) -> RunError {
        let command = program.clone();
        match message {
            Message::Exec(libc::ENOENT) => RunError::NotFound { command },
            Message::Exec(error) => {
                RunError::NotExecutable { command, source: io::Error::from_raw_os_error(error) }
            }
            Message::Filter(error) => {
                StacksError::Seccomp { source: io::Error::from_raw_os_error(error) }.into()
            }
            Message::Setup(error) => RunError::Start {
                step: "prepare the process",
                source: io::Error::from_raw_os_error(error),
            },
            Message::Ready => RunError::Start {
                step: "prepare the process",
                source: io::Error::other("it waits for a tracer that was not asked for"),
            },
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.poll().is_ok_and(|status| status == Status::Running) {
            // It is gone otherwise, or not ours to kill any more.
            let _ = self.kill();
        }
        // Killed, it ends at once, and must not stay a zombie of a process that goes on; one that
        // hangs in the kernel is left to it.
        let deadline = Instant::now() + END_MAX;
        while self.poll().is_ok_and(|status| status == Status::Running) && Instant::now() < deadline
        {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}
