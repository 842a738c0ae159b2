//! The shipped binary, run on one store with nothing of the user's environment.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::content::Content;
use super::model::Model;
use crate::process::{Ending, Finished, Log, shown};
use crate::stage::Context;

/// Arguments of any kind that is a string to the operating system.
macro_rules! args {
    ($($arg:expr),* $(,)?) => {
        &[$(AsRef::<std::ffi::OsStr>::as_ref(&$arg)),*] as &[&std::ffi::OsStr]
    };
}
pub(super) use args;

/// Far longer than any command takes here. A command that takes longer hangs.
pub(super) const LIMIT: Duration = Duration::from_secs(60);
const EXIT_NOT_FOUND: Exit = Exit::Code(4);
/// The object that is put after each fault, to see whether the store can still be used.
const PROBE: &str = "probe";

/// drystone did what it must not do. Any other error means that the check itself failed, and says
/// nothing about drystone.
#[derive(Debug)]
pub(super) struct Violation(pub(super) String);

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Violation {}

pub(super) fn violation(text: impl Into<String>) -> anyhow::Error {
    Violation(text.into()).into()
}

/// Separates a violation, which is a result, from an error, which ends the run.
pub(super) fn judged<T>(result: Result<T>) -> Result<Result<T, String>> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(error) => match error.downcast::<Violation>() {
            Ok(Violation(text)) => Ok(Err(text)),
            Err(error) => Err(error),
        },
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    Code(i32),
    Signal(i32),
    TimedOut,
}

impl Exit {
    fn of(ending: &Ending) -> Self {
        let number = |text: &str| text.parse().ok();
        match ending {
            Ending::Success => Self::Code(0),
            Ending::TimedOut(_) => Self::TimedOut,
            Ending::Failed(how) => {
                let code = how.strip_prefix("exit code ").and_then(number).map(Self::Code);
                let signal = || how.strip_prefix("signal ").and_then(number).map(Self::Signal);
                code.or_else(signal).unwrap_or(Self::Code(-1))
            }
        }
    }
}

/// How a run of the binary ended.
pub(super) struct Run {
    pub(super) exit: Exit,
    /// Standard output and standard error as they came.
    pub(super) output: String,
    shown: String,
}

impl Run {
    fn new(done: Finished, shown: String) -> Self {
        Self { exit: Exit::of(&done.ending), output: done.output, shown }
    }

    pub(super) fn succeeded(&self) -> bool {
        self.exit == Exit::Code(0)
    }

    /// Whether it succeeded or failed, a command must not hang, panic, or die of a signal that the
    /// test did not send. And a failure has a message.
    pub(super) fn is_sound(&self) -> Result<()> {
        let wrong = match self.exit {
            Exit::TimedOut => "hangs".to_owned(),
            Exit::Signal(signal) => format!("died of signal {signal}"),
            _ if self.output.contains("panicked at") => "panicked".to_owned(),
            Exit::Code(0) => return Ok(()),
            // The codes of `drystone --help`. Code 2 is for wrong usage, and nothing here uses it
            // wrongly.
            Exit::Code(1 | 3..=7) if self.output.contains("drystone:") => return Ok(()),
            Exit::Code(1 | 3..=7) => "failed without a message".to_owned(),
            Exit::Code(code) => format!("ended with the unexpected exit code {code}"),
        };
        Err(self.violates(&wrong))
    }

    pub(super) fn violates(&self, how: &str) -> anyhow::Error {
        let said =
            self.output.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("nothing");
        violation(format!("`{}` {how}; it said: {said}", self.shown))
    }

    /// The keys of the JSON lines of `put`. A torn line acknowledges nothing.
    pub(super) fn acknowledged(&self) -> Vec<String> {
        acknowledged(&self.output)
    }
}

/// The keys of the JSON lines that `put --json` wrote. Each line is an acknowledgement. Keys of
/// folders are left out, because the model knows files only.
pub(super) fn acknowledged(output: &str) -> Vec<String> {
    let values =
        output.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let keys = values.filter_map(|value| Some(value.get("key")?.as_str()?.to_owned()));
    keys.filter(|key| !key.ends_with('/')).collect()
}

/// One store, the binary that works on it, and a log of its own.
pub(super) struct Desk<'a> {
    pub(super) context: &'a Context,
    pub(super) binary: &'a Path,
    pub(super) store: PathBuf,
    /// For files that the checks themselves write. It is not on the disk that fails.
    pub(super) folder: PathBuf,
    pub(super) log: Log,
}

impl Desk<'_> {
    pub(super) fn command(&self, args: &[&OsStr]) -> Command {
        let mut command = self.wrapped(&[]);
        command.args(args);
        command
    }

    /// The binary with the store given, started by other programs: `sh -c …`, `strace …`.
    pub(super) fn wrapped(&self, before: &[&OsStr]) -> Command {
        let mut words = before.iter().copied().chain([self.binary.as_os_str()]);
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words).arg("--store").arg(&self.store).env_clear().current_dir(&self.folder);
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        // There is no such folder: the user's settings must not take part in the test.
        command.env("XDG_CONFIG_HOME", self.folder.join("no-config"));
        command
    }

    pub(super) fn run(&self, args: &[&OsStr]) -> Result<Run> {
        self.run_command(self.command(args), LIMIT)
    }

    pub(super) fn run_command(&self, command: Command, limit: Duration) -> Result<Run> {
        let text = shown(&command);
        Ok(Run::new(self.context.runner.run(command, &self.log, limit)?, text))
    }

    pub(super) fn ok(&self, args: &[&OsStr]) -> Result<Run> {
        self.ok_command(self.command(args), LIMIT)
    }

    pub(super) fn ok_command(&self, command: Command, limit: Duration) -> Result<Run> {
        let run = self.run_command(command, limit)?;
        run.is_sound()?;
        if run.succeeded() { Ok(run) } else { Err(run.violates("failed")) }
    }

    /// Makes a file of these bytes and puts it.
    pub(super) fn put(&self, key: &str, content: Content) -> Result<Run> {
        let source = self.folder.join("source");
        content.write(&source)?;
        self.run(args!["put", source, "--name", key])
    }

    /// Checks everything that can be seen: the listing fits the model, a put succeeds, and every
    /// byte can be read after it. This settles the model.
    pub(super) fn check(&self, model: &mut Model) -> Result<()> {
        model.settle(&self.list()?).map_err(violation)?;
        // Before the bytes are read: a put takes over what dead processes have left, and must not
        // damage it.
        let probe = Content { seed: 7, bytes: 3000 };
        let put = self.put(PROBE, probe)?;
        put.is_sound()?;
        if !put.succeeded() {
            return Err(put.violates("failed, although the fault is over"));
        }
        model.acknowledge(PROBE, Some(probe));
        model.settle(&self.list()?).map_err(violation)?;
        self.read_all(model)
    }

    fn list(&self) -> Result<BTreeMap<String, u64>> {
        let run = self.run(args!["--json", "ls"])?;
        run.is_sound()?;
        match run.exit {
            Exit::Code(0) => listing(&run.output),
            // The first put was cut off before it made the bucket.
            EXIT_NOT_FOUND if run.output.contains("no bucket") => Ok(BTreeMap::new()),
            _ => Err(run.violates("failed")),
        }
    }

    /// Compares every byte of every object.
    pub(super) fn read_all(&self, model: &Model) -> Result<()> {
        let into = self.folder.join("read");
        let mut command = Command::new("sh");
        command.args(["-c", "exec \"$@\" >\"$0\""]).arg(&into);
        let cat = self.command(args!["cat", "--"]);
        command.arg(cat.get_program()).args(cat.get_args()).env_clear();
        command.envs(cat.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.current_dir(&self.folder).args(model.present().map(|(key, _)| key));
        if model.present().next().is_none() {
            return Ok(());
        }
        self.ok_command(command, LIMIT)?;
        let found = std::fs::read(&into).with_context(|| format!("read {}", into.display()))?;
        compare(model, &found)
    }
}

fn compare(model: &Model, found: &[u8]) -> Result<()> {
    let mut rest = found;
    for (key, content) in model.present() {
        let len = usize::try_from(content.bytes)?;
        let Some((bytes, after)) = rest.split_at_checked(len) else {
            return Err(violation(format!("`{key}` has fewer bytes than were put")));
        };
        let made = content.make();
        if let Some(at) = bytes.iter().zip(&made).position(|(found, put)| found != put) {
            return Err(violation(format!("`{key}` differs at byte {at} from what was put")));
        }
        rest = after;
    }
    if rest.is_empty() { Ok(()) } else { Err(violation("more bytes were read than were put")) }
}

/// Key and length of each line of `ls --json`.
fn listing(output: &str) -> Result<BTreeMap<String, u64>> {
    let mut listed = BTreeMap::new();
    for line in output.lines().filter(|line| line.starts_with('{')) {
        let value: serde_json::Value =
            serde_json::from_str(line).context("a line of `ls --json`")?;
        let key = value["key"].as_str().context("a key")?.to_owned();
        // The entry of a folder: the model knows files only.
        if key.ends_with('/') {
            continue;
        }
        if listed.insert(key.clone(), value["size"].as_u64().context("a size")?).is_some() {
            return Err(violation(format!("`{key}` is listed twice")));
        }
    }
    Ok(listed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(ending: &Ending, output: &str) -> Run {
        Run {
            exit: Exit::of(ending),
            output: output.to_owned(),
            shown: "drystone put f".to_owned(),
        }
    }

    fn failed(how: &str) -> Ending {
        Ending::Failed(how.to_owned())
    }

    #[test]
    fn a_failure_is_sound_when_it_has_a_documented_code_and_a_message() {
        let sound = |ending: &Ending, output: &str| run(ending, output).is_sound().is_ok();
        assert!(sound(&Ending::Success, ""));
        assert!(sound(&failed("exit code 7"), "drystone: the disk is full\n"));
        assert!(!sound(&failed("exit code 7"), ""));
        assert!(!sound(&failed("exit code 2"), "drystone: usage\n"));
        assert!(!sound(&failed("exit code 101"), "thread 'main' panicked at a.rs:1\n"));
        assert!(!sound(&Ending::Success, "thread 'drystone-worker' panicked at a.rs:1\n"));
        assert!(!sound(&failed("signal 6"), "drystone: abort\n"));
        assert!(!sound(&Ending::TimedOut(LIMIT), ""));
    }

    #[test]
    fn a_torn_line_acknowledges_nothing() {
        let output = "{\"key\":\"a\",\"size\":1}\n{\"key\":\"f/\",\"size\":0}\
             \n{\"summary\":{\"objects\":1}}\n{\"key\":\"b\",\"si";
        assert_eq!(acknowledged(output), ["a"]);
    }

    #[test]
    fn a_listing_is_read() {
        let listed = listing("{\"key\":\"a\",\"size\":1}\n{\"key\":\"b\",\"size\":20}\n")
            .expect("two lines");
        assert_eq!(
            listed.into_iter().collect::<Vec<_>>(),
            [("a".to_owned(), 1), ("b".to_owned(), 20)]
        );
        let twice = listing("{\"key\":\"a\",\"size\":1}\n{\"key\":\"a\",\"size\":1}\n");
        assert!(judged(twice).is_ok_and(|judged| judged.is_err()));
    }

    #[test]
    fn a_wrong_byte_is_found_and_named() {
        let mut model = Model::default();
        let contents =
            [("a", 10), ("b", 20)].map(|(key, bytes)| (key, Content { seed: bytes, bytes }));
        for (key, content) in contents {
            model.acknowledge(key, Some(content));
        }
        let mut bytes = [contents[0].1.make(), contents[1].1.make()].concat();
        assert!(compare(&model, &bytes).is_ok());
        assert!(compare(&model, &bytes[..29]).is_err());
        bytes[12] ^= 1;
        let error = compare(&model, &bytes).expect_err("a wrong byte");
        assert_eq!(error.to_string(), "`b` differs at byte 2 from what was put");
    }
}
