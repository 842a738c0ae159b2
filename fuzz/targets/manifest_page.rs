//! See `drystone_testkit::fuzz::manifest_page`.
#![no_main]

drystone_fuzz::target!(drystone_testkit::fuzz::manifest_page);
