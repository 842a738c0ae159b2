//! `scrub`: verifies every chunk, names what is damaged, and heals it from elsewhere.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use drystone_local::{LocalConfig, LocalStore};
use drystone_store::{Affected, ChunkRef, PlacedChunk, ScrubAsk, ScrubCounts, Store, StoreConfig};
use serde::Serialize;

use crate::args::ScrubArgs;
use crate::exit::{Exit, Outcome, Usage};
use crate::heartbeat::{Heartbeat, LEASE_MS};
use crate::interrupt::Interrupt;
use crate::open::open;
use crate::output::{self, Output, size};
use crate::progress::Progress;
use crate::settings::Settings;

/// How often it is kept where the scrub is.
const SAVE: Duration = Duration::from_secs(5);
/// How long a signal is not noticed while the rate is kept.
const NAP: Duration = Duration::from_millis(50);
/// Damaged chunks listed at a time.
const PAGE: usize = 256;

pub(crate) fn run(settings: &Settings, args: &ScrubArgs, output: &Output) -> Outcome {
    let interrupt = Interrupt::catch(output)?;
    let store = open(settings)?.store;
    match &args.repair_from {
        Some(from) => repair(&store, settings.store()?, from, &interrupt, output),
        None => scrub(&store, args, &interrupt, output),
    }
}

#[derive(Serialize)]
struct Summary {
    chunks: u64,
    bytes: u64,
    damaged: u64,
    well_again: u64,
    finished: bool,
}

fn scrub(store: &Store, args: &ScrubArgs, interrupt: &Interrupt, output: &Output) -> Outcome {
    let mut scrub = store.scrub(&ScrubAsk { since_ms: args.since, restart: args.restart })?;
    let before = scrub.round().counts;
    // How much is left out is not known before it is.
    let total = match scrub.round().since_ms {
        None => Some(store.chunk_bytes()?),
        Some(_) => None,
    };
    if before != ScrubCounts::default() {
        let done = size(before.bytes);
        output.note(format!(
            "going on with the scrub before, which has read {done}; --restart begins anew"
        ));
    }
    let progress = Progress::new(output, total);
    progress.advance(before.bytes);
    let began = Instant::now();
    let mut saved = began;
    let mut read = before.bytes;
    let mut is_over = false;
    while interrupt.check().is_ok() {
        let Some(bad) = scrub.step()? else {
            is_over = true;
            break;
        };
        for bad in bad {
            progress.suspend(|| tell(store, &bad.chunk, Some(&bad.detail), output))?;
        }
        let counts = scrub.round().counts;
        progress.advance(counts.bytes - read);
        read = counts.bytes;
        if saved.elapsed() >= SAVE {
            scrub.save()?;
            saved = Instant::now();
        }
        if let Some(rate) = args.rate {
            keep_rate(began, read - before.bytes, rate, interrupt);
        }
    }
    progress.finish();
    if !is_over {
        scrub.save()?;
    }
    let ScrubCounts { chunks, bytes, bad, well_again } = scrub.round().counts;
    if output.json {
        let summary = Summary { chunks, bytes, damaged: bad, well_again, finished: is_over };
        output.report(&serde_json::json!({ "summary": summary }))?;
    } else {
        let well = match well_again {
            0 => String::new(),
            _ => format!(", {well_again} were and are whole again"),
        };
        let how =
            if is_over { "scrubbed" } else { "interrupted; the next scrub goes on here, after" };
        output.note(format!("{how} {chunks} chunks ({}): {bad} are damaged{well}", size(bytes)));
    }
    if bad > 0 {
        output.note(
            "put the same bytes again to heal them, or run `drystone scrub --repair-from FILE` \
             with a file or a store that has them",
        );
    }
    Ok(match (is_over, bad) {
        (false, _) => Exit::Interrupted,
        (true, 0) => Exit::Success,
        (true, _) => Exit::Damaged,
    })
}

/// Waits until so many bytes may have been read.
fn keep_rate(began: Instant, bytes: u64, rate: u64, interrupt: &Interrupt) {
    let due = Duration::try_from_secs_f64(bytes as f64 / rate as f64).unwrap_or(Duration::MAX);
    while let Some(left) = due.checked_sub(began.elapsed())
        && !left.is_zero()
        && interrupt.check().is_ok()
    {
        std::thread::sleep(left.min(NAP));
    }
}

#[derive(Serialize)]
struct Damaged<'a> {
    chunk: Option<String>,
    segment: u64,
    offset: u64,
    bytes: u32,
    detail: Option<&'a str>,
}

#[derive(Serialize)]
struct In<'a> {
    bucket: &'a str,
    key: &'a str,
    offset: u64,
    upload: Option<u64>,
    part: Option<u32>,
}

/// Prints a damaged chunk, and everything that it is in.
fn tell(
    store: &Store,
    chunk: &PlacedChunk,
    detail: Option<&str>,
    output: &Output,
) -> anyhow::Result<()> {
    let id = chunk.name.map(|(id, _)| id.to_string());
    let (segment, offset, bytes) = (chunk.segment.0, chunk.offset, chunk.at().len);
    if output.json {
        output.json(&serde_json::json!({
            "damaged": Damaged { chunk: id.clone(), segment, offset, bytes, detail }
        }))?;
    } else {
        let detail = detail.map_or(String::new(), |detail| format!(": {detail}"));
        let name = id.as_deref().unwrap_or("without a name");
        output::print(format_args!(
            "damaged chunk {name} in segment {segment} at {offset}{detail}\n"
        ))?;
    }
    let mut count = 0_u64;
    let mut failed = Ok(());
    let named = store.affected(chunk, &mut |affected| {
        count += 1;
        if failed.is_ok() {
            failed = tell_affected(affected, id.as_deref(), output);
        }
    });
    failed?;
    if let Err(error) = named {
        // The other chunks matter more than the rest of this one's objects.
        output.problem(None, &anyhow::Error::new(error).context("not everything that it is in"));
    } else if count == 0 && !output.json {
        output::print("  no object has it\n")?;
    }
    Ok(())
}

fn tell_affected(affected: &Affected, chunk: Option<&str>, output: &Output) -> std::io::Result<()> {
    let Affected { owner, offset } = affected;
    let (bucket, key) = (owner.bucket.as_str(), owner.key.as_str());
    if output.json {
        let (upload, part) = owner.part.map(|(upload, number)| (upload.0, number)).unzip();
        let affected = In { bucket, key, offset: *offset, upload, part };
        return output.json(&serde_json::json!({ "affected": affected, "chunk": chunk }));
    }
    let key = key.escape_debug();
    output::print(match owner.part {
        None => format!("  object `{key}` in bucket `{bucket}`, from byte {offset}\n"),
        Some((upload, number)) => format!(
            "  part {number} of the unfinished upload {upload} of `{key}` in bucket `{bucket}`, \
             from byte {offset}\n"
        ),
    })
}

/// Heals what is marked with what is in a file or a store, and prints what stays damaged.
fn repair(
    store: &Store,
    folder: &Path,
    from: &Path,
    interrupt: &Interrupt,
    output: &Output,
) -> Outcome {
    let other = match from.is_dir() {
        true => Some(open_to_read(folder, from)?),
        false => None,
    };
    let mut file = match other {
        Some(_) => None,
        None => Some(File::open(from).with_context(|| format!("cannot read {}", from.display()))?),
    };
    let healer = store.healer(LEASE_MS)?;
    let heartbeat = Heartbeat::of_upload(healer.handle())?;
    let total = file.as_ref().and_then(|file| file.metadata().ok()).map(|meta| meta.len());
    let progress = Progress::new(output, total);
    let mut each = |bytes| {
        progress.advance(bytes);
        interrupt.check().is_ok()
    };
    let healed = match (&other, &mut file) {
        (Some(other), _) => healer.from_store(other, &mut each)?,
        (None, Some(file)) => healer
            .from_reader(file, &mut each)?
            .with_context(|| format!("cannot read {}", from.display()))?,
        (None, None) => 0,
    };
    drop(heartbeat);
    progress.finish();
    let (mut left, mut after) = (0_u64, ChunkRef(0));
    loop {
        let page = store.damaged(after, PAGE)?;
        for chunk in &page {
            left += 1;
            after = chunk.chunk;
            tell(store, chunk, None, output)?;
        }
        if page.len() < PAGE {
            break;
        }
    }
    if output.json {
        let summary = serde_json::json!({ "healed": healed, "damaged": left });
        output.report(&serde_json::json!({ "summary": summary }))?;
    } else if healed == 0 && left == 0 {
        output.note("no chunk is marked as damaged; `drystone scrub` looks for damage");
    } else {
        output.note(format!("healed {healed} chunks; {left} stay damaged"));
    }
    if interrupt.check().is_err() {
        return Ok(Exit::Interrupted);
    }
    Ok(if left > 0 { Exit::Damaged } else { Exit::Success })
}

/// Another store, with as little memory as will do, because the plan is for this one.
fn open_to_read(folder: &Path, from: &Path) -> anyhow::Result<Store> {
    let same = |path: &Path| path.canonicalize().ok();
    if same(folder).is_some_and(|folder| same(from) == Some(folder)) {
        let text = "a store cannot be repaired from itself; name another one, or a file";
        return Err(Usage(text.to_owned()).into());
    }
    let config =
        LocalConfig { readers: 1, segment_readers: 1, read_only: true, ..LocalConfig::default() };
    let local = LocalStore::open(from, &config)?;
    let config = StoreConfig {
        chunking: local.chunking,
        workers: 1,
        buffers: 2,
        ingests: 1,
        buffer_bytes: local.chunking.chunk_bytes_max() + 1,
        read_ahead_max: 1,
        commit_queue_bytes: 1 << 16,
    };
    Ok(Store::new(local.records, local.segments, config)?)
}
