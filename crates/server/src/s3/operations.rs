//! The operations that are known here: what selects each of them, and what else it understands.
//!
//! The protocol crate takes a request for the plain operation when it does not know its
//! sub-resource: `DELETE /b/k?acl` would delete the object. So a request is let in only if all that
//! it asks for stands in this table: see [`super::queries`] and [`super::headers`]. To add an
//! operation, add its row.

use super::header_groups::{
    CHECKSUMS, COPY_SOURCE, DESCRIPTION, GRANTS, LISTED, READ_CONDITIONS, STREAMED,
    WRITE_CONDITIONS,
};

/// What a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Service,
    Bucket,
    Object,
}

impl Level {
    /// As the protocol crate sees it: the path after its escapes are undone.
    pub(super) fn of(path: &str) -> Self {
        let path = path.strip_prefix('/').unwrap_or(path);
        match path.split_once('/') {
            None if path.is_empty() => Self::Service,
            None | Some((_, "")) => Self::Bucket,
            Some(_) => Self::Object,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Service => "the list of buckets",
            Self::Bucket => "a bucket",
            Self::Object => "an object",
        }
    }
}

/// What the body of a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    /// It is not looked at.
    Nothing,
    /// An object's bytes or a part's.
    Bytes,
    /// A document. Checksums are the document's.
    Document,
    /// A document too, but the checksums in `x-amz-checksum-…` are those of the object that it
    /// makes.
    Completion,
    /// A browser's form.
    Form,
}

/// What an operation understands.
#[derive(Debug)]
pub(super) struct Operation {
    pub(super) name: &'static str,
    pub(super) method: &'static str,
    pub(super) level: Level,
    /// The keys of the query that select it: all of them are there, and no other operation's.
    pub(super) selects: &'static [&'static str],
    /// Whether it is selected by `x-amz-copy-source`, too.
    pub(super) copies: bool,
    pub(super) takes: Takes,
    /// Further keys of the query.
    pub(super) parameters: &'static [&'static str],
    /// Headers in groups, beside those that every request may have. A name that ends in `-` stands
    /// for all that begin so.
    pub(super) headers: &'static [&'static [&'static str]],
}

impl Operation {
    const fn new(
        name: &'static str,
        method: &'static str,
        level: Level,
        selects: &'static [&'static str],
    ) -> Self {
        Self {
            name,
            method,
            level,
            selects,
            copies: false,
            takes: Takes::Nothing,
            parameters: &[],
            headers: &[],
        }
    }

    const fn with(mut self, parameters: &'static [&'static str]) -> Self {
        self.parameters = parameters;
        self
    }

    const fn headers(mut self, headers: &'static [&'static [&'static str]]) -> Self {
        self.headers = headers;
        self
    }

    const fn takes(mut self, takes: Takes) -> Self {
        self.takes = takes;
        self
    }

    const fn copies(mut self) -> Self {
        self.copies = true;
        self
    }

    /// Whether its body is a document.
    pub(super) fn takes_document(&self) -> bool {
        matches!(self.takes, Takes::Document | Takes::Completion)
    }

    /// Whether its answer has an entry for each of many things, and is long in memory while it is
    /// made.
    pub(super) fn has_long_answer(&self) -> bool {
        self.name.starts_with("List")
            || matches!(self.name, "DeleteObjects" | "GetObjectAttributes")
    }

    pub(super) fn is_read(&self) -> bool {
        matches!(self.method, "GET" | "HEAD")
    }
}

/// A form: it is selected by its content type, and says in its fields what it wants. A header of
/// the request itself would say it where it is not read.
pub(super) static FORM: Operation =
    Operation::new("PostObject", "POST", Level::Bucket, &[]).takes(Takes::Form);
/// The fields of a form, as the headers that would say the same.
pub(super) static FIELDS: Operation = Operation::new("PostObject", "POST", Level::Bucket, &[])
    .takes(Takes::Form)
    .headers(&[DESCRIPTION, CHECKSUMS, FORM_FIELDS]);
/// Fields of a form that are none of an object: its signature's, mostly.
const FORM_FIELDS: &[&str] =
    &["x-amz-algorithm", "x-amz-checksum-algorithm", "x-amz-credential", "x-amz-signature"];

const VERSION: &[&str] = &["versionId"];
const READ: &[&str] = &[
    "partNumber",
    "response-cache-control",
    "response-content-disposition",
    "response-content-encoding",
    "response-content-language",
    "response-content-type",
    "response-expires",
    "versionId",
];
const LIST: &[&str] = &["delimiter", "encoding-type", "marker", "max-keys", "prefix"];
const LIST_V2: &[&str] = &[
    "continuation-token",
    "delimiter",
    "encoding-type",
    "fetch-owner",
    "max-keys",
    "prefix",
    "start-after",
];
const LIST_VERSIONS: &[&str] =
    &["delimiter", "encoding-type", "key-marker", "max-keys", "prefix", "version-id-marker"];
const LIST_UPLOADS: &[&str] =
    &["delimiter", "encoding-type", "key-marker", "max-uploads", "prefix", "upload-id-marker"];
const BYPASS: &[&str] = &["x-amz-bypass-governance-retention"];

/// All of them but the form.
#[rustfmt::skip]
pub(super) static OPERATIONS: &[Operation] = {
    use Level::{Bucket, Object, Service};
    const fn get(name: &'static str, level: Level, selects: &'static [&'static str]) -> Operation {
        Operation::new(name, "GET", level, selects)
    }
    const fn head(name: &'static str, level: Level, selects: &'static [&'static str]) -> Operation {
        Operation::new(name, "HEAD", level, selects)
    }
    const fn put(name: &'static str, level: Level, selects: &'static [&'static str]) -> Operation {
        Operation::new(name, "PUT", level, selects)
    }
    const fn post(name: &'static str, level: Level, selects: &'static [&'static str]) -> Operation {
        Operation::new(name, "POST", level, selects)
    }
    const fn delete(name: &'static str, level: Level, selects: &'static [&'static str]) -> Operation {
        Operation::new(name, "DELETE", level, selects)
    }
    &[
        get("ListBuckets", Service, &[]).with(&["bucket-region", "continuation-token", "max-buckets", "prefix"]),

        get("ListObjects", Bucket, &[]).with(LIST).headers(&[LISTED]),
        get("ListObjectsV2", Bucket, &["list-type"]).with(LIST_V2).headers(&[LISTED]),
        get("ListObjectVersions", Bucket, &["versions"]).with(LIST_VERSIONS).headers(&[LISTED]),
        get("ListMultipartUploads", Bucket, &["uploads"]).with(LIST_UPLOADS),
        get("GetBucketAccelerateConfiguration", Bucket, &["accelerate"]),
        get("GetBucketAcl", Bucket, &["acl"]),
        get("GetBucketCors", Bucket, &["cors"]),
        get("GetBucketEncryption", Bucket, &["encryption"]),
        get("GetBucketLifecycleConfiguration", Bucket, &["lifecycle"]),
        get("GetBucketLocation", Bucket, &["location"]),
        get("GetBucketLogging", Bucket, &["logging"]),
        get("GetBucketNotificationConfiguration", Bucket, &["notification"]),
        get("GetBucketOwnershipControls", Bucket, &["ownershipControls"]),
        get("GetBucketPolicy", Bucket, &["policy"]),
        get("GetBucketPolicyStatus", Bucket, &["policyStatus"]),
        get("GetBucketReplication", Bucket, &["replication"]),
        get("GetBucketRequestPayment", Bucket, &["requestPayment"]),
        get("GetBucketTagging", Bucket, &["tagging"]),
        get("GetBucketVersioning", Bucket, &["versioning"]),
        get("GetBucketWebsite", Bucket, &["website"]),
        get("GetObjectLockConfiguration", Bucket, &["object-lock"]),
        get("GetPublicAccessBlock", Bucket, &["publicAccessBlock"]),
        head("HeadBucket", Bucket, &[]),
        put("CreateBucket", Bucket, &[]).takes(Takes::Document).headers(&[CHECKSUMS, GRANTS,
            &["x-amz-bucket-object-lock-enabled", "x-amz-object-ownership"]]),
        put("PutBucketAcl", Bucket, &["acl"]).takes(Takes::Document).headers(&[CHECKSUMS, GRANTS]),
        post("DeleteObjects", Bucket, &["delete"]).takes(Takes::Document).headers(&[CHECKSUMS, BYPASS]),
        delete("DeleteBucket", Bucket, &[]),

        get("GetObject", Object, &[]).with(READ).headers(&[READ_CONDITIONS, &["x-amz-checksum-mode"]]),
        get("GetObjectAcl", Object, &["acl"]).with(VERSION),
        get("GetObjectAttributes", Object, &["attributes"]).with(VERSION)
            .headers(&[&["x-amz-max-parts", "x-amz-object-attributes", "x-amz-part-number-marker"]]),
        get("GetObjectLegalHold", Object, &["legal-hold"]).with(VERSION),
        get("GetObjectRetention", Object, &["retention"]).with(VERSION),
        get("GetObjectTagging", Object, &["tagging"]).with(VERSION),
        get("ListParts", Object, &["uploadId"]).with(&["max-parts", "part-number-marker"]),
        head("HeadObject", Object, &[]).with(&["partNumber", "versionId"])
            .headers(&[READ_CONDITIONS, &["x-amz-checksum-mode"]]),
        put("PutObject", Object, &[]).takes(Takes::Bytes)
            .headers(&[DESCRIPTION, CHECKSUMS, STREAMED, WRITE_CONDITIONS]),
        put("CopyObject", Object, &[]).copies()
            .headers(&[DESCRIPTION, COPY_SOURCE, WRITE_CONDITIONS,
                &["x-amz-checksum-algorithm", "x-amz-metadata-directive", "x-amz-tagging-directive"]]),
        put("PutObjectAcl", Object, &["acl"]).with(VERSION).takes(Takes::Document).headers(&[CHECKSUMS, GRANTS]),
        put("PutObjectTagging", Object, &["tagging"]).with(VERSION).takes(Takes::Document).headers(&[CHECKSUMS]),
        put("UploadPart", Object, &["partNumber", "uploadId"]).takes(Takes::Bytes)
            .headers(&[CHECKSUMS, STREAMED]),
        put("UploadPartCopy", Object, &["partNumber", "uploadId"]).copies()
            .headers(&[COPY_SOURCE, &["x-amz-copy-source-range"]]),
        post("CreateMultipartUpload", Object, &["uploads"])
            .headers(&[DESCRIPTION, &["x-amz-checksum-algorithm", "x-amz-checksum-type"]]),
        post("CompleteMultipartUpload", Object, &["uploadId"]).takes(Takes::Completion)
            .headers(&[CHECKSUMS, WRITE_CONDITIONS, &["x-amz-checksum-type", "x-amz-mp-object-size"]]),
        delete("DeleteObject", Object, &[]).with(VERSION)
            .headers(&[BYPASS, &["if-match", "x-amz-if-match-last-modified-time", "x-amz-if-match-size"]]),
        delete("DeleteObjectTagging", Object, &["tagging"]).with(VERSION),
        delete("AbortMultipartUpload", Object, &["uploadId"]),
    ]
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_those_of_the_protocol_crate() {
        for (path, level) in [
            ("/", Level::Service),
            ("/b", Level::Bucket),
            ("/b/", Level::Bucket),
            ("/b/k", Level::Object),
            ("/b//", Level::Object),
            ("/b/k/", Level::Object),
        ] {
            assert_eq!(Level::of(path), level, "{path}");
        }
    }

    #[test]
    fn no_two_operations_are_selected_by_the_same() {
        for (at, one) in OPERATIONS.iter().enumerate() {
            let same = |other: &&Operation| {
                (other.method, other.level, other.selects, other.copies)
                    == (one.method, one.level, one.selects, one.copies)
            };
            assert_eq!(
                OPERATIONS[at + 1..].iter().find(same).map(|other| other.name),
                None,
                "{}",
                one.name
            );
            for parameter in one.parameters {
                let selects = |other: &&Operation| {
                    (other.method, other.level) == (one.method, one.level)
                        && other.selects == [*parameter]
                };
                assert_eq!(
                    OPERATIONS.iter().find(selects).map(|other| other.name),
                    None,
                    "{parameter}"
                );
            }
        }
    }
}
