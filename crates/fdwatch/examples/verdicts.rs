//! When leaks are called, and whether anything else is: a table for `docs/fdwatch.md`.
//!
//! `cargo run -p fdwatch --example verdicts [simulated [TIMES [NAME]] | real | by-counts]`
//!
//! - `simulated`: the scenarios of `tests/simulation/scenarios.rs`, each with many seeds, or TIMES
//!   as many; a minute or two.
//! - `real`: the same descriptors in real processes, all at once, in two minutes; they end with
//!   this process.
//! - `by-counts`: simulated, but judged as where nothing but the number is known.

#[path = "verdicts/child.rs"]
mod child;
#[path = "verdicts/real.rs"]
mod real;
#[path = "../tests/simulation/mod.rs"]
#[allow(dead_code, reason = "the tests use the rest of it")]
mod simulation;
#[path = "verdicts/table.rs"]
mod table;

use simulation::Seed;
use simulation::descriptors::{Process, Said};
use simulation::scenarios::{Scenario, leaks, leaks_of_lone_files, short_leaks, steady};

pub(crate) type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["child", ref what @ ..] => return child::run(what),
        ["real"] => return real::run(),
        ["by-counts"] => simulated(1, "", |process, scenario| process.counted(scenario.watch)),
        ["simulated"] => simulated(1, "", |process, scenario| process.watched(scenario.watch)),
        ["simulated", times, ref name @ ..] => {
            simulated(times.parse()?, &name.join(" "), |process, scenario| {
                process.watched(scenario.watch)
            });
        }
        _ => {
            simulated(1, "", |process, scenario| process.watched(scenario.watch));
            return real::run();
        }
    }
    Ok(())
}

fn simulated(times: u64, name: &str, watch: impl Fn(Process, &Scenario) -> Said) {
    table::write_head("simulated");
    let all = leaks().into_iter().chain(leaks_of_lone_files()).chain(short_leaks()).chain(steady());
    for scenario in all.filter(|scenario| scenario.name.contains(name)) {
        let said = (0..times * scenario.seeds).map(|seed| {
            let seconds = scenario.watch.seconds;
            let lives = (scenario.lives)(&mut Seed::new(seed), scenario.per_second, seconds);
            watch(Process::new(lives), &scenario)
        });
        let said: Vec<Said> = said.collect();
        table::write_row(scenario.name, scenario.per_second, scenario.is_short(), &said);
    }
}
