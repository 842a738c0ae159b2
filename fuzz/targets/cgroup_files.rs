//! See `drystone_testkit::fuzz::cgroup_files`.
#![no_main]

drystone_fuzz::target!(drystone_testkit::fuzz::cgroup_files);
