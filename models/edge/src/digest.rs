//! No checksums, but a count of what would have been summed.

use std::cell::Cell;

use crate::fault::Fault;

thread_local! {
    static FED: Cell<usize> = const { Cell::new(0) };
}

/// Pieces of bodies that have been fed to a lane since the last call.
pub(crate) fn take_fed() -> usize {
    FED.replace(0)
}

/// None.
#[derive(Clone, Copy)]
pub(crate) enum Algorithm {}

/// See the server's.
#[derive(Default)]
pub(crate) struct Digests;

impl Digests {
    pub(crate) fn new(_: impl IntoIterator<Item = Algorithm>) -> Self {
        Self
    }

    pub(crate) fn update(&mut self, _: &[u8]) {
        FED.set(FED.get() + 1);
    }

    pub(crate) fn finish(self) -> Digested {
        Digested
    }
}

/// See the server's.
pub(crate) struct Digested;

impl Digested {
    pub(crate) fn check(&self, expected: &Expected) -> Result<(), Fault> {
        if expected.wrong { Err(Fault::BadDigest("checksum")) } else { Ok(()) }
    }
}

/// What a client says the checksums are.
#[derive(Default)]
pub(crate) struct Expected {
    pub(crate) wrong: bool,
}
