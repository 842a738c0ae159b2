//! `bucket`: makes, lists, changes and removes buckets.

use std::io::{self, Write};

use drystone_store::{BucketName, BucketRow, NewBucket, Store, StoreError};
use serde::Serialize;

use crate::args::{BucketCommand, BucketSetArgs};
use crate::exit::{Exit, Outcome};
use crate::open;
use crate::output::{self, Output};
use crate::settings::Settings;

/// Buckets that are read at a time.
const PAGE: usize = 256;

pub(crate) fn run(settings: &Settings, command: &BucketCommand, output: &Output) -> Outcome {
    // A wrong name is refused before the store is opened.
    let named = |name: &String| BucketName::new(name).map_err(StoreError::Name);
    match command {
        BucketCommand::Create { name, public } => {
            let name = named(name)?;
            create(&open::open(settings)?.store, &name, *public, output)
        }
        BucketCommand::List => list(&open::open(settings)?.store, output),
        BucketCommand::Set(args) => {
            let name = named(&args.name)?;
            set(&open::open(settings)?.store, &name, args, output)
        }
        BucketCommand::Rm { name } => {
            let name = named(name)?;
            remove(&open::open(settings)?.store, &name, output)
        }
    }
}

fn create(store: &Store, name: &BucketName, public: bool, output: &Output) -> Outcome {
    let new = NewBucket { public, ..NewBucket::named(name.clone()) };
    if !store.make_bucket(&new)? {
        anyhow::bail!(
            "there is a bucket `{name}` already; `drystone bucket set {name}` changes it"
        );
    }
    say(output, name, Some(public), "made")
}

fn set(store: &Store, name: &BucketName, args: &BucketSetArgs, output: &Output) -> Outcome {
    store.set_bucket_public(name, args.public)?;
    say(output, name, Some(args.public), "changed")
}

fn remove(store: &Store, name: &BucketName, output: &Output) -> Outcome {
    match store.delete_bucket(name) {
        Err(StoreError::BucketNotEmpty(_)) => anyhow::bail!(
            "the bucket `{name}` has objects: `drystone ls --bucket {name}` lists them, \
             `drystone rm --recursive --bucket {name} NAME` removes objects and folders"
        ),
        removed => removed?,
    }
    say(output, name, None, "removed")
}

/// Tells what became of a bucket: its state, or `None` when it was removed.
fn say(output: &Output, name: &BucketName, public: Option<bool>, what: &str) -> Outcome {
    if output.json {
        output.report(
            &serde_json::json!({ "bucket": name.as_str(), "public": public, "done": what }),
        )?;
    } else {
        let state = public.map_or(String::new(), |public| format!("; it is {}", word(public)));
        output.note(format_args!("{what} the bucket `{name}`{state}"));
    }
    Ok(Exit::Success)
}

fn word(public: bool) -> &'static str {
    if public { "public" } else { "private" }
}

fn list(store: &Store, output: &Output) -> Outcome {
    #[derive(Serialize)]
    struct Line<'a> {
        bucket: &'a str,
        public: bool,
        created: String,
        /// The region that the S3 client named when it made the bucket; null is the default region.
        region: Option<&'a str>,
    }
    let mut out = io::BufWriter::new(output::stdout()?);
    let mut after: Option<BucketName> = None;
    loop {
        let page = store.buckets(after.as_ref(), PAGE)?;
        for BucketRow { name, created_ms, public, region } in &page {
            let created = output::utc_of_ms(*created_ms);
            if output.json {
                let line = Line {
                    bucket: name.as_str(),
                    public: *public,
                    created,
                    region: region.as_deref(),
                };
                serde_json::to_writer(&mut out, &line).map_err(io::Error::from)?;
                writeln!(out)?;
            } else {
                writeln!(out, "{created}  {:<7}  {name}", word(*public))?;
            }
        }
        match page.last() {
            Some(last) if page.len() == PAGE => after = Some(last.name.clone()),
            _ => break,
        }
    }
    out.flush()?;
    Ok(Exit::Success)
}
