//! What the targets of many descriptors have in common.

use crate::{Kind, Socket};

/// Patterns are cut to so many bytes.
const BYTES_MAX: usize = 256;
/// A port from here on is taken for one that the kernel chose (`net.ipv4.ip_local_port_range`).
const EPHEMERAL_PORT_MIN: u16 = 32768;
/// An ending with more is no ending.
const ENDING_BYTES_MAX: usize = 8;
/// So many hexadecimal digits in a row, with a decimal one among them, are an id.
const ID_DIGITS_MIN: usize = 8;

/// The pattern of a descriptor: `/data/*.pdf`, `tcp close-wait 10.0.0.7:5432`, `eventfd`.
///
/// `target` is what the link says. Sockets that were opened from the other end, to a port of this
/// machine, have `on` and the end on this machine, since their other ends are all different.
pub fn pattern(kind: Kind, target: &[u8], socket: Option<&Socket>) -> Vec<u8> {
    let mut pattern = match kind {
        Kind::Socket => socket.map_or_else(|| b"socket".to_vec(), of_socket),
        Kind::Pipe => b"pipe".to_vec(),
        Kind::Unknown => b"unknown".to_vec(),
        Kind::Memfd => without_digits(without_deleted(target).strip_prefix(b"/").unwrap_or(target)),
        Kind::Device => without_digits(target),
        Kind::DeletedFile | Kind::TmpFile => of_path(without_deleted(target)),
        Kind::File | Kind::Directory | Kind::Fifo => of_path(target),
        _ if target.starts_with(b"/") => of_path(target),
        Kind::Namespace | Kind::PidFd => of_name(target),
        _ => without_digits(&of_name(target)),
    };
    pattern.truncate(BYTES_MAX);
    pattern
}

/// A [`pattern`] with less detail: numbers and ids in the names of folders become `*`.
pub fn coarse_pattern(pattern: &[u8]) -> Vec<u8> {
    let (folder, name) = match pattern.iter().rposition(|b| *b == b'/') {
        Some(slash) if pattern.starts_with(b"/") => pattern.split_at(slash),
        _ if pattern.starts_with(b"unix ") => (pattern, &b""[..]),
        _ => return pattern.to_vec(),
    };
    let parts: Vec<Vec<u8>> = folder.split(|b| *b == b'/').map(without_ids).collect();
    [&parts.join(&b'/'), name].concat()
}

/// Takes off what the kernel appends to the path of a deleted file. It does so once, also where the
/// file's own name ends so.
pub(crate) fn without_deleted(target: &[u8]) -> &[u8] {
    target.strip_suffix(b" (deleted)").unwrap_or(target)
}

/// The folder, `*`, and the ending.
fn of_path(path: &[u8]) -> Vec<u8> {
    let Some(slash) = path.iter().rposition(|b| *b == b'/') else { return path.to_vec() };
    let (folder, name) = path.split_at(slash + 1);
    if name.is_empty() {
        return path.to_vec();
    }
    let dot = name.iter().rposition(|b| *b == b'.').filter(|dot| *dot > 0);
    let ending = dot.map_or(&b""[..], |dot| &name[dot..]);
    let is_ending = ending.len() > 1
        && ending.len() <= ENDING_BYTES_MAX + 1
        && ending[1..].iter().all(u8::is_ascii_alphanumeric)
        && !ending[1..].iter().all(u8::is_ascii_digit);
    let folder = &folder[..folder.len().min(BYTES_MAX - ENDING_BYTES_MAX - 2)];
    [folder, b"*", if is_ending { ending } else { b"" }].concat()
}

/// `net` of `net:[4026531840]`, `eventfd` of `anon_inode:[eventfd]`.
fn of_name(target: &[u8]) -> Vec<u8> {
    if let Some(name) = target.strip_prefix(b"anon_inode:") {
        let name = name.strip_prefix(b"[").and_then(|name| name.strip_suffix(b"]")).unwrap_or(name);
        return name.to_vec();
    }
    target.split(|b| *b == b':').next().unwrap_or_default().to_vec()
}

fn of_socket(socket: &Socket) -> Vec<u8> {
    let start = format!("{} {}", socket.family, socket.state);
    let (local, peer) = (port_of(&socket.local), port_of(&socket.peer));
    let is_chosen = |port: Option<u16>| port.is_some_and(|port| port >= EPHEMERAL_PORT_MIN);
    let end = match socket.family {
        "unix" | "netlink" => socket.local.clone(),
        _ if socket.peer.is_empty() && is_chosen(local) && socket.state != "listen" => {
            String::new()
        }
        _ if socket.peer.is_empty() => socket.local.clone(),
        _ if socket.is_to_listener || (is_chosen(peer) && !is_chosen(local)) => {
            format!("on {}", socket.local)
        }
        _ => socket.peer.clone(),
    };
    if end.is_empty() { start.into_bytes() } else { format!("{start} {end}").into_bytes() }
}

fn port_of(address: &str) -> Option<u16> {
    address.rsplit(':').next()?.parse().ok()
}

fn without_digits(name: &[u8]) -> Vec<u8> {
    runs(name, u8::is_ascii_digit, |_| true)
}

fn without_ids(name: &[u8]) -> Vec<u8> {
    let is_id = |run: &[u8]| {
        run.iter().all(u8::is_ascii_digit)
            || (run.len() >= ID_DIGITS_MIN && run.iter().any(u8::is_ascii_digit))
    };
    let once = runs(name, u8::is_ascii_hexdigit, is_id);
    // Digits beside letters that were no id: `node17`.
    without_digits(&once)
}

/// With `*` in the place of each run of bytes that are `of` a kind, if it `is_variable`.
fn runs(name: &[u8], of: impl Fn(&u8) -> bool, is_variable: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let mut kept = Vec::with_capacity(name.len());
    for run in name.chunk_by(|a, b| of(a) == of(b)) {
        if of(&run[0]) && is_variable(run) {
            kept.push(b'*');
        } else {
            kept.extend_from_slice(run);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(kind: Kind, target: &str, expected: &str) {
        let found = pattern(kind, target.as_bytes(), None);
        assert_eq!(String::from_utf8_lossy(&found), expected);
    }

    #[test]
    fn files_of_a_folder_with_the_same_ending_are_one() {
        check(Kind::File, "/data/a.pdf", "/data/*.pdf");
        check(Kind::DeletedFile, "/data/a.pdf (deleted)", "/data/*.pdf");
        check(Kind::DeletedFile, "/data/a (deleted) (deleted)", "/data/*");
        check(Kind::File, "/data/a.pdf (deleted)", "/data/*");
        check(Kind::File, "/data/.hidden", "/data/*");
        check(Kind::File, "/log/x.log.17", "/log/*");
        check(Kind::File, "/log/x.7z", "/log/*.7z");
        check(Kind::File, "/log/x.123456789a", "/log/*");
        check(Kind::File, "/x", "/*");
        check(Kind::Directory, "/", "/");
        check(Kind::TmpFile, "/tmp/#123 (deleted)", "/tmp/*");
        check(Kind::Fifo, "/run/a.fifo", "/run/*.fifo");
    }

    #[test]
    fn what_has_no_path_goes_by_its_name() {
        check(Kind::Memfd, "/memfd:pool-17 (deleted)", "memfd:pool-*");
        check(Kind::Pipe, "pipe:[7]", "pipe");
        check(Kind::EventFd, "anon_inode:[eventfd]", "eventfd");
        check(Kind::EventFd, "anon_inode:[eventfd:17]", "eventfd:*");
        check(Kind::Inotify, "anon_inode:inotify", "inotify");
        check(Kind::Namespace, "net:[4026531840]", "net");
        check(Kind::PidFd, "pidfd:[17]", "pidfd");
        check(Kind::Other, "anon_inode:bpf-map", "bpf-map");
        check(Kind::Other, "", "");
        check(Kind::Socket, "socket:[7]", "socket");
        check(Kind::Device, "/dev/pts/17", "/dev/pts/*");
        check(Kind::Device, "/dev/null", "/dev/null");
        check(Kind::Unknown, "", "unknown");
    }

    #[test]
    fn a_socket_goes_by_the_end_that_says_most() {
        let check = |family, state, local: &str, peer: &str, expected: &str| {
            let (local, peer) = (local.to_owned(), peer.to_owned());
            let socket = Socket { family, state, local, peer, is_to_listener: false };
            let found = pattern(Kind::Socket, b"socket:[7]", Some(&socket));
            assert_eq!(String::from_utf8_lossy(&found), expected);
        };
        check(
            "tcp",
            "close-wait",
            "10.0.0.1:50000",
            "10.0.0.7:5432",
            "tcp close-wait 10.0.0.7:5432",
        );
        check(
            "tcp",
            "established",
            "10.0.0.1:443",
            "10.0.0.7:50000",
            "tcp established on 10.0.0.1:443",
        );
        check(
            "tcp",
            "established",
            "10.0.0.1:40001",
            "10.0.0.7:50000",
            "tcp established 10.0.0.7:50000",
        );
        check("tcp6", "listen", "[::]:40000", "", "tcp6 listen [::]:40000");
        check("udp", "unconnected", "0.0.0.0:40000", "", "udp unconnected");
        check("udp", "unconnected", "0.0.0.0:53", "", "udp unconnected 0.0.0.0:53");
        check("tcp", "closed", "", "", "tcp closed");
        check("unix", "established", "/run/x", "", "unix established /run/x");
    }

    #[test]
    fn coarse_patterns_have_no_numbers_in_their_folders() {
        for (fine, expected) in [
            ("/data/2024/01/*.pdf", "/data/*/*/*.pdf"),
            ("/o/3f29a8bc01/*", "/o/*/*"),
            ("/o/cafecafe/*", "/o/cafecafe/*"),
            ("/o/node17/*.7z", "/o/node*/*.7z"),
            ("unix listen /run/user/1000/x", "unix listen /run/user/*/x"),
            ("tcp established 10.0.0.7:80", "tcp established 10.0.0.7:80"),
            ("eventfd:*", "eventfd:*"),
        ] {
            assert_eq!(String::from_utf8_lossy(&coarse_pattern(fine.as_bytes())), expected);
        }
    }

    #[test]
    fn patterns_are_bounded() {
        let long = [b"/", &[b'd'; 5000][..], b"/x.pdf"].concat();
        let found = pattern(Kind::File, &long, None);
        assert!(found.len() <= BYTES_MAX && found.ends_with(b"*.pdf"), "{}", found.len());
    }
}
