//! What goes wrong, in the alphabet's words.

use std::io;

use crate::memory::{Fault, FaultPlan, Io};

/// One coming I/O goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, arbitrary::Arbitrary)]
pub struct Mishap {
    /// Of which kind; `None` for any.
    pub io: Option<Io>,
    /// So many go well before, modulo 16 (modulo 64 when any kind counts).
    pub after: u8,
    /// How.
    pub how: How,
}

/// How an I/O goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, arbitrary::Arbitrary)]
pub enum How {
    /// It fails.
    Fails(ErrorKind),
    /// It takes effect and fails.
    FailsLate(ErrorKind),
    /// Bytes read are wrong.
    Garbles,
    /// The power is cut before it.
    PowerCut,
    /// The power is cut just after it.
    PowerCutLate,
}

/// What the operating system says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, arbitrary::Arbitrary)]
pub enum ErrorKind {
    /// The disk is full.
    Full,
    /// Access denied.
    Denied,
    /// An I/O error.
    Other,
    /// The file is too short.
    Eof,
    /// There is no file.
    Missing,
    /// A signal came.
    Interrupted,
}

impl ErrorKind {
    fn kind(self) -> io::ErrorKind {
        match self {
            Self::Full => io::ErrorKind::StorageFull,
            Self::Denied => io::ErrorKind::PermissionDenied,
            Self::Other => io::ErrorKind::Other,
            Self::Eof => io::ErrorKind::UnexpectedEof,
            Self::Missing => io::ErrorKind::NotFound,
            Self::Interrupted => io::ErrorKind::Interrupted,
        }
    }
}

impl Mishap {
    pub(super) fn plan(self) -> FaultPlan {
        let fault = match self.how {
            How::Fails(kind) => Fault::Fail(kind.kind()),
            How::FailsLate(kind) => Fault::FailLate(kind.kind()),
            How::Garbles => Fault::Garble,
            How::PowerCut => Fault::PowerCut,
            How::PowerCutLate => Fault::PowerCutLate,
        };
        let modulus = if self.io.is_some() { 16 } else { 64 };
        FaultPlan { io: self.io, after: u32::from(self.after) % modulus, fault }
    }
}
