//! Runs one scenario under the checker that the cfg names, and counts schedules.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Once};

use drystone_sync::thread::{self, JoinHandle};

/// How much of a scenario to explore. What a checker cannot run is 0.
#[derive(Clone, Copy, Debug)]
pub struct Scope {
    /// Switches away from a thread that could go on, at the most; loom is exhaustive below that.
    pub loom_preemptions: usize,
    /// Schedules after which loom stops, even if there are more.
    pub loom_schedules_max: u64,
    /// Schedules of shuttle: two thirds random, one third PCT.
    pub shuttle_schedules: u64,
    /// Repetitions with real threads.
    pub stress_runs: u64,
}

impl Scope {
    /// Two or three threads and a handful of steps.
    pub const SMALL: Self = Self {
        loom_preemptions: 4,
        loom_schedules_max: 25_000,
        shuttle_schedules: 40_000,
        stress_runs: 200,
    };
    /// A worker pool and what it works on.
    pub const WORKERS: Self = Self { loom_preemptions: 3, ..Self::SMALL };
    /// Two callers of one method, or two waiters of one kind: there are many such scenarios, and
    /// what they look for takes one or two switches.
    pub const PAIR: Self = Self {
        loom_preemptions: 2,
        loom_schedules_max: 2_500,
        shuttle_schedules: 5_000,
        stress_runs: 50,
    };
    /// The whole store: too many threads for loom.
    pub const STORE: Self = Self {
        loom_preemptions: 0,
        loom_schedules_max: 0,
        shuttle_schedules: 12_000,
        stress_runs: 200,
    };

    /// The same with another number of shuttle schedules.
    #[must_use]
    pub const fn shuttle(self, shuttle_schedules: u64) -> Self {
        Self { shuttle_schedules, ..self }
    }

    /// The same with other bounds for loom.
    #[must_use]
    pub const fn loom(self, loom_preemptions: usize, loom_schedules_max: u64) -> Self {
        Self { loom_preemptions, loom_schedules_max, ..self }
    }
}

/// Explores `scenario`. It is called by a test and must be a named function, or a closure written
/// inside one: its path is the name that is printed, and the test's.
///
/// # Panics
/// When an interleaving fails, or hangs.
pub fn check<F: Fn() + Send + Sync + 'static>(scope: Scope, scenario: F) {
    let name = name_of::<F>();
    let counter = Arc::new(AtomicU64::new(0));
    say_schedules_at_a_panic();
    CURRENT.with_borrow_mut(|current| *current = Some(Arc::clone(&counter)));
    let counted = {
        let counter = Arc::clone(&counter);
        move || {
            counter.fetch_add(1, Ordering::Relaxed);
            scenario();
        }
    };
    let is_cut_short = checker::run(name, scope, counted);
    CURRENT.with_borrow_mut(|current| *current = None);
    let how = if is_cut_short { ", cut short" } else { "" };
    println!("model: {name} {} {} schedules{how}", checker::NAME, counter.load(Ordering::Relaxed));
}

/// Starts a thread of a scenario.
pub fn start<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    thread::spawn("scenario", body).expect("a scenario has few threads")
}

/// Waits for a thread of a scenario; its panic is the scenario's.
pub fn finish<T>(thread: JoinHandle<T>) -> T {
    match thread.join() {
        Ok(value) => value,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// A panic that the scenario is about: it unwinds without a word.
pub fn plotted_panic(message: &'static str) -> ! {
    std::panic::resume_unwind(Box::new(message))
}

thread_local! {
    /// The schedules of the scenario that this thread explores.
    static CURRENT: RefCell<Option<Arc<AtomicU64>>> = const { RefCell::new(None) };
}

/// A failing loom run often aborts, so the count is said at the first panic.
fn say_schedules_at_a_panic() {
    static INSTALL: Once = Once::new();
    INSTALL.call_once(|| {
        let next = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let counter =
                CURRENT.try_with(|current| current.try_borrow().ok()?.clone()).ok().flatten();
            if let Some(counter) = counter {
                println!("failed; schedules: {}", counter.load(Ordering::Relaxed));
            }
            next(info);
        }));
    });
}

/// `subject::name` from `crate::subject::name` or `crate::subject::name::{{closure}}`.
fn name_of<F>() -> &'static str {
    let path = std::any::type_name::<F>().trim_end_matches("::{{closure}}");
    path.split_once("::").map_or(path, |(_, name)| name)
}

/// So many schedules: ten times as many when there is time, a tenth where only a look is wanted.
#[cfg(any(model_loom, model_shuttle))]
fn thorough(schedules: u64) -> u64 {
    match std::env::var("DRYSTONE_VERIFY").as_deref() {
        Ok("full") => schedules * 10,
        Ok("control") => schedules.div_ceil(10),
        _ => schedules,
    }
}

#[cfg(model_loom)]
mod checker {
    use std::time::{Duration, Instant};

    use super::{Scope, thorough};

    pub(super) const NAME: &str = "loom";
    /// One scenario may not use up the whole stage, whatever the machine.
    const SECONDS_MAX: u64 = 60;
    /// Synchronisation steps of one schedule; loom's default of 1000 is for smaller models.
    const BRANCHES_MAX: usize = 20_000;
    /// How often loom looks at its limits.
    const CHECK_EVERY: usize = 500;

    /// Whether the time was over before the schedules were.
    pub(super) fn run(
        _name: &str,
        scope: Scope,
        scenario: impl Fn() + Send + Sync + 'static,
    ) -> bool {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(scope.loom_preemptions);
        builder.max_branches = BRANCHES_MAX;
        builder.checkpoint_interval = CHECK_EVERY;
        builder.max_permutations =
            Some(usize::try_from(thorough(scope.loom_schedules_max)).unwrap_or(usize::MAX));
        let most = Duration::from_secs(thorough(SECONDS_MAX));
        builder.max_duration = Some(most);
        let begun = Instant::now();
        builder.check(scenario);
        begun.elapsed() >= most
    }
}

#[cfg(model_shuttle)]
mod checker {
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use shuttle::scheduler::{PctScheduler, RandomScheduler, ReplayScheduler};
    use shuttle::{Config, Runner};

    use super::{Scope, thorough};

    /// Of a task. Without optimisation the frames of a download do not fit into shuttle's 32 KiB.
    const STACK_BYTES: usize = 128 << 10;

    pub(super) const NAME: &str = "shuttle";
    const PCT_DEPTH: usize = 3;
    /// One scenario may not use up the whole stage, whatever the machine.
    const SECONDS_MAX: u64 = 60;

    /// Whether the time was over before the schedules were.
    pub(super) fn run(
        _name: &str,
        scope: Scope,
        scenario: impl Fn() + Send + Sync + 'static,
    ) -> bool {
        let scenario = Arc::new(scenario);
        let again = Arc::clone(&scenario);
        if let Ok(schedule) = std::env::var("DRYSTONE_SCHEDULE") {
            Runner::new(ReplayScheduler::new_from_encoded(&schedule), Config::new())
                .run(move || again());
            return false;
        }
        let begun = Instant::now();
        let config = || {
            let mut config = Config::new();
            config.stack_size = STACK_BYTES;
            config.max_time =
                Some(Duration::from_secs(thorough(SECONDS_MAX)).saturating_sub(begun.elapsed()));
            config
        };
        let schedules = usize::try_from(thorough(scope.shuttle_schedules)).unwrap_or(usize::MAX);
        let pct = schedules / 3;
        let random =
            Runner::new(RandomScheduler::new(schedules - pct), config()).run(move || again());
        let pct = Runner::new(PctScheduler::new(PCT_DEPTH, pct), config()).run(move || scenario());
        random + pct < schedules
    }
}

#[cfg(not(any(model_loom, model_shuttle)))]
mod checker {
    use std::sync::mpsc::{RecvTimeoutError, sync_channel};
    use std::time::Duration;

    use super::Scope;

    pub(super) const NAME: &str = "stress";
    /// For all repetitions together.
    const HANG: Duration = Duration::from_secs(60);

    /// Never cut short: what takes too long hangs.
    pub(super) fn run(
        name: &str,
        scope: Scope,
        scenario: impl Fn() + Send + Sync + 'static,
    ) -> bool {
        let (ended, end) = sync_channel(1);
        let runs = scope.stress_runs;
        let runner = std::thread::spawn(move || {
            for _ in 0..runs {
                scenario();
            }
            // After a timeout no thread receives this, so a failure to send is no error.
            let _ = ended.send(());
        });
        match end.recv_timeout(HANG) {
            Err(RecvTimeoutError::Timeout) => panic!("timeout: hang in {name}"),
            Ok(()) | Err(RecvTimeoutError::Disconnected) => {}
        }
        if let Err(panic) = runner.join() {
            std::panic::resume_unwind(panic);
        }
        false
    }
}
