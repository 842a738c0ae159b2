//! Cutting under arbitrary readers.

use std::io::{self, Read};

use arbitrary::{Arbitrary, Unstructured};
use drystone_chunker::{Chunking, Chunks, Cut, Cutter};
use fastcdc::v2020::{MASKS, cut, logarithm2};

use crate::noise::Noise;
use crate::reference::cut_lens;

/// More bytes of one input make it slow, not better: they hold several chunks of most sizes.
const INPUT_BYTES_MAX: usize = 4 << 10;
/// The same for very small chunks.
const CHUNKS_MAX: usize = 200;
/// Bytes that come by ones and twos are scanned again and again; after so many steps they come in
/// full.
const STEPS_MAX: usize = 200;

#[derive(Debug, Arbitrary)]
struct ChunkerInput {
    params: Params,
    /// What the reader's buffer holds beyond the largest chunk, in bytes.
    read_bytes: u8,
    /// What each read does, again and again.
    reads: Vec<Step>,
    /// Repeats the input, so that few bytes of fuzz input make many chunks.
    repeats: u8,
    /// Noise that is put behind the input, in bytes.
    noise_bytes: u16,
}

#[derive(Debug, Arbitrary)]
enum Params {
    Fixed(u16),
    Content { min: u16, avg: u16, max: u16 },
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum Step {
    Full,
    Short(u16),
    Interrupted,
    Fails,
}

impl Params {
    fn chunking(&self) -> Option<Chunking> {
        match *self {
            Self::Fixed(bytes) => Chunking::fixed(u64::from(bytes) % 4096).ok(),
            Self::Content { min, avg, max } => {
                let [min, avg, max] = [min, avg, max].map(u64::from);
                Chunking::fast_cdc(64 + min % 512, 256 + avg % 1024, max % 4096).ok()
            }
        }
    }
}

/// The next step. They come again and again, but not for ever: after nothing but errors, something
/// must come.
fn step(steps: &[Step], at: &mut usize) -> Step {
    let number = std::mem::replace(at, *at + 1);
    if number < STEPS_MAX && !steps.is_empty() { steps[number % steps.len()] } else { Step::Full }
}

/// Gives its bytes as the steps say; `Ok(0)` at the end only.
struct Stepping<'a> {
    bytes: &'a [u8],
    steps: &'a [Step],
    at: usize,
}

impl Read for Stepping<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let step = step(self.steps, &mut self.at);
        let most = match step {
            Step::Full => usize::MAX,
            Step::Short(len) => usize::from(len).max(1),
            Step::Interrupted => return Err(io::ErrorKind::Interrupted.into()),
            Step::Fails => return Err(io::ErrorKind::TimedOut.into()),
        };
        let len = most.min(into.len()).min(self.bytes.len());
        let (now, later) = self.bytes.split_at(len);
        into[..len].copy_from_slice(now);
        self.bytes = later;
        Ok(len)
    }
}

/// Chunks joined are the input, each is within its limits, and where they end depends on the bytes
/// alone: not on how the reader gave them, and not on how a window grew.
///
/// # Panics
/// When that does not hold.
pub fn chunker(data: &[u8]) {
    let mut source = Unstructured::new(data);
    let Ok(given) = ChunkerInput::arbitrary(&mut source) else { return };
    let Some(chunking) = given.params.chunking() else { return };
    let rest = source.take_rest();
    let mut input = rest.repeat(1 + usize::from(given.repeats % 4));
    input.extend(Noise::new(given.repeats.into()).bytes(usize::from(given.noise_bytes) % 3000));
    input.truncate(INPUT_BYTES_MAX.min(CHUNKS_MAX * chunking.chunk_bytes_max()));

    let cutter = Cutter::new(chunking);
    let expected = cut_lens(&cutter, &input);
    check_against_the_published_crate(chunking, &input, &expected);
    check_limits(chunking, &expected);
    check_reader(chunking, &given, &input, &expected);
    check_windows(&cutter, &given.reads, &input, &expected);
}

fn check_against_the_published_crate(chunking: Chunking, input: &[u8], lens: &[usize]) {
    let Chunking::FastCdc { min, avg, max } = chunking else { return };
    // Not its iterator, which refuses some sizes that are allowed here.
    let bits = logarithm2(avg) as usize;
    let (small, large) = (MASKS[bits + 1], MASKS[bits - 1]);
    let (min, avg, max) = (min as usize, avg as usize, max as usize);
    let mut rest = input;
    for &len in lens {
        let (_, theirs) = cut(rest, min, avg, max, small, large, small << 1, large << 1);
        assert_eq!(len, theirs, "{chunking}: not the cut of the fastcdc crate");
        rest = &rest[len..];
    }
}

fn check_limits(chunking: Chunking, lens: &[usize]) {
    let Some((last, others)) = lens.split_last() else { return };
    let (least, most) = match chunking {
        Chunking::Fixed(bytes) => (bytes as usize, bytes as usize),
        // The scan looks at pairs of bytes, so an odd minimum counts as the even one below it.
        Chunking::FastCdc { min, max, .. } => (min as usize & !1, max as usize),
        _ => (1, chunking.chunk_bytes_max()),
    };
    for len in others {
        assert!(
            (least..=most).contains(len),
            "{chunking}: a chunk of {len} bytes, {least} to {most} are allowed"
        );
    }
    assert!((1..=most).contains(last), "{chunking}: a last chunk of {last} bytes");
}

fn check_reader(chunking: Chunking, given: &ChunkerInput, input: &[u8], expected: &[usize]) {
    let reader = Stepping { bytes: input, steps: &given.reads, at: 0 };
    // A small buffer, so that it is full, and moved to the front, again and again.
    let mut chunks = Chunks::with_read_bytes(reader, chunking, given.read_bytes.into());
    let mut rest = input;
    let mut lens = Vec::with_capacity(expected.len());
    loop {
        match chunks.next_chunk() {
            Ok(Some(chunk)) => {
                let (now, later) = rest.split_at(chunk.len());
                assert_eq!(chunk, now, "a chunk is not what was read");
                lens.push(chunk.len());
                rest = later;
            }
            Ok(None) => break,
            // Nothing is lost by an error: the next call goes on.
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::TimedOut),
        }
    }
    assert!(matches!(chunks.next_chunk(), Ok(None)), "something comes after the end");
    assert!(rest.is_empty(), "the end is missing");
    assert_eq!(lens, expected, "{chunking}: the cuts depend on the reads");
}

/// The cutter as the store uses it: a window that grows by what comes.
fn check_windows(cutter: &Cutter, steps: &[Step], input: &[u8], expected: &[usize]) {
    let mut at = 0;
    let mut start = 0;
    for &expected in expected {
        let (mut len, mut scanned) = (0, 0);
        let found = loop {
            let more = match step(steps, &mut at) {
                Step::Short(len) => usize::from(len).max(1),
                _ => 700,
            };
            len = (len + more).min(input.len() - start);
            match cutter.cut(&input[start..start + len], scanned) {
                Cut::At(found) => break found,
                Cut::None { .. } if start + len == input.len() => break len,
                Cut::None { scanned: so_far } => scanned = so_far,
            }
        };
        assert_eq!(found, expected, "the cut at {start} depends on how its window grew");
        start += found;
    }
}
