//! Every flag, once: help, manual page and completions come from here.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use super::length::parse_length;

const EXIT_CODES: &str = "\
Exit codes:
  0   steady, or too little was seen to say anything
  1   leaking
  2   near a limit: 90 % of RLIMIT_NOFILE, or over --fail-over
  3   the target is gone, or no process has the name
  4   not permitted: the kernel does not show its descriptors to this user, or --stacks cannot \
  attach
  64  wrong usage
  74  /proc could not be read, or a report not be written
`fdwatch run` ends with the code of the command instead, 128+N if signal N killed it; see `fdwatch \
run --help`.";

const RUN_EXIT_CODES: &str = "\
Exit codes: those of the command, 128+N if signal N killed it, 127 if it was not found, 126 if it \
cannot be executed. \
Where the command itself ended with 0 and --check, --fail-over or --max-rate was given: 1 if it \
leaked, 2 if it came near a \
limit.";

const COMPARE_EXIT_CODES: &str = "\
Exit codes:
  0   nothing grew by more than --allow
  1   something did
  64  wrong usage
  74  a file could not be read, or is no recording";

/// Watches the file descriptors of processes: how many, what they are, how fast they grow, when the
/// limit is hit.
#[derive(Parser, Debug)]
#[command(
    name = "fdwatch",
    version,
    after_help = EXIT_CODES,
    max_term_width = 100,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
pub(super) struct Cli {
    #[command(flatten)]
    pub(super) watch: WatchArgs,
    #[command(subcommand)]
    pub(super) command: Option<Command>,
}

#[derive(Subcommand, Debug)]
pub(super) enum Command {
    /// Start a command and watch it and everything it starts
    #[command(after_help = RUN_EXIT_CODES)]
    Run(RunArgs),
    /// Say what grew between two recordings that --json has made
    #[command(after_help = COMPARE_EXIT_CODES)]
    Compare(CompareArgs),
    /// Write completions for a shell to standard output
    Completions {
        /// Which shell
        shell: Shell,
    },
    /// Write the manual pages into a folder
    Man {
        /// An existing folder
        folder: PathBuf,
    },
}

#[derive(Args, Debug)]
pub(super) struct WatchArgs {
    /// A pid, or the name of a program: its comm, executable or argv[0]
    #[arg(required_unless_present_any = ["matching", "cgroup", "unit"], value_name = "PID|NAME")]
    pub(super) targets: Vec<OsString>,
    /// And processes with TEXT in their command line, its words joined by spaces (TEXT as it is,
    /// no pattern)
    #[arg(long = "match", id = "matching", value_name = "TEXT")]
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub(super) matching: Vec<String>,
    /// And processes of a cgroup and of those below it: a folder of /sys/fs/cgroup, or a path as
    /// in /proc/PID/cgroup
    #[arg(long, value_name = "PATH", value_parser = parse_absolute)]
    pub(super) cgroup: Vec<PathBuf>,
    /// And processes of a systemd unit (`nginx`, `nginx.service`), of the system or of a user
    #[arg(long, value_name = "NAME", value_parser = parse_unit)]
    pub(super) unit: Vec<String>,
    /// And all processes below them
    #[arg(long)]
    pub(super) tree: bool,
    /// Stop after this time (90, 90s, 5m, 2h); without it, at Ctrl-C or when all targets are gone
    #[arg(long, value_name = "TIME", value_parser = parse_length)]
    pub(super) duration: Option<Duration>,
    /// Wait for processes with the name instead of ending when there is none
    #[arg(long)]
    pub(super) wait: bool,
    /// Stop as soon as this is the verdict, with its exit code; --duration is the limit
    #[arg(long, value_name = "VERDICT")]
    pub(super) until: Option<Until>,
    /// Say which call stacks opened what is opened from now on: attaches to the processes (x86-64
    /// and aarch64), which makes each of their system calls slower until the watch ends
    #[arg(long)]
    pub(super) stacks: bool,
    /// No live view, only what is said at the end
    #[arg(long)]
    pub(super) no_live: bool,
    #[command(flatten)]
    pub(super) common: CommonArgs,
}

#[derive(Args, Debug)]
pub(super) struct CompareArgs {
    /// The recording of before; of each, the last count is taken
    pub(super) before: PathBuf,
    /// The recording of after
    pub(super) after: PathBuf,
    /// Growth of so many descriptors of a kind and pattern is put up with
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(super) allow: u64,
}

/// What a watch can wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Until {
    /// Something leaks.
    Leaking,
}

#[derive(Args, Debug)]
pub(super) struct RunArgs {
    /// Say which call stacks opened what is still open (x86-64 and aarch64; where ptrace is
    /// forbidden, goes on without)
    #[arg(long)]
    pub(super) stacks: bool,
    /// Kill what the command has started and left behind when it ends
    #[arg(long)]
    pub(super) kill_leftovers: bool,
    /// End with the verdict's code where the command itself ended with 0; implied by --fail-over
    /// and --max-rate
    #[arg(long)]
    pub(super) check: bool,
    #[command(flatten)]
    pub(super) common: CommonArgs,
    /// The command and its arguments
    #[arg(required = true, last = true, value_name = "COMMAND")]
    pub(super) command: Vec<OsString>,
}

#[derive(Args, Debug)]
pub(super) struct CommonArgs {
    /// Time between two counts (500ms, 1s, 1m); 10ms at least. Without it: short at first, 1s
    /// after a minute
    #[arg(long, value_name = "TIME", value_parser = parse_interval)]
    pub(super) interval: Option<Duration>,
    /// What grows before this is not taken for a leak: 5s, or 1s of a command that was started
    #[arg(long, value_name = "TIME", value_parser = parse_length)]
    pub(super) warm_up: Option<Duration>,
    /// More descriptors than this at a time are too many, also if only for a moment
    #[arg(long, value_name = "N")]
    pub(super) fail_over: Option<u64>,
    /// A leak of so many descriptors a second is put up with
    #[arg(long, value_name = "R", value_parser = parse_rate)]
    pub(super) max_rate: Option<f64>,
    /// One JSON object for each count, to standard output or a file
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "-")]
    pub(super) json: Option<PathBuf>,
    /// A row for each process and count, to standard output or a file
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "-")]
    pub(super) csv: Option<PathBuf>,
    /// A page with graphs, groups and the verdict, written at the end
    #[arg(long, value_name = "FILE")]
    pub(super) html: Option<PathBuf>,
    /// The graphs alone, written at the end
    #[arg(long, value_name = "FILE")]
    pub(super) svg: Option<PathBuf>,
    /// Run COMMAND with `sh -c` each time the verdict becomes leaking, for 30 s at most;
    /// $FDWATCH_PID, $FDWATCH_NAME and others (see the documentation) say what leaks
    #[arg(long, value_name = "COMMAND", value_parser = NonEmptyStringValueParser::new())]
    pub(super) on_leak: Option<String>,
    /// Answer Prometheus at this address below /metrics (a port alone: on 127.0.0.1)
    #[arg(long, value_name = "ADDRESS")]
    pub(super) prometheus: Option<String>,
}

const INTERVAL_MIN: Duration = Duration::from_millis(10);

fn parse_interval(text: &str) -> Result<Duration, String> {
    let interval = parse_length(text)?;
    if interval < INTERVAL_MIN {
        return Err(format!("{text} is too short: counting itself takes time; 10ms is the least"));
    }
    Ok(interval)
}

fn parse_absolute(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    if path.is_absolute() {
        return Ok(path);
    }
    Err(format!(
        "`{text}` does not begin with a slash: give /sys/fs/cgroup/… or a path as in \
         /proc/PID/cgroup"
    ))
}

/// As systemd has it: a name without a known ending is a service.
fn parse_unit(text: &str) -> Result<String, String> {
    const ENDINGS: [&str; 6] = ["service", "socket", "slice", "scope", "mount", "swap"];
    let is_name = !text.is_empty() && !text.contains(['/', '\0', '\n']);
    if !is_name {
        return Err(format!("`{}` is no name of a unit", text.escape_debug()));
    }
    let has_ending = text.rsplit_once('.').is_some_and(|(_, ending)| ENDINGS.contains(&ending));
    Ok(if has_ending { text.to_owned() } else { format!("{text}.service") })
}

fn parse_rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate: &f64| rate.is_finite() && *rate >= 0.0);
    rate.ok_or_else(|| format!("`{text}` is no rate: give descriptors a second, like 0.5"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(std::iter::once("fdwatch").chain(arguments.split_whitespace()))
    }

    #[test]
    fn the_definitions_hold_together() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for arguments in [
            "",
            "1 --interval 0",
            "1 --interval 9ms",
            "1 --interval -1",
            "1 --max-rate nan",
            "1 --max-rate -1",
            "1 --fail-over x",
            "1 --until steady",
            "--match=",
            "--cgroup system.slice",
            "--unit a/b",
            "--unit=",
            "--wait",
            "1 --on-leak=",
            "run --until leaking -- true",
            "run",
            "run --stacks",
            "run --tree -- true",
        ] {
            assert!(parsed(arguments).is_err(), "{arguments}");
        }
    }

    #[test]
    fn a_target_may_be_called_like_a_subcommand() {
        let cli = parsed("--tree -- run").unwrap();
        assert!(cli.command.is_none());
        assert_eq!(cli.watch.targets, ["run"]);
    }

    #[test]
    fn a_watch_needs_no_name_where_something_else_says_what_is_meant() {
        for arguments in ["--match x", "--cgroup /a", "--unit a", "1 --match x --match y"] {
            assert!(parsed(arguments).is_ok(), "{arguments}");
        }
        let unit = |name: &str| parsed(&format!("--unit {name}")).unwrap().watch.unit;
        assert_eq!(
            [unit("nginx"), unit("a.b"), unit("x.scope")].concat(),
            ["nginx.service", "a.b.service", "x.scope"]
        );
    }

    #[test]
    fn a_file_for_json_is_given_with_an_equals_sign() {
        assert_eq!(parsed("--json 1").unwrap().watch.common.json, Some("-".into()));
        assert_eq!(parsed("--json=x 1").unwrap().watch.common.json, Some("x".into()));
    }
}
