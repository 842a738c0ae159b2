#![allow(
    unsafe_code,
    reason = "signal masks and signalfd have no safe wrapper here; each block is one system call \
         on our own values"
)]
//! Signals as something to read.
//!
//! They are blocked and come through a `signalfd`: no handler ever runs, and each tells who sent
//! it. A signal that is ignored when we start stays ignored (`nohup`), also for the command.

use std::io;
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

/// What a watch must hear of: the end that a person asks for, and a new window size.
pub(super) const OF_A_WATCH: [i32; 5] =
    [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM, libc::SIGWINCH];
/// What is passed on to a command besides.
pub(super) const OF_A_RUN: [i32; 2] = [libc::SIGUSR1, libc::SIGUSR2];

/// What would stop a watch that others wait for: while processes are traced, Ctrl-Z must not leave
/// them without a tracer.
pub(super) const OF_AN_ATTACHED_WATCH: [i32; 2] = [libc::SIGTSTP, libc::SIGTTOU];

/// The kernel's `signalfd_siginfo`: number at 0, code at 8, sender at 12 of 128 bytes.
const INFO_BYTES: usize = 128;

/// A signal that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caught {
    /// Its number: `libc::SIGTERM`.
    pub signal: i32,
    /// Who sent it.
    pub sender: Sender,
}

/// Who sent a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// The kernel: for the terminal, to the whole foreground group.
    Kernel,
    /// A process, to us (or to a group with us in it: not to be told apart).
    Process {
        /// Which; 0 if it is outside our pid namespace.
        pid: u32,
    },
}

/// The signals of a thread, blocked and readable until it is dropped.
#[derive(Debug)]
pub(super) struct Signals {
    readable: OwnedFd,
    before: Mask,
}

/// Which signals a thread has blocked.
#[derive(Clone, Copy)]
pub(super) struct Mask(libc::sigset_t);

impl Signals {
    /// Blocks `signals` and SIGCHLD for this thread, less those that are ignored.
    pub(super) fn catch(signals: &[i32]) -> io::Result<Self> {
        Self::of(signals, true)
    }

    /// The same, but SIGCHLD is left for another thread to read, which has to catch it.
    pub(super) fn catch_without_changes(signals: &[i32]) -> io::Result<Self> {
        Self::of(signals, false)
    }

    fn of(signals: &[i32], reads_changes: bool) -> io::Result<Self> {
        let ignored = super::proc_stat::ignored_signals()?;
        let is_ignored = |signal: i32| ignored >> (signal - 1) & 1 == 1;
        let mut mask = Mask::empty();
        for &signal in signals.iter().filter(|&&signal| !is_ignored(signal)) {
            mask.add(signal);
        }
        // Ignored, it would make the kernel reap our children: the exit code of the command would
        // be lost.
        if is_ignored(libc::SIGCHLD) {
            // SAFETY: SIG_DFL installs no handler.
            if unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) } == libc::SIG_ERR {
                return Err(io::Error::last_os_error());
            }
        }
        let mut read = mask;
        mask.add(libc::SIGCHLD);
        if reads_changes {
            read.add(libc::SIGCHLD);
        }
        // SAFETY: the mask is initialised and outlives the call.
        let fd = unsafe {
            libc::signalfd(-1, &raw const read.0, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK)
        };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call above succeeded, and no other code knows the number.
        let readable = unsafe { OwnedFd::from_raw_fd(fd) };
        let before = mask.change(libc::SIG_BLOCK)?;
        Ok(Self { readable, before })
    }

    /// The next one, without waiting.
    pub(super) fn next(&self) -> io::Result<Option<Caught>> {
        let mut info = [0_u8; INFO_BYTES];
        match rustix::io::read(&self.readable, &mut info) {
            Ok(INFO_BYTES) => {
                let at = |from: usize| {
                    i32::from_ne_bytes([info[from], info[from + 1], info[from + 2], info[from + 3]])
                };
                let (signal, code, pid) = (at(0), at(8), at(12));
                // Positive codes are the kernel's own; `kill` is 0, `sigqueue` and its like are
                // negative.
                let sender = if code > 0 {
                    Sender::Kernel
                } else {
                    Sender::Process { pid: pid.unsigned_abs() }
                };
                Ok(Some(Caught { signal, sender }))
            }
            Ok(_) | Err(rustix::io::Errno::AGAIN) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn readable(&self) -> BorrowedFd<'_> {
        self.readable.as_fd()
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        // Fails for an unknown `how` only.
        let _ = self.before.change(libc::SIG_SETMASK);
    }
}

impl Mask {
    fn empty() -> Self {
        let mut set = MaybeUninit::uninit();
        // SAFETY: sigemptyset initialises what it is given, and cannot fail.
        unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            Self(set.assume_init())
        }
    }

    /// What this thread has blocked.
    pub(super) fn current() -> io::Result<Self> {
        Self::empty().change(libc::SIG_BLOCK)
    }

    fn add(&mut self, signal: i32) {
        // SAFETY: the set is initialised; an unknown number is refused without effect.
        unsafe { libc::sigaddset(&raw mut self.0, signal) };
    }

    fn has(&self, signal: i32) -> bool {
        // SAFETY: the set is initialised; an unknown number is refused without effect.
        unsafe { libc::sigismember(&raw const self.0, signal) == 1 }
    }

    /// As a number, bit 0 for signal 1, to hand it through an `exec`.
    pub(super) fn bits(&self) -> u64 {
        (1..=64).filter(|&signal| self.has(signal)).fold(0, |bits, signal| bits | 1 << (signal - 1))
    }

    pub(super) fn from_bits(bits: u64) -> Self {
        let mut mask = Self::empty();
        (1..=64).filter(|signal| bits >> (signal - 1) & 1 == 1).for_each(|signal| mask.add(signal));
        mask
    }

    /// Makes this the mask of the thread.
    pub(super) fn set(&self) -> io::Result<()> {
        self.change(libc::SIG_SETMASK).map(|_| ())
    }

    /// The mask before.
    fn change(&self, how: i32) -> io::Result<Self> {
        debug_assert!(size_of::<libc::sigset_t>() >= 8);
        let mut before = Self::empty();
        // SAFETY: both sets are initialised and outlive the call.
        match unsafe {
            libc::pthread_sigmask(how, ptr::from_ref(&self.0), ptr::from_mut(&mut before.0))
        } {
            0 => Ok(before),
            error => Err(io::Error::from_raw_os_error(error)),
        }
    }
}

impl std::fmt::Debug for Mask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Mask({:#x})", self.bits())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_survives_as_a_number() {
        // 32 and 33 are the C library's own, which it refuses to put into a set.
        for bits in [0, 1, 1 << 63, 0b1010_1010, 1 << 14 | 1 << 33] {
            assert_eq!(Mask::from_bits(bits).bits(), bits);
        }
    }

    #[test]
    fn a_caught_signal_tells_its_sender_and_the_mask_comes_back() {
        let before = Mask::current().unwrap().bits();
        let signals = Signals::catch(&[libc::SIGUSR2]).unwrap();
        assert_eq!(signals.next().unwrap(), None);
        let me = std::process::id();
        // To this thread alone: the others of a test process have it unblocked.
        // SAFETY: pthread_self is a live thread, and the signal is blocked in it.
        unsafe { libc::pthread_kill(libc::pthread_self(), libc::SIGUSR2) };
        assert_eq!(
            signals.next().unwrap(),
            Some(Caught { signal: libc::SIGUSR2, sender: Sender::Process { pid: me } })
        );
        assert_eq!(signals.next().unwrap(), None);
        drop(signals);
        assert_eq!(Mask::current().unwrap().bits(), before);
    }
}
