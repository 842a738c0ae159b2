//! See `drystone_testkit::fuzz::records_open`.
#![no_main]

drystone_fuzz::target!(drystone_testkit::fuzz::records_open);
