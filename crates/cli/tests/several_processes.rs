//! Any number of processes may work on one store at once.

mod support;

use std::fs;

use support::{Ran, Sandbox, args, spawn, tree};

#[test]
fn overlapping_puts_and_gets_all_succeed() {
    let sandbox = Sandbox::chunked("cdc:1KiB,4KiB,16KiB");
    // Folder n holds part n and part n + 1, so neighbours store the same bytes at the same time.
    let folder = |number: usize| sandbox.path(&format!("f{number}"));
    for number in 0..4 {
        for part in [number, number + 1] {
            tree::many(&folder(number).join(format!("part{part}")), part as u64, 150, 40_000);
        }
    }
    let early = sandbox.path("early");
    tree::many(&early, 99, 100, 40_000);
    sandbox.ok(args!["put", early]);
    let mut puts: Vec<_> = (0..4)
        .map(|number| spawn(&mut sandbox.drystone(args!["--quiet", "put", folder(number)])))
        .collect();
    let expected = tree::read(&early);
    let mut gets = 0;
    // At least two rounds of readers, and more as long as a put is running.
    while gets < 2 || puts.iter_mut().any(|put| put.try_wait().unwrap().is_none()) {
        let into: Vec<_> =
            (0..2).map(|_| tempfile::tempdir_in(sandbox.path("")).unwrap()).collect();
        let running: Vec<_> = into
            .iter()
            .map(|into| spawn(&mut sandbox.drystone(args!["get", "early", into.path()])))
            .collect();
        for (get, into) in running.into_iter().zip(&into) {
            let get = Ran::new(get.wait_with_output().unwrap());
            assert_eq!(get.code, Some(0), "{}", get.err);
            let found = tree::read(&into.path().join("early"));
            assert!(found.keys().eq(expected.keys()));
        }
        gets += 1;
    }
    for put in puts {
        let put = Ran::new(put.wait_with_output().unwrap());
        assert_eq!((put.code, put.err.as_str()), (Some(0), ""));
    }
    for number in 0..4 {
        let into = sandbox.get(&format!("f{number}"));
        tree::assert_same(
            &tree::read(&into.path().join(format!("f{number}"))),
            &tree::read(&folder(number)),
        );
    }
}

#[test]
fn the_last_writer_of_a_key_wins_whole() {
    let sandbox = Sandbox::chunked("cdc:64,256,1024");
    let bodies: Vec<Vec<u8>> = (0..4).map(|number| vec![b'a' + number; 300_000]).collect();
    std::thread::scope(|scope| {
        for body in &bodies {
            let sandbox = &sandbox;
            scope.spawn(move || {
                for _ in 0..5 {
                    sandbox.put_bytes("k", body);
                }
            });
        }
    });
    let found = sandbox.cat("k");
    assert!(bodies.contains(&found));
}

#[test]
fn of_two_inits_at_once_the_store_survives() {
    for _ in 0..10 {
        let sandbox = Sandbox::bare();
        let inits: Vec<_> = (0..3).map(|_| spawn(&mut sandbox.drystone(args!["init"]))).collect();
        let codes: Vec<_> =
            inits.into_iter().map(|init| Ran::new(init.wait_with_output().unwrap()).code).collect();
        assert!(codes.contains(&Some(0)), "{codes:?}");
        sandbox.put_bytes("k", b"bytes");
        assert_eq!(sandbox.cat("k"), b"bytes");
        assert!(!fs::exists(sandbox.store().join("drystone.toml.new")).unwrap());
    }
}
