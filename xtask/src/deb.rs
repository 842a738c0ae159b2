//! `cargo xtask deb`: the Debian packages, with pages and completions written by the binary that is
//! in each.
//!
//! What goes where is in `crates/cli/Cargo.toml` and `crates/fdwatch/Cargo.toml`. A package is
//! looked through before it is shown: its files and their permissions are what [`contents`] says,
//! and nothing but what lies below folders named there; unpacked, its program answers, its pages
//! can be shown and its completions read, by what this machine has for that.

mod contents;
mod tried;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail, ensure};
use clap::builder::PossibleValuesParser;

use self::contents::{PACKAGES, Package};
use crate::process::Log;
use crate::stage::{Context, minutes};
use crate::tools::CARGO_DEB;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only this one
    #[arg(value_name = "PACKAGE", value_parser = PossibleValuesParser::new(PACKAGES.map(|package| package.name)))]
    package: Option<String>,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitCode> {
    let log = context.log("deb")?;
    let tool = CARGO_DEB.ensure(context, &log)?;
    for package in PACKAGES {
        if args.package.as_ref().is_none_or(|only| only == package.name) {
            pack(package, &tool, context, &log)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn pack(package: &Package, tool: &Path, context: &Context, log: &Log) -> Result<()> {
    let name = package.name;
    let step = |what: &str, command: Command| -> Result<String> {
        context.talk.line(format!("    {what} {name}"));
        let done = context.runner.run(command, log, minutes(30))?;
        if let Some(how) = done.reason() {
            bail!("{what} {name} failed ({how}): see {}", log.path().display());
        }
        Ok(done.output)
    };
    step("building", context.cargo(["build", "--release", "--locked", "--package", name]))?;
    generate(name, &context.target.join("release"), log)?;

    let folder = context.target.join("debian");
    let mut make = Command::new(tool);
    make.current_dir(&context.root).env("CARGO_TARGET_DIR", &context.target);
    make.args(["--package", name, "--no-build", "--locked", "--strip", "--no-dbgsym", "--output"])
        .arg(&folder);
    let said = step("packing", make)?;
    let file = said.lines().rev().map(str::trim).find(|line| line.ends_with(".deb"));
    let file = PathBuf::from(file.context("cargo-deb does not say what it made")?);

    let mut list = Command::new("dpkg-deb");
    list.arg("--contents").arg(&file);
    let wrong = package.wrong_in(&step("looking through", list)?);
    ensure!(wrong.is_empty(), "{} is not as it should be:\n{}", file.display(), wrong.join("\n"));
    let root = folder.join(name);
    if root.exists() {
        fs::remove_dir_all(&root).with_context(|| format!("empty {}", root.display()))?;
    }
    let mut unpack = Command::new("dpkg-deb");
    unpack.arg("--extract").arg(&file).arg(&root);
    step("unpacking", unpack)?;
    for line in tried::all(name, &root, context, log)? {
        context.talk.line(format!("    {line}"));
    }
    context.talk.line(format!("{} ({} KiB)", file.display(), fs::metadata(&file)?.len() >> 10));
    Ok(())
}

/// Pages and completions, from the binary itself.
fn generate(name: &str, release: &Path, log: &Log) -> Result<()> {
    let program = release.join(name);
    let folder = release.join("deb").join(name);
    // Pages of commands that are no more must not be packed.
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("empty {}", folder.display()))?;
    }
    let pages = folder.join("man");
    fs::create_dir_all(&pages).with_context(|| format!("create {}", pages.display()))?;
    let run = |args: &[&str], to: File| -> Result<()> {
        let status = Command::new(&program)
            .args(args)
            .stdout(to)
            .status()
            .with_context(|| format!("cannot run {name}"))?;
        ensure!(status.success(), "{name} {} ended with {status}", args.join(" "));
        Ok(())
    };
    let pages = pages.to_str().context("the target folder's name is not UTF-8")?;
    run(&["man", pages], File::options().append(true).open(log.path())?)?;
    compress(Path::new(pages))?;
    let files = [
        ("bash", format!("{name}.bash")),
        ("zsh", format!("_{name}")),
        ("fish", format!("{name}.fish")),
    ];
    for (shell, file) in files {
        let path = folder.join(file);
        run(
            &["completions", shell],
            File::create(&path).with_context(|| format!("create {}", path.display()))?,
        )?;
    }
    Ok(())
}

/// As Debian wants manual pages; without a time in them, so that the same pages give the same
/// bytes.
fn compress(folder: &Path) -> Result<()> {
    let mut gzip = Command::new("gzip");
    gzip.args(["--best", "--no-name"]);
    for page in fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))? {
        gzip.arg(page?.path());
    }
    let status = gzip.status().context("cannot run gzip")?;
    ensure!(status.success(), "gzip ended with {status}");
    Ok(())
}
