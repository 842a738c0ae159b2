//! Which sockets a process has: from the tables of *its* network namespace.

use std::mem::MaybeUninit;
use std::ops::ControlFlow;

use rustix::fd::{AsFd, AsRawFd};
use rustix::fs::getxattr;

use super::parse::{Table, table_line};
use super::{Process, each_line};
use crate::Socket;

/// A socket to be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Wanted {
    pub(crate) inode: u64,
    pub(crate) fd: i32,
    /// As in [`Seen::is_first_table`](super::Seen::is_first_table).
    pub(crate) is_first_table: bool,
    /// A number of the caller's, handed back with the answer.
    pub(crate) tag: u32,
}

/// How the search went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Searched {
    /// Of tables that were read.
    pub(crate) bytes: u64,
    /// They were longer than might be read.
    pub(crate) is_cut: bool,
}

/// Calls `found` once for each that is wanted, with what is known of it.
///
/// Reads up to about `bytes_max` of the tables, and stops when all are found. What is in no table
/// is neither bound nor connected, or no longer, and the kernel tells at least its protocol.
pub(crate) fn find_sockets(
    process: &Process,
    wanted: &mut [Wanted],
    bytes_max: u64,
    mut found: impl FnMut(&Wanted, Option<Socket>),
) -> Searched {
    wanted.sort_unstable();
    let mut is_found = vec![false; wanted.len()];
    let (mut left, mut searched) = (wanted.len(), Searched::default());
    let mut listening = Ports::default();
    for table in Table::all() {
        if left == 0 {
            return searched;
        }
        let read =
            each_line(process, table.path, bytes_max.saturating_sub(searched.bytes), |line| {
                let Some(line) = table_line(*table, line) else { return ControlFlow::Continue(()) };
                // Whichever process listens there, the port is one of this machine.
                if let Some(port) = line.listening_port() {
                    listening.add(port);
                }
                let first = wanted.partition_point(|socket| socket.inode < line.inode);
                let same =
                    wanted[first..].iter().take_while(|socket| socket.inode == line.inode).count();
                // Sockets without an inode have 0 there.
                if same == 0 || line.inode == 0 || is_found[first] {
                    return ControlFlow::Continue(());
                }
                let Some(mut socket) = line.socket() else { return ControlFlow::Continue(()) };
                let is_to_listener = line.local_port().is_some_and(|port| listening.has(port));
                socket.is_to_listener = !socket.peer.is_empty() && is_to_listener;
                for index in first..first + same {
                    is_found[index] = true;
                    found(&wanted[index], Some(socket.clone()));
                }
                left -= same;
                if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
        // Not every kernel has every table.
        if let Ok(read) = read {
            searched.bytes += read.bytes;
            searched.is_cut |= read.is_cut;
        }
    }
    for (socket, _) in wanted.iter().zip(&is_found).filter(|(_, is_found)| !**is_found) {
        // A table that was cut may well have had it.
        let is_clear = socket.is_first_table && !searched.is_cut;
        let protocol = is_clear.then(|| unlisted(process, socket.fd)).flatten();
        found(socket, protocol);
    }
    searched
}

/// A socket that is in no table, by the protocol that its file tells.
fn unlisted(process: &Process, fd: i32) -> Option<Socket> {
    // Through our own descriptor of its folder, so that it is the right process.
    let path = format!("/proc/thread-self/fd/{}/fd/{fd}", process.as_fd().as_raw_fd());
    let mut buffer = [MaybeUninit::uninit(); 64];
    let (name, _) = getxattr(path, "system.sockprotoname", &mut buffer).ok()?;
    let name: &[u8] = name;
    let family = match name.split(|b| *b == 0).next().unwrap_or_default() {
        b"TCP" => "tcp",
        b"TCPv6" => "tcp6",
        b"UDP" => "udp",
        b"UDPv6" => "udp6",
        b"RAW" => "raw",
        b"RAWv6" => "raw6",
        b"NETLINK" => "netlink",
        b"PACKET" => "packet",
        name if name.starts_with(b"UNIX") => "unix",
        _ => return None,
    };
    let state = if family.starts_with("tcp") { "closed" } else { "unconnected" };
    Some(Socket { family, state, local: String::new(), peer: String::new(), is_to_listener: false })
}

/// A set of ports, empty until there is one.
#[derive(Debug, Default)]
struct Ports {
    /// A bit for each.
    words: Vec<u64>,
}

impl Ports {
    fn add(&mut self, port: u16) {
        self.words.resize(usize::from(u16::MAX) / 64 + 1, 0);
        self.words[usize::from(port / 64)] |= 1 << (port % 64);
    }

    fn has(&self, port: u16) -> bool {
        self.words.get(usize::from(port / 64)).is_some_and(|word| word >> (port % 64) & 1 == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{FakeProcess, Fixture};
    use super::*;

    /// A line of `net/tcp` between two ports of this machine.
    fn line(local: u16, peer: u16, state: u8, inode: u64) -> String {
        let to = if peer == 0 { "00000000" } else { "0100007F" };
        format!(
            "   0: 0100007F:{local:04X} {to}:{peer:04X} {state:02X} 00000000:00000000 00:00000000 \
             00000000     0        0 {inode} 1 0\n"
        )
    }

    #[test]
    fn a_connection_to_a_port_that_is_listened_on_is_told_from_one_that_we_made() {
        let fixture = Fixture::new();
        fixture.put(&FakeProcess::default());
        let heading = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when \
             retrnsmt   uid  timeout inode\n";
        // The listener is another process's; both ends of a connection are on this machine.
        let table = [
            heading.into(),
            line(40000, 0, 10, 1),
            line(40000, 50000, 1, 2),
            line(50000, 40000, 1, 3),
        ];
        fixture.write(100, "net/tcp", table.concat().as_bytes());
        let process = Process::open(&fixture.root(), 100).unwrap();
        let wanted = |inode| Wanted { inode, fd: 3, is_first_table: true, tag: 0 };
        let mut found = Vec::new();
        find_sockets(
            &process,
            &mut [wanted(3), wanted(2), wanted(1)],
            1 << 20,
            |wanted, socket| {
                let socket = socket.unwrap();
                let pattern = crate::pattern(crate::Kind::Socket, b"", Some(&socket));
                found.push((
                    wanted.inode,
                    socket.is_to_listener,
                    String::from_utf8(pattern).unwrap(),
                ));
            },
        );
        found.sort();
        assert_eq!(
            found,
            [
                (1, false, "tcp listen 127.0.0.1:40000".to_owned()),
                (2, true, "tcp established on 127.0.0.1:40000".to_owned()),
                (3, false, "tcp established 127.0.0.1:40000".to_owned()),
            ]
        );
    }

    #[test]
    fn ports_are_kept_at_their_ends() {
        let mut ports = Ports::default();
        assert!(!ports.has(0));
        for port in [0, 63, 64, u16::MAX] {
            ports.add(port);
        }
        assert!([0, 63, 64, u16::MAX].into_iter().all(|port| ports.has(port)) && !ports.has(65));
    }
}
