//! Standard output and standard error of the command.
//!
//! Before `main`, the standard library opens `/dev/null` in place of each standard stream that is
//! closed, and its own standard output takes a write to a descriptor that is not open for writing
//! for a success. So a report could be lost and reported as written. This module looks for a closed
//! standard output earlier, when the C library calls the functions that are listed in the section
//! `.init_array` of the binary, and writes without the standard library.
#![allow(
    unsafe_code,
    reason = "what runs before the standard library begins is only named by a section of the binary"
)]

use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use super::failure::{Failure, USAGE};

const STDOUT: &str = "standard output";

/// Relaxed: it is written before there is a second thread, and never again.
static IS_STDOUT_CLOSED: AtomicBool = AtomicBool::new(false);

// SAFETY: the C library calls the functions of this section once each, on the main thread, with C's
// calling convention. Arguments that it passes and the function does not take are no harm in that
// convention.
#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = note_closed;

/// Uses nothing of the standard library but an atomic, for that library has not begun yet.
extern "C" fn note_closed() {
    // SAFETY: the call takes two integers and changes nothing; of a closed descriptor it says that
    // it is one.
    if unsafe { libc::fcntl(libc::STDOUT_FILENO, libc::F_GETFD) } == -1 {
        IS_STDOUT_CLOSED.store(true, Ordering::Relaxed);
    }
}

/// Standard output without a buffer. A write that fails is an error, also where the standard
/// library would drop it.
pub(super) struct Stdout(());

/// # Errors
/// When it was closed before the process began.
pub(super) fn stdout() -> Result<Stdout, Failure> {
    if IS_STDOUT_CLOSED.load(Ordering::Relaxed) {
        let why = "it is closed; `>/dev/null` is the place for what is not needed";
        return Err(Failure::output(STDOUT, io::Error::new(io::ErrorKind::NotConnected, why)));
    }
    Ok(Stdout(()))
}

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::io::retry_on_intr(|| rustix::io::write(io::stdout(), bytes))?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes to standard output what is made by `write`, all of it at once.
pub(super) fn print(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Failure> {
    let mut out = stdout()?;
    let mut text = Vec::new();
    let written = write(&mut text).and_then(|()| out.write_all(&text));
    written.map_err(|error| Failure::output(STDOUT, error))
}

/// A line on standard error. That it cannot be written ends nothing.
pub(super) fn note(line: impl Display) {
    let _ = writeln!(io::stderr(), "fdwatch: {line}");
}

/// What clap has to say instead of a command line: help and the version, which are data, or what is
/// wrong.
pub(super) fn tell(told: &clap::Error) -> Result<u8, Failure> {
    let text = told.render();
    if told.use_stderr() {
        let mut err = io::stderr().lock();
        // Standard error is the only place to say that it cannot be written.
        let _ =
            if err.is_terminal() { write!(err, "{}", text.ansi()) } else { write!(err, "{text}") };
        return Ok(USAGE);
    }
    if io::stdout().is_terminal() {
        print(|out| write!(out, "{}", text.ansi()))?;
    } else {
        print(|out| write!(out, "{text}"))?;
    }
    Ok(0)
}
