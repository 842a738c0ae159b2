//! Where a bucket is said to be.

/// The region of every bucket of which nothing else was said. Clients sign for the one that they
/// are set to, and any is fine: where a bucket is said to be is a note for them.
pub(super) const REGION: &str = "us-east-1";
/// The code of the refusal from which clients learn the region.
pub(super) const WRONG_REGION: &str = "AuthorizationHeaderMalformed";
