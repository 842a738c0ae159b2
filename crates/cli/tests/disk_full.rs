//! A full disk is said to be one, takes nothing with it, and is no end.

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use drystone_testkit::noise::Noise;
use support::{Sandbox, args, assert_nothing_temporary_below};

/// A small file system of its own, gone with the guard.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path) -> Option<Self> {
        std::fs::create_dir_all(at).expect("a folder");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=24m", "drystone-test"]).arg(at);
        let mounted = mount.output().is_ok_and(|output| output.status.success());
        if !mounted {
            println!("skipped: needs root and mount");
        }
        mounted.then(|| Self(at.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
fn a_put_says_that_the_disk_is_full_and_loses_nothing() {
    let sandbox = Sandbox::bare();
    let Some(_disk) = SmallDisk::mount(&sandbox.path("disk")) else { return };
    std::os::unix::fs::symlink(sandbox.path("disk/store"), sandbox.store()).unwrap();
    std::fs::create_dir(sandbox.path("disk/store")).unwrap();
    sandbox.ok(args!["init"]);
    let early = Noise::new(1).bytes(5 << 20);
    sandbox.put_bytes("early", &early);
    for round in 0..3 {
        let large = Noise::new(2 + round).bytes(40 << 20);
        let ran = sandbox.feed(args!["put", "-", "--name", "large"], &large);
        assert_eq!(ran.code, Some(7), "{}", ran.err);
        ran.says(&["the disk is full: `large`", "free some space and put again"]);
        sandbox.fails(4, args!["stat", "large"]);
        assert!(sandbox.cat("early") == early);
    }
    // Nothing had to be freed by hand: what the failed puts wrote is cut off by the next.
    let small = Noise::new(9).bytes(2 << 20);
    sandbox.put_bytes("small", &small);
    assert!(sandbox.cat("small") == small && sandbox.cat("early") == early);
}

#[test]
fn a_get_says_that_the_disk_is_full_and_leaves_no_half_file() {
    let sandbox = Sandbox::new();
    let Some(_disk) = SmallDisk::mount(&sandbox.path("disk")) else { return };
    sandbox.put_bytes("s/large", &Noise::new(1).bytes(40 << 20));
    sandbox.put_bytes("s/small", b"small");
    sandbox.fails(7, args!["get", "s", "disk"]).says(&["s/large: cannot write the file: No space left"]);
    assert!(!sandbox.path("disk/s/large").exists());
    assert_nothing_temporary_below(&sandbox.path("disk"));
    assert_eq!(std::fs::read(sandbox.path("disk/s/small")).unwrap(), b"small");
}
