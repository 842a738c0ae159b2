//! Who opened what: the call stacks behind the descriptors of a command and of all that it starts.
//!
//! A seccomp filter lets the kernel stop a process only at calls that create a descriptor
//! (`stacks/filter.rs`); at the end of each its stack is walked through `ptrace`, by the unwind
//! tables of the files it runs (`stacks/image.rs`), and noted for the new number (`stacks/creators.
//! rs`). Other calls run at full speed, `close` among them: callers ask about descriptors that they
//! know to be open.
//!
//! # What it changes for the command
//! - What ends with us: a traced process cannot go on without its tracer, since the calls that stop
//!   would fail. The kernel kills the command and *everything it started* when we end
//!   (`PTRACE_O_EXITKILL`), also what would be left behind otherwise.
//! - Without CAP_SYS_ADMIN it runs under `no_new_privs`: set-user-ID programs in it get no other
//!   rights. With it, set-user-ID programs get none either unless we may trace those: the kernel's
//!   rule for what is traced.
//! - It cannot be debugged or traced by anything else meanwhile.
//!
//! A process that ran before us has no filter, and none can be put before it from outside without
//! staying there for ever. Attached to it (`stacks/attach.rs`), we stop it at *every* system call
//! instead, and let it go on unharmed when we leave.
//!
//! # What it does not see
//! - Descriptors that arrive over a socket (SCM_RIGHTS), from `ioctl`, `bpf`, `clone3(CLONE_PIDFD)`
//!   or through io_uring, and those of 32-bit programs: they have no stack, never a wrong one,
//!   unless their number had another creator before.
//! - Frames of interpreters and run-time compilers that do not write `/tmp/perf-PID.map`
//!   (`stacks/made_code.rs`): a Python program without `-X perf` shows the functions of the
//!   interpreter.
//! - Processes that share a table of descriptors without being threads of one another: each is
//!   taken for its own.
//! - A process started with CLONE_UNTRACED: its creating calls fail with ENOSYS.
//!
//! Everything kept is bounded; [`StackLosses`] says what found no room.

mod attach;
mod creators;
mod filter;
mod image;
mod interner;
mod lines;
mod made_code;
mod maps;
mod memory;
mod modules;
mod names;
mod permission;
mod ptrace;
mod registers;
mod seccomp;
mod tracees;

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::io::{self, Read as _};
use std::rc::Rc;

use fdwatch::StackCount;
pub(super) use permission::check;
pub(super) use seccomp::install_filter;

use self::attach::Way;
use self::creators::Creators;
use self::filter::Outcome;
use self::image::{Image, WalkCache};
use self::interner::Interner;
use self::made_code::MadeCode;
use self::memory::StackMemory;
use self::modules::Modules;
use self::names::Names;
use self::ptrace::Resume;
use self::registers::Registers;
use self::tracees::{Call, Tracees};
use super::StacksError;
use super::stack_id::{StackId, StackLosses};

/// A walk that is lost reads the mappings again after so many others at most.
const PATIENCE_MAX: u32 = 4096;
/// The signals that stop a process for job control.
const STOPPING: [i32; 4] = [libc::SIGSTOP, libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU];
/// A stop at the end of a call is told from a SIGTRAP by this bit.
const END_OF_CALL: i32 = libc::SIGTRAP | 0x80;
/// The event of a stop that is no signal; missing from the C library's headers that we go by.
const EVENT_STOP: i32 = 128;

/// The stacks of a command that is traced. [`Child::stacks`](super::Child::stacks) has it.
pub struct Stacks {
    tracees: Tracees,
    images: HashMap<u32, Loaded>,
    creators: Creators,
    interner: Interner,
    modules: Modules,
    made: MadeCode,
    names: Names,
    cache: WalkCache,
    foreign_programs: u64,
    way: Way,
    /// Threads that are let go when they stop next.
    releasing: HashSet<i32>,
}

/// The code of a process, shared after a fork.
#[derive(Clone)]
struct Loaded {
    image: Rc<Image>,
    /// Walks that were lost since it was read.
    lost: u32,
    /// So many may be lost before it is read again.
    patience: u32,
}

impl Stacks {
    /// Attaches to a child that has no filter yet.
    pub(super) fn seize(pid: u32) -> Result<Self, StacksError> {
        let tid = pid.cast_signed();
        ptrace::seize(tid).map_err(permission::refused)?;
        let mut stacks = Self::new(Way::Filter);
        stacks.tracees.process(tid);
        Ok(stacks)
    }

    fn new(way: Way) -> Self {
        Self {
            tracees: Tracees::default(),
            images: HashMap::new(),
            creators: Creators::default(),
            interner: Interner::default(),
            modules: Modules::default(),
            made: MadeCode::default(),
            names: Names::default(),
            cache: WalkCache::new(),
            foreign_programs: 0,
            way,
            releasing: HashSet::new(),
        }
    }

    /// Which stack opened each of `fds`, all of them open in that process now. Those with no known
    /// creator are left out.
    pub fn stacks_of(&self, pid: u32, fds: &[i32]) -> BTreeMap<i32, StackId> {
        fds.iter().filter_map(|&fd| Some((fd, self.creators.of(pid, fd)?))).collect()
    }

    /// The frames of each stack, innermost first: `FUNCTION+0x12 at SOURCE:LINE (FILE)`, with those
    /// that were inlined into it before it. Reads symbol tables and debug information; better asked
    /// once for many.
    pub fn describe(&mut self, stacks: &[StackId]) -> Vec<Vec<String>> {
        let frames = |id: &StackId| self.interner.frames(*id).unwrap_or_default().to_vec();
        let frames: Vec<_> = stacks.iter().map(frames).collect();
        self.names.prepare(&frames.concat(), &self.modules, &self.made);
        let named = |frames: &Vec<_>| match frames.as_slice() {
            [] => vec![format!(
                "(one of too many different stacks: {} are kept)",
                interner::STACKS_MAX
            )],
            frames => frames.iter().flat_map(|frame| self.names.of(frame)).collect(),
        };
        frames.iter().map(named).collect()
    }

    /// The stacks that opened most of `fds`, at most so many; those with no known creator are one
    /// among them.
    pub fn most(&mut self, pid: u32, fds: &[i32], stacks_max: usize) -> Vec<StackCount> {
        let mut counts: HashMap<Option<StackId>, u32> = HashMap::new();
        for &fd in fds {
            *counts.entry(self.creators.of(pid, fd)).or_default() += 1;
        }
        let mut counts: Vec<_> = counts.into_iter().map(|(stack, count)| (count, stack)).collect();
        counts.sort_unstable_by_key(|&(count, stack)| (Reverse(count), stack));
        counts.truncate(stacks_max);
        let known: Vec<StackId> = counts.iter().filter_map(|&(_, stack)| stack).collect();
        let mut described = self.describe(&known).into_iter();
        let mut frames = |stack: Option<StackId>| match stack {
            Some(_) => described.next().unwrap_or_default(),
            None => vec!["(no call seen: inherited, or received over a socket)".to_owned()],
        };
        counts
            .into_iter()
            .map(|(count, stack)| StackCount { count, frames: frames(stack) })
            .collect()
    }

    /// What is missing from the stacks.
    pub fn losses(&self) -> StackLosses {
        StackLosses {
            stacks: self.interner.dropped(),
            descriptors: self.creators.dropped(),
            files: self.modules.dropped(),
            foreign_programs: self.foreign_programs,
            debug_files: self.names.debug_files_left_out(),
        }
    }

    /// A tracee has stopped: takes note and lets it go on, as its signals want. Errors mean that it
    /// was killed meanwhile.
    pub(super) fn stopped(&mut self, tid: i32, status: i32) {
        let (event, signal) = (status >> 16, status >> 8 & 0xff);
        if self.way == Way::Leaving || self.releasing.remove(&tid) {
            return self.let_go(tid, event, signal);
        }
        let done = match event {
            EVENT_STOP if STOPPING.contains(&signal) => ptrace::leave_stopped(tid),
            0 if signal == END_OF_CALL => {
                match self.way {
                    Way::Filter | Way::Leaving => self.call_ended(tid),
                    Way::EveryCall => self.call_stopped(tid),
                }
                self.go_on(tid, 0)
            }
            0 => self.go_on(tid, signal),
            _ => {
                self.event(tid, event);
                self.go_on(tid, 0)
            }
        };
        // Its end is reported like any other.
        let _ = done;
    }

    /// A thread or a process has ended.
    pub(super) fn ended(&mut self, tid: i32) {
        self.releasing.remove(&tid);
        if let Some(process) = self.tracees.remove(tid) {
            self.creators.forget(process);
            self.images.remove(&process);
            self.made.forget(process);
        }
    }

    fn go_on(&self, tid: i32, signal: i32) -> io::Result<()> {
        let stops_next = self.way == Way::EveryCall || self.tracees.is_in_call(tid);
        let how = if stops_next { Resume::ToEndOfCall } else { Resume::Run };
        ptrace::resume(tid, how, signal)
    }

    fn event(&mut self, tid: i32, event: i32) {
        let Ok(message) = ptrace::event_message(tid) else { return };
        match event {
            libc::PTRACE_EVENT_SECCOMP => self.call_begun(tid, Outcome::of(message)),
            libc::PTRACE_EVENT_CLONE | libc::PTRACE_EVENT_FORK | libc::PTRACE_EVENT_VFORK => {
                self.started(tid, message);
            }
            libc::PTRACE_EVENT_EXEC => self.executed(tid, message),
            _ => {}
        }
    }

    fn call_begun(&mut self, tid: i32, outcome: Outcome) {
        let pair_at = match outcome {
            Outcome::Returned => None,
            // Now, since the end of the call may have overwritten the argument.
            Outcome::PairAt(argument) => {
                let registers = ptrace::registers(tid).ok();
                let Some(at) = registers.and_then(|registers| registers.argument(argument)) else {
                    return;
                };
                Some(at)
            }
        };
        self.tracees.enter(tid, Call { pair_at });
    }

    fn call_ended(&mut self, tid: i32) {
        let Some(call) = self.tracees.leave(tid) else { return };
        let Some(process) = self.tracees.process(tid) else { return };
        let Ok(registers) = ptrace::registers(tid) else { return };
        let Some(result) = registers.result() else { return };
        let Some(created) = created(tid, call, result) else { return };
        let stack = self.walk(tid, process, &registers);
        for fd in created.into_iter().flatten() {
            self.creators.set(process, fd, stack);
        }
    }

    fn walk(&mut self, tid: i32, process: u32, registers: &Registers) -> StackId {
        let Self { images, modules, made, cache, interner, .. } = self;
        made.begin_walk();
        let mut named = |address| made.at(process, address);
        let loaded = images.entry(process).or_insert_with(|| Loaded::of(process, modules, cache));
        let mut walk = loaded.image.walk(registers, &mut StackMemory::of(tid), cache, &mut named);
        if walk.is_lost && loaded.is_renewed(process, modules, cache) {
            walk = loaded.image.walk(registers, &mut StackMemory::of(tid), cache, &mut named);
        }
        interner.intern(&walk.frames)
    }

    /// A thread has started another thread or a process.
    fn started(&mut self, tid: i32, new: u64) {
        let Ok(new) = i32::try_from(new) else { return };
        let (Some(parent), Some(child)) = (self.tracees.process(tid), self.tracees.process(new))
        else {
            return;
        };
        if parent == child {
            return;
        }
        self.creators.inherit(parent, child);
        if let Some(loaded) = self.images.get(&parent).cloned() {
            self.images.entry(child).or_insert(loaded);
        }
    }

    /// A process has become another program; a thread that was not the first has taken the first's
    /// place.
    fn executed(&mut self, tid: i32, former: u64) {
        if let Ok(former) = i32::try_from(former)
            && former != tid
        {
            self.tracees.remove(former);
        }
        self.tracees.leave(tid);
        let Some(process) = self.tracees.process(tid) else { return };
        self.images.remove(&process);
        self.made.forget(process);
        self.foreign_programs += u64::from(is_foreign(process));
        if !self.creators.is_empty(process)
            && let Ok(entries) = fs::read_dir(format!("/proc/{process}/fd"))
        {
            let open =
                entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
            self.creators.retain(process, open);
        }
    }
}

impl std::fmt::Debug for Stacks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stacks").field("tracees", &self.tracees).finish_non_exhaustive()
    }
}

impl Loaded {
    fn of(process: u32, modules: &mut Modules, cache: &mut WalkCache) -> Self {
        Self { image: Rc::new(Image::of(process, modules, cache)), lost: 0, patience: 1 }
    }

    /// After a walk that was lost: whether it is worth while to walk again.
    fn is_renewed(&mut self, process: u32, modules: &mut Modules, cache: &mut WalkCache) -> bool {
        self.lost += 1;
        if self.lost < self.patience {
            return false;
        }
        let new = Self::of(process, modules, cache);
        if new.image.is_like(&self.image) {
            (self.lost, self.patience) = (0, (self.patience * 2).min(PATIENCE_MAX));
            return false;
        }
        *self = new;
        true
    }
}

/// The new descriptors; `None` if the pair cannot be read.
fn created(tid: i32, call: Call, result: u64) -> Option<[Option<u32>; 2]> {
    let Some(pair_at) = call.pair_at else { return Some([u32::try_from(result).ok(), None]) };
    let mut bytes = [0; 8];
    if ptrace::read_memory(tid, pair_at, &mut bytes) < bytes.len() {
        return None;
    }
    let [a, b, c, d, e, f, g, h] = bytes;
    Some([u32::from_ne_bytes([a, b, c, d]), u32::from_ne_bytes([e, f, g, h])].map(Some))
}

/// Whether the program is one for 32 bits: its class stands in the fifth byte of the file.
fn is_foreign(process: u32) -> bool {
    let mut head = [0; 5];
    let file = fs::File::open(format!("/proc/{process}/exe"));
    file.is_ok_and(|mut file| file.read_exact(&mut head).is_ok()) && head == *b"\x7fELF\x01"
}
