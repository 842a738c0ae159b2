//! Trees of files: made from a seed, and compared.

use std::collections::BTreeMap;
use std::fs::{self, File, FileTimes, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use drystone_testkit::noise::Noise;

/// One entry of a tree.
#[derive(PartialEq, Eq)]
pub(crate) enum Entry {
    File { bytes: Vec<u8>, mode: u32, modified: (i64, i64) },
    EmptyFolder,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File { bytes, mode, modified } => write!(
                f,
                "{} bytes {:02x?}, mode {mode:o}, modified {modified:?}",
                bytes.len(),
                &bytes[..bytes.len().min(8)]
            ),
            Self::EmptyFolder => write!(f, "empty folder"),
        }
    }
}

/// What is below a folder, by path; folders that hold something are in the paths.
pub(crate) type Tree = BTreeMap<String, Entry>;

/// Reads regular files and empty folders.
pub(crate) fn read(root: &Path) -> Tree {
    let mut tree = Tree::new();
    for path in super::files_below(root) {
        let name = path.strip_prefix(root).expect("below the root").to_string_lossy().into_owned();
        let meta = path.symlink_metadata().expect("what was just listed");
        if meta.is_file() {
            let bytes = fs::read(&path).expect("a readable file");
            let modified = (meta.mtime(), meta.mtime_nsec());
            tree.insert(name, Entry::File { bytes, mode: meta.mode() & 0o7777, modified });
        } else if meta.is_dir()
            && fs::read_dir(&path).is_ok_and(|mut entries| entries.next().is_none())
        {
            tree.insert(name, Entry::EmptyFolder);
        }
    }
    tree
}

/// Mode and time of every folder, by path with a slash at its end; the root's is empty.
pub(crate) fn folders(root: &Path) -> BTreeMap<String, (u32, i64, i64)> {
    let all = std::iter::once(root.to_owned()).chain(super::files_below(root));
    let folders = all.filter_map(|path| {
        let meta = path.symlink_metadata().expect("what was just listed");
        let name = path.strip_prefix(root).expect("below the root").to_string_lossy().into_owned();
        let name = if name.is_empty() { name } else { name + "/" };
        meta.is_dir().then(|| (name, (meta.mode() & 0o7777, meta.mtime(), meta.mtime_nsec())))
    });
    folders.collect()
}

/// Fails on the first difference, without printing the bytes of every file.
#[track_caller]
pub(crate) fn assert_same(found: &Tree, expected: &Tree) {
    for (name, entry) in expected {
        assert!(
            found.get(name) == Some(entry),
            "{name:?}: {:?} should be {entry:?}",
            found.get(name)
        );
    }
    let extra: Vec<_> = found.keys().filter(|name| !expected.contains_key(*name)).collect();
    assert!(extra.is_empty(), "these were not expected: {extra:?}");
}

/// Writes one file with a mode and a time that depend on `seed`.
pub(crate) fn file(path: &Path, seed: u64, len: usize) {
    fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    let mut noise = Noise::new(seed);
    fs::write(path, noise.bytes(len)).expect("a file");
    let mode = [0o644, 0o600, 0o755, 0o444, 0o777, 0o640][noise.below(6) as usize];
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("a mode");
    let since = Duration::new(noise.below(2_000_000_000), noise.below(1_000_000_000) as u32);
    let times = FileTimes::new().set_modified(UNIX_EPOCH + since);
    File::open(path).and_then(|file| file.set_times(times)).expect("a time");
}

/// A tree with all that is awkward: depth, width, empty things, odd names, and lengths around each
/// of `boundaries`.
pub(crate) fn awkward(root: &Path, seed: u64, boundaries: &[usize]) {
    let mut noise = Noise::new(seed);
    let mut next = || noise.number();
    let deep = (0..40).fold(root.join("deep"), |folder, depth| folder.join(format!("d{depth}")));
    file(&deep.join("bottom"), next(), 1000);
    for number in 0..200 {
        file(&root.join(format!("wide/{number:03}")), next(), number % 7);
    }
    for &boundary in boundaries {
        for len in [boundary.saturating_sub(1), boundary, boundary + 1] {
            file(&root.join(format!("lengths/{len}")), next(), len);
        }
    }
    let long = "l".repeat(255);
    for name in [
        "with space",
        " begins with space",
        "new\nline",
        "tab\tand \u{1b}[31mescape",
        "ünïcödé-写真-🪨",
        "-dash",
        ".hidden",
        "quote'\"`$(x)",
        "back\\slash",
        "per%cent_under",
        "..two",
        &long,
    ] {
        file(&root.join("names").join(name), next(), 100);
        file(&root.join("names/as folder").join(name).join("f"), next(), 10);
    }
    for name in ["empty", "deep/empty", "names/empty ünï\n"] {
        fs::create_dir_all(root.join(name)).expect("a folder");
    }
    let twin = next();
    file(&root.join("twins/a"), twin, 5000);
    file(&root.join("twins/b"), twin, 5000);
    for (name, mode) in [
        ("empty", 0o500),
        ("twins", 0o555),
        ("wide", 0o777),
        ("names", 0o700),
        ("deep", 0o750),
        ("deep/d0", 0o711),
    ] {
        fs::set_permissions(root.join(name), Permissions::from_mode(mode)).expect("a mode");
    }
    // A time before 1970 is a time.
    let old = root.join("old");
    file(&old, next(), 1);
    let times = FileTimes::new().set_modified(UNIX_EPOCH - Duration::new(1_000_000, 123_456_789));
    File::open(&old).and_then(|file| file.set_times(times)).expect("a time");
}

/// Many files of one folder, quickly.
pub(crate) fn many(root: &Path, seed: u64, count: usize, len_max: u64) {
    fs::create_dir_all(root).expect("a folder");
    let mut noise = Noise::new(seed);
    for number in 0..count {
        let len = noise.below(len_max + 1) as usize;
        let folder = root.join(format!("{:03}", number / 100));
        if number % 100 == 0 {
            fs::create_dir_all(&folder).expect("a folder");
        }
        fs::write(folder.join(format!("{number}")), noise.bytes(len)).expect("a file");
    }
}
