//! Which of standard input, output and error this process was started without.
//!
//! Before `main`, the standard library opens `/dev/null` for reading and writing in place of each
//! stream that is closed. So no file of a store gets the number of a standard stream. But from then
//! on a closed stream looks like one that was given `/dev/null`, as daemons and test runners do it:
//! a write to it would be lost and reported as done. So this module looks at them earlier, when the
//! C library calls the functions that are listed in the section `.init_array` of the binary.
#![allow(
    unsafe_code,
    reason = "what runs before the standard library begins is only named by a section of the binary"
)]

use std::sync::atomic::{AtomicU8, Ordering};

/// A bit for each of the three. Relaxed: it is written before there is a second thread, and never
/// again.
static CLOSED: AtomicU8 = AtomicU8::new(0);

// SAFETY: the C library calls the functions of this section once each, on the main thread, with C's
// calling convention. Arguments that it passes and the function does not take are no harm in that
// convention.
#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = note_closed;

/// Uses only an atomic of the standard library, because that library is not initialised yet.
extern "C" fn note_closed() {
    for descriptor in [libc::STDIN_FILENO, libc::STDOUT_FILENO, libc::STDERR_FILENO] {
        // SAFETY: the call takes two integers and changes nothing; for a closed descriptor it
        // returns an error.
        if unsafe { libc::fcntl(descriptor, libc::F_GETFD) } == -1 {
            CLOSED.fetch_or(1 << descriptor, Ordering::Relaxed);
        }
    }
}

/// Whether standard input was closed when the process began.
pub(crate) fn is_stdin_closed() -> bool {
    is_closed(libc::STDIN_FILENO)
}

/// Whether standard output was closed when the process began.
pub(crate) fn is_stdout_closed() -> bool {
    is_closed(libc::STDOUT_FILENO)
}

fn is_closed(descriptor: libc::c_int) -> bool {
    CLOSED.load(Ordering::Relaxed) & (1 << descriptor) != 0
}
