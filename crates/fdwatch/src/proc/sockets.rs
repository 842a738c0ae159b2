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
    /// Whatever helps the caller.
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
/// Reads up to about `bytes_max` of the tables, and stops when all are found. What is in no table is neither bound nor
/// connected, or no longer, and the kernel tells at least its protocol.
pub(crate) fn find_sockets(
    process: &Process,
    wanted: &mut [Wanted],
    bytes_max: u64,
    mut found: impl FnMut(&Wanted, Option<Socket>),
) -> Searched {
    wanted.sort_unstable();
    let mut is_found = vec![false; wanted.len()];
    let (mut left, mut searched) = (wanted.len(), Searched::default());
    for table in Table::all() {
        if left == 0 {
            return searched;
        }
        let read = each_line(process, table.path, bytes_max.saturating_sub(searched.bytes), |line| {
            let Some(line) = table_line(*table, line) else { return ControlFlow::Continue(()) };
            let first = wanted.partition_point(|socket| socket.inode < line.inode);
            let same = wanted[first..].iter().take_while(|socket| socket.inode == line.inode).count();
            // Sockets without an inode have 0 there.
            if same == 0 || line.inode == 0 || is_found[first] {
                return ControlFlow::Continue(());
            }
            let Some(socket) = line.socket() else { return ControlFlow::Continue(()) };
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
    Some(Socket { family, state, local: String::new(), peer: String::new() })
}
