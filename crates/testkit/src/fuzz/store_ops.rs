//! The alphabet of operations from arbitrary bytes.

use arbitrary::{Arbitrary, Unstructured};

use crate::reference::{Machine, Script, run};

/// Operations of one input at the most: more make it slow, not better.
const OPS_MAX: usize = 48;

/// Whatever is done to a store, and whatever I/O fails, the reference model's promises hold.
///
/// # Panics
/// When one does not.
pub fn store_ops(data: &[u8]) {
    let Ok(mut script) = Script::arbitrary(&mut Unstructured::new(data)) else { return };
    script.ops.truncate(OPS_MAX);
    run(&script, &mut Machine::new(&script.setup));
}
