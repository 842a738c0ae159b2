//! `Range: bytes=…`.

use std::ops::Range;

use arbitrary::{Arbitrary, Unstructured};

use crate::range::{Ranged, parse};

/// A header that is well-formed, and the size of what it is asked of.
#[derive(Debug, Arbitrary)]
struct RangeInput {
    size: Number,
    asked: Asked,
    spaces: [bool; 4],
}

#[derive(Debug, Arbitrary)]
enum Asked {
    From(Number),
    Between(Number, Number),
    Last(Number),
}

/// Of any length, so that small numbers and the edge of 64 bits are met.
#[derive(Debug, Clone, Copy, Arbitrary)]
struct Number {
    number: u128,
    shift: u8,
}

impl Number {
    fn get(self) -> u128 {
        self.number >> (self.shift % 128)
    }

    /// Too large for 64 bits is further than any end.
    fn capped(self) -> u128 {
        self.get().min(u128::from(u64::MAX))
    }
}

/// Any header asks for all, for nothing, or for bytes that exist; a well-formed one for those that
/// it names.
///
/// # Panics
/// When that does not hold.
pub fn http_range(data: &[u8]) {
    let (size, text) = data.split_at(data.len().min(8));
    let size = size.iter().fold(0, |size, byte| (size << 8) | u64::from(*byte));
    let text = String::from_utf8_lossy(text);
    for text in [text.as_ref(), &format!("bytes={text}")] {
        let asked = parse(Some(text), size);
        if let Ranged::Part(Range { start, end }) = asked {
            assert!(start < end && end <= size, "{text:?} of {size}: {start}..{end}");
        }
        assert_eq!(
            parse(Some(&format!(" {text}\t")), size),
            asked,
            "spaces around {text:?} mean something"
        );
        let several = format!("{text},0-0");
        assert_eq!(parse(Some(&several), size), Ranged::Whole, "{several:?} is several ranges");
    }
    if let Ok(input) = RangeInput::arbitrary(&mut Unstructured::new(data)) {
        input.check();
    }
}

impl RangeInput {
    fn check(&self) {
        let size = self.size.capped();
        let [before, first, second, after] = self.spaces.map(|space| if space { " " } else { "" });
        let spec = match self.asked {
            Asked::From(from) => format!("{}{first}-{second}", from.get()),
            Asked::Between(from, to) => format!("{}{first}-{second}{}", from.get(), to.get()),
            Asked::Last(last) => format!("{first}-{second}{}", last.get()),
        };
        let header = format!("bytes={before}{spec}{after}");
        let (start, end) = match self.asked {
            Asked::From(from) => (from.capped(), size),
            Asked::Between(from, to) => (from.capped(), size.min(to.capped() + 1)),
            Asked::Last(last) => (size.saturating_sub(last.capped()), size),
        };
        let is_backwards =
            matches!(self.asked, Asked::Between(from, to) if from.capped() > to.capped());
        let narrow = |number: u128| u64::try_from(number).expect("numbers are capped");
        let expected = match () {
            () if is_backwards => Ranged::Whole,
            () if start < end => Ranged::Part(narrow(start)..narrow(end)),
            () => Ranged::Unsatisfiable,
        };
        assert_eq!(parse(Some(&header), narrow(size)), expected, "{header:?} of {size}");
    }
}
