//! The drystone protocol: objects cut into deduplicated chunks, kept in append-only segments and
//! named by transactional records.
//!
//! [`Store`] puts and gets over two traits, [`Records`] and [`SegmentStorage`]; nothing in this
//! crate knows what is behind them, does I/O of its own, reads a clock or names `std::sync`.
//! Everything blocks; call it from threads.
//!
//! Where a byte goes: [`Ingest`] reads it into a leased buffer, its cutter thread finds the chunk
//! it belongs to, a worker hashes that chunk, asks whether it is known and appends it if not, the
//! chunk becomes a manifest entry of its [`upload`](PendingPut), and a group commit syncs the
//! segments and writes the records of every upload that waits. On the way back [`ObjectReader`]
//! verifies each chunk before a byte of it leaves.
//!
//! Invariants:
//! - an acknowledged object is durable as the backend's [`SyncPolicy`] asks; an unacknowledged one
//!   is invisible or whole;
//! - records never name bytes that were not written and [settled](SegmentStorage::settle) before;
//! - memory is the buffer pool plus the commit queue, whatever the sizes and the number of objects.

mod batch;
mod collect;
mod collect_rows;
mod commit;
mod composite;
mod error;
mod fetch;
mod group_commit;
mod ids;
mod ingest;
mod keys;
mod listing;
mod multipart;
mod names;
mod parked;
mod pin_records;
mod reader_pins;
mod reading;
mod records;
mod rewrite;
mod rows;
pub mod rules;
mod scrub;
mod segments;
mod session;
mod store;
mod stream;
mod upload;
mod write;
mod writing;

pub use batch::{
    CommitBatch, CommitResult, Complete, Condition, Entry, ManifestEntry, PutTarget, SegmentLen,
    Source, Target,
};
pub use collect::{AskPace, CollectOptions, CollectStage, Collected, Pace};
pub use collect_rows::{
    ChunkMove, CondemnedTotals, Epochs, ScanFrom, SegmentRow, StoredChunk, SweepFrom, Swept,
};
pub use commit::SyncPolicy;
pub use composite::{Composite, PlainSlice, SLICES_MAX};
pub use error::{Result, StoreError};
pub use fetch::ObjectReader;
// For the models, which explore it alone.
#[doc(hidden)]
pub use group_commit::{GroupCommit, Ticket};
pub use ids::{ChunkRef, ContentHash, Epoch, Location, ManifestId, SegmentId, SessionId, UploadId};
pub use ingest::{Ingest, PutFailure};
pub use keys::{Grant, KeyRow, NewKey, Secret};
pub use listing::{FoldedPage, Listed, after_prefix};
pub use multipart::{
    Completion, CopySource, CopyTarget, NamedPart, ObjectPart, ObjectParts, PART_NUMBER_MAX,
    PartRow, PartTarget, UploadRow,
};
pub use names::{BucketName, Key, NameError};
pub use parked::Parked;
pub use pin_records::PinRecords;
pub use reader_pins::READERS_LEASE_MS;
pub use reading::OpenObject;
pub use records::{
    BucketRecords, ChunkRecords, CollectRecords, DELETES_MAX, KeyRecords, ObjectRecords, Records,
    SegmentRecords, SessionRecords, UploadRecords,
};
pub use rows::{
    BucketRow, KnownChunk, ManifestRow, NewBucket, ObjectMeta, ObjectRow, ObjectVersion, Session,
    TAGS, Totals,
};
pub use scrub::{
    Affected, BadChunk, Check, CheckRecords, Finding, Healer, Owner, PlacedChunk, Scrub, ScrubAsk,
    ScrubCounts, ScrubNote, ScrubPlace, ScrubRecords, ScrubRound, SegmentFacts, SliceOf,
};
pub use segments::{Appended, CommitOutcome, Hold, SegmentStorage, Settled};
pub use session::{LEASE_MS_MAX, SessionHandle, UploadSession};
pub use store::{PutStats, Store, StoreConfig, StoreUsage};
pub use upload::{PendingPut, Stored};
pub use writing::Writing;

/// What the README shows is a documentation test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
