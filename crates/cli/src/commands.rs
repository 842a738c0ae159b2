//! The short commands.

use std::io::{self, Write};
use std::ops::Bound;
use std::path::Path;

use anyhow::Context;
use clap::CommandFactory;
use clap_complete::Shell;
use drystone_limits::Plan;
use drystone_local::{LocalStore, OpenError};
use drystone_store::{Condition, Key, ObjectRow, StoreError};
use serde::Serialize;

use crate::args::{Cli, InitArgs, LsArgs, PlanArgs, RmArgs, StatArgs};
use crate::exit::{Exit, Outcome, Usage};
use crate::open::{self, open};
use crate::output::{self, Output, size, utc};
use crate::serving::Serving;
use crate::settings::Settings;

/// Rows listed at a time.
const PAGE: usize = 1000;

pub(crate) fn init(settings: &Settings, args: &InitArgs, output: &Output) -> Outcome {
    let folder = settings.store()?;
    open::check_folder(folder)?;
    let chunking = args.chunk.or(settings.chunk).unwrap_or_default();
    // A chunking that this machine could never open is refused now, and not at the first put.
    open::plan(settings, chunking)?;
    LocalStore::init(folder, chunking)?;
    if output.json {
        output.json(&serde_json::json!({ "store": folder, "chunking": chunking.to_string() }))?;
    } else {
        output.note(format!("made a store in {} ({chunking})", folder.display()));
    }
    Ok(Exit::Success)
}

#[derive(Serialize)]
struct Listed<'a> {
    key: &'a str,
    size: u64,
    modified_ns: i64,
    mode: Option<u32>,
    media_type: Option<&'a str>,
    content: String,
}

impl<'a> Listed<'a> {
    fn new(object: &'a ObjectRow) -> Self {
        Self {
            key: object.key.as_str(),
            size: object.size,
            modified_ns: object.meta.modified_ns,
            mode: object.meta.mode,
            media_type: object.meta.media_type.as_deref(),
            content: object.content.to_string(),
        }
    }
}

pub(crate) fn ls(settings: &Settings, args: &LsArgs, output: &Output) -> Outcome {
    let open = open(settings)?;
    let mut out = io::BufWriter::new(output::stdout()?);
    let mut left = args.limit.unwrap_or(u64::MAX);
    if args.buckets {
        let mut after = None;
        loop {
            let page = open.store.buckets(after.as_ref(), PAGE)?;
            for bucket in page.iter().take(usize::try_from(left).unwrap_or(usize::MAX)) {
                if output.json {
                    let name = bucket.name.as_str();
                    let row = serde_json::json!({ "bucket": name, "public": bucket.public });
                    writeln!(out, "{row}")?;
                } else {
                    writeln!(out, "{}", bucket.name)?;
                }
            }
            left = left.saturating_sub(page.len() as u64);
            after = page.last().map(|bucket| bucket.name.clone());
            if page.len() < PAGE || left == 0 {
                break;
            }
        }
        out.flush()?;
        return Ok(Exit::Success);
    }
    let bucket = settings.bucket(&args.bucket)?;
    let mut after = args.after.clone();
    while left > 0 {
        let want = usize::try_from(left).unwrap_or(PAGE).min(PAGE);
        let from = after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let page = open.store.list(&bucket, &args.prefix, from, want)?;
        for object in &page {
            if output.json {
                // As an I/O error that keeps its cause: the serializer's own error does not say
                // where it comes from.
                serde_json::to_writer(&mut out, &Listed::new(object)).map_err(io::Error::from)?;
                writeln!(out)?;
            } else if args.long {
                writeln!(
                    out,
                    "{:>14}  {}  {}",
                    object.size,
                    utc(object.meta.modified_ns),
                    object.key
                )?;
            } else {
                writeln!(out, "{}", object.key)?;
            }
        }
        left -= page.len() as u64;
        after = page.last().map(|object| object.key.as_str().to_owned());
        if page.len() < want {
            break;
        }
    }
    out.flush()?;
    Ok(Exit::Success)
}

pub(crate) fn rm(settings: &Settings, args: &RmArgs, output: &Output) -> Outcome {
    let open = open(settings)?;
    let bucket = settings.bucket(&args.bucket)?;
    let (mut removed, mut missing) = (0_u64, 0_u64);
    for name in &args.names {
        let before = removed;
        if !name.ends_with('/') {
            let key = Key::new(name.as_str()).map_err(StoreError::Name)?;
            removed += u64::from(open.store.delete(&bucket, &key)?);
        }
        if args.recursive {
            let prefix = format!("{}/", name.trim_end_matches('/'));
            loop {
                let page = open.store.list(&bucket, &prefix, Bound::Unbounded, PAGE)?;
                let len = page.len();
                let objects: Vec<_> =
                    page.into_iter().map(|object| (object.key, Condition::Always)).collect();
                for deleted in open.store.delete_many(&bucket, &objects)? {
                    removed += u64::from(deleted?);
                }
                if len < PAGE {
                    break;
                }
            }
        }
        if removed == before {
            missing += 1;
            let hint = if args.recursive { "" } else { "; a folder needs --recursive" };
            let error = anyhow::anyhow!("no such object in bucket `{bucket}`{hint}");
            output.problem(Some(name), &error);
        }
    }
    if output.json {
        output.json(&serde_json::json!({ "removed": removed, "missing": missing }))?;
    } else {
        output
            .note(format!("removed {removed} objects; `drystone collect` gives their space back"));
    }
    Ok(if missing > 0 { Exit::NotFound } else { Exit::Success })
}

pub(crate) fn stat(settings: &Settings, args: &StatArgs, output: &Output) -> Outcome {
    let open = open(settings)?;
    let Some(name) = &args.name else {
        if args.bucket.bucket.is_some() {
            // Only reports a bucket that does not exist. The totals are those of the whole store,
            // because buckets share their chunks.
            open.store.list(&settings.bucket(&args.bucket)?, "", Bound::Unbounded, 1)?;
        }
        let totals = open.store.totals()?;
        let chunking = LocalStore::chunking(settings.store()?)?.to_string();
        if output.json {
            output.json(&serde_json::json!({
                "objects": totals.objects, "object_bytes": totals.object_bytes,
                "chunks": totals.chunks, "chunk_bytes": totals.chunk_bytes, "chunking": chunking,
            }))?;
        } else {
            output::print(format_args!(
                "objects   {} ({})\nchunks    {} ({})\nchunking  {chunking}\n",
                totals.objects,
                size(totals.object_bytes),
                totals.chunks,
                size(totals.chunk_bytes)
            ))?;
        }
        return Ok(Exit::Success);
    };
    let bucket = settings.bucket(&args.bucket)?;
    let key = Key::new(name.as_str()).map_err(StoreError::Name)?;
    let object = open.store.stat(&bucket, &key)?;
    if output.json {
        output.json(&Listed::new(&object))?;
        return Ok(Exit::Success);
    }
    let mut out = io::BufWriter::new(output::stdout()?);
    writeln!(out, "key       {}", object.key)?;
    writeln!(out, "bucket    {bucket}")?;
    writeln!(out, "size      {} ({})", object.size, size(object.size))?;
    writeln!(out, "modified  {} UTC", utc(object.meta.modified_ns))?;
    if let Some(mode) = object.meta.mode {
        writeln!(out, "mode      {mode:04o}")?;
    }
    if let Some(media_type) = &object.meta.media_type {
        writeln!(out, "type      {media_type}")?;
    }
    writeln!(out, "content   {}", object.content)?;
    out.flush()?;
    Ok(Exit::Success)
}

pub(crate) fn plan(settings: &Settings, args: &PlanArgs, output: &Output) -> Outcome {
    let chunking = match (&settings.store, args.chunk) {
        (_, Some(chunking)) => chunking,
        // A store that does not exist yet will be cut by the default.
        (Some(folder), None) => {
            open::check_folder(folder)?;
            match LocalStore::chunking(folder) {
                Err(OpenError::NotAStore(_)) => settings.chunk.unwrap_or_default(),
                found => found?,
            }
        }
        (None, None) => settings.chunk.unwrap_or_default(),
    };
    let plan = if args.serve {
        open::plan_serving(
            settings,
            chunking,
            &Serving::resolve(&args.serving, &settings.file),
            args.tls,
        )?
    } else {
        open::plan(settings, chunking)?
    };
    let descriptors_open = fdwatch::own().ok();
    if output.json {
        output.json(&Planned { plan: &plan, descriptors_open })?;
        return Ok(Exit::Success);
    }
    let mut text = plan.to_string();
    if let Some(open) = descriptors_open {
        let ceiling = ceiling(&plan);
        text.push_str(&format!(
            "\n{open} of {ceiling} descriptors are open now: inherited, or this command's own\n"
        ));
    }
    output::print(text)?;
    Ok(Exit::Success)
}

/// A plan, and how much of it is in use before any work is done.
#[derive(Serialize)]
struct Planned<'a> {
    #[serde(flatten)]
    plan: &'a Plan,
    descriptors_open: Option<u64>,
}

fn ceiling(plan: &Plan) -> String {
    match plan.descriptors_ceiling {
        u64::MAX => "unlimited".to_owned(),
        ceiling => ceiling.to_string(),
    }
}

pub(crate) fn completions(shell: Shell) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "drystone", &mut script);
    output::stdout()?.write_all(&script)?;
    Ok(Exit::Success)
}

pub(crate) fn man(folder: &Path) -> Outcome {
    if !folder.is_dir() {
        return Err(Usage(format!("{} is not a folder", folder.display())).into());
    }
    clap_mangen::generate_to(Cli::command(), folder)
        .with_context(|| format!("cannot write the pages into {}", folder.display()))?;
    Ok(Exit::Success)
}
