//! See `drystone_server::fuzzing::http_range`.
#![no_main]

drystone_fuzz::target!(drystone_server::fuzzing::http_range);
