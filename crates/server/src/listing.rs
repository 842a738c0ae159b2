//! A page of a list, bounded by its entries and by its bytes.

use std::collections::VecDeque;
use std::ops::Bound;

use drystone_limits::constants;
use drystone_store::{BucketName, FoldedPage, Key, Listed, ObjectMeta, Result, Store};

use crate::meta;

/// Entries that are read at a time: each may bring kilobytes of properties that the list does not
/// show.
pub(crate) const ROWS: usize = 100;
/// Bytes of the names of a page, after which it ends. An answer that has each of them several
/// times, with escapes, stays within what a document may take in memory.
pub(crate) const NAMES_BYTES_MAX: usize = 256 << 10;
/// Rows that an archive looks up in its turn.
const ARCHIVE_ROWS: usize = 16;
// Each may have what came in a head, of 16 KiB at the most.
const _: () = assert!(ARCHIVE_ROWS as u64 * (16 << 10) <= constants::ARCHIVE_BYTES);

/// The first entries behind `from`, at most `limit` of them.
pub(crate) fn page_within(
    store: &Store,
    bucket: &BucketName,
    prefix: &str,
    delimiter: &str,
    mut from: Bound<String>,
    limit: usize,
) -> Result<FoldedPage> {
    let (mut entries, mut bytes) = (Vec::new(), 0);
    loop {
        let rows = ROWS.min(limit - entries.len());
        let page = store.list_folded(
            bucket,
            prefix,
            delimiter,
            from.as_ref().map(String::as_str),
            rows,
        )?;
        bytes += page.entries.iter().map(|entry| name(entry).len()).sum::<usize>();
        entries.extend(page.entries.into_iter().map(shown));
        match page.next {
            Some(next) if entries.len() < limit && bytes < NAMES_BYTES_MAX => from = next,
            next => return Ok(FoldedPage { entries, next }),
        }
    }
}

fn shown(mut entry: Listed) -> Listed {
    if let Listed::Object(object) = &mut entry {
        shorten(&mut object.meta);
    }
    entry
}

/// Leaves of an object's properties those that lists show: they are short.
pub(crate) fn shorten(meta: &mut ObjectMeta) {
    meta.media_type = None;
    meta.user.clear();
    meta.system.retain(|name, _| meta::is_listed(name));
}

fn name(entry: &Listed) -> &str {
    match entry {
        Listed::Folder(folder) => folder,
        Listed::Object(object) => object.key.as_str(),
    }
}

/// An object as far as it takes to find it again.
pub(crate) struct Name {
    pub(crate) key: Key,
    pub(crate) size: u64,
}

/// A page of names.
pub(crate) struct NamePage {
    pub(crate) names: VecDeque<Name>,
    /// The last of them, where the next page begins behind it.
    pub(crate) next: Option<String>,
}

/// Some objects behind `from`, and no more after `bytes_max` bytes of keys: what an archive looks up
/// in one turn.
pub(crate) fn names_within(
    store: &Store,
    bucket: &BucketName,
    prefix: &str,
    from: Bound<&str>,
    bytes_max: usize,
) -> Result<NamePage> {
    let found = store.list(bucket, prefix, from, ARCHIVE_ROWS)?;
    let is_last = found.len() < ARCHIVE_ROWS;
    let (count, mut bytes) = (found.len(), 0);
    let mut names = VecDeque::with_capacity(count);
    for row in found {
        if bytes >= bytes_max {
            break;
        }
        bytes += row.key.as_str().len();
        names.push_back(Name { key: row.key, size: row.size });
    }
    let is_last = is_last && names.len() == count;
    let next = names.back().filter(|_| !is_last).map(|last| last.key.as_str().to_owned());
    Ok(NamePage { names, next })
}
