//! A number of threads that run blocking jobs from one bounded queue. The number is fixed until
//! [`resize`](WorkerPool::resize) changes it.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use drystone_sync::{Arc, Mutex, thread};

use crate::{Closed, Queue, Usage};

type Job = Box<dyn FnOnce() + Send>;

/// What the queue holds.
enum Task {
    Run(Job),
    /// The thread that takes it ends, because there are to be fewer threads.
    Leave,
}

/// A job panicked; the message is the panic's, where it was text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a job panicked: {0}")]
pub struct JobPanic(pub String);

impl JobPanic {
    pub(crate) fn from_payload(payload: &(dyn Any + Send)) -> Self {
        let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
        Self(
            text.or_else(|| payload.downcast_ref::<String>().cloned())
                .unwrap_or_else(|| "no message".into()),
        )
    }
}

/// Runs `body` and turns a panic into a value.
pub(crate) fn isolate<T>(body: impl FnOnce() -> T) -> Result<T, JobPanic> {
    // A job owns what it touches; what it shares with others is behind locks that keep their
    // invariants at every point where a job's code runs.
    catch_unwind(AssertUnwindSafe(body)).map_err(|payload| JobPanic::from_payload(payload.as_ref()))
}

/// `threads` threads and a queue of `queue_len_max` jobs. A full queue blocks the thread that
/// submits. So a job must never submit to its own pool.
pub struct WorkerPool {
    name: String,
    queue: Queue<Task>,
    /// Held to count the threads, and to start a thread and keep its handle. A leaf lock. Of this
    /// pool's other locks only `joining` may be held already.
    threads: Mutex<Threads>,
    /// Held while the threads are joined. When two threads shut the pool down, the second one
    /// waits.
    joining: Mutex<()>,
    /// Numbers of threads that have ended by `Leave` and are not joined yet.
    left: Arc<Mutex<Vec<usize>>>,
    panics: Arc<Mutex<u64>>,
}

#[derive(Default)]
struct Threads {
    started: BTreeMap<usize, thread::JoinHandle<()>>,
    next: usize,
    /// How many threads there are once all have left that were told to leave.
    wanted: usize,
}

impl WorkerPool {
    /// Starts the threads, named `name-0`, `name-1`, …
    ///
    /// # Errors
    /// The operating system's, when it refuses a thread; the ones already started are ended first.
    pub fn new(name: &str, threads: usize, queue_len_max: usize) -> std::io::Result<Self> {
        assert!(threads > 0, "a pool of no threads would never run a job");
        let pool = Self {
            name: name.to_owned(),
            queue: Queue::new(queue_len_max),
            threads: Mutex::new(Threads { wanted: threads, ..Threads::default() }),
            joining: Mutex::new(()),
            left: Arc::new(Mutex::new(Vec::new())),
            panics: Arc::new(Mutex::new(0)),
        };
        for _ in 0..threads {
            pool.start()?;
        }
        Ok(pool)
    }

    /// Changes the number of threads. New threads start at once. A surplus thread leaves when the
    /// jobs that were queued before this call have begun and its own job has ended: no job is
    /// disturbed. Blocks while the queue is full.
    ///
    /// # Errors
    /// The operating system's, when it refuses a thread. The pool then has as many threads as it
    /// gave.
    pub fn resize(&self, threads: usize) -> std::io::Result<()> {
        assert!(threads > 0, "a pool of no threads would never run a job");
        let before = std::mem::replace(&mut self.threads.lock().wanted, threads);
        for given in before..threads {
            if let Err(error) = self.start() {
                self.threads.lock().wanted = given;
                return Err(error);
            }
        }
        for _ in threads..before {
            // A pool that is shut down has told every thread to end.
            let _ = self.queue.push(Task::Leave);
        }
        let left = std::mem::take(&mut *self.left.lock());
        let left: Vec<_> =
            left.iter().filter_map(|index| self.threads.lock().started.remove(index)).collect();
        for thread in left {
            let _ = thread.join();
        }
        Ok(())
    }

    fn start(&self) -> std::io::Result<()> {
        // Held until the handle is kept, because a shutdown joins every thread that has begun.
        let mut threads = self.threads.lock();
        let index = threads.next;
        let (queue, panics, left) =
            (self.queue.clone(), Arc::clone(&self.panics), Arc::clone(&self.left));
        let started = thread::spawn(&format!("{}-{index}", self.name), move || {
            while let Some(task) = queue.pop() {
                match task {
                    Task::Run(job) => {
                        if isolate(job).is_err() {
                            *panics.lock() += 1;
                        }
                    }
                    Task::Leave => return left.lock().push(index),
                }
            }
        })?;
        threads.next += 1;
        threads.started.insert(index, started);
        Ok(())
    }

    /// Queues a job; blocks while the queue is full. A panic of the job is contained and counted;
    /// to learn of it, submit through a [`JobGroup`](crate::JobGroup) or [`Map`](crate::Map).
    ///
    /// # Errors
    /// [`Closed`] after [`shutdown`](Self::shutdown); the job was not and will not be run.
    pub fn submit(&self, job: impl FnOnce() + Send + 'static) -> Result<(), Closed<()>> {
        self.queue.push(Task::Run(Box::new(job))).map_err(|_| Closed(()))
    }

    /// How many threads run jobs, or soon will.
    pub fn threads(&self) -> usize {
        self.threads.lock().wanted
    }

    /// How many jobs wait for a thread.
    pub fn usage(&self) -> Usage {
        self.queue.usage()
    }

    /// How many jobs that [`submit`](Self::submit) queued have panicked.
    pub fn panics(&self) -> u64 {
        *self.panics.lock()
    }

    /// Refuses later jobs, runs the ones already queued, and joins every thread. When it returns no
    /// job runs, also when other threads shut the pool down or resize it at the same time. `drop`
    /// does the same.
    pub fn shutdown(&self) {
        self.queue.close();
        let _joining = self.joining.lock();
        loop {
            let threads = std::mem::take(&mut self.threads.lock().started);
            if threads.is_empty() {
                return;
            }
            for thread in threads.into_values() {
                // Jobs are isolated, so a worker thread itself never panics.
                let _ = thread.join();
            }
            // A resize may have started another thread meanwhile, and that thread may run the last
            // job.
        }
    }
}

impl Drop for WorkerPool {
    fn drop(&mut self) {
        self.shutdown();
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    /// Far longer than the slowest machine needs.
    const DEADLINE: Duration = Duration::from_secs(30);

    #[test]
    fn a_thread_that_has_left_is_joined_by_the_next_resize() {
        let pool = WorkerPool::new("worker", 3, 3).unwrap();
        pool.resize(1).unwrap();
        let begun = Instant::now();
        while pool.left.lock().len() + (3 - pool.threads.lock().started.len()) < 2 {
            assert!(begun.elapsed() < DEADLINE, "no thread has left");
            thread::yield_now();
        }
        pool.resize(1).unwrap();
        assert_eq!(pool.threads.lock().started.len(), 1, "the handle of one that left is kept");
        pool.resize(2).unwrap();
        assert_eq!(pool.threads.lock().started.len(), 2);
        pool.shutdown();
        assert!(pool.threads.lock().started.is_empty());
        assert!(pool.submit(|| ()).is_err());
    }

    #[test]
    fn a_panic_is_counted_and_told_with_its_message() {
        let pool = WorkerPool::new("worker", 1, 4).unwrap();
        for message in [Some("text"), None, None] {
            let job = move || {
                if let Some(message) = message {
                    std::panic::resume_unwind(Box::new(message.to_owned()));
                }
            };
            pool.submit(job).unwrap();
        }
        pool.shutdown();
        assert_eq!(pool.panics(), 1);
        let told = |payload: Box<dyn Any + Send>| JobPanic::from_payload(payload.as_ref()).0;
        assert_eq!(told(Box::new("a")), "a");
        assert_eq!(told(Box::new("b".to_owned())), "b");
        assert_eq!(told(Box::new(3)), "no message");
    }
}
