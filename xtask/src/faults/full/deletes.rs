//! Deletes on a disk that was filled in every way: with the chunks of puts that did not fit, with
//! the steps of a put that was killed, to the last block, and to the last file name.

use std::ffi::OsStr;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::super::content::Content;
use super::super::disk::Disk;
use super::super::model::Model;
use super::super::shipped::{Desk, Exit, LIMIT, args};
use super::{EXIT_DISK_FULL, LARGE, put_early, take_the_rest};

/// So small that an object that does not fit has thousands of chunks, and its upload several steps.
const CHUNKING: &str = "cdc:4KiB,16KiB,64KiB";
/// Objects that are deleted one after the other.
const SINGLE: u64 = 12;
/// Objects that are deleted at once: more than one transaction takes.
const AT_ONCE: u64 = 1100;
/// The bytes that a put gets before it is killed: more than two of its steps.
const KILLED_BYTES: u64 = 24 << 20;
const EXIT_NOT_FOUND: Exit = Exit::Code(4);

pub(super) fn work(desk: &Desk<'_>, disk: &Disk<'_>) -> Result<String> {
    let mut model = Model::default();
    desk.ok(args!["init", "--chunk", CHUNKING])?;
    put_early(desk, &mut model)?;
    put_small_ones(desk)?;
    for _ in 0..2 {
        let large = desk.put("large", LARGE)?;
        large.is_sound()?;
        if large.exit != EXIT_DISK_FULL {
            return Err(large.violates("does not say that the disk is full"));
        }
        // The user has not freed any space by hand.
        let small = desk.put("small", Content { seed: 13, bytes: 3 })?;
        small.is_sound()?;
        if !small.succeeded() {
            return Err(small.violates("is refused after a put that did not fit"));
        }
        delete(desk, "small")?;
    }
    kill_a_put(desk)?;
    let filler = disk.path().join("filler");
    let mut deleted = 0;
    for number in 0..SINGLE {
        // The space that a delete has freed is taken away before the next one.
        take_the_rest(&filler)?;
        if number == SINGLE / 2 {
            use_up_names(disk)?;
        }
        delete(desk, &format!("single-{number}"))?;
        deleted += 1;
    }
    take_the_rest(&filler)?;
    desk.ok(args!["rm", "--recursive", "many"])?;
    let left = desk.run(args!["--json", "ls", "many/"])?;
    left.is_sound()?;
    if left.output.contains("many/") {
        return Err(left.violates("shows what was deleted"));
    }
    desk.read_all(&model)?;
    std::fs::remove_file(&filler).with_context(|| format!("remove {}", filler.display()))?;
    desk.check(&mut model)?;
    Ok(format!(
        "beside 2 puts that did not fit and 1 that was killed, with no block and no name left: \
         {deleted} deletes, and 1 of {AT_ONCE} objects"
    ))
}

fn put_small_ones(desk: &Desk<'_>) -> Result<()> {
    for number in 0..SINGLE {
        let put =
            desk.put(&format!("single-{number}"), Content { seed: 20 + number, bytes: 100 })?;
        put.is_sound()?;
        if !put.succeeded() {
            return Err(put.violates("failed on an empty disk"));
        }
    }
    let folder = desk.folder.join("many");
    std::fs::create_dir(&folder).with_context(|| format!("create {}", folder.display()))?;
    for number in 0..AT_ONCE {
        std::fs::write(folder.join(number.to_string()), [0xa5; 3]).context("write a small file")?;
    }
    desk.ok(args!["put", folder]).map(drop)
}

fn delete(desk: &Desk<'_>, key: &str) -> Result<()> {
    desk.ok(args!["rm", key])?;
    let gone = desk.run(args!["stat", key])?;
    gone.is_sound()?;
    if gone.exit == EXIT_NOT_FOUND { Ok(()) } else { Err(gone.violates("finds what was deleted")) }
}

/// Kills a put that has read everything in its pipe and waits for more.
fn kill_a_put(desk: &Desk<'_>) -> Result<()> {
    let (source, killed) = (desk.folder.join("killed"), desk.folder.join("killed.pid"));
    Content { seed: 16, bytes: KILLED_BYTES }.write(&source)?;
    let put = desk.command(args!["put", "-", "--name", "killed"]);
    // When the pipe is empty, the put has read the last of its input, and only waits.
    let script = "{ cat \"$1\"; read -r pid <\"$2\"; kill -KILL \"$pid\"; } | { shift; me=$1; \
         shift; \
                  sh -c 'echo $$ >\"$0\"; exec \"$@\"' \"$me\" \"$@\"; }; true";
    let mut shell = Command::new("sh");
    shell
        .args(["-c", script, "sh"])
        .arg(&source)
        .arg(&killed)
        .arg(put.get_program())
        .args(put.get_args());
    shell.env_clear().envs(put.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell.current_dir(&desk.folder);
    let ran = desk.run_command(shell, LIMIT)?;
    if ran.exit == Exit::TimedOut {
        bail!("the put that was to be killed goes on");
    }
    Ok(())
}

/// Takes every file name that other users may have, where their number can be made small.
fn use_up_names(disk: &Disk<'_>) -> Result<()> {
    let all = rustix::fs::statvfs(disk.path()).context("ask for the names of the disk")?;
    let used = all.f_files.saturating_sub(all.f_ffree);
    let is_small = disk.remount(OsStr::new(&format!("nr_inodes={}", used + 3)));
    let made =
        |number: u32| std::fs::File::create(disk.path().join(format!("name-{number}"))).is_ok();
    // An ext4 of this size has some thousands of names in any case.
    let limit = if is_small.is_ok() { 100 } else { 100_000 };
    if (0..limit).all(made) {
        bail!("there are more names than that");
    }
    Ok(())
}
