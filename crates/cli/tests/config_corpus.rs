//! Replays the committed inputs of the fuzz target `config`.

use std::fs;
use std::path::Path;

#[expect(unreachable_pub, reason = "the fuzz target calls it from another crate")]
#[path = "../../../fuzz/src/config.rs"]
mod body;

#[test]
fn every_committed_input_passes() {
    let folder = Path::new("../../fuzz/corpus/config");
    let mut inputs: Vec<_> = fs::read_dir(folder)
        .expect("the corpus can be listed")
        .map(|entry| entry.expect("the corpus can be listed").path())
        .collect();
    inputs.sort();
    assert!(!inputs.is_empty(), "no input in {}", folder.display());
    for path in inputs {
        println!("{}", path.display());
        body::config(&fs::read(&path).expect("an input can be read"));
    }
}
