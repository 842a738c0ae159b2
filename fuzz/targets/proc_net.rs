//! See `fdwatch::fuzzing::proc_net`.
#![no_main]

drystone_fuzz::target!(fdwatch::fuzzing::proc_net);
