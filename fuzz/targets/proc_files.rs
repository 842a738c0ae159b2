//! See `fdwatch::fuzzing::proc_files`, and `shown` of the command for names.
#![no_main]

drystone_fuzz::target!(drystone_fuzz::proc_files);
