//! What the kernel says of one descriptor of each kind, in this process.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]
#![allow(unsafe_code, reason = "signalfd and io_uring have no safe wrapper here")]

mod common;

use std::ffi::OsStr;
use std::fs::File;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixListener;

use fdwatch::{Descriptor, Kind, Socket, snapshot};
use rustix::fs::{CWD, Mode, OFlags};

fn find(fd: &impl AsRawFd) -> Descriptor {
    let fd = fd.as_raw_fd();
    let snapshot = snapshot(std::process::id()).unwrap();
    assert!(!snapshot.is_cut);
    let mut found = snapshot.descriptors.into_iter().filter(|open| open.fd == fd);
    found.next().unwrap_or_else(|| panic!("{fd} is not there"))
}

#[track_caller]
fn check(fd: &impl AsRawFd, kind: Kind) {
    let found = find(fd);
    assert_eq!(found.kind, kind, "{}", found.target.escape_ascii());
}

#[track_caller]
fn check_socket(fd: &impl AsRawFd, family: &str, state: &str, local: &str, peer: &str) {
    let found = find(fd);
    assert_eq!(found.kind, Kind::Socket);
    let Socket { family: f, state: s, local: l, peer: p, .. } = found.socket.unwrap();
    assert_eq!((f, s, &l[..], &p[..]), (family, state, local, peer));
}

#[test]
fn files_with_and_without_names() {
    let folder = tempfile::tempdir().unwrap();
    let create =
        |name: &[u8]| File::create_new(folder.path().join(OsStr::from_bytes(name))).unwrap();
    let remove = |name: &str| std::fs::remove_file(folder.path().join(name)).unwrap();

    check(&create(b"plain"), Kind::File);
    check(&create(b"it is (deleted)"), Kind::File);
    check(&create(b"two\nlines\xff"), Kind::File);
    check(&create(b"memfd:x (deleted)"), Kind::File);
    check(&File::open(folder.path()).unwrap(), Kind::Directory);

    let gone = create(b"gone");
    remove("gone");
    check(&gone, Kind::DeletedFile);
    let twice = create(b"twice (deleted)");
    remove("twice (deleted)");
    check(&twice, Kind::DeletedFile);
    assert!(find(&twice).target.ends_with(b"/twice (deleted) (deleted)"));
    // Its last name is what counts, not the one it was opened by.
    let linked = create(b"first");
    std::fs::hard_link(folder.path().join("first"), folder.path().join("second")).unwrap();
    remove("first");
    assert!(find(&linked).target.ends_with(b"/first (deleted)"));
    check(&linked, Kind::File);
}

#[test]
fn files_that_never_had_a_name() {
    let folder = tempfile::tempdir().unwrap();
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let memory = rustix::fs::memfd_create("a b", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
    check(&memory, Kind::Memfd);
    match rustix::fs::openat(CWD, folder.path(), flags, Mode::RUSR) {
        Ok(unnamed) => check(&unnamed, Kind::TmpFile),
        Err(errno) => {
            common::skipped(&format!("O_TMPFILE in {}: {errno}", folder.path().display()));
        }
    }
}

#[test]
fn pipes_devices_and_namespaces() {
    let folder = tempfile::tempdir().unwrap();
    let (read, write) = std::io::pipe().unwrap();
    check(&read, Kind::Pipe);
    check(&write, Kind::Pipe);
    let path = folder.path().join("fifo");
    rustix::fs::mknodat(CWD, &path, rustix::fs::FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)
        .unwrap();
    check(&File::options().read(true).write(true).open(path).unwrap(), Kind::Fifo);
    check(&File::open("/dev/null").unwrap(), Kind::Device);
    check(&File::open("/proc/self/ns/net").unwrap(), Kind::Namespace);
}

#[test]
fn what_the_kernel_made_up() {
    use rustix::event::{EventfdFlags, epoll, eventfd};
    use rustix::fs::inotify;
    use rustix::process::{PidfdFlags, getpid, pidfd_open};
    use rustix::time::{TimerfdClockId, TimerfdFlags, timerfd_create};

    check(&eventfd(0, EventfdFlags::CLOEXEC).unwrap(), Kind::EventFd);
    check(&epoll::create(epoll::CreateFlags::CLOEXEC).unwrap(), Kind::Epoll);
    check(&inotify::init(inotify::CreateFlags::CLOEXEC).unwrap(), Kind::Inotify);
    check(
        &timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC).unwrap(),
        Kind::TimerFd,
    );
    check(&pidfd_open(getpid(), PidfdFlags::empty()).unwrap(), Kind::PidFd);
    check(&signalfd(), Kind::SignalFd);
    match io_uring() {
        Some(ring) => check(&ring, Kind::IoUring),
        None => common::skipped("this kernel has no io_uring"),
    }
}

#[test]
fn sockets_by_family_state_and_peer() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    check_socket(&listener, "tcp", "listen", &address.to_string(), "");
    let client = TcpStream::connect(address).unwrap();
    let own = client.local_addr().unwrap();
    let (server, _) = listener.accept().unwrap();
    check_socket(&client, "tcp", "established", &own.to_string(), &address.to_string());
    check_socket(&server, "tcp", "established", &address.to_string(), &own.to_string());
    drop(server);
    common::wait_until("the client has heard of it", || {
        find(&client).socket.is_some_and(|socket| socket.state == "close-wait")
    });
    check_socket(&client, "tcp", "close-wait", &own.to_string(), &address.to_string());

    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    check_socket(&udp, "udp", "unconnected", &udp.local_addr().unwrap().to_string(), "");
    if let Ok(six) = TcpListener::bind("[::1]:0") {
        check_socket(&six, "tcp6", "listen", &six.local_addr().unwrap().to_string(), "");
    } else {
        common::skipped("this machine has no IPv6");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a socket");
    check_socket(&UnixListener::bind(&path).unwrap(), "unix", "listen", path.to_str().unwrap(), "");
}

/// `connect` has failed and the socket was not closed: a leak that the tables do not show.
#[test]
fn a_socket_in_no_table_still_has_its_protocol() {
    use rustix::net::{AddressFamily, SocketType, socket};
    let stream = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    check_socket(&stream, "tcp", "closed", "", "");
    let datagram = socket(AddressFamily::INET6, SocketType::DGRAM, None);
    if let Ok(datagram) = datagram {
        check_socket(&datagram, "udp6", "unconnected", "", "");
    }
}

fn signalfd() -> OwnedFd {
    // SAFETY: the set is initialised by `sigemptyset` before `signalfd` reads it, and the result is
    // a new descriptor.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        let fd = libc::signalfd(-1, &set, libc::SFD_CLOEXEC);
        assert!(fd >= 0);
        OwnedFd::from_raw_fd(fd)
    }
}

fn io_uring() -> Option<OwnedFd> {
    let mut parameters = [0_u64; 15];
    // SAFETY: `struct io_uring_params` is 120 bytes, and the result, if not negative, is a new
    // descriptor.
    unsafe {
        let fd = libc::syscall(libc::SYS_io_uring_setup, 1, parameters.as_mut_ptr());
        (fd >= 0).then(|| OwnedFd::from_raw_fd(fd as i32))
    }
}
