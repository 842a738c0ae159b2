//! `cargo xtask verify`: runs the stages one after another and closes with one table.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use clap::builder::PossibleValuesParser;

use crate::process::Talk;
use crate::report::{Report, Row};
use crate::stage::{Context, Mode, Outcome, Stage, Verdict};
use crate::stages::STAGES;

/// How many lines of a failed stage's log are shown.
const TAIL_LINES: usize = 60;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Everything that fits into about ten minutes (the default)
    #[arg(long, conflicts_with = "full")]
    quick: bool,
    /// Also what takes longer; installs missing tools
    #[arg(long)]
    full: bool,
    /// Run only this stage; may be repeated
    #[arg(long = "stage", value_name = "NAME", value_parser = stage_names())]
    stages: Vec<String>,
    /// Count anything skipped as a failure
    #[arg(long)]
    strict: bool,
    /// Print the report as JSON on stdout, everything else on stderr
    #[arg(long)]
    json: bool,
}

fn stage_names() -> PossibleValuesParser {
    PossibleValuesParser::new(STAGES.iter().map(|stage| stage.name))
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let mode = if args.full { Mode::Full } else { Mode::Quick };
    let talk = if args.json { Talk::Stderr } else { Talk::Stdout };
    let mut context = Context::new(mode, talk)?;
    context.asked = args.stages.iter().cloned().collect();
    let chosen: Vec<&Stage> = STAGES.iter().filter(|stage| is_chosen(stage, &context)).collect();

    let mut report = Report::new(mode, args.strict);
    for stage in chosen {
        report.push(run_stage(stage, &context));
    }
    talk.line(report.table());
    if args.json {
        Talk::Stdout.line(serde_json::to_string_pretty(&report)?);
    }
    Ok(if report.is_green() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn is_chosen(stage: &Stage, context: &Context) -> bool {
    if context.asked.is_empty() { (stage.listed)(context) } else { context.is_asked(stage.name) }
}

fn run_stage(stage: &Stage, context: &Context) -> Row {
    let started = Instant::now();
    let outcome = if context.runner.interrupted() {
        Outcome::skipped("interrupted")
    } else {
        context.talk.line(format!("{:8} {} ...", stage.name, stage.about));
        (stage.run)(context).unwrap_or_else(|error| Outcome::failed(format!("{error:#}")))
    };
    let row = Row::new(stage.name, context.mode, outcome, started.elapsed());
    for note in &row.outcome.notes {
        context.talk.line(format!("    {note}"));
    }
    if let Verdict::Failed(reason) = &row.outcome.verdict {
        show_failure(stage.name, reason, context);
    }
    context.talk.line(format!("{:8} {} ({:.1} s)", stage.name, row.verdict(), row.seconds));
    row
}

fn show_failure(stage: &str, reason: &str, context: &Context) {
    let log = context.target.join("verify").join(format!("{stage}.log"));
    context.talk.line(format!("---- {stage} FAILED: {reason}"));
    let tail = crate::process::tail(&log, TAIL_LINES);
    if !tail.is_empty() {
        context.talk.line(format!("---- the end of {}:", log.display()));
        context.talk.line(tail);
        context.talk.line("----");
    }
}
