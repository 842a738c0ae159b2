//! A clock that stands still unless a scenario moves it.
//!
//! The futures here are woken by [`advance`] only; so a scenario that does not move the clock shows
//! a lost wake-up as a deadlock instead of a deadline that came up.

use std::cell::RefCell;
use std::ops::{Add, AddAssign};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

pub use std::time::Duration;

use pin_project_lite::pin_project;

thread_local! {
    /// Shuttle runs all of an execution on one thread of the system.
    static CLOCK: RefCell<Clock> = RefCell::default();
}

#[derive(Default)]
struct Clock {
    now: Duration,
    sleepers: Vec<Waker>,
}

/// A moment of this clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(Duration);

impl Instant {
    /// The clock's.
    pub fn now() -> Self {
        Self(CLOCK.with_borrow(|clock| clock.now))
    }

    /// Time since then.
    pub fn elapsed(&self) -> Duration {
        Self::now().0.saturating_sub(self.0)
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, time: Duration) -> Self {
        Self(self.0 + time)
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, time: Duration) {
        *self = *self + time;
    }
}

/// Begins anew.
pub fn reset() {
    CLOCK.set(Clock::default());
}

/// Moves the clock on and wakes everyone who waits for it.
pub fn advance(time: Duration) {
    let sleepers = CLOCK.with_borrow_mut(|clock| {
        clock.now += time;
        std::mem::take(&mut clock.sleepers)
    });
    sleepers.into_iter().for_each(Waker::wake);
}

/// Ready from `deadline` on.
#[derive(Debug)]
pub struct Sleep {
    deadline: Instant,
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if Instant::now() >= self.deadline {
            return Poll::Ready(());
        }
        CLOCK.with_borrow_mut(|clock| {
            if !clock.sleepers.iter().any(|sleeper| sleeper.will_wake(context.waker())) {
                clock.sleepers.push(context.waker().clone());
            }
        });
        Poll::Pending
    }
}

/// Waits until the clock has been moved by `time`.
pub fn sleep(time: Duration) -> Sleep {
    Sleep { deadline: Instant::now() + time }
}

pin_project! {
    /// See [`timeout`].
    pub struct Timeout<F> {
        #[pin]
        future: F,
        #[pin]
        sleep: Sleep,
    }
}

/// The deadline came up first.
#[derive(Debug, PartialEq, Eq)]
pub struct Elapsed;

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        // As in tokio: what is ready comes before the deadline.
        if let Poll::Ready(value) = this.future.poll(context) {
            return Poll::Ready(Ok(value));
        }
        this.sleep.poll(context).map(|()| Err(Elapsed))
    }
}

/// Gives `future` up when the clock has been moved by `time` before it is ready.
pub fn timeout<F: Future>(time: Duration, future: F) -> Timeout<F> {
    Timeout { future, sleep: sleep(time) }
}
