//! Says how many bytes of a file are in chunks that another file has, too.
//!
//! `cargo run --example shared -- OLD NEW`; without files it compares two texts of its own.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read};

use drystone_chunker::{ChunkId, Chunking, Chunks};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files: Vec<_> = std::env::args_os().skip(1).collect();
    let (shared, all) = match files.as_slice() {
        [old, new] => shared(File::open(old)?, File::open(new)?, Chunking::default())?,
        [] => {
            let (old, new) = texts();
            shared(old.as_bytes(), new.as_bytes(), Chunking::fast_cdc(64, 256, 1024)?)?
        }
        _ => return Err("two files, or none".into()),
    };
    println!("{shared} of {all} bytes are shared");
    Ok(())
}

/// Two versions of a text: a line was added near the beginning of the second one.
fn texts() -> (String, String) {
    let old: String = (0..5000).map(|number| format!("line {number}\n")).collect();
    let new = old.replacen("line 7\n", "line 7\none more\n", 1);
    (old, new)
}

/// Bytes of `new` in chunks that `old` has, and all bytes of `new`. Memory: one buffer, and 32
/// bytes for each chunk of `old`.
fn shared(old: impl Read, new: impl Read, chunking: Chunking) -> io::Result<(usize, usize)> {
    let mut known = HashSet::new();
    let mut chunks = Chunks::new(old, chunking);
    while let Some(chunk) = chunks.next_chunk()? {
        known.insert(ChunkId::of(chunk));
    }
    let (mut shared, mut all) = (0, 0);
    let mut chunks = Chunks::new(new, chunking);
    while let Some(chunk) = chunks.next_chunk()? {
        all += chunk.len();
        if known.contains(&ChunkId::of(chunk)) {
            shared += chunk.len();
        }
    }
    Ok((shared, all))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_by_content_survive_an_insertion() {
        let (old, new) = texts();
        let compare = |chunking| {
            shared(old.as_bytes(), new.as_bytes(), chunking).expect("a slice can be read")
        };
        let by_content = compare(Chunking::fast_cdc(64, 256, 1024).expect("sizes that ascend"));
        assert_eq!(by_content.1, new.len());
        assert!(
            new.len() - by_content.0 < 3 * 1024,
            "more differs than the chunks around the edit"
        );
        let by_size = compare(Chunking::fixed(256).expect("a size"));
        assert!(by_size.0 < 512, "fixed sizes share what is before the edit, and no more");
    }
}
