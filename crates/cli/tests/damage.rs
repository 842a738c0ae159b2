//! Damage is found, named and contained; it is never a panic and never wrong bytes.

mod support;

use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use drystone_testkit::noise::Noise;
use support::{Sandbox, args, tree};

const KEYS: [&str; 3] = ["s/a", "s/b", "s/c"];

fn body(key: &str) -> Vec<u8> {
    Noise::new(u64::from(key.as_bytes()[2])).bytes(400_000)
}

/// Three objects of several chunks each.
fn three_objects() -> Sandbox {
    let sandbox = Sandbox::chunked("cdc:16KiB,64KiB,256KiB");
    for key in KEYS {
        sandbox.put_bytes(key, &body(key));
    }
    sandbox
}

/// `s/b` is damaged, the others are whole.
#[track_caller]
fn only_b_is_lost(sandbox: &Sandbox, says: &[&str]) {
    sandbox
        .fails(5, args!["cat", "s/b"])
        .says(&["object `s/b` is damaged at offset ", "segment "])
        .says(says);
    let into = sandbox.path("into");
    sandbox.fails(5, args!["get", "s", into]).says(&["s/b: "]).says(says);
    assert!(tree::read(&into).into_keys().eq(["s/a", "s/c"]));
    for key in ["s/a", "s/c"] {
        assert!(fs::read(into.join(key)).expect("a restored file") == body(key), "{key}");
    }
}

#[test]
fn a_flipped_bit_is_found_and_located() {
    let sandbox = three_objects();
    let (segment, at) = sandbox.find_in_segments(&body("s/b")[300_000..300_064]);
    let mut bytes = fs::read(&segment).unwrap();
    bytes[at + 20] ^= 0x10;
    fs::write(&segment, bytes).unwrap();
    let name = segment.file_name().unwrap().to_str().unwrap();
    only_b_is_lost(&sandbox, &[name.trim_start_matches('0'), "hash to"]);
    // What comes out before the damage is right, and the ranges that it does not touch are whole.
    let read = sandbox.run(args!["cat", "s/b"]).out;
    assert!(!read.is_empty() && body("s/b").starts_with(&read));
    let before = sandbox.ok(args!["cat", "s/b", "--range", "0-999"]);
    assert!(before.out == body("s/b")[..1000]);
    sandbox.fails(5, args!["cat", "s/b", "--range", "300020-300020"]);
}

#[test]
fn a_truncated_segment_loses_what_was_cut_off() {
    let sandbox = three_objects();
    let (segment, at) = sandbox.find_in_segments(&body("s/c")[100_000..100_064]);
    fs::OpenOptions::new().write(true).open(&segment).unwrap().set_len(at as u64).unwrap();
    sandbox
        .fails(5, args!["cat", "s/c"])
        .says(&["object `s/c` is damaged", "the segment ends before"]);
    assert!(sandbox.cat("s/a") == body("s/a"));
}

#[test]
fn a_truncated_segment_does_not_stop_new_puts() {
    let sandbox = three_objects();
    for segment in sandbox.segments() {
        fs::OpenOptions::new().write(true).open(&segment).unwrap().set_len(100).unwrap();
    }
    let fresh = Noise::new(1).bytes(300_000);
    let ran = sandbox.feed(args!["put", "-", "--name", "fresh"], &fresh);
    // The command may refuse or go on. But it must report the damage, and acknowledge nothing that
    // cannot be read.
    match ran.code {
        Some(0) => assert!(sandbox.cat("fresh") == fresh),
        _ => _ = ran.says(&["segment"]),
    }
}

#[test]
fn a_missing_segment_is_named() {
    let sandbox = three_objects();
    for segment in sandbox.segments() {
        fs::remove_file(segment).unwrap();
    }
    sandbox
        .fails(5, args!["cat", "s/a"])
        .says(&["object `s/a` is damaged at offset 0", "segment is missing"]);
    assert_eq!(sandbox.ok(args!["ls"]).text(), "s/a\ns/b\ns/c\n");
    sandbox.put_bytes("fresh", b"fresh");
    assert_eq!(sandbox.cat("fresh"), b"fresh");
}

#[test]
fn what_is_not_a_store_is_not_taken_for_one() {
    let sandbox = Sandbox::bare();
    let store = sandbox.store();
    let refused = |code: i32, says: &str| {
        for command in [
            args!["ls"],
            args!["put", "config"],
            args!["cat", "x"],
            args!["stat"],
            args!["rm", "x"],
        ] {
            sandbox.fails(code, command).says(&[says]);
        }
    };
    refused(4, "is not a drystone store");
    fs::write(&store, "a file").unwrap();
    refused(4, "is not a drystone store");
    fs::remove_file(&store).unwrap();
    fs::create_dir(&store).unwrap();
    fs::write(store.join("mine"), "mine").unwrap();
    refused(4, "is not a drystone store");
    sandbox.fails(1, args!["init"]).says(&["is not empty and not a drystone store"]);
    assert_eq!(fs::read_dir(&store).unwrap().count(), 1);
}

#[test]
fn a_second_init_changes_nothing() {
    let sandbox = three_objects();
    sandbox.fails(1, args!["init", "--chunk", "fixed:100"]).says(&["is a drystone store already"]);
    assert!(sandbox.cat("s/a") == body("s/a"));
}

#[test]
fn the_description_of_the_store_is_checked() {
    let sandbox = three_objects();
    let file = sandbox.store().join("drystone.toml");
    let text = fs::read_to_string(&file).unwrap();
    let check = |changed: &[u8], code: i32, says: &str| {
        fs::write(&file, changed).unwrap();
        sandbox.fails(code, args!["ls"]).says(&[says]);
    };
    check(text.replace("format = 1", "format = 2").as_bytes(), 1, "use a newer drystone");
    check(b"format = 9000000000000000000\nnothing = \"known\"", 1, "use a newer drystone");
    check(text.replace("format = 1", "format = -1").as_bytes(), 5, "drystone.toml");
    check(text.replace("blake3-256", "md5").as_bytes(), 5, "unknown hash `md5`");
    check(text.replace("65536", "0").as_bytes(), 5, "drystone.toml");
    check(text.replace("fastcdc-2020", "rabin").as_bytes(), 5, "drystone.toml");
    check(b"", 5, "drystone.toml");
    check(b"\xff\xfe\x00", 5, "drystone.toml");
    check(&Noise::new(1).bytes(1 << 20), 5, "drystone.toml");
}

#[test]
fn missing_records_are_named() {
    let sandbox = three_objects();
    fs::remove_file(sandbox.store().join("records.db")).unwrap();
    for command in [args!["ls"], args!["put", "config"], args!["cat", "s/a"]] {
        sandbox.fails(5, command).says(&["records.db is missing"]);
    }
    assert!(!sandbox.store().join("records.db").exists());
}

/// Every command answers with exit code 5 and a name. A command that did not meet the damage may
/// also answer rightly.
#[track_caller]
fn damaged_records(damage: impl Fn(&Path), always: bool) {
    let sandbox = three_objects();
    tree::many(&sandbox.path("more"), 3, 1000, 100);
    sandbox.ok(args!["put", "more"]);
    let records = sandbox.store().join("records.db");
    assert!(!sandbox.store().join("records.db-wal").exists(), "all of it is in the file");
    damage(&records);
    let mut found = false;
    for command in [
        args!["ls"],
        args!["cat", "s/a"],
        args!["stat"],
        args!["--json", "get", "more", sandbox.path("into")],
        args!["put", "config", "more"],
        args!["rm", "-r", "more"],
    ] {
        let ran = sandbox.run(command);
        if ran.code == Some(5) {
            found = true;
            assert!(
                ran.err.contains("records") && ran.err.contains("damaged"),
                "{command:?}: {}",
                ran.err
            );
        } else {
            assert!(!always, "{command:?}: {:?}: {}", ran.code, ran.err);
            assert!(matches!(ran.code, Some(0 | 4)), "{command:?}: {:?}: {}", ran.code, ran.err);
        }
    }
    assert!(found, "the damage was not noticed");
}

#[test]
fn empty_records_are_damaged() {
    damaged_records(|path| fs::write(path, "").unwrap(), true);
}

#[test]
fn random_records_are_damaged() {
    damaged_records(|path| fs::write(path, Noise::new(1).bytes(100_000)).unwrap(), true);
}

#[test]
fn truncated_records_are_damaged() {
    let truncate = |path: &Path| {
        let file = fs::OpenOptions::new().write(true).open(path).unwrap();
        file.set_len(file.metadata().unwrap().len() / 3).unwrap();
    };
    damaged_records(truncate, false);
}

#[test]
fn records_overwritten_in_the_middle_are_damaged() {
    let overwrite = |path: &Path| {
        let mut file = fs::OpenOptions::new().write(true).open(path).unwrap();
        let len = file.metadata().unwrap().len();
        file.seek(SeekFrom::Start(4096)).unwrap();
        file.write_all(&vec![0xff; len as usize - 8192]).unwrap();
    };
    damaged_records(overwrite, false);
}

#[test]
fn records_of_somebody_else_are_refused() {
    let sandbox = three_objects();
    let records = sandbox.store().join("records.db");
    let mut bytes = fs::read(&records).unwrap();
    // SQLite's application id.
    bytes[68..72].copy_from_slice(&[0; 4]);
    fs::write(&records, &bytes).unwrap();
    sandbox.fails(5, args!["ls"]).says(&["not a drystone database"]);
    bytes[68..72].copy_from_slice(&0x4452_5953_u32.to_be_bytes());
    // Its user version.
    bytes[60..64].copy_from_slice(&7_u32.to_be_bytes());
    fs::write(&records, &bytes).unwrap();
    sandbox.fails(1, args!["ls"]).says(&["version 7", "use a newer drystone"]);
}

/// Changes the records of one object of a hundred chunks, and reads.
#[track_caller]
fn contradicting_records(sql: &str, whole: bool) {
    let sandbox = Sandbox::chunked("fixed:1000");
    let bytes = Noise::new(1).bytes(100_000);
    sandbox.put_bytes("s/o", &bytes);
    let db = rusqlite::Connection::open(sandbox.store().join("records.db")).expect("the records");
    // Real damage does not keep to the rules of the schema.
    db.execute_batch("PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON")
        .expect("settings");
    assert!(db.execute(sql, []).expect("a change") > 0, "{sql}");
    db.close().expect("nothing is prepared any more");
    for (range, from, to) in
        [("0-", 0, 100_000), ("60500-60600", 60_500, 60_601), ("100-199", 100, 200)]
    {
        let ran = sandbox.run(args!["cat", "--range", range, "s/o"]);
        match ran.code {
            Some(0) => assert!(!whole && ran.out == bytes[from..to], "{sql}: {range}"),
            Some(5) => assert!(bytes[from..].starts_with(&ran.out), "{sql}: {range}"),
            code => panic!("{sql}: {range}: {code:?} {}", ran.err),
        }
    }
    let get = sandbox.run(args!["get", "s", sandbox.path("into")]);
    assert_eq!(get.code, Some(5), "{sql}: {}", get.err);
    assert!(!sandbox.path("into/s/o").exists(), "{sql}");
}

#[test]
fn records_that_contradict_themselves_give_no_wrong_bytes() {
    contradicting_records("DELETE FROM manifest_chunks WHERE offset = 60000", false);
    contradicting_records("DELETE FROM manifest_chunks WHERE offset >= 60000", false);
    contradicting_records("DELETE FROM manifest_chunks", true);
    contradicting_records("UPDATE chunks SET offset = offset + 1 WHERE offset = 60064", false);
    contradicting_records("UPDATE chunks SET offset = 1 << 60", true);
    contradicting_records("UPDATE chunks SET length = 999", false);
    contradicting_records("UPDATE chunks SET length = 1001", true);
    contradicting_records("UPDATE chunks SET length = 1 << 40", true);
    contradicting_records("UPDATE chunks SET length = -1", true);
    contradicting_records("UPDATE chunks SET segment = 99", true);
    contradicting_records("UPDATE objects SET size = 100001", false);
    contradicting_records("UPDATE objects SET size = -1", true);
    contradicting_records("UPDATE objects SET mode = -1", true);
    contradicting_records("UPDATE objects SET content = x'00'", true);
    contradicting_records("UPDATE objects SET modified_ns = 'yesterday'", true);
}

/// Every chunk is the one that its name says, but together they are not the bytes that were stored.
#[test]
fn other_chunks_than_those_stored_are_noticed() {
    for sql in [
        "UPDATE objects SET size = 50000",
        "UPDATE objects SET size = 99950",
        "UPDATE objects SET size = 0",
        "UPDATE manifest_chunks SET chunk = (SELECT chunk FROM manifest_chunks WHERE offset = \
         1000) WHERE offset = 60000",
    ] {
        let sandbox = Sandbox::chunked("fixed:1000");
        sandbox.put_bytes("s/o", &Noise::new(1).bytes(100_000));
        let db =
            rusqlite::Connection::open(sandbox.store().join("records.db")).expect("the records");
        db.execute_batch("PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON")
            .expect("settings");
        assert!(db.execute(sql, []).expect("a change") > 0, "{sql}");
        db.close().expect("nothing is prepared any more");
        sandbox.fails(5, args!["cat", "s/o"]);
        sandbox.fails(5, args!["get", "s", sandbox.path("into")]);
        assert!(!sandbox.path("into/s/o").exists(), "{sql}");
    }
}
