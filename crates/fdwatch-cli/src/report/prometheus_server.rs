//! Answers a Prometheus scraper between two ticks, without a thread.
//!
//! One connection at a time: the main loop calls [`PrometheusServer::poll`] when it has nothing
//! else to do (it can wait for that, see `AsFd`), and others wait in the kernel's backlog. An
//! exchange has [`EXCHANGE`] for everything; who is slower is cut off, so that the watcher's next
//! tick is late by that much at most. It reads 4 KiB of a request and holds one answer.
//!
//! It is no web server: `GET` and `HEAD` of `/metrics`, then the connection is closed.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use super::prometheus::CONTENT_TYPE;

/// What one client may cost the watcher, from its connection to its last byte.
pub const EXCHANGE: Duration = Duration::from_millis(100);
/// A longer request is refused.
const REQUEST_BYTES_MAX: usize = 4_096;

/// A listening socket and nothing else.
#[derive(Debug)]
pub struct PrometheusServer {
    listener: TcpListener,
    /// [`EXCHANGE`], but in tests that are not about it.
    exchange: Duration,
}

impl PrometheusServer {
    /// Listens at `ADDRESS:PORT`; at `PORT` or `:PORT` on loopback only, as names of processes are
    /// private.
    ///
    /// # Errors
    /// `InvalidInput` when that is no address, else what the kernel has against it.
    pub fn bind(address: &str) -> io::Result<Self> {
        let listener = TcpListener::bind(parse_address(address)?)?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener, exchange: EXCHANGE })
    }

    /// Where it listens, with the port that the kernel chose for port 0.
    ///
    /// # Errors
    /// Those of `getsockname`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves one client that is waiting, if there is one; tells whether there was. Asks for the
    /// text only if it is wanted.
    ///
    /// # Errors
    /// Only those of the listening socket that do not pass; what goes wrong with one client is its
    /// own business. Without descriptors left the client stays in the backlog and `false` comes
    /// back; the socket stays readable then, so wait for the next tick and not for the socket.
    pub fn poll(&mut self, report_text: impl FnOnce() -> String) -> io::Result<bool> {
        match self.listener.accept() {
            Ok((client, _)) => {
                // A client that went away or was too slow will come again.
                let _ = serve(client, Instant::now() + self.exchange, report_text);
                Ok(true)
            }
            Err(error) if is_passing(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl AsFd for PrometheusServer {
    /// Readable when a client waits.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

fn parse_address(text: &str) -> io::Result<SocketAddr> {
    let port = text.strip_prefix(':').unwrap_or(text);
    let loopback = port.parse().map(|port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
    loopback.ok().or_else(|| text.parse().ok()).ok_or_else(|| {
        let message =
            format!("{text:?} is no address: give a port, ADDRESS:PORT or [ADDRESS]:PORT");
        io::Error::new(ErrorKind::InvalidInput, message)
    })
}

/// Errors of `accept` that are about one client or that pass, after accept(2).
fn is_passing(error: &io::Error) -> bool {
    let kinds = [ErrorKind::WouldBlock, ErrorKind::Interrupted, ErrorKind::ConnectionAborted];
    let codes = [
        libc::EMFILE,
        libc::ENFILE,
        libc::ENOBUFS,
        libc::ENOMEM,
        libc::ENETDOWN,
        libc::EPROTO,
        libc::ENOPROTOOPT,
        libc::EHOSTDOWN,
        libc::ENONET,
        libc::EHOSTUNREACH,
        libc::EOPNOTSUPP,
        libc::ENETUNREACH,
        libc::EPERM,
    ];
    kinds.contains(&error.kind()) || error.raw_os_error().is_some_and(|code| codes.contains(&code))
}

fn serve(
    mut client: TcpStream,
    deadline: Instant,
    report_text: impl FnOnce() -> String,
) -> io::Result<()> {
    client.set_nonblocking(false)?;
    let mut buffer = [0; REQUEST_BYTES_MAX];
    let request = read_head(&mut client, &mut buffer, deadline)?;
    let answer = request.map_or(Answer::BadRequest, understand);
    let text = if answer.is_ok() { report_text() } else { answer.reason().to_owned() + "\n" };
    let head = format!(
        "HTTP/1.1 {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n{}Cache-Control: \
         no-store\r\nConnection: close\r\n\r\n",
        answer.reason(),
        if answer.is_ok() { CONTENT_TYPE } else { "text/plain; charset=utf-8" },
        text.len(),
        if answer == Answer::MethodNotAllowed { "Allow: GET, HEAD\r\n" } else { "" },
    );
    write_all(&mut client, head.as_bytes(), deadline)?;
    if answer != Answer::Head {
        write_all(&mut client, text.as_bytes(), deadline)?;
    }
    client.shutdown(Shutdown::Write)?;
    if request.is_none() {
        // Closing while it still sends would reset the connection before it has read why.
        while read_some(&mut client, &mut buffer, deadline)? > 0 {}
    }
    Ok(())
}

/// The bytes up to the empty line; `None` when they do not fit or end before.
fn read_head<'a>(
    client: &mut TcpStream,
    buffer: &'a mut [u8; REQUEST_BYTES_MAX],
    deadline: Instant,
) -> io::Result<Option<&'a [u8]>> {
    let mut filled = 0;
    while filled < buffer.len() {
        let got = read_some(client, &mut buffer[filled..], deadline)?;
        if got == 0 {
            return Ok(None);
        }
        let seen = filled;
        filled += got;
        if let Some(end) = head_end(&buffer[..filled], seen) {
            return Ok(Some(&buffer[..end]));
        }
    }
    Ok(None)
}

/// Where the empty line begins, of which the first `seen` bytes have been searched before: it may
/// have begun in them.
fn head_end(bytes: &[u8], seen: usize) -> Option<usize> {
    let from = seen.saturating_sub(3);
    bytes[from..].windows(4).position(|window| window == b"\r\n\r\n").map(|at| from + at)
}

fn read_some(client: &mut TcpStream, buffer: &mut [u8], deadline: Instant) -> io::Result<usize> {
    loop {
        client.set_read_timeout(Some(left(deadline)?))?;
        match client.read(buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// `write_all` of the standard library would grant each piece the whole time again.
fn write_all(client: &mut TcpStream, bytes: &[u8], deadline: Instant) -> io::Result<()> {
    let mut rest = bytes;
    while !rest.is_empty() {
        client.set_write_timeout(Some(left(deadline)?))?;
        match client.write(rest) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => rest = &rest[written..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Never zero: that would mean for ever.
fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Get,
    Head,
    BadRequest,
    NotFound,
    MethodNotAllowed,
}

impl Answer {
    fn is_ok(self) -> bool {
        matches!(self, Self::Get | Self::Head)
    }

    fn reason(self) -> &'static str {
        match self {
            Self::Get | Self::Head => "200 OK",
            Self::BadRequest => "400 Bad Request",
            Self::NotFound => "404 Not Found",
            Self::MethodNotAllowed => "405 Method Not Allowed",
        }
    }
}

/// What the request line asks for; nothing else of a request matters here.
fn understand(head: &[u8]) -> Answer {
    let line = head.split(|&byte| byte == b'\r').next().unwrap_or_default();
    let words: Vec<&[u8]> = line.splitn(4, |&byte| byte == b' ').collect();
    let [method, target, b"HTTP/1.0" | b"HTTP/1.1"] = words[..] else { return Answer::BadRequest };
    if method.is_empty() || !method.iter().all(u8::is_ascii_uppercase) || !target.starts_with(b"/")
    {
        return Answer::BadRequest;
    }
    if target.split(|&byte| byte == b'?').next() != Some(b"/metrics") {
        return Answer::NotFound;
    }
    match method {
        b"GET" => Answer::Get,
        b"HEAD" => Answer::Head,
        _ => Answer::MethodNotAllowed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "fdwatch_children 3\n";

    /// A busy machine must not look like a slow client.
    fn patient() -> PrometheusServer {
        PrometheusServer {
            exchange: Duration::from_secs(60),
            ..PrometheusServer::bind("0").unwrap()
        }
    }

    /// Serves one client that is connected already, so nothing has to be waited for.
    fn exchange(request: &[u8]) -> String {
        let mut server = patient();
        assert!(!server.poll(|| unreachable!("no client has asked")).unwrap());
        let mut client = TcpStream::connect(server.local_addr().unwrap()).unwrap();
        client.write_all(request).unwrap();
        assert!(server.poll(|| TEXT.to_owned()).unwrap());
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn a_scraper_gets_the_report() {
        for target in ["/metrics", "/metrics?debug=1"] {
            let answer = exchange(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes());
            assert!(
                answer.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4"),
                "{answer}"
            );
            assert!(answer.contains(&format!("Content-Length: {}\r\n", TEXT.len())), "{answer}");
            assert!(answer.ends_with(&format!("\r\n\r\n{TEXT}")), "{answer}");
        }
        let answer = exchange(b"HEAD /metrics HTTP/1.0\r\n\r\n");
        assert!(
            answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\n"),
            "{answer}"
        );
        assert!(answer.contains(&format!("Content-Length: {}\r\n", TEXT.len())), "{answer}");
    }

    #[test]
    fn everything_else_is_refused() {
        for (request, status) in [
            ("GET / HTTP/1.1\r\n\r\n", "404"),
            ("GET /metricsx HTTP/1.1\r\n\r\n", "404"),
            ("POST / HTTP/1.1\r\n\r\n", "404"),
            ("POST /metrics HTTP/1.1\r\n\r\n", "405"),
            ("get /metrics HTTP/1.1\r\n\r\n", "400"),
            ("GET metrics HTTP/1.1\r\n\r\n", "400"),
            ("GET /metrics HTTP/2.0\r\n\r\n", "400"),
            ("GET /metrics\r\n\r\n", "400"),
            ("GET  /metrics HTTP/1.1\r\n\r\n", "400"),
            ("\r\n\r\n", "400"),
            ("\u{16}\u{3}\u{1}\r\n\r\n", "400"),
        ] {
            let answer = exchange(request.as_bytes());
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request:?}: {answer}");
            assert_eq!(answer.contains("Allow: GET, HEAD"), status == "405", "{answer}");
            assert!(!answer.contains(TEXT));
        }
    }

    #[test]
    fn the_empty_line_may_come_in_pieces() {
        let request = b"GET / HTTP/1.1\r\n\r\nrest";
        for seen in 0..18 {
            assert_eq!(head_end(request, seen), Some(14), "{seen}");
            assert_eq!(head_end(&request[..17], seen.min(17)), None, "{seen}");
        }
    }

    /// At the bound and one byte past it. That byte is read as well: closing with it unread would
    /// reset the connection, and a reset can take the answer with it.
    #[test]
    fn a_long_request_is_refused() {
        let padded = |bytes: usize| {
            let head = "GET /metrics HTTP/1.1\r\nX: ";
            format!("{head}{}\r\n\r\n", "x".repeat(bytes - head.len() - 4))
        };
        let mut server = patient();
        // The second client goes on listening, and the server waits for it as long as that.
        server.exchange = Duration::from_secs(1);
        for (bytes, status) in [(REQUEST_BYTES_MAX, "200"), (REQUEST_BYTES_MAX + 1, "400")] {
            let mut client = TcpStream::connect(server.local_addr().unwrap()).unwrap();
            client.write_all(padded(bytes).as_bytes()).unwrap();
            assert!(server.poll(|| TEXT.to_owned()).unwrap());
            assert!(client.take_error().unwrap().is_none(), "{bytes}");
            let mut answer = String::new();
            client.read_to_string(&mut answer).unwrap();
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{bytes}: {answer}");
        }
    }

    /// A client that says nothing, and one that reads nothing of an answer that no socket buffer
    /// holds: `poll` comes back, which it would not without its deadline.
    #[test]
    fn a_slow_client_is_cut_off() {
        let mut server = PrometheusServer::bind("0").unwrap();
        let silent = TcpStream::connect(server.local_addr().unwrap()).unwrap();
        assert!(server.poll(|| unreachable!("nothing was asked for")).unwrap());
        drop(silent);

        let mut deaf = TcpStream::connect(server.local_addr().unwrap()).unwrap();
        deaf.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").unwrap();
        let text = "x".repeat(64 << 20);
        let bytes = text.len();
        assert!(server.poll(|| text).unwrap());
        let mut got = Vec::new();
        // Reset or ended early, by what the kernel had taken.
        let _ = deaf.read_to_end(&mut got);
        assert!(got.len() < bytes, "{} of {bytes} bytes", got.len());

        // And the next one is served.
        server.exchange = Duration::from_secs(60);
        let mut client = TcpStream::connect(server.local_addr().unwrap()).unwrap();
        client.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").unwrap();
        assert!(server.poll(|| TEXT.to_owned()).unwrap());
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert!(answer.ends_with(TEXT));
    }

    #[test]
    fn an_address_is_loopback_unless_it_says_otherwise() {
        for (text, expected) in [
            ("9100", "127.0.0.1:9100"),
            (":9100", "127.0.0.1:9100"),
            ("0.0.0.0:9100", "0.0.0.0:9100"),
            ("[::1]:9100", "[::1]:9100"),
        ] {
            assert_eq!(parse_address(text).unwrap().to_string(), expected);
        }
        for text in ["", ":", "65536", "host:1", "1.2.3.4", "[::1]", "-1"] {
            assert_eq!(parse_address(text).unwrap_err().kind(), ErrorKind::InvalidInput, "{text}");
        }
    }
}
