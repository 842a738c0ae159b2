//! What is computed of a body as it passes.

use crate::fault::Fault;

/// Checksums under way. The protocol that receives a body says which.
pub trait Checksums: Send + 'static {
    /// What the client says they are. The default promises nothing.
    type Expected: Default + Send + 'static;
    /// What they are, of the whole body.
    type Computed: Send + 'static;

    /// The next bytes of the body.
    fn update(&mut self, bytes: &[u8]);

    /// The body has ended.
    ///
    /// # Errors
    /// When they are not what the client said.
    fn finish(self, expected: &Self::Expected) -> Result<Self::Computed, Fault>;
}
