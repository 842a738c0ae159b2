//! The tables of sockets.

use std::net::{IpAddr, SocketAddr};

use arbitrary::{Arbitrary, Unstructured};

use crate::parse::{Table, table_line};
use crate::{Kind, Socket, pattern};

/// A line as the kernel writes it, of which it is known what it must be read as.
#[derive(Debug, Arbitrary)]
enum NetInput {
    Inet { table: Inet, local: End, peer: End, state: u8, inode: u64, queues: [u32; 2], user: u32 },
    Unix { listens: bool, state: u8, inode: u64, name: Option<Vec<u8>>, is_stream: bool },
    Netlink { protocol: u8, port: u32, inode: u64 },
    Packet { protocol: u16, interface: u8, inode: u64 },
}

#[derive(Clone, Copy, Debug, Arbitrary)]
enum Inet {
    Tcp,
    Tcp6,
    Udp,
    Udp6,
    Raw,
    Raw6,
}

#[derive(Clone, Copy, Debug, Arbitrary)]
struct End {
    address: [u8; 16],
    port: u16,
}

/// `include/net/tcp_states.h`, in the words of `ss`.
const STATES: [&str; 13] = [
    "",
    "established",
    "syn-sent",
    "syn-recv",
    "fin-wait-1",
    "fin-wait-2",
    "time-wait",
    "closed",
    "close-wait",
    "last-ack",
    "listen",
    "closing",
    "syn-recv",
];

/// The first byte chooses: any line of any table is nothing or a socket with a bounded text; what
/// the kernel writes is read as what it is.
///
/// # Panics
/// When that does not hold.
pub fn proc_net(data: &[u8]) {
    let Some((choice, data)) = data.split_first() else { return };
    if choice % 2 == 0 {
        for table in Table::all() {
            data.split(|byte| *byte == b'\n').for_each(|line| check_any(*table, line));
        }
    } else if let Ok(input) = NetInput::arbitrary(&mut Unstructured::new(data)) {
        input.check();
    }
}

fn check_any(table: Table, line: &[u8]) {
    let Some(found) = table_line(table, line) else { return };
    let words = || line.split(|byte| *byte == b' ' || *byte == b'\t');
    let is_inode = |word: &[u8]| {
        str::from_utf8(word).ok().and_then(|word| word.parse().ok()) == Some(found.inode)
    };
    assert!(words().any(is_inode), "the inode stands in the line");
    let Some(socket) = found.socket() else { return };
    assert_eq!(socket.family, table.family);
    match socket.family {
        "unix" => {
            assert!(
                ["listen", "unconnected", "connecting", "established", "disconnecting"]
                    .contains(&socket.state)
            );
            assert!(socket.local.len() <= line.len() * 3, "a lone byte becomes three at most");
            assert!(socket.peer.is_empty());
        }
        "netlink" | "packet" => {
            assert!(
                socket.state == "unconnected"
                    && socket.local.len() <= line.len().max("sock-diag".len())
            );
            assert!(socket.peer.is_empty());
        }
        family => {
            assert!(
                socket.state == "unconnected" || STATES[1..].contains(&socket.state),
                "{socket:?}"
            );
            let is_six = family.ends_with('6');
            let local: SocketAddr = socket.local.parse().expect("it is an address");
            let peer = Some(&*socket.peer).filter(|peer| !peer.is_empty());
            let peer = peer.map(|peer| peer.parse::<SocketAddr>().expect("it is an address"));
            for end in [Some(local), peer].into_iter().flatten() {
                assert_eq!(end.is_ipv6(), is_six, "{socket:?}");
            }
        }
    }
    let _ = pattern(Kind::Socket, b"socket:[1]", Some(&socket));
}

impl NetInput {
    fn check(self) {
        let (path, line, inode, expected) = self.written();
        let table =
            Table::all().iter().find(|table| table.path == path).expect("it is one of the tables");
        let found = table_line(*table, &line).expect("it is a line");
        assert_eq!(found.inode, inode, "{}", line.escape_ascii());
        assert_eq!(found.socket(), expected, "{}", line.escape_ascii());
    }

    fn written(self) -> (&'static str, Vec<u8>, u64, Option<Socket>) {
        match self {
            Self::Inet { table, local, peer, state, inode, queues: [sent, received], user } => {
                let (path, family, is_six) = table.names();
                // The state of a socket that is not TCP is that of a closed or a connected one.
                let state = if family.starts_with("tcp") {
                    state % 16
                } else {
                    [7, 1][usize::from(state % 2)]
                };
                let line = format!(
                    "{:4}: {} {} {state:02X} {sent:08X}:{received:08X} 00:00000000 00000000 \
                     {user:5} {:8} {inode} 1 0",
                    7,
                    local.written(is_six),
                    peer.written(is_six),
                    0
                );
                let state = match STATES.get(usize::from(state)).copied().unwrap_or_default() {
                    "closed" if !family.starts_with("tcp") => "unconnected",
                    state => state,
                };
                let peer = if peer.is_none(is_six) {
                    String::new()
                } else {
                    peer.address(is_six).to_string()
                };
                let local = local.address(is_six).to_string();
                let socket = Some(Socket { family, state, local, peer, is_to_listener: false })
                    .filter(|_| !state.is_empty());
                (path, line.into_bytes(), inode, socket)
            }
            Self::Unix { listens, state, inode, name, is_stream } => {
                let name = name.map(|mut name| {
                    // A line feed would end the line; the kernel writes `@` for NUL.
                    name.retain(|byte| *byte != b'\n');
                    name.iter_mut().filter(|byte| **byte == 0).for_each(|byte| *byte = b'@');
                    name
                });
                let (flags, kind) =
                    (if listens { 0x1_0000 } else { 0 }, if is_stream { 1 } else { 2 });
                let state = state % 6;
                let start = format!(
                    "{:016x}: {:08X} 00000000 {flags:08X} {kind:04X} {state:02X} {inode:5}",
                    0, 2
                );
                let tail = name.as_ref().map_or_else(Vec::new, |name| [b" ", &**name].concat());
                let state = match state {
                    _ if listens => Some("listen"),
                    1 => Some("unconnected"),
                    2 => Some("connecting"),
                    3 => Some("established"),
                    4 => Some("disconnecting"),
                    _ => None,
                };
                let local = String::from_utf8_lossy(&name.unwrap_or_default()).into_owned();
                let peer = String::new();
                let is_to_listener = false;
                let socket = state.map(|state| Socket {
                    family: "unix",
                    state,
                    local,
                    peer,
                    is_to_listener,
                });
                ("net/unix", [start.as_bytes(), &tail].concat(), inode, socket)
            }
            Self::Netlink { protocol, port, inode } => {
                let line = format!(
                    "{:016x} {protocol:<3} {port:<10} {:08x} {:<8} {:<8} {:<5} {:<8} {:<8} \
                     {inode:<8}",
                    0, 1, 0, 0, 0, 2, 0
                );
                let local = match protocol {
                    0 => "route".to_owned(),
                    4 => "sock-diag".to_owned(),
                    6 => "xfrm".to_owned(),
                    9 => "audit".to_owned(),
                    10 => "fib-lookup".to_owned(),
                    12 => "netfilter".to_owned(),
                    15 => "uevent".to_owned(),
                    16 => "generic".to_owned(),
                    other => other.to_string(),
                };
                ("net/netlink", line.into_bytes(), inode, Some(unconnected("netlink", local)))
            }
            Self::Packet { protocol, interface, inode } => {
                let line = format!(
                    "{:016x} {:<6} {:<4} {protocol:04x} {interface:<5} {:1} {:<6} {:<6} {inode:<6}",
                    0, 3, 3, 1, 0, 0
                );
                ("net/packet", line.into_bytes(), inode, Some(unconnected("packet", String::new())))
            }
        }
    }
}

fn unconnected(family: &'static str, local: String) -> Socket {
    Socket { family, state: "unconnected", local, peer: String::new(), is_to_listener: false }
}

impl Inet {
    fn names(self) -> (&'static str, &'static str, bool) {
        match self {
            Self::Tcp => ("net/tcp", "tcp", false),
            Self::Tcp6 => ("net/tcp6", "tcp6", true),
            Self::Udp => ("net/udp", "udp", false),
            Self::Udp6 => ("net/udp6", "udp6", true),
            Self::Raw => ("net/raw", "raw", false),
            Self::Raw6 => ("net/raw6", "raw6", true),
        }
    }
}

impl End {
    fn address(self, is_six: bool) -> SocketAddr {
        let [a, b, c, d, ..] = self.address;
        let ip = if is_six { IpAddr::from(self.address) } else { IpAddr::from([a, b, c, d]) };
        SocketAddr::new(ip, self.port)
    }

    /// Neither an address nor a port.
    fn is_none(self, is_six: bool) -> bool {
        self.port == 0 && self.address[..if is_six { 16 } else { 4 }].iter().all(|byte| *byte == 0)
    }

    /// The kernel prints words of 32 bits as it has them in memory, that is in the order of the
    /// network.
    fn written(self, is_six: bool) -> String {
        let words = self.address.chunks_exact(4).take(if is_six { 4 } else { 1 });
        let word = |word: &[u8]| u32::from_ne_bytes(word.try_into().expect("four bytes"));
        let address: String = words.map(|bytes| format!("{:08X}", word(bytes))).collect();
        format!("{address}:{:04X}", self.port)
    }
}
