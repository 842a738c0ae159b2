//! The bodies of the fuzz targets of this crate's parsers: each takes arbitrary bytes and panics
//! when a promise is broken.
//!
//! They are here because no other crate uses the parsers. A shipped build has none of it. `fuzz/`
//! includes these files and the parsers', and the test below replays the committed inputs.

mod aws_chunked;
mod form_body;
mod http_range;

use arbitrary::{Arbitrary, Unstructured};
use bytes::Bytes;

pub use aws_chunked::aws_chunked;
pub use form_body::form_body;
pub use http_range::http_range;

/// What a target calls.
#[cfg(test)]
type Body = fn(&[u8]);

/// Pieces of one input; what is left after so many comes at once. More make it slow, not better.
const PIECES_MAX: usize = 16;
/// Chunks or fields of something well-formed, for the same reason.
const PARTS_MAX: usize = 6;
/// Bytes of an input that is taken as it is, for the same reason.
const RAW_BYTES_MAX: usize = 320;

/// The sizes of pieces, again and again.
#[derive(Clone, Debug, Arbitrary)]
struct Splits(Vec<u8>);

impl Splits {
    fn pieces(&self, bytes: &[u8]) -> Vec<Bytes> {
        let mut rest = Bytes::copy_from_slice(bytes);
        let mut pieces = Vec::with_capacity(PIECES_MAX + 1);
        for size in self.0.iter().cycle().take(PIECES_MAX) {
            if rest.is_empty() {
                break;
            }
            pieces.push(rest.split_to(usize::from(*size).clamp(1, rest.len())));
        }
        if !rest.is_empty() {
            pieces.push(rest);
        }
        pieces
    }
}

/// An input of a parser of bodies.
enum Input<P> {
    /// As it is.
    Raw(Splits, Vec<u8>),
    /// As something well-formed is made of.
    Built(P),
}

impl<P: for<'a> Arbitrary<'a>> Input<P> {
    /// The first byte chooses. `None` when there are too few bytes.
    fn new(data: &[u8]) -> Option<Self> {
        let (choice, data) = data.split_first()?;
        let mut source = Unstructured::new(data);
        if choice % 2 == 1 {
            return P::arbitrary(&mut source).ok().map(Self::Built);
        }
        let splits = Splits::arbitrary(&mut source).ok()?;
        let bytes = source.take_rest();
        Some(Self::Raw(splits, bytes[..bytes.len().min(RAW_BYTES_MAX)].to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_committed_input_passes() {
        let bodies: [(&str, Body); 3] =
            [("aws_chunked", aws_chunked), ("form_body", form_body), ("http_range", http_range)];
        for (target, body) in bodies {
            let folder = std::path::Path::new("../../fuzz/corpus").join(target);
            let inputs = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
            let mut inputs: Vec<_> = inputs.collect();
            inputs.sort();
            assert!(
                !inputs.is_empty() && inputs.len() <= 40,
                "{target} has {} inputs",
                inputs.len()
            );
            for input in inputs {
                println!("{}", input.display());
                body(&std::fs::read(&input).unwrap());
            }
        }
    }

    #[test]
    fn pieces_are_all_of_the_input() {
        let bytes: Vec<u8> = (0..=255).cycle().take(1000).collect();
        for splits in [&[][..], &[0], &[1], &[7, 0, 200], &[255]] {
            let pieces = Splits(splits.to_vec()).pieces(&bytes);
            assert_eq!(pieces.concat(), bytes, "{splits:?}");
            assert!(pieces.iter().all(|piece| !piece.is_empty()) && pieces.len() <= PIECES_MAX + 1);
        }
        assert_eq!(Splits(vec![7]).pieces(&bytes[..70]).len(), 10);
    }
}
