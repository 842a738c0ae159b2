//! The bodies of the fuzz targets of this crate: each takes arbitrary bytes and panics when a
//! promise is broken.
//!
//! They are here because what they check is private to this crate. A shipped build has none of it.
//! The targets in `fuzz/` call them, and the test below replays the committed inputs.

mod fd_groups;
mod proc_files;
mod proc_net;

pub use fd_groups::fd_groups;
pub use proc_files::proc_files;
pub use proc_net::proc_net;

/// What a target calls.
#[cfg(test)]
type Body = fn(&[u8]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_committed_input_passes() {
        let bodies: [(&str, Body); 3] =
            [("fd_groups", fd_groups), ("proc_files", proc_files), ("proc_net", proc_net)];
        for (target, body) in bodies {
            let folder = std::path::Path::new("../../fuzz/corpus").join(target);
            let inputs = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
            let mut inputs: Vec<_> = inputs.collect();
            inputs.sort();
            assert!(
                !inputs.is_empty() && inputs.len() <= 40,
                "{target} has {} inputs",
                inputs.len()
            );
            for input in inputs {
                println!("{}", input.display());
                body(&std::fs::read(&input).unwrap());
            }
        }
    }
}
