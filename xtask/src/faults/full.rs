//! Full disks: a put that does not fit says so and costs nothing that was stored. The store goes on
//! when there is room again.

mod deletes;

use std::io::{ErrorKind, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use super::content::Content;
use super::disk::Disk;
use super::model::Model;
use super::shipped::{Desk, Exit, args, judged};
use super::{Setup, need_root};
use crate::process::Log;
use crate::stage::Outcome;

const DISK_BYTES: u64 = 48 << 20;
const BALLAST_BYTES: u64 = 8 << 20;
/// More than the whole disk.
const LARGE: Content = Content { seed: 12, bytes: 64 << 20 };
const EARLY: Content = Content { seed: 10, bytes: 3 << 20 };
/// As `drystone --help` says.
const EXIT_DISK_FULL: Exit = Exit::Code(7);

pub(super) fn run(setup: &Setup<'_>) -> Result<Outcome> {
    need_root("to mount a file system")?;
    let mut outcome = Outcome { passed: 1, ..Outcome::ok("4 full disks") };
    let ways: [(&str, Way); 2] = [("", fill_up), ("-deletes", deletes::work)];
    for kind in ["ext4", "tmpfs"] {
        for (ending, way) in ways {
            let name = format!("full-{kind}{ending}");
            let folder = setup.folder(&name)?;
            let log = Log::create(&setup.logs(), &format!("{name}-disk"))?;
            let disk = match kind {
                "ext4" => Disk::ext4(setup.context, &log, &folder, DISK_BYTES)?,
                _ => Disk::tmpfs(setup.context, &log, &folder, DISK_BYTES)?,
            };
            let log = Log::create(&setup.logs(), &name)?;
            let store = disk.path().join("store");
            let desk = Desk { context: setup.context, binary: &setup.binary, store, folder, log };
            match judged(way(&desk, &disk))? {
                Ok(note) => outcome.notes.push(format!("{kind}: {note}")),
                Err(reason) => {
                    let again = "again: cargo xtask faults --part full";
                    return Ok(outcome.fail(format!("a full {kind}: {reason}; {again}")));
                }
            }
        }
    }
    Ok(outcome)
}

/// Something that is done on a disk of its own. It returns a note.
type Way = fn(&Desk<'_>, &Disk<'_>) -> Result<String>;

fn fill_up(desk: &Desk<'_>, disk: &Disk<'_>) -> Result<String> {
    let disk = disk.path();
    let mut model = Model::default();
    desk.ok(args!["init"])?;
    desk.ok(args!["stat"])?;
    put_early(desk, &mut model)?;
    let (ballast, filler) = (disk.join("ballast"), disk.join("filler"));
    // Removed later: that makes room again without a delete in the store.
    Content { seed: 11, bytes: BALLAST_BYTES }.write(&ballast)?;
    // Twice, because the second put meets what the first one has left.
    for _ in 0..2 {
        let run = desk.put("large", LARGE)?;
        run.is_sound()?;
        if run.exit != EXIT_DISK_FULL || !run.output.contains("the disk is full") {
            return Err(run.violates("does not say that the disk is full"));
        }
        desk.read_all(&model)?;
    }
    // What the failed puts have written is still there. So this put may fail, but it must do no
    // other harm.
    let small = Content { seed: 13, bytes: 100_000 };
    let run = desk.put("small", small)?;
    run.is_sound()?;
    match run.exit {
        Exit::Code(0) => model.acknowledge("small", Some(small)),
        EXIT_DISK_FULL => {}
        _ => return Err(run.violates("does not say that the disk is full")),
    }
    desk.read_all(&model)?;
    let with_nothing_left = nothing_left(desk, &model, &filler)?;
    for extra in [&filler, &ballast] {
        std::fs::remove_file(extra).with_context(|| format!("remove {}", extra.display()))?;
    }
    desk.check(&mut model)?;
    let fits = Content { seed: 14, bytes: BALLAST_BYTES / 2 };
    let run = desk.put("fits", fits)?;
    if !run.succeeded() {
        return Err(run.violates("failed, although there is room again"));
    }
    model.acknowledge("fits", Some(fits));
    desk.check(&mut model)?;
    let small = if model.newest("small").is_some() { "stored" } else { "refused" };
    Ok(format!(
        "2 puts refused with exit code 7, a small one {small}; with not a byte left: \
         {with_nothing_left}; all well once there was room"
    ))
}

fn put_early(desk: &Desk<'_>, model: &mut Model) -> Result<()> {
    let run = desk.put("early", EARLY)?;
    run.is_sound()?;
    if !run.succeeded() {
        return Err(run.violates("failed on an empty disk"));
    }
    model.acknowledge("early", Some(EARLY));
    Ok(())
}

/// When the last block is taken, reading works or is refused with a message. It never gives wrong
/// bytes.
fn nothing_left(desk: &Desk<'_>, model: &Model, filler: &Path) -> Result<String> {
    take_the_rest(filler)?;
    let mut seen = Vec::new();
    for (name, words) in [("ls", args!["ls"]), ("cat", args!["cat", "--range", "0-9", "early"])] {
        let run = desk.run(words)?;
        run.is_sound()?;
        seen.push(match run.exit {
            Exit::Code(0) => format!("{name} works"),
            EXIT_DISK_FULL => format!("{name} says that the disk is full"),
            _ => return Err(run.violates("does not say that the disk is full")),
        });
    }
    if seen.iter().all(|seen| seen.ends_with("works")) {
        desk.read_all(model)?;
    }
    let put = desk.put("none", Content { seed: 15, bytes: 1 << 20 })?;
    put.is_sound()?;
    if put.exit != EXIT_DISK_FULL {
        return Err(put.violates("does not say that the disk is full"));
    }
    Ok(seen.join(", "))
}

/// Takes every block that other users may have.
fn take_the_rest(filler: &Path) -> Result<()> {
    let mut file = std::fs::File::options().create(true).append(true).open(filler);
    let file =
        file.as_mut().map_err(|error| anyhow::anyhow!("open {}: {error}", filler.display()))?;
    for block_bytes in [1 << 20, 4096] {
        let block = vec![0xa5; block_bytes];
        let error = loop {
            if let Err(error) = file.write_all(&block) {
                break error;
            }
        };
        ensure!(error.kind() == ErrorKind::StorageFull, "cannot fill the disk: {error}");
        file.sync_all().context("fill the disk")?;
    }
    Ok(())
}
