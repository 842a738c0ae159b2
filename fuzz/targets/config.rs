//! See `drystone_fuzz::config`.
#![no_main]

drystone_fuzz::target!(drystone_fuzz::config);
