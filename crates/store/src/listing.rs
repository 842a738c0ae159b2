//! Listing with folders: what lies below a delimiter is one entry.

use std::ops::Bound;

use crate::{ObjectRow, Result};

/// Rows asked for after a folder was skipped: the next entry may be a folder again, and what is
/// read below one is wasted.
const AHEAD_ROWS_MIN: usize = 2;
/// Rows asked for first.
const AHEAD_ROWS_FIRST: usize = 64;
/// Rows asked for at the most.
const AHEAD_ROWS_MAX: usize = 1024;

/// An entry of a folded listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listed {
    /// An object.
    Object(ObjectRow),
    /// All objects whose keys begin with this text: the listing's prefix and what follows it, up to
    /// and with the first delimiter.
    Folder(String),
}

/// A page of a folded listing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoldedPage {
    /// In the order of their bytes.
    pub entries: Vec<Listed>,
    /// Where the next page begins; `None` when there is nothing more.
    pub next: Option<Bound<String>>,
}

/// The least text that comes after every text that begins with `prefix`; `None` when there is none.
///
/// ```
/// use drystone_store::after_prefix;
/// assert_eq!(after_prefix("a/").as_deref(), Some("a0"));
/// assert_eq!(after_prefix("a\u{10ffff}").as_deref(), Some("b"));
/// assert_eq!(after_prefix(""), None);
/// ```
pub fn after_prefix(prefix: &str) -> Option<String> {
    let mut text = prefix.to_owned();
    while let Some(last) = text.pop() {
        // The order of UTF-8 bytes is that of code points; between U+D7FF and U+E000 there is no
        // character.
        let next = match last {
            '\u{d7ff}' => Some('\u{e000}'),
            last => char::from_u32(u32::from(last) + 1),
        };
        if let Some(next) = next {
            text.push(next);
            return Some(text);
        }
    }
    None
}

/// A folded page over `list`, which gives so many objects with the prefix from a place on.
pub(crate) fn list_folded(
    list: impl Fn(Bound<&str>, usize) -> Result<Vec<ObjectRow>>,
    prefix: &str,
    delimiter: &str,
    from: Bound<&str>,
    limit: usize,
) -> Result<FoldedPage> {
    let mut page = FoldedPage::default();
    let mut from = Some(from.map(str::to_owned));
    let mut ahead = AHEAD_ROWS_FIRST;
    while let Some(at) = from.take() {
        // One more than fits: it says that there is a next page.
        let want = ahead.min(limit.saturating_add(1) - page.entries.len());
        let rows = list(at.as_ref().map(String::as_str), want)?;
        let is_last = rows.len() < want;
        from = rows
            .last()
            .filter(|_| !is_last)
            .map(|row| Bound::Excluded(row.key.as_str().to_owned()));
        ahead = (2 * want).min(AHEAD_ROWS_MAX);
        let mut folder: Option<String> = None;
        for row in rows {
            if folder.as_ref().is_some_and(|folder| row.key.as_str().starts_with(folder.as_str())) {
                continue;
            }
            if page.entries.len() >= limit {
                return Ok(if limit == 0 { FoldedPage::default() } else { page.with_next() });
            }
            folder = folder_of(row.key.as_str(), prefix, delimiter).map(str::to_owned);
            page.entries.push(match &folder {
                Some(folder) => Listed::Folder(folder.clone()),
                None => Listed::Object(row),
            });
        }
        // The rows ended inside a folder: nothing of the rest of it is read.
        if let (Some(folder), Some(_)) = (folder, &from) {
            from = after_prefix(&folder).map(Bound::Included);
            ahead = AHEAD_ROWS_MIN;
        }
    }
    Ok(page)
}

/// The folder that a key with this prefix is in, if it is in one.
fn folder_of<'a>(key: &'a str, prefix: &str, delimiter: &str) -> Option<&'a str> {
    let at = key.get(prefix.len()..)?.find(delimiter).filter(|_| !delimiter.is_empty())?;
    Some(&key[..prefix.len() + at + delimiter.len()])
}

impl FoldedPage {
    /// The page, with the place behind its last entry.
    fn with_next(mut self) -> Self {
        self.next = match self.entries.last() {
            Some(Listed::Object(row)) => Some(Bound::Excluded(row.key.as_str().to_owned())),
            Some(Listed::Folder(folder)) => after_prefix(folder).map(Bound::Included),
            None => None,
        };
        self
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::collections::BTreeSet;

    use super::*;
    use crate::{ContentHash, Key, ManifestId, ObjectMeta};

    fn row(key: &str) -> ObjectRow {
        let key = Key::new(key).expect("a good key");
        let (content, meta) = (ContentHash([0; 32]), ObjectMeta::default());
        ObjectRow { key, size: 0, content, meta, manifest: ManifestId(1) }
    }

    /// What is below a folder is not read, however much it is.
    #[test]
    fn few_rows_are_read_for_each_entry() {
        let folders = 0..20;
        let keys: BTreeSet<String> = folders
            .flat_map(|folder| (0..5000).map(move |number| format!("f{folder:02}/{number:04}")))
            .chain((0..3000).map(|number| format!("g{number:04}")))
            .collect();
        for (limit, rows_max) in [(1, 3), (20, 140), (5000, 20 * 4 + 64 + 2 * 3000)] {
            let rows_read = Cell::new(0);
            let list = |from: Bound<&str>, limit: usize| {
                let rows: Vec<ObjectRow> = keys
                    .range::<str, _>((from, Bound::Unbounded))
                    .take(limit)
                    .map(|key| row(key))
                    .collect();
                rows_read.set(rows_read.get() + rows.len());
                Ok(rows)
            };
            let page = list_folded(list, "", "/", Bound::Unbounded, limit).expect("nothing fails");
            assert_eq!(page.entries.len(), limit.min(3020));
            assert!(rows_read.get() <= rows_max, "{} rows for {limit} entries", rows_read.get());
        }
    }

    #[test]
    fn after_a_prefix_comes_the_next_character() {
        let check = |prefix: &str, expected: Option<&str>| {
            assert_eq!(after_prefix(prefix).as_deref(), expected);
        };
        check("", None);
        check("a/", Some("a0"));
        check("\u{7f}", Some("\u{80}"));
        check("a\u{d7ff}", Some("a\u{e000}"));
        check("a\u{10ffff}\u{10ffff}", Some("b"));
        check("\u{10ffff}", None);
    }
}
