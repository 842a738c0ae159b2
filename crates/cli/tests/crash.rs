//! A command is killed at any moment. Then the store opens, holds all that was acknowledged and no
//! half object, and takes the same put again.

mod support;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Stdio};

use drystone_testkit::noise::Noise;
use support::tree::{self, Entry};
use support::{Sandbox, args, spawn};

/// Keys of the JSON lines that came before the end of the output.
fn acknowledged(lines: impl Iterator<Item = String>) -> Vec<String> {
    // The last line may be torn by the kill; a torn line acknowledges nothing.
    let values = lines.filter_map(|line| serde_json::from_str::<serde_json::Value>(&line).ok());
    values.filter_map(|value| value["key"].as_str().map(str::to_owned)).collect()
}

fn kill(mut child: Child) {
    child.kill().expect("a child that has not been waited for");
    child.wait().expect("its end");
}

/// Every object that can be seen below `name` is whole, and every acknowledged one can be seen.
#[track_caller]
fn whole(sandbox: &Sandbox, name: &str, source: &Path, acknowledged: &[String], moment: &str) {
    let expected = tree::read(source);
    let visible: Vec<String> =
        sandbox.ok(args!["ls", format!("{name}/")]).text().lines().map(str::to_owned).collect();
    for key in acknowledged {
        assert!(visible.contains(key), "{moment}: {key} was acknowledged and is gone");
    }
    if visible.is_empty() {
        return;
    }
    let into = sandbox.get(name);
    let found = tree::read(&into.path().join(name));
    // When only the mode of a folder has come, it looks like an empty one.
    let found: Vec<_> =
        found.iter().filter(|(_, entry)| matches!(entry, Entry::File { .. })).collect();
    assert_eq!(found.len(), visible.iter().filter(|key| !key.ends_with('/')).count(), "{moment}");
    for (path, entry) in found {
        assert!(expected.get(path) == Some(entry), "{moment}: {path} is not what was put");
    }
}

#[test]
fn a_killed_put_of_a_folder_keeps_what_it_acknowledged() {
    let sandbox = Sandbox::chunked("cdc:1KiB,4KiB,16KiB");
    let mut killed_in_the_middle = 0;
    for round in 0..18_u64 {
        let name = format!("r{round}");
        let source = sandbox.path(&name);
        // Some larger than a manifest's step, many small ones.
        tree::many(&source, round, 300, 8_000);
        tree::file(&source.join("large"), round + 1000, 4 << 20);
        let mut child = spawn(&mut sandbox.drystone(args!["--json", "put", source]));
        let out = BufReader::new(child.stdout.take().unwrap());
        let mut lines = out.lines().map_while(Result::ok);
        let before = segment_bytes(&sandbox);
        let mut seen: Vec<String> = Vec::new();
        if round % 2 == 0 {
            // After so many acknowledgements.
            seen.extend(lines.by_ref().take(1 + round as usize * 12));
        } else {
            // After so many bytes in the segments; the object rows come later.
            let enough = before + (round << 18);
            while segment_bytes(&sandbox) < enough && child.try_wait().unwrap().is_none() {
                std::thread::yield_now();
            }
        }
        kill(child);
        seen.extend(lines);
        let keys = acknowledged(seen.into_iter());
        killed_in_the_middle += u32::from(keys.len() < 301);
        let moment = format!("round {round}, {} acknowledged", keys.len());
        whole(&sandbox, &name, &source, &keys, &moment);
        // Every third round leaves the store as it is, so that later rounds find it so.
        if round % 3 != 0 {
            sandbox.ok(args!["put", source]);
            let into = sandbox.get(&name);
            tree::assert_same(&tree::read(&into.path().join(&name)), &tree::read(&source));
        }
    }
    assert!(killed_in_the_middle >= 9, "only {killed_in_the_middle} were killed before their end");
    for round in 0..18 {
        let name = format!("r{round}");
        whole(&sandbox, &name, &sandbox.path(&name), &[], "at the end");
    }
}

fn segment_bytes(sandbox: &Sandbox) -> u64 {
    // A file may be removed between the listing and this call.
    sandbox.segments().iter().map(|path| path.metadata().map_or(0, |meta| meta.len())).sum()
}

#[test]
fn a_killed_put_from_standard_input_leaves_the_old_object() {
    let sandbox = Sandbox::chunked("cdc:64,256,1024");
    let old = Noise::new(0).bytes(50_000);
    sandbox.put_bytes("k", &old);
    let new = Noise::new(1).bytes(8 << 20);
    for round in 1..=16 {
        let put = args!["put", "-", "--name", "k"];
        let mut child = spawn(sandbox.drystone(put).stdin(Stdio::piped()));
        // The input has not ended, so nothing may be visible of it.
        child.stdin.as_mut().unwrap().write_all(&new[..round * (new.len() / 16)]).unwrap();
        kill(child);
        assert!(sandbox.cat("k") == old, "round {round}");
        assert_eq!(sandbox.ok(args!["ls"]).text(), "k\n");
    }
    sandbox.put_bytes("k", &new);
    assert!(sandbox.cat("k") == new);
}

#[test]
fn killed_at_its_end_a_put_is_all_or_nothing() {
    let sandbox = Sandbox::chunked("cdc:64,256,1024");
    let mut seen = BTreeMap::new();
    for round in 0..20_u64 {
        let new = Noise::new(round).bytes(2000 * (round as usize + 1));
        let put = args!["put", "-", "--name", "k"];
        let mut child = spawn(sandbox.drystone(put).stdin(Stdio::piped()));
        child.stdin.take().unwrap().write_all(&new).unwrap();
        // The input has ended: from here on the commit may happen at any time.
        for _ in 0..round * 200 {
            std::thread::yield_now();
        }
        kill(child);
        let ran = sandbox.run(args!["cat", "k"]);
        match ran.code {
            Some(0) => {
                let of = (0..=round)
                    .find(|of| ran.out == Noise::new(*of).bytes(2000 * (*of as usize + 1)));
                assert!(of.is_some(), "round {round}: {} bytes that were never put", ran.out.len());
                seen.insert(round, of);
            }
            code => {
                assert!(code == Some(4) && seen.is_empty(), "round {round}: {code:?} {}", ran.err);
            }
        }
    }
    sandbox.put_bytes("k", b"after");
    assert_eq!(sandbox.cat("k"), b"after");
}

#[test]
fn a_killed_init_is_finished_by_the_next() {
    for round in 0..15 {
        let sandbox = Sandbox::bare();
        let mut child = spawn(&mut sandbox.drystone(args!["init"]));
        let stages = ["", "segments", "records.db", "records.db-wal", "drystone.toml.new"];
        let stage = sandbox.store().join(stages[round % stages.len()]);
        while !stage.exists() && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        kill(child);
        let again = sandbox.run(args!["init"]);
        assert!(
            again.code == Some(0) || again.err.contains("is a drystone store already"),
            "{}",
            again.err
        );
        sandbox.put_bytes("k", b"bytes");
        assert_eq!(sandbox.cat("k"), b"bytes");
    }
}
