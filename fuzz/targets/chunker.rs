//! See `drystone_testkit::fuzz::chunker`.
#![no_main]

drystone_fuzz::target!(drystone_testkit::fuzz::chunker);
