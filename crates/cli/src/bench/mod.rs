//! `bench`: the story's comparison, against the raw write limit of the same run.
//!
//! Strategies take turns, round after round, so that all of them see the same machine; ratios are
//! taken within a round and the median of the rounds is printed.

mod measure;
mod source;
mod strategies;

use std::io::Write;

use anyhow::Context;
use serde::Serialize;

use crate::args::{BenchArgs, BenchData};
use crate::bench::measure::{Cost, Meter, prepare};
use crate::bench::source::BenchBytes;
use crate::bench::strategies::Strategy;
use crate::exit::{Exit, Outcome, Usage};
use crate::interrupt::Interrupt;
use crate::output::{self, Output, size};
use crate::settings::Settings;

/// Bytes of the warm-up round, which is not counted.
const WARM_UP_BYTES: u64 = 64 << 20;

#[derive(Serialize)]
struct Line {
    strategy: String,
    mb_per_s: f64,
    /// The rate, divided by the raw write limit of the same round.
    ratio: Option<f64>,
    peak_rss_bytes: u64,
    allocations: u64,
    allocated_bytes: u64,
}

pub(crate) fn run(settings: &Settings, args: &BenchArgs, output: &Output) -> Outcome {
    if args.size == 0 {
        return Err(Usage("--size must not be 0".into()).into());
    }
    let wanted = |strategy: &Strategy| {
        args.only.as_ref().is_none_or(|text| strategy.name().contains(text.as_str()))
    };
    // The limit is always measured: a rate without it says nothing about drystone.
    let strategies: Vec<Strategy> =
        Strategy::all().into_iter().filter(|s| s.is_raw() || wanted(s)).collect();
    let interrupt = Interrupt::catch(output)?;
    prepare();
    let base = args.dir.clone().unwrap_or_else(std::env::temp_dir);
    let folder = base.join(format!("drystone-bench-{}", std::process::id()));
    let mut rounds: Vec<Vec<Cost>> = Vec::new();
    for round in 0..=args.rounds {
        let bytes = if round == 0 { args.size.min(WARM_UP_BYTES) } else { args.size };
        let source = BenchBytes::new(args.data, bytes);
        let mut costs = Vec::with_capacity(strategies.len());
        for strategy in &strategies {
            interrupt.check()?;
            std::fs::create_dir(&folder)
                .with_context(|| format!("cannot create {}", folder.display()))?;
            let mut meter = None;
            let ran = strategy
                .run(settings, source.clone(), &folder, &mut || meter = Some(Meter::begin()));
            let cost = meter.map(|meter| meter.end()).unwrap_or_default();
            let removed = std::fs::remove_dir_all(&folder);
            ran.with_context(|| strategy.name())?;
            removed.with_context(|| format!("cannot remove {}", folder.display()))?;
            costs.push(cost);
        }
        if round > 0 {
            rounds.push(costs);
        }
    }
    let lines = lines(&strategies, &rounds, args.size);
    print(&lines, args, output)?;
    Ok(Exit::Success)
}

fn lines(strategies: &[Strategy], rounds: &[Vec<Cost>], bytes: u64) -> Vec<Line> {
    let rate = |cost: &Cost| bytes as f64 / 1e6 / cost.time.as_secs_f64().max(1e-9);
    let limit = |round: &[Cost]| {
        let raw = strategies.iter().zip(round).filter(|(strategy, _)| strategy.is_raw());
        raw.map(|(_, cost)| rate(cost)).fold(0.0, f64::max)
    };
    let line = |(index, strategy): (usize, &Strategy)| {
        let over = |value: &dyn Fn(&[Cost]) -> f64| {
            median(rounds.iter().map(|round| value(round)).collect())
        };
        Line {
            strategy: strategy.name(),
            mb_per_s: over(&|round| rate(&round[index])),
            ratio: (*strategy != Strategy::CutAlone)
                .then(|| over(&|round| rate(&round[index]) / limit(round))),
            peak_rss_bytes: over(&|round| round[index].peak_rss as f64) as u64,
            allocations: over(&|round| round[index].allocations as f64) as u64,
            allocated_bytes: over(&|round| round[index].allocated_bytes as f64) as u64,
        }
    };
    strategies.iter().enumerate().map(line).collect()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        len if len % 2 == 1 => values[len / 2],
        len => (values[len / 2 - 1] + values[len / 2]) / 2.0,
    }
}

fn print(lines: &[Line], args: &BenchArgs, output: &Output) -> anyhow::Result<()> {
    let data = match args.data {
        BenchData::Unique => "unique",
        BenchData::Constant => "constant",
    };
    if output.json {
        #[derive(Serialize)]
        struct Report<'a> {
            bytes: u64,
            data: &'a str,
            rounds: u16,
            strategies: &'a [Line],
        }
        return Ok(output.json(&Report {
            bytes: args.size,
            data,
            rounds: args.rounds,
            strategies: lines,
        })?);
    }
    let mut out = std::io::BufWriter::new(output::stdout()?);
    writeln!(
        out,
        "{} of {data} data, medians of {} rounds, written and not synced",
        size(args.size),
        args.rounds
    )?;
    writeln!(
        out,
        "{:<38} {:>8} {:>9} {:>11} {:>8} {:>11}",
        "strategy", "MB/s", "of limit", "peak RSS", "allocs", "allocated"
    )?;
    for line in lines {
        writeln!(
            out,
            "{:<38} {:>8.0} {:>9} {:>11} {:>8} {:>11}",
            line.strategy,
            line.mb_per_s,
            line.ratio.map_or_else(|| "-".into(), |ratio| format!("{ratio:.2}")),
            size(line.peak_rss_bytes),
            line.allocations,
            size(line.allocated_bytes)
        )?;
    }
    writeln!(
        out,
        "The limit is the fastest raw write of the same round: the same bytes from reused \
         buffers, no hashing."
    )?;
    Ok(out.flush()?)
}
