//! Which system calls stop for us: those that create a descriptor, and only those.
//!
//! A seccomp filter answers TRACE for them and ALLOW for everything else, so `read`, `write`,
//! `close` and their like run at full speed. The sixteen bits that come with TRACE say where the
//! new numbers will be found.
//!
//! Calls of another architecture (32-bit programs on a 64-bit kernel) are let through. Not traced:
//! `recvmsg`, which may bring descriptors but is far too frequent; `ioctl`, `bpf`, `clone3` with
//! CLONE_PIDFD; what io_uring opens.

use libc::{BPF_ABS, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, c_long, sock_filter};

use super::seccomp::ALLOW;

/// Where a call puts the numbers of its new descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It returns the one.
    Returned,
    /// It writes two into an array that this argument points to.
    PairAt(usize),
}

impl Outcome {
    const fn data(self) -> u16 {
        match self {
            Self::Returned => 0,
            Self::PairAt(argument) => 1 + argument as u16,
        }
    }

    /// From what a stop brought.
    pub(super) fn of(message: u64) -> Self {
        match usize::try_from(message) {
            Ok(data @ 1..) => Self::PairAt(data - 1),
            _ => Self::Returned,
        }
    }
}

struct Rule {
    call: c_long,
    /// The low half of an argument must be one of these.
    only: Option<(u32, &'static [u32])>,
    outcome: Outcome,
}

const fn always(call: c_long) -> Rule {
    Rule { call, only: None, outcome: Outcome::Returned }
}

const fn pair(call: c_long, argument: usize) -> Rule {
    Rule { call, only: None, outcome: Outcome::PairAt(argument) }
}

const fn only(call: c_long, argument: u32, values: &'static [u32]) -> Rule {
    Rule { call, only: Some((argument, values)), outcome: Outcome::Returned }
}

/// With any other first argument they change a signalfd that exists.
const NEW: &[u32] = &[u32::MAX];
const DUPLICATE: &[u32] = &[libc::F_DUPFD.cast_unsigned(), libc::F_DUPFD_CLOEXEC.cast_unsigned()];

const RULES: &[Rule] = &[
    always(libc::SYS_openat),
    always(libc::SYS_openat2),
    always(libc::SYS_open_by_handle_at),
    always(libc::SYS_socket),
    always(libc::SYS_accept),
    always(libc::SYS_accept4),
    pair(libc::SYS_socketpair, 3),
    pair(libc::SYS_pipe2, 0),
    always(libc::SYS_dup),
    always(libc::SYS_dup3),
    only(libc::SYS_fcntl, 1, DUPLICATE),
    always(libc::SYS_eventfd2),
    always(libc::SYS_epoll_create1),
    always(libc::SYS_inotify_init1),
    always(libc::SYS_fanotify_init),
    always(libc::SYS_timerfd_create),
    only(libc::SYS_signalfd4, 0, NEW),
    always(libc::SYS_memfd_create),
    always(libc::SYS_memfd_secret),
    always(libc::SYS_pidfd_open),
    always(libc::SYS_pidfd_getfd),
    always(libc::SYS_io_uring_setup),
    always(libc::SYS_userfaultfd),
    always(libc::SYS_perf_event_open),
    always(libc::SYS_fsopen),
    always(libc::SYS_fspick),
    always(libc::SYS_fsmount),
    always(libc::SYS_open_tree),
    always(libc::SYS_mq_open),
    always(libc::SYS_landlock_create_ruleset),
];

/// Calls that newer architectures do without.
#[cfg(target_arch = "x86_64")]
const RULES_OLD: &[Rule] = &[
    always(libc::SYS_open),
    always(libc::SYS_creat),
    pair(libc::SYS_pipe, 0),
    always(libc::SYS_dup2),
    always(libc::SYS_eventfd),
    always(libc::SYS_epoll_create),
    always(libc::SYS_inotify_init),
    only(libc::SYS_signalfd, 0, NEW),
];
#[cfg(target_arch = "aarch64")]
const RULES_OLD: &[Rule] = &[];

/// As the kernel names the architectures: the number of the ELF machine, and flags for 64 bits and
/// little endian.
#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 62 | 0xC000_0000;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 183 | 0xC000_0000;

/// Offsets into the kernel's `seccomp_data`.
const CALL_AT: u32 = 0;
const ARCHITECTURE_AT: u32 = 4;
const ARGUMENTS_AT: u32 = 16;

/// The filter. Each rule either answers or goes on to the next, so no jump is long.
pub(super) fn program() -> Vec<sock_filter> {
    let mut program =
        vec![load(ARCHITECTURE_AT), jump(ARCHITECTURE, 1, 0), answer(ALLOW), load(CALL_AT)];
    for rule in RULES_OLD.iter().chain(RULES) {
        let call = u32::try_from(rule.call).expect("numbers of calls are small");
        let trace = answer(libc::SECCOMP_RET_TRACE | u32::from(rule.outcome.data()));
        let Some((argument, values)) = rule.only else {
            program.extend([jump(call, 0, 1), trace]);
            continue;
        };
        let count = u8::try_from(values.len()).expect("a handful of values");
        program.extend([jump(call, 0, count + 3), load(ARGUMENTS_AT + 8 * argument)]);
        // Each jumps over the values after it and over ALLOW.
        program.extend((0..count).zip(values).map(|(at, &value)| jump(value, count - at, 0)));
        program.extend([answer(ALLOW), trace]);
    }
    program.push(answer(ALLOW));
    program
}

/// What the filter would say, for calls that stop without it; `None` for those that create nothing.
pub(super) fn outcome(architecture: u32, call: u64, arguments: &[u64; 6]) -> Option<Outcome> {
    if architecture != ARCHITECTURE {
        return None;
    }
    let mut rules = RULES_OLD.iter().chain(RULES);
    let rule = rules.find(|rule| u64::try_from(rule.call) == Ok(call))?;
    let is_meant = rule.only.is_none_or(|(argument, values)| {
        // The kernel takes an int: the bits above do not count.
        values.contains(&(arguments[argument as usize] as u32))
    });
    is_meant.then_some(rule.outcome)
}

const fn load(offset: u32) -> sock_filter {
    sock_filter { code: (BPF_LD | BPF_W | BPF_ABS) as u16, jt: 0, jf: 0, k: offset }
}

/// So many instructions further if what was loaded is `value`, or otherwise.
const fn jump(value: u32, if_equal: u8, otherwise: u8) -> sock_filter {
    sock_filter { code: (BPF_JMP | BPF_JEQ | BPF_K) as u16, jt: if_equal, jf: otherwise, k: value }
}

const fn answer(value: u32) -> sock_filter {
    sock_filter { code: (BPF_RET | BPF_K) as u16, jt: 0, jf: 0, k: value }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel would answer: the three instructions that the filter is made of.
    fn run(architecture: u32, call: c_long, arguments: [u64; 6]) -> u32 {
        let program = program();
        let (mut at, mut loaded) = (0, 0);
        loop {
            let instruction = program[at];
            at += 1;
            let code = u32::from(instruction.code);
            if code == BPF_RET | BPF_K {
                return instruction.k;
            } else if code == BPF_LD | BPF_W | BPF_ABS {
                loaded = match instruction.k {
                    0 => u32::try_from(call).unwrap(),
                    4 => architecture,
                    offset => arguments[(offset as usize - 16) / 8] as u32,
                };
            } else {
                assert_eq!(code, BPF_JMP | BPF_JEQ | BPF_K);
                let jump = if loaded == instruction.k { instruction.jt } else { instruction.jf };
                at += usize::from(jump);
            }
        }
    }

    fn check(call: c_long, arguments: [u64; 6], expected: Option<Outcome>) {
        let found = run(ARCHITECTURE, call, arguments);
        match expected {
            None => assert_eq!(found, ALLOW, "{call} {arguments:?}"),
            Some(outcome) => {
                assert_eq!(found & 0xffff_0000, libc::SECCOMP_RET_TRACE, "{call} {arguments:?}");
                assert_eq!(Outcome::of(u64::from(found & 0xffff)), outcome, "{call} {arguments:?}");
            }
        }
    }

    #[test]
    fn calls_that_create_are_traced_and_no_others() {
        let none = [0; 6];
        for call in [
            libc::SYS_openat,
            libc::SYS_socket,
            libc::SYS_accept4,
            libc::SYS_dup3,
            libc::SYS_memfd_create,
        ] {
            check(call, none, Some(Outcome::Returned));
        }
        for call in
            [libc::SYS_read, libc::SYS_close, libc::SYS_recvmsg, libc::SYS_getpid, libc::SYS_execve]
        {
            check(call, none, None);
        }
        check(libc::SYS_pipe2, none, Some(Outcome::PairAt(0)));
        check(libc::SYS_socketpair, none, Some(Outcome::PairAt(3)));
        // The last of the rules is reached, too.
        check(libc::SYS_landlock_create_ruleset, none, Some(Outcome::Returned));
    }

    #[test]
    fn some_are_traced_by_their_arguments() {
        let fcntl = |command: i32| [3, u64::try_from(command).unwrap(), 0, 0, 0, 0];
        for command in [libc::F_DUPFD, libc::F_DUPFD_CLOEXEC] {
            check(libc::SYS_fcntl, fcntl(command), Some(Outcome::Returned));
        }
        for command in [libc::F_GETFD, libc::F_SETFD, libc::F_SETLKW, 1029, 1031] {
            check(libc::SYS_fcntl, fcntl(command), None);
        }
        // The kernel takes an int: the bits above do not count.
        check(libc::SYS_fcntl, [0, 1 << 32, 0, 0, 0, 0], Some(Outcome::Returned));
        check(libc::SYS_signalfd4, [u64::MAX, 0, 0, 0, 0, 0], Some(Outcome::Returned));
        check(libc::SYS_signalfd4, [0xffff_ffff, 0, 0, 0, 0, 0], Some(Outcome::Returned));
        check(libc::SYS_signalfd4, [7, 0, 0, 0, 0, 0], None);
    }

    #[test]
    fn the_filter_and_what_is_asked_without_it_agree() {
        let foreign = ARCHITECTURE & !0x8000_0000;
        for architecture in [ARCHITECTURE, foreign] {
            for call in 0..600 {
                for first in [0, 1, 3, 1030, u64::MAX, 1 << 32] {
                    let arguments = [first, first, 0, 0, 0, 0];
                    let found = run(architecture, call, arguments);
                    let expected = (found != ALLOW).then(|| Outcome::of(u64::from(found & 0xffff)));
                    let asked = outcome(architecture, call.unsigned_abs(), &arguments);
                    assert_eq!(asked, expected, "{architecture:x} {call} {arguments:?}");
                }
            }
        }
    }

    #[test]
    fn another_architecture_is_let_through() {
        assert_eq!(run(ARCHITECTURE & !0x8000_0000, libc::SYS_openat, [0; 6]), ALLOW);
        assert_eq!(run(3 | 0x4000_0000, 5, [0; 6]), ALLOW);
        // x32 on x86-64: the same architecture, numbers with a bit of their own.
        assert_eq!(run(ARCHITECTURE, libc::SYS_openat | 0x4000_0000, [0; 6]), ALLOW);
    }
}
