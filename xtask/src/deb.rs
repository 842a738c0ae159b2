//! `cargo xtask deb`: the Debian package, with pages and completions written by the binary that is in it.
//!
//! What goes where is in `crates/cli/Cargo.toml`. The package is looked through before it is shown: its files and their
//! permissions are what [`EXPECTED`] says, and nothing but what lies below folders named there.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail, ensure};

use crate::process::Log;
use crate::stage::{Context, minutes};
use crate::tools::CARGO_DEB;

/// Files that must be there, as `dpkg-deb --contents` shows them.
const EXPECTED: [(&str, &str); 16] = [
    ("-rwxr-xr-x", "./usr/bin/drystone"),
    ("-rw-r--r--", "./etc/drystone/config.toml"),
    ("-rw-r--r--", "./usr/lib/systemd/system/drystone.service"),
    ("-rw-r--r--", "./usr/lib/sysusers.d/drystone.conf"),
    ("-rw-r--r--", "./usr/share/man/man1/drystone.1.gz"),
    ("-rw-r--r--", "./usr/share/man/man1/drystone-serve.1.gz"),
    ("-rw-r--r--", "./usr/share/bash-completion/completions/drystone"),
    ("-rw-r--r--", "./usr/share/zsh/vendor-completions/_drystone"),
    ("-rw-r--r--", "./usr/share/fish/vendor_completions.d/drystone.fish"),
    ("-rw-r--r--", "./usr/share/doc/drystone/README.Debian"),
    ("-rw-r--r--", "./usr/share/doc/drystone/README.md"),
    ("-rw-r--r--", "./usr/share/doc/drystone/server.md"),
    ("-rw-r--r--", "./usr/share/doc/drystone/copyright"),
    ("-rw-r--r--", "./usr/share/doc/drystone/LICENSE-APACHE"),
    ("-rw-r--r--", "./usr/share/doc/drystone/LICENSE-MIT"),
    ("-rw-r--r--", "./usr/share/doc/drystone/examples/grafana-dashboard.json"),
];
/// Nothing else has a place in it.
const FOLDERS: [&str; 8] = [
    "./usr/bin/",
    "./etc/drystone/",
    "./usr/lib/systemd/system/",
    "./usr/lib/sysusers.d/",
    "./usr/share/man/man1/",
    "./usr/share/bash-completion/completions/",
    "./usr/share/zsh/vendor-completions/",
    "./usr/share/fish/vendor_completions.d/",
];
const DOCUMENTS: &str = "./usr/share/doc/drystone/";

pub(crate) fn run(context: &Context) -> Result<ExitCode> {
    let log = context.log("deb")?;
    let tool = CARGO_DEB.ensure(context, &log)?;
    let step = |what: &str, command: Command| -> Result<String> {
        context.talk.line(format!("    {what}"));
        let done = context.runner.run(command, &log, minutes(30))?;
        if let Some(how) = done.reason() {
            bail!("{what} failed ({how}): see {}", log.path().display());
        }
        Ok(done.output)
    };
    step("building", context.cargo(["build", "--release", "--locked", "--package", "drystone"]))?;
    generate(&context.target.join("release"), &log)?;

    let folder = context.target.join("debian");
    let mut package = Command::new(tool);
    package.current_dir(&context.root).env("CARGO_TARGET_DIR", &context.target);
    package
        .args(["--package", "drystone", "--no-build", "--locked", "--strip", "--no-dbgsym", "--output"])
        .arg(&folder);
    let said = step("packing", package)?;
    let file = said.lines().rev().map(str::trim).find(|line| line.ends_with(".deb"));
    let file = PathBuf::from(file.context("cargo-deb does not say what it made")?);

    let mut contents = Command::new("dpkg-deb");
    contents.arg("--contents").arg(&file);
    let wrong = wrong_in(&step("looking through it", contents)?);
    ensure!(wrong.is_empty(), "{} is not as it should be:\n{}", file.display(), wrong.join("\n"));
    context.talk.line(format!("{} ({} KiB)", file.display(), fs::metadata(&file)?.len() >> 10));
    Ok(ExitCode::SUCCESS)
}

/// Pages and completions, from the binary itself.
fn generate(release: &Path, log: &Log) -> Result<()> {
    let drystone = release.join("drystone");
    let folder = release.join("deb");
    // Pages of commands that are no more must not be packed.
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("empty {}", folder.display()))?;
    }
    let pages = folder.join("man");
    fs::create_dir_all(&pages).with_context(|| format!("create {}", pages.display()))?;
    let run = |args: &[&str], to: File| -> Result<()> {
        let status = Command::new(&drystone).args(args).stdout(to).status().context("cannot run drystone")?;
        ensure!(status.success(), "drystone {} ended with {status}", args.join(" "));
        Ok(())
    };
    let pages = pages.to_str().context("the target folder's name is not UTF-8")?;
    run(&["man", pages], File::options().append(true).open(log.path())?)?;
    compress(Path::new(pages))?;
    for (shell, name) in [("bash", "drystone.bash"), ("zsh", "_drystone"), ("fish", "drystone.fish")] {
        let path = folder.join(name);
        run(
            &["completions", shell],
            File::create(&path).with_context(|| format!("create {}", path.display()))?,
        )?;
    }
    Ok(())
}

/// As Debian wants manual pages; without a time in them, so that the same pages give the same bytes.
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

/// What is missing, has other permissions or another owner, or has no place in the package.
fn wrong_in(contents: &str) -> Vec<String> {
    // `-rw-r--r-- root/root 123 2026-01-01 00:00 ./path`
    let rows: Vec<(&str, &str, &str)> = contents
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let (mode, owner, path) = (words.next()?, words.next()?, words.nth(3)?);
            path.starts_with("./").then_some((mode, owner, path))
        })
        .collect();
    let mut wrong = Vec::new();
    for (mode, path) in EXPECTED {
        match rows.iter().find(|row| row.2 == path) {
            None => wrong.push(format!("{path} is missing")),
            Some((found, ..)) if *found != mode => wrong.push(format!("{path} is {found}, not {mode}")),
            Some(_) => {}
        }
    }
    for (mode, owner, path) in rows {
        if owner != "root/root" && owner != "0/0" {
            wrong.push(format!("{path} belongs to {owner}"));
        }
        let is_folder = path.ends_with('/');
        let has_place = path.starts_with(DOCUMENTS)
            || FOLDERS
                .iter()
                .any(|folder| path.starts_with(folder) || (is_folder && folder.starts_with(path)))
            || (is_folder && DOCUMENTS.starts_with(path));
        let is_plain = if is_folder { mode == "drwxr-xr-x" } else { mode.starts_with("-rw") };
        if !has_place || !is_plain || mode[1..].contains(['s', 't', 'S', 'T']) {
            wrong.push(format!("{mode} {path} has no place here"));
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(change: impl Fn(&str) -> Option<String>) -> String {
        let folders = "drwxr-xr-x 0/0 0 2026-01-01 00:00 ./\ndrwxr-xr-x 0/0 0 2026-01-01 00:00 ./usr/\n";
        let line = |(mode, path)| change(&format!("{mode} 0/0 7 2026-01-01 00:00 {path}\n"));
        folders.chars().map(String::from).chain(EXPECTED.into_iter().filter_map(line)).collect()
    }

    #[test]
    fn a_package_is_what_is_expected_or_refused() {
        assert_eq!(wrong_in(&contents(|line| Some(line.to_owned()))), [""; 0]);
        let without = contents(|line| (!line.contains("/bin/")).then(|| line.to_owned()));
        assert_eq!(wrong_in(&without), ["./usr/bin/drystone is missing"]);
        for (from, to) in [
            ("-rwxr-xr-x", "-rwsr-xr-x"),
            ("-rwxr-xr-x", "-rwxrwxrwx"),
            ("0/0 7", "1000/1000 7"),
            ("./etc/drystone/config.toml", "./home/me/config.toml"),
        ] {
            assert!(!wrong_in(&contents(|line| Some(line.replace(from, to)))).is_empty(), "{from} {to}");
        }
        let more = contents(|line| Some(line.to_owned())) + "-rw-r--r-- 0/0 7 2026-01-01 00:00 ./opt/x\n";
        assert_eq!(wrong_in(&more), ["-rw-r--r-- ./opt/x has no place here"]);
    }
}
