//! The `fdwatch` binary.

fn main() {}
