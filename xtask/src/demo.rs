//! `cargo xtask demo`: the main job on a real tree, compared byte by byte.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail, ensure};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The folder to store; the Rust toolchain (sources of documentation, pictures, binaries) if
    /// not given
    folder: Option<PathBuf>,
    /// Make the store and the copy below this folder, and remove them afterwards
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    scratch: PathBuf,
}

/// What the comparison has seen.
#[derive(Default)]
struct Compared {
    files: u64,
    bytes: u64,
    skipped: u64,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let folder = match &args.folder {
        Some(folder) => {
            folder.canonicalize().with_context(|| format!("cannot find {}", folder.display()))?
        }
        None => toolchain()?,
    };
    let name = folder
        .file_name()
        .context("the folder needs a name")?
        .to_str()
        .context("the name is not UTF-8")?;
    say("cargo build --release --package drystone");
    let built = Command::new(env!("CARGO"))
        .args(["build", "--release", "--locked", "--package", "drystone"])
        .status()
        .context("cannot run cargo")?;
    ensure!(built.success(), "the build failed");
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    let drystone = target.join("release").join("drystone");

    let scratch = Scratch(args.scratch.join(format!("drystone-demo-{}", std::process::id())));
    fs::create_dir(&scratch.0).with_context(|| format!("cannot create {}", scratch.0.display()))?;
    let (store, restored) = (scratch.0.join("store"), scratch.0.join("restored"));
    let call = |words: &[&std::ffi::OsStr]| -> Result<()> {
        let shown: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
        say(&format!("drystone {}", shown.join(" ")));
        let status = Command::new(&drystone)
            .env("DRYSTONE_STORE", &store)
            .args(words)
            .status()
            .context("cannot run drystone")?;
        ensure!(status.success(), "drystone ended with {status}");
        Ok(())
    };
    call(&["plan".as_ref()])?;
    call(&["init".as_ref()])?;
    call(&["put".as_ref(), folder.as_os_str()])?;
    // Once more, because the second time shows what deduplication saves.
    call(&["put".as_ref(), folder.as_os_str()])?;
    call(&["stat".as_ref()])?;
    call(&["get".as_ref(), name.as_ref(), restored.as_os_str()])?;
    say(&format!("comparing {} with the restored copy", folder.display()));
    let mut compared = Compared::default();
    compare(&folder, &restored.join(name), &mut compared)?;
    println!(
        "identical: {} files, {} MB, bytes and modes and times ({} links and special files were \
         skipped)",
        compared.files,
        compared.bytes / 1_000_000,
        compared.skipped
    );
    Ok(ExitCode::SUCCESS)
}

fn say(line: &str) {
    println!("+ {line}");
}

/// Removes what the demo made, however it ends.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn toolchain() -> Result<PathBuf> {
    let asked =
        Command::new("rustc").args(["--print", "sysroot"]).output().context("cannot run rustc")?;
    ensure!(asked.status.success(), "rustc does not say where it is");
    Ok(PathBuf::from(String::from_utf8(asked.stdout)?.trim()))
}

fn compare(original: &Path, copy: &Path, compared: &mut Compared) -> Result<()> {
    for entry in
        fs::read_dir(original).with_context(|| format!("cannot list {}", original.display()))?
    {
        let entry = entry?;
        let (from, to) = (entry.path(), copy.join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_dir() {
            ensure!(to.is_dir(), "{} was not restored", to.display());
            compare(&from, &to, compared)?;
        } else if kind.is_file() {
            compared.bytes += compare_file(&from, &to)?;
            compared.files += 1;
        } else {
            compared.skipped += 1;
        }
    }
    Ok(())
}

fn compare_file(from: &Path, to: &Path) -> Result<u64> {
    let (mut a, mut b) =
        (File::open(from)?, File::open(to).with_context(|| format!("no {}", to.display()))?);
    let (before, after) = (a.metadata()?, b.metadata()?);
    let facts =
        |meta: &fs::Metadata| (meta.len(), meta.mode() & 0o777, meta.mtime(), meta.mtime_nsec());
    ensure!(facts(&before) == facts(&after), "{} has another size, mode or time", to.display());
    let (mut left, mut right) = (vec![0; 256 << 10], vec![0; 256 << 10]);
    loop {
        let len = a.read(&mut left)?;
        b.read_exact(&mut right[..len])?;
        if left[..len] != right[..len] {
            bail!("{} differs", to.display());
        }
        if len == 0 {
            return Ok(before.len());
        }
    }
}
