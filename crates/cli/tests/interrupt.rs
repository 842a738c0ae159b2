//! SIGINT and SIGTERM end a command soon and cleanly.

mod support;

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Stdio};

use drystone_testkit::noise::Noise;
use rustix::process::{Pid, Signal, kill_process};
use support::{Ran, Sandbox, args, assert_nothing_temporary_below, files_below, spawn, tree};

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).expect("a child that has not been waited for");
}

#[test]
fn a_put_that_waits_for_standard_input_ends() {
    let sandbox = Sandbox::new();
    for which in [Signal::INT, Signal::TERM] {
        let put = args!["put", "-", "--name", "half"];
        let mut child = spawn(sandbox.drystone(put).stdin(Stdio::piped()));
        let mut input = child.stdin.take().unwrap();
        // More than a pipe holds, so it is reading by now and has its signal handlers.
        input.write_all(&Noise::new(1).bytes(3 << 20)).unwrap();
        signal(&child, which);
        let mut said = String::new();
        BufReader::new(child.stderr.as_mut().unwrap()).read_line(&mut said).unwrap();
        assert!(said.contains("stopping within two seconds"), "{said}");
        assert!(child.try_wait().unwrap().is_none(), "it was said only at the end");
        let ran = Ran::new(child.wait_with_output().unwrap());
        assert_eq!(ran.code, Some(130), "{}", ran.err);
        drop(input);
        sandbox.fails(4, args!["stat", "half"]);
        sandbox.put_bytes("whole", b"bytes");
        assert_eq!(sandbox.cat("whole"), b"bytes");
    }
}

#[test]
fn a_get_takes_its_temporary_file_away() {
    let sandbox = Sandbox::chunked("cdc:16KiB,64KiB,256KiB");
    // Zeroes are one chunk, so this is quickly made; restoring it takes a while.
    let zeroes = std::fs::File::create(sandbox.path("large")).unwrap();
    zeroes.set_len(400 << 20).unwrap();
    sandbox.ok(args!["put", "large"]);
    std::fs::create_dir(sandbox.path("into")).unwrap();
    let mut interrupted = 0;
    for dest in ["into", "into/file", "into", "into/file"] {
        let mut child = spawn(&mut sandbox.drystone(args!["get", "--force", "large", dest]));
        let begun =
            || files_below(&sandbox.path("into")).iter().any(|path| path.extension().is_some());
        while !begun() && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        signal(&child, Signal::INT);
        let ran = Ran::new(child.wait_with_output().unwrap());
        assert_nothing_temporary_below(&sandbox.path("into"));
        // It may have been faster than the signal.
        assert!(matches!(ran.code, Some(0 | 130)), "{:?} {}", ran.code, ran.err);
        interrupted += u32::from(ran.code == Some(130));
    }
    assert!(interrupted > 0, "no signal came in time");
}

#[test]
fn a_get_of_many_files_takes_its_temporary_files_away() {
    let sandbox = Sandbox::new();
    tree::many(&sandbox.path("s"), 1, 5000, 2000);
    sandbox.ok(args!["--quiet", "put", "s"]);
    let into = sandbox.path("into");
    let mut interrupted = 0;
    for _ in 0..5 {
        let mut child = spawn(&mut sandbox.drystone(args!["get", "s", into]));
        while !into.join("s/003").exists() && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        signal(&child, Signal::INT);
        let ran = Ran::new(child.wait_with_output().unwrap());
        assert_nothing_temporary_below(&into);
        assert!(matches!(ran.code, Some(0 | 130)), "{:?} {}", ran.code, ran.err);
        interrupted += u32::from(ran.code == Some(130));
        std::fs::remove_dir_all(&into).unwrap();
    }
    assert!(interrupted > 0, "no signal came in time");
}
