//! The call stacks of processes that run already, noted by a thread of its own.
//!
//! A tracee that has stopped waits for its tracer. The thread that watches may itself have to wait:
//! for a terminal that was halted, for a pager that is not read on, for a slow disk. So what traces
//! is another thread that does nothing else, and is asked by messages. It holds at most one request
//! at a time.
//!
//! Processes are let go by [`Attached::detach`] and when this is dropped; when the whole process is
//! killed, by the kernel.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvError, SyncSender, TryRecvError, sync_channel};
use std::thread::{self, JoinHandle};

use fdwatch::ProcessKey;
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};

use super::signals::Signals;
use super::stack_id::{Served, StackId, StackLosses};
use super::stacks::Stacks;
use super::{Events, StacksError};

/// Traces the system calls of processes until it is dropped. What that changes for them:
/// `stacks/attach.rs`.
#[derive(Debug)]
pub struct Attached {
    requests: Option<SyncSender<Request>>,
    /// Written to after a request was sent.
    wake: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

enum Request {
    Attach(ProcessKey, SyncSender<Result<(), StacksError>>),
    StacksOf(u32, Vec<i32>, SyncSender<BTreeMap<i32, StackId>>),
    Detach(SyncSender<()>),
    Describe(Vec<StackId>, SyncSender<Vec<Vec<String>>>),
    Losses(SyncSender<StackLosses>),
}

impl Attached {
    /// Nothing is attached to yet. `events` are those of [`Events::of_attached_watch`]: they leave
    /// the changes of tracees to the thread.
    ///
    /// # Errors
    /// Where it cannot work for any process.
    pub fn start(_events: &Events) -> Result<Self, StacksError> {
        let failed = |source: io::Error| StacksError::Thread { source };
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
        let wake = Arc::new(wake.map_err(|error| failed(error.into()))?);
        let (requests, received) = sync_channel(1);
        let (started, answer) = sync_channel(1);
        let woken = Arc::clone(&wake);
        let run = move || match Tracer::start(received, woken) {
            Ok(mut tracer) => {
                // The thread that started this one waits for it.
                let _ = started.send(Ok(()));
                tracer.run();
            }
            Err(error) => {
                let _ = started.send(Err(error));
            }
        };
        let thread = thread::Builder::new().name("tracer".into()).spawn(run).map_err(failed)?;
        answer.recv().unwrap_or(Err(StacksError::Ended))?;
        Ok(Self { requests: Some(requests), wake, thread: Some(thread) })
    }

    /// Attaches to all threads of a process and to those that it will start.
    ///
    /// # Errors
    /// If it is not permitted, or the process is gone: then it runs on untouched.
    pub fn attach(&self, process: ProcessKey) -> Result<(), StacksError> {
        self.ask(|answer| Request::Attach(process, answer)).unwrap_or(Err(StacksError::Ended))
    }

    /// Which stack opened each of `fds`, all of them open in that process now. Those with no known
    /// creator are left out.
    pub fn stacks_of(&self, pid: u32, fds: &[i32]) -> BTreeMap<i32, StackId> {
        self.ask(|answer| Request::StacksOf(pid, fds.to_vec(), answer)).unwrap_or_default()
    }

    /// Lets all processes go. What was seen stays known.
    pub fn detach(&self) {
        // A thread that has ended has let them go.
        let _ = self.ask(Request::Detach);
    }

    /// As [`Stacks::describe`]: reads symbol tables, so let the processes go first.
    pub fn describe(&self, stacks: &[StackId]) -> Vec<Vec<String>> {
        self.ask(|answer| Request::Describe(stacks.to_vec(), answer)).unwrap_or_default()
    }

    /// What is missing from the stacks.
    pub fn losses(&self) -> StackLosses {
        self.ask(Request::Losses).unwrap_or_default()
    }

    fn ask<T>(&self, request: impl FnOnce(SyncSender<T>) -> Request) -> Result<T, RecvError> {
        let (answer, answered) = sync_channel(1);
        let requests = self.requests.as_ref().ok_or(RecvError)?;
        requests.send(request(answer)).map_err(|_| RecvError)?;
        wake(&self.wake);
        answered.recv()
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        self.requests = None;
        wake(&self.wake);
        if let Some(thread) = self.thread.take() {
            // If it has panicked it has ended, too.
            let _ = thread.join();
        }
    }
}

fn wake(eventfd: &OwnedFd) {
    // Fails only if it is full of wake-ups that were not seen yet.
    let _ = rustix::io::write(eventfd, &1_u64.to_ne_bytes());
}

/// The thread.
struct Tracer {
    stacks: Stacks,
    requests: Receiver<Request>,
    wake: Arc<OwnedFd>,
    changes: Signals,
}

impl Tracer {
    fn start(requests: Receiver<Request>, wake: Arc<OwnedFd>) -> Result<Self, StacksError> {
        let stacks = Stacks::of_running()?;
        let changes = Signals::catch(&[]).map_err(|source| StacksError::Thread { source })?;
        Ok(Self { stacks, requests, wake, changes })
    }

    fn run(&mut self) {
        // Its end lets everything go, should this fail.
        while let Ok(served) = self.stacks.serve() {
            match self.requests.try_recv() {
                Ok(request) => {
                    if !self.answer(request) {
                        return;
                    }
                }
                Err(TryRecvError::Empty) if served == Served::Some => {}
                Err(TryRecvError::Empty) => self.wait(),
                Err(TryRecvError::Disconnected) => {
                    self.stacks.detach();
                    return;
                }
            }
        }
    }

    /// `false`: this thread has to end.
    fn answer(&mut self, request: Request) -> bool {
        let stacks = &mut self.stacks;
        // The thread that asked waits for the answer.
        match request {
            Request::Attach(process, answer) => drop(answer.send(stacks.attach(process))),
            Request::StacksOf(pid, fds, answer) => drop(answer.send(stacks.stacks_of(pid, &fds))),
            Request::Describe(ids, answer) => drop(answer.send(stacks.describe(&ids))),
            Request::Losses(answer) => drop(answer.send(stacks.losses())),
            Request::Detach(answer) => {
                let is_done = stacks.detach();
                let _ = answer.send(());
                return is_done;
            }
        }
        true
    }

    /// Until a tracee has stopped or ended, or there is a request.
    fn wait(&self) {
        let mut ready = [
            PollFd::from_borrowed_fd(self.changes.readable(), PollFlags::IN),
            PollFd::new(&*self.wake, PollFlags::IN),
        ];
        // Both are asked in any case.
        let _ = poll(&mut ready, None);
        let [has_changes, is_woken] = [0, 1].map(|at| !ready[at].revents().is_empty());
        while has_changes && matches!(self.changes.next(), Ok(Some(_))) {}
        if is_woken {
            let _ = rustix::io::read(&self.wake, &mut [0; 8]);
        }
    }
}
