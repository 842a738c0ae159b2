//! Which key writes, and whether it still may when what it writes is about to become visible.
//!
//! A body may take hours, and a key may be revoked meanwhile.

use drystone_edge::fault::Fault;
use drystone_edge::gate::Share;
use drystone_edge::upload::LastLook;
use drystone_store::BucketName;
use drystone_sync::PlainArc;
use http::Extensions;

use crate::access::{Right, Who, may};
use crate::engine::Engine;

/// The key that was let in to change something in a bucket, and the right that it needed.
#[derive(Clone, Debug)]
pub(crate) struct Writer {
    who: Who,
    right: Right,
    bucket: BucketName,
}

impl Writer {
    pub(crate) fn new(who: &Who, right: Right, bucket: &BucketName) -> Self {
        Self { who: who.clone(), right, bucket: bucket.clone() }
    }

    /// Whose turn it takes with a request that has these extensions.
    pub(crate) fn share(&self, extensions: &Extensions) -> Share {
        self.who.share(extensions)
    }
}

impl Engine {
    /// What an upload asks when its body has come.
    pub(crate) fn last_look(self: &PlainArc<Self>, writer: &Writer) -> LastLook {
        let (engine, writer) = (PlainArc::clone(self), writer.clone());
        Box::pin(async move { engine.still_writes(&writer).await })
    }

    /// Asked last, when nothing is left to wait for. As fresh as what is remembered of keys: two
    /// seconds.
    ///
    /// # Errors
    /// [`Fault::Revoked`].
    pub(crate) async fn still_writes(self: &PlainArc<Self>, writer: &Writer) -> Result<(), Fault> {
        // Without a key no write is let in.
        let Who::Key(shown) = &writer.who else { return Err(Fault::Revoked) };
        let now = self.key(&shown.key.access).await?;
        // A key of the same name that was made since is another one, if its secret is.
        let holds = now.is_some_and(|now| {
            now.key.secret == shown.key.secret && may(&now, writer.right, Some(&writer.bucket))
        });
        if holds { Ok(()) } else { Err(Fault::Revoked) }
    }
}
