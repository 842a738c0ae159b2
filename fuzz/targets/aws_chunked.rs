//! See `drystone_server::fuzzing::aws_chunked`.
#![no_main]

drystone_fuzz::target!(drystone_server::fuzzing::aws_chunked);
