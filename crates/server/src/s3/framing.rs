//! The frames of an `aws-chunked` body, looked at before s3s decodes them.
//!
//! s3s keeps a chunk in memory until all of it has come, up to 4 GiB, and takes the end of a
//! connection for the end of a body. So here the chunks of an unsigned body are cut smaller as they
//! pass; signed ones, which must stay as they are, have a largest size; and a body ends with its
//! last chunk.

use std::collections::VecDeque;

use bytes::{Buf as _, Bytes};

/// The largest chunk with a signature. Clients use 64 KiB to 128 KiB; each transfer may hold one.
pub(crate) const SIGNED_CHUNK_BYTES_MAX: u64 = 256 << 10;
/// The longest line in front of a chunk: a size and a signature.
const LINE_BYTES_MAX: usize = 256;

/// What is wrong with a body's frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadFraming {
    #[error("the line in front of a chunk cannot be read")]
    Line,
    #[error("a signed chunk is larger than {SIGNED_CHUNK_BYTES_MAX} bytes")]
    TooLarge,
    #[error("a chunk does not end where it should")]
    End,
}

#[derive(Clone, Debug)]
enum State {
    /// The line with the size of the next chunk, as far as it has come.
    Line(Vec<u8>),
    Data(u64),
    /// The line break after a chunk: bytes that are still to come.
    Break(u8),
    /// Behind the last chunk.
    Trailers,
}

/// Follows the frames of a body.
#[derive(Debug)]
pub(crate) struct Framing {
    signed: bool,
    /// Bytes of data so far, without what frames them.
    decoded: u64,
    state: State,
}

impl Framing {
    pub(crate) fn new(signed: bool) -> Self {
        Self { signed, decoded: 0, state: State::Line(Vec::new()) }
    }

    /// Whether the last chunk has come.
    pub(crate) fn is_complete(&self) -> bool {
        matches!(self.state, State::Trailers)
    }

    /// Bytes of data that have come, without what frames them.
    pub(crate) fn decoded(&self) -> u64 {
        self.decoded
    }

    /// Looks at the next bytes and puts out what s3s is to see of them.
    pub(crate) fn pass(
        &mut self,
        mut bytes: Bytes,
        out: &mut VecDeque<Bytes>,
    ) -> Result<(), BadFraming> {
        if self.signed {
            out.push_back(bytes.clone());
        }
        while !bytes.is_empty() {
            match &mut self.state {
                State::Line(line) => {
                    let end = bytes.iter().position(|byte| *byte == b'\n');
                    let part = bytes.split_to(end.map_or(bytes.len(), |end| end + 1));
                    if line.len() + part.len() > LINE_BYTES_MAX {
                        return Err(BadFraming::Line);
                    }
                    line.extend_from_slice(&part);
                    if end.is_some() {
                        let size = size(line)?;
                        if self.signed && size > SIGNED_CHUNK_BYTES_MAX {
                            return Err(BadFraming::TooLarge);
                        }
                        if size == 0 && !self.signed {
                            out.push_back(Bytes::from(std::mem::take(line)));
                        }
                        self.state = if size == 0 { State::Trailers } else { State::Data(size) };
                    }
                }
                State::Data(left) => {
                    let here = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                    let data = bytes.split_to(here);
                    *left -= here as u64;
                    self.decoded += here as u64;
                    if *left == 0 {
                        self.state = State::Break(2);
                    }
                    if !self.signed {
                        out.push_back(Bytes::from(format!("{here:x}\r\n")));
                        out.push_back(data);
                        out.push_back(Bytes::from_static(b"\r\n"));
                    }
                }
                State::Break(left) => {
                    if bytes.get_u8() != if *left == 2 { b'\r' } else { b'\n' } {
                        return Err(BadFraming::End);
                    }
                    *left -= 1;
                    if *left == 0 {
                        self.state = State::Line(Vec::new());
                    }
                }
                State::Trailers => {
                    if !self.signed {
                        out.push_back(bytes);
                    }
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

/// The size that a chunk's line gives.
fn size(line: &[u8]) -> Result<u64, BadFraming> {
    let line = line.strip_suffix(b"\r\n").ok_or(BadFraming::Line)?;
    let digits = line.split(|byte| *byte == b';').next().unwrap_or_default();
    let digits = std::str::from_utf8(digits).map_err(|_| BadFraming::Line)?;
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(BadFraming::Line);
    }
    u64::from_str_radix(digits, 16).map_err(|_| BadFraming::Line)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Passes `body` on in pieces of `piece` bytes.
    fn pass(signed: bool, body: &[u8], piece: usize) -> Result<(Vec<u8>, bool), BadFraming> {
        let mut framing = Framing::new(signed);
        let mut out = VecDeque::new();
        for piece in body.chunks(piece) {
            framing.pass(Bytes::copy_from_slice(piece), &mut out)?;
        }
        Ok((out.into_iter().flatten().collect(), framing.is_complete()))
    }

    #[test]
    fn unsigned_chunks_are_cut_at_the_reads() {
        let body = b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n";
        assert_eq!(pass(false, body, 1000).unwrap(), (body.to_vec(), true));
        let (cut, complete) = pass(false, body, 6).unwrap();
        assert!(complete);
        let expected = b"3\r\nhel\r\n2\r\nlo\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n";
        assert_eq!(String::from_utf8_lossy(&cut), String::from_utf8_lossy(expected));
        for piece in 1..body.len() {
            assert!(pass(false, body, piece).unwrap().1, "{piece}");
        }
    }

    #[test]
    fn signed_chunks_stay_as_they_are_and_small() {
        let body = b"3;chunk-signature=00\r\nabc\r\n0;chunk-signature=11\r\n\r\n";
        for piece in 1..body.len() {
            assert_eq!(pass(true, body, piece).unwrap(), (body.to_vec(), true), "{piece}");
        }
        assert_eq!(pass(true, b"40000\r\n", 9).map(|_| ()), Ok(()));
        assert_eq!(pass(true, b"40001\r\n", 9).map(|_| ()), Err(BadFraming::TooLarge));
    }

    #[test]
    fn frames_that_make_no_sense_are_refused() {
        for (body, expected) in [
            ("FFFFFFFFFFFFFFFFF\r\n", BadFraming::Line),
            ("\r\n", BadFraming::Line),
            ("-1\r\n", BadFraming::Line),
            ("3\nabc", BadFraming::Line),
            ("1\r\nab\r\n", BadFraming::End),
        ] {
            assert_eq!(pass(false, body.as_bytes(), 100).map(|_| ()), Err(expected), "{body:?}");
        }
        assert_eq!(pass(false, &[b'0'; 300], 100).map(|_| ()), Err(BadFraming::Line));
        assert!(!pass(false, b"3\r\nabc\r\n", 100).unwrap().1, "the last chunk is missing");
    }

    #[test]
    fn the_data_is_counted_without_its_frames() {
        for (signed, body) in [
            (false, "5\r\nhello\r\n2\r\nyo\r\n0\r\na:bcd\r\n\r\n"),
            (true, "7;s=0\r\n1234567\r\n0;s=1\r\n\r\n"),
        ] {
            for piece in 1..body.len() {
                let mut framing = Framing::new(signed);
                for piece in body.as_bytes().chunks(piece) {
                    framing.pass(Bytes::copy_from_slice(piece), &mut VecDeque::new()).unwrap();
                }
                assert_eq!(framing.decoded(), 7, "{signed} {piece}");
            }
        }
    }
}
