//! Power cuts: puts and removals into an ext4 that loses, at a random moment, all that was not on
//! its disk.
//!
//! A change counts as acknowledged when, before the cut, its process was seen to end with success,
//! or its line of JSON was in the log. Just before each cut, a file is written and never synced. If
//! no such file were ever lost, the cuts would not be power cuts.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::thread::{scope, sleep};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::content::{Content, Random};
use super::disk::Disk;
use super::model::{Model, State};
use super::shipped::{Desk, Exit, Run, acknowledged, args, judged};
use super::shutdown::cut_power;
use super::{Setup, missing, need_root};
use crate::process::Log;
use crate::stage::{Mode, Outcome};

const CYCLES_QUICK: u64 = 10;
const CYCLES_FULL: u64 = 50;
const DISK_BYTES: u64 = 192 << 20;
const WRITERS: usize = 3;
const KEYS: u64 = 12;
/// Files of a folder that is put at once.
const FOLDER_FILES: u64 = 40;
/// A store is replaced after so many cycles. The disk is small, and a cut should also meet a fresh
/// `init`.
const CYCLES_PER_STORE: u64 = 5;
const CHUNKING: &str = "cdc:4KiB,16KiB,64KiB";
/// SQLite maps its shared-memory file. The kernel sends this signal when a dead disk cannot give a
/// page of it.
const SIGBUS: i32 = 7;

#[derive(Default)]
struct Tally {
    acknowledged: u64,
    in_flight: u64,
    bus_errors: u64,
    unsynced_lost: u64,
}

pub(super) fn run(setup: &Setup<'_>) -> Result<Outcome> {
    need_root("to mount a file system")?;
    let folder = setup.folder("power")?;
    let log = Log::create(&setup.logs(), "power-disk")?;
    let disk = Disk::ext4(setup.context, &log, &folder, DISK_BYTES)?;
    let cycles = if setup.context.mode == Mode::Full { CYCLES_FULL } else { CYCLES_QUICK };
    let mut power = Power::new(setup, &disk, &folder)?;
    for cycle in 0..cycles {
        if let Err(reason) = judged(power.cycle(cycle))? {
            let again = format!(
                "again: cargo xtask faults --part power --seed {}{}",
                setup.seed,
                setup.full_flag()
            );
            return Ok(Outcome::failed(format!("power cut {}: {reason}; {again}", cycle + 1)));
        }
    }
    Ok(power.outcome(cycles))
}

struct Power<'a> {
    disk: &'a Disk<'a>,
    desk: Desk<'a>,
    writers: Vec<Writer<'a>>,
    random: Random,
    tally: Tally,
}

/// A thread that runs one command after the other on keys that no other writer has.
struct Writer<'a> {
    index: usize,
    desk: Desk<'a>,
    random: Random,
    model: Model,
}

/// `None` until the power is gone. Then the length of each writer's log just before that.
type Cut = Mutex<Option<Vec<u64>>>;

impl<'a> Power<'a> {
    fn new(setup: &'a Setup<'_>, disk: &'a Disk<'a>, folder: &Path) -> Result<Self> {
        let desk = |name: String| -> Result<Desk<'a>> {
            let folder = folder.join(&name);
            std::fs::create_dir_all(&folder)
                .with_context(|| format!("create {}", folder.display()))?;
            let log = Log::create(&setup.logs(), &format!("power-{name}"))?;
            let store = disk.path().join("store");
            Ok(Desk { context: setup.context, binary: &setup.binary, store, folder, log })
        };
        let mut random = Random::new(setup.seed);
        let mut writers = Vec::new();
        for index in 0..WRITERS {
            let desk = desk(format!("writer-{index}"))?;
            writers.push(Writer {
                index,
                desk,
                random: Random::new(random.next()),
                model: Model::default(),
            });
        }
        Ok(Self { disk, desk: desk("check".to_owned())?, writers, random, tally: Tally::default() })
    }

    fn cycle(&mut self, cycle: u64) -> Result<()> {
        let is_fresh = cycle.is_multiple_of(CYCLES_PER_STORE);
        if is_fresh {
            self.fresh_store(cycle)?;
        }
        let delay = Duration::from_millis(self.random.within(0, if is_fresh { 150 } else { 600 }));
        self.until_the_cut(cycle, delay)?;
        self.disk.unmount()?;
        // In this mode, ext4 does not write data before the journal entries that refer to it. So
        // more can be lost.
        self.disk.mount((cycle % 2 == 1).then_some("data=writeback"))?;
        let unsynced = self.disk.path().join(format!("unsynced-{cycle}"));
        self.tally.unsynced_lost += u64::from(!unsynced_file(cycle).is_in(&unsynced));
        let mut model = Model::default();
        self.writers.iter().for_each(|writer| model.merge(&writer.model));
        self.desk.check(&mut model)?;
        for writer in &mut self.writers {
            writer.model.learn(&model);
        }
        // The probe belongs to no writer, so no model would know it in the next cycle.
        self.desk.ok(args!["rm", "probe"])?;
        Ok(())
    }

    fn fresh_store(&mut self, cycle: u64) -> Result<()> {
        let old = std::mem::replace(
            &mut self.desk.store,
            self.disk.path().join(format!("store-{cycle}")),
        );
        if old.exists() {
            std::fs::remove_dir_all(&old).with_context(|| format!("remove {}", old.display()))?;
        }
        for writer in &mut self.writers {
            writer.desk.store.clone_from(&self.desk.store);
            writer.model = Model::default();
        }
        self.desk.ok(args!["init", "--chunk", CHUNKING])?;
        Ok(())
    }

    fn until_the_cut(&mut self, cycle: u64, delay: Duration) -> Result<()> {
        let folder = File::open(self.disk.path()).context("open the disk")?;
        let logs: Vec<_> =
            self.writers.iter().map(|writer| writer.desk.log.path().to_owned()).collect();
        let unsynced = self.disk.path().join(format!("unsynced-{cycle}"));
        let cut: Cut = Mutex::new(None);
        let tallies = scope(|scope| -> Result<Vec<Tally>> {
            let threads: Vec<_> =
                self.writers.iter_mut().map(|writer| scope.spawn(|| writer.work(&cut))).collect();
            sleep(delay);
            let written = unsynced_file(cycle).write(&unsynced);
            let was_cut = {
                let mut cut = locked(&cut);
                let lens =
                    logs.iter().map(|log| std::fs::metadata(log).map_or(0, |meta| meta.len()));
                *cut = Some(lens.collect());
                // Under the lock: a writer that sees no cut after its command has ended knows that
                // the command ended before the cut.
                cut_power(&folder)
            };
            let ended = threads
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|_| bail!("a writer panicked")))
                .collect::<Result<Vec<_>>>();
            was_cut.map_err(|error| missing(format!("this ext4 cannot be shut down: {error}")))?;
            written.context("a file that is not synced")?;
            ended
        })?;
        for tally in tallies {
            self.tally.acknowledged += tally.acknowledged;
            self.tally.in_flight += tally.in_flight;
            self.tally.bus_errors += tally.bus_errors;
        }
        Ok(())
    }

    fn outcome(self, cycles: u64) -> Outcome {
        let Tally { acknowledged, in_flight, bus_errors, unsynced_lost } = self.tally;
        let mut outcome = Outcome { passed: 1, ..Outcome::ok(format!("{cycles} power cuts")) };
        outcome.notes.push(format!(
            "{acknowledged} changes acknowledged before a cut, {in_flight} commands under way at \
             one; {unsynced_lost} of {cycles} files that were not synced are gone"
        ));
        if bus_errors > 0 {
            outcome
                .notes
                .push(format!("{bus_errors} commands ended with SIGBUS once the disk was dead"));
        }
        if unsynced_lost == 0 {
            return outcome.fail("no cut lost anything that was not synced: it is no power cut");
        }
        if acknowledged == 0 || in_flight == 0 {
            return outcome.fail("no cut met a command, or none came after an acknowledgement");
        }
        outcome
    }
}

fn unsynced_file(cycle: u64) -> Content {
    Content { seed: cycle, bytes: 100_000 }
}

fn locked(cut: &Cut) -> std::sync::MutexGuard<'_, Option<Vec<u64>>> {
    cut.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Writer<'_> {
    /// One command after the other until the power is gone.
    fn work(&mut self, cut: &Cut) -> Result<Tally> {
        let mut tally = Tally::default();
        while locked(cut).is_none() {
            let log_start = std::fs::metadata(self.desk.log.path()).map_or(0, |meta| meta.len());
            let (run, changes) = self.command()?;
            let cut = locked(cut);
            let Some(log_ends) = &*cut else {
                run.is_sound()?;
                if !run.succeeded() {
                    return Err(run.violates("failed before the power was cut"));
                }
                changes.iter().for_each(|(key, state)| self.model.acknowledge(key, *state));
                tally.acknowledged += changes.len() as u64;
                continue;
            };
            changes.iter().for_each(|(key, state)| self.model.attempt(key, *state));
            for key in acknowledged(&self.logged(log_start, log_ends[self.index])?) {
                if let Some((key, state)) = changes.iter().find(|(changed, _)| *changed == key) {
                    self.model.acknowledge(key, *state);
                    tally.acknowledged += 1;
                }
            }
            tally.in_flight += 1;
            match run.exit {
                Exit::Signal(SIGBUS) => tally.bus_errors += 1,
                _ => run.is_sound()?,
            }
        }
        Ok(tally)
    }

    fn command(&mut self) -> Result<(Run, Vec<(String, State)>)> {
        let own = format!("w{}", self.index);
        let key = format!("{own}/k{}", self.random.within(0, KEYS));
        match self.random.within(0, 10) {
            0..2 => {
                let folder = self.desk.folder.join("many");
                let mut changes = Vec::new();
                for file in 0..FOLDER_FILES {
                    let key = format!("{own}/many/{file:02}");
                    let content = self.another(&key, 20_000);
                    content.write(&folder.join(format!("{file:02}")))?;
                    changes.push((key, Some(content)));
                }
                let run =
                    self.desk.run(args!["--json", "put", folder, "--prefix", format!("{own}/")])?;
                Ok((run, changes))
            }
            2..4 if self.model.newest(&key).is_some() => {
                Ok((self.desk.run(args!["rm", key])?, vec![(key, None)]))
            }
            kind => {
                let content =
                    self.another(&key, [300, 100_000, 1_500_000][usize::try_from(kind % 3)?]);
                let source = self.desk.folder.join("source");
                content.write(&source)?;
                Ok((
                    self.desk.run(args!["--json", "put", source, "--name", key])?,
                    vec![(key, Some(content))],
                ))
            }
        }
    }

    /// New bytes for a key, with another length than it has now.
    fn another(&mut self, key: &str, bytes_max: u64) -> Content {
        let bytes = self.random.within(0, bytes_max);
        let is_same = self.model.newest(key).is_some_and(|old| old.bytes == bytes);
        Content { seed: self.random.next(), bytes: bytes + u64::from(is_same) }
    }

    /// The part of the log between these two lengths.
    fn logged(&self, from: u64, to: u64) -> Result<String> {
        let mut file = File::open(self.desk.log.path()).context("open a writer's log")?;
        file.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        file.take(to.saturating_sub(from)).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}
