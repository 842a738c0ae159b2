//! Folders as zip archives, unpacked by the tools that people have.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

#[allow(dead_code, reason = "each file of tests uses a part of it")]
mod common;

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use common::{ACCESS, Answer, Running, SECRET, config, dechunked, head, noise, skipped};
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
    let server = Running::start(config());
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

#[test]
fn an_archive_that_nobody_reads_any_more_gives_its_place_back() {
    let server = Running::start(config());
    put(&server, "f/large", &noise(20_000_000, 1), None);
    let get = head(Some((ACCESS, SECRET)), "GET", "/_/files/files/f/?archive=zip", &[], None);
    for _ in 0..3 {
        let mut open: Vec<_> = (0..4).map(|_| server.connect()).collect();
        for socket in &mut open {
            socket.write_all(get.as_bytes()).unwrap();
            socket.read_exact(&mut [0; 100]).unwrap();
        }
        let metrics = server.request("GET", "/_/metrics", &[], b"").text();
        assert!(metrics.contains("drystone_resource_now{resource=\"zips\"} 4\n"), "{metrics}");
        drop(open);
        let quiet = || {
            let metrics = server.request("GET", "/_/metrics", &[], b"").text();
            metrics.contains("drystone_resource_now{resource=\"zips\"} 0\n")
                && metrics.contains("drystone_resource_now{resource=\"transfers\"} 0\n")
        };
        let begun = std::time::Instant::now();
        while !quiet() {
            assert!(begun.elapsed().as_secs() < 60, "a place was lost");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
    assert_eq!(ask(&server, "GET", "/_/files/files/f/?archive=rar").status, 400);
    assert_eq!(ask(&server, "GET", "/_/files/absent/?archive=zip").status, 404);
}
