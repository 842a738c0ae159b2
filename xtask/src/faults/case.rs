//! One case of the sweep: a command of the workload, a system call, a fault, and at which
//! occurrence.

use std::fmt;
use std::str::FromStr;

/// What happens to the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fault {
    /// The device reports an error.
    Eio,
    /// The disk is full.
    Enospc,
    /// The process dies as it makes the call.
    Kill,
}

impl Fault {
    /// The fault as strace's `inject` takes it.
    pub(super) fn expression(self) -> &'static str {
        match self {
            Self::Eio => "error=EIO",
            Self::Enospc => "error=ENOSPC",
            Self::Kill => "signal=SIGKILL",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Eio => "EIO",
            Self::Enospc => "ENOSPC",
            Self::Kill => "KILL",
        }
    }
}

/// Calls that change what is stored, or could hide that they failed. A command is tested with those
/// that it makes.
const CHANGING: [&str; 21] = [
    "write",
    "writev",
    "pwrite64",
    "pwritev",
    "pwritev2",
    "fdatasync",
    "fsync",
    "sync_file_range",
    "rename",
    "renameat",
    "renameat2",
    "openat",
    "openat2",
    "ftruncate",
    "fallocate",
    "mkdir",
    "mkdirat",
    "unlink",
    "unlinkat",
    "flock",
    "utimensat",
];
/// Calls that only read. If the process dies at one of them, that is the same as if it dies at the
/// next call that changes something.
const READING: [&str; 3] = ["read", "pread64", "preadv"];

/// Every call of the sweep, for `-e trace=`. With the question mark strace passes over a call that
/// this machine does not have.
pub(super) fn all_calls() -> String {
    let calls: Vec<String> =
        CHANGING.iter().chain(&READING).map(|call| format!("?{call}")).collect();
    calls.join(",")
}

/// The faults that a call can have. `is_full` adds those that lead into the same code as another
/// one.
pub(super) fn faults(call: &str, is_full: bool) -> &'static [Fault] {
    match call {
        call if READING.contains(&call) => &[Fault::Eio],
        // A sync or a lock seldom fails for lack of space, and a removal never does.
        "fsync" | "fdatasync" | "flock" | "unlink" | "unlinkat" | "sync_file_range" if !is_full => {
            &[Fault::Eio, Fault::Kill]
        }
        // Most of these calls belong to the loader and to `/proc`.
        "openat" if !is_full => &[Fault::Eio],
        _ => &[Fault::Eio, Fault::Enospc, Fault::Kill],
    }
}

/// Written `STEP:CALL:FAULT:N`, in messages and after `--case`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Case {
    pub(super) step: String,
    pub(super) call: String,
    pub(super) fault: Fault,
    /// The occurrence, counted from one, for each thread apart.
    pub(super) when: u32,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}:{}", self.step, self.call, self.fault.name(), self.when)
    }
}

impl FromStr for Case {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not STEP:CALL:FAULT:N, as in put:fdatasync:EIO:1");
        let [step, call, fault, when] = text.split(':').collect::<Vec<_>>()[..] else {
            return Err(wrong());
        };
        let fault = [Fault::Eio, Fault::Enospc, Fault::Kill]
            .into_iter()
            .find(|known| known.name() == fault);
        let when = when.parse().ok().filter(|when| *when > 0);
        let (Some(fault), Some(when)) = (fault, when) else { return Err(wrong()) };
        Ok(Self { step: step.to_owned(), call: call.to_owned(), fault, when })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_is_read_as_it_is_written() {
        let case =
            Case { step: "put".into(), call: "fdatasync".into(), fault: Fault::Enospc, when: 3 };
        assert_eq!(case.to_string(), "put:fdatasync:ENOSPC:3");
        assert_eq!(case.to_string().parse(), Ok(case));
        for wrong in
            ["", "put:fsync:EIO", "put:fsync:EIO:0", "put:fsync:EPERM:1", "put:fsync:EIO:1:2"]
        {
            assert!(wrong.parse::<Case>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_call_has_a_fault() {
        for call in CHANGING.iter().chain(&READING) {
            assert!(faults(call, false).contains(&Fault::Eio), "{call}");
            assert!(
                faults(call, false).iter().all(|fault| faults(call, true).contains(fault)),
                "{call}"
            );
        }
    }
}
