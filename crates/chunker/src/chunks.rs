//! Chunks of any `Read`.

use std::io::{self, Read};

use crate::{Chunking, Cut, Cutter};

/// How much is read at a time beyond the largest chunk, in bytes.
const READ_BYTES: usize = 256 << 10;

/// Cuts a reader. Holds one buffer of the largest chunk plus 256 KiB, however long the stream is.
///
/// ```
/// use drystone_chunker::{ChunkId, Chunking, Chunks};
///
/// let text: &[u8] = b"dry stone walls stand without mortar";
/// let mut chunks = Chunks::new(text, Chunking::fixed(16)?);
/// let mut lens = Vec::new();
/// while let Some(chunk) = chunks.next_chunk()? {
///     println!("{} {}", ChunkId::of(chunk), chunk.len());
///     lens.push(chunk.len());
/// }
/// assert_eq!(lens, [16, 16, 4]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Chunks<R> {
    reader: R,
    cutter: Cutter,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    ended: bool,
}

impl<R: Read> Chunks<R> {
    /// Cuts what `reader` gives by `chunking`.
    pub fn new(reader: R, chunking: Chunking) -> Self {
        Self::with_read_bytes(reader, chunking, READ_BYTES)
    }

    /// The same with a buffer of the largest chunk plus `read_bytes`, which may be 0. A smaller
    /// buffer takes less memory and calls `read` more often. The cuts do not depend on it.
    pub fn with_read_bytes(reader: R, chunking: Chunking, read_bytes: usize) -> Self {
        let buffer = vec![0; chunking.chunk_bytes_max() + read_bytes].into_boxed_slice();
        Self { reader, cutter: Cutter::new(chunking), buffer, start: 0, end: 0, ended: false }
    }

    /// The next chunk; `None` at the end of the stream. Short reads and `Interrupted` are handled.
    ///
    /// # Errors
    /// The reader's. Nothing is lost: the next call goes on where the reader failed.
    pub fn next_chunk(&mut self) -> io::Result<Option<&[u8]>> {
        let mut scanned = 0;
        let len = loop {
            let window = &self.buffer[self.start..self.end];
            match self.cutter.cut(window, scanned) {
                Cut::At(len) => break len,
                Cut::None { .. } if self.ended => break window.len(),
                Cut::None { scanned: so_far } => scanned = so_far,
            }
            self.fill()?;
        };
        let chunk = self.start..self.start + len;
        self.start += len;
        Ok((len > 0).then(|| &self.buffer[chunk]))
    }

    fn fill(&mut self) -> io::Result<()> {
        if self.end == self.buffer.len() {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        loop {
            match self.reader.read(&mut self.buffer[self.end..]) {
                Ok(0) => self.ended = true,
                Ok(len) => self.end += len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lens(bytes: &[u8], chunking: Chunking, read_bytes: usize) -> Vec<usize> {
        let mut chunks = Chunks::with_read_bytes(bytes, chunking, read_bytes);
        let mut lens = Vec::new();
        while let Some(chunk) = chunks.next_chunk().expect("a slice cannot fail") {
            lens.push(chunk.len());
        }
        lens
    }

    /// Gives a few bytes at a time, and fails before every third read.
    struct Fails<'a> {
        bytes: &'a [u8],
        calls: usize,
        kind: io::ErrorKind,
    }

    impl Read for Fails<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            self.calls += 1;
            if self.calls.is_multiple_of(3) {
                return Err(self.kind.into());
            }
            let few = into.len().min(5);
            self.bytes.read(&mut into[..few])
        }
    }

    #[test]
    fn a_reader_that_is_interrupted_or_fails_loses_nothing() {
        let bytes: Vec<u8> = (0..100).collect();
        let chunked = |kind| {
            let reader = Fails { bytes: &bytes, calls: 0, kind };
            let mut chunks = Chunks::with_read_bytes(reader, Chunking::Fixed(16), 3);
            let (mut all, mut lens, mut failures) = (Vec::new(), Vec::new(), 0);
            loop {
                match chunks.next_chunk() {
                    Ok(Some(chunk)) => {
                        all.extend_from_slice(chunk);
                        lens.push(chunk.len());
                    }
                    Ok(None) => return (all == bytes, lens, failures),
                    Err(error) => {
                        assert_eq!(error.kind(), kind);
                        failures += 1;
                    }
                }
            }
        };
        let expected = vec![16, 16, 16, 16, 16, 16, 4];
        assert_eq!(chunked(io::ErrorKind::Interrupted), (true, expected.clone(), 0));
        let (is_whole, lens, failures) = chunked(io::ErrorKind::TimedOut);
        assert!(is_whole && lens == expected && failures > 3, "{lens:?}, {failures} failures");
    }

    #[test]
    fn a_buffer_of_any_size_cuts_alike() {
        // Not periodic in any chunk size, and several times as long as the buffer: the rest of the
        // buffer is moved to its front again and again.
        let bytes: Vec<u8> = (0..20_000_u32).map(|at| (at.wrapping_mul(at) >> 7) as u8).collect();
        for chunking in [Chunking::Fixed(7), Chunking::FastCdc { min: 64, avg: 256, max: 1000 }] {
            let expected = lens(&bytes, chunking, READ_BYTES);
            assert_eq!(expected.iter().sum::<usize>(), bytes.len());
            for read_bytes in [0, 1, 63, 1000] {
                assert_eq!(
                    lens(&bytes, chunking, read_bytes),
                    expected,
                    "{chunking}, {read_bytes}"
                );
            }
        }
    }
}
