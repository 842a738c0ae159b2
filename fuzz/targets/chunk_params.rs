//! See `drystone_testkit::fuzz::chunk_params`.
#![no_main]

drystone_fuzz::target!(drystone_testkit::fuzz::chunk_params);
