//! The tables of sockets in `/proc/PID/net`.
//!
//! A line is taken apart up to its inode first. The rest is made readable only if the caller asks
//! for that socket.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::numbers::{hex, number, words};
use crate::Socket;

/// One of the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Table {
    /// In `/proc/PID`.
    pub(crate) path: &'static str,
    /// As in [`Socket::family`].
    pub(crate) family: &'static str,
    layout: Layout,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    Inet,
    Unix,
    Netlink,
    Packet,
}

/// Those that hold most sockets first: the search ends when all are found.
pub(crate) const TABLES: [Table; 9] = [
    Table { path: "net/tcp", family: "tcp", layout: Layout::Inet },
    Table { path: "net/tcp6", family: "tcp6", layout: Layout::Inet },
    Table { path: "net/unix", family: "unix", layout: Layout::Unix },
    Table { path: "net/udp", family: "udp", layout: Layout::Inet },
    Table { path: "net/udp6", family: "udp6", layout: Layout::Inet },
    Table { path: "net/netlink", family: "netlink", layout: Layout::Netlink },
    Table { path: "net/packet", family: "packet", layout: Layout::Packet },
    Table { path: "net/raw", family: "raw", layout: Layout::Inet },
    Table { path: "net/raw6", family: "raw6", layout: Layout::Inet },
];

impl Table {
    /// All of them.
    pub fn all() -> &'static [Self] {
        &TABLES
    }
}

/// A line of a table.
#[derive(Clone, Copy, Debug)]
pub struct TableLine<'a> {
    /// Which socket it is about.
    pub inode: u64,
    table: Table,
    line: &'a [u8],
}

/// Reads the inode of a line; `None` for its heading and for anything else.
pub fn table_line(table: Table, line: &[u8]) -> Option<TableLine<'_>> {
    let mut words = words(line);
    let inode = match table.layout {
        Layout::Inet => words.nth(9),
        Layout::Unix => words.nth(6),
        Layout::Netlink => words.nth(9),
        Layout::Packet => words.nth(8),
    };
    Some(TableLine { inode: number(inode?)?, table, line })
}

impl TableLine<'_> {
    /// The rest of it; `None` if it is malformed.
    pub fn socket(&self) -> Option<Socket> {
        match self.table.layout {
            Layout::Inet => self.inet(),
            Layout::Unix => self.unix(),
            Layout::Netlink => self.netlink(),
            Layout::Packet => Some(self.unconnected(String::new())),
        }
    }

    /// The port that a line of a listening TCP socket is about. The kernel writes those before all
    /// others of their table.
    pub(crate) fn listening_port(&self) -> Option<u16> {
        const LISTEN: u32 = 10;
        let is_listening = self.table.family.starts_with("tcp") && hex(self.word(3)?)? == LISTEN;
        is_listening.then(|| self.local_port()).flatten()
    }

    /// The port of its own end, where it has a number.
    pub(crate) fn local_port(&self) -> Option<u16> {
        if self.table.layout != Layout::Inet {
            return None;
        }
        u16::try_from(hex(self.word(1)?.rsplit(|byte| *byte == b':').next()?)?).ok()
    }

    fn word(&self, index: usize) -> Option<&[u8]> {
        words(self.line).nth(index)
    }

    fn inet(&self) -> Option<Socket> {
        let is_six = self.table.family.ends_with('6');
        let local = address(self.word(1)?, is_six)?;
        let peer = address(self.word(2)?, is_six)?;
        let state = hex(self.word(3)?)?;
        let has_peer = peer.port() != 0 || !peer.ip().is_unspecified();
        Some(Socket {
            family: self.table.family,
            state: self.inet_state(state)?,
            local: local.to_string(),
            peer: if has_peer { peer.to_string() } else { String::new() },
            is_to_listener: false,
        })
    }

    /// `include/net/tcp_states.h`; the other protocols use two of them.
    fn inet_state(&self, state: u32) -> Option<&'static str> {
        let is_tcp = self.table.family.starts_with("tcp");
        Some(match state {
            1 => "established",
            2 => "syn-sent",
            3 | 12 => "syn-recv",
            4 => "fin-wait-1",
            5 => "fin-wait-2",
            6 => "time-wait",
            7 if is_tcp => "closed",
            7 => "unconnected",
            8 => "close-wait",
            9 => "last-ack",
            10 => "listen",
            11 => "closing",
            _ => return None,
        })
    }

    fn unix(&self) -> Option<Socket> {
        /// `__SO_ACCEPTCON`.
        const LISTENS_FLAG: u32 = 0x1_0000;
        let state = match hex(self.word(5)?)? {
            _ if hex(self.word(3)?)? & LISTENS_FLAG != 0 => "listen",
            1 => "unconnected",
            2 => "connecting",
            3 => "established",
            4 => "disconnecting",
            _ => return None,
        };
        // One space, then the path as it is, also with spaces.
        let inode = self.word(6)?;
        let end = inode.as_ptr() as usize + inode.len() - self.line.as_ptr() as usize;
        let path = self.line[end..].strip_prefix(b" ").unwrap_or_default();
        let local = String::from_utf8_lossy(path).into_owned();
        Some(Socket {
            family: self.table.family,
            state,
            local,
            peer: String::new(),
            is_to_listener: false,
        })
    }

    fn netlink(&self) -> Option<Socket> {
        let protocol = number(self.word(1)?)?;
        let name = match protocol {
            0 => "route",
            4 => "sock-diag",
            6 => "xfrm",
            9 => "audit",
            10 => "fib-lookup",
            12 => "netfilter",
            15 => "uevent",
            16 => "generic",
            _ => return Some(self.unconnected(protocol.to_string())),
        };
        Some(self.unconnected(name.to_owned()))
    }

    fn unconnected(&self, local: String) -> Socket {
        let (family, peer) = (self.table.family, String::new());
        Socket { family, state: "unconnected", local, peer, is_to_listener: false }
    }
}

/// `0100007F:1F90`: words of 32 bits as this machine reads them from the network's order, then a
/// plain port.
fn address(word: &[u8], is_six: bool) -> Option<SocketAddr> {
    let colon = word.iter().position(|b| *b == b':')?;
    let (ip, port) = (&word[..colon], hex(&word[colon + 1..])?);
    let ip: IpAddr = match (ip.len(), is_six) {
        (8, false) => Ipv4Addr::from(hex(ip)?.to_ne_bytes()).into(),
        (32, true) => {
            let mut bytes = [0; 16];
            for (four, digits) in bytes.chunks_exact_mut(4).zip(ip.chunks_exact(8)) {
                four.copy_from_slice(&hex(digits)?.to_ne_bytes());
            }
            Ipv6Addr::from(bytes).into()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, u16::try_from(port).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &str, line: &str) -> Option<(u64, Socket)> {
        let table = *TABLES.iter().find(|table| table.path == path).unwrap();
        let line = table_line(table, line.as_bytes())?;
        Some((line.inode, line.socket()?))
    }

    fn socket(family: &'static str, state: &'static str, local: &str, peer: &str) -> Socket {
        Socket {
            family,
            state,
            local: local.to_owned(),
            peer: peer.to_owned(),
            is_to_listener: false,
        }
    }

    /// As this machine's kernel would print it.
    fn word(bytes: [u8; 4]) -> String {
        format!("{:08X}", u32::from_ne_bytes(bytes))
    }

    #[test]
    fn internet_sockets_have_two_ends_and_a_state() {
        let (local, peer) = (word([127, 0, 0, 1]), word([10, 0, 0, 7]));
        let line = |peer: &str, state| {
            format!(
                "   0: {local}:1F90 {peer} {state} 00000000:00000000 00:00000000 00000000  \
                 1000        0 77 1 x"
            )
        };
        let connected = format!("{peer}:1538");
        let found = read("net/tcp", &line(&connected, "08")).unwrap();
        assert_eq!(found, (77, socket("tcp", "close-wait", "127.0.0.1:8080", "10.0.0.7:5432")));
        let found = read("net/tcp", &line("00000000:0000", "0A")).unwrap();
        assert_eq!(found, (77, socket("tcp", "listen", "127.0.0.1:8080", "")));
        assert_eq!(read("net/udp", &line("00000000:0000", "07")).unwrap().1.state, "unconnected");
        assert_eq!(read("net/tcp", &line("00000000:0000", "07")).unwrap().1.state, "closed");
        for bad in
            [line("00000000:0000", "0D"), line("00000000:10000", "01"), line("0000000:0000", "01")]
        {
            assert_eq!(read("net/tcp", &bad), None, "{bad}");
        }
    }

    #[test]
    fn six_is_four_words() {
        let ip = [[0x20, 1, 0x0d, 0xb8], [0; 4], [0; 4], [0, 0, 0, 1]].map(word).concat();
        let line = format!("0: {ip}:0050 {ip}:FFFF 01 0:0 00:0 0 0 0 5 1");
        let expected = socket("tcp6", "established", "[2001:db8::1]:80", "[2001:db8::1]:65535");
        assert_eq!(read("net/tcp6", &line), Some((5, expected)));
        assert_eq!(read("net/tcp", &line), None, "the table says which it is");
    }

    #[test]
    fn a_path_may_hold_spaces() {
        let check = |flags: &str, state: &str, tail: &str, expected| {
            let line =
                format!("0000000000000000: 00000002 00000000 {flags} 0001 {state} 17343{tail}");
            assert_eq!(read("net/unix", &line), Some((17343, expected)), "{line}");
        };
        check("00010000", "01", " /run/a b ", socket("unix", "listen", "/run/a b ", ""));
        check("00000000", "03", " @name", socket("unix", "established", "@name", ""));
        check("00000000", "03", "", socket("unix", "established", "", ""));
        check("00000000", "01", "", socket("unix", "unconnected", "", ""));
    }

    #[test]
    fn the_other_families_are_named() {
        let netlink = "0000000000000000 15  1  00000001 0 0 0 2 0 19201   ";
        assert_eq!(
            read("net/netlink", netlink),
            Some((19201, socket("netlink", "unconnected", "uevent", "")))
        );
        let packet = "0000000000000000 3      3    0003   2     1 0      0      20202 ";
        assert_eq!(
            read("net/packet", packet),
            Some((20202, socket("packet", "unconnected", "", "")))
        );
    }

    #[test]
    fn a_heading_is_no_line() {
        for (table, heading) in [
            (
                "net/tcp",
                "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   \
                 uid  timeout inode",
            ),
            ("net/unix", "Num       RefCount Protocol Flags    Type St Inode Path"),
            (
                "net/netlink",
                "sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    \
                 Drops    Inode",
            ),
            ("net/packet", "sk       RefCnt Type Proto  Iface R Rmem   User   Inode"),
        ] {
            assert_eq!(read(table, heading), None);
        }
    }
}
