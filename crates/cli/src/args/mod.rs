//! Every flag, once: help, man page and completions come from here.

#[cfg(test)]
mod advice_tests;
mod bucket;
mod serve;
mod upkeep;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::{BoolishValueParser, Resettable};
use clap::{
    Arg, Args, Command as Clap, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum,
};
use clap_complete::Shell;
use drystone_chunker::{Chunking, ParamsError};
use drystone_limits::{format_bytes, parse_bytes};

pub(crate) use self::bucket::{BucketCommand, BucketSetArgs};
pub(crate) use self::serve::{
    KeyCommand, KeyCreateArgs, LogFormat, SecretArg, ServeArgs, ServingArgs,
};
pub(crate) use self::upkeep::ScrubArgs;
use crate::home;

/// This command has a command line of its own. It is recognised before this one is parsed.
pub(crate) const FDWATCH: &str = "fdwatch";

const EXIT_CODES: &str = "\
Exit codes:
  0    success (a reader that closes the pipe early is success)
  1    failed
  2    wrong usage
  3    partly done: some files were stored or restored, others not; each of those is named on
       standard error
  4    not found: no such store, bucket or object
  5    damaged: stored bytes or records are not what they were
  6    does not fit: the limits of this machine or process are too small for the settings
  7    disk full
  8    a server was stopped while calls of its disk did not return; nothing that was
       acknowledged is lost
  130  interrupted";

/// A chunked, deduplicating file store that prints its ceilings before it starts.
#[derive(Parser, Debug)]
#[command(name = "drystone", version, after_help = EXIT_CODES, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Cli {
    /// # Errors
    /// When the command line or a variable makes no sense, or asks for help.
    pub(crate) fn from_command_line() -> Result<Self, clap::Error> {
        let matches = without_empty_variables(Self::command()).try_get_matches()?;
        Self::from_arg_matches(&matches).map_err(|error| error.format(&mut Self::command()))
    }
}

/// A variable that is set to nothing counts as unset, as shells and service managers often cannot
/// unset one.
fn without_empty_variables(command: Clap) -> Clap {
    let unset = |arg: Arg| match arg.get_env().and_then(std::env::var_os) {
        Some(value) if value.is_empty() => arg.env(Resettable::Reset),
        _ => arg,
    };
    command.mut_args(unset).mut_subcommands(without_empty_variables)
}

/// Flags of every command. Each can also be set in the configuration file, under its long name.
#[derive(Args, Debug)]
pub(crate) struct Global {
    /// The store's folder
    #[arg(
        long,
        short,
        global = true,
        env = "DRYSTONE_STORE",
        value_name = "DIR",
        value_parser = home::parser()
    )]
    pub(crate) store: Option<PathBuf>,
    /// Use at most this much memory, for example 512MiB [default: 256MiB]
    #[arg(
        long,
        global = true,
        env = "DRYSTONE_MEMORY",
        value_name = "SIZE",
        value_parser = parse_size
    )]
    pub(crate) memory: Option<u64>,
    /// Threads that hash and write [default: the CPUs this process may use]
    #[arg(
        long,
        global = true,
        env = "DRYSTONE_WORKERS",
        value_name = "N",
        value_parser = clap::value_parser!(u16).range(1..=64)
    )]
    pub(crate) workers: Option<u16>,
    /// When data is made durable [default: commit]
    #[arg(long, global = true, env = "DRYSTONE_SYNC", value_name = "WHEN")]
    pub(crate) sync: Option<Sync>,
    /// Read settings from this TOML file [default: $XDG_CONFIG_HOME/drystone/config.toml]
    #[arg(
        long,
        global = true,
        env = "DRYSTONE_CONFIG",
        value_name = "FILE",
        value_parser = home::parser()
    )]
    pub(crate) config: Option<PathBuf>,
    /// Print results as JSON, one object a line
    #[arg(long, global = true, env = "DRYSTONE_JSON", value_parser = BoolishValueParser::new())]
    pub(crate) json: bool,
    /// Print errors only
    #[arg(
        long,
        short,
        global = true,
        env = "DRYSTONE_QUIET",
        value_parser = BoolishValueParser::new()
    )]
    pub(crate) quiet: bool,
}

/// When data is made durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sync {
    /// Before it is acknowledged
    Commit,
    /// When the operating system likes: a power cut may lose what was acknowledged
    Never,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Make a new store
    Init(InitArgs),
    /// Store files and folders, or standard input
    Put(PutArgs),
    /// Restore objects and folders as files
    Get(GetArgs),
    /// Write objects to standard output
    Cat(CatArgs),
    /// List objects
    Ls(LsArgs),
    /// Remove objects
    Rm(RmArgs),
    /// Show what is known of an object, or of the store
    Stat(StatArgs),
    /// Give the space back of what was deleted or overwritten
    Collect(CollectArgs),
    /// Read and verify every chunk, and name the objects that are damaged
    Scrub(ScrubArgs),
    /// Compare the records with the segments, without reading the chunks
    Check,
    /// Serve the store over S3 and plain HTTP
    Serve(ServeArgs),
    /// Make, list and revoke the keys that clients use
    #[command(subcommand)]
    Key(KeyCommand),
    /// Make, list, change and remove buckets
    #[command(subcommand)]
    Bucket(BucketCommand),
    /// Print the ceilings of this process and how they are spent
    Plan(PlanArgs),
    /// Measure strategies of chunked writing against the raw write limit
    Bench(BenchArgs),
    /// Watch the file descriptors of any process; see `drystone fdwatch --help`
    #[command(disable_help_flag = true)]
    Fdwatch {
        /// As of the command `fdwatch`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENT")]
        arguments: Vec<OsString>,
    },
    /// Print a shell completion script
    Completions {
        /// For this shell
        shell: Shell,
    },
    /// Write the manual pages into a folder
    Man {
        /// An existing folder
        folder: PathBuf,
    },
}

#[derive(Args, Debug)]
pub(crate) struct InitArgs {
    /// How objects are cut, for ever: `fixed:SIZE` or `cdc:MIN,AVG,MAX` [default:
    /// cdc:256KiB,1MiB,4MiB]
    #[arg(long, env = "DRYSTONE_CHUNK", value_name = "CHUNKING", value_parser = parse_chunking)]
    pub(crate) chunk: Option<Chunking>,
}

#[derive(Args, Debug)]
pub(crate) struct PutArgs {
    /// Files and folders; `-` is standard input. A folder keeps its name: `photos` gives
    /// `photos/a.jpg`. No two may have the same name
    #[arg(required = true, value_name = "SRC")]
    pub(crate) sources: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) bucket: BucketArg,
    /// Put this in front of every key
    #[arg(long, default_value = "", value_name = "P")]
    pub(crate) prefix: String,
    /// The key of standard input, or of the one SRC that is a file
    #[arg(long, value_name = "KEY")]
    pub(crate) name: Option<String>,
    /// Store standard input also when nothing comes; without this it is taken for the failure of
    /// what should have written it
    #[arg(long)]
    pub(crate) allow_empty: bool,
}

#[derive(Args, Debug)]
pub(crate) struct GetArgs {
    /// Objects and folders; a folder keeps its name
    #[arg(required = true, value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// An existing or new folder; or, for one object, the file to write
    #[arg(value_name = "DEST")]
    pub(crate) dest: PathBuf,
    #[command(flatten)]
    pub(crate) bucket: BucketArg,
    /// Replace existing files
    #[arg(long, short)]
    pub(crate) force: bool,
}

#[derive(Args, Debug)]
pub(crate) struct CatArgs {
    /// Objects, one after the other
    #[arg(required = true, value_name = "NAME")]
    pub(crate) names: Vec<String>,
    #[command(flatten)]
    pub(crate) bucket: BucketArg,
    /// Only these bytes: `FROM-TO` (TO included), `FROM-` or `-LAST`
    #[arg(long, value_name = "RANGE", allow_hyphen_values = true)]
    pub(crate) range: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct LsArgs {
    /// Only keys that begin with this
    #[arg(default_value = "", value_name = "PREFIX")]
    pub(crate) prefix: String,
    #[command(flatten)]
    pub(crate) bucket: BucketArg,
    /// Show size and modification time
    #[arg(long, short)]
    pub(crate) long: bool,
    /// List buckets instead of objects
    #[arg(long)]
    pub(crate) buckets: bool,
    /// Begin after this key
    #[arg(long, value_name = "KEY")]
    pub(crate) after: Option<String>,
    /// Stop after so many
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u64>,
}

#[derive(Args, Debug)]
pub(crate) struct RmArgs {
    /// Objects; with --recursive also folders
    #[arg(required = true, value_name = "NAME")]
    pub(crate) names: Vec<String>,
    #[command(flatten)]
    pub(crate) bucket: BucketArg,
    /// Remove folders and everything below them
    #[arg(long, short)]
    pub(crate) recursive: bool,
}

#[derive(Args, Debug)]
pub(crate) struct StatArgs {
    /// An object; without one, the whole store with all its buckets
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) bucket: BucketArg,
}

#[derive(Args, Debug)]
pub(crate) struct CollectArgs {
    /// Change nothing, and say what there is to do
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Look at every row for what nothing names, as the first collect of a store does
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) full: bool,
    /// Go on although segments are missing: what was in them is lost
    #[arg(long)]
    pub(crate) despite_damage: bool,
    /// Rewrite segments until at most so many dead bytes are left for each hundred live ones
    #[arg(long, value_name = "PERCENT", default_value_t = 5)]
    pub(crate) dead_percent: u32,
    /// Wait so long for uploads and downloads that are under way, in all
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub(crate) wait: u64,
}

#[derive(Args, Debug)]
pub(crate) struct PlanArgs {
    /// Plan for a store that is cut like this, instead of for --store or the default
    #[arg(long, env = "DRYSTONE_CHUNK", value_name = "CHUNKING", value_parser = parse_chunking)]
    pub(crate) chunk: Option<Chunking>,
    /// Plan for `serve`
    #[arg(long)]
    pub(crate) serve: bool,
    /// With --serve: as for a server that speaks TLS
    #[arg(long, requires = "serve")]
    pub(crate) tls: bool,
    #[command(flatten)]
    pub(crate) serving: ServingArgs,
}

#[derive(Args, Debug)]
pub(crate) struct BenchArgs {
    /// How much each strategy writes
    #[arg(long, default_value = "1000MiB", value_name = "SIZE", value_parser = parse_size)]
    pub(crate) size: u64,
    /// Rounds; the median of each strategy is printed
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=99))]
    pub(crate) rounds: u16,
    /// What is written
    #[arg(long, default_value = "unique")]
    pub(crate) data: BenchData,
    /// Write below this folder, which keeps nothing afterwards [default: the folder for temporary
    /// files]
    #[arg(long, value_name = "DIR", value_parser = home::parser())]
    pub(crate) dir: Option<PathBuf>,
    /// Only strategies whose name contains this
    #[arg(long, value_name = "TEXT")]
    pub(crate) only: Option<String>,
}

/// What `bench` writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum BenchData {
    /// No two chunks alike: nothing is saved by deduplication
    Unique,
    /// One byte for ever, as in the story: everything is one chunk
    Constant,
}

#[derive(Args, Debug)]
pub(crate) struct BucketArg {
    /// The bucket
    #[arg(long, short, env = "DRYSTONE_BUCKET", value_name = "B")]
    pub(crate) bucket: Option<String>,
}

fn parse_size(text: &str) -> Result<u64, String> {
    parse_bytes(text).map_err(|error| error.to_string())
}

fn parse_chunking(text: &str) -> Result<Chunking, String> {
    text.parse().map_err(|error: ParamsError| match out_of_range(text).unwrap_or(error) {
        ParamsError::Range { what, found, low, high } => {
            let (low, high) = (format_bytes(low.into()), format_bytes(high.into()));
            format!("the {what} chunk size is {found} bytes; it must be from {low} to {high}")
        }
        error => error.to_string(),
    })
}

/// The chunker does not know units that only chunks of impossible sizes would need. A size in such
/// a unit is out of range; its spelling is right, and the message must say so.
fn out_of_range(text: &str) -> Option<ParamsError> {
    let (cutter, sizes) = text.split_once(':')?;
    let sizes: Vec<u64> =
        sizes.split(',').take(4).map(|size| parse_bytes(size).ok()).collect::<Option<_>>()?;
    match (cutter, sizes.as_slice()) {
        ("fixed", [bytes]) => Chunking::fixed(*bytes).err(),
        ("cdc", [min, avg, max]) => Chunking::fast_cdc(*min, *avg, *max).err(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn flags_are_consistent() {
        super::Cli::command().debug_assert();
    }
}
