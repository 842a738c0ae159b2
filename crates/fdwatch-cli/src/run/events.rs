//! The one place where a watch waits.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::child::Child;
use super::signals::{Caught, Mask, OF_A_RUN, OF_A_WATCH, OF_AN_ATTACHED_WATCH, Signals};

/// Why a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The time that was waited for has come.
    Tick,
    /// A signal for us.
    Signal(Caught),
    /// The command has ended: [`Child::status`] says how.
    ChildChanged,
    /// One of the other descriptors can be read, or is closed: its place among them.
    Readable(usize),
}

/// What a watch waits for. While it lives, signals to this thread are caught: make it before
/// anything else, in a process with one thread.
#[derive(Debug)]
pub struct Events {
    signals: Signals,
    mask_before: Mask,
    /// A tick that is always due must not hide the other descriptors for ever.
    was_tick: bool,
}

impl Events {
    /// SIGHUP, SIGINT, SIGQUIT, SIGTERM and SIGWINCH, for a watch without a command.
    pub fn of_watch() -> io::Result<Self> {
        Self::of(&OF_A_WATCH)
    }

    /// The same, and SIGUSR1 and SIGUSR2, which are the command's.
    pub fn of_run() -> io::Result<Self> {
        Self::of(&[&OF_A_WATCH[..], &OF_A_RUN[..]].concat())
    }

    /// As [`of_watch`](Self::of_watch), beside an [`Attached`](super::Attached): what stops a
    /// process by default is caught, too, and its thread hears of tracees.
    pub fn of_attached_watch() -> io::Result<Self> {
        let mask_before = Mask::current()?;
        let signals = [&OF_A_WATCH[..], &OF_AN_ATTACHED_WATCH[..]].concat();
        Ok(Self {
            signals: Signals::catch_without_changes(&signals)?,
            mask_before,
            was_tick: false,
        })
    }

    fn of(signals: &[i32]) -> io::Result<Self> {
        let mask_before = Mask::current()?;
        Ok(Self { signals: Signals::catch(signals)?, mask_before, was_tick: false })
    }

    /// Waits until `next_tick` at most. Signals come before the end of the command, that before a
    /// tick.
    ///
    /// `ChildChanged` is told once; a child whose end is known is not waited for any more, though
    /// its orphans are still reaped.
    pub fn wait(
        &mut self,
        mut child: Option<&mut Child>,
        next_tick: Instant,
        others: &[BorrowedFd<'_>],
    ) -> io::Result<Event> {
        loop {
            if let Some(event) = self.pending(child.as_deref_mut())? {
                self.was_tick = false;
                return Ok(event);
            }
            let has_more = child.as_ref().is_some_and(|child| child.has_more());
            let left = next_tick.saturating_duration_since(Instant::now());
            let ready = self.poll(if has_more { Duration::ZERO } else { left }, others)?;
            if left.is_zero() && !(self.was_tick && ready.is_some()) {
                self.was_tick = true;
                return Ok(Event::Tick);
            }
            if let Some(other) = ready {
                self.was_tick = false;
                return Ok(Event::Readable(other));
            }
        }
    }

    /// The mask that this thread had: a command is started with it.
    pub(super) fn mask_before(&self) -> Mask {
        self.mask_before
    }

    fn pending(&self, child: Option<&mut Child>) -> io::Result<Option<Event>> {
        while let Some(caught) = self.signals.next()? {
            if caught.signal != libc::SIGCHLD {
                return Ok(Some(Event::Signal(caught)));
            }
        }
        // Asked every time: one SIGCHLD may stand for many ends.
        let Some(child) = child else { return Ok(None) };
        child.poll()?;
        Ok(child.tells_its_end().then_some(Event::ChildChanged))
    }

    /// Which of the others is ready, if any.
    fn poll(&self, timeout: Duration, others: &[BorrowedFd<'_>]) -> io::Result<Option<usize>> {
        let timeout = Timespec::try_from(timeout).ok();
        let mut all = Vec::with_capacity(1 + others.len());
        all.push(PollFd::from_borrowed_fd(self.signals.readable(), PollFlags::IN));
        all.extend(others.iter().map(|&other| PollFd::from_borrowed_fd(other, PollFlags::IN)));
        match poll(&mut all, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(all[1..].iter().position(|other| !other.revents().is_empty()))
    }
}
