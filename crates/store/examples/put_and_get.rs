//! A store in a folder: two objects that share most of their bytes, read back whole and in part.
//!
//! `cargo run --example put_and_get -- FOLDER`; without one it works in a temporary folder.

use std::path::Path;

use drystone_chunker::Chunking;
use drystone_local::{LocalConfig, LocalStore};
use drystone_store::{BucketName, Condition, Key, ObjectMeta, PutTarget, Store, StoreConfig};

/// How long an upload may go on without a sign of life.
const LEASE_MS: u64 = 60_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let temporary = tempfile::tempdir()?;
    let given = std::env::args_os().nth(1);
    run(given.as_deref().map_or(temporary.path(), Path::new))
}

fn run(folder: &Path) -> Result<(), Box<dyn std::error::Error>> {
    // Small chunks, to see some. The default is cut at about 1 MiB.
    LocalStore::init(folder, Chunking::fast_cdc(64, 256, 1024)?)?;
    let local = LocalStore::open(folder, &LocalConfig::default())?;
    // What the store may use, whatever it is given to store.
    let config = StoreConfig {
        chunking: local.chunking,
        workers: 2,
        buffers: 4,
        buffer_bytes: 64 << 10,
        ingests: 1,
        read_ahead_max: 2,
        commit_queue_bytes: 1 << 20,
    };
    let store = Store::new(local.records, local.segments, config)?;

    let bucket = BucketName::new("examples")?;
    store.create_bucket(&bucket)?;
    let old: String = (0..5000).map(|number| format!("line {number}\n")).collect();
    let new = old.replacen("line 7\n", "line seven\n", 1);
    let mut ingest = store.ingest(LEASE_MS)?;
    for (name, text) in [("old.txt", &old), ("new.txt", &new)] {
        let target = PutTarget {
            bucket: bucket.clone(),
            key: Key::new(name)?,
            meta: ObjectMeta::default(),
            condition: Condition::IfAbsent,
        };
        // Any `Read` would do. The object is on the disk when this returns.
        let stored = ingest.put_now(target, &mut text.as_bytes())?;
        println!("{name}: {} bytes, {} of them new", stored.size, stored.new_bytes);
    }
    drop(ingest);

    let mut whole = Vec::new();
    store.get(&bucket, &Key::new("new.txt")?, None)?.copy_to(&mut whole)??;
    assert_eq!(whole, new.as_bytes());
    let mut part = Vec::new();
    store.get(&bucket, &Key::new("old.txt")?, Some(49..56))?.copy_to(&mut part)??;
    assert_eq!(part, b"line 7\n");

    let stats = store.put_stats();
    assert!(stats.new_bytes < stats.bytes * 6 / 10, "what both have in common is stored once");
    let buffers = store.usage().buffers;
    println!("buffers: {} of {} were in use at once", buffers.high_water, buffers.ceiling);
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_runs() {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        super::run(folder.path()).expect("everything that it does succeeds");
    }
}
