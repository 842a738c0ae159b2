//! A parked upload. It waits for more bytes, and holds neither an ingest nor a buffer.

use drystone_sync::{Arc, PlainArc};

use crate::store::Inner;
use crate::upload::UploadState;
use crate::{StoreError, UploadSession};

/// An upload that was [parked](crate::Writing::park). Dropped, it is cancelled: nothing of it
/// becomes visible, and what it left in the records is taken back, for which the drop may block.
pub struct Parked {
    inner: PlainArc<Inner>,
    /// `None` once it goes on.
    upload: Option<Arc<UploadState>>,
    number: u64,
    offset: u64,
    /// Last, so that it lives until the upload is taken back.
    session: PlainArc<UploadSession>,
}

/// What a cutter needs to go on with an upload.
pub(crate) struct Resumed {
    pub(crate) upload: Arc<UploadState>,
    pub(crate) session: PlainArc<UploadSession>,
    /// Chunks that were cut.
    pub(crate) number: u64,
    /// Where the last of them ends.
    pub(crate) offset: u64,
}

impl Parked {
    pub(crate) fn new(
        inner: PlainArc<Inner>,
        session: PlainArc<UploadSession>,
        upload: Arc<UploadState>,
        number: u64,
        offset: u64,
    ) -> Self {
        Self { inner, upload: Some(upload), number, offset, session }
    }

    /// Gives it up without blocking; what it left in the records is taken back when it is dropped.
    pub fn cancel(&self) {
        if let Some(upload) = &self.upload {
            upload.fail(StoreError::Cancelled);
        }
    }

    pub(crate) fn is_of(&self, inner: &PlainArc<Inner>) -> bool {
        PlainArc::ptr_eq(&self.inner, inner)
    }

    pub(crate) fn resume(mut self) -> Resumed {
        let upload = self.upload.take().expect("only this takes it, and consumes the value");
        let (session, number, offset) = (PlainArc::clone(&self.session), self.number, self.offset);
        Resumed { upload, session, number, offset }
    }
}

impl Drop for Parked {
    fn drop(&mut self) {
        let Some(upload) = self.upload.take() else { return };
        upload.fail(StoreError::Cancelled);
        upload.clean_up(&self.inner.writer);
    }
}
