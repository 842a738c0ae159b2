//! See `crates/server/src/fuzzing/aws_chunked.rs`.
#![no_main]

drystone_fuzz::target!(drystone_fuzz::aws_chunked);
