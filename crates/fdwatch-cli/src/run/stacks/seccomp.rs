#![allow(unsafe_code, reason = "seccomp has no safe wrapper; one block, on a filter that we made")]
//! Puts the filter before this process, and before all that it becomes and starts.

use std::io;

use libc::{sock_filter, sock_fprog};
use rustix::thread::set_no_new_privs;

use super::filter::program;

/// Go on with the call. Missing from the C library's headers that we go by.
pub(super) const ALLOW: u32 = 0x7fff_0000;

/// To be called by a process that is about to become the command, and is traced already: a TRACE
/// that no tracer hears fails with ENOSYS.
///
/// Without CAP_SYS_ADMIN the kernel demands `no_new_privs` first, so that no set-user-ID program
/// can be deceived by a filter: such programs then run without the other user's rights. With it,
/// nothing is given up.
pub(in super::super) fn install_filter() -> io::Result<()> {
    let mut program = program();
    match install(&mut program) {
        Err(error) if error.raw_os_error() == Some(libc::EACCES) => {
            set_no_new_privs(true)?;
            install(&mut program)
        }
        other => other,
    }
}

fn install(program: &mut [sock_filter]) -> io::Result<()> {
    let len = u16::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let filter = sock_fprog { len, filter: program.as_mut_ptr() };
    // No mitigation that would slow down the command: the filter holds no secret.
    let flags = libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW;
    // SAFETY: the filter and its instructions outlive the call, which copies them.
    let done = unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const filter)
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
