//! Chunking parameters, as text and as numbers.

use arbitrary::{Arbitrary, Unstructured};
use drystone_chunker::{Chunking, Cutter};

use crate::reference::cut_lens;

/// A chunking that is accepted can be used, prints in its canonical form, and that form reads back
/// as the same.
///
/// # Panics
/// When that does not hold.
pub fn chunk_params(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(chunking) = text.parse()
    {
        check(chunking);
    }
    let mut source = Unstructured::new(data);
    if let Ok([min, avg, max]) = <[u64; 3]>::arbitrary(&mut source) {
        // As they are, and where they are likely to be accepted.
        for (min, avg, max) in [(min, avg, max), (min >> 44, avg >> 42, max >> 34)] {
            let _ = Chunking::fixed(min).map(check);
            let _ = Chunking::fast_cdc(min, avg, max).map(check);
        }
    }
}

fn check(chunking: Chunking) {
    let most = chunking.chunk_bytes_max();
    assert!((1..=1 << 30).contains(&most), "{chunking}");
    let text = chunking.to_string();
    assert_eq!(text.parse(), Ok(chunking), "{text} does not read back");
    // Far fewer bytes than a chunk may have; whatever the numbers, cutting them must work.
    let cutter = Cutter::new(chunking);
    let lens = cut_lens(&cutter, &[0x5D; 600]);
    assert_eq!(lens.iter().sum::<usize>(), 600);
}
