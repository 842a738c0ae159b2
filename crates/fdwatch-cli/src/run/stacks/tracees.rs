//! Who is being traced: threads, the processes they belong to, and the call that each is in.

use std::collections::HashMap;
use std::fs;

/// As many as the kernel has threads of the command.
#[derive(Debug, Default)]
pub(super) struct Tracees {
    threads: HashMap<i32, Thread>,
}

#[derive(Debug)]
struct Thread {
    process: u32,
    call: Option<Call>,
}

/// A creating call that has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Call {
    /// Where it writes a pair; `None` if it returns one descriptor.
    pub(super) pair_at: Option<u64>,
}

impl Tracees {
    /// The process of a thread; `None` if both are gone.
    pub(super) fn process(&mut self, tid: i32) -> Option<u32> {
        if let Some(thread) = self.threads.get(&tid) {
            return Some(thread.process);
        }
        let process = process_of(tid)?;
        self.threads.insert(tid, Thread { process, call: None });
        Some(process)
    }

    /// Whether the thread is traced, as far as was noted.
    pub(super) fn knows(&self, tid: i32) -> bool {
        self.threads.contains_key(&tid)
    }

    pub(super) fn threads(&self) -> impl Iterator<Item = i32> {
        self.threads.keys().copied()
    }

    pub(super) fn len(&self) -> usize {
        self.threads.len()
    }

    pub(super) fn enter(&mut self, tid: i32, call: Call) {
        if self.process(tid).is_some()
            && let Some(thread) = self.threads.get_mut(&tid)
        {
            thread.call = Some(call);
        }
    }

    /// The call that has ended.
    pub(super) fn leave(&mut self, tid: i32) -> Option<Call> {
        self.threads.get_mut(&tid)?.call.take()
    }

    pub(super) fn is_in_call(&self, tid: i32) -> bool {
        self.threads.get(&tid).is_some_and(|thread| thread.call.is_some())
    }

    /// The process that ended with this thread, if it did: the kernel reports the end of the first
    /// thread last.
    pub(super) fn remove(&mut self, tid: i32) -> Option<u32> {
        let process = self.threads.remove(&tid)?.process;
        (i32::try_from(process) == Ok(tid)).then_some(process)
    }
}

/// From `Tgid:` of `/proc/TID/status`.
fn process_of(tid: i32) -> Option<u32> {
    let status = fs::read(format!("/proc/{tid}/status")).ok()?;
    let mut lines = status.split(|&byte| byte == b'\n');
    let group = lines.find_map(|line| line.strip_prefix(b"Tgid:"))?;
    str::from_utf8(group).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_belongs_to_its_process() {
        let me = std::process::id();
        let tid = rustix::thread::gettid().as_raw_nonzero().get();
        let mut tracees = Tracees::default();
        assert_eq!(tracees.process(tid), Some(me));
        assert_eq!(tracees.process(i32::MAX), None);
        tracees.enter(tid, Call { pair_at: Some(8) });
        assert!(tracees.is_in_call(tid));
        assert_eq!(tracees.leave(tid), Some(Call { pair_at: Some(8) }));
        assert_eq!(tracees.leave(tid), None);
        assert!(!tracees.is_in_call(tid));
        // The test runs on a thread that is not the first of its process.
        assert_eq!(tracees.remove(tid), None);
        let first = me.cast_signed();
        assert_eq!(
            (tracees.process(first), tracees.remove(first), tracees.remove(first)),
            (Some(me), Some(me), None)
        );
    }
}
