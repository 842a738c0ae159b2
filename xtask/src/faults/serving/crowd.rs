//! A crowd of clients, driven by one thread: what each client sends and reads, and how fast.
//!
//! The sockets are non-blocking. A client whose pace allows nothing now is not polled, so a slow
//! crowd costs the machine little. A client whose request was refused or broken off comes again a
//! second later, as real clients do.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with, sockopt};

use super::answer::Answer;
use super::client::Address;

const COMES_AGAIN: Duration = Duration::from_secs(1);
/// How often a crowd with paces is polled. That is fine enough for all paces, and leaves the
/// machine to the server.
const TICK: Duration = Duration::from_millis(5);
const WAIT_MAX: Duration = Duration::from_millis(50);
/// How much a client at full speed reads or writes at a time.
const PIECE: usize = 64 << 10;
/// The size of a slow reader's receive buffer. The kernel doubles it. If it were large, the kernel
/// would take the answer in place of the client.
const WINDOW_MIN: u64 = 4 << 10;
const WINDOW_MAX: u64 = 64 << 10;

/// So many bytes at once, and then so many a second. Without a rate, as fast as possible.
#[derive(Clone, Copy)]
pub(super) struct Pace {
    pub(super) at_once: u64,
    pub(super) per_s: Option<u64>,
}

impl Pace {
    pub(super) const FULL: Self = Self { at_once: 0, per_s: None };

    pub(super) fn of(per_s: u64) -> Self {
        Self { at_once: 0, per_s: Some(per_s) }
    }

    fn allowed(self, since: Duration) -> u64 {
        let rate = self.per_s.map_or(u64::MAX, |rate| (rate as f64 * since.as_secs_f64()) as u64);
        self.at_once.saturating_add(rate)
    }

    /// A call for fewer bytes than this is not worth it.
    fn least(self) -> u64 {
        self.per_s.map_or(1, |rate| (rate / 10).max(rate.min(1_000)))
    }
}

/// What the server owes to each client of the crowd.
#[derive(Clone, Copy, Default)]
pub(super) struct Owed {
    /// The client gets its answer before the crowd leaves.
    pub(super) answer: bool,
    /// The client is neither refused nor broken off.
    pub(super) place: bool,
    /// The client gets this part of what its pace of reading allows.
    pub(super) share_min: f64,
}

impl Owed {
    /// The server owes nothing to the client, and may turn it away.
    pub(super) const NOTHING: Self = Self { answer: false, place: false, share_min: 0.0 };
    pub(super) const PLACE: Self = Self { place: true, ..Self::NOTHING };
    pub(super) const ANSWER: Self = Self { answer: true, ..Self::PLACE };
}

/// What one client of the crowd does.
#[derive(Clone)]
pub(super) struct Script {
    pub(super) head: String,
    /// The body repeats these bytes up to its length.
    pub(super) filler: Arc<[u8]>,
    pub(super) body_bytes: u64,
    /// The client stops sending after so much of the body.
    pub(super) stops_after: Option<u64>,
    pub(super) send: Pace,
    pub(super) read: Pace,
    pub(super) expected: Option<Arc<[u8]>>,
    /// The client repeats the request over the same connection as soon as it is answered.
    pub(super) again: bool,
    /// The status of an answer that serves the client; `None`: any success.
    pub(super) status: Option<u16>,
    pub(super) owed: Owed,
}

impl Script {
    fn is_served_by(&self, status: u16) -> bool {
        self.status.map_or((200..300).contains(&status), |expected| status == expected)
    }

    fn all_bytes(&self) -> u64 {
        self.head.len() as u64 + self.stops_after.unwrap_or(self.body_bytes).min(self.body_bytes)
    }

    /// The bytes to send from `from` on, at most so many.
    fn piece(&self, from: u64, most: u64) -> &[u8] {
        let head = self.head.as_bytes();
        let rest = match usize::try_from(from) {
            Ok(from) if from < head.len() => &head[from..],
            _ => &self.filler[((from - head.len() as u64) % self.filler.len() as u64) as usize..],
        };
        &rest[..rest.len().min(most.min(self.all_bytes() - from) as usize).min(PIECE)]
    }
}

/// A request under way.
struct Talk {
    socket: TcpStream,
    begun: Instant,
    sent: u64,
    received: u64,
    answer: Answer,
}

enum ClientPlace {
    Away(Instant),
    Talking(Talk),
    Home,
}

struct Client {
    script: Script,
    place: ClientPlace,
    /// Bytes of bodies that the client has received, over all its requests.
    came: u64,
    completed: usize,
    /// How often the client was refused or broken off.
    turned_away: usize,
}

/// The result for the crowd.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) clients: usize,
    pub(super) begun: usize,
    pub(super) completed: usize,
    /// Clients that have completed at least one request.
    pub(super) content: usize,
    pub(super) refused: BTreeMap<u16, usize>,
    pub(super) broken: usize,
    pub(super) wrong: usize,
    /// How many clients are owed an answer, and how many of them did not get one.
    pub(super) owed: usize,
    pub(super) unanswered: usize,
    /// How often clients were turned away that are owed a place.
    pub(super) turned_away: usize,
    /// Clients that got less than the part of their pace that they are owed.
    pub(super) starved: usize,
    /// Of the clients that read at a pace: the smallest part that one got of what its pace allowed.
    pub(super) least_share: Option<f64>,
    pub(super) seconds: f64,
}

impl Tally {
    pub(super) fn refusals(&self) -> usize {
        self.refused.values().sum()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} clients served in {:.1} s", self.content, self.clients, self.seconds)?;
        write!(f, ", {} requests begun, {} broken off", self.begun, self.broken)?;
        for (status, count) in &self.refused {
            write!(f, ", {count} × {status}")?;
        }
        if let Some(share) = self.least_share {
            write!(f, ", the slowest got {:.0}% of its pace", 100.0 * share)?;
        }
        if self.wrong > 0 { write!(f, ", {} WRONG answers", self.wrong) } else { Ok(()) }
    }
}

/// Drives the crowd until every client is home, or until `stays` is over. If some clients are still
/// owed an answer then, it goes on until they have it, for at most `patience` in all.
pub(super) fn drive(
    address: &Address,
    scripts: Vec<Script>,
    stays: Duration,
    patience: Duration,
) -> Result<Tally> {
    let begun = Instant::now();
    let mut tally = Tally { clients: scripts.len(), ..Tally::default() };
    let is_paced = scripts.iter().all(|script| script.send.per_s.or(script.read.per_s).is_some());
    let mut clients: Vec<Client> = scripts
        .into_iter()
        .map(|script| Client {
            script,
            place: ClientPlace::Away(begun),
            came: 0,
            completed: 0,
            turned_away: 0,
        })
        .collect();
    let mut buffer = vec![0; PIECE];
    loop {
        let most = if clients.iter().any(Client::is_unanswered) { patience } else { stays };
        let is_over = clients.iter().all(|client| matches!(client.place, ClientPlace::Home));
        if is_over || begun.elapsed() >= most {
            break;
        }
        let now = Instant::now();
        for client in &mut clients {
            client.come(address, now, &mut tally);
        }
        let ready = wait(&clients, now)?;
        for index in ready {
            clients[index].work(&mut buffer, &mut tally);
        }
        if is_paced {
            std::thread::sleep(TICK.saturating_sub(now.elapsed()));
        }
    }
    tally.seconds = begun.elapsed().as_secs_f64();
    for client in &clients {
        let owed = client.script.owed;
        tally.content += usize::from(client.completed > 0);
        tally.owed += usize::from(owed.answer);
        tally.unanswered += usize::from(client.is_unanswered());
        tally.turned_away += if owed.place { client.turned_away } else { 0 };
        if let Some(share) = client.share(tally.seconds) {
            tally.starved += usize::from(share < owed.share_min);
            tally.least_share = Some(tally.least_share.map_or(share, |least| least.min(share)));
        }
    }
    Ok(tally)
}

/// The clients that can do something now. Waits for a short time.
fn wait(clients: &[Client], now: Instant) -> Result<Vec<usize>> {
    let (mut fds, mut indices) = (Vec::new(), Vec::new());
    for (index, client) in clients.iter().enumerate() {
        if let ClientPlace::Talking(talk) = &client.place {
            let flags = client.wants(talk, now);
            if !flags.is_empty() {
                fds.push(PollFd::new(&talk.socket, flags));
                indices.push(index);
            }
        }
    }
    let most = if fds.is_empty() { TICK } else { WAIT_MAX.min(TICK * 2) };
    let most = Timespec::try_from(most).context("a short time")?;
    match poll(&mut fds, Some(&most)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(error) => return Err(error).context("wait for the crowd's sockets"),
    }
    let is_ready = |(fd, index): (&PollFd<'_>, usize)| (!fd.revents().is_empty()).then_some(index);
    Ok(fds.iter().zip(indices).filter_map(is_ready).collect())
}

impl Client {
    fn is_unanswered(&self) -> bool {
        self.script.owed.answer && self.completed == 0
    }

    /// For a client that still reads: the part that came of what its pace allowed.
    fn share(&self, seconds: f64) -> Option<f64> {
        let rate = self.script.read.per_s.filter(|_| self.completed == 0)?;
        Some(self.came as f64 / (rate as f64 * seconds))
    }

    /// Connects when it is time for that.
    fn come(&mut self, address: &Address, now: Instant, tally: &mut Tally) {
        let ClientPlace::Away(until) = self.place else { return };
        if until > now {
            return;
        }
        let window = self.script.read.per_s.map(|rate| (rate / 2).clamp(WINDOW_MIN, WINDOW_MAX));
        self.place = match open(address, window) {
            Ok(socket) => ClientPlace::Talking(self.talk(socket)),
            Err(_) => ClientPlace::Away(now + COMES_AGAIN),
        };
        tally.begun += 1;
    }

    fn talk(&self, socket: TcpStream) -> Talk {
        let answer = Answer::new(self.script.expected.clone());
        Talk { socket, begun: Instant::now(), sent: 0, received: 0, answer }
    }

    /// How many bytes may be sent and read now.
    fn budgets(&self, talk: &Talk, now: Instant) -> (u64, u64) {
        let since = now.saturating_duration_since(talk.begun);
        let budget = |pace: Pace, done: u64| {
            let left = pace.allowed(since).saturating_sub(done);
            if left >= pace.least() { left } else { 0 }
        };
        let head = self.script.head.len() as u64;
        let left = self.script.all_bytes() - talk.sent;
        // The head is sent at once; the pace is only that of the body.
        let send = match head.checked_sub(talk.sent) {
            Some(head_left) if head_left > 0 => head_left,
            _ => {
                let pace = self.script.send;
                let most = pace.allowed(since).saturating_sub(talk.sent - head);
                if most >= pace.least().min(left) { most.min(left) } else { 0 }
            }
        };
        (send, budget(self.script.read, talk.received))
    }

    fn wants(&self, talk: &Talk, now: Instant) -> PollFlags {
        let (send, read) = self.budgets(talk, now);
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::OUT, send > 0);
        flags.set(PollFlags::IN, read > 0);
        flags
    }

    fn work(&mut self, buffer: &mut [u8], tally: &mut Tally) {
        let place = std::mem::replace(&mut self.place, ClientPlace::Home);
        let ClientPlace::Talking(mut talk) = place else { return };
        let (send, read) = self.budgets(&talk, Instant::now());
        let before = talk.answer.body_bytes();
        let mut is_open = true;
        if read > 0 {
            let most = buffer.len().min(usize::try_from(read).unwrap_or(usize::MAX));
            match talk.socket.read(&mut buffer[..most]) {
                Ok(0) => is_open = false,
                Ok(count) => {
                    talk.received += count as u64;
                    talk.answer.take(&buffer[..count]);
                }
                Err(error) => is_open = is_passing(&error),
            }
        }
        if send > 0 && talk.answer.status() == 0 {
            match talk.socket.write(self.script.piece(talk.sent, send)) {
                Ok(count) => talk.sent += count as u64,
                Err(error) if is_passing(&error) => {}
                Err(_) => {
                    is_open = false;
                    // The answer that gives the reason may have come already.
                    while let Ok(count @ 1..) = talk.socket.read(buffer) {
                        talk.answer.take(&buffer[..count]);
                    }
                }
            }
        }
        self.came += talk.answer.body_bytes() - before;
        self.place = self.next(talk, is_open, tally);
    }

    fn next(&mut self, talk: Talk, is_open: bool, tally: &mut Tally) -> ClientPlace {
        if talk.answer.is_wrong() {
            tally.wrong += 1;
            return ClientPlace::Home;
        }
        let again = ClientPlace::Away(Instant::now() + COMES_AGAIN);
        if talk.answer.is_whole() {
            let status = talk.answer.status();
            if !self.script.is_served_by(status) {
                *tally.refused.entry(status).or_default() += 1;
                self.turned_away += 1;
                return again;
            }
            tally.completed += 1;
            self.completed += 1;
            return match (self.script.again, is_open) {
                (false, _) => ClientPlace::Home,
                (true, false) => again,
                (true, true) => {
                    tally.begun += 1;
                    ClientPlace::Talking(self.talk(talk.socket))
                }
            };
        }
        if is_open {
            return ClientPlace::Talking(talk);
        }
        tally.broken += 1;
        self.turned_away += 1;
        again
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted | ErrorKind::NotConnected)
}

/// A connection that the kernel may still be making.
fn open(address: &Address, window: Option<u64>) -> io::Result<TcpStream> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket: OwnedFd = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    if let Some(window) = window {
        // Set before connecting, because the scale of the window is announced at that time.
        sockopt::set_socket_recv_buffer_size(&socket, window as usize)?;
    }
    match connect(&socket, address) {
        Ok(()) | Err(rustix::io::Errno::INPROGRESS) => Ok(TcpStream::from(socket)),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests;
