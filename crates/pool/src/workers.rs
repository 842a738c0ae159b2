//! A fixed number of threads that run short, blocking jobs from one bounded queue.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use drystone_sync::{Arc, Mutex, thread};

use crate::{Closed, Queue, Usage};

type Job = Box<dyn FnOnce() + Send>;

/// A job panicked; the message is the panic's, where it was text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a job panicked: {0}")]
pub struct JobPanic(pub String);

impl JobPanic {
    pub(crate) fn from_payload(payload: &(dyn Any + Send)) -> Self {
        let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
        Self(
            text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".into()),
        )
    }
}

/// Runs `body` and turns a panic into a value.
pub(crate) fn isolate<T>(body: impl FnOnce() -> T) -> Result<T, JobPanic> {
    // A job owns what it touches; what it shares with others is behind locks that keep their invariants at every
    // point where a job's code runs.
    catch_unwind(AssertUnwindSafe(body)).map_err(|payload| JobPanic::from_payload(payload.as_ref()))
}

/// `threads` threads and a queue of `queue_len_max` jobs. A full queue blocks whoever submits; a job must
/// therefore never submit to its own pool.
pub struct WorkerPool {
    queue: Queue<Job>,
    threads: Mutex<Vec<thread::JoinHandle<()>>>,
    threads_len: usize,
    panics: Arc<Mutex<u64>>,
}

impl WorkerPool {
    /// Starts the threads, named `name-0`, `name-1`, …
    ///
    /// # Errors
    /// The operating system's, when it refuses a thread; the ones already started are ended first.
    pub fn new(name: &str, threads: usize, queue_len_max: usize) -> std::io::Result<Self> {
        assert!(threads > 0, "a pool of no threads would never run a job");
        let pool = Self {
            queue: Queue::new(queue_len_max),
            threads: Mutex::new(Vec::with_capacity(threads)),
            threads_len: threads,
            panics: Arc::new(Mutex::new(0)),
        };
        for index in 0..threads {
            let (queue, panics) = (pool.queue.clone(), Arc::clone(&pool.panics));
            let started = thread::spawn(&format!("{name}-{index}"), move || {
                while let Some(job) = queue.pop() {
                    if isolate(job).is_err() {
                        *panics.lock() += 1;
                    }
                }
            })?;
            pool.threads.lock().push(started);
        }
        Ok(pool)
    }

    /// Queues a job; blocks while the queue is full. A panic of the job is contained and counted; to learn of it,
    /// submit through a [`JobGroup`](crate::JobGroup) or [`Map`](crate::Map).
    ///
    /// # Errors
    /// [`Closed`] after [`shutdown`](Self::shutdown); the job was not and will not be run.
    pub fn submit(&self, job: impl FnOnce() + Send + 'static) -> Result<(), Closed<()>> {
        self.queue.push(Box::new(job)).map_err(|_| Closed(()))
    }

    /// How many threads run jobs.
    pub fn threads(&self) -> usize {
        self.threads_len
    }

    /// A reading of the queue of jobs that wait for a thread.
    pub fn usage(&self) -> Usage {
        self.queue.usage()
    }

    /// How many bare jobs have panicked.
    pub fn panics(&self) -> u64 {
        *self.panics.lock()
    }

    /// Refuses later jobs, runs the ones already queued, and joins every thread. Also done by `drop`.
    pub fn shutdown(&self) {
        self.queue.close();
        let threads = std::mem::take(&mut *self.threads.lock());
        for thread in threads {
            // Jobs are isolated, so a worker thread itself never panics.
            let _ = thread.join();
        }
    }
}

impl Drop for WorkerPool {
    fn drop(&mut self) {
        self.shutdown();
    }
}
