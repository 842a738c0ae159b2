//! Jobs that succeed or fail together. The group keeps the first error, and begins no job after it.

use drystone_sync::{Arc, Condvar, Mutex};

use crate::workers::isolate;
use crate::{Closed, JobPanic, WorkerPool};

/// Why a job, and with it its group, failed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum JobError<E> {
    /// The job returned this error.
    #[error(transparent)]
    Failed(E),
    /// The job panicked.
    #[error(transparent)]
    Panicked(JobPanic),
    /// The job was thrown away before it ran.
    #[error("a job was dropped before it ran")]
    Dropped,
}

/// Counts the jobs of one task and keeps their first error.
pub struct JobGroup<E> {
    shared: Arc<Shared<E>>,
}

struct Shared<E> {
    /// A leaf lock.
    state: Mutex<State<E>>,
    /// Signalled when the last job has ended.
    idle: Condvar,
}

struct State<E> {
    running: usize,
    failed: bool,
    error: Option<JobError<E>>,
}

/// One job's place in its group. When it is dropped without a result, that counts as
/// [`JobError::Dropped`].
struct JobPlace<E> {
    shared: Arc<Shared<E>>,
    result: Option<Result<(), JobError<E>>>,
}

impl<E> JobPlace<E> {
    fn end(mut self, result: Result<(), JobError<E>>) {
        self.result = Some(result);
    }
}

impl<E> Drop for JobPlace<E> {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        state.running -= 1;
        if let Err(error) = self.result.take().unwrap_or(Err(JobError::Dropped)) {
            state.failed = true;
            state.error.get_or_insert(error);
        }
        if state.running == 0 {
            self.shared.idle.notify_all();
        }
    }
}

impl<E: Send + 'static> JobGroup<E> {
    /// A group without jobs.
    pub fn new() -> Self {
        let state = State { running: 0, failed: false, error: None };
        Self { shared: Arc::new(Shared { state: Mutex::new(state), idle: Condvar::new() }) }
    }

    /// Queues `job` on `pool`; blocks while the pool's queue is full. After a failure of the group
    /// the job is dropped instead of run.
    ///
    /// # Errors
    /// [`Closed`] when the pool takes no more jobs.
    pub fn submit(
        &self,
        pool: &WorkerPool,
        job: impl FnOnce() -> Result<(), E> + Send + 'static,
    ) -> Result<(), Closed<()>> {
        self.shared.state.lock().running += 1;
        let place = JobPlace { shared: Arc::clone(&self.shared), result: None };
        // A tuple drops its fields in this order. So a job that is dropped instead of run gives
        // back what it owns before its place tells the group that it has ended.
        let task = (job, place);
        pool.submit(move || {
            let (job, place) = task;
            if place.shared.state.lock().failed {
                drop(job);
                return place.end(Ok(()));
            }
            place.end(match isolate(job) {
                Ok(result) => result.map_err(JobError::Failed),
                Err(panic) => Err(JobError::Panicked(panic)),
            });
        })
    }

    /// Whether a job has failed already, so that a producer can stop early.
    pub fn failed(&self) -> bool {
        self.shared.state.lock().failed
    }

    /// Blocks until every job has ended.
    ///
    /// # Errors
    /// The first failure; the group can be used again afterwards.
    pub fn wait(&self) -> Result<(), JobError<E>> {
        let mut state = self.shared.state.lock();
        while state.running > 0 {
            state = self.shared.idle.wait(state);
        }
        state.failed = false;
        state.error.take().map_or(Ok(()), Err)
    }
}

impl<E: Send + 'static> Default for JobGroup<E> {
    fn default() -> Self {
        Self::new()
    }
}
