//! See `fdwatch::fuzzing::proc_files`.
#![no_main]

drystone_fuzz::target!(fdwatch::fuzzing::proc_files);
