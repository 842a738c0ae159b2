//! What can go wrong, by what the caller can do about it.

use std::error::Error;
use std::io;

use drystone_chunker::ChunkId;
use drystone_pool::AcquireError;
use drystone_sync::PlainArc;

use crate::{BucketName, Key, NameError, SegmentId, UploadId};

/// The result of a store operation.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// An error of the store. Cheap to clone, because one failed sync fails every upload that waits
/// for it.
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
    /// A bucket was to be removed, and there are objects in it.
    #[error("bucket `{0}` is not empty")]
    BucketNotEmpty(BucketName),
    /// There is no such multipart upload: it was completed or aborted, or its bucket removed.
    #[error("no multipart upload {0}")]
    NoSuchUpload(UploadId),
    /// An upload was to be completed with a part that it does not have.
    #[error("the upload has no part {number}")]
    PartMissing {
        /// The part asked for.
        number: u32,
    },
    /// An upload was to be completed with a part that contains something else by now.
    #[error("part {number} is not the one that was named")]
    PartChanged {
        /// The part asked for.
        number: u32,
    },
    /// The parts of an upload were not named in ascending order.
    #[error("part {number} is named after one that does not come before it")]
    PartOrder {
        /// The first part out of order.
        number: u32,
    },
    /// A part cannot have this number.
    #[error("part {number} cannot be: parts have the numbers 1 to {max}")]
    PartNumber {
        /// The number asked for.
        number: u32,
        /// The highest allowed.
        max: u32,
    },
    /// More was to be copied than there is.
    #[error("the range is not inside the object, which has {size} bytes")]
    RangeBeyondEnd {
        /// The object's length in bytes.
        size: u64,
    },
    /// An object was to be put together from too many pieces of others.
    #[error(
        "the object would be made of more than {max} slices of others; put its bytes again instead of copying"
    )]
    TooManySlices {
        /// How many are allowed.
        max: usize,
    },
    /// There is an access key of this name already.
    #[error("access key `{0}` exists already")]
    KeyExists(String),
    /// The commit's condition did not hold.
    #[error("object `{key}` was not stored: its precondition does not hold")]
    PreconditionFailed {
        /// The key of the refused put.
        key: Key,
    },
    /// The upload session's lease ran out, so its chunks are no longer protected.
    #[error("the upload session expired before the commit; put the object again")]
    SessionExpired,
    /// A lease was asked for that no session needs.
    #[error("a lease of {lease_ms} ms is too long, the longest is {max_ms} ms")]
    LeaseTooLong {
        /// Milliseconds asked for.
        lease_ms: u64,
        /// Milliseconds allowed.
        max_ms: u64,
    },
    /// Stored bytes are not what they were.
    #[error(
        "object `{key}` is damaged at offset {offset}: chunk {chunk} in segment {segment} ({detail})"
    )]
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
    /// An object was deleted or overwritten while it was read, and a collect has taken away what
    /// was not read yet.
    #[error("object `{key}` was deleted or replaced while it was read; read it again")]
    Replaced {
        /// The object that was read.
        key: Key,
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
    /// A collect has changed nothing: chunks are in a segment that is not there.
    #[error("segment {0} is missing, and chunks are in it")]
    MissingSegment(SegmentId),
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
        self.io_kind().is_some_and(|kind| {
            matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
        })
    }

    /// Whether something is in use by another process.
    pub fn is_busy(&self) -> bool {
        self.io_kind() == Some(io::ErrorKind::ResourceBusy)
    }

    /// Whether something is not there.
    pub fn is_missing(&self) -> bool {
        self.io_kind() == Some(io::ErrorKind::NotFound)
    }

    fn io_kind(&self) -> Option<io::ErrorKind> {
        match self {
            Self::Storage { source, .. } => Some(source.kind()),
            Self::Records { source, .. } => source.downcast_ref::<io::Error>().map(io::Error::kind),
            _ => None,
        }
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
