//! Everyday leaks and everyday servers, as descriptors that are opened and closed: each with many
//! seeds.
//!
//! A failure names its seeds; the same seed gives the same descriptors. `cargo run -p fdwatch
//! --example verdicts` prints the same as a table, and does the same with real processes.

#[allow(dead_code, reason = "each file of tests uses a part of it")]
mod simulation;

use simulation::Seed;
use simulation::descriptors::{Process, Said};
use simulation::scenarios::{Scenario, leaks, leaks_of_lone_files, short_leaks, steady};

fn watched(scenario: &Scenario, seed: u64) -> Said {
    let lives = (scenario.lives)(&mut Seed::new(seed), scenario.per_second, scenario.watch.seconds);
    Process::new(lives).watched(scenario.watch)
}

/// Fails with the seeds for which `is_right` does not hold, if they are more than `wrong_max` in a
/// hundred.
#[track_caller]
fn check(scenarios: &[Scenario], wrong_max: usize, is_right: impl Fn(&Scenario, &Said) -> bool) {
    for scenario in scenarios {
        let said = (0..scenario.seeds).map(|seed| (seed, watched(scenario, seed)));
        let wrong: Vec<(u64, Said)> = said.filter(|(_, said)| !is_right(scenario, said)).collect();
        let is_wrong = wrong.len() * 100 > wrong_max * scenario.seeds as usize;
        assert!(!is_wrong, "{} at {} a second: {wrong:?}", scenario.name, scenario.per_second);
    }
}

#[test]
fn every_leak_is_called_in_time() {
    check(&leaks(), 5, |scenario, said| said.is_in_time(scenario.per_second, false));
}

#[test]
fn a_leak_is_called_once_and_stays_called() {
    check(&leaks(), 0, |_, said| said.calls == 1 && said.withdrawn == 0 && said.is_called_at_end);
}

#[test]
fn files_that_are_opened_once_each_are_called_after_a_minute_and_a_half() {
    check(&leaks_of_lone_files(), 0, |scenario, said| {
        let is_late = said.called_s.is_none_or(|called_s| called_s > 100.0);
        said.calls == 1 && (!is_late || scenario.per_second < 1.0 && said.opened_when_called <= 60)
    });
}

#[test]
fn a_leak_of_a_command_of_five_seconds_is_called_at_its_end() {
    check(&short_leaks(), 0, |_, said| said.would_be_at_end && said.calls == 0);
}

#[test]
fn nothing_steady_is_called_in_an_hour() {
    check(&steady(), 0, |_, said| said.calls == 0);
}
