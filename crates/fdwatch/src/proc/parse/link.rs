//! What the link `/proc/PID/fd/N` says.

use super::numbers::number;
use crate::Kind;

/// What can be known from the text alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// A path: the inode says what it is.
    Path,
    /// A socket with this inode.
    Socket(u64),
    /// What has no place in a file system.
    Known(Kind),
}

/// Reads the target of a link.
///
/// A path begins with a slash, or with `(unreachable)` where it lies outside the reader's root; all
/// else are names that the kernel made up. So a file that is called like one of these is not taken
/// for it.
pub fn link(target: &[u8]) -> Link {
    if target.starts_with(b"/") || target.starts_with(b"(unreachable)") {
        return Link::Path;
    }
    if let Some(name) = target.strip_prefix(b"anon_inode:") {
        return Link::Known(anonymous(name));
    }
    let Some((class, id)) = in_brackets(target) else { return Link::Known(Kind::Other) };
    match class {
        b"socket" => Link::Socket(id),
        b"pipe" => Link::Known(Kind::Pipe),
        b"pidfd" => Link::Known(Kind::PidFd),
        b"net" | b"mnt" | b"uts" | b"ipc" | b"pid" | b"user" | b"cgroup" | b"time"
        | b"pid_for_children" | b"time_for_children" => Link::Known(Kind::Namespace),
        _ => Link::Known(Kind::Other),
    }
}

/// `CLASS:[ID]`.
fn in_brackets(target: &[u8]) -> Option<(&[u8], u64)> {
    let colon = target.iter().position(|b| *b == b':')?;
    let id = target[colon + 1..].strip_prefix(b"[")?.strip_suffix(b"]")?;
    Some((&target[..colon], number(id)?))
}

fn anonymous(name: &[u8]) -> Kind {
    // inotify has no brackets; some kernels add a number to others: `[eventfd:7]`.
    let name = name.strip_prefix(b"[").and_then(|name| name.strip_suffix(b"]")).unwrap_or(name);
    let word = name.split(|b| *b == b':').next().unwrap_or_default();
    match word {
        b"eventfd" => Kind::EventFd,
        b"eventpoll" => Kind::Epoll,
        b"inotify" => Kind::Inotify,
        b"timerfd" => Kind::TimerFd,
        b"signalfd" => Kind::SignalFd,
        b"pidfd" => Kind::PidFd,
        b"io_uring" => Kind::IoUring,
        _ => Kind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_the_kernel_are_known() {
        let known: [(&[u8], Kind); 19] = [
            (b"pipe:[7]", Kind::Pipe),
            (b"anon_inode:[eventfd]", Kind::EventFd),
            (b"anon_inode:[eventfd:12]", Kind::EventFd),
            (b"anon_inode:[eventpoll]", Kind::Epoll),
            (b"anon_inode:inotify", Kind::Inotify),
            (b"anon_inode:[timerfd]", Kind::TimerFd),
            (b"anon_inode:[signalfd]", Kind::SignalFd),
            (b"anon_inode:[pidfd]", Kind::PidFd),
            (b"pidfd:[123]", Kind::PidFd),
            (b"anon_inode:[io_uring]", Kind::IoUring),
            (b"anon_inode:[perf_event]", Kind::Other),
            (b"anon_inode:bpf-map", Kind::Other),
            (b"anon_inode:", Kind::Other),
            (b"net:[4026531840]", Kind::Namespace),
            (b"time_for_children:[1]", Kind::Namespace),
            (b"something:[1]", Kind::Other),
            (b"socket:[x]", Kind::Other),
            (b"socket:[1", Kind::Other),
            (b"", Kind::Other),
        ];
        for (target, kind) in known {
            assert_eq!(link(target), Link::Known(kind), "{}", target.escape_ascii());
        }
        assert_eq!(link(b"socket:[18446744073709551615]"), Link::Socket(u64::MAX));
    }

    #[test]
    fn a_path_is_never_a_name() {
        for target in [
            &b"/socket:[1]"[..],
            b"/pipe:[1]",
            b"(unreachable)/x",
            b"/memfd:x (deleted)",
            b"/\n\xff",
        ] {
            assert_eq!(link(target), Link::Path, "{}", target.escape_ascii());
        }
    }
}
