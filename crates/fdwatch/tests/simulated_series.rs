//! Leaks and no leaks, simulated: each with many seeds, looked at with every count like a watch
//! does.
//!
//! A failure names its seeds; the same seed gives the same counts.

mod simulation;

use std::time::Duration;

use fdwatch::Series;
use simulation::{Seed, churn, counts, on_and_off};

const NO_WARM_UP: Duration = Duration::ZERO;
const MINUTE: usize = 60;
const HOUR: usize = 60 * MINUTE;

/// Pushes one count a second, and gives the seconds at which it is called a leak.
fn called(counts: &[u32], warm_up: Duration) -> impl Iterator<Item = usize> {
    let mut series = Series::default();
    counts.iter().enumerate().filter_map(move |(second, &count)| {
        series.push(Duration::from_secs(second as u64), count);
        series.is_leaking(warm_up).then_some(second)
    })
}

/// Fails with the seeds for which `is_right` does not hold, if they are more than `wrong_max`.
#[track_caller]
fn check(seeds: u64, wrong_max: usize, is_right: impl Fn(Seed) -> bool) {
    let wrong: Vec<u64> = (0..seeds).filter(|seed| !is_right(Seed::new(*seed))).collect();
    assert!(wrong.len() <= wrong_max, "{} of {seeds} wrong, seeds {wrong:?}", wrong.len());
}

#[track_caller]
fn check_never_called(seeds: u64, server: impl Fn(&mut Seed) -> Vec<u32>) {
    check(seeds, 0, |mut seed| called(&server(&mut seed), NO_WARM_UP).next().is_none());
}

#[track_caller]
fn check_called_within(
    seconds: usize,
    seeds: u64,
    wrong_max: usize,
    leak: impl Fn(&mut Seed) -> Vec<u32>,
) {
    check(seeds, wrong_max, |mut seed| {
        called(&leak(&mut seed), NO_WARM_UP).next().is_some_and(|first| first <= seconds)
    });
}

#[test]
fn one_a_second_among_noise_of_fifty_is_called_within_a_minute() {
    check_called_within(60, 1000, 10, |seed| {
        counts(MINUTE + 1, |second| 100.0 + seed.whole(-50, 50) + second as f64)
    });
}

/// What whole numbers leave of a line echoes, and is no noise.
#[test]
fn a_perfect_line_is_called_by_its_counts_alone() {
    for per_second in [0.52, 0.98, 1.02, 1.98, 2.03] {
        check_called_within(64, 1, 0, |_| {
            counts(64, |second| 12.0 + (second as f64 * per_second).floor())
        });
    }
}

/// Connections that come at random and stay for a time of any length, bursts of them that come and
/// go, and files that are open for a moment: every parameter is drawn anew for each seed.
fn bursty_server(seed: &mut Seed, seconds: usize) -> Vec<u32> {
    const IDLE_S: f64 = 1200.0;
    let mean_held_s = 2.0 * 60.0_f64.powf(seed.fraction());
    let per_second = (5.0 + 195.0 * seed.fraction()) / mean_held_s;
    let tail = 1.5 + seed.fraction();
    // Pareto, most stay shortly, a few very long; but no server keeps an idle connection for ever.
    let held = |seed: &mut Seed| {
        let least_s = mean_held_s * (tail - 1.0) / tail;
        (least_s * (1.0 - seed.fraction()).powf(-1.0 / tail)).min(IDLE_S)
    };
    let connections = churn(seed, seconds, IDLE_S, per_second, held);
    let (between_s, lasting_s) = (60.0 + 240.0 * seed.fraction(), 5.0 + 40.0 * seed.fraction());
    let height = 20.0 + 200.0 * seed.fraction();
    let bursts = on_and_off(seed, seconds, between_s, lasting_s, height);
    let moment_s = 0.5 + 2.0 * seed.fraction();
    let files_per_second = (5.0 + 45.0 * seed.fraction()) / moment_s;
    let files = churn(seed, seconds, 60.0, files_per_second, |seed| seed.exponential(moment_s));
    counts(seconds, |second| 30.0 + connections[second] + bursts[second] + files[second])
}

#[test]
fn a_bursty_server_is_not_called_in_an_hour() {
    check_never_called(1000, |seed| bursty_server(seed, HOUR));
}

#[test]
fn noise_is_not_called_in_an_hour() {
    check_never_called(150, |seed| counts(HOUR, |_| 200.0 + seed.whole(-50, 50)));
    check_never_called(150, |seed| counts(HOUR, |_| 500.0 + 30.0 * seed.normal()));
    let pareto = |seed: &mut Seed| (5.0 * (1.0 - seed.fraction()).powf(-0.67)).min(5000.0);
    check_never_called(150, |seed| counts(HOUR, |_| 100.0 + pareto(seed)));
}

#[test]
fn churn_is_not_called_in_an_hour() {
    for (per_second, held_s) in [(20.0, 5.0), (10.0, 30.0), (3.0, 120.0), (0.02, 200.0)] {
        check_never_called(100, |seed| {
            let open =
                churn(seed, HOUR, 20.0 * held_s, per_second, |seed| seed.exponential(held_s));
            counts(HOUR, |second| 12.0 + open[second])
        });
    }
}

#[test]
fn a_step_is_not_called_in_an_hour() {
    let noises = [0, 1, 5, 20];
    check_never_called(100, |seed| {
        let breath = noises[seed.whole(0, 3) as usize];
        let steps: [(usize, f64); 2] = std::array::from_fn(|_| {
            (seed.whole(30, HOUR as i64) as usize, 5.0 + seed.exponential(60.0))
        });
        let is_twice = seed.fraction() < 0.5;
        let height = |second: usize| {
            let taken =
                steps.iter().take(1 + usize::from(is_twice)).filter(|(at, _)| second >= *at);
            taken.map(|(_, height)| height.round()).sum::<f64>()
        };
        counts(HOUR, |second| 200.0 + seed.whole(-breath, breath) + height(second))
    });
}

/// In a minute, a step as high as the noise is wide looks much like a line.
#[test]
fn a_step_in_the_first_minute_is_hardly_ever_called() {
    check(500, 2, |mut seed| {
        let (at, height) = (seed.whole(15, 45) as usize, seed.whole(25, 80));
        let step = counts(5 * MINUTE, |second| {
            100.0 + seed.whole(-20, 20) + if second < at { 0.0 } else { height }
        });
        called(&step, NO_WARM_UP).next().is_none()
    });
}

#[test]
fn seven_more_are_no_leak_yet() {
    check_never_called(1, |_| counts(HOUR, |second| 12.0 + (second / 20).min(7) as f64));
    check_called_within(10 * MINUTE, 1, 0, |_| {
        counts(HOUR, |second| 12.0 + (second / 20).min(20) as f64)
    });
}

#[test]
fn one_more_once_is_not_called() {
    check_never_called(200, |seed| {
        let at = seed.whole(1, HOUR as i64) as usize;
        counts(HOUR, |second| if second < at { 12.0 } else { 13.0 })
    });
}

#[test]
fn a_quiet_leak_is_called_before_long() {
    // 12, 13, 14, … every ten seconds; every minute; at random, once a minute in the mean.
    check_called_within(2 * MINUTE, 1, 0, |_| counts(HOUR, |second| 12.0 + (second / 10) as f64));
    check_called_within(10 * MINUTE, 1, 0, |_| {
        counts(HOUR, |second| 12.0 + (second / MINUTE) as f64)
    });
    check_called_within(HOUR, 100, 0, |seed| {
        let mut leaked = 0.0;
        counts(HOUR, |_| {
            leaked += f64::from(seed.fraction() < 1.0 / 60.0);
            12.0 + leaked
        })
    });
}

#[test]
fn one_a_minute_is_called_within_an_hour_among_noise() {
    for breath in [5, 50] {
        check_called_within(HOUR, 30, 0, |seed| {
            counts(HOUR, |second| 100.0 + seed.whole(-breath, breath) + (second / MINUTE) as f64)
        });
    }
}

#[test]
fn one_in_two_seconds_is_called_on_top_of_churn_and_bursts() {
    check_called_within(25 * MINUTE, 100, 0, |seed| {
        let open = churn(seed, HOUR, 600.0, 10.0, |seed| seed.exponential(30.0));
        counts(HOUR, |second| 12.0 + open[second] + (second / 2) as f64)
    });
    check_called_within(45 * MINUTE, 100, 0, |seed| {
        let bursts = on_and_off(seed, HOUR, 120.0, 30.0, 200.0);
        counts(HOUR, |second| 100.0 + bursts[second] + seed.whole(-10, 10) + (second / 2) as f64)
    });
}

#[test]
fn a_leak_that_begins_after_half_an_hour_is_called_within_a_quarter() {
    check(50, 0, |mut seed| {
        let begins = 30 * MINUTE;
        let leak = counts(HOUR, |second| {
            200.0 + seed.whole(-50, 50) + second.saturating_sub(begins) as f64
        });
        let mut called = called(&leak, NO_WARM_UP);
        called.next().is_some_and(|first| (begins..=begins + 15 * MINUTE).contains(&first))
    });
}

/// Rises by `per_second`, and falls back to `floor(collections so far)` every `period_s` or so.
fn collected(seed: &mut Seed, period_s: f64, per_second: f64, leaked_each: f64) -> Vec<u32> {
    let (mut collected_at, mut floor) = (-seed.fraction() * period_s, 100.0);
    let mut next = period_s + collected_at;
    counts(HOUR, |second| {
        if second as f64 >= next {
            (collected_at, floor) = (next, floor + leaked_each);
            next += period_s * (0.95 + 0.1 * seed.fraction());
        }
        floor + (per_second * (second as f64 - collected_at)).floor()
    })
}

#[test]
fn a_collected_runtime_is_not_called_after_a_warm_up_of_two_collections() {
    check(200, 0, |mut seed| {
        let period_s = 30.0 + 270.0 * seed.fraction();
        let per_second = 0.2 + 2.0 * seed.fraction();
        let teeth = collected(&mut seed, period_s, per_second, 0.0);
        called(&teeth, Duration::from_secs_f64(2.2 * period_s)).next().is_none()
    });
}

/// Without a warm-up the first teeth are taken for a leak: nothing tells them apart from one.
#[test]
fn a_collected_runtime_is_not_called_any_more_after_five_collections() {
    check(200, 0, |mut seed| {
        let period_s = 60.0 + 240.0 * seed.fraction();
        let teeth = collected(&mut seed, period_s, 1.0, 0.0);
        called(&teeth, NO_WARM_UP).last().is_none_or(|last| last as f64 <= 5.0 * period_s)
    });
}

#[test]
fn a_leak_below_a_collected_runtime_is_called_within_seven_collections() {
    check(200, 0, |mut seed| {
        let period_s = 60.0 + 60.0 * seed.fraction();
        let teeth = collected(&mut seed, period_s, 1.0, 0.3 * period_s);
        let warm_up_s = 2.2 * period_s;
        let mut called = called(&teeth, Duration::from_secs_f64(warm_up_s));
        called.next().is_some_and(|first| first as f64 <= warm_up_s + 7.0 * period_s)
    });
}

#[test]
fn a_wave_is_not_called_after_a_warm_up_of_one_period() {
    check(200, 0, |mut seed| {
        let period_s = 60.0 + 540.0 * seed.fraction();
        let (height, phase) =
            (20.0 + 80.0 * seed.fraction(), std::f64::consts::TAU * seed.fraction());
        let breath = seed.whole(0, 20) as i64;
        let wave = counts(HOUR, |second| {
            300.0
                + height * (std::f64::consts::TAU * second as f64 / period_s + phase).sin()
                + seed.whole(-breath, breath)
        });
        called(&wave, Duration::from_secs_f64(1.1 * period_s)).next().is_none()
    });
}

/// Grows to its cap in `ramp_s`, on a line or ever slower.
fn pool(seed: &mut Seed, ramp_s: f64) -> Vec<u32> {
    let (cap, breath) = (20.0 + 480.0 * seed.fraction(), seed.whole(0, 10) as i64);
    let is_line = seed.fraction() < 0.5;
    counts(HOUR, |second| {
        let time = second as f64 / ramp_s;
        let filled = if is_line { time.min(1.0) } else { 1.0 - (-3.0 * time).exp() };
        20.0 + (cap * filled).floor() + seed.whole(0, breath)
    })
}

#[test]
fn a_pool_that_fills_during_warm_up_is_not_called() {
    check(200, 0, |mut seed| {
        let ramp_s = 30.0 + 150.0 * seed.fraction();
        called(&pool(&mut seed, ramp_s), Duration::from_secs_f64(1.5 * ramp_s)).next().is_none()
    });
}

/// And the same of a leak that stops.
#[test]
fn a_pool_is_not_called_any_more_once_it_has_been_full_for_some_time() {
    check(50, 0, |mut seed| {
        let ramp_s = 60.0 + 120.0 * seed.fraction();
        called(&pool(&mut seed, ramp_s), NO_WARM_UP)
            .last()
            .is_none_or(|last| last as f64 <= 2.5 * ramp_s)
    });
}

#[test]
fn the_rate_of_a_leak_is_told_within_a_tenth() {
    check(100, 0, |mut seed| {
        let leak = counts(5 * MINUTE, |second| 100.0 + seed.whole(-50, 50) + second as f64);
        let mut series = Series::default();
        for (second, &count) in leak.iter().enumerate() {
            series.push(Duration::from_secs(second as u64), count);
        }
        let trend = series.trend(NO_WARM_UP);
        trend.is_leak && (trend.per_second - 1.0).abs() < 0.1
    });
}

#[test]
fn whether_it_leaks_is_the_same_with_and_without_the_rate() {
    check(20, 0, |mut seed| {
        let leak = counts(10 * MINUTE, |second| 100.0 + seed.whole(-50, 50) + second as f64 / 2.0);
        let mut series = Series::default();
        leak.iter().enumerate().all(|(second, &count)| {
            series.push(Duration::from_secs(second as u64), count);
            let trend = series.trend(NO_WARM_UP);
            trend.is_leak == series.is_leaking(NO_WARM_UP)
                && (trend.per_second > 0.0 || !trend.is_leak)
        })
    });
}
