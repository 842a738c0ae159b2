//! Bodies in chunks, in arbitrary pieces.

use std::collections::VecDeque;
use std::fmt::Write as _;

use arbitrary::Arbitrary;
use bytes::Bytes;

use super::{Input, PARTS_MAX, Splits};
use crate::s3::framing::{BadFraming, Framing, SIGNED_CHUNK_BYTES_MAX};

/// With the line break; as in the parser.
const LINE_BYTES_MAX: usize = 256;

/// A body that is well-formed.
#[derive(Debug, Arbitrary)]
struct ChunkedInput {
    splits: Splits,
    signed: bool,
    chunks: Vec<Chunk>,
    trailers: Vec<u8>,
}

#[derive(Debug, Arbitrary)]
struct Chunk {
    bytes: Vec<u8>,
    upper_case: bool,
    zeros: u8,
    extension: u8,
}

/// What a body is, or why it is none.
#[derive(Debug, PartialEq, Eq)]
struct Decoded {
    payload: Vec<u8>,
    trailers: Vec<u8>,
    is_complete: bool,
    bad: Option<BadFraming>,
}

/// For any body in any pieces: what is passed on is the body, no longer than its chunks declare, or
/// the body is refused. A well-formed body is passed on.
///
/// # Panics
/// When that does not hold.
pub fn aws_chunked(data: &[u8]) {
    match Input::<ChunkedInput>::new(data) {
        Some(Input::Raw(splits, body)) => {
            for signed in [false, true] {
                check(signed, &body, &splits);
            }
        }
        Some(Input::Built(input)) => input.check(),
        None => {}
    }
}

fn check(signed: bool, body: &[u8], splits: &Splits) -> Decoded {
    let expected = decode(signed, body);
    for pieces in [vec![Bytes::copy_from_slice(body)], splits.pieces(body)] {
        let mut framing = Framing::new(signed);
        let mut out = VecDeque::new();
        let passed = pieces.iter().try_for_each(|piece| framing.pass(piece.clone(), &mut out));
        assert_eq!(passed.err(), expected.bad, "whether it is refused depends on its pieces");
        assert_eq!(framing.is_complete(), expected.is_complete);
        assert_eq!(
            framing.decoded(),
            expected.payload.len() as u64,
            "the data is counted otherwise"
        );
        let out = Vec::from(out).concat();
        if signed {
            assert!(body.starts_with(&out), "a signed body is not what it was");
            assert!(expected.bad.is_some() || out == body, "bytes of a signed body are missing");
            continue;
        }
        // What is put out is whole chunks, up to where it was refused.
        let seen = decode(false, &out);
        assert_eq!(seen.bad, None, "what is passed on is malformed");
        assert_eq!(seen.payload, expected.payload, "what is passed on is not the body");
        assert_eq!(seen.trailers, expected.trailers);
        assert_eq!(seen.is_complete, expected.is_complete);
    }
    expected
}

/// The same in one go, over the whole body at once.
fn decode(signed: bool, body: &[u8]) -> Decoded {
    let mut decoded =
        Decoded { payload: Vec::new(), trailers: Vec::new(), is_complete: false, bad: None };
    let mut rest = body;
    let mut declared = 0u128;
    loop {
        let line = match rest.iter().take(LINE_BYTES_MAX).position(|byte| *byte == b'\n') {
            Some(end) => rest.split_off(..=end).expect("the line break was found"),
            None if rest.len() > LINE_BYTES_MAX => {
                decoded.bad = Some(BadFraming::Line);
                return decoded;
            }
            None => return decoded,
        };
        let size = match size(line) {
            Some(size) if !signed || size <= SIGNED_CHUNK_BYTES_MAX => size,
            Some(_) => {
                decoded.bad = Some(BadFraming::TooLarge);
                return decoded;
            }
            None => {
                decoded.bad = Some(BadFraming::Line);
                return decoded;
            }
        };
        if size == 0 {
            decoded.trailers = rest.to_vec();
            decoded.is_complete = true;
            return decoded;
        }
        declared += u128::from(size);
        let here = usize::try_from(size).unwrap_or(usize::MAX).min(rest.len());
        let (data, after) = rest.split_at(here);
        decoded.payload.extend_from_slice(data);
        assert!(decoded.payload.len() as u128 <= declared);
        match after {
            [] | b"\r" => return decoded,
            [b'\r', b'\n', after @ ..] => rest = after,
            _ => {
                decoded.bad = Some(BadFraming::End);
                return decoded;
            }
        }
    }
}

/// Digits, anything after a semicolon, and a line break.
fn size(line: &[u8]) -> Option<u64> {
    let line = line.strip_suffix(b"\r\n")?;
    let digits = &line[..line.iter().position(|byte| *byte == b';').unwrap_or(line.len())];
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |size, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        Some(size.checked_mul(16)? + u64::from(digit))
    })
}

impl ChunkedInput {
    fn check(&self) {
        let mut body = Vec::new();
        let mut payload = Vec::new();
        for chunk in self.chunks.iter().filter(|chunk| !chunk.bytes.is_empty()).take(PARTS_MAX) {
            body.extend_from_slice(chunk.line(self.signed).as_bytes());
            body.extend_from_slice(&chunk.bytes);
            body.extend_from_slice(b"\r\n");
            payload.extend_from_slice(&chunk.bytes);
        }
        body.extend_from_slice(if self.signed { b"0;chunk-signature=0\r\n" } else { b"0\r\n" });
        body.extend_from_slice(&self.trailers);
        let expected =
            Decoded { payload, trailers: self.trailers.clone(), is_complete: true, bad: None };
        assert_eq!(check(self.signed, &body, &self.splits), expected);
    }
}

impl Chunk {
    fn line(&self, signed: bool) -> String {
        let len = self.bytes.len();
        let mut line = "0".repeat(usize::from(self.zeros % 100));
        let written =
            if self.upper_case { write!(line, "{len:X}") } else { write!(line, "{len:x}") };
        written.expect("a string takes everything");
        if signed {
            line.push_str(";chunk-signature=");
            line.push_str(&"f".repeat(usize::from(self.extension % 100)));
        }
        line + "\r\n"
    }
}
