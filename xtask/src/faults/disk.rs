//! Small file systems of our own, removed with their guard.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::mount::{UnmountFlags, unmount};

use super::{missing, search_path};
use crate::process::Log;
use crate::stage::{Context, minutes};

/// How long the last process may take to let go of a file system.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) struct Disk<'a> {
    context: &'a Context,
    log: &'a Log,
    /// `None`: in memory.
    image: Option<PathBuf>,
    at: PathBuf,
}

impl<'a> Disk<'a> {
    /// An ext4 in a file, mounted at `folder/disk`.
    pub(super) fn ext4(
        context: &'a Context,
        log: &'a Log,
        folder: &Path,
        bytes: u64,
    ) -> Result<Self> {
        let image = folder.join("image");
        let file = File::create(&image).with_context(|| format!("create {}", image.display()))?;
        file.set_len(bytes).with_context(|| format!("make {} longer", image.display()))?;
        let disk = Self { context, log, image: Some(image.clone()), at: folder.join("disk") };
        let mut make = Command::new("mkfs.ext4");
        make.args(["-q", "-F", "-m", "0", "-E", "nodiscard"]).arg(image);
        disk.tool(make).map_err(|error| missing(format!("no ext4: {error:#}")))?;
        disk.mount(None)?;
        Ok(disk)
    }

    /// A tmpfs, mounted at `folder/disk`.
    pub(super) fn tmpfs(
        context: &'a Context,
        log: &'a Log,
        folder: &Path,
        bytes: u64,
    ) -> Result<Self> {
        let disk = Self { context, log, image: None, at: folder.join("disk") };
        disk.mount(Some(&format!("size={bytes}")))?;
        Ok(disk)
    }

    pub(super) fn path(&self) -> &Path {
        &self.at
    }

    /// Changes a mounted file system. The caller knows which file system can be changed with which
    /// options.
    pub(super) fn remount(&self, options: &OsStr) -> Result<()> {
        let mut mount = Command::new("mount");
        let mut all = OsString::from("remount,");
        all.push(options);
        mount.arg("-o").arg(all).arg(&self.at);
        self.tool(mount)
    }

    pub(super) fn mount(&self, options: Option<&str>) -> Result<()> {
        std::fs::create_dir_all(&self.at)
            .with_context(|| format!("create {}", self.at.display()))?;
        let mut mount = Command::new("mount");
        let mut all = options.map(str::to_owned).into_iter().collect::<Vec<_>>();
        match &self.image {
            // With `loop`, the kernel frees the device when the file system is unmounted.
            Some(image) => {
                all.push("loop".to_owned());
                mount.args(["-t", "ext4"]).arg(image);
            }
            None => {
                mount.args(["-t", "tmpfs", "drystone-faults"]);
            }
        }
        mount.args(["-o", &all.join(",")]).arg(&self.at);
        self.tool(mount).map_err(|error| missing(format!("cannot mount: {error:#}")))
    }

    /// Waits until no process uses the file system any more.
    pub(super) fn unmount(&self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while let Err(error) = unmount(&self.at, UnmountFlags::empty()) {
            if error != rustix::io::Errno::BUSY || Instant::now() >= deadline {
                bail!("cannot unmount {}: {error}", self.at.display());
            }
            sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    fn tool(&self, mut command: Command) -> Result<()> {
        command.env("PATH", search_path());
        let done = self.context.runner.run(command, self.log, minutes(1))?;
        match done.reason() {
            None => Ok(()),
            Some(how) => {
                bail!("{how}, {}", done.output.trim().lines().last().unwrap_or("without a word"))
            }
        }
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        // Unmounting fails when the file system is not mounted, which is no problem.
        if self.unmount().is_err() {
            let _ = unmount(&self.at, UnmountFlags::DETACH);
        }
        if let Some(image) = &self.image {
            let _ = std::fs::remove_file(image);
        }
    }
}
