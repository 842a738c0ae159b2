//! A database that something has damaged.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Bound;
use std::path::{Path, PathBuf};

use arbitrary::{Arbitrary, Unstructured};
use drystone_chunker::{ChunkId, Chunking, Cutter};
use drystone_local::{LocalConfig, LocalStore};
use drystone_store::{
    Condition, ContentHash, ObjectMeta, ObjectRow, OpenObject, PutTarget, Store, StoreConfig,
    SyncPolicy,
};
use drystone_sync::PlainArc;

use crate::local::{LocalFolder, scratch};
use crate::noise::Noise;
use crate::reference::{CutBy, Setup, cut_lens};

const SETUP: Setup = Setup { cut: CutBy::Content, two_workers: false, tiny_queue: false };
/// Rows that are looked at; a damaged listing may go on for long.
const ROWS_MAX: usize = 64;

#[derive(Debug, Arbitrary)]
struct Damage {
    /// Where, as a share of the file; how far behind that place; and the bytes to put there.
    places: Vec<(u16, u8, Bytes)>,
    /// How much of the file is there, as a share; 255 and more is all.
    kept: u16,
}

#[derive(Debug, Arbitrary)]
enum Bytes {
    Set(u8),
    Flip(u8),
    Zeros(u8),
    Number(u64),
}

/// A small store, closed, in memory.
struct Template {
    files: BTreeMap<PathBuf, Vec<u8>>,
    /// What was stored, by what it contains.
    contents: BTreeMap<ContentHash, Vec<u8>>,
    chunks: BTreeMap<ChunkId, Vec<u8>>,
}

thread_local! {
    static TEMPLATE: Template = Template::make();
}

/// With any bytes of `records.db` changed, opening and reading may fail. They never panic, no chunk
/// is given that was not stored, and an object whose chunks are those that its row was stored with
/// has the right bytes.
///
/// # Panics
/// When that does not hold.
pub fn records_open(data: &[u8]) {
    let Ok(damage) = Damage::arbitrary(&mut Unstructured::new(data)) else { return };
    TEMPLATE.with(|template| {
        let folder = scratch();
        template.write(folder.path(), &damage);
        let config = LocalConfig { sync: SyncPolicy::Never, readers: 1, ..LocalConfig::default() };
        let Ok(opened) = LocalStore::open(folder.path(), &config) else { return };
        read_everything(template, opened);
    });
}

fn config() -> StoreConfig {
    SETUP.config()
}

fn read_everything(template: &Template, opened: LocalStore) {
    let records: PlainArc<dyn drystone_store::Records> = opened.records;
    let store = Store::new(PlainArc::clone(&records), opened.segments, config())
        .expect("threads can be started");
    let _ = store.totals();
    let _ = records.unsealed_segments(ROWS_MAX);
    let ids: Vec<ChunkId> = template.chunks.keys().copied().collect();
    let _ = records.find_chunks(&ids);
    for bucket in store.buckets(None, ROWS_MAX).unwrap_or_default() {
        let bucket = bucket.name;
        for row in store.list(&bucket, "", Bound::Unbounded, ROWS_MAX).unwrap_or_default() {
            let _ = store.stat(&bucket, &row.key);
            let open = OpenObject::unpinned(bucket.clone(), row);
            check_object(template, &store, &*records, &open);
        }
    }
}

fn check_object(
    template: &Template,
    store: &Store,
    records: &dyn drystone_store::Records,
    open: &OpenObject,
) {
    let row = open.row();
    // The whole, and a part that begins in the middle: a damaged size may be anything.
    let middle = row.size.min(1 << 20) / 2;
    for from in [0, middle] {
        let mut reader = store.read(open, Some(from..row.size));
        let mut found = Vec::new();
        let mut slices = 0;
        let ended = loop {
            match reader.next_slice() {
                Ok(Some(slice)) if slices < 4 * ROWS_MAX => {
                    slices += 1;
                    assert!(is_stored(template, &slice), "bytes that were never stored");
                    found.extend_from_slice(&slice);
                }
                Ok(None) => break true,
                _ => break false,
            }
        };
        if let Some(stored) = template.contents.get(&row.content)
            && ended
            && has_chunks_of(records, row, stored)
        {
            assert!(
                from as usize <= stored.len() && stored[from as usize..] == found,
                "wrong bytes"
            );
        }
    }
}

/// Whether the manifest names the chunks that `stored` was cut into, at their places, and the size
/// is right.
fn has_chunks_of(records: &dyn drystone_store::Records, row: &ObjectRow, stored: &[u8]) -> bool {
    let Ok(rows) = records.manifest_page(row.manifest, 0, ROWS_MAX) else { return false };
    let mut rest = stored;
    row.size == stored.len() as u64
        && rows.iter().all(|row| {
            let is_next = row.offset == (stored.len() - rest.len()) as u64;
            let Some((now, later)) = rest.split_at_checked(row.at.len as usize) else {
                return false;
            };
            rest = later;
            is_next && ChunkId::of(now) == row.chunk
        })
        && rest.is_empty()
}

/// Whether `part` is a part of some chunk that was stored. Looks at the ends first: that is where
/// parts mostly are.
fn is_stored(template: &Template, part: &[u8]) -> bool {
    let mut chunks = template.chunks.values();
    chunks.clone().any(|chunk| chunk.starts_with(part) || chunk.ends_with(part))
        || chunks.any(|chunk| chunk.windows(part.len()).any(|window| window == part))
}

impl Template {
    fn make() -> Self {
        let folder = LocalFolder::new(SETUP.chunking(), SyncPolicy::Never, 1 << 20);
        let opened = folder.open_store();
        let store =
            Store::new(opened.records, opened.segments, config()).expect("threads can be started");
        let mut contents = BTreeMap::new();
        let mut chunks = BTreeMap::new();
        let cutter = Cutter::new(Chunking::clone(&SETUP.chunking()));
        for (number, len) in [0, 1, 700, 3000, 9000].into_iter().enumerate() {
            let bytes = Noise::new(number as u64 % 3).bytes(len);
            let bucket =
                drystone_store::BucketName::new(if number % 2 == 0 { "walls" } else { "stones" });
            let target = PutTarget {
                bucket: bucket.expect("a good name"),
                key: drystone_store::Key::new(format!("stone/{number}")).expect("a good key"),
                meta: ObjectMeta {
                    media_type: Some("text/plain".to_owned()),
                    ..ObjectMeta::default()
                },
                condition: Condition::Always,
            };
            store.create_bucket(&target.bucket).expect("nothing fails");
            let mut ingest = store.ingest(1 << 30).expect("nothing fails");
            let stored = ingest.put_now(target, &mut bytes.as_slice()).expect("nothing fails");
            let mut rest = bytes.as_slice();
            for len in cut_lens(&cutter, &bytes) {
                let (now, later) = rest.split_at(len);
                chunks.insert(ChunkId::of(now), now.to_vec());
                rest = later;
            }
            contents.insert(stored.content, bytes);
        }
        drop(store);
        let mut files = BTreeMap::new();
        collect(folder.path(), folder.path(), &mut files);
        Self { files, contents, chunks }
    }

    fn write(&self, folder: &Path, damage: &Damage) {
        for (name, bytes) in &self.files {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().unwrap_or(folder)).expect("the folder is ours");
            let is_database = name == Path::new("records.db");
            let damaged = if is_database { damage.apply(bytes.clone()) } else { bytes.clone() };
            fs::write(path, damaged).expect("the folder is ours");
        }
    }
}

fn collect(root: &Path, folder: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(folder).expect("the folder is ours") {
        let path = entry.expect("the folder is ours").path();
        if path.is_dir() {
            collect(root, &path, files);
        } else {
            let name = path.strip_prefix(root).expect("it is below its root").to_owned();
            files.insert(name, fs::read(&path).expect("the file is ours"));
        }
    }
}

impl Damage {
    fn apply(&self, mut bytes: Vec<u8>) -> Vec<u8> {
        let len = bytes.len();
        for (share, behind, put) in self.places.iter().take(64) {
            let at = (usize::from(*share) * len / 65536 + usize::from(*behind)) % len;
            let place = &mut bytes[at..];
            match put {
                Bytes::Set(byte) => place[0] = *byte,
                Bytes::Flip(bits) => place[0] ^= bits,
                Bytes::Zeros(count) => {
                    place.iter_mut().take((*count).into()).for_each(|byte| *byte = 0);
                }
                Bytes::Number(number) => {
                    place.iter_mut().zip(number.to_be_bytes()).for_each(|(old, new)| *old = new);
                }
            }
        }
        if self.kept < 255 {
            bytes.truncate(len * usize::from(self.kept) / 255);
        }
        bytes
    }
}
