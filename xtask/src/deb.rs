//! `cargo xtask deb`: the Debian packages. The binary that is in a package has written its pages
//! and completions.
//!
//! `crates/cli/Cargo.toml` and `crates/fdwatch-cli/Cargo.toml` say which file goes where. A package
//! is checked before it is shown. Its files and their permissions must be those of [`contents`],
//! and all of them must be below the folders named there. Then it is unpacked: its program must
//! answer, and its pages and completions must work, as far as this machine has programs to try
//! them.
//!
//! The packed program is stripped. Its debug information is in a package of its own beside it.
//! Debuggers and profilers find it by the build id ([`debug_info`]).

mod contents;
mod debug_info;
mod tried;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail, ensure};
use clap::builder::PossibleValuesParser;

use self::contents::{PACKAGES, Package};
use self::debug_info::Elf;
use crate::process::Log;
use crate::stage::{Context, minutes};
use crate::tools::CARGO_DEB;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only this one
    #[arg(value_name = "PACKAGE", value_parser = package_names())]
    package: Option<String>,
}

fn package_names() -> PossibleValuesParser {
    PossibleValuesParser::new(PACKAGES.map(|package| package.name))
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
    let (name, krate) = (package.name, package.krate);
    let step = |what: &str, command: Command| -> Result<String> {
        context.talk.line(format!("    {what} {name}"));
        let done = context.runner.run(command, log, minutes(30))?;
        if let Some(how) = done.reason() {
            bail!("{what} {name} failed ({how}): see {}", log.path().display());
        }
        Ok(done.output)
    };
    step("building", context.cargo(["build", "--release", "--locked", "--package", krate]))?;
    generate(name, &context.target.join("release"), log)?;

    let folder = context.target.join("debian");
    let mut make = Command::new(tool);
    make.current_dir(&context.root).env("CARGO_TARGET_DIR", &context.target);
    make.args(["--package", krate, "--no-build", "--locked", "--dbgsym", "--output"]).arg(&folder);
    let said = step("packing", make)?;
    let made = |ending: &str| -> Result<PathBuf> {
        let file = said.lines().rev().map(str::trim).find(|line| line.ends_with(ending));
        Ok(file.with_context(|| format!("cargo-deb does not say that it made a {ending}"))?.into())
    };
    let (file, debug_file) = (made(".deb")?, made(".ddeb")?);

    let list = |file: &Path| {
        let mut list = Command::new("dpkg-deb");
        list.arg("--contents").arg(file);
        step("looking through", list)
    };
    refuse(&file, &package.wrong_in(&list(&file)?))?;
    refuse(&debug_file, &contents::wrong_in_debug(&list(&debug_file)?))?;
    let unpacked = |file: &Path, name: &str| -> Result<PathBuf> {
        let root = folder.join(name);
        // Files of an earlier run would hide that this package lacks them.
        if root.exists() {
            fs::remove_dir_all(&root).with_context(|| format!("empty {}", root.display()))?;
        }
        let mut unpack = Command::new("dpkg-deb");
        unpack.arg("--extract").arg(file).arg(&root);
        step("unpacking", unpack)?;
        Ok(root)
    };
    let root = unpacked(&file, name)?;
    for line in tried::all(name, &root, context, log)? {
        context.talk.line(format!("    {line}"));
    }
    let debug_root = unpacked(&debug_file, &format!("{name}-dbgsym"))?;
    let elf = |file: &Path| -> Result<Elf> {
        Ok(Elf::parse(&step("looking into", debug_info::readelf(file))?))
    };
    let program = elf(&root.join("usr/bin").join(name))?;
    // By the path that debuggers make of the build id: so this also tests that they find the file.
    let debug = elf(&program.debug_path(&debug_root))?;
    refuse(&file, &debug_info::wrong_in(&program, &debug))?;
    for file in [debug_file, file] {
        context.talk.line(format!("{} ({} KiB)", file.display(), fs::metadata(&file)?.len() >> 10));
    }
    Ok(())
}

fn refuse(file: &Path, wrong: &[String]) -> Result<()> {
    ensure!(wrong.is_empty(), "{} is not as it should be:\n{}", file.display(), wrong.join("\n"));
    Ok(())
}

/// The binary writes its own pages and completions.
fn generate(name: &str, release: &Path, log: &Log) -> Result<()> {
    let program = release.join(name);
    let folder = release.join("deb").join(name);
    // Pages of commands that no longer exist must not be packed.
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

/// Compressed as Debian wants manual pages, without a time, so that the same pages give the same
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
