//! What the tests of the binary share: a place of their own to run it in, with nothing of the
//! user's environment, and trees of files to store and compare.
#![allow(dead_code, reason = "every test file is a crate of its own and uses a part of this")]

pub(crate) mod tree;

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

/// Arguments of any kind that is a string to the operating system.
macro_rules! args {
    ($($arg:expr),* $(,)?) => {
        &[$(AsRef::<std::ffi::OsStr>::as_ref(&$arg)),*] as &[&std::ffi::OsStr]
    };
}
pub(crate) use args;

/// Says that a test did nothing. `cargo xtask verify` reads it, too, and counts such tests.
pub(crate) fn skipped(why: &str) {
    eprintln!("SKIPPED: {why}");
    if let Some(list) = std::env::var_os("DRYSTONE_SKIPPED") {
        let mut list =
            fs::OpenOptions::new().append(true).open(list).expect("the list of what was skipped");
        // In one write: other tests append to it at the same time.
        list.write_all(format!("{why}\n").as_bytes()).expect("the list of what was skipped");
    }
}

/// A temporary folder with a store in it.
pub(crate) struct Sandbox {
    root: TempDir,
}

/// How a run ended.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: Vec<u8>,
    pub(crate) err: String,
}

impl Sandbox {
    /// With a store of the default chunking.
    pub(crate) fn new() -> Self {
        let sandbox = Self::bare();
        sandbox.ok(args!["init"]);
        sandbox
    }

    pub(crate) fn chunked(chunking: &str) -> Self {
        let sandbox = Self::bare();
        sandbox.ok(args!["init", "--chunk", chunking]);
        sandbox
    }

    /// Without a store.
    pub(crate) fn bare() -> Self {
        let root = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir(root.path().join("config")).expect("a folder for settings");
        Self { root }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.path("store")
    }

    /// The binary, with the store given and nothing of the environment but the search path.
    pub(crate) fn drystone(&self, args: &[&OsStr]) -> Command {
        let mut command = self.clean(env!("CARGO_BIN_EXE_drystone"));
        command.arg("--store").arg(self.store()).args(args);
        command
    }

    /// The same under a shell's `ulimit`.
    pub(crate) fn drystone_limited(&self, ulimit: &str, args: &[&OsStr]) -> Command {
        let mut command = self.clean("sh");
        command.arg("-c").arg(format!("ulimit {ulimit} && exec \"$0\" \"$@\""));
        command.arg(env!("CARGO_BIN_EXE_drystone")).arg("--store").arg(self.store()).args(args);
        command
    }

    pub(crate) fn clean(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env_clear().current_dir(self.root.path()).stdin(Stdio::null());
        command.env("XDG_CONFIG_HOME", self.path("config")).env("HOME", self.root.path());
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command
    }

    pub(crate) fn run(&self, args: &[&OsStr]) -> Ran {
        Ran::of(&mut self.drystone(args))
    }

    #[track_caller]
    pub(crate) fn ok(&self, args: &[&OsStr]) -> Ran {
        self.fails(0, args)
    }

    /// Runs and expects this exit code.
    #[track_caller]
    pub(crate) fn fails(&self, code: i32, args: &[&OsStr]) -> Ran {
        let ran = self.run(args);
        assert_eq!(ran.code, Some(code), "{args:?} said: {}", ran.err);
        ran
    }

    /// Puts these bytes from standard input.
    #[track_caller]
    pub(crate) fn put_bytes(&self, key: &str, bytes: &[u8]) -> Ran {
        let ran = self.feed(args!["--json", "put", "-", "--allow-empty", "--name", key], bytes);
        assert_eq!(ran.code, Some(0), "{key}: {}", ran.err);
        ran
    }

    pub(crate) fn feed(&self, args: &[&OsStr], bytes: &[u8]) -> Ran {
        let mut child = spawn(self.drystone(args).stdin(Stdio::piped()));
        let mut input = child.stdin.take().expect("a pipe");
        std::thread::scope(|scope| {
            // Writing fails when the program ends early. The exit code tells more about that.
            scope.spawn(move || input.write_all(bytes));
            Ran::new(child.wait_with_output().expect("its output"))
        })
    }

    #[track_caller]
    pub(crate) fn cat(&self, key: &str) -> Vec<u8> {
        self.ok(args!["cat", "--", key]).out
    }

    /// Restores `name` into a new folder and returns what is there.
    #[track_caller]
    pub(crate) fn get(&self, name: &str) -> TempDir {
        let into = tempfile::tempdir_in(self.root.path()).expect("a temporary folder");
        self.ok(args!["get", "--", name, into.path()]);
        into
    }

    /// All segment files.
    pub(crate) fn segments(&self) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> = files_below(&self.store().join("segments"))
            .into_iter()
            .filter(|path| path.is_file())
            .collect();
        files.sort();
        files
    }

    /// The segment that holds these bytes, and where.
    #[track_caller]
    pub(crate) fn find_in_segments(&self, bytes: &[u8]) -> (PathBuf, usize) {
        for path in self.segments() {
            let segment = fs::read(&path).expect("a segment");
            if let Some(at) = segment.windows(bytes.len()).position(|window| window == bytes) {
                return (path, at);
            }
        }
        panic!("no segment holds these bytes");
    }
}

impl Ran {
    /// Runs a server that should refuse to start. Its standard output is full: if it starts all the
    /// same, it cannot print its address, and ends.
    pub(crate) fn of_server(command: &mut Command) -> Self {
        Self::of(command.stdout(fs::File::create("/dev/full").expect("a device that is full")))
    }

    pub(crate) fn of(command: &mut Command) -> Self {
        Self::new(command.output().expect("the binary runs"))
    }

    /// A panic is never a valid answer, for any input.
    #[track_caller]
    pub(crate) fn new(output: Output) -> Self {
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!err.contains("panicked at"), "{err}");
        Self { code: output.status.code(), out: output.stdout, err }
    }

    #[track_caller]
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.out).expect("UTF-8")
    }

    /// Standard output as one JSON value a line.
    #[track_caller]
    pub(crate) fn json(&self) -> Vec<serde_json::Value> {
        let parse = |line: &str| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
        };
        self.text().lines().map(parse).collect()
    }

    /// The number of this name in the summary, which is the last line.
    #[track_caller]
    pub(crate) fn summary(&self, name: &str) -> u64 {
        let lines = self.json();
        let summary = &lines.last().expect("a last line")["summary"];
        summary[name].as_u64().unwrap_or_else(|| panic!("no {name} in {summary}"))
    }

    /// Each of these is somewhere in what it said.
    #[track_caller]
    pub(crate) fn says(&self, parts: &[&str]) -> &Self {
        for part in parts {
            assert!(self.err.contains(part), "`{part}` is not in: {}", self.err);
        }
        self
    }
}

pub(crate) fn spawn(command: &mut Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts")
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Everything below a folder, folders included.
pub(crate) fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(folder) = waiting.pop() {
        // A folder may be removed while other commands work in its parent.
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                waiting.push(entry.path());
            }
            found.push(entry.path());
        }
    }
    found
}

/// What an interrupted restore would leave behind.
#[track_caller]
pub(crate) fn assert_nothing_temporary_below(folder: &Path) {
    let left: Vec<_> = files_below(folder)
        .into_iter()
        .filter(|path| path.to_string_lossy().ends_with(".part"))
        .collect();
    assert_eq!(left, [""; 0].map(PathBuf::from));
}
