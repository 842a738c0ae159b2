//! Sources that give what they have in every way that `Read` allows.

use std::io::{self, Read};

use crate::noise::Noise;

/// How a source is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, arbitrary::Arbitrary)]
pub enum Manner {
    /// As much as fits.
    Whole,
    /// A byte at a time.
    Bytes,
    /// As much as fits, some, or nothing but `Interrupted`; by this seed.
    Uneven(u8),
}

/// A source of known bytes that may fail.
pub struct ScriptedReader<'a> {
    bytes: &'a [u8],
    at: usize,
    manner: Manner,
    noise: Noise,
    fail_at: Option<usize>,
    has_failed: bool,
    event: Option<(usize, Box<dyn FnOnce() + 'a>)>,
}

impl<'a> ScriptedReader<'a> {
    /// Gives `bytes`.
    pub fn new(bytes: &'a [u8], manner: Manner) -> Self {
        let seed = if let Manner::Uneven(seed) = manner { seed.into() } else { 0 };
        let noise = Noise::new(seed);
        Self { bytes, at: 0, manner, noise, fail_at: None, has_failed: false, event: None }
    }

    /// Fails once `at` bytes are read, for good.
    #[must_use]
    pub fn failing_at(mut self, at: usize) -> Self {
        self.fail_at = Some(at);
        self
    }

    /// Calls `event` before it gives byte `at`, or says that there is none.
    #[must_use]
    pub fn calling_at(mut self, at: usize, event: impl FnOnce() + 'a) -> Self {
        self.event = Some((at, Box::new(event)));
        self
    }

    /// Whether it gave its error.
    pub fn has_failed(&self) -> bool {
        self.has_failed
    }

    /// How many bytes were read.
    pub fn position(&self) -> usize {
        self.at
    }
}

impl Read for ScriptedReader<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if let Some((_, event)) = self.event.take_if(|(at, _)| *at <= self.at) {
            event();
        }
        if self.fail_at.is_some_and(|at| at <= self.at) {
            self.has_failed = true;
            return Err(io::Error::other("the source fails, as it should"));
        }
        let end = self.fail_at.unwrap_or(self.bytes.len()).min(self.bytes.len());
        let event_at = self.event.as_ref().map_or(end, |(at, _)| (*at).max(self.at + 1));
        let rest = &self.bytes[self.at..end.min(event_at).max(self.at)];
        let most = rest.len().min(into.len());
        let len = match self.manner {
            Manner::Whole => most,
            Manner::Bytes => most.min(1),
            Manner::Uneven(_) => match self.noise.below(4) {
                0 => return Err(io::ErrorKind::Interrupted.into()),
                1 => most,
                _ => most.min(1 + self.noise.below(700) as usize),
            },
        };
        into[..len].copy_from_slice(&rest[..len]);
        self.at += len;
        Ok(len)
    }
}
