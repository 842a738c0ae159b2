//! How stacks are named to callers, on every architecture.

/// A call stack that is known to the [`Stacks`](super::Stacks) it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StackId(pub(super) u32);

impl StackId {
    /// All stacks that found no room.
    pub const OTHER: Self = Self(u32::MAX);
}

/// What found no room, and what was not traced: 0 everywhere if the stacks are complete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StackLosses {
    /// Calls whose stack was not kept, there being too many different ones: they count for
    /// [`StackId::OTHER`].
    pub stacks: u64,
    /// Descriptors whose creator was not noted, there being too many.
    pub descriptors: u64,
    /// Files whose unwind tables were not kept: walks through their code are guesses.
    pub files: u64,
    /// Programs of another architecture that were started (32 bits): their calls are not traced.
    pub foreign_programs: u64,
    /// Files whose debug information is too large to be read: their frames have no lines, and what
    /// was inlined is not seen.
    pub debug_files: u64,
}

/// What was left after some stops were handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(dead_code, reason = "where stacks are not built, nothing is served")]
pub(super) enum Served {
    /// There are more.
    Some,
    /// None for now.
    All,
    /// Nothing is traced.
    Nothing,
}
