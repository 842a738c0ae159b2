//! What can go wrong, by what the caller can do about it.

use std::error::Error;
use std::io;

use drystone_chunker::ChunkId;
use drystone_pool::AcquireError;
use drystone_sync::PlainArc;

use crate::{BucketName, Key, NameError, SegmentId};

/// The result of a store operation.
pub type Result<T> = std::result::Result<T, StoreError>;

/// An error of the store. Cheap to clone, because one failed sync fails everyone who waited for it.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// There is no such object.
    #[error("no object `{key}` in bucket `{bucket}`")]
    NotFound {
        /// The bucket asked for.
        bucket: BucketName,
        /// The key asked for.
        key: Key,
    },
    /// There is no such bucket.
    #[error("no bucket `{0}`")]
    NoSuchBucket(BucketName),
    /// The commit's condition did not hold.
    #[error("object `{key}` was not stored: its precondition does not hold")]
    PreconditionFailed {
        /// The key of the refused put.
        key: Key,
    },
    /// The upload session's lease ran out, so its chunks are no longer protected.
    #[error("the upload session expired before the commit; put the object again")]
    SessionExpired,
    /// Stored bytes are not what they were.
    #[error("object `{key}` is damaged at offset {offset}: chunk {chunk} in segment {segment} ({detail})")]
    Corrupt {
        /// The object that was read.
        key: Key,
        /// Offset of the damaged chunk in the object, in bytes.
        offset: u64,
        /// The chunk that failed.
        chunk: ChunkId,
        /// Where its bytes are.
        segment: SegmentId,
        /// What differs.
        detail: String,
    },
    /// A name was refused.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The segment storage failed.
    #[error("{what}")]
    Storage {
        /// The operation and the path.
        what: String,
        /// The operating system's error.
        #[source]
        source: PlainArc<io::Error>,
    },
    /// The records failed.
    #[error("{what}")]
    Records {
        /// The operation.
        what: String,
        /// The database's error.
        #[source]
        source: PlainArc<dyn Error + Send + Sync>,
    },
    /// The records contradict themselves or the segments.
    #[error("the store's records are inconsistent: {0}")]
    Inconsistent(String),
    /// A thread of the store died at its work.
    #[error("the upload was abandoned because {0}; this is a bug in drystone")]
    Abandoned(&'static str),
    /// The store is closing.
    #[error("the store is closing")]
    Closed,
    /// The operation was cancelled.
    #[error("cancelled")]
    Cancelled,
}

impl StoreError {
    /// A failure of the segment storage.
    pub fn storage(what: impl Into<String>, source: io::Error) -> Self {
        Self::Storage { what: what.into(), source: PlainArc::new(source) }
    }

    /// A failure of the records.
    pub fn records(what: impl Into<String>, source: impl Error + Send + Sync + 'static) -> Self {
        Self::Records { what: what.into(), source: PlainArc::new(source) }
    }

    /// Whether the disk (or a quota) is full.
    pub fn is_full(&self) -> bool {
        let kind = match self {
            Self::Storage { source, .. } => source.kind(),
            Self::Records { source, .. } => match source.downcast_ref::<io::Error>() {
                Some(error) => error.kind(),
                None => return false,
            },
            _ => return false,
        };
        matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }
}

impl From<AcquireError> for StoreError {
    fn from(error: AcquireError) -> Self {
        match error {
            AcquireError::Closed => Self::Closed,
            AcquireError::Cancelled => Self::Cancelled,
        }
    }
}
