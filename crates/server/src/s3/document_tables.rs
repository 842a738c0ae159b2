//! What stands in the documents of requests: every element and attribute that is read.

/// The longest document: an upload of 10,000 parts with checksums is completed with less.
pub(super) const DOCUMENT_BYTES_MAX: usize = 2 << 20;

/// Elements in a document, opened or closed. In memory an empty one is twenty times as large as on
/// the wire; 10,000 parts with number, tag and checksum are 80,000.
pub(super) const ELEMENTS_MAX: usize = 81_000;

/// An element of a document, and what may be in it.
#[derive(Debug)]
pub(super) struct Element {
    pub(super) name: &'static str,
    pub(super) is_repeated: bool,
    pub(super) inside: Inside,
}

#[derive(Debug)]
pub(super) enum Inside {
    Text(Reads),
    /// At most 32, so that those seen fit a mask. White space may stand between them.
    Elements(&'static [Element]),
    /// S3 has it, this server has not.
    Unsupported,
}

/// What a text must be, where s3s would read it more freely than it was meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reads {
    Anything,
    /// A number, in digits only.
    Number,
    /// One entity tag.
    Tag,
}

const fn of_kind(name: &'static str, reads: Reads) -> Element {
    Element { name, is_repeated: false, inside: Inside::Text(reads) }
}

const fn text(name: &'static str) -> Element {
    of_kind(name, Reads::Anything)
}

const fn number(name: &'static str) -> Element {
    of_kind(name, Reads::Number)
}

const fn tag(name: &'static str) -> Element {
    of_kind(name, Reads::Tag)
}

const fn one(name: &'static str, inside: &'static [Element]) -> Element {
    Element { name, is_repeated: false, inside: Inside::Elements(inside) }
}

const fn many(name: &'static str, inside: &'static [Element]) -> Element {
    Element { name, is_repeated: true, inside: Inside::Elements(inside) }
}

const fn unsupported(name: &'static str) -> Element {
    Element { name, is_repeated: false, inside: Inside::Unsupported }
}

static CREATE_BUCKET: Element = one(
    "CreateBucketConfiguration",
    &[
        text("LocationConstraint"),
        unsupported("Location"),
        unsupported("Bucket"),
        unsupported("Tags"),
    ],
);

static DELETE: Element = one(
    "Delete",
    &[
        text("Quiet"),
        many(
            "Object",
            &[
                text("Key"),
                text("VersionId"),
                tag("ETag"),
                text("LastModifiedTime"),
                number("Size"),
            ],
        ),
    ],
);

static COMPLETE: Element = one(
    "CompleteMultipartUpload",
    &[many(
        "Part",
        &[
            number("PartNumber"),
            text("ETag"),
            text("ChecksumCRC32"),
            text("ChecksumCRC32C"),
            text("ChecksumCRC64NVME"),
            text("ChecksumSHA1"),
            text("ChecksumSHA256"),
        ],
    )],
);

static TAGGING: Element =
    one("Tagging", &[one("TagSet", &[many("Tag", &[text("Key"), text("Value")])])]);

static ACCESS_LIST: Element = one(
    "AccessControlPolicy",
    &[
        one("Owner", &[text("ID"), text("DisplayName")]),
        one(
            "AccessControlList",
            &[many(
                "Grant",
                &[
                    one(
                        "Grantee",
                        &[text("ID"), text("DisplayName"), text("EmailAddress"), text("URI")],
                    ),
                    text("Permission"),
                ],
            )],
        ),
    ],
);

/// Attributes that say nothing but where the names come from, and the one that has a meaning.
pub(super) const ATTRIBUTES: [(&str, &[&str]); 4] = [
    (
        "xmlns",
        &["http://s3.amazonaws.com/doc/2006-03-01/", "http://doc.s3.amazonaws.com/2006-03-01"],
    ),
    ("xmlns:xsi", &["http://www.w3.org/2001/XMLSchema-instance"]),
    ("xmlns:xsd", &["http://www.w3.org/2001/XMLSchema"]),
    ("xsi:type", &["CanonicalUser", "AmazonCustomerByEmail", "Group"]),
];

/// The document that an operation takes; `None` for one whose body is none.
pub(super) fn of(operation: &str) -> Option<&'static Element> {
    Some(match operation {
        "CreateBucket" => &CREATE_BUCKET,
        "DeleteObjects" => &DELETE,
        "CompleteMultipartUpload" => &COMPLETE,
        "PutObjectTagging" | "PutBucketTagging" => &TAGGING,
        "PutObjectAcl" | "PutBucketAcl" => &ACCESS_LIST,
        _ => return None,
    })
}
