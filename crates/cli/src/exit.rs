//! Exit codes, and which error becomes which.

use std::io;
use std::path::PathBuf;

use drystone_limits::PlanError;
use drystone_local::OpenError;
use drystone_store::StoreError;

use crate::output::Unwritten;
use crate::restore::RestoreError;

/// How a command ended; documented in `--help`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Success = 0,
    Failed = 1,
    Usage = 2,
    Partial = 3,
    NotFound = 4,
    Damaged = 5,
    DoesNotFit = 6,
    DiskFull = 7,
    DiskHangs = 8,
    Interrupted = 130,
}

pub(crate) type Outcome = anyhow::Result<Exit>;

/// The user asked for something that makes no sense; exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

/// Where a store's folder should be is something else; exit code 4.
#[derive(Debug, thiserror::Error)]
#[error("{} is not a drystone store but a file; a store is a folder: give --store the folder, or \
         a new name for `init`", .0.display())]
pub(crate) struct NotAFolder(pub(crate) PathBuf);

/// SIGINT or SIGTERM; exit code 130.
#[derive(Debug, thiserror::Error)]
#[error("interrupted; what was not finished is not kept")]
pub(crate) struct Interrupted;

impl Exit {
    pub(crate) fn of(error: &anyhow::Error) -> Self {
        for cause in error.chain() {
            if let Some(error) = cause.downcast_ref::<StoreError>() {
                return Self::of_store(error);
            }
            if let Some(error) = cause.downcast_ref::<OpenError>() {
                return Self::of_open(error);
            }
            // This variant is transparent: the error inside it is not a cause of its own in the
            // chain.
            if let Some(RestoreError::Store(error)) = cause.downcast_ref() {
                return Self::of_store(error);
            }
            if let Some(error) = cause.downcast_ref::<io::Error>() {
                return Self::of_io(error);
            }
            if cause.is::<PlanError>() {
                return Self::DoesNotFit;
            }
            if cause.is::<NotAFolder>() {
                return Self::NotFound;
            }
            if cause.is::<Usage>() {
                return Self::Usage;
            }
            if cause.is::<Interrupted>() {
                return Self::Interrupted;
            }
        }
        Self::Failed
    }

    fn of_io(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::Success,
            // The full disk is the one behind standard output, not the store's.
            _ if error.get_ref().is_some_and(|inner| inner.is::<Unwritten>()) => Self::Failed,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull,
            _ => Self::Failed,
        }
    }

    pub(crate) fn of_store(error: &StoreError) -> Self {
        match error {
            StoreError::NotFound { .. } | StoreError::NoSuchBucket(_) => Self::NotFound,
            StoreError::Corrupt { .. }
            | StoreError::Inconsistent(_)
            | StoreError::MissingSegment(_) => Self::Damaged,
            StoreError::Name(_) => Self::Usage,
            error if error.is_full() => Self::DiskFull,
            _ => Self::Failed,
        }
    }

    fn of_open(error: &OpenError) -> Self {
        match error {
            OpenError::NotAStore(_) => Self::NotFound,
            OpenError::NoRecords(_)
            | OpenError::DamagedRecords { .. }
            | OpenError::Damaged { .. } => Self::Damaged,
            OpenError::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                Self::DiskFull
            }
            _ => Self::Failed,
        }
    }
}
