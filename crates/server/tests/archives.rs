//! Folders as zip archives, unpacked by the tools that people have.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

#[allow(dead_code, reason = "each file of tests uses a part of it")]
mod common;

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{ACCESS, Answer, Running, SECRET, config, dechunked, head, noise, skipped};
use drystone_server::{Deadlines, ServerConfig};
use drystone_store::{BucketName, Condition, Key, ObjectMeta, PutTarget, SyncPolicy};
use drystone_testkit::memory::{Fault, FaultPlan, Io, Memory, MemoryConfig};

/// Unpacks into the folder, and tells names, sizes, types and permissions as the list at the end
/// has them.
const PYTHON: &str = "
import sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as z:
    assert z.testzip() is None
    z.extractall(sys.argv[2])
    for i in z.infolist():
        print(i.file_size, i.compress_type, oct(i.external_attr >> 16), *i.date_time, repr(i.filename), sep='|')
";

const TAR: &str = "
import sys, tarfile
with tarfile.open(sys.argv[1]) as t:
    t.extractall(sys.argv[2])
";

fn ask(server: &Running, method: &str, path: &str) -> Answer {
    server.say(head(Some((ACCESS, SECRET)), method, path, &[], None).as_bytes())
}

fn put(server: &Running, key: &str, bytes: &[u8], mode: Option<u32>) {
    let mut ingest = server.store.ingest(60_000).unwrap();
    let meta = ObjectMeta { modified_ns: 951_827_697_000_000_000, mode, ..ObjectMeta::default() };
    let (bucket, key) = (BucketName::new("files").unwrap(), Key::new(key).unwrap());
    let target = PutTarget { bucket, key, meta, condition: Condition::Always };
    ingest.put_now(target, &mut &*bytes).unwrap();
}

fn has(program: &str) -> bool {
    let probed =
        Command::new(program).arg("--help").stdout(Stdio::null()).stderr(Stdio::null()).status();
    probed.is_ok_and(|status| status.code().is_some())
}

/// All files below a folder, with their bytes.
fn unpacked(folder: &Path, below: &str, into: &mut BTreeMap<String, Vec<u8>>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{below}{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            unpacked(&entry.path(), &format!("{name}/"), into);
        } else {
            into.insert(name, std::fs::read(entry.path()).unwrap());
        }
    }
}

#[test]
fn a_folder_is_unpacked_as_it_was() {
    let server = Running::start(config());
    let mut expected = BTreeMap::new();
    for (key, len) in [
        ("folder/empty", 0),
        ("folder/small ü.txt", 5),
        ("folder/deep/er/large", 3_000_001),
        ("folder/100%", 70_000),
        ("folder/deep/x", 1),
    ] {
        let bytes = noise(len, len as u64);
        put(&server, key, &bytes, Some(0o640));
        expected.insert(key.to_owned(), bytes);
    }
    put(&server, "folderish", b"not of it", None);
    put(&server, "folder/marker/", b"", None);
    let path = "/_/files/files/folder/?archive=zip";
    let answer = ask(&server, "GET", path);
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/zip")));
    assert_eq!(
        answer.header("content-disposition"),
        Some("attachment; filename*=UTF-8''folder.zip")
    );
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(ask(&server, "HEAD", path).status, 200);
    let work = tempfile::tempdir().unwrap();
    let zip = work.path().join("folder.zip");
    std::fs::write(&zip, dechunked(&answer.body)).unwrap();
    let check = |output: std::process::Output, folder: &Path| {
        let said =
            [&output.stdout, &output.stderr].map(|said| String::from_utf8_lossy(said).into_owned());
        assert!(output.status.success(), "{said:?}");
        let mut found = BTreeMap::new();
        unpacked(folder, "", &mut found);
        assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
        assert!(found == expected, "other bytes");
        said[0].clone()
    };
    if has("python3") {
        let folder = work.path().join("python");
        let told =
            Command::new("python3").args(["-c", PYTHON]).arg(&zip).arg(&folder).output().unwrap();
        let told = check(told, &folder);
        assert!(told.contains("5|0|0o100640|2000|2|29|12|34|56|'folder/small ü.txt'\n"), "{told}");
    } else {
        skipped("a zip archive is not unpacked by python3: it is not here");
    }
    if has("unzip") {
        let folder = work.path().join("unzip");
        let test = Command::new("unzip").arg("-tqq").arg(&zip).output().unwrap();
        assert!(test.status.success() && test.stderr.is_empty(), "{test:?}");
        let mut unzip = Command::new("unzip");
        // Without it, some are of the opinion that a name is never UTF-8.
        unzip.env("LC_ALL", "C.UTF-8").arg("-q").arg(&zip).arg("-d").arg(&folder);
        check(unzip.output().unwrap(), &folder);
    } else {
        skipped("a zip archive is not unpacked by unzip: it is not here");
    }
}

#[test]
fn names_stay_in_the_folder_into_which_they_are_unpacked() {
    let server = Running::start(config());
    for key in ["/lead", "a//b", "a/%2Fb", "..\\..\\climb", "C:drive", "line\nbreak", "..a", "ok"] {
        put(&server, key, key.as_bytes(), None);
    }
    if !has("python3") {
        return skipped("archives are not unpacked by python3: it is not here");
    }
    let work = tempfile::tempdir().unwrap();
    for (kind, program) in [("zip", PYTHON), ("tar", TAR)] {
        let answer = ask(&server, "GET", &format!("/_/files/files/?archive={kind}"));
        let disposition = format!("attachment; filename*=UTF-8''files.{kind}");
        assert_eq!(answer.header("content-disposition"), Some(disposition.as_str()));
        let archive = work.path().join(kind);
        std::fs::write(&archive, dechunked(&answer.body)).unwrap();
        let folder = work.path().join(format!("from {kind}"));
        let told = Command::new("python3")
            .args(["-c", program])
            .arg(&archive)
            .arg(&folder)
            .output()
            .unwrap();
        assert!(told.status.success(), "{told:?}");
        let mut found = BTreeMap::new();
        unpacked(&folder, "", &mut found);
        let expected = [
            "%2Flead",
            "..%5C..%5Cclimb",
            "..a",
            "C%3Adrive",
            "a/%252Fb",
            "a/%2Fb",
            "line%0Abreak",
            "ok",
        ];
        assert_eq!(found.keys().map(String::as_str).collect::<Vec<_>>(), expected, "{kind}");
    }
}

#[test]
fn an_archive_that_breaks_off_does_not_look_whole() {
    let config = config();
    let memory = Memory::new(MemoryConfig { sync: SyncPolicy::Never, segment_bytes_max: 1 << 30 });
    let (records, segments) = memory.open();
    let server = Running::over(common::store(records, segments, &config), config, None);
    put(&server, "f/a", &noise(400_000, 1), None);
    put(&server, "f/b", &noise(400_000, 2), None);
    let whole = ask(&server, "GET", "/_/files/files/f/?archive=tar").body;
    assert!(whole.ends_with(b"0\r\n\r\n"));
    // The reads of `a` go well.
    let reads = (0..).find(|&after| {
        memory.arm(FaultPlan { io: Some(Io::Read), after, fault: Fault::Garble });
        let found = ask(&server, "GET", "/_/files/files/f/a");
        memory.disarm();
        found.status == 200 && found.body == noise(400_000, 1)
    });
    memory.arm(FaultPlan { io: Some(Io::Read), after: reads.unwrap(), fault: Fault::Garble });
    let cut = ask(&server, "GET", "/_/files/files/f/?archive=tar").body;
    assert!(cut.len() < whole.len() && !cut.ends_with(b"0\r\n\r\n"));
    assert!(
        cut.ends_with(b"\r\ncut off\r\n"),
        "a tar that ends between two files is taken for whole"
    );
}

#[test]
fn a_folder_with_too_many_files_for_a_zip_is_told_so_before_anything_is_sent() {
    let mut config = config();
    // The list has as much room as a slot of the spool.
    config.plan.spool_slot_bytes = 128 << 10;
    let server = Running::start(config);
    let mut ingest = server.store.ingest(60_000).unwrap();
    // Names that have nothing in common, so that not so many are needed.
    for number in 0..300 {
        let name: String =
            noise(450, 2 * number + 1).iter().map(|byte| format!("{byte:02x}")).collect();
        let (bucket, key) =
            (BucketName::new("files").unwrap(), Key::new(format!("f/{name}")).unwrap());
        let target =
            PutTarget { bucket, key, meta: ObjectMeta::default(), condition: Condition::Always };
        ingest.put_now(target, &mut &b"x"[..]).unwrap();
    }
    drop(ingest);
    let refused = ask(&server, "GET", "/_/files/files/f/?archive=zip");
    assert_eq!(refused.status, 400);
    assert!(refused.text().contains("?archive=tar"), "{}", refused.text());
    let tar = ask(&server, "GET", "/_/files/files/f/?archive=tar");
    assert!(dechunked(&tar.body).len() > 300 * 512);
}

/// A folder of 4 MB in large files and small ones, whose list is too long to be kept in memory.
fn fill(server: &Running) {
    for number in 0..200 {
        let name = format!("f/{number:03} {}", "long ".repeat(20));
        put(server, &name, &noise(if number % 5 == 0 { 100_000 } else { 300 }, number), None);
    }
    put(server, "f/large", &noise(400_000, 1), None);
}

fn in_use(server: &Running, resource: &str) -> u64 {
    let metrics = server.request("GET", "/_/metrics", &[], b"").text();
    let row = format!("drystone_resource_now{{resource=\"{resource}\"}} ");
    let now = metrics.lines().find_map(|line| line.strip_prefix(&row)).unwrap();
    now.parse().unwrap()
}

/// Waits until so much of each resource is in use.
fn wait_for(server: &Running, expected: &[(&str, u64)]) {
    let begun = Instant::now();
    loop {
        let found: Vec<_> =
            expected.iter().map(|(name, _)| (*name, in_use(server, name))).collect();
        if found == expected {
            return;
        }
        assert!(begun.elapsed().as_secs() < 60, "{found:?} instead of {expected:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Begins to read an archive, and stops.
fn begun(server: &Running, path: &str) -> (TcpStream, Vec<u8>) {
    let get = head(Some((ACCESS, SECRET)), "GET", path, &[], None);
    let (mut socket, mut first) = (server.connect(), vec![0; 100]);
    socket.write_all(get.as_bytes()).unwrap();
    socket.read_exact(&mut first).unwrap();
    (socket, first)
}

/// Four at a time had been made, each for as long as its client took.
#[test]
fn slow_readers_of_archives_hold_their_connections_only_and_get_all_of_them() {
    const READERS: usize = 8;
    // It is not for its silence that one is closed.
    let deadlines = Deadlines { unread: Duration::from_secs(600), ..Deadlines::default() };
    let server = Running::start(ServerConfig { deadlines, ..config() });
    fill(&server);
    let small = noise(1000, 7);
    put(&server, "small", &small, None);
    for kind in ["zip", "tar"] {
        let path = format!("/_/files/files/f/?archive={kind}");
        let whole = dechunked(&ask(&server, "GET", &path).body);
        assert!(whole.len() > 4_000_000, "{} bytes are all in the kernel", whole.len());
        let slow: Vec<_> = (0..READERS).map(|_| begun(&server, &path)).collect();
        // More of them than turns, of which there are two; and each zip has a list.
        let slots = if kind == "zip" { READERS as u64 } else { 0 };
        wait_for(&server, &[("spool", slots)]);
        assert!(ask(&server, "GET", "/_/files/files/small").body == small);
        assert!(dechunked(&ask(&server, "GET", &path).body) == whole);
        for (mut socket, mut bytes) in slow {
            socket.read_to_end(&mut bytes).unwrap();
            let head = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
            let found = dechunked(&bytes[head + 4..]);
            assert!(found == whole, "a slow reader of a {kind} got something else");
        }
        wait_for(&server, &[("downloads", 0), ("buffers", 0), ("spool", 0)]);
    }
}

#[test]
fn an_archive_whose_client_has_gone_gives_back_what_it_had() {
    let server = Running::start(config());
    fill(&server);
    for _ in 0..3 {
        let open: Vec<_> =
            (0..4).map(|_| begun(&server, "/_/files/files/f/?archive=zip")).collect();
        wait_for(&server, &[("spool", 4)]);
        drop(open);
        wait_for(&server, &[("spool", 0), ("downloads", 0), ("archives", 0)]);
    }
    assert_eq!(ask(&server, "GET", "/_/files/files/f/?archive=rar").status, 400);
    assert_eq!(ask(&server, "GET", "/_/files/absent/?archive=zip").status, 404);
}
