//! See `drystone_server::fuzzing::form_body`.
#![no_main]

drystone_fuzz::target!(drystone_server::fuzzing::form_body);
