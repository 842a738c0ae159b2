//! `put`: files, folders and standard input become objects.
//!
//! `usage` says what the command line means. `source` and `standard_input` lead from a source to
//! its files, `upload` from a file to its object. `report` prints the result.

mod key;
mod report;
mod source;
mod standard_input;
mod upload;
mod usage;

use std::collections::VecDeque;
use std::path::Path;

use drystone_store::{BucketName, Ingest, PendingPut, Store};

use self::report::Summary;
use crate::args::PutArgs;
use crate::exit::Outcome;
use crate::heartbeat::{Heartbeat, LEASE_MS};
use crate::interrupt::Interrupt;
use crate::open::open;
use crate::output::Output;
use crate::progress::Progress;
use crate::settings::Settings;
use crate::walk::Walk;

pub(crate) fn run(settings: &Settings, args: &PutArgs, output: &Output) -> Outcome {
    let bucket = settings.bucket(&args.bucket)?;
    usage::check(args)?;
    let interrupt = Interrupt::catch(output)?;
    let open = open(settings)?;
    open.store.create_bucket(&bucket)?;
    let ingest = open.store.ingest(LEASE_MS)?;
    let heartbeat = Heartbeat::of_upload(ingest.session().handle())?;
    let (walk_depth_max, store_folder) = (open.plan.walk_depth_max, settings.store()?);
    let progress = Progress::new(output, None);
    let progress = match progress.is_hidden() {
        true => progress,
        false => Progress::new(output, source::bytes_total(args, walk_depth_max)),
    };
    let mut put = Put {
        store: &open.store,
        bucket,
        ingest,
        unacknowledged: VecDeque::new(),
        interrupt,
        progress,
        output,
        summary: Summary::default(),
    };
    let walk = |root: &Path| Walk::new(root, walk_depth_max).skipping(store_folder);
    for source in &args.sources {
        put.source(source, args, &walk)?;
    }
    while !put.unacknowledged.is_empty() {
        put.acknowledge_oldest()?;
    }
    let exit = put.finish()?;
    drop(heartbeat);
    Ok(exit)
}

struct Put<'a> {
    store: &'a Store,
    bucket: BucketName,
    ingest: Ingest,
    unacknowledged: VecDeque<(String, PendingPut)>,
    interrupt: Interrupt,
    progress: Progress,
    output: &'a Output,
    summary: Summary,
}
