//! Headers in groups, as the operations understand them: see [`super::operations`].

/// Which other accounts may use it. The values are judged where the description of an object is
/// made.
pub(super) const GRANTS: &[&str] = &["x-amz-acl", "x-amz-grant-"];
/// What is said of an object when it is made.
pub(super) const DESCRIPTION: &[&str] =
    &["x-amz-acl", "x-amz-grant-", "x-amz-object-lock-", "x-amz-storage-class", "x-amz-tagging"];
/// Checksums of a body.
pub(super) const CHECKSUMS: &[&str] = &[
    "x-amz-checksum-crc32",
    "x-amz-checksum-crc32c",
    "x-amz-checksum-crc64nvme",
    "x-amz-checksum-sha1",
    "x-amz-checksum-sha256",
];
/// Of a body that comes in chunks, and may have trailers.
pub(super) const STREAMED: &[&str] =
    &["x-amz-checksum-algorithm", "x-amz-decoded-content-length", "x-amz-trailer"];
pub(super) const READ_CONDITIONS: &[&str] =
    &["if-match", "if-modified-since", "if-none-match", "if-range", "if-unmodified-since"];
pub(super) const WRITE_CONDITIONS: &[&str] = &["if-match", "if-none-match"];
/// What is copied.
pub(super) const COPY_SOURCE: &[&str] = &[
    "x-amz-copy-source",
    "x-amz-copy-source-if-match",
    "x-amz-copy-source-if-modified-since",
    "x-amz-copy-source-if-none-match",
    "x-amz-copy-source-if-unmodified-since",
    "x-amz-source-expected-bucket-owner",
];
pub(super) const LISTED: &[&str] = &["x-amz-optional-object-attributes"];
