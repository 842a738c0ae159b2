//! The bodies of the fuzz targets: each takes arbitrary bytes and panics when a promise is broken.
//!
//! A target in `fuzz/` calls its body and nothing else; `tests/corpus.rs` replays the committed
//! inputs through [`BODIES`]. The others are where what they check is: the configuration file's in
//! `fuzz/src`, because it belongs to the command, which nothing here may depend on; those of the
//! server's private parsers in `crates/server/src/fuzzing`.

mod cgroup_files;
mod chunk_params;
mod chunker;
mod manifest_page;
mod records_open;
mod store_ops;

pub use cgroup_files::cgroup_files;
pub use chunk_params::chunk_params;
pub use chunker::chunker;
pub use manifest_page::manifest_page;
pub use records_open::records_open;
pub use store_ops::store_ops;

/// What a target calls.
pub type Body = fn(&[u8]);

/// Every body, by the name of its target.
pub const BODIES: &[(&str, Body)] = &[
    ("cgroup_files", cgroup_files),
    ("chunk_params", chunk_params),
    ("chunker", chunker),
    ("manifest_page", manifest_page),
    ("records_open", records_open),
    ("store_ops", store_ops),
];
