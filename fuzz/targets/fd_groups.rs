//! See `fdwatch::fuzzing::fd_groups`.
#![no_main]

drystone_fuzz::target!(fdwatch::fuzzing::fd_groups);
