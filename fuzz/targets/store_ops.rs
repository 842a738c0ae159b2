//! See `drystone_testkit::fuzz::store_ops`.
#![no_main]

drystone_fuzz::target!(drystone_testkit::fuzz::store_ops);
