//! `cargo peers`: the commands `put` and `get` beside cp, borg and restic on the same bytes,
//! taking turns.
//!
//! Each round runs every command once, in fresh repositories. A rate is the median of the rounds. A
//! ratio is taken within each round, before its median.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use super::{median, noise};

#[derive(clap::Args)]
#[group(id = "store")]
pub(super) struct Args {
    /// The release binary to measure
    #[arg(long, default_value = "target/release/drystone")]
    drystone: PathBuf,
    /// A tree of small files to measure with, beside one large file
    #[arg(long, default_value = "/usr/share")]
    tree: PathBuf,
    /// The most files of the tree to take, in the order in which they are found
    #[arg(long, default_value_t = 20_000)]
    tree_files: u64,
    /// Size of the large, incompressible file in MiB
    #[arg(long, default_value_t = 1024)]
    mib: u64,
    /// Rounds that count, after one that does not
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Everything is made below this folder and removed afterwards
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    scratch: PathBuf,
}

/// A command to measure. Its preparation is not timed.
struct Job {
    name: &'static str,
    prepare: String,
    timed: String,
}

pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let drystone = args
        .drystone
        .canonicalize()
        .context("build it first: cargo build --release -p drystone")?;
    let base = args.scratch.join(format!("drystone-peers-{}", std::process::id()));
    fs::create_dir(&base).with_context(|| format!("cannot create {}", base.display()))?;
    let result = measure_all(args, &drystone, &base);
    fs::remove_dir_all(&base).with_context(|| format!("cannot remove {}", base.display()))?;
    result.map(|()| ExitCode::SUCCESS)
}

fn measure_all(args: &Args, drystone: &Path, base: &Path) -> Result<()> {
    let large = base.join("large");
    noise::write(&large, args.mib << 20, 0)?;
    let bytes = (args.mib << 20) as f64;
    println!("one incompressible file of {} MiB", args.mib);
    report(&rounds(&jobs(drystone, base, &large, "large", "cp"), args.rounds, base)?, bytes);

    let tree = base.join("tree");
    // Only regular files, so that every program does the same work.
    let from = args.tree.display();
    shell(
        base,
        &format!(
            "mkdir tree && find {from} -xdev -type f -print0 | head -z -n {} | tar c -P --null -T \
             - | tar x -C tree",
            args.tree_files
        ),
    )?;
    let (files, bytes) = count(&tree)?;
    println!("\n{files} files of {} MB in all, from {}", bytes / 1_000_000, args.tree.display());
    report(
        &rounds(&jobs(drystone, base, &tree, "tree", "cp -r"), args.rounds, base)?,
        bytes as f64,
    );
    Ok(())
}

fn jobs(drystone: &Path, base: &Path, source: &Path, name: &str, cp: &str) -> Vec<Job> {
    let (drystone, source, base) = (drystone.display(), source.display(), base.display());
    let job = |name, prepare: &str, timed: String| Job { name, prepare: prepare.into(), timed };
    let restic = format!("restic -q --no-cache -r {base}/restic");
    vec![
        job("cp", "rm -rf cp", format!("{cp} {source} cp")),
        job("cp, then sync -f", "rm -rf cps", format!("{cp} {source} cps && sync -f cps")),
        job(
            "drystone put --sync never",
            &format!("rm -rf store && {drystone} -q --store store init"),
            format!("{drystone} -q --store store put --sync never {source}"),
        ),
        job(
            "drystone put again",
            "true",
            format!("{drystone} -q --store store put --sync never {source}"),
        ),
        job("drystone get", "rm -rf back", format!("{drystone} -q --store store get {name} back/")),
        job(
            "drystone put (durable)",
            &format!("rm -rf stored && {drystone} -q --store stored init"),
            format!("{drystone} -q --store stored put {source}"),
        ),
        job(
            "borg create",
            "rm -rf borg && borg init -e none borg",
            format!("borg create --compression none borg::a {source}"),
        ),
        job("borg extract", "rm -rf bx && mkdir bx", "cd bx && borg extract ../borg::a".into()),
        job(
            "restic backup",
            &format!("rm -rf restic && {restic} init"),
            format!("{restic} backup {source}"),
        ),
        job("restic restore", "rm -rf rx", format!("{restic} restore latest --target rx")),
    ]
}

fn rounds(jobs: &[Job], rounds: usize, base: &Path) -> Result<Vec<(&'static str, Vec<f64>)>> {
    let mut times: Vec<(&'static str, Vec<f64>)> =
        jobs.iter().map(|job| (job.name, Vec::new())).collect();
    for round in 0..=rounds {
        for (job, (_, seconds)) in jobs.iter().zip(&mut times) {
            // Pages that earlier commands left dirty would be written back while this one runs.
            shell(base, &format!("{}; sync -f .", job.prepare))?;
            let begun = Instant::now();
            shell(base, &job.timed)?;
            if round > 0 {
                seconds.push(begun.elapsed().as_secs_f64());
            }
        }
        shell(base, "rm -rf cp cps store stored back borg bx restic rx; sync -f .")?;
    }
    Ok(times)
}

fn report(times: &[(&'static str, Vec<f64>)], bytes: f64) {
    println!(
        "{:<28} {:>8} {:>10}   ratio of rates to each of: cp, cp+sync, borg in, borg out, restic \
         in, restic out",
        "", "MB/s", "seconds"
    );
    let of = |name: &str| {
        times.iter().find(|(found, _)| *found == name).map(|(_, seconds)| seconds.as_slice())
    };
    let peers = [
        "cp",
        "cp, then sync -f",
        "borg create",
        "borg extract",
        "restic backup",
        "restic restore",
    ];
    for (name, seconds) in times {
        let time = median(seconds.clone());
        let ratios: Vec<String> = peers
            .iter()
            .filter_map(|peer| of(peer))
            .map(|peer| {
                format!(
                    "{:6.2}",
                    median(peer.iter().zip(seconds).map(|(theirs, ours)| theirs / ours).collect())
                )
            })
            .collect();
        println!("{name:<28} {:>8.0} {time:>10.3}   {}", bytes / 1e6 / time, ratios.join(" "));
    }
}

fn shell(base: &Path, line: &str) -> Result<()> {
    let ended = Command::new("sh")
        .args(["-c", line])
        .current_dir(base)
        .env("BORG_BASE_DIR", base.join("borg-home"))
        .env("BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK", "yes")
        .env("RESTIC_PASSWORD", "bench")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .output()
        .context("cannot run sh")?;
    ensure!(
        ended.status.success(),
        "`{line}` failed: {}",
        String::from_utf8_lossy(&ended.stderr).trim()
    );
    Ok(())
}

fn count(folder: &Path) -> Result<(u64, u64)> {
    let (mut files, mut bytes) = (0, 0);
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        if meta.is_dir() {
            let below = count(&entry.path())?;
            (files, bytes) = (files + below.0, bytes + below.1);
        } else {
            (files, bytes) = (files + 1, bytes + meta.len());
        }
    }
    Ok((files, bytes))
}
