//! The objects of a folder in order, with the names that they have in an archive.

use std::collections::VecDeque;
use std::ops::Bound;

use drystone_edge::fault::Fault;
use drystone_edge::gate::{Share, Size};
use drystone_store::{BucketName, Key, Store};
use drystone_sync::PlainArc;

use super::names::harmless;
use crate::engine::Engine;
use crate::listing::{Name, NamePage, names_within};

/// Bytes of keys after which a page ends that is held at the client's pace: it counts with the
/// connection.
const PAGE_BYTES_MAX: usize = 2 << 10;

/// The objects of a folder, a page after the other.
pub(super) struct Walk {
    bucket: BucketName,
    prefix: String,
    /// Where the next page begins; `None` behind the last one.
    from: Option<Bound<String>>,
    page: VecDeque<Name>,
    share: Share,
}

impl Walk {
    /// Of a request that takes turns as `share`.
    pub(super) fn new(share: Share, bucket: BucketName, prefix: String) -> Self {
        Self { bucket, prefix, from: Some(Bound::Unbounded), page: VecDeque::new(), share }
    }

    pub(super) fn share(&self) -> &Share {
        &self.share
    }

    pub(super) fn bucket(&self) -> &BucketName {
        &self.bucket
    }

    /// The next object: its name, its key and how long it is; `None` at the end. Waits where the
    /// server is busy.
    pub(super) async fn next(
        &mut self,
        engine: &PlainArc<Engine>,
    ) -> Result<Option<(String, Key, u64)>, Fault> {
        loop {
            if let Some((name, Name { key, size })) = self.in_page() {
                return Ok(Some((name, key, size)));
            }
            if self.from.is_none() {
                return Ok(None);
            }
            patiently!(self.turn_page(engine, PAGE_BYTES_MAX))?;
        }
    }

    /// The next name in the archive, where only the names are looked at.
    ///
    /// # Errors
    /// Also where the server is busy.
    pub(super) async fn skim(
        &mut self,
        engine: &PlainArc<Engine>,
    ) -> Result<Option<String>, Fault> {
        loop {
            if let Some((name, _)) = self.in_page() {
                return Ok(Some(name));
            }
            if self.from.is_none() {
                return Ok(None);
            }
            self.turn_page(engine, usize::MAX).await?;
        }
    }

    /// The next of the page.
    fn in_page(&mut self) -> Option<(String, Name)> {
        // The folder itself is part of the names, what it is in is not.
        let strip = self.prefix.trim_end_matches('/').rfind('/').map_or(0, |at| at + 1);
        while let Some(listed) = self.page.pop_front() {
            let name = harmless(&listed.key.as_str()[strip..]);
            // A name that ends with a slash would become a folder in whose way its bytes are.
            if !name.ends_with('/') {
                return Some((name, listed));
            }
        }
        None
    }

    async fn turn_page(
        &mut self,
        engine: &PlainArc<Engine>,
        bytes_max: usize,
    ) -> Result<(), Fault> {
        let Some(from) = self.from.clone() else { return Ok(()) };
        let (bucket, prefix) = (self.bucket.clone(), self.prefix.clone());
        let _turn = engine.edge.archives.enter(&self.share, Size::Small).await?;
        let page = engine.edge.call(move |store: &Store| {
            let from = from.as_ref().map(String::as_str);
            names_within(store, &bucket, &prefix, from, bytes_max)
        });
        let NamePage { names, next } = page.await?;
        (self.page, self.from) = (names, next.map(Bound::Excluded));
        Ok(())
    }
}
