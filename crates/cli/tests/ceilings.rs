//! Memory and descriptors stay below what `plan` prints.

mod support;

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use drystone_testkit::noise::Noise;
use support::{Ran, Sandbox, args, tree};

#[test]
fn thirty_two_descriptors_are_enough_for_thousands_of_files() {
    let sandbox = Sandbox::new();
    let source = sandbox.path("s");
    tree::many(&source, 1, 3000, 200);
    let deep = (0..60).fold(source.join("deep"), |folder, depth| folder.join(format!("d{depth}")));
    tree::file(&deep.join("bottom"), 1, 9 << 20);
    let limited = |args: &[&std::ffi::OsStr]| {
        let ran = Ran::of(
            &mut sandbox.drystone_limited("-n 32", &[args!["--workers", "2"], args].concat()),
        );
        assert_eq!(ran.code, Some(0), "{args:?}: {}", ran.err);
        ran
    };
    let plan = &limited(args!["--json", "plan"]).json()[0];
    assert_eq!(plan["descriptors_ceiling"], 32);
    assert!(plan["descriptors_total"].as_u64().unwrap() <= 32);
    // At least three: every process starts with its standard streams.
    let open = plan["descriptors_open"].as_u64().unwrap();
    assert!((3..=32).contains(&open), "{open}");
    let told = limited(args!["plan"]);
    let told = told.text();
    assert!(told.contains(&format!("{open} of 32 descriptors are open now")), "{told}");
    limited(args!["put", source]);
    // Again with everything stored.
    limited(args!["put", source]);
    limited(args!["get", "s", sandbox.path("into")]);
    tree::assert_same(&tree::read(&sandbox.path("into/s")), &tree::read(&source));
}

#[test]
fn too_few_descriptors_are_refused_with_what_to_change() {
    let sandbox = Sandbox::new();
    let ran = Ran::of(&mut sandbox.drystone_limited("-n 14", args!["put", "config"]));
    assert_eq!(ran.code, Some(6), "{}", ran.err);
    ran.says(&["ulimit -n"]);
}

/// Runs to the end and returns the most memory that was resident, in bytes.
#[allow(unsafe_code)]
#[allow(
    clippy::zombie_processes,
    reason = "it is waited for by `wait4`, which also says what it used"
)]
fn peak_bytes(command: &mut Command) -> u64 {
    let child = command.spawn().expect("the binary starts");
    let pid = libc::pid_t::try_from(child.id()).expect("a process id");
    let mut status = 0;
    // SAFETY: all zeroes are a value of this struct of integers.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to locals that outlive the call. `child` is never waited for
    // otherwise, so the process id is that of our child.
    let waited = unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) };
    assert_eq!((waited, status), (pid, 0), "{command:?}");
    u64::try_from(usage.ru_maxrss).expect("a size") * 1024
}

/// Written piece by piece: a child's peak begins at what its parent had resident, so this process
/// must stay small.
fn noise_file(path: &Path, seed: u64, mebibytes: usize) {
    let mut noise = Noise::new(seed);
    let mut file = File::create(path).expect("a new file");
    for _ in 0..mebibytes {
        file.write_all(&noise.bytes(1 << 20)).expect("room for it");
    }
}

#[test]
fn peak_memory_is_below_the_plan_whatever_the_size_of_the_file() {
    for memory in ["64MiB", "256MiB"] {
        let sandbox = Sandbox::bare();
        sandbox.ok(args!["--memory", memory, "init", "--chunk", "cdc:64KiB,256KiB,1MiB"]);
        let plan = &sandbox.ok(args!["--json", "--memory", memory, "plan"]).json()[0];
        let planned = plan["memory_total_bytes"].as_u64().unwrap();
        let mut peaks = Vec::new();
        for mebibytes in [64, 256] {
            let name = format!("f{mebibytes}");
            noise_file(&sandbox.path(&name), mebibytes as u64, mebibytes);
            let common = ["--quiet", "--memory", memory, "--sync", "never"];
            let run = |args: &[&std::ffi::OsStr]| {
                let common: Vec<_> = common.iter().map(std::ffi::OsStr::new).collect();
                peak_bytes(&mut sandbox.drystone(&[&common, args].concat()))
            };
            let put = run(args!["put", name]);
            let get = run(args!["get", "--force", name, "into"]);
            for peak in [put, get] {
                assert!(
                    peak < planned,
                    "{mebibytes} MiB took {peak} bytes, the plan said {planned}"
                );
            }
            peaks.push((put, get));
        }
        let grown = |small: u64, large: u64| large.saturating_sub(small) >> 20;
        let (put, get) = (grown(peaks[0].0, peaks[1].0), grown(peaks[0].1, peaks[1].1));
        assert!(
            put < 16 && get < 16,
            "four times the bytes took {put} and {get} MiB more: {peaks:?}"
        );
    }
}
