//! The sizes of an object's parts in a few words: `8388608*12,77` is twelve parts of 8 MiB and one
//! of 77 bytes.
//!
//! Earlier versions kept no more of the parts, among the object's properties; now see
//! [`super::parts`]. Only read.

use std::collections::BTreeMap;
use std::ops::Range;

/// What it is called among an object's properties.
pub(super) const NAME: &str = "part-sizes";

/// The sizes of parts in order, equal neighbours counted.
pub(super) struct PartSizes(Vec<(u64, u64)>);

impl PartSizes {
    pub(super) fn of(system: &BTreeMap<String, String>) -> Option<Self> {
        let run = |text: &str| {
            let (size, count) = text.split_once('*').unwrap_or((text, "1"));
            Some((size.parse().ok()?, count.parse().ok()?))
        };
        system.get(NAME)?.split(',').map(run).collect::<Option<_>>().map(Self)
    }

    pub(super) fn count(&self) -> u64 {
        self.0.iter().map(|(_, count)| count).sum()
    }

    /// The bytes of a part; the first has the number 1.
    pub(super) fn range(&self, number: u64) -> Option<Range<u64>> {
        let (mut start, mut before) = (0, number.checked_sub(1)?);
        for (size, count) in &self.0 {
            if before < *count {
                let start = start + before * size;
                return Some(start..start + size);
            }
            (start, before) = (start + count * size, before - count);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_found_again() {
        let of = |text: &str| PartSizes::of(&BTreeMap::from([(NAME.to_owned(), text.to_owned())]));
        let sizes = of("5*3,7,5,1").unwrap();
        assert_eq!(sizes.count(), 6);
        assert_eq!(sizes.range(0), None);
        assert_eq!(sizes.range(1), Some(0..5));
        assert_eq!(sizes.range(4), Some(15..22));
        assert_eq!(sizes.range(6), Some(27..28));
        assert_eq!(sizes.range(7), None);
        assert!(of("5*x").is_none() && of("").is_none());
        assert!(PartSizes::of(&BTreeMap::new()).is_none());
    }
}
