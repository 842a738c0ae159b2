//! `cargo peers serve`: the server beside nginx and other file servers, on loopback.
//!
//! In each round every contestant does every part once. Its server is started for that in an empty
//! folder, and the others do not run. The bench compares what a server answers before it times that
//! answer: a wrong answer is a failure, and gives no figure. Servers and folders are guards, so
//! nothing is left of them, also after a failure or Ctrl-C.

mod client;
mod contestant;
mod figures;
mod running;
mod turn;
mod usage;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use serde::Serialize;
use xtask::clients;
use xtask::process::{Log, Talk};
use xtask::stage::{Context, Mode};

use self::client::{Client, Login, SMALL_BYTES};
use self::contestant::{Contestant, Kind};
use self::figures::{Figures, Measure, Row, Sample};
use self::running::Running;
use self::turn::Turn;
use super::noise;

const CLIENTS: usize = 16;
const WARM_BYTES: u64 = 1 << 20;

#[derive(clap::Args)]
pub(super) struct Args {
    /// Rounds that count, after one that does not
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// What is sent in all: by one client, or a sixteenth by each of sixteen; with K, M or G
    #[arg(long, default_value = "1G", value_parser = parse_size)]
    size: u64,
    /// Seconds for each measurement of small objects
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// The binary to measure [default: release/drystone in the target folder]
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// Only this part; may be repeated
    #[arg(long = "part", value_name = "PART")]
    parts: Vec<Part>,
    /// Print the figures as JSON on standard output
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// One client, plain HTTP, up and down
    Plain,
    /// One client, S3, up
    Signed,
    /// Sixteen clients at once, up and down
    Clients,
    /// Objects of 4 KiB, puts and gets
    Small,
}

#[derive(Serialize)]
struct Report {
    size_bytes: u64,
    rounds: u16,
    small_seconds: u64,
    /// The contestants, with their versions.
    contestants: BTreeMap<String, String>,
    /// What was skipped, with the way to install it.
    skipped: BTreeMap<String, String>,
    rows: Vec<Row>,
    notes: Vec<String>,
    failures: Vec<String>,
}

pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let talk = if args.json { Talk::Stderr } else { Talk::Stdout };
    let context = Context::new(Mode::Full, talk)?;
    let binary = args.binary.clone().unwrap_or_else(|| context.target.join("release/drystone"));
    let binary = binary.canonicalize().with_context(|| {
        format!(
            "cannot find {}: cargo build --release -p drystone, or give --binary",
            binary.display()
        )
    })?;
    let search_path = search_path(&context);
    let (contestants, missing) = contestant::find(&binary, &search_path);
    let mut skipped: Vec<(String, String)> =
        missing.into_iter().map(|(name, advice)| (name, advice.to_owned())).collect();
    let mut parts =
        if args.parts.is_empty() { Part::value_variants().to_vec() } else { args.parts.clone() };
    if parts.contains(&Part::Small) && !has_wrk(&search_path) {
        parts.retain(|part| *part != Part::Small);
        skipped.push(("objects of 4 KiB".to_owned(), "apt-get install wrk".to_owned()));
    }
    for contestant in &contestants {
        talk.line(format!("{}: {}", contestant.kind.name(), contestant.version));
    }
    for (name, advice) in &skipped {
        talk.line(format!("skipped: {name}: {advice}"));
    }
    let bench = Bench::new(&context, args)?;
    let measured = bench.measure_all(&contestants, &parts)?;
    let rows = measured.figures.rows(&contestants);
    talk.line(format!(
        "\n{} MiB, {} rounds\n\n{}",
        args.size >> 20,
        args.rounds,
        figures::table(&rows)
    ));
    for line in measured.notes.iter().chain(&measured.failures) {
        talk.line(line);
    }
    let is_whole = measured.failures.is_empty();
    if args.json {
        let report = Report {
            size_bytes: args.size,
            rounds: args.rounds,
            small_seconds: args.seconds,
            contestants: contestants.into_iter().map(|c| (c.kind.name(), c.version)).collect(),
            skipped: skipped.into_iter().collect(),
            rows,
            notes: measured.notes,
            failures: measured.failures,
        };
        println!("{}", serde_json::to_string_pretty(&report).context("write the report")?);
    }
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The search path: first the tools of the target folder, last the folders of tools for
/// administrators, which a user's path may not name.
fn search_path(context: &Context) -> OsString {
    let mut path = context.target.join("tools/bin").into_os_string();
    path.push(":");
    path.push(clients::search_path(context));
    path.push(":/usr/sbin:/sbin");
    path
}

fn has_wrk(search_path: &OsString) -> bool {
    let mut command = Command::new("sh");
    command.args(["-c", "command -v wrk"]).env("PATH", search_path).stdout(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// A size such as `64M`. Sixteen clients share it, so it is a multiple of 16 MiB.
fn parse_size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|sign: char| !sign.is_ascii_digit());
    let shift = match &text[digits.len()..] {
        "K" | "KiB" => 10,
        "M" | "MiB" => 20,
        "G" | "GiB" => 30,
        _ => return Err("a size is a number with K, M or G, for example 1G".to_owned()),
    };
    let number: u64 = digits.parse().map_err(|_| format!("`{digits}` is not a number"))?;
    let bytes = number.checked_mul(1 << shift).ok_or("too large")?;
    let unit = (CLIENTS as u64) << 20;
    if bytes == 0 || bytes % unit != 0 {
        Err("give a multiple of 16 MiB".to_owned())
    } else {
        Ok(bytes)
    }
}

/// The folder of everything that is made here. It is removed when this is dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new(path: PathBuf) -> Result<Self> {
        fs::create_dir_all(&path).with_context(|| format!("create {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A server that was killed a moment ago may still be in a call that makes a file.
        if fs::remove_dir_all(&self.0).is_err() {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

#[derive(Default)]
struct Measured {
    figures: Figures,
    notes: Vec<String>,
    failures: Vec<String>,
}

/// What all measurements use: the bytes to send, and where.
struct Bench<'a> {
    context: &'a Context,
    args: &'a Args,
    log: Log,
    scratch: Scratch,
    /// The SHA-256 of the large file, and of what each client sends.
    large_sha256: String,
    clients_sha256: Vec<String>,
}

impl<'a> Bench<'a> {
    fn new(context: &'a Context, args: &'a Args) -> Result<Self> {
        let log = context.log("peers-serve")?;
        let scratch = Scratch::new(context.target.join(format!("peers-{}", std::process::id())))?;
        let mut bench = Self {
            context,
            args,
            log,
            scratch,
            large_sha256: String::new(),
            clients_sha256: Vec::new(),
        };
        noise::write(&bench.path("warm"), WARM_BYTES, 1)?;
        noise::write(&bench.path("large"), args.size, 2)?;
        for index in 0..CLIENTS {
            let file = bench.path(&format!("c{}", index + 1));
            noise::write(&file, args.size / CLIENTS as u64, 3 + index as u64)?;
            let sha256 = bench.client(Login::Anonymous).sha256_of_file(&file)?;
            bench.clients_sha256.push(sha256);
        }
        bench.large_sha256 = bench.client(Login::Anonymous).sha256_of_file(&bench.path("large"))?;
        fs::create_dir(bench.path("small")).context("create a folder for small files")?;
        for index in 0..client::SMALL_OBJECTS {
            let file = bench.path(&format!("small/s{index:03}"));
            noise::write(&file, SMALL_BYTES as u64, 100 + index as u64)?;
        }
        let script = bench.path("small.lua");
        fs::write(&script, include_str!("serve/small.lua")).context("write a script for wrk")?;
        Ok(bench)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.0.join(name)
    }

    fn client(&self, login: Login) -> Client<'_> {
        Client { context: self.context, log: &self.log, login }
    }

    fn measure_all(&self, contestants: &[Contestant], parts: &[Part]) -> Result<Measured> {
        let mut measured = Measured::default();
        for round in 0..=usize::from(self.args.rounds) {
            for part in parts {
                for (index, contestant) in contestants.iter().enumerate() {
                    if !part.fits(contestant.kind) {
                        continue;
                    }
                    let name = contestant.kind.name();
                    match self.measure(*part, contestant, &mut measured.notes) {
                        Ok(samples) => {
                            self.keep(round, index, &name, &samples, &mut measured.figures);
                        }
                        Err(error) if self.context.runner.interrupted() => return Err(error),
                        Err(error) => {
                            let failure =
                                format!("FAILED: {name}, part {part:?}, round {round}: {error:#}");
                            self.context.talk.line(&failure);
                            measured.failures.push(failure);
                        }
                    }
                }
            }
        }
        Ok(measured)
    }

    fn keep(
        &self,
        round: usize,
        index: usize,
        name: &str,
        samples: &[(Measure, Sample)],
        figures: &mut Figures,
    ) {
        let warm_up = if round == 0 { " (warm-up, does not count)" } else { "" };
        for (measure, sample) in samples {
            let Sample { rate, usage } = sample;
            self.context.talk.line(format!(
                "round {round}{warm_up}: {name}: {measure:?}: {rate:.0} {}, {:.2} s of CPU, {} MiB",
                measure.unit(),
                usage.cpu_seconds,
                usage.resident_bytes >> 20
            ));
            if round > 0 {
                figures.add(*measure, index, round, *sample);
            }
        }
    }

    fn measure(
        &self,
        part: Part,
        contestant: &Contestant,
        notes: &mut Vec<String>,
    ) -> Result<Vec<(Measure, Sample)>> {
        let folder = Scratch::new(self.path("server"))?;
        let server = Running::start(self.context, contestant, &folder.0)?;
        let kind = contestant.kind;
        let login = if kind.is_drystone() { Login::Basic } else { Login::Anonymous };
        let turn =
            Turn { bench: self, server: &server, client: self.client(login), folder: &folder.0 };
        if kind.is_drystone() {
            turn.client.make_bucket(&server.url(&kind.plain().unwrap_or_default()))?;
        }
        let plain = || kind.plain().map(|path| server.url(&path)).context("no plain HTTP");
        match part {
            Part::Plain => turn.plain(&plain()?),
            Part::Signed => match kind.s3() {
                Some(path) => turn.signed(kind, &server.url(&path), notes),
                None => turn.plain_instead_of_signed(&plain()?),
            },
            Part::Clients => turn.clients(&plain()?),
            Part::Small => turn.small(&plain()?),
        }
    }
}

impl Part {
    /// Whether this contestant takes part. nginx takes part in the S3 part too, because S3 is
    /// compared with it.
    fn fits(self, kind: Kind) -> bool {
        match self {
            Self::Signed => kind.s3().is_some() || kind == Kind::Nginx,
            Self::Plain | Self::Clients | Self::Small => kind.plain().is_some(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_a_multiple_of_what_sixteen_clients_share() {
        assert_eq!(parse_size("1G"), Ok(1 << 30));
        assert_eq!(parse_size("64M"), Ok(64 << 20));
        assert_eq!(parse_size("16384KiB"), Ok(16 << 20));
        for wrong in
            ["", "G", "64", "64m", "8M", "24M", "0M", "-16M", "1.5G", "99999999999G", "64 M"]
        {
            assert!(parse_size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_folder_is_gone_afterwards() {
        let folder = tempfile::tempdir().expect("a scratch directory");
        let path = folder.path().join("below");
        let scratch = Scratch::new(path.clone()).expect("a folder is made");
        fs::write(path.join("file"), "x").expect("a file is made");
        drop(scratch);
        assert!(!path.exists());
    }

    #[test]
    fn plain_parts_are_for_those_that_speak_plain_http() {
        assert!(Part::Signed.fits(Kind::Nginx) && Part::Signed.fits(Kind::S3sFs));
        assert!(!Part::Signed.fits(Kind::Dufs) && !Part::Small.fits(Kind::RcloneS3));
    }
}
