//! A lazy parallel map: pulls from its source only as far ahead as its bound.

use std::collections::VecDeque;

use drystone_sync::{Arc, Condvar, Mutex};

use crate::workers::isolate;
use crate::{JobError, WorkerPool};

/// In which order results come out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The source's.
    Source,
    /// As jobs complete.
    Completion,
}

/// The iterator that [`WorkerPool::map`] returns. Dropping it abandons the jobs that have not
/// begun.
pub struct Map<'a, I, F, R> {
    pool: &'a WorkerPool,
    source: std::iter::Fuse<I>,
    work: Arc<F>,
    shared: Arc<Shared<R>>,
    ahead_max: usize,
    pulled: u64,
    yielded: u64,
    order: Order,
}

struct Shared<R> {
    /// A leaf lock.
    state: Mutex<State<R>>,
    /// Signalled when a result arrives.
    arrived: Condvar,
}

struct State<R> {
    /// At most `ahead_max` results: (index in the source, result).
    results: VecDeque<(u64, Outcome<R>)>,
    abandoned: bool,
}

type Outcome<R> = Result<R, JobError<std::convert::Infallible>>;

/// One job's result on its way. When it is dropped without a result, it reports
/// [`JobError::Dropped`].
struct Arrival<R> {
    shared: Arc<Shared<R>>,
    index: u64,
    outcome: Option<Outcome<R>>,
}

impl<R> Arrival<R> {
    fn deliver(mut self, outcome: Outcome<R>) {
        self.outcome = Some(outcome);
    }
}

impl<R> Drop for Arrival<R> {
    fn drop(&mut self) {
        let outcome = self.outcome.take().unwrap_or(Err(JobError::Dropped));
        self.shared.state.lock().results.push_back((self.index, outcome));
        self.shared.arrived.notify_one();
    }
}

impl WorkerPool {
    /// Applies `work` to the items of `source` on the pool's threads. At most `ahead_max` items (at
    /// least 1) are between the source and the consumer at any time, so memory does not grow with
    /// the source. A panic becomes that item's [`JobError::Panicked`]; later items still run.
    pub fn map<I, F, R>(
        &self,
        source: I,
        ahead_max: usize,
        order: Order,
        work: F,
    ) -> Map<'_, I::IntoIter, F, R>
    where
        I: IntoIterator,
        I::Item: Send + 'static,
        F: Fn(I::Item) -> R + Send + Sync + 'static,
        R: Send + 'static,
    {
        let ahead_max = ahead_max.max(1);
        let state = State { results: VecDeque::with_capacity(ahead_max), abandoned: false };
        Map {
            pool: self,
            source: source.into_iter().fuse(),
            work: Arc::new(work),
            shared: Arc::new(Shared { state: Mutex::new(state), arrived: Condvar::new() }),
            ahead_max,
            pulled: 0,
            yielded: 0,
            order,
        }
    }
}

impl<I, F, R> Map<'_, I, F, R>
where
    I: Iterator,
    I::Item: Send + 'static,
    F: Fn(I::Item) -> R + Send + Sync + 'static,
    R: Send + 'static,
{
    fn pull_one(&mut self) -> bool {
        let Some(item) = self.source.next() else { return false };
        let arrival =
            Arrival { shared: Arc::clone(&self.shared), index: self.pulled, outcome: None };
        self.pulled += 1;
        let work = Arc::clone(&self.work);
        // A closed pool drops the job, and the arrival with it. The arrival then reports the job as
        // dropped.
        let _ = self.pool.submit(move || {
            if arrival.shared.state.lock().abandoned {
                return;
            }
            arrival.deliver(isolate(|| work(item)).map_err(JobError::Panicked));
        });
        true
    }
}

impl<I, F, R> Iterator for Map<'_, I, F, R>
where
    I: Iterator,
    I::Item: Send + 'static,
    F: Fn(I::Item) -> R + Send + Sync + 'static,
    R: Send + 'static,
{
    type Item = Outcome<R>;

    fn next(&mut self) -> Option<Outcome<R>> {
        while self.pulled - self.yielded < self.ahead_max as u64 && self.pull_one() {}
        if self.pulled == self.yielded {
            return None;
        }
        let mut state = self.shared.state.lock();
        loop {
            let found = match self.order {
                Order::Completion => (!state.results.is_empty()).then_some(0),
                Order::Source => state.results.iter().position(|(index, _)| *index == self.yielded),
            };
            if let Some((_, outcome)) = found.and_then(|at| state.results.remove(at)) {
                self.yielded += 1;
                return Some(outcome);
            }
            state = self.shared.arrived.wait(state);
        }
    }
}

impl<I, F, R> Drop for Map<'_, I, F, R> {
    fn drop(&mut self) {
        self.shared.state.lock().abandoned = true;
    }
}
