//! Replays the committed inputs of the fuzz targets.

use std::fs;
use std::path::Path;

use drystone_testkit::fuzz::BODIES;

/// The configuration file is the command's, which this crate may not know
/// (`crates/cli/tests/config_corpus.rs`); the rest are private parsers of the server
/// (`crates/server/src/fuzzing.rs`) and of fdwatch (`crates/fdwatch/src/fuzzing.rs`).
const ELSEWHERE: [&str; 7] =
    ["aws_chunked", "config", "fd_groups", "form_body", "http_range", "proc_files", "proc_net"];

fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new("../../fuzz/corpus").join(target);
    let entries =
        fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut inputs: Vec<_> = entries
        .map(|entry| {
            let path = entry.expect("the corpus can be listed").path();
            (path.display().to_string(), fs::read(&path).expect("an input can be read"))
        })
        .collect();
    inputs.sort();
    inputs
}

#[test]
fn every_committed_input_passes() {
    for (target, body) in BODIES {
        let inputs = corpus(target);
        assert!(!inputs.is_empty() && inputs.len() < 40, "{target} has {} inputs", inputs.len());
        for (path, data) in inputs {
            println!("{path}");
            body(&data);
        }
    }
}

#[test]
fn every_target_has_a_body() {
    let manifest = Path::new("../../fuzz/Cargo.toml");
    let text = fs::read_to_string(manifest).expect("the fuzz workspace is there");
    let named: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("path = \"targets/")?.strip_suffix(".rs\""))
        .collect();
    let mut bodies: Vec<&str> = BODIES.iter().map(|(name, _)| *name).chain(ELSEWHERE).collect();
    bodies.sort_unstable();
    assert_eq!(named, bodies);
}
