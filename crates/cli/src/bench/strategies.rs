//! Ways to store a stream in chunks. Each gets a fresh folder and the same bytes, and ends when
//! they are written (not synced).

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

use anyhow::{Context, anyhow};
use drystone_chunker::{ChunkId, Chunking, Cut, Cutter};
use drystone_local::LocalStore;
use drystone_pool::{BufferPool, JobGroup, WorkerPool};
use drystone_store::{BucketName, Condition, Key, ObjectMeta, PutTarget, SyncPolicy};

use crate::bench::source::BenchBytes;
use crate::heartbeat::LEASE_MS;
use crate::open;
use crate::settings::Settings;

/// The story's chunk.
pub(crate) const CHUNK_BYTES: usize = 10 << 20;

/// One way to store a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strategy {
    /// N threads, each with one buffer: read, write a new file for each chunk. No hashing.
    RawFiles(usize),
    /// N threads, each with one buffer and one file that only grows. No hashing.
    RawStreams(usize),
    /// Read, hash and write one chunk after the other.
    Sequential,
    /// A buffer and a thread for each chunk, as many as there are.
    ThreadPerChunk,
    /// N workers and N + 1 buffers.
    Pool(usize),
    /// The cut function alone, on one thread, on bytes that are in memory.
    CutAlone,
    /// A put into a new store.
    Store(Chunking),
}

impl Strategy {
    pub(crate) fn all() -> Vec<Self> {
        let mut all =
            vec![Self::RawFiles(1), Self::RawFiles(2), Self::RawStreams(1), Self::RawStreams(2)];
        all.extend([Self::Sequential, Self::ThreadPerChunk]);
        all.extend([1, 2, 4, 6].map(Self::Pool));
        let fixed = Chunking::fixed(CHUNK_BYTES as u64).unwrap_or_default();
        all.extend([Self::CutAlone, Self::Store(fixed), Self::Store(Chunking::default())]);
        all
    }

    pub(crate) fn name(self) -> String {
        match self {
            Self::RawFiles(n) => format!("raw write, a file per chunk, N={n}"),
            Self::RawStreams(n) => format!("raw write, a file per thread, N={n}"),
            Self::Sequential => "sequential".into(),
            Self::ThreadPerChunk => "one thread per chunk".into(),
            Self::Pool(n) => format!("bounded pool, N={n}"),
            Self::CutAlone => "cut function alone (nothing written)".into(),
            Self::Store(Chunking::Fixed(_)) => "store, fixed:10MiB".into(),
            Self::Store(_) => "store, content-defined".into(),
        }
    }

    /// Whether it counts towards the raw write limit.
    pub(crate) fn is_raw(self) -> bool {
        matches!(self, Self::RawFiles(_) | Self::RawStreams(_))
    }

    /// Runs once, and returns how many bytes were written, or cut. What is not part of the strategy
    /// is prepared before `begin`.
    pub(crate) fn run(
        self,
        settings: &Settings,
        source: BenchBytes,
        folder: &Path,
        begin: &mut dyn FnMut(),
    ) -> anyhow::Result<()> {
        match self {
            Self::RawFiles(threads) => raw(threads, &source, folder, true, begin),
            Self::RawStreams(threads) => raw(threads, &source, folder, false, begin),
            Self::Sequential => sequential(source, folder, begin),
            Self::ThreadPerChunk => thread_per_chunk(source, folder, begin),
            Self::Pool(workers) => bounded(workers, source, folder, begin),
            Self::CutAlone => cut_alone(source, begin),
            Self::Store(chunking) => store(settings, chunking, source, folder, begin),
        }
    }
}

fn new_file(folder: &Path, name: impl std::fmt::Display) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(folder.join(name.to_string()))
}

/// Fills as much of `buffer` as the source has.
fn fill(source: &mut BenchBytes, buffer: &mut [u8]) -> io::Result<usize> {
    let mut len = 0;
    while len < buffer.len() {
        match source.read(&mut buffer[len..])? {
            0 => break,
            read => len += read,
        }
    }
    Ok(len)
}

fn raw(
    threads: usize,
    source: &BenchBytes,
    folder: &Path,
    file_per_chunk: bool,
    begin: &mut dyn FnMut(),
) -> anyhow::Result<()> {
    let share = (source.len() / threads as u64).next_multiple_of(CHUNK_BYTES as u64);
    let mut buffers: Vec<Vec<u8>> = (0..threads).map(|_| vec![1; CHUNK_BYTES]).collect();
    begin();
    std::thread::scope(|scope| {
        let mut running = Vec::new();
        for (index, buffer) in buffers.iter_mut().enumerate() {
            let mut part = source.part(index as u64 * share, share);
            running.push(scope.spawn(move || -> io::Result<()> {
                let mut file = new_file(folder, index)?;
                for chunk in 0.. {
                    let len = fill(&mut part, buffer)?;
                    if len == 0 {
                        break;
                    }
                    if file_per_chunk && chunk > 0 {
                        file = new_file(folder, format_args!("{index}-{chunk}"))?;
                    }
                    file.write_all(&buffer[..len])?;
                }
                Ok(())
            }));
        }
        running
            .into_iter()
            .try_for_each(|thread| thread.join().unwrap_or_else(|_| Err(io::Error::other("panic"))))
    })?;
    Ok(())
}

/// What every chunk strategy does with a chunk: name it by its content and write it under that
/// name, if it is new.
fn keep(folder: &Path, bytes: &[u8]) -> io::Result<()> {
    match new_file(folder, ChunkId::of(bytes)) {
        Ok(mut file) => file.write_all(bytes),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

fn sequential(
    mut source: BenchBytes,
    folder: &Path,
    begin: &mut dyn FnMut(),
) -> anyhow::Result<()> {
    begin();
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        match fill(&mut source, &mut buffer)? {
            0 => return Ok(()),
            len => keep(folder, &buffer[..len])?,
        }
    }
}

fn thread_per_chunk(
    mut source: BenchBytes,
    folder: &Path,
    begin: &mut dyn FnMut(),
) -> anyhow::Result<()> {
    begin();
    std::thread::scope(|scope| {
        let mut running = Vec::new();
        loop {
            let mut buffer = vec![0; CHUNK_BYTES];
            let len = fill(&mut source, &mut buffer)?;
            if len == 0 {
                break;
            }
            running.push(scope.spawn(move || keep(folder, &buffer[..len])));
        }
        running
            .into_iter()
            .try_for_each(|thread| thread.join().unwrap_or_else(|_| Err(io::Error::other("panic"))))
    })?;
    Ok(())
}

fn bounded(
    workers: usize,
    mut source: BenchBytes,
    folder: &Path,
    begin: &mut dyn FnMut(),
) -> anyhow::Result<()> {
    begin();
    let buffers = BufferPool::new(workers + 1, CHUNK_BYTES, workers + 1);
    let pool = WorkerPool::new("bench", workers, workers)?;
    let (owner, group) = (buffers.owner(), JobGroup::<io::Error>::new());
    while !group.failed() {
        let mut lease = owner.acquire()?;
        let len = fill(&mut source, &mut lease)?;
        if len == 0 {
            break;
        }
        let (chunk, folder) = (lease.split_to(len).freeze(), folder.to_owned());
        group
            .submit(&pool, move || keep(&folder, &chunk))
            .map_err(|_| anyhow!("the pool closed early; this is a bug"))?;
    }
    group.wait().map_err(anyhow::Error::from)
}

fn cut_alone(mut source: BenchBytes, begin: &mut dyn FnMut()) -> anyhow::Result<()> {
    let cutter = Cutter::new(Chunking::default());
    let mut bytes = Vec::new();
    source.read_to_end(&mut bytes)?;
    begin();
    let mut rest = bytes.as_slice();
    while let Cut::At(len) = cutter.cut(rest, 0) {
        rest = &rest[len..];
    }
    std::hint::black_box(rest);
    Ok(())
}

fn store(
    settings: &Settings,
    chunking: Chunking,
    mut source: BenchBytes,
    folder: &Path,
    begin: &mut dyn FnMut(),
) -> anyhow::Result<()> {
    let folder = folder.join("store");
    LocalStore::init(&folder, chunking)?;
    let mut settings = settings.clone();
    settings.sync = SyncPolicy::Never;
    let plan = open::plan(&settings, chunking)?;
    begin();
    let open = open::open_planned(&settings, &folder, plan)?;
    let bucket = BucketName::new("bench").context("a bucket's name")?;
    open.store.create_bucket(&bucket)?;
    let key = Key::new("stream").context("a key")?;
    let target =
        PutTarget { bucket, key, meta: ObjectMeta::default(), condition: Condition::Always };
    open.store.ingest(LEASE_MS)?.put_now(target, &mut source)?;
    Ok(())
}
