//! A page of a list, bounded by its entries and by its bytes.

use std::ops::Bound;

use drystone_store::{BucketName, FoldedPage, Listed, Result, Store};

/// Entries that are read at a time: each may bring kilobytes of properties that the list does not
/// show.
const ROWS: usize = 100;
/// Bytes of the names of a page, after which it ends. An answer that has each of them several
/// times, with escapes, stays within what a document may take in memory.
const NAMES_BYTES_MAX: usize = 256 << 10;

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
        entries.extend(page.entries);
        match page.next {
            Some(next) if entries.len() < limit && bytes < NAMES_BYTES_MAX => from = next,
            next => return Ok(FoldedPage { entries, next }),
        }
    }
}

fn name(entry: &Listed) -> &str {
    match entry {
        Listed::Folder(folder) => folder,
        Listed::Object(object) => object.key.as_str(),
    }
}
