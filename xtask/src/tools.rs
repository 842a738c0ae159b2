//! The pinned tools. They are looked for under `target/tools`, and installed there when they are
//! missing.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Result, bail};

use crate::process::Log;
use crate::stage::{Context, minutes};
use crate::{clients, python};

/// A tool that cargo installs. All are pinned, so that two machines check, and build, the same.
pub(crate) struct Tool {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
}

pub(crate) const CARGO_DENY: Tool = Tool { name: "cargo-deny", version: "0.20.2" };
/// Installed by `cargo xtask deb`; no check needs it.
pub(crate) const CARGO_DEB: Tool = Tool { name: "cargo-deb", version: "3.8.0" };
pub(crate) const CARGO_FUZZ: Tool = Tool { name: "cargo-fuzz", version: "0.13.2" };

impl Tool {
    pub(crate) fn path(&self, context: &Context) -> PathBuf {
        context.target.join("tools/bin").join(self.name)
    }

    /// Whether exactly the pinned version is installed.
    pub(crate) fn is_installed(&self, context: &Context) -> bool {
        let output = Command::new(self.path(context)).arg("--version").output();
        output.is_ok_and(|output| is_version(&String::from_utf8_lossy(&output.stdout), self))
    }

    /// Installs the tool if it is missing. That takes about a minute and a half on two cores.
    pub(crate) fn ensure(&self, context: &Context, log: &Log) -> Result<PathBuf> {
        if self.is_installed(context) {
            return Ok(self.path(context));
        }
        context
            .talk
            .line(format!("    installing {} {} (a minute or two, once)", self.name, self.version));
        let done = context.runner.run(self.install_command(context), log, minutes(20))?;
        if let Some(how) = done.reason() {
            bail!(
                "{} {} could not be installed ({how}): cargo xtask setup",
                self.name,
                self.version
            );
        }
        if !self.is_installed(context) {
            bail!("{} was installed but does not answer as {}", self.name, self.version);
        }
        Ok(self.path(context))
    }

    fn install_command(&self, context: &Context) -> Command {
        let mut command =
            context.cargo(["install", self.name, "--version", self.version, "--locked", "--force"]);
        command.arg("--root").arg(context.target.join("tools"));
        command.env("CARGO_TARGET_DIR", context.target.join("tools/build")).env_remove("RUSTFLAGS");
        // These tools wait for files and for the network. So it matters that they build fast, not
        // that they run fast.
        command.env("CARGO_PROFILE_RELEASE_LTO", "off");
        command.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0");
        command.env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16");
        command
    }
}

/// Whether `NAME VERSION` is what the tool printed.
fn is_version(printed: &str, tool: &Tool) -> bool {
    printed.split_whitespace().take(2).eq([tool.name, tool.version])
}

/// `cargo xtask setup`.
pub(crate) fn setup(context: &Context) -> Result<ExitCode> {
    let log = context.log("setup")?;
    let mut is_complete = true;
    for tool in [CARGO_DENY, CARGO_FUZZ] {
        let line = match tool.ensure(context, &log) {
            Ok(path) => format!("{} {}: {}", tool.name, tool.version, path.display()),
            Err(error) => {
                is_complete = false;
                format!("{error:#}: see {}", log.path().display())
            }
        };
        context.talk.line(line);
    }
    for line in clients::ensure(context, &log)? {
        context.talk.line(line);
    }
    context.talk.line(python::ensure(context, &log));
    if !has_nightly() {
        context
            .talk
            .line("fuzzing also needs a nightly toolchain: rustup toolchain install nightly");
    }
    Ok(if is_complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whether strace can be run. Its version is that of the distribution, so it is as fixed as the
/// machine's distribution.
pub(crate) fn has_strace() -> bool {
    Command::new("strace").arg("--version").output().is_ok_and(|output| output.status.success())
}

/// Whether rustup has a nightly toolchain. Rustup is asked, because `cargo +nightly` may start to
/// install one.
pub(crate) fn has_nightly() -> bool {
    let output = Command::new("rustup").args(["toolchain", "list"]).output();
    output.is_ok_and(|output| {
        String::from_utf8_lossy(&output.stdout).lines().any(|l| l.starts_with("nightly"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_pinned_version_counts() {
        assert!(is_version("cargo-deny 0.20.2\n", &CARGO_DENY));
        assert!(!is_version("cargo-deny 0.20.20\n", &CARGO_DENY));
        assert!(!is_version("cargo-fuzz 0.20.2\n", &CARGO_DENY));
        assert!(!is_version("", &CARGO_DENY));
    }
}
