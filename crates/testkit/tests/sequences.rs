//! Random sequences of operations, held against the reference model.
//!
//! `DRYSTONE_PROPTEST_CASES` replaces the number of sequences over the memory backend; failing ones
//! are shrunk and printed.

use drystone_testkit::local::LocalBackend;
use drystone_testkit::reference::{Machine, Script, run, strategy};
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};

/// Sequences over the memory backend, in all: split between the parts so that they run side by
/// side.
const MEMORY_CASES: u32 = 10_000;
const PARTS: u32 = 4;
const LOCAL_CASES: u32 = 200;

fn runner(cases: u32, part: u32) -> TestRunner {
    let config =
        Config { cases, failure_persistence: None, max_shrink_iters: 3000, ..Config::default() };
    let mut seed = [0x5D; 32];
    seed[..4].copy_from_slice(&part.to_le_bytes());
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed))
}

fn judge(checked: Result<(), TestError<Script>>) {
    match checked {
        Ok(()) => {}
        Err(TestError::Fail(why, script)) => panic!("{why}\nsmallest script: {script:?}"),
        Err(TestError::Abort(why)) => panic!("{why}"),
    }
}

fn memory(part: u32) {
    let asked = std::env::var("DRYSTONE_PROPTEST_CASES").ok().and_then(|text| text.parse().ok());
    let cases = asked.unwrap_or(MEMORY_CASES).div_ceil(PARTS);
    let checked = runner(cases, part).run(&strategy::script(24), |script| {
        run(&script, &mut Machine::new(&script.setup));
        Ok(())
    });
    judge(checked);
}

#[test]
fn sequences_with_crashes_and_faults_keep_every_promise_0() {
    memory(0);
}

#[test]
fn sequences_with_crashes_and_faults_keep_every_promise_1() {
    memory(1);
}

#[test]
fn sequences_with_crashes_and_faults_keep_every_promise_2() {
    memory(2);
}

#[test]
fn sequences_with_crashes_and_faults_keep_every_promise_3() {
    memory(3);
}

#[test]
fn sequences_over_real_files_keep_every_promise() {
    let checked = runner(LOCAL_CASES, 99).run(&strategy::script(16), |script| {
        run(&script, &mut LocalBackend::new(&script.setup));
        Ok(())
    });
    judge(checked);
}
