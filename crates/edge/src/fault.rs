//! Why a request was refused, in the server's own words; each protocol says it in its own.

use drystone_store::StoreError;

use crate::gate::Busy;

/// What a client is told when the store has failed: the details are the operator's.
pub const FAILED: &str = "the request failed inside the server; its log says more";
/// What a client is told when the disk is full.
pub const FULL: &str =
    "the disk of the store is full: nothing can be stored until there is room on it again";

/// Why a body is not what it should be: a face's own reason, which it finds again as what it was.
pub type BadBody = Box<dyn std::error::Error + Send + Sync>;

/// A refusal that either protocol can express.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The store's own.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The queue is full, or the request waited in it for too long.
    #[error("the server is at its ceiling of {0}; try again in a moment")]
    Busy(&'static str),
    /// The client sent nothing for too long, or too little while others waited.
    #[error("the client sent too little in {0} s")]
    TooSlow(u64),
    /// The client sent next to nothing, and its connection was closed for another one.
    #[error("the client sent too little while others waited for its connection")]
    MadeWay,
    /// The body ended early, or the connection broke.
    #[error("the body is incomplete: {0}")]
    Incomplete(String),
    /// The body is not what its signature or framing promised.
    #[error("the body is not what was announced: {0}")]
    BadBody(BadBody),
    /// A checksum that the client gave is not the body's.
    #[error("the {0} that was given does not match the body")]
    BadDigest(&'static str),
    /// A checksum that the client gave cannot be one.
    #[error("the {0} that was given is malformed")]
    InvalidDigest(&'static str),
    /// The key that the request was let in with is gone, or has lost its right, before the commit.
    #[error("the key was revoked, or lost its right to do this, while the request was under way")]
    Revoked,
    /// A task of ours panicked.
    #[error("{FAILED}")]
    Internal,
}

impl Fault {
    /// A body that came to a bad end, for this reason.
    pub fn bad_body(reason: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::BadBody(Box::new(reason))
    }

    /// The spool failed.
    pub fn spool(error: std::io::Error) -> Self {
        Self::Store(StoreError::storage("cannot keep what a client has sent", error))
    }
}

impl From<Busy> for Fault {
    fn from(busy: Busy) -> Self {
        Self::Busy(busy.0)
    }
}
