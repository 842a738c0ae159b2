//! The process between us and the command: our own binary, which becomes the command.
//!
//! It says over a socket what goes wrong; the socket closes when the command takes its place.
//! Arguments: `__exec PARENT SOCKET MASK plain|traced -- COMMAND…`. With `traced` it waits until it
//! is told that the tracer is there, and only then puts the filter in place: a call that stops for
//! a tracer fails without one.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};

use super::error::RunError;
use super::signals::Mask;
use super::stacks::install_filter;

/// The first argument: no command line of a person begins like this.
const STAGE: &str = "__exec";

/// What went wrong in the stage: a byte for the step, then the error number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// The command could not be executed.
    Exec(i32),
    /// The filter was refused.
    Filter(i32),
    /// Something before that.
    Setup(i32),
    /// Nothing: it waits for its tracer.
    Ready,
}

impl Message {
    fn bytes(self) -> [u8; 5] {
        let (step, error) = match self {
            Self::Exec(error) => (b'E', error),
            Self::Filter(error) => (b'F', error),
            Self::Setup(error) => (b'S', error),
            Self::Ready => (b'R', 0),
        };
        let error = error.to_ne_bytes();
        [step, error[0], error[1], error[2], error[3]]
    }

    /// The next one; `None` when the socket has closed: the command runs, or the stage has died.
    pub(super) fn read(mut from: impl Read) -> io::Result<Option<Self>> {
        let mut bytes = [0; 5];
        match from.read_exact(&mut bytes) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            other => other?,
        }
        let error = i32::from_ne_bytes([bytes[1], bytes[2], bytes[3], bytes[4]]);
        Ok(Some(match bytes[0] {
            b'E' => Self::Exec(error),
            b'F' => Self::Filter(error),
            b'R' => Self::Ready,
            _ => Self::Setup(error),
        }))
    }
}

/// To be called first thing in `main`: if this process was started as the stage, it becomes the
/// command here, or ends with the code that is returned. `None`: an ordinary start.
pub fn exec_stage() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    (arguments.next()? == STAGE).then(|| match Stage::parse(arguments) {
        Some(stage) => stage.run(),
        None => ExitCode::from(64),
    })
}

/// How to start the stage from `trampoline`, with `socket` for its messages.
pub(super) fn command(
    trampoline: &OsStr,
    socket: &UnixStream,
    mask: &Mask,
    is_traced: bool,
    command: &[OsString],
) -> Result<Command, RunError> {
    let failed = |source| RunError::Start { step: "hand a socket down", source };
    // It goes through this one exec only: the stage closes it in the next.
    fcntl_setfd(socket, FdFlags::empty()).map_err(|error| failed(error.into()))?;
    let mut stage = Command::new(trampoline);
    stage
        .args([STAGE, &std::process::id().to_string(), &socket.as_raw_fd().to_string()])
        .args([
            format!("{:x}", mask.bits()).as_str(),
            if is_traced { "traced" } else { "plain" },
            "--",
        ])
        .args(command);
    Ok(stage)
}

struct Stage {
    parent: i32,
    socket: RawFd,
    mask: u64,
    is_traced: bool,
    command: Vec<OsString>,
}

impl Stage {
    fn parse(mut arguments: impl Iterator<Item = OsString>) -> Option<Self> {
        let mut text = || arguments.next()?.into_string().ok();
        let stage = Self {
            parent: text()?.parse().ok()?,
            socket: text()?.parse().ok()?,
            mask: u64::from_str_radix(&text()?, 16).ok()?,
            is_traced: match text()?.as_str() {
                "traced" => true,
                "plain" => false,
                _ => return None,
            },
            command: vec![],
        };
        (text()? == "--").then(|| Self { command: arguments.collect(), ..stage })
    }

    fn run(self) -> ExitCode {
        let mut socket = inherited(self.socket);
        let message = self.prepare(&socket).and_then(|()| self.await_tracer(&mut socket));
        let message = message.err().unwrap_or_else(|| Message::Exec(errno(&self.exec())));
        // If the socket is closed, the exit code alone has to do.
        let _ = socket.write_all(&message.bytes());
        ExitCode::from(126)
    }

    fn prepare(&self, socket: &File) -> Result<(), Message> {
        self.settle(socket).map_err(|error| Message::Setup(errno(&error)))
    }

    fn await_tracer(&self, socket: &mut File) -> Result<(), Message> {
        if !self.is_traced {
            return Ok(());
        }
        let setup = |error| Message::Setup(errno(&error));
        socket.write_all(&Message::Ready.bytes()).map_err(setup)?;
        socket.read_exact(&mut [0]).map_err(setup)?;
        install_filter().map_err(|error| Message::Filter(errno(&error)))
    }

    fn settle(&self, socket: &File) -> io::Result<()> {
        fcntl_setfd(socket, FdFlags::CLOEXEC)?;
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // A parent that died before the line above sends nothing any more.
        if getppid() != Pid::from_raw(self.parent) {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        Mask::from_bits(self.mask).set()
    }

    /// Returns only if it fails.
    fn exec(&self) -> io::Error {
        match self.command.split_first() {
            Some((program, arguments)) => Command::new(program).args(arguments).exec(),
            None => io::Error::from_raw_os_error(libc::ENOENT),
        }
    }
}

fn errno(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(libc::EINVAL)
}

#[allow(unsafe_code, reason = "a descriptor that crosses an exec is only a number")]
fn inherited(number: RawFd) -> File {
    // SAFETY: the parent opened this number for us and left it open over the exec; nothing in this
    // process has touched it before.
    unsafe { File::from_raw_fd(number) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_comes_through() {
        for message in [
            Message::Exec(2),
            Message::Setup(-1),
            Message::Filter(13),
            Message::Ready,
            Message::Exec(i32::MAX),
        ] {
            assert_eq!(Message::read(&message.bytes()[..]).unwrap(), Some(message));
        }
        assert_eq!(Message::read(&[][..]).unwrap(), None);
        assert_eq!(Message::read(&b"E12"[..]).unwrap(), None);
    }

    #[test]
    fn arguments_that_are_not_ours_are_refused() {
        let parse = |line: &str| Stage::parse(line.split_whitespace().map(OsString::from));
        let stage = parse("17 3 ff traced -- a -b").unwrap();
        assert_eq!((stage.parent, stage.socket, stage.mask, stage.is_traced), (17, 3, 255, true));
        assert_eq!(stage.command, ["a", "-b"]);
        for line in [
            "",
            "17",
            "17 3 ff",
            "17 3 ff plain",
            "17 3 ff plain a",
            "17 3 ff -- a",
            "x 3 ff plain -- a",
            "17 x ff plain -- a",
            "17 3 xx plain -- a",
            "17 3 ff other -- a",
        ] {
            assert!(parse(line).is_none(), "{line}");
        }
    }
}
