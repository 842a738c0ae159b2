//! `drystone collect`: gives space back.

use std::time::Duration;

use drystone_store::{CollectOptions, CollectStage, Collected, Pace, StoreError};
use serde::Serialize;

use crate::args::CollectArgs;
use crate::exit::{Exit, Interrupted, Outcome};
use crate::heartbeat::LEASE_MS;
use crate::interrupt::Interrupt;
use crate::open::open;
use crate::output::{self, Output, size};
use crate::progress::Progress;
use crate::settings::Settings;

/// How often it is looked again whether a session has ended.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What is printed with `--json`.
#[derive(Serialize)]
struct Report {
    dry_run: bool,
    manifests: u64,
    chunks: u64,
    chunk_bytes: u64,
    segments_rewritten: u64,
    copied_bytes: u64,
    segments_removed: u64,
    removed_bytes: u64,
    strays_removed: u64,
    busy: u64,
    pardoned: u64,
    unreadable: u64,
    condemned_manifests: u64,
    condemned_chunks: u64,
    condemned_bytes: u64,
    live_bytes: u64,
    dead_bytes: u64,
    partial: bool,
}

impl Report {
    fn new(done: &Collected, dry_run: bool) -> Self {
        Self {
            dry_run,
            manifests: done.manifests,
            chunks: done.chunks,
            chunk_bytes: done.chunk_bytes,
            segments_rewritten: done.rewritten,
            copied_bytes: done.copied_bytes,
            segments_removed: done.removed,
            removed_bytes: done.removed_bytes,
            strays_removed: done.strays,
            busy: done.busy,
            pardoned: done.pardoned,
            unreadable: done.unreadable,
            condemned_manifests: done.left.manifests,
            condemned_chunks: done.left.chunks,
            condemned_bytes: done.left.bytes,
            live_bytes: done.live_bytes,
            dead_bytes: done.dead_bytes,
            partial: done.is_partial,
        }
    }
}

pub(crate) fn run(settings: &Settings, args: &CollectArgs, output: &Output) -> Outcome {
    let interrupt = Interrupt::catch(output)?;
    let open = open(settings)?;
    let options = CollectOptions {
        dry_run: args.dry_run,
        full: args.full,
        despite_damage: args.despite_damage,
        dead_percent_max: args.dead_percent,
        lease_ms: LEASE_MS,
    };
    let progress = Progress::new(output, None);
    let patience = Duration::from_secs(args.wait);
    let mut waited = Duration::ZERO;
    let mut shown = 0;
    let done = open.store.collect(options, &mut |stage, done| {
        if interrupt.check().is_err() {
            return Pace::Stop;
        }
        progress.advance(done.copied_bytes.saturating_sub(shown));
        shown = done.copied_bytes.max(shown);
        progress.say(told(stage, done));
        if !matches!(stage, CollectStage::Wait(_)) {
            return Pace::GoOn;
        }
        if waited >= patience {
            return Pace::DoNotWait;
        }
        std::thread::sleep(LOOK_EVERY);
        waited += LOOK_EVERY;
        Pace::GoOn
    });
    progress.finish();
    let done = done.map_err(advise)?;
    if output.json {
        let summary = Report::new(&done, args.dry_run);
        output.json(&serde_json::json!({ "summary": summary }))?;
    } else if args.dry_run {
        output::print(dry_run(&done))?;
    } else {
        output::print(summary(&done))?;
    }
    if interrupt.check().is_err() {
        return Err(Interrupted.into());
    }
    if done.unreadable > 0 {
        output.note(format!(
            "{} rows or chunks cannot be read and stay; `drystone scrub` names the objects",
            done.unreadable
        ));
        return Ok(Exit::Damaged);
    }
    if done.is_full {
        output.note(
            "the disk is full: what could be removed is removed; free some space, and run it again \
             to rewrite segments with dead bytes",
        );
        return Ok(Exit::DiskFull);
    }
    if done.busy > 0 && !args.dry_run {
        output.note(format!(
            "{} segments with dead bytes are in use by another process, which gives their space \
             back itself",
            done.busy
        ));
    }
    if done.is_partial {
        output.note(
            "uploads or downloads that began before are still under way; what they may need stays \
             until the next collect",
        );
        return Ok(Exit::Partial);
    }
    Ok(Exit::Success)
}

fn advise(error: StoreError) -> anyhow::Error {
    let is_missing = matches!(error, StoreError::MissingSegment(_));
    let error = anyhow::Error::from(error);
    if !is_missing {
        return error;
    }
    error.context(
        "nothing was changed. Put the segment back; or, if it is lost, let `drystone scrub` name \
         what was in it, and run `drystone collect --despite-damage`",
    )
}

fn told(stage: CollectStage, done: &Collected) -> String {
    match stage {
        CollectStage::Condemn => "looking for what nothing names".to_owned(),
        CollectStage::Sweep => format!("{} chunks removed", done.chunks),
        CollectStage::Rewrite => format!("{} segments rewritten", done.rewritten),
        CollectStage::Remove => format!("{} segments removed", done.removed),
        CollectStage::Wait(_) => "waiting for uploads and downloads under way".to_owned(),
    }
}

fn summary(done: &Collected) -> String {
    format!(
        "swept      {} chunks ({}) of {} objects or uploads\nrewritten  {} segments ({} copied)\n\
         removed    {} segments ({})\nin use     {}, and {} dead\n",
        done.chunks,
        size(done.chunk_bytes),
        done.manifests,
        done.rewritten,
        size(done.copied_bytes),
        done.removed + done.strays,
        size(done.removed_bytes),
        size(done.live_bytes),
        size(done.dead_bytes),
    )
}

fn dry_run(done: &Collected) -> String {
    format!(
        "to sweep   {} chunks ({}) and {} objects or uploads whose chunks are not counted yet\n\
         in use     {}, and {} dead\n",
        done.left.chunks,
        size(done.left.bytes),
        done.left.manifests,
        size(done.live_bytes),
        size(done.dead_bytes),
    )
}
