//! Everyday leaks, and everyday servers that do not leak: as descriptors with their lives.

use super::Seed;
use super::descriptors::{Life, Watch};

pub(crate) const HOUR_S: f64 = 3600.0;

pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// Descriptors a second that are leaked; 0: it does not leak.
    pub(crate) per_second: f64,
    pub(crate) seeds: u64,
    pub(crate) watch: Watch,
    pub(crate) lives: fn(&mut Seed, f64, f64) -> Vec<Life>,
}

impl Scenario {
    /// It is judged when it ends.
    pub(crate) fn is_short(&self) -> bool {
        self.watch.seconds < 10.0
    }
}

/// Once a second, from five seconds on, as the command does.
const USUAL: Watch = Watch { seconds: HOUR_S, interval_s: 1.0, warm_up_s: 5.0, ticks_per_scan: 1 };
const ALREADY_OPEN: usize = 15_000;

pub(crate) fn leaks() -> Vec<Scenario> {
    let mut all = Vec::new();
    let mut add = |name, rates: &[f64], seeds, lives| {
        for &per_second in rates {
            // Until well after it must have been called.
            let seconds = (240.0 / per_second).clamp(120.0, 1200.0);
            all.push(Scenario {
                name,
                per_second,
                seeds,
                watch: Watch { seconds, ..USUAL },
                lives,
            });
        }
    };
    add("exact", &[0.2, 0.5, 1.0, 2.0, 5.0, 20.0], 5, exact);
    add("jittered", &[0.2, 0.5, 1.0, 2.0, 5.0], 20, jittered);
    add("Poisson", &[0.2, 0.5, 1.0, 2.0, 5.0], 40, poisson);
    add("batches of 5", &[0.5, 1.0, 2.0, 5.0], 20, batches);
    add("staircase", &[0.5, 1.0, 2.0, 5.0], 20, staircase);
    add("sawtooth that rises", &[0.5, 1.0, 2.0, 5.0], 40, rising_sawtooth);
    add("beside a busy pool of 0 to 200", &[0.2, 0.5, 1.0, 2.0, 5.0], 20, beside_busy_pool);
    all.push(Scenario {
        name: "15,000 already open",
        per_second: 1.0,
        seeds: 2,
        watch: Watch { seconds: 120.0, ticks_per_scan: 4, ..USUAL },
        lives: many_open,
    });
    all
}

/// Like those of a cache: these must go on for longer.
pub(crate) fn leaks_of_lone_files() -> Vec<Scenario> {
    let of_rate = |per_second| Scenario {
        name: "files with names of their own",
        per_second,
        seeds: 10,
        watch: Watch { seconds: 300.0, ..USUAL },
        lives: own_files,
    };
    [0.5, 1.0, 2.0, 5.0].map(of_rate).into()
}

/// Judged when they end.
pub(crate) fn short_leaks() -> Vec<Scenario> {
    let watch = Watch { seconds: 5.0, interval_s: 0.1, warm_up_s: 1.0, ticks_per_scan: 1 };
    let rates = [5.0, 10.0, 20.0, 50.0];
    rates
        .map(|per_second| Scenario {
            name: "a command of 5 seconds",
            per_second,
            seeds: 40,
            watch,
            lives: jittered,
        })
        .into()
}

pub(crate) fn steady() -> Vec<Scenario> {
    let quiet = |name, seeds, lives| Scenario { name, per_second: 0.0, seeds, watch: USUAL, lives };
    vec![
        quiet("warm cache", 60, warm_cache),
        quiet("pool to a bound", 60, pool_to_a_bound),
        quiet("rotation", 20, rotation),
        quiet("collected sawtooth", 60, collected),
        quiet("daily curve", 16, daily_curve),
        quiet("bursts", 40, bursts),
        quiet("start-up", 60, start_up),
        quiet("churn", 24, churn),
    ]
}

fn base() -> Vec<Life> {
    (0..12).map(|_| Life::kept(-100.0)).collect()
}

fn at_rate(per_second: f64, seconds: f64, mut at: impl FnMut(f64) -> f64) -> Vec<Life> {
    let mut lives = base();
    lives.extend((1..=(per_second * seconds) as usize).map(|index| Life::kept(at(index as f64))));
    lives
}

fn exact(_: &mut Seed, per_second: f64, seconds: f64) -> Vec<Life> {
    at_rate(per_second, seconds, |index| index / per_second)
}

fn jittered(seed: &mut Seed, per_second: f64, seconds: f64) -> Vec<Life> {
    at_rate(per_second, seconds, |index| (index + 0.8 * seed.fraction() - 0.4) / per_second)
}

fn poisson(seed: &mut Seed, per_second: f64, seconds: f64) -> Vec<Life> {
    let mut now_s = 0.0;
    at_rate(per_second, seconds, |_| {
        now_s += seed.exponential(1.0 / per_second);
        now_s
    })
}

fn batches(seed: &mut Seed, per_second: f64, seconds: f64) -> Vec<Life> {
    let phase = seed.fraction();
    at_rate(per_second, seconds, |index| (((index - 1.0) / 5.0).floor() + phase) * 5.0 / per_second)
}

/// Rises for half of the time: for three seconds in six, or longer where it is slow.
fn staircase(seed: &mut Seed, per_second: f64, seconds: f64) -> Vec<Life> {
    let (period_s, phase) = (6.0_f64.max(3.0 / per_second), seed.fraction());
    at_rate(per_second, seconds, |index| {
        let periods = index / per_second / period_s + phase;
        (periods.floor() + periods.fract() / 2.0 - phase / 2.0) * period_s
    })
}

/// Three tenths of what is opened escape the collector.
fn rising_sawtooth(seed: &mut Seed, per_second: f64, seconds: f64) -> Vec<Life> {
    let opened_per_second = per_second / 0.3;
    let period_s = (3.0 + 5.0 * seed.fraction()).max(3.0 / per_second);
    let phase_s = seed.fraction() * period_s;
    let mut lives = base();
    for index in 1..=(opened_per_second * seconds) as usize {
        let opened_s = index as f64 / opened_per_second;
        let collected_s = ((opened_s + phase_s) / period_s).floor() * period_s + period_s - phase_s;
        let is_kept = seed.fraction() < 0.3;
        lives.push(if is_kept {
            Life::kept(opened_s)
        } else {
            Life { closed_s: collected_s, ..Life::kept(opened_s) }
        });
    }
    lives
}

fn add_churn(
    lives: &mut Vec<Life>,
    seed: &mut Seed,
    (from_s, to_s): (f64, f64),
    per_second: f64,
    held: impl Fn(&mut Seed) -> f64,
) {
    let mut now_s = from_s;
    loop {
        now_s += seed.exponential(1.0 / per_second);
        if now_s > to_s {
            return;
        }
        lives.push(Life::held(now_s, held(seed)));
    }
}

fn beside_busy_pool(seed: &mut Seed, per_second: f64, seconds: f64) -> Vec<Life> {
    let mut lives = jittered(seed, per_second, seconds);
    let (busy, held_s) = (1.0 + 199.0 * seed.fraction(), 0.1 + 0.9 * seed.fraction());
    add_churn(&mut lives, seed, (-10.0, seconds), busy / held_s, |seed| seed.exponential(held_s));
    lives
}

fn own_files(seed: &mut Seed, per_second: f64, seconds: f64) -> Vec<Life> {
    let lives = jittered(seed, per_second, seconds).into_iter().enumerate();
    lives.map(|(index, life)| Life { file: Some(index as u64), ..life }).collect()
}

fn many_open(seed: &mut Seed, per_second: f64, seconds: f64) -> Vec<Life> {
    let mut lives = jittered(seed, per_second, seconds);
    lives.extend((0..ALREADY_OPEN).map(|_| Life::kept(-1.0)));
    lives
}

/// Files are opened when they are asked for the first time, every one of a number as likely as
/// another, for up to a minute; or other things, for up to eight seconds. Later the ones that are
/// used least give way to others.
fn warm_cache(seed: &mut Seed, _: f64, seconds: f64) -> Vec<Life> {
    let mut lives = base();
    let (bound, warms_s) = (20.0 + 280.0 * seed.fraction(), 3.0 + 57.0 * seed.fraction());
    let is_of_files = warms_s > 8.0 || seed.fraction() < 0.5;
    for index in 0..bound as usize {
        let opened_s = seed.exponential(warms_s);
        let file = is_of_files.then_some(index as u64);
        lives.push(Life { file, ..Life::held(opened_s, 600.0 + seed.exponential(3000.0)) });
        let closed_s = lives[lives.len() - 1].closed_s;
        if closed_s < seconds {
            let file = file.map(|file| file + 10_000);
            lives.push(Life { file, ..Life::kept(closed_s + seed.exponential(5.0)) });
        }
    }
    lives
}

/// To thirty at an even pace, or to more within ten seconds; then they are used, and some replaced.
fn pool_to_a_bound(seed: &mut Seed, _: f64, seconds: f64) -> Vec<Life> {
    let mut lives = base();
    let (bound, fills_s) = if seed.fraction() < 0.5 {
        (seed.whole(3, 10), 5.0 + 295.0 * seed.fraction())
    } else {
        (seed.whole(5, 200), 1.0 + 11.0 * seed.fraction())
    };
    let serves_s = 60.0 + seed.exponential(1800.0);
    for index in 0..bound as usize {
        let mut now_s = index as f64 / bound * fills_s;
        while now_s < seconds {
            let held_s = seed.exponential(serves_s);
            lives.push(Life::held(now_s, held_s));
            now_s += held_s + 0.01;
        }
    }
    let busy = 50.0 * seed.fraction();
    add_churn(&mut lives, seed, (-10.0, seconds), 0.1 + busy, |seed| seed.exponential(0.5));
    lives
}

fn rotation(seed: &mut Seed, _: f64, seconds: f64) -> Vec<Life> {
    let mut lives = base();
    let every_s = 5.0 + 300.0 * seed.fraction();
    for log in 0..seed.whole(1, 40) as u64 {
        let mut now_s = -1.0;
        for generation in 0.. {
            // The new one is opened before the old one is closed.
            lives.push(Life {
                file: Some(generation * 100 + log),
                ..Life::held(now_s, every_s + seed.fraction())
            });
            now_s += every_s;
            if now_s > seconds {
                break;
            }
        }
    }
    lives
}

/// Closed by a collector, and by nothing else.
fn collected(seed: &mut Seed, _: f64, seconds: f64) -> Vec<Life> {
    let mut lives = base();
    let (mut now_s, per_second) = (-20.0, 0.5 + 19.5 * seed.fraction());
    let period_s = 3.0 + 14.0 * seed.fraction();
    let mut collected_s = -seed.fraction() * period_s;
    while now_s < seconds {
        now_s += seed.exponential(1.0 / per_second);
        while collected_s < now_s {
            collected_s += period_s * (0.95 + 0.1 * seed.fraction());
        }
        lives.push(Life { closed_s: collected_s, ..Life::kept(now_s) });
    }
    lives
}

/// From a third of the load to all of it and back.
fn daily_curve(seed: &mut Seed, _: f64, seconds: f64) -> Vec<Life> {
    let mut lives = base();
    let period_s = HOUR_S * (1.0 + 23.0 * seed.fraction());
    let (phase, held_s) =
        (std::f64::consts::TAU * seed.fraction(), 0.5 * 60.0_f64.powf(seed.fraction()));
    let most_per_second = (20.0 + 280.0 * seed.fraction()) / held_s;
    let mut now_s = -20.0 * held_s;
    while now_s < seconds {
        now_s += seed.exponential(1.0 / most_per_second);
        let load = 0.65 + 0.35 * (std::f64::consts::TAU * now_s / period_s + phase).sin();
        if seed.fraction() < load {
            lives.push(Life::held(now_s, seed.exponential(held_s)));
        }
    }
    lives
}

/// Connections that stay for a time of any length, bursts of them that come and go, files open for
/// a moment.
fn bursts(seed: &mut Seed, _: f64, seconds: f64) -> Vec<Life> {
    const IDLE_S: f64 = 1200.0;
    let mut lives = base();
    let mean_held_s = 2.0 * 60.0_f64.powf(seed.fraction());
    let per_second = (5.0 + 145.0 * seed.fraction()) / mean_held_s;
    let tail = 1.5 + seed.fraction();
    add_churn(&mut lives, seed, (-IDLE_S, seconds), per_second, |seed| {
        let least_s = mean_held_s * (tail - 1.0) / tail;
        (least_s * (1.0 - seed.fraction()).powf(-1.0 / tail)).min(IDLE_S)
    });
    let (between_s, lasting_s) = (60.0 + 240.0 * seed.fraction(), 5.0 + 40.0 * seed.fraction());
    let height = 20.0 + 200.0 * seed.fraction();
    let mut begins_s = seed.exponential(between_s);
    while begins_s < seconds {
        let (ends_s, opened) =
            (begins_s + seed.exponential(lasting_s), seed.exponential(height) as usize);
        for _ in 0..opened {
            let opened_s = begins_s + 2.0 * seed.fraction();
            lives.push(Life::held(opened_s, (ends_s - opened_s).max(0.1) + seed.fraction()));
        }
        begins_s += seed.exponential(between_s);
    }
    lives
}

fn start_up(seed: &mut Seed, _: f64, seconds: f64) -> Vec<Life> {
    let mut lives = vec![Life::kept(-0.1); 4];
    let (opens, within_s) = (seed.whole(5, 200) as usize, 1.0 + 11.0 * seed.fraction());
    for _ in 0..opens {
        let opened_s = seed.fraction() * within_s;
        lives.push(if seed.fraction() < 0.7 {
            Life::kept(opened_s)
        } else {
            Life::held(opened_s, seed.exponential(1.0))
        });
    }
    let busy = 20.0 * seed.fraction();
    add_churn(&mut lives, seed, (within_s, seconds), 0.05 + busy, |seed| seed.exponential(0.3));
    lives
}

/// Any load, held for any time.
fn churn(seed: &mut Seed, _: f64, seconds: f64) -> Vec<Life> {
    let mut lives = base();
    let held_s = 0.2 * 1500.0_f64.powf(seed.fraction());
    let per_second = (2.0 * 100.0_f64.powf(seed.fraction())) / held_s;
    add_churn(&mut lives, seed, (-20.0 * held_s, seconds), per_second, |seed| {
        seed.exponential(held_s)
    });
    lives
}
