//! Refusals: what does not fit, and the line to change.

/// The plan does not fit below a ceiling. Each message names the setting to change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// The least that can work needs more memory than there is.
    #[error(
        "too little memory: {needed_bytes} bytes are needed at least, \
         but {ceiling_source} allows {ceiling_bytes}; {hint}"
    )]
    MemoryTooSmall {
        /// The least that can work, exactly: a ceiling of this many bytes is accepted.
        needed_bytes: u64,
        /// The ceiling that was found.
        ceiling_bytes: u64,
        /// What sets the ceiling.
        ceiling_source: String,
        /// What to change, ready to type.
        hint: String,
    },
    /// The least that can work needs more open files than are allowed.
    #[error(
        "too few file descriptors: {needed} are needed at least, but {ceiling_source} allows \
         {ceiling}; {hint}"
    )]
    DescriptorsTooFew {
        /// The least that can work, exactly.
        needed: u64,
        /// The ceiling that was found.
        ceiling: u64,
        /// What sets the ceiling.
        ceiling_source: String,
        /// What to change, ready to type.
        hint: String,
    },
    /// A running server cannot have that many beside what it has taken already.
    #[error(
        "{setting} = {asked} does not fit: there is room for {most} within {ceiling}; \
         set {setting} to {most} or less{hint}"
    )]
    ServingTooLarge {
        /// The setting to change.
        setting: &'static str,
        /// What was asked for.
        asked: u64,
        /// The most that fits.
        most: u64,
        /// The ceiling that would be passed, and what sets it.
        ceiling: String,
        /// What else could be changed, beginning with a comma; empty when there is nothing else.
        hint: String,
    },
}
