//! Few descriptors: a folder of many files goes in and out with `ulimit -n 32`.

use std::path::Path;

use anyhow::Result;

use super::Setup;
use super::content::Content;
use super::shipped::{Desk, args, judged, violation};
use crate::process::Log;
use crate::stage::{Mode, Outcome, minutes};

const FILES_QUICK: u64 = 3_000;
const FILES_FULL: u64 = 20_000;
const FILES_PER_FOLDER: u64 = 250;
const DESCRIPTORS: u64 = 32;

pub(super) fn run(setup: &Setup<'_>) -> Result<Outcome> {
    let files = if setup.context.mode == Mode::Full { FILES_FULL } else { FILES_QUICK };
    let folder = setup.folder("descriptors")?;
    for file in 0..files {
        content(file).write(&folder.join("tree").join(name(file)))?;
    }
    let log = Log::create(&setup.logs(), "descriptors")?;
    let store = folder.join("store");
    let desk =
        Desk { context: setup.context, binary: &setup.binary, store, folder: folder.clone(), log };
    let counted = format!("{files} files");
    Ok(match judged(there_and_back(&desk, &folder, files))? {
        Ok(planned) => {
            let note =
                format!("{planned} of {DESCRIPTORS} descriptors planned, no put or get refused");
            Outcome { passed: 1, notes: vec![note], ..Outcome::ok(counted) }
        }
        Err(reason) => {
            let again =
                format!("again: cargo xtask faults --part descriptors{}", setup.full_flag());
            Outcome::ok(counted).fail(format!("{reason}; {again}"))
        }
    })
}

fn there_and_back(desk: &Desk<'_>, folder: &Path, files: u64) -> Result<u64> {
    desk.ok(args!["init"])?;
    let limited = |words: &[&std::ffi::OsStr]| {
        let script = format!("ulimit -n {DESCRIPTORS} && exec \"$@\"");
        let mut command = desk.wrapped(args!["sh", "-c", script, "sh"]);
        // Each worker has a segment open. On a machine with many CPUs there would be too many for
        // this limit.
        command.args(args!["--workers", "2"]).args(words);
        desk.ok_command(command, minutes(5))
    };
    let plan = limited(args!["--json", "plan"])?;
    let value: serde_json::Value = serde_json::from_str(plan.output.trim())?;
    let planned = value["descriptors_total"].as_u64().unwrap_or(u64::MAX);
    if planned > DESCRIPTORS || value["descriptors_ceiling"].as_u64() != Some(DESCRIPTORS) {
        return Err(plan.violates("does not plan for the limit"));
    }
    limited(args!["put", "tree"])?;
    limited(args!["get", "tree", "into"])?;
    for file in 0..files {
        if !content(file).is_in(&folder.join("into/tree").join(name(file))) {
            return Err(violation(format!("tree/{} was not restored as it was", name(file))));
        }
    }
    Ok(planned)
}

fn name(file: u64) -> String {
    format!("{:03}/{file:05}", file / FILES_PER_FOLDER)
}

fn content(file: u64) -> Content {
    Content { seed: file, bytes: file * 7 % 400 }
}
