//! `put`: files, folders and standard input become objects.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use drystone_store::{
    BucketName, Condition, Ingest, Key, ObjectMeta, PendingPut, PutFailure, PutTarget, Store, StoreError,
};
use rustix::fs::OFlags;
use serde::Serialize;

use crate::args::PutArgs;
use crate::exit::{Exit, Interrupted, Outcome, Usage};
use crate::heartbeat::{Heartbeat, LEASE_MS};
use crate::interrupt::Interrupt;
use crate::open::open;
use crate::output::{Output, size};
use crate::progress::Progress;
use crate::settings::Settings;
use crate::walk::{Found, Walk};

/// Objects that have been read and wait for their commit. More than a full commit queue holds, so that the queue fills and
/// commits in large groups instead of waiting for us.
const UNACKNOWLEDGED_MAX: usize = 16_384;

pub(crate) fn run(settings: &Settings, args: &PutArgs, output: &Output) -> Outcome {
    let bucket = settings.bucket(&args.bucket)?;
    check_usage(args)?;
    let interrupt = Interrupt::catch()?;
    let open = open(settings)?;
    open.store.create_bucket(&bucket)?;
    let ingest = open.store.ingest(LEASE_MS)?;
    let heartbeat = Heartbeat::start(ingest.session().handle())?;
    let (walk_depth_max, store_folder) = (open.plan.walk_depth_max, settings.store()?);
    let progress = Progress::new(output, None);
    let progress =
        if progress.is_hidden() { progress } else { Progress::new(output, total(args, walk_depth_max)) };
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

fn check_usage(args: &PutArgs) -> Result<(), Usage> {
    let stdin = args.sources.iter().filter(|source| is_stdin(source)).count();
    if stdin > 1 {
        return Err(Usage("standard input can be put only once".into()));
    }
    if stdin == 1 && args.name.is_none() {
        return Err(Usage("standard input has no name: add --name KEY".into()));
    }
    if args.name.is_some() && args.sources.len() != 1 {
        return Err(Usage("--name names one object, so give one SRC".into()));
    }
    if args.name.is_some() && args.sources[0].is_dir() {
        return Err(Usage("--name is for a file or standard input; use --prefix for a folder".into()));
    }
    Ok(())
}

fn is_stdin(source: &Path) -> bool {
    source.as_os_str() == "-"
}

/// Bytes to be read, for the progress bar; `None` with standard input.
fn total(args: &PutArgs, walk_depth_max: usize) -> Option<u64> {
    let len = |path: &Path| path.symlink_metadata().map_or(0, |meta| meta.len());
    let mut total = 0;
    for source in &args.sources {
        if is_stdin(source) {
            return None;
        }
        if !source.is_dir() {
            total += source.metadata().map_or(0, |meta| meta.len());
            continue;
        }
        for found in Walk::new(source, walk_depth_max) {
            if let Found::File(path) = found {
                total += len(&path);
            }
        }
    }
    Some(total)
}

/// What `put` prints at its end.
#[derive(Default, Serialize)]
struct Summary {
    objects: u64,
    bytes: u64,
    new_bytes: u64,
    saved_bytes: u64,
    chunks: u64,
    new_chunks: u64,
    commit_groups: u64,
    failed: u64,
    changed: u64,
    skipped: u64,
    seconds: f64,
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

impl Put<'_> {
    fn source(&mut self, source: &Path, args: &PutArgs, walk: &dyn Fn(&Path) -> Walk) -> anyhow::Result<()> {
        let prefix = args.prefix.as_str();
        if is_stdin(source) {
            let key = format!("{prefix}{}", args.name.as_deref().unwrap_or_default());
            let meta = ObjectMeta { modified_ns: nanoseconds(SystemTime::now()), ..ObjectMeta::default() };
            return self.object(&key, meta, None, &mut io::stdin().lock());
        }
        let meta = match source.metadata() {
            Ok(meta) => meta,
            Err(error) => {
                return self.failed(source, anyhow::Error::new(error).context("cannot read it"));
            }
        };
        let name = match &args.name {
            Some(name) => name.clone(),
            None => match own_name(source) {
                Ok(name) => name,
                Err(error) if error.is::<Usage>() => return Err(error),
                Err(error) => return self.failed(source, error),
            },
        };
        if !meta.is_dir() {
            return self.file(source, &format!("{prefix}{name}"), OFlags::empty());
        }
        for found in walk(source) {
            self.interrupt.check()?;
            match found {
                Found::File(path) => match key_below(prefix, &name, source, &path) {
                    // A link that took the file's place since the walk saw it is not followed.
                    Ok(key) => self.file(&path, &key, OFlags::NOFOLLOW)?,
                    Err(error) => self.failed(&path, error)?,
                },
                Found::EmptyFolder(path) => match key_below(prefix, &name, source, &path) {
                    Ok(key) => self.empty_folder(&path, &format!("{key}/"))?,
                    Err(error) => self.failed(&path, error)?,
                },
                Found::Other(path, kind) => {
                    self.summary.skipped += 1;
                    let line = format!("drystone: {}: skipped, it is {kind}", shown(&path));
                    self.progress.suspend(|| self.output.note(line));
                }
                Found::Unreadable(path, error) => {
                    self.failed(&path, anyhow::Error::new(error).context("cannot read the folder"))?;
                }
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path, key: &str, follow: OFlags) -> anyhow::Result<()> {
        // Not blocking: what the walk took for a file may have become a FIFO.
        let flags = (OFlags::NONBLOCK | OFlags::NOCTTY | follow).bits();
        let opened = OpenOptions::new().read(true).custom_flags(flags.cast_signed()).open(path);
        let (file, before) = match opened.and_then(|file| file.metadata().map(|meta| (file, meta))) {
            Ok((_, meta)) if !meta.is_file() => {
                return self.failed(path, anyhow::anyhow!("not a regular file"));
            }
            Ok(opened) => opened,
            Err(error) => return self.failed(path, anyhow::Error::new(error).context("cannot open it")),
        };
        let meta = ObjectMeta {
            modified_ns: before.mtime().saturating_mul(1_000_000_000).saturating_add(before.mtime_nsec()),
            mode: Some(before.mode() & 0o7777),
            ..ObjectMeta::default()
        };
        let failed = self.summary.failed;
        // A file that grows as fast as it is read would never end. Files that the kernel makes up say that they are empty.
        let len_max = if before.len() == 0 { u64::MAX } else { before.len() };
        self.object(key, meta, Some(before.len()), &mut (&file).take(len_max))?;
        if self.summary.failed == failed && has_changed(&file, &before) {
            self.summary.changed += 1;
            let line = format!("drystone: {}: changed while it was read; stored as it was read", shown(path));
            self.progress.suspend(|| self.output.note(line));
        }
        Ok(())
    }

    fn empty_folder(&mut self, path: &Path, key: &str) -> anyhow::Result<()> {
        let meta = match path.metadata() {
            Ok(meta) => ObjectMeta {
                modified_ns: meta.mtime().saturating_mul(1_000_000_000).saturating_add(meta.mtime_nsec()),
                mode: Some(meta.mode() & 0o7777),
                ..ObjectMeta::default()
            },
            Err(error) => {
                return self.failed(path, anyhow::Error::new(error).context("cannot read the folder"));
            }
        };
        self.object(key, meta, Some(0), &mut io::empty())
    }

    /// Reads one source; a failure of the source is counted, one of the store ends the command.
    fn object(
        &mut self,
        key: &str,
        meta: ObjectMeta,
        size_hint: Option<u64>,
        source: &mut dyn Read,
    ) -> anyhow::Result<()> {
        let target = match Key::new(key) {
            Ok(key) => PutTarget { bucket: self.bucket.clone(), key, meta, condition: Condition::Always },
            Err(error) => return self.failed(Path::new(key), StoreError::Name(error)),
        };
        while self.unacknowledged.len() >= UNACKNOWLEDGED_MAX {
            self.acknowledge_oldest()?;
        }
        let mut source = Watched { source, interrupt: &self.interrupt, progress: &self.progress, read: 0 };
        let put = self.ingest.put(target, size_hint, &mut source);
        let read = source.read;
        match put {
            Ok(pending) => self.unacknowledged.push_back((key.to_owned(), pending)),
            Err(PutFailure::Source(error)) => {
                self.interrupt.check()?;
                return self.failed(Path::new(key), anyhow::Error::new(error).context("cannot read it"));
            }
            Err(PutFailure::Store(error)) => return Err(self.store_failed(key, error)),
        }
        self.summary.bytes += read;
        if !self.progress.is_hidden() {
            let stats = self.store.put_stats();
            self.progress.saved(stats.bytes - stats.new_bytes);
        }
        // Whatever is committed already need not stay in the queue.
        while self.unacknowledged.front().is_some_and(|(_, pending)| pending.is_committed()) {
            self.acknowledge_oldest()?;
        }
        Ok(())
    }

    fn acknowledge_oldest(&mut self) -> anyhow::Result<()> {
        self.interrupt.check()?;
        let Some((key, pending)) = self.unacknowledged.pop_front() else { return Ok(()) };
        let stored = pending.wait(&mut self.ingest).map_err(|error| self.store_failed(&key, error))?;
        self.summary.objects += 1;
        if self.output.json {
            #[derive(Serialize)]
            struct Line<'a> {
                key: &'a str,
                size: u64,
                new_bytes: u64,
                content: String,
            }
            let content = stored.content.to_string();
            let line = Line { key: &key, size: stored.size, new_bytes: stored.new_bytes, content };
            self.output.report(&line)?;
        }
        Ok(())
    }

    /// One source could not be stored; the others go on.
    fn failed(&mut self, path: &Path, error: impl Into<anyhow::Error>) -> anyhow::Result<()> {
        let error = error.into();
        self.interrupt.check()?;
        self.summary.failed += 1;
        self.progress.suspend(|| self.output.problem(Some(&path.to_string_lossy()), &error));
        Ok(())
    }

    fn store_failed(&self, key: &str, error: StoreError) -> anyhow::Error {
        let stored = self.summary.objects;
        let hint = if error.is_full() {
            format!(
                "the disk is full: `{key}` and what came after it were not stored ({stored} objects were); free some space and put again, what is stored already costs nothing"
            )
        } else {
            format!("cannot store `{key}`")
        };
        anyhow::Error::new(error).context(hint)
    }

    fn finish(mut self) -> anyhow::Result<Exit> {
        let stats = self.store.put_stats();
        let summary = &mut self.summary;
        summary.seconds = self.progress.elapsed().as_secs_f64();
        summary.new_bytes = stats.new_bytes;
        summary.saved_bytes = stats.bytes - stats.new_bytes;
        (summary.chunks, summary.new_chunks) = (stats.chunks, stats.new_chunks);
        summary.commit_groups = stats.commit_groups;
        self.progress.finish();
        if self.output.json {
            #[derive(Serialize)]
            struct Line<'a> {
                summary: &'a Summary,
            }
            self.output.report(&Line { summary: &self.summary })?;
        } else {
            self.output.note(self.summary.line());
        }
        Ok(if self.summary.failed + self.summary.changed > 0 { Exit::Partial } else { Exit::Success })
    }
}

impl Summary {
    fn line(&self) -> String {
        let rate = if self.seconds > 0.0 { self.bytes as f64 / self.seconds } else { 0.0 };
        let mut line = format!(
            "stored {} objects, {} in {:.1} s ({}/s); {} new, {} saved by dedup",
            self.objects,
            size(self.bytes),
            self.seconds,
            size(rate as u64),
            size(self.new_bytes),
            size(self.saved_bytes)
        );
        for (count, what) in
            [(self.failed, "failed"), (self.changed, "changed while read"), (self.skipped, "skipped")]
        {
            if count > 0 {
                line.push_str(&format!("; {count} {what}"));
            }
        }
        line
    }
}

/// A source that notices interrupts and moves the progress bar.
struct Watched<'a> {
    source: &'a mut dyn Read,
    interrupt: &'a Interrupt,
    progress: &'a Progress,
    read: u64,
}

impl Read for Watched<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.interrupt.check().map_err(|Interrupted| io::Error::other("interrupted"))?;
        let len = self.source.read(into)?;
        self.read += len as u64;
        self.progress.advance(len as u64);
        Ok(len)
    }
}

fn has_changed(file: &File, before: &std::fs::Metadata) -> bool {
    file.metadata().is_ok_and(|after| {
        (after.len(), after.mtime(), after.mtime_nsec())
            != (before.len(), before.mtime(), before.mtime_nsec())
    })
}

fn nanoseconds(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().escape_debug().to_string()
}

/// The name under which a source is stored: its last component, also of `.` and `..`.
fn own_name(source: &Path) -> anyhow::Result<String> {
    let canonical: PathBuf;
    let name = match source.file_name() {
        Some(name) => name,
        None => {
            canonical = source.canonicalize().with_context(|| format!("cannot read {}", source.display()))?;
            canonical
                .file_name()
                .ok_or_else(|| Usage("the root folder has no name: name the folders below it".into()))?
        }
    };
    utf8(name)
}

fn utf8(name: &std::ffi::OsStr) -> anyhow::Result<String> {
    let name = name.to_str();
    Ok(name
        .ok_or_else(|| anyhow::anyhow!("its name is not UTF-8, which a key must be; rename it"))?
        .to_owned())
}

fn key_below(prefix: &str, name: &str, root: &Path, path: &Path) -> anyhow::Result<String> {
    let below = path.strip_prefix(root).context("the walk left its root")?;
    if below.as_os_str().is_empty() {
        return Ok(format!("{prefix}{name}"));
    }
    Ok(format!("{prefix}{name}/{}", utf8(below.as_os_str())?))
}
