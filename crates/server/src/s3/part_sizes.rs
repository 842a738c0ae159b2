//! Where the parts of an object end, in as few words as possible: `8388608*12,77` is twelve parts of 8 MiB and one of 77 bytes.
//!
//! Kept with the object so that its parts can be read by their numbers. Parts of many different sizes are not kept: an object's
//! description has to stay small.

use std::collections::BTreeMap;
use std::ops::Range;

/// What it is called among an object's properties.
pub(super) const NAME: &str = "part-sizes";
const TEXT_BYTES_MAX: usize = 512;

/// The sizes of parts in order, equal neighbours counted.
pub(super) struct PartSizes(Vec<(u64, u64)>);

impl PartSizes {
    pub(super) fn new(sizes: impl IntoIterator<Item = u64>) -> Self {
        let mut runs: Vec<(u64, u64)> = Vec::new();
        for size in sizes {
            match runs.last_mut() {
                Some((last, count)) if *last == size => *count += 1,
                _ => runs.push((size, 1)),
            }
        }
        Self(runs)
    }

    pub(super) fn note(&self, system: &mut BTreeMap<String, String>) {
        let run = |(size, count): &(u64, u64)| {
            if *count == 1 { size.to_string() } else { format!("{size}*{count}") }
        };
        let text = self.0.iter().map(run).collect::<Vec<_>>().join(",");
        if text.len() <= TEXT_BYTES_MAX {
            system.insert(NAME.into(), text);
        }
    }

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
        let mut system = BTreeMap::new();
        PartSizes::new([5, 5, 5, 7, 5, 1]).note(&mut system);
        assert_eq!(system[NAME], "5*3,7,5,1");
        let sizes = PartSizes::of(&system).unwrap();
        assert_eq!(sizes.count(), 6);
        assert_eq!(sizes.range(0), None);
        assert_eq!(sizes.range(1), Some(0..5));
        assert_eq!(sizes.range(4), Some(15..22));
        assert_eq!(sizes.range(6), Some(27..28));
        assert_eq!(sizes.range(7), None);
    }

    #[test]
    fn a_long_text_is_not_kept() {
        let mut system = BTreeMap::new();
        PartSizes::new(0..10_000).note(&mut system);
        assert!(system.is_empty());
        PartSizes::new(std::iter::repeat_n(5 << 20, 10_000)).note(&mut system);
        assert_eq!(PartSizes::of(&system).unwrap().count(), 10_000);
    }
}
