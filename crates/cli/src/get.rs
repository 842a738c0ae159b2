//! `get`: objects become files again.

use std::ops::Bound;
use std::sync::Arc;

use anyhow::Context;
use drystone_pool::{Order, WorkerPool};
use drystone_store::{BucketName, Key, ObjectMeta, ObjectRow, OpenObject, Store, StoreError};
use serde::Serialize;

use crate::args::GetArgs;
use crate::exit::{Exit, Outcome, Usage};
use crate::heartbeat::Heartbeat;
use crate::interrupt::Interrupt;
use crate::new_folder::NewFolder;
use crate::open::open;
use crate::output::{Output, objects_and_folders, size};
use crate::progress::Progress;
use crate::restore::{Destination, RestoreError, single};
use crate::settings::Settings;

/// Objects listed at a time.
const PAGE_OBJECTS: usize = 512;
/// Objects that a restoring thread gets at a time: for small files, one hand-over each would cost
/// too much.
const BATCH_OBJECTS: usize = 16;
/// A batch ends early when its objects have this many bytes, so that the last one does not leave a
/// thread idle.
const BATCH_BYTES: u64 = 4 << 20;
/// Threads that write files. Making files is bound by the file system's locks; more do not help.
const RESTORERS: usize = 2;

pub(crate) fn run(settings: &Settings, args: &GetArgs, output: &Output) -> Outcome {
    let bucket = settings.bucket(&args.bucket)?;
    let interrupt = Interrupt::catch(output)?;
    let open = open(settings)?;
    let _heartbeat = Heartbeat::of_readers(&open.store)?;
    let progress = Progress::new(output, None);
    let mut get = Get {
        store: &open.store,
        bucket,
        interrupt,
        progress,
        output,
        summary: Summary::default(),
        worst: Exit::Partial,
    };
    get.run(args)?;
    get.finish()
}

#[derive(Default, Serialize)]
struct Summary {
    objects: u64,
    /// Folders that were restored, beside the objects that are files.
    folders: u64,
    bytes: u64,
    failed: u64,
    seconds: f64,
}

impl Summary {
    /// Objects and folders that were looked at.
    fn seen(&self) -> u64 {
        self.objects + self.folders + self.failed
    }
}

struct Get<'a> {
    store: &'a Store,
    bucket: BucketName,
    interrupt: Interrupt,
    progress: Progress,
    output: &'a Output,
    summary: Summary,
    /// `Partial` unless something worse happened.
    worst: Exit,
}

/// The outcome of one object.
type Restored = (ObjectRow, Result<u64, RestoreError>);

impl Get<'_> {
    fn run(&mut self, args: &GetArgs) -> anyhow::Result<()> {
        let as_file = args.names.len() == 1
            && !args.dest.is_dir()
            && !args.dest.as_os_str().to_string_lossy().ends_with('/');
        if as_file && let Some(object) = self.object(&args.names[0])? {
            let reader = self.store.read(&object, None);
            let result = single(&args.dest, args.force, self.interrupt.clone(), reader);
            return self.note((object.row().clone(), result));
        }
        let cannot = || format!("cannot open the folder {}", args.dest.display());
        let made = NewFolder::make(&args.dest).with_context(cannot)?;
        let destination = Destination::open(&args.dest, args.force, self.interrupt.clone());
        let destination = match destination.with_context(cannot) {
            Ok(destination) => Arc::new(destination),
            Err(error) => {
                made.remove_empty();
                return Err(error);
            }
        };
        let restored = self.names(&args.names, &destination);
        // New folders that hold no file are kept only if no file failed.
        if self.summary.objects == 0 && (self.summary.failed > 0 || self.summary.folders == 0) {
            made.remove_empty();
        } else {
            // Folders get their modes and times also when some files could not be restored.
            destination.finish(|path, error| self.note_failure(path, error));
        }
        restored
    }

    fn names(&mut self, names: &[String], destination: &Arc<Destination>) -> anyhow::Result<()> {
        let restorers = WorkerPool::new("drystone-restorer", RESTORERS, RESTORERS * 2)?;
        for name in names {
            match self.object(name)? {
                Some(object) => {
                    let file =
                        object.row().key.as_str().rsplit('/').next().unwrap_or_default().to_owned();
                    let reader = self.store.read(&object, None);
                    let result = destination.restorer(&|_| Ok(None)).object(&file, reader);
                    self.note((object.row().clone(), result))?;
                }
                None => self.folder(name, destination, &restorers)?,
            }
        }
        Ok(())
    }

    /// The object with exactly this name. A name that ends with `/` names a folder.
    fn object(&self, name: &str) -> anyhow::Result<Option<OpenObject>> {
        if name.ends_with('/') {
            return Ok(None);
        }
        match self.store.open(&self.bucket, &Key::new(name).map_err(StoreError::Name)?) {
            Ok(object) => Ok(Some(object)),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Restores what is below `name/`, under the last part of `name`.
    fn folder(
        &mut self,
        name: &str,
        destination: &Arc<Destination>,
        restorers: &WorkerPool,
    ) -> anyhow::Result<()> {
        let name = name.trim_end_matches('/');
        if name.is_empty() {
            return Err(Usage("NAME is empty; `ls` shows what there is".into()).into());
        }
        let prefix = format!("{name}/");
        let cut = name.rfind('/').map_or(0, |slash| slash + 1);
        let before = self.summary.seen();
        let bucket = self.bucket.clone();
        let batches = Batches::new(self.store, &bucket, &prefix);
        let (store, target) = (self.store.clone(), Arc::clone(destination));
        let (of, above) = (bucket.clone(), name[..cut].to_owned());
        let restored = restorers.map(batches, RESTORERS * 2, Order::Completion, move |batch| {
            let batch: Vec<ObjectRow> = batch?;
            let known = |path: &str| folder_meta(&store, &of, format!("{above}{path}/"));
            let mut restorer = target.restorer(&known);
            let restore = |object: ObjectRow| {
                // Looked up again: what is listed may have been overwritten since.
                let reader = store.get(&of, &object.key, None).map_err(RestoreError::Store);
                let result =
                    reader.and_then(|reader| restorer.object(&object.key.as_str()[cut..], reader));
                (object, result)
            };
            Ok::<Vec<Restored>, StoreError>(batch.into_iter().map(restore).collect())
        });
        for batch in restored {
            self.interrupt.check()?;
            for restored in batch.context("a restoring thread died; this is a bug")?? {
                self.note(restored)?;
            }
        }
        if self.summary.seen() == before {
            let key = Key::new(name).map_err(StoreError::Name)?;
            return Err(StoreError::NotFound { bucket: self.bucket.clone(), key }.into());
        }
        Ok(())
    }

    fn note(&mut self, (object, result): Restored) -> anyhow::Result<()> {
        match result {
            Ok(bytes) => {
                let is_folder = object.key.as_str().ends_with('/');
                *(if is_folder { &mut self.summary.folders } else { &mut self.summary.objects }) +=
                    1;
                self.summary.bytes += bytes;
                self.progress.advance(bytes);
                if self.output.json {
                    #[derive(Serialize)]
                    struct Line<'a> {
                        key: &'a str,
                        size: u64,
                    }
                    self.output.report(&Line { key: object.key.as_str(), size: bytes })?;
                }
            }
            Err(error) => {
                self.interrupt.check()?;
                self.note_failure(object.key.as_str(), error);
            }
        }
        Ok(())
    }

    fn note_failure(&mut self, name: &str, error: RestoreError) {
        self.summary.failed += 1;
        let error = anyhow::Error::new(error);
        // The exit code tells the worst failure, if that failure has a code of its own.
        if let worse @ (Exit::Damaged | Exit::DiskFull) = Exit::of(&error) {
            self.worst = worse;
        }
        self.progress.suspend(|| self.output.problem(Some(name), &error));
    }

    fn finish(mut self) -> anyhow::Result<Exit> {
        self.summary.seconds = self.progress.elapsed().as_secs_f64();
        self.progress.finish();
        let Summary { objects, folders, bytes, failed, seconds } = self.summary;
        if self.output.json {
            #[derive(Serialize)]
            struct Line {
                summary: Summary,
            }
            self.output.report(&Line { summary: self.summary })?;
        } else {
            let rate = if seconds > 0.0 { bytes as f64 / seconds } else { 0.0 };
            let failures = if failed > 0 { format!("; {failed} failed") } else { String::new() };
            let (bytes, rate) = (size(bytes), size(rate as u64));
            let restored = objects_and_folders(objects, folders);
            self.output.note(format!(
                "restored {restored}, {bytes} in {seconds:.1} s ({rate}/s){failures}"
            ));
        }
        Ok(match (failed, objects, self.worst) {
            (0, ..) => Exit::Success,
            (_, 0, Exit::Partial) => Exit::Failed,
            (_, _, worst) => worst,
        })
    }
}

/// The meta data of a folder: those of the empty object under its key.
fn folder_meta(
    store: &Store,
    bucket: &BucketName,
    key: String,
) -> Result<Option<ObjectMeta>, StoreError> {
    // Nothing can be stored under a key that is too long.
    let Ok(key) = Key::new(key) else { return Ok(None) };
    match store.stat(bucket, &key) {
        Ok(object) => Ok((object.size == 0).then_some(object.meta)),
        Err(StoreError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Objects below a prefix, in batches; one page of the listing in memory.
struct Batches<'a> {
    store: &'a Store,
    bucket: &'a BucketName,
    prefix: &'a str,
    page: std::vec::IntoIter<ObjectRow>,
    after: Option<String>,
    ended: bool,
}

impl<'a> Batches<'a> {
    fn new(store: &'a Store, bucket: &'a BucketName, prefix: &'a str) -> Self {
        Self { store, bucket, prefix, page: Vec::new().into_iter(), after: None, ended: false }
    }

    fn next_page(&mut self) -> Result<(), StoreError> {
        let from = self.after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let page = self.store.list(self.bucket, self.prefix, from, PAGE_OBJECTS)?;
        self.ended = page.len() < PAGE_OBJECTS;
        self.after = page.last().map(|object| object.key.as_str().to_owned());
        self.page = page.into_iter();
        Ok(())
    }
}

impl Iterator for Batches<'_> {
    type Item = Result<Vec<ObjectRow>, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while batch.len() < BATCH_OBJECTS && bytes < BATCH_BYTES {
            match self.page.next() {
                Some(object) => {
                    bytes += object.size;
                    batch.push(object);
                }
                None if self.ended => break,
                None => {
                    if let Err(error) = self.next_page() {
                        self.ended = true;
                        return Some(Err(error));
                    }
                }
            }
        }
        (!batch.is_empty()).then_some(Ok(batch))
    }
}
