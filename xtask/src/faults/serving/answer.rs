//! The answer to one request, parsed as it comes, in pieces of any size.

use std::sync::Arc;

/// More than any head that the server sends.
const HEAD_BYTES_MAX: usize = 64 << 10;

#[derive(Debug, PartialEq, Eq)]
enum State {
    Head,
    /// So many bytes of a body with a length are still to come.
    Sized(u64),
    /// In the line with the size of the next chunk.
    ChunkSize,
    /// So many bytes of a chunk are still to come, including the line end behind it.
    Chunk(u64),
    /// In the lines behind the last chunk.
    Trailer,
    Whole,
    Malformed,
}

pub(super) struct Answer {
    state: State,
    /// The part of the head or the line that has come.
    line: Vec<u8>,
    status: u16,
    /// Bytes of the body, without its framing.
    body_bytes: u64,
    /// The body that a successful answer must have.
    expected: Option<Arc<[u8]>>,
    is_other: bool,
}

impl Answer {
    pub(super) fn new(expected: Option<Arc<[u8]>>) -> Self {
        Self {
            state: State::Head,
            line: Vec::new(),
            status: 0,
            body_bytes: 0,
            expected,
            is_other: false,
        }
    }

    /// 0 until the head is there.
    pub(super) fn status(&self) -> u16 {
        self.status
    }

    pub(super) fn body_bytes(&self) -> u64 {
        self.body_bytes
    }

    pub(super) fn is_whole(&self) -> bool {
        self.state == State::Whole
    }

    /// Whether something else than an answer came, or a body that is not the expected one.
    pub(super) fn is_wrong(&self) -> bool {
        let is_short =
            |expected: &Arc<[u8]>| self.is_whole() && self.body_bytes != expected.len() as u64;
        let is_judged = (200..300).contains(&self.status);
        self.state == State::Malformed
            || self.is_other
            || (is_judged && self.expected.as_ref().is_some_and(is_short))
    }

    pub(super) fn take(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match self.state {
                State::Head => {
                    let (first, rest) = bytes.split_at(1);
                    self.line.extend_from_slice(first);
                    bytes = rest;
                    if self.line.ends_with(b"\r\n\r\n") {
                        self.begin();
                    } else if self.line.len() > HEAD_BYTES_MAX {
                        self.state = State::Malformed;
                    }
                }
                State::Sized(left) => {
                    let count = left.min(bytes.len() as u64);
                    bytes = self.body(bytes, count as usize);
                    self.state =
                        if count == left { State::Whole } else { State::Sized(left - count) };
                }
                State::Chunk(left) => {
                    let count = left.min(bytes.len() as u64);
                    // The last two bytes are the line end.
                    let of_body = count.min(left.saturating_sub(2)) as usize;
                    bytes = &self.body(bytes, of_body)[count as usize - of_body..];
                    self.state =
                        if count == left { State::ChunkSize } else { State::Chunk(left - count) };
                }
                State::ChunkSize | State::Trailer => {
                    let (first, rest) = bytes.split_at(1);
                    self.line.extend_from_slice(first);
                    bytes = rest;
                    if self.line.ends_with(b"\n") {
                        self.line_ended();
                    }
                }
                State::Whole | State::Malformed => {
                    self.state = State::Malformed;
                    return;
                }
            }
        }
    }

    /// The head is complete.
    fn begin(&mut self) {
        let head = String::from_utf8_lossy(&std::mem::take(&mut self.line)).to_ascii_lowercase();
        self.status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
        let length =
            head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        let is_chunked = head.lines().any(|line| line == "transfer-encoding: chunked");
        self.state = match (length, is_chunked) {
            (Some(0), _) => State::Whole,
            (Some(length), _) => State::Sized(length),
            (None, true) => State::ChunkSize,
            // These answers have no body.
            (None, false) if matches!(self.status, 204 | 304) => State::Whole,
            (None, false) => State::Malformed,
        };
    }

    fn line_ended(&mut self) {
        let line = String::from_utf8_lossy(&std::mem::take(&mut self.line)).trim().to_owned();
        self.state = match (&self.state, line.as_str()) {
            (State::Trailer, "") => State::Whole,
            (State::Trailer, _) => State::Trailer,
            _ => match u64::from_str_radix(line.split(';').next().unwrap_or_default(), 16) {
                Ok(0) => State::Trailer,
                Ok(size) => State::Chunk(size.saturating_add(2)),
                Err(_) => State::Malformed,
            },
        };
    }

    /// Compares so many bytes of the body. Returns the rest of the input.
    fn body<'a>(&mut self, bytes: &'a [u8], count: usize) -> &'a [u8] {
        let (body, rest) = bytes.split_at(count);
        if let Some(expected) = self.expected.as_ref().filter(|_| (200..300).contains(&self.status))
        {
            let from = self.body_bytes as usize;
            self.is_other |= expected.get(from..from + count) != Some(body);
        }
        self.body_bytes += count as u64;
        rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZED: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    const CHUNKED: &str =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n";

    fn taken(text: &str, piece: usize, expected: &str) -> Answer {
        let mut answer = Answer::new(Some(expected.as_bytes().into()));
        text.as_bytes().chunks(piece).for_each(|piece| answer.take(piece));
        answer
    }

    #[test]
    fn an_answer_is_whole_in_pieces_of_any_size() {
        for text in [SIZED, CHUNKED] {
            for piece in 1..=text.len() {
                let answer = taken(text, piece, "hello");
                assert!(answer.is_whole() && !answer.is_wrong(), "{text:?} in pieces of {piece}");
                assert_eq!((answer.status(), answer.body_bytes()), (200, 5));
            }
        }
    }

    #[test]
    fn an_answer_that_is_cut_off_is_not_whole() {
        for text in [SIZED, CHUNKED] {
            for end in 0..text.len() {
                assert!(!taken(&text[..end], 7, "hello").is_whole(), "{:?}", &text[..end]);
            }
        }
    }

    #[test]
    fn another_body_is_wrong_and_so_is_what_is_no_answer() {
        for text in [SIZED, CHUNKED] {
            for expected in ["hellO", "hell", "hello!"] {
                assert!(taken(text, 3, expected).is_wrong(), "{text:?} is not {expected:?}");
            }
        }
        assert!(taken("HTTP/1.1 200 OK\r\n\r\n", 9, "").is_wrong());
        assert!(taken(&format!("{SIZED}HTTP"), 90, "hello").is_wrong());
    }
}
