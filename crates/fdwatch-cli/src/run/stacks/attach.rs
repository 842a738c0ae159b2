//! Attaching to processes that run already, and leaving them as they were.
//!
//! Each thread is seized, which does not stop it, and interrupted once, since only a stopped thread
//! can be told to stop at its next system call. From then on it stops at the beginning and at the
//! end of each call. That costs some microseconds for every call, also for those that create
//! nothing: more than under `fdwatch run`, where the kernel chooses.
//!
//! # What it changes for the process
//! - Each call takes longer, as under `strace`.
//! - A call that waits may end with EINTR when we attach and when we leave, where it does so for
//!   SIGSTOP and SIGCONT, too: `epoll_wait` and its like (see `signal(7)`).
//! - It cannot be debugged or traced by anything else meanwhile.
//!
//! # How it is left
//! [`Stacks::detach`] stops each thread once more and lets it go with the signal that it was about
//! to get. When we are killed, the kernel does the same. One that cannot be stopped in time (it
//! hangs in the kernel) is let go by the kernel when our thread ends.

use std::fs;
use std::io;
use std::time::{Duration, Instant};

use fdwatch::ProcessKey;
use rustix::io::Errno;
use rustix::process::{WaitOptions, wait};

use super::filter::{self, Outcome};
use super::ptrace::{self, CallStop};
use super::tracees::Call;
use super::{END_OF_CALL, Stacks, permission};
use crate::run::StacksError;
use crate::run::proc_stat::Stat;
use crate::run::stack_id::Served;

/// Threads that are attached to, of all processes together.
const THREADS_MAX: usize = 4096;
/// So often the list of threads is read again: each round finds only those that were started during
/// the one before.
const ROUNDS_MAX: usize = 16;
/// So many stops are handled before others have their turn.
const STOPS_AT_ONCE_MAX: usize = 1024;
/// So long a thread may take to stop before it is left to the kernel.
const LEAVE_MAX: Duration = Duration::from_secs(2);

/// How tracees come to stop at the calls that matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// A filter before the command chooses.
    Filter,
    /// They stop at every call.
    EveryCall,
    /// They are let go as they stop.
    Leaving,
}

impl Stacks {
    /// Nothing is attached to yet. To be used by one thread, whose tracees are none but these.
    pub(in super::super) fn of_running() -> Result<Self, StacksError> {
        permission::check_attaching()?;
        Ok(Self::new(Way::EveryCall))
    }

    /// Attaches to all threads of a process, or to none.
    pub(in super::super) fn attach(&mut self, process: ProcessKey) -> Result<(), StacksError> {
        let mut seized = Vec::new();
        let done = self.seize_threads(process, &mut seized);
        for &tid in &seized {
            self.tracees.process(tid);
            // One that was killed meanwhile is told like any other.
            let _ = ptrace::interrupt(tid);
        }
        if done.is_err() {
            // They have been interrupted: what stops next is let go.
            self.releasing.extend(&seized);
        }
        done
    }

    /// Handles what has stopped or ended, without waiting.
    pub(in super::super) fn serve(&mut self) -> io::Result<Served> {
        // Of this thread only: children of the process are others' business.
        let flags = libc::__WALL | libc::__WNOTHREAD;
        let options = WaitOptions::NOHANG | WaitOptions::from_bits_retain(flags.cast_unsigned());
        for _ in 0..STOPS_AT_ONCE_MAX {
            match wait(options) {
                Ok(Some((pid, status))) => {
                    let tid = pid.as_raw_nonzero().get();
                    if status.exited() || status.signaled() {
                        self.ended(tid);
                    } else {
                        self.stopped(tid, status.as_raw());
                    }
                }
                Ok(None) => return Ok(Served::All),
                Err(Errno::CHILD) => return Ok(Served::Nothing),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Served::Some)
    }

    /// Lets all go. `false` if some thread did not stop in time: then this thread has to end, which
    /// lets it go.
    pub(in super::super) fn detach(&mut self) -> bool {
        self.way = Way::Leaving;
        for tid in self.tracees.threads() {
            let _ = ptrace::interrupt(tid);
        }
        let deadline = Instant::now() + LEAVE_MAX;
        while Instant::now() < deadline {
            match self.serve() {
                Ok(Served::Nothing) => return true,
                Ok(Served::Some) => {}
                Ok(Served::All) => std::thread::sleep(Duration::from_millis(1)),
                Err(_) => return false,
            }
        }
        false
    }

    /// At the beginning or the end of a call that may be any.
    pub(super) fn call_stopped(&mut self, tid: i32) {
        match ptrace::call_stop(tid) {
            Ok(Some(CallStop::Begins { architecture, call, arguments })) => {
                self.tracees.leave(tid);
                let pair_at = match filter::outcome(architecture, call, &arguments) {
                    None => return,
                    Some(Outcome::Returned) => None,
                    Some(Outcome::PairAt(argument)) => arguments.get(argument).copied(),
                };
                self.tracees.enter(tid, Call { pair_at });
            }
            Ok(Some(CallStop::Ends)) => self.call_ended(tid),
            Ok(None) | Err(_) => {}
        }
    }

    /// The thread has stopped, for any reason, and runs from here on as if it had never been
    /// traced.
    pub(super) fn let_go(&mut self, tid: i32, event: i32, signal: i32) {
        // A stop before a signal is the only one whose signal is the thread's.
        let signal = if event == 0 && signal != END_OF_CALL { signal } else { 0 };
        let _ = ptrace::detach(tid, signal);
        // Of a process that is let go the creators stay known.
        self.tracees.remove(tid);
    }

    fn seize_threads(
        &mut self,
        process: ProcessKey,
        seized: &mut Vec<i32>,
    ) -> Result<(), StacksError> {
        let pid = process.pid;
        for _ in 0..ROUNDS_MAX {
            let before = seized.len();
            for tid in threads_of(pid) {
                if self.tracees.knows(tid) || seized.contains(&tid) {
                    continue;
                }
                if self.tracees.len() + seized.len() >= THREADS_MAX {
                    return Err(StacksError::Threads { threads_max: THREADS_MAX });
                }
                match ptrace::seize_running(tid) {
                    Ok(()) => seized.push(tid),
                    Err(error) => self.excuse(pid, tid, error)?,
                }
                // Seized, its number cannot be given to another process any more.
                let is_it =
                    || Stat::read(pid).is_some_and(|stat| stat.start_ticks == process.start_ticks);
                if seized.len() == 1 && before == 0 && !is_it() {
                    return Err(StacksError::Gone { pid });
                }
            }
            if seized.len() == before {
                break;
            }
        }
        if seized.is_empty() { Err(StacksError::Gone { pid }) } else { Ok(()) }
    }

    /// Whether a thread that cannot be attached to need not be.
    fn excuse(&mut self, pid: u32, tid: i32, error: io::Error) -> Result<(), StacksError> {
        let has_ended = Stat::of_thread(pid, tid).is_none_or(|stat| stat.is_dead());
        let tracer = tracer_of(tid);
        let ourselves = rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs();
        if tracer == Some(ourselves) {
            // Its parent was seized before it: the kernel has attached us already.
            self.tracees.process(tid);
            return Ok(());
        }
        match tracer {
            _ if has_ended => Ok(()),
            Some(by) => Err(StacksError::Traced { pid, by }),
            None => Err(permission::refused_attaching(pid, error)),
        }
    }
}

fn threads_of(pid: u32) -> Vec<i32> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .take(THREADS_MAX + 1)
        .collect()
}

/// Who traces it, if anybody does.
fn tracer_of(tid: i32) -> Option<u32> {
    // A name in it may be any bytes.
    let status = fs::read(format!("/proc/{tid}/status")).ok()?;
    let status = String::from_utf8_lossy(&status);
    let field = status.lines().find_map(|line| line.strip_prefix("TracerPid:"))?;
    field.trim().parse().ok().filter(|tracer| *tracer != 0)
}
