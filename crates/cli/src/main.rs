//! drystone.
fn main() {}
