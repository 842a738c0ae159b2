//! `kcmp(2)`, which `rustix` does not have.
#![allow(unsafe_code, reason = "a system call without a safe wrapper")]

use rustix::io::Errno;

/// `KCMP_FILES` of `linux/kcmp.h`.
const FILES: libc::c_int = 2;

/// Whether two threads share their table of descriptors. Refused for others' processes, and in
/// small kernels unknown.
pub(crate) fn share_descriptors(thread: u32, other: u32) -> Result<bool, Errno> {
    let [thread, other] = [thread, other].map(|id| libc::pid_t::try_from(id).unwrap_or(-1));
    // SAFETY: five integers and no pointer; the kernel looks both threads up by number.
    let order = unsafe { libc::syscall(libc::SYS_kcmp, thread, other, FILES, 0_u64, 0_u64) };
    match order {
        0 => Ok(true),
        1.. => Ok(false),
        _ => Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::INVAL)),
    }
}
