//! The deny stage: licences, bans and sources of every dependency, and advisories where their
//! database can be had.

use std::process::Command;

use anyhow::Result;

use crate::cargo_stages::judged;
use crate::process::Finished;
use crate::stage::{Context, Mode, Outcome, minutes};
use crate::tools::CARGO_DENY;

pub(crate) fn stage(context: &Context) -> Result<Outcome> {
    let log = context.log("deny")?;
    let required = context.mode == Mode::Full || context.is_asked("deny");
    let tool = match CARGO_DENY.ensure(context, &log) {
        Ok(tool) => tool,
        Err(error) if required => return Err(error),
        Err(error) => return Ok(Outcome::skipped(format!("{error:#}"))),
    };
    let deny = |args: &[&str]| -> Result<Finished> {
        let mut command = Command::new(&tool);
        command.current_dir(&context.root).args(["--locked", "--color", "never"]).args(args);
        context.runner.run(command, &log, minutes(5))
    };

    let done = deny(&["check", "bans", "licenses", "sources"])?;
    let outcome = judged(&done, Outcome::ok(format!("{} packages", packages(context)?)));
    if !done.succeeded() {
        return Ok(outcome);
    }
    if !deny(&["fetch", "db"])?.succeeded() {
        let mut outcome = outcome;
        outcome.counted.push_str(", advisories NOT checked");
        outcome
            .notes
            .push("advisories not checked: their database could not be fetched".to_owned());
        outcome.skipped += 1;
        return Ok(outcome);
    }
    let done = deny(&["--offline", "check", "advisories"])?;
    let mut outcome = judged(&done, outcome);
    outcome.counted.push_str(" with advisories");
    Ok(outcome)
}

/// The packages in Cargo.lock that come from elsewhere.
fn packages(context: &Context) -> Result<usize> {
    let lock = std::fs::read_to_string(context.root.join("Cargo.lock"))?;
    Ok(lock.lines().filter(|line| line.starts_with("source = ")).count())
}
