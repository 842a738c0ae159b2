//! Clients of the server. They know only as much of HTTP as these checks need.

use std::fmt;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use rustix::net::sockopt::{self, Timeout};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};

use crate::faults::shipped::violation;

pub(super) type Address = SocketAddr;

pub(super) const ACCESS: &str = "admin";
pub(super) const SECRET: &str = "open-sesame-2026";
/// `ACCESS:SECRET` in base64.
const BASIC: &str = "YWRtaW46b3Blbi1zZXNhbWUtMjAyNg==";
const OBJECT_BYTES: usize = 64 << 10;
const SMALL_BYTES: usize = 4 << 10;
const SLOW_BYTES: usize = 64 << 20;
const SLOW_PIECE: usize = 1_000;
/// A server that keeps a good client waiting for longer has stalled.
const STALL: Duration = Duration::from_secs(30);
const CONNECT: Duration = Duration::from_secs(1);

pub(super) fn head(method: &str, path: &str, body: usize) -> String {
    head_of(method, &format!("/_/files/storm/{path}"), body as u64, "")
}

/// The head of a request with the administrator's key. `more` is further header lines, each with
/// its line end.
pub(super) fn head_of(method: &str, target: &str, body: u64, more: &str) -> String {
    bare_head(method, target, body, &format!("Authorization: Basic {BASIC}\r\n{more}"))
}

/// The head of a request without a key.
pub(super) fn bare_head(method: &str, target: &str, body: u64, more: &str) -> String {
    format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n{more}Content-Length: {body}\r\n\r\n")
}

/// Makes the bucket.
pub(super) fn prepare(address: &Address) -> Result<()> {
    let mut client = Healthy::new(address, 0);
    let (status, _) = client.ask(&head("PUT", "", 0), &[])?;
    if status == 201 { Ok(()) } else { bail!("the bucket could not be made: status {status}") }
}

/// What the good clients measured.
#[derive(Default)]
pub(super) struct Timings {
    seconds: Vec<f64>,
    /// The request that took the longest: its method, and when it was begun.
    longest: Option<(f64, String, Instant)>,
    /// Requests that the server did not serve.
    pub(super) refused: usize,
    /// How often a kept connection was closed between two requests, and opened again.
    pub(super) reopened: usize,
}

impl Timings {
    pub(super) fn add(&mut self, other: Self) {
        self.seconds.extend(other.seconds);
        self.keep_longest(other.longest);
        self.refused += other.refused;
        self.reopened += other.reopened;
    }

    /// Notes a request that took from `begun` until now.
    fn note(&mut self, head: &str, begun: Instant) {
        let seconds = begun.elapsed().as_secs_f64();
        self.seconds.push(seconds);
        let method = head.split(' ').next().unwrap_or_default();
        self.keep_longest(Some((seconds, method.to_owned(), begun)));
    }

    fn keep_longest(&mut self, other: Option<(f64, String, Instant)>) {
        let seconds = |longest: &Option<(f64, String, Instant)>| longest.as_ref().map(|it| it.0);
        if seconds(&other) > seconds(&self.longest) {
            self.longest = other;
        }
    }

    /// Which request took the longest, and how long after `start` it was begun.
    pub(super) fn longest(&self, start: Instant) -> String {
        self.longest.as_ref().map_or_else(String::new, |(seconds, method, begun)| {
            let after = begun.saturating_duration_since(start).as_secs_f64();
            format!("{method} begun after {after:.1} s took {seconds:.2} s")
        })
    }

    #[cfg(test)]
    pub(super) fn of(seconds: Vec<f64>) -> Self {
        Self { seconds, ..Self::default() }
    }

    pub(super) fn count(&self) -> usize {
        self.seconds.len()
    }

    /// The median, the 99th percentile and the longest time, in seconds.
    pub(super) fn median_late_worst(&self) -> [f64; 3] {
        let mut sorted = self.seconds.clone();
        sorted.sort_by(f64::total_cmp);
        [0.5, 0.99, 1.0].map(|part| {
            let index = (sorted.len() as f64 * part) as usize;
            sorted.get(index.min(sorted.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
        })
    }
}

impl fmt::Display for Timings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, reopened) = (self.count(), self.reopened);
        let [median, late, last] = self.median_late_worst().map(|seconds| 1e3 * seconds);
        write!(
            f,
            "{count} requests of good clients, median {median:.1} ms, p99 {late:.1} ms, worst \
             {last:.1} ms, {reopened} reconnected"
        )
    }
}

/// A client that puts and gets, over one connection for as long as it is left open.
pub(super) struct Healthy<'a> {
    address: &'a Address,
    index: usize,
    /// The local address that it connects from, where that matters.
    from: Option<IpAddr>,
    socket: Option<TcpStream>,
    /// The tag in the head of the last answer.
    etag: Option<String>,
    timings: Timings,
}

impl<'a> Healthy<'a> {
    pub(super) fn new(address: &'a Address, index: usize) -> Self {
        let timings = Timings::default();
        Self { address, index, from: None, socket: None, etag: None, timings }
    }

    pub(super) fn from(address: &'a Address, from: IpAddr) -> Self {
        Self { from: Some(from), ..Self::new(address, 0) }
    }

    pub(super) fn etag(&mut self) -> Option<String> {
        self.etag.take()
    }

    pub(super) fn into_timings(self) -> Timings {
        self.timings
    }

    /// Notes an answer that was not the expected one.
    pub(super) fn is_refused(&mut self) -> Result<()> {
        self.timings.refused += 1;
        Ok(())
    }

    pub(super) fn work(mut self, until: Instant) -> Result<Timings> {
        let mut round = 0;
        while Instant::now() < until {
            let bytes: Vec<u8> =
                (0..OBJECT_BYTES).map(|at| (at * 31 + round * 7 + self.index) as u8).collect();
            let name = format!("good-{}-{}", self.index, round % 8);
            let put = self.timed(&head("PUT", &name, bytes.len()), &bytes)?;
            if put.0 != 201 {
                return Err(violation(format!("a good client's PUT was answered with {}", put.0)));
            }
            let got = self.timed(&head("GET", &name, 0), &[])?;
            if got.0 != 200 || got.1 != bytes {
                return Err(violation(format!(
                    "a good client's GET was answered with {} and other bytes",
                    got.0
                )));
            }
            round += 1;
        }
        Ok(self.timings)
    }

    /// Puts, gets and asks about small objects until the end is announced. Errors are counted, and
    /// do not end this.
    pub(super) fn work_until(mut self, is_over: &AtomicBool) -> Result<Timings> {
        let mut round = 0;
        // Relaxed: a flag. No other data is published through it. It is read after each request,
        // because each of them may have waited for long.
        let is_over = || is_over.load(Ordering::Relaxed);
        while !is_over() {
            let bytes: Vec<u8> =
                (0..SMALL_BYTES).map(|at| (at * 31 + round * 7 + self.index) as u8).collect();
            let name = format!("small-{}-{}", self.index, round % 8);
            // The object can be read only after a put that was served.
            let is_put = self.counted(&head("PUT", &name, bytes.len()), &bytes, 201).is_some();
            if is_put && !is_over() {
                let got = self.counted(&head("GET", &name, 0), &[], 200);
                if got.is_some_and(|got| got != bytes) {
                    return Err(violation("a good client's GET was answered with other bytes"));
                }
            }
            if is_put && !is_over() {
                self.counted(&head("HEAD", &name, 0), &[], 200);
            }
            round += 1;
        }
        Ok(self.timings)
    }

    /// The body of the answer, if it is the expected one.
    pub(super) fn counted(&mut self, head: &str, body: &[u8], expected: u16) -> Option<Vec<u8>> {
        let begun = Instant::now();
        let answer = self.ask(head, body);
        self.timings.note(head, begun);
        match answer {
            Ok((status, bytes)) if status == expected => Some(bytes),
            _ => {
                self.timings.refused += 1;
                None
            }
        }
    }

    fn timed(&mut self, head: &str, body: &[u8]) -> Result<(u16, Vec<u8>)> {
        let begun = Instant::now();
        let answer = self.ask(head, body)?;
        self.timings.note(head, begun);
        Ok(answer)
    }

    /// Opens the connection again if it was closed since the last request, as good clients do.
    pub(super) fn ask(&mut self, head: &str, body: &[u8]) -> Result<(u16, Vec<u8>)> {
        let begun = Instant::now();
        loop {
            let was_open = self.socket.is_some();
            match self.try_ask(head, body) {
                Ok(answer) => return Ok(answer),
                Err(error) if begun.elapsed() > STALL => {
                    return Err(violation(format!(
                        "a good client waited {STALL:?} and then: {error}"
                    )));
                }
                Err(_) => {
                    self.socket = None;
                    self.timings.reopened += 1;
                    if !was_open {
                        sleep(Duration::from_millis(5));
                    }
                }
            }
        }
    }

    fn try_ask(&mut self, head: &str, body: &[u8]) -> io::Result<(u16, Vec<u8>)> {
        let socket = match &mut self.socket {
            Some(socket) => socket,
            none => {
                let socket = match self.from {
                    None => TcpStream::connect_timeout(self.address, STALL)?,
                    Some(from) => connect_from(from, self.address)?,
                };
                socket.set_nodelay(true)?;
                socket.set_read_timeout(Some(STALL))?;
                socket.set_write_timeout(Some(STALL))?;
                none.insert(socket)
            }
        };
        socket.write_all(head.as_bytes())?;
        socket.write_all(body)?;
        let answer = answer(socket, head.starts_with("HEAD "))?;
        self.etag = answer.etag;
        Ok((answer.status, answer.body))
    }
}

/// A connection from this address of the machine.
fn connect_from(from: IpAddr, to: &Address) -> io::Result<TcpStream> {
    let flags = SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    // The timeout also holds for connecting.
    sockopt::set_socket_timeout(&socket, Timeout::Send, Some(STALL))?;
    bind(&socket, &SocketAddr::new(from, 0))?;
    connect(&socket, to)?;
    Ok(socket.into())
}

struct Whole {
    status: u16,
    etag: Option<String>,
    body: Vec<u8>,
}

fn answer(socket: &mut TcpStream, is_bare: bool) -> io::Result<Whole> {
    let mut bytes = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
            let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
            let len =
                head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            let len = if is_bare { Some(0) } else { len };
            let (Some(status), Some(len)) = (status, len) else {
                return Err(io::Error::new(ErrorKind::InvalidData, head));
            };
            let have: usize = bytes.len() - end - 4;
            if have >= len {
                let etag = head.lines().find_map(|line| line.strip_prefix("etag: "));
                let etag = etag.map(str::to_owned);
                bytes.drain(..end + 4);
                return Ok(Whole { status, etag, body: bytes });
            }
        }
        match socket.read(&mut buffer)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            len => bytes.extend_from_slice(&buffer[..len]),
        }
    }
}

/// Whether the server has closed this connection, or sent something.
fn is_closed(socket: &mut TcpStream) -> bool {
    let mut buffer = [0; 4096];
    loop {
        match socket.read(&mut buffer) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() != ErrorKind::WouldBlock,
        }
    }
}

fn open(address: &Address) -> Option<TcpStream> {
    let socket = TcpStream::connect_timeout(address, CONNECT).ok()?;
    socket.set_nonblocking(true).ok()?;
    Some(socket)
}

/// Clients that connect and send nothing.
pub(super) struct Idle {
    opened: usize,
    closed: usize,
}

impl Idle {
    pub(super) fn hold(address: &Address, count: usize, stop: &AtomicBool) -> Self {
        let mut sockets: Vec<TcpStream> = (0..count).filter_map(|_| open(address)).collect();
        let opened = sockets.len();
        while !stop.load(Ordering::Relaxed) {
            sleep(Duration::from_millis(100));
        }
        let closed =
            sockets.iter_mut().filter_map(|socket| is_closed(socket).then_some(())).count();
        Self { opened, closed }
    }
}

impl fmt::Display for Idle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "of {} idle connections {} were closed", self.opened, self.closed)
    }
}

/// Clients that upload a little each second, and connect again when the server breaks them off.
pub(super) struct Slow {
    opened: usize,
    thrown_out: usize,
}

impl Slow {
    pub(super) fn trickle(address: &Address, count: usize, stop: &AtomicBool) -> Self {
        let mut slow = Self { opened: 0, thrown_out: 0 };
        let mut sockets: Vec<Option<TcpStream>> = (0..count).map(|_| None).collect();
        let piece = [b'x'; SLOW_PIECE];
        let mut next = Instant::now();
        while !stop.load(Ordering::Relaxed) {
            for (index, place) in sockets.iter_mut().enumerate() {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                match place {
                    Some(socket) => {
                        let sent = socket.write(&piece);
                        let failed = sent.is_err_and(|error| error.kind() != ErrorKind::WouldBlock);
                        if failed || is_closed(socket) {
                            slow.thrown_out += 1;
                            *place = None;
                        }
                    }
                    None => {
                        *place = open(address).filter(|mut socket| {
                            let head = head("PUT", &format!("slow-{index}"), SLOW_BYTES);
                            socket.write(head.as_bytes()).is_ok()
                        });
                        slow.opened += usize::from(place.is_some());
                    }
                }
            }
            next += Duration::from_secs(1);
            sleep(next.saturating_duration_since(Instant::now()));
        }
        slow
    }
}

impl fmt::Display for Slow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} slow uploads begun, {} broken off", self.opened, self.thrown_out)
    }
}
