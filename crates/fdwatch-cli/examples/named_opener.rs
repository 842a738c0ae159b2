//! Opens descriptors, each in a function that says so, says which, and waits until its input ends.
//! The tests of `--stacks` run it.
//!
//! `named_opener each|threads|again|children|exec-in-thread|accept|told|made|loop COUNT|without
//! CALL COMMAND…`

#![allow(
    unsafe_code,
    reason = "a few calls that have no safe wrapper: each says why it may be made"
)]

use std::fs::File;
use std::hint::black_box;
use std::io::{self, IoSlice, IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::{env, thread};

use rustix::event::{EventfdFlags, epoll, eventfd};
use rustix::fs::inotify;
use rustix::io::{FdFlags, dup, fcntl_dupfd_cloexec, fcntl_setfd};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use rustix::process::{PidfdFlags, getpid, pidfd_open};
use rustix::time::{TimerfdClockId, TimerfdFlags, timerfd_create};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let held = match words[..] {
        ["each"] => each()?,
        ["threads"] => threads()?,
        ["again"] => again()?,
        ["children"] => children()?,
        ["child"] => {
            say(&format!("child {}", std::process::id()));
            vec![tell("opens_in_a_child", opens_in_a_child()?)]
        }
        ["exec-in-thread"] => {
            let file = opens_before_the_exec()?;
            fcntl_setfd(&file, FdFlags::empty())?;
            tell("opens_before_the_exec", file.as_raw_fd());
            let exec = || Err(Command::new("/proc/self/exe").arg("child").exec());
            return Ok(thread::spawn(exec).join().expect("it does not panic")?);
        }
        ["accept"] => {
            let listener = TcpListener::bind("127.0.0.1:0")?;
            say(&format!("listens at {}", listener.local_addr()?));
            vec![tell("accepts_a_connection", accepts_a_connection(&listener)?), keep(listener)]
        }
        ["told"] => return opens_when_told(),
        ["made"] => made()?,
        ["loop", count] => return opens_in_a_loop(count.parse()?),
        ["without", call, program, ref rest @ ..] => {
            refuse(call)?;
            return Err(Command::new(program).args(rest).exec().into());
        }
        _ => return Err("see the beginning of its source".into()),
    };
    say("ready");
    io::stdin().read_to_end(&mut Vec::new())?;
    drop(held);
    Ok(())
}

/// In one piece, since several processes speak at once.
fn say(line: &str) {
    let written = io::stderr().write_all(format!("{line}\n").as_bytes());
    written.expect("standard error is read");
}

/// Open until the end.
fn keep(fd: impl Into<OwnedFd>) -> RawFd {
    let fd = fd.into();
    let number = fd.as_raw_fd();
    std::mem::forget(fd);
    number
}

fn tell(name: &str, fd: RawFd) -> RawFd {
    say(&format!("opened {fd} in {name}"));
    fd
}

/// A function of its own that is not left by a jump: what it calls must find it on the stack. Its
/// name in it, or the compiler would make one function of those that do the same.
macro_rules! named {
    ($(fn $name:ident($($argument:ident: $type:ty),*) $body:expr)*) => {$(
        #[inline(never)]
        fn $name($($argument: $type),*) -> Outcome<RawFd> {
            black_box(stringify!($name));
            let number = $body;
            Ok(black_box(number))
        }
    )*};
}

named! {
    fn opens_a_file() keep(File::open("/dev/null")?)
    fn duplicates(file: &File) keep(dup(file)?)
    fn duplicates_by_fcntl(file: &File) keep(fcntl_dupfd_cloexec(file, 0)?)
    fn makes_a_listener() keep(TcpListener::bind("127.0.0.1:0")?)
    fn connects(listener: &TcpListener) keep(TcpStream::connect(listener.local_addr()?)?)
    fn accepts_a_connection(listener: &TcpListener) keep(listener.accept()?.0)
    fn makes_an_eventfd() keep(eventfd(0, EventfdFlags::CLOEXEC)?)
    fn makes_an_epoll() keep(epoll::create(epoll::CreateFlags::CLOEXEC)?)
    fn makes_a_timerfd() keep(timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC)?)
    fn makes_an_inotify() keep(inotify::init(inotify::CreateFlags::CLOEXEC)?)
    fn makes_a_memfd() keep(rustix::fs::memfd_create("named", rustix::fs::MemfdFlags::CLOEXEC)?)
    fn makes_a_pidfd() keep(pidfd_open(getpid(), PidfdFlags::empty())?)
    fn makes_an_io_uring() keep(io_uring()?)
    fn opens_and_closes() { drop(File::open("/dev/null")?); -1 }
    fn opens_in_its_place() keep(File::open("/dev/zero")?)
    fn opens_what_is_sent() keep(File::open("/dev/full")?)
    fn receives_a_descriptor(socket: &UnixStream) keep(receive(socket)?)
    fn opens_in_a_thread() keep(File::open("/dev/null")?)
    fn opens_before_the_fork() keep(File::open("/dev/null")?)
    fn opens_after_the_fork() keep(File::open("/dev/null")?)
    fn opens_in_a_child() keep(File::open("/dev/null")?)
}

#[inline(never)]
fn opens_before_the_exec() -> io::Result<File> {
    black_box(File::open("/dev/null"))
}

#[inline(never)]
fn makes_a_pipe() -> io::Result<[RawFd; 2]> {
    let (read, write) = io::pipe()?;
    Ok(black_box([keep(read), keep(write)]))
}

#[inline(never)]
fn makes_a_socket_pair() -> io::Result<(UnixStream, UnixStream)> {
    black_box(UnixStream::pair())
}

/// In every way that is traced, and in one that is not.
fn each() -> Outcome<Vec<RawFd>> {
    let file = File::open("/dev/null")?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut held = vec![
        tell("opens_a_file", opens_a_file()?),
        tell("duplicates", duplicates(&file)?),
        tell("duplicates_by_fcntl", duplicates_by_fcntl(&file)?),
        tell("makes_a_listener", makes_a_listener()?),
        tell("connects", connects(&listener)?),
        tell("accepts_a_connection", accepts_a_connection(&listener)?),
        tell("makes_an_eventfd", makes_an_eventfd()?),
        tell("makes_an_epoll", makes_an_epoll()?),
        tell("makes_a_timerfd", makes_a_timerfd()?),
        tell("makes_an_inotify", makes_an_inotify()?),
        tell("makes_a_memfd", makes_a_memfd()?),
        tell("makes_a_pidfd", makes_a_pidfd()?),
    ];
    held.extend(makes_a_pipe()?.map(|fd| tell("makes_a_pipe", fd)));
    // Many machines forbid it.
    held.extend(makes_an_io_uring().ok().map(|fd| tell("makes_an_io_uring", fd)));
    let (one, other) = makes_a_socket_pair()?;
    tell("makes_a_socket_pair", one.as_raw_fd());
    tell("makes_a_socket_pair", other.as_raw_fd());
    let sent = opens_what_is_sent()?;
    tell("opens_what_is_sent", sent);
    // SAFETY: it was kept open, and no other code makes a value of it.
    let sent = unsafe { OwnedFd::from_raw_fd(sent) };
    send(&one, &sent)?;
    held.push(tell("receives_a_descriptor", receives_a_descriptor(&other)?));
    held.extend([keep(one), keep(other), keep(sent), keep(file), keep(listener)]);
    Ok(held)
}

fn send(socket: &UnixStream, fd: &OwnedFd) -> Outcome<()> {
    let fds = [fd.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    assert!(ancillary.push(SendAncillaryMessage::ScmRights(&fds)), "there is room for one");
    sendmsg(socket, &[IoSlice::new(b"x")], &mut ancillary, SendFlags::empty())?;
    Ok(())
}

fn receive(socket: &UnixStream) -> Outcome<OwnedFd> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    recvmsg(socket, &mut [IoSliceMut::new(&mut byte)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    let received = ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    received.ok_or_else(|| "nothing was received".into())
}

fn io_uring() -> io::Result<OwnedFd> {
    let mut parameters = [0_u64; 16];
    // SAFETY: the kernel fills in a structure of 120 bytes, for which there is room.
    let fd = unsafe { libc::syscall(libc::SYS_io_uring_setup, 1, parameters.as_mut_ptr()) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it is new, so no other code has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// A compiler at run time in small: a function without unwind tables and without a frame pointer
/// calls one that opens, and is named where `perf` looks for names.
fn made() -> Outcome<Vec<RawFd>> {
    #[cfg(target_arch = "x86_64")]
    const CODE: &[u8] = &[
        0x48, 0x83, 0xec, 0x08, // sub $8, %rsp
        0xff, 0xd7, // call *%rdi
        0x48, 0x83, 0xc4, 0x08, // add $8, %rsp
        0xc3, // ret
    ];
    #[cfg(target_arch = "aarch64")]
    const CODE: &[u8] = &[
        0xfd, 0x7b, 0xbf, 0xa9, // stp x29, x30, [sp, #-16]!
        0xfd, 0x03, 0x00, 0x91, // mov x29, sp
        0x00, 0x00, 0x3f, 0xd6, // blr x0
        0xfd, 0x7b, 0xc1, 0xa8, // ldp x29, x30, [sp], #16
        0xc0, 0x03, 0x5f, 0xd6, // ret
    ];
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new mapping wherever the kernel likes, which is never unmapped.
    let page = unsafe {
        libc::mmap(std::ptr::null_mut(), 4096, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0)
    };
    if page == libc::MAP_FAILED {
        return Err(io::Error::last_os_error().into());
    }
    // SAFETY: the page is ours and larger than the code.
    unsafe { std::ptr::copy_nonoverlapping(CODE.as_ptr(), page.cast(), CODE.len()) };
    // SAFETY: the page is ours, and nothing writes to it any more.
    if unsafe { libc::mprotect(page, 4096, libc::PROT_READ | libc::PROT_EXEC) } != 0 {
        return Err(io::Error::last_os_error().into());
    }
    // SAFETY: what was put there is a function of that type, and can be executed by now.
    let call: extern "C" fn(extern "C" fn() -> RawFd) -> RawFd =
        unsafe { std::mem::transmute(page) };
    let map = format!("/tmp/perf-{}.map", std::process::id());
    std::fs::write(&map, format!("{:x} {:x} made::by a compiler\n", page as usize, CODE.len()))?;
    let fd = black_box(call)(opens_below_made_code);
    std::fs::remove_file(map)?;
    Ok(vec![tell("opens_below_made_code", fd)])
}

#[inline(never)]
extern "C" fn opens_below_made_code() -> RawFd {
    keep(File::open("/dev/null").expect("it is always there"))
}

/// For each line of its input one more is opened, by a thread that was there before; another thread
/// is never at rest, and one waits for ever.
fn opens_when_told() -> Outcome<()> {
    thread::spawn(|| {
        loop {
            black_box(rustix::process::getppid());
        }
    });
    thread::spawn(thread::park);
    say("ready");
    for line in io::stdin().lines() {
        match line?.as_str() {
            "thread" => {
                let open = || opens_in_a_thread().map_err(|error| error.to_string());
                let fd = thread::spawn(open).join().expect("it does not panic")?;
                tell("opens_in_a_thread", fd)
            }
            _ => tell("opens_a_file", opens_a_file()?),
        };
    }
    Ok(())
}

/// Four at once.
fn threads() -> Outcome<Vec<RawFd>> {
    let open = || {
        (0..8).map(|_| opens_in_a_thread().map_err(|error| error.to_string())).collect::<Vec<_>>()
    };
    let threads: Vec<_> = (0..4).map(|_| thread::spawn(open)).collect();
    let fds = threads.into_iter().flat_map(|thread| thread.join().expect("it does not panic"));
    Ok(fds.map(|fd| fd.map(|fd| tell("opens_in_a_thread", fd))).collect::<Result<_, _>>()?)
}

/// One number, twice.
fn again() -> Outcome<Vec<RawFd>> {
    let before = keep(File::open("/dev/null")?);
    for _ in 0..100 {
        opens_and_closes()?;
    }
    let fd = opens_in_its_place()?;
    if fd != before + 1 {
        return Err(format!("{fd} does not follow {before}").into());
    }
    // Who has looked while there were as many before has to look again.
    let after = keep(File::open("/dev/full")?);
    Ok(vec![before, tell("opens_in_its_place", fd), after])
}

/// One that is a fork, and one that is another program. Both have what was open before.
fn children() -> Outcome<Vec<RawFd>> {
    let before = opens_before_the_fork()?;
    tell("opens_before_the_fork", before);
    // SAFETY: this process has one thread.
    if unsafe { libc::fork() } == 0 {
        say(&format!("child {}", std::process::id()));
        tell("opens_after_the_fork", opens_after_the_fork()?);
        return Ok(vec![before]);
    }
    let inherited = opens_before_the_exec()?;
    fcntl_setfd(&inherited, FdFlags::empty())?;
    tell("opens_before_the_exec", inherited.as_raw_fd());
    Command::new("/proc/self/exe").arg("child").spawn()?;
    Ok(vec![before, keep(inherited)])
}

#[inline(never)]
fn opens_in_a_loop(count: u32) -> Outcome<()> {
    for _ in 0..count {
        black_box(File::open("/dev/null")?);
    }
    Ok(())
}

/// From here on a call fails with EPERM, as it does in many containers.
fn refuse(call: &str) -> Outcome<()> {
    let number = match call {
        "ptrace" => libc::SYS_ptrace,
        "seccomp" => libc::SYS_seccomp,
        _ => return Err(format!("{call}?").into()),
    };
    let instruction = |code: u32, jt, k| libc::sock_filter { code: code as u16, jt, jf: 0, k };
    let mut program = [
        instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0),
        instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 1, u32::try_from(number)?),
        instruction(libc::BPF_RET | libc::BPF_K, 0, 0x7fff_0000),
        instruction(
            libc::BPF_RET | libc::BPF_K,
            0,
            libc::SECCOMP_RET_ERRNO | libc::EPERM.cast_unsigned(),
        ),
    ];
    rustix::thread::set_no_new_privs(true)?;
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: the filter and its instructions outlive the call, which copies them.
    let done =
        unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const filter) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error().into()) }
}
