#![allow(
    unsafe_code,
    reason = "ptrace and process_vm_readv have no safe wrapper that passes every signal and stop \
         through"
)]
//! The few requests of `ptrace` that tracing needs, and the memory of a tracee.
//!
//! Each fails with ESRCH when the tracee was killed meanwhile: no error for callers, its end is
//! reported to them like any other.

use std::io;
use std::mem::{MaybeUninit, size_of};
use std::ptr;

use super::registers::Registers;

/// What to do with a stopped tracee.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resume {
    /// Let it run.
    Run,
    /// Let it run to the end of the system call that it is in.
    ToEndOfCall,
}

const OPTIONS: i32 = libc::PTRACE_O_TRACESECCOMP
    | libc::PTRACE_O_TRACESYSGOOD
    | libc::PTRACE_O_TRACECLONE
    | libc::PTRACE_O_TRACEFORK
    | libc::PTRACE_O_TRACEVFORK
    | libc::PTRACE_O_TRACEEXEC
    | libc::PTRACE_O_EXITKILL;

/// For what ran before us. Without EXITKILL: when we end, however we end, the kernel lets them go
/// and they run on. TRACESYSGOOD marks a stop at a call so that even then no signal is made of it.
const OPTIONS_RUNNING: i32 =
    libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_TRACECLONE | libc::PTRACE_O_TRACEEXEC;

/// Attaches to a child that runs, and from there to all that it starts.
pub(super) fn seize(tid: i32) -> io::Result<()> {
    request(libc::PTRACE_SEIZE, tid, 0, OPTIONS.unsigned_abs() as usize)
}

/// Attaches to a thread that ran before us, and to threads that it starts. It does not stop for
/// that.
pub(super) fn seize_running(tid: i32) -> io::Result<()> {
    request(libc::PTRACE_SEIZE, tid, 0, OPTIONS_RUNNING.unsigned_abs() as usize)
}

/// Stops it soon; that is told like any other stop.
pub(super) fn interrupt(tid: i32) -> io::Result<()> {
    request(libc::PTRACE_INTERRUPT, tid, 0, 0)
}

/// Lets a stopped tracee go for good. `signal`: to be delivered to it; 0 for none.
pub(super) fn detach(tid: i32, signal: i32) -> io::Result<()> {
    request(libc::PTRACE_DETACH, tid, 0, signal.unsigned_abs() as usize)
}

/// A stop at a system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CallStop {
    Begins { architecture: u32, call: u64, arguments: [u64; 6] },
    Ends,
}

/// Which one it is stopped at; `None` if at neither. Fails with EIO before Linux 5.3.
pub(super) fn call_stop(tid: i32) -> io::Result<Option<CallStop>> {
    /// Missing from some C libraries' headers.
    const GET_SYSCALL_INFO: libc::c_uint = 0x420e;
    const BEGINS: u8 = 1;
    const ENDS: u8 = 2;
    // The kernel's structure in words: what and for which architecture, two pointers, the number,
    // the arguments.
    let mut info = [0_u64; 11];
    request(GET_SYSCALL_INFO, tid, size_of_val(&info), ptr::from_mut(&mut info) as usize)?;
    let [what, _, _, call, a, b, c, d, e, f, _] = info;
    let (kind, architecture) = (what as u8, (what >> 32) as u32);
    Ok(match kind {
        BEGINS => Some(CallStop::Begins { architecture, call, arguments: [a, b, c, d, e, f] }),
        ENDS => Some(CallStop::Ends),
        _ => None,
    })
}

/// `signal`: to be delivered to it; 0 for none.
pub(super) fn resume(tid: i32, resume: Resume, signal: i32) -> io::Result<()> {
    let how = match resume {
        Resume::Run => libc::PTRACE_CONT,
        Resume::ToEndOfCall => libc::PTRACE_SYSCALL,
    };
    request(how, tid, 0, signal.unsigned_abs() as usize)
}

/// Leaves it stopped as job control wants it, until SIGCONT.
pub(super) fn leave_stopped(tid: i32) -> io::Result<()> {
    request(libc::PTRACE_LISTEN, tid, 0, 0)
}

/// What belongs to the event that it is stopped at.
pub(super) fn event_message(tid: i32) -> io::Result<u64> {
    let mut message: libc::c_ulong = 0;
    request(libc::PTRACE_GETEVENTMSG, tid, 0, ptr::from_mut(&mut message) as usize)?;
    Ok(message)
}

pub(super) fn registers(tid: i32) -> io::Result<Registers> {
    /// The general registers, in the kernel's numbering of register sets.
    const GENERAL: usize = 1;
    let mut registers = MaybeUninit::<libc::user_regs_struct>::zeroed();
    let mut place = libc::iovec {
        iov_base: registers.as_mut_ptr().cast(),
        iov_len: size_of::<libc::user_regs_struct>(),
    };
    request(libc::PTRACE_GETREGSET, tid, GENERAL, ptr::from_mut(&mut place) as usize)?;
    // SAFETY: integers only, zeroed before the kernel wrote at most their size.
    Ok(Registers::from(&unsafe { registers.assume_init() }))
}

/// How many bytes from `address` on could be read: fewer where its memory ends.
pub(super) fn read_memory(tid: i32, address: u64, bytes: &mut [u8]) -> usize {
    let Ok(address) = usize::try_from(address) else { return 0 };
    let ours = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    let theirs =
        libc::iovec { iov_base: ptr::without_provenance_mut(address), iov_len: bytes.len() };
    // SAFETY: writes only into `bytes`; the other address is one of the tracee, which the kernel
    // checks.
    let count = unsafe { libc::process_vm_readv(tid, &raw const ours, 1, &raw const theirs, 1, 0) };
    usize::try_from(count).unwrap_or(0)
}

fn request(request: libc::c_uint, tid: i32, address: usize, data: usize) -> io::Result<()> {
    // SAFETY: of the requests made here GETEVENTMSG, GETREGSET and GET_SYSCALL_INFO write: to where
    // `data` points, a live local of the size that they need or are told.
    let done = unsafe { libc::ptrace(request as _, tid, address, data) };
    if done == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
