//! Which I/O goes wrong, and how.

use std::io;

/// Kinds of I/O that a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "checks", derive(arbitrary::Arbitrary))]
pub enum Io {
    /// Segment bytes are read.
    Read,
    /// A segment is made or adopted.
    Open,
    /// A segment is rewound.
    Rewind,
    /// Bytes are appended.
    Append,
    /// A segment is synced.
    Sync,
    /// The records are asked for something else than chunks.
    Query,
    /// A records transaction that is not a commit.
    Transaction,
    /// [`commit`](drystone_store::SessionRecords::commit).
    Commit,
    /// Chunks are looked up.
    Find,
}

/// What happens to the chosen I/O.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It fails. An append may have written a part; a sync has lost what was not synced.
    Fail(io::ErrorKind),
    /// It fails after it has taken effect, as a commit does whose answer is lost. A query just
    /// fails.
    FailLate(io::ErrorKind),
    /// A commit fails, and is there after the next power cut, unless another transaction came in
    /// between: a database finds it in its log, although its write was reported as failed. Anything
    /// else just fails.
    FailForNow(io::ErrorKind),
    /// It panics, without effect.
    Panic,
    /// It panics; a commit is there after the next power cut, as for `FailForNow`.
    PanicForNow,
    /// A read gives wrong bytes; anything else goes well.
    Garble,
    /// The power is cut before it takes effect.
    PowerCut,
    /// The power is cut after it took effect and before its caller has the answer.
    PowerCutLate,
}

/// One I/O to go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultPlan {
    /// Of this kind; `None` for any.
    pub io: Option<Io>,
    /// So many of its kind go well before.
    pub after: u32,
    /// How it goes wrong.
    pub fault: Fault,
}

/// What the gate says to an I/O that may take effect.
#[derive(Debug)]
pub(super) enum Pass {
    Well,
    Garbled,
    /// Do it, then give this error.
    Late(io::Error),
    /// Do it in the log only, then give this error, or panic.
    ForNow(Option<io::Error>),
}

/// A panic that is part of the plot: it unwinds without a word.
fn panic() -> ! {
    std::panic::resume_unwind(Box::new("the backend panicked"))
}

impl Pass {
    /// What to answer once the effect has taken place.
    pub(super) fn done(self) -> io::Result<()> {
        match self {
            Self::Late(error) | Self::ForNow(Some(error)) => Err(error),
            Self::ForNow(None) => panic(),
            Self::Well | Self::Garbled => Ok(()),
        }
    }

    pub(super) fn is_for_now(&self) -> bool {
        matches!(self, Self::ForNow(_))
    }
}

/// Gives each process a number; only the newest ones' I/O is let through after a power cut.
#[derive(Default)]
pub(super) struct Faults {
    /// Each counts the I/Os of its kind for itself.
    armed: Vec<FaultPlan>,
    fired: u64,
    processes: u64,
    /// Processes with this number or a lower one are dead.
    dead_to: u64,
}

impl Faults {
    pub(super) fn open(&mut self) -> u64 {
        self.processes += 1;
        self.processes
    }

    pub(super) fn arm(&mut self, plans: &[FaultPlan]) {
        self.armed = plans.to_vec();
    }

    pub(super) fn is_armed(&self) -> bool {
        !self.armed.is_empty()
    }

    pub(super) fn fired(&self) -> u64 {
        self.fired
    }

    pub(super) fn is_off(&self) -> bool {
        self.processes > 0 && self.processes == self.dead_to
    }

    pub(super) fn power_off(&mut self) {
        self.dead_to = self.processes;
    }

    pub(super) fn is_dead(&self, process: u64) -> bool {
        process <= self.dead_to
    }

    /// To be asked before every I/O. An error means: fail with it, without effect (or with part of
    /// it).
    pub(super) fn gate(&mut self, process: u64, io: Io) -> io::Result<Pass> {
        if self.is_dead(process) {
            return Err(io::Error::new(io::ErrorKind::BrokenPipe, "the power is off"));
        }
        let mut due = None;
        self.armed.retain_mut(|plan| {
            let counts = plan.io.is_none_or(|kind| kind == io);
            if counts && plan.after == 0 && due.is_none() {
                due = Some(plan.fault);
                return false;
            }
            plan.after = plan.after.saturating_sub(u32::from(counts));
            true
        });
        let Some(fault) = due else { return Ok(Pass::Well) };
        self.fired += 1;
        match fault {
            Fault::Fail(kind) => Err(kind.into()),
            Fault::FailLate(kind) => Ok(Pass::Late(kind.into())),
            Fault::FailForNow(kind) if io == Io::Commit => Ok(Pass::ForNow(Some(kind.into()))),
            Fault::FailForNow(kind) => Err(kind.into()),
            Fault::PanicForNow if io == Io::Commit => Ok(Pass::ForNow(None)),
            Fault::Panic | Fault::PanicForNow => panic(),
            Fault::Garble => Ok(if io == Io::Read { Pass::Garbled } else { Pass::Well }),
            Fault::PowerCut => {
                self.power_off();
                Err(io::Error::new(io::ErrorKind::BrokenPipe, "the power went off"))
            }
            Fault::PowerCutLate => {
                self.power_off();
                Ok(Pass::Late(io::Error::new(io::ErrorKind::BrokenPipe, "the power went off")))
            }
        }
    }
}
