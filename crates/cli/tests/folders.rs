//! Folders come back with their modes and times, and open to their owner only where nothing is
//! known of them.

#![allow(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]

mod support;

use std::fs::{self, File, FileTimes, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use support::{Ran, Sandbox, args, is_root, tree};

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// A folder's time: a number of seconds since 1970 and some nanoseconds.
fn at(path: &Path, seconds: u64) {
    let time = UNIX_EPOCH + Duration::new(seconds, 123_456_789);
    File::open(path)
        .and_then(|folder| folder.set_times(FileTimes::new().set_modified(time)))
        .unwrap();
}

/// `s` with folders of every kind, the deepest first for what changes a time or closes a door.
fn source(sandbox: &Sandbox) -> std::path::PathBuf {
    let source = sandbox.path("s");
    for name in ["private/keys/id", "public/index", "sealed/inner/f", "plain/f"] {
        tree::file(&source.join(name), 1, 10);
    }
    fs::create_dir_all(source.join("plain/empty")).unwrap();
    for (number, (name, mode)) in [
        ("private/keys", 0o700),
        ("private", 0o710),
        ("public", 0o777),
        ("sealed/inner", 0o500),
        ("sealed", 0o555),
        ("plain/empty", 0o550),
        ("plain", 0o755),
        ("", 0o750),
    ]
    .into_iter()
    .enumerate()
    {
        at(&source.join(name), 1_000_000_000 + number as u64);
        chmod(&source.join(name), mode);
    }
    source
}

/// The binary without root's privileges, also where root runs the tests.
fn without_privileges(sandbox: &Sandbox, args: &[&std::ffi::OsStr]) -> Ran {
    let mut command = sandbox.clean("setpriv");
    let bounds = if is_root() { "-dac_override,-dac_read_search,-fowner" } else { "+all" };
    command.arg(format!("--bounding-set={bounds}")).arg(env!("CARGO_BIN_EXE_drystone"));
    Ran::of(command.arg("--store").arg(sandbox.store()).args(args))
}

#[test]
fn a_folder_keeps_its_mode_and_its_time() {
    let sandbox = Sandbox::new();
    let source = source(&sandbox);
    let expected = tree::folders(&source);
    assert_eq!(without_privileges(&sandbox, args!["put", "s"]).code, Some(0));
    // A folder without write permission is filled all the same, because it gets its mode last.
    let get = without_privileges(&sandbox, args!["--json", "get", "s", "into"]);
    assert_eq!(get.code, Some(0), "{}", get.err);
    assert_eq!((get.summary("objects"), get.summary("folders")), (4, 8));
    assert_eq!(tree::folders(&sandbox.path("into/s")), expected);
    tree::assert_same(&tree::read(&sandbox.path("into/s")), &tree::read(&source));
}

#[test]
fn a_part_of_a_tree_has_its_modes_too() {
    let sandbox = Sandbox::new();
    let source = source(&sandbox);
    sandbox.ok(args!["put", "s", "--prefix", "p/"]);
    for (name, below) in [("p/s/sealed/", "sealed"), ("p/s/private/keys", "private/keys")] {
        let into = sandbox.get(name);
        let restored = into.path().join(Path::new(below).file_name().unwrap());
        assert_eq!(tree::folders(&restored), tree::folders(&source.join(below)), "{name}");
    }
    // The store knows nothing of the folder that a prefix names.
    let into = sandbox.get("p");
    assert_eq!(mode(&into.path().join("p")), 0o700);
    assert_eq!(mode(&into.path().join("p/s")), 0o750);
}

#[test]
fn a_second_put_brings_the_modes_that_folders_have_now() {
    let sandbox = Sandbox::new();
    let source = source(&sandbox);
    sandbox.ok(args!["put", "s"]);
    for (name, mode) in [("private", 0o755), ("plain", 0o700), ("plain/empty", 0o755)] {
        chmod(&source.join(name), mode);
    }
    sandbox.ok(args!["put", "s"]);
    assert_eq!(tree::folders(&sandbox.get("s").path().join("s")), tree::folders(&source));
}

#[test]
fn a_folder_of_which_nothing_is_known_is_open_to_its_owner_only() {
    let sandbox = Sandbox::new();
    for key in ["s/a/b/f", "s/g"] {
        sandbox.put_bytes(key, b"from a client that knows no folders");
    }
    // This object says that there is a folder, but not which mode it has.
    sandbox.put_bytes("s/empty/", b"");
    let into = sandbox.get("s");
    for name in ["s", "s/a", "s/a/b", "s/empty"] {
        assert_eq!(mode(&into.path().join(name)), 0o700, "{name}");
    }
}

#[test]
fn a_folder_that_is_there_keeps_its_mode_and_gets_the_files() {
    let sandbox = Sandbox::new();
    source(&sandbox);
    sandbox.ok(args!["put", "s"]);
    let into = sandbox.path("into/s");
    fs::create_dir_all(into.join("private")).unwrap();
    chmod(&into.join("private"), 0o751);
    chmod(&into, 0o771);
    for force in ["--quiet", "--force"] {
        let get = sandbox.run(args!["get", force, "s", "into"]);
        assert_eq!(get.code, Some(0), "{}", get.err);
        assert_eq!((mode(&into), mode(&into.join("private"))), (0o771, 0o751), "{force}");
        assert_eq!(mode(&into.join("private/keys")), 0o700);
        assert_eq!(mode(&into.join("sealed")), 0o555);
    }
}

#[test]
fn a_folder_gets_no_bit_that_gives_privileges() {
    let sandbox = Sandbox::new();
    tree::file(&sandbox.path("s/f"), 1, 1);
    chmod(&sandbox.path("s"), 0o7755);
    sandbox.ok(args!["put", "s"]);
    assert_eq!(mode(&sandbox.get("s").path().join("s")), 0o755);
}

#[test]
fn folders_get_their_modes_also_where_a_file_could_not_be_restored() {
    let sandbox = Sandbox::new();
    let source = source(&sandbox);
    sandbox.ok(args!["put", "s"]);
    fs::create_dir_all(sandbox.path("into/s/public")).unwrap();
    fs::write(sandbox.path("into/s/public/index"), "mine").unwrap();
    sandbox.fails(3, args!["get", "s", "into"]).says(&["s/public/index: it exists already"]);
    for name in ["private", "sealed", "sealed/inner", "plain/empty"] {
        assert_eq!(mode(&sandbox.path("into/s").join(name)), mode(&source.join(name)), "{name}");
    }
}

#[test]
fn more_folders_than_are_kept_in_memory_come_back() {
    let sandbox = Sandbox::new();
    let source = sandbox.path("s");
    // The notes of their paths take several times the memory that is kept for notes.
    let long = "l".repeat(200);
    for number in 0..600 {
        let folder = source.join(format!("{:02}/{long}{number}/inner", number % 30));
        fs::create_dir_all(&folder).unwrap();
        chmod(&folder, 0o500 + number % 64);
    }
    let expected = tree::folders(&source);
    sandbox.ok(args!["put", "s"]);
    let limited = Ran::of(
        &mut sandbox.drystone_limited("-n 32", args!["get", "s", "into", "--workers", "2"]),
    );
    assert_eq!(limited.code, Some(0), "{}", limited.err);
    assert_eq!(tree::folders(&sandbox.path("into/s")), expected);
    support::assert_nothing_temporary_below(&sandbox.path("into"));
}
