//! Why a body came to a bad end. It goes with the fault that ends the upload, as a value: see
//! [`drystone_edge::fault::BadBody`].

use super::document_tables::{DOCUMENT_BYTES_MAX, ELEMENTS_MAX};
use super::framing::BadFraming;

/// Why a body came to a bad end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Bad {
    #[error(transparent)]
    Framing(#[from] BadFraming),
    #[error("the body ended early")]
    Early,
    #[error("the connection broke")]
    Broken,
    #[error("the document did not come in time")]
    Late,
    #[error("the document has more than {ELEMENTS_MAX} tags")]
    Elements,
    #[error(transparent)]
    Document(#[from] BadDocument),
    #[error("the document has more than {DOCUMENT_BYTES_MAX} bytes")]
    Long,
    #[error("the {0} that was given does not match the document: nothing was done")]
    Sum(&'static str),
    #[error("the payload's SHA-256 is not the one that was signed")]
    Digest,
    #[error("the signature of a chunk or of the trailers is wrong, or the trailers are unreadable")]
    Signature,
    #[error("the body is longer or shorter than announced")]
    Length,
    /// Those of S3 are inside the frames of the body.
    #[error("a body has no trailers of HTTP here, and what they say is not looked at")]
    Trailers,
    #[error("the chunks or the trailers of the body cannot be read")]
    Unreadable,
    #[error("the file is larger than the form's policy allows")]
    TooLarge,
    #[error("the file is smaller than the form's policy allows")]
    TooSmall,
}

/// Why a document is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadDocument {
    #[error("the document is not well-formed XML 1.0 in UTF-8")]
    Malformed,
    #[error("the document has a character that XML 1.0 cannot carry; such a key is deleted alone")]
    Character,
    #[error("the document has a carriage return in a text; it is written &#13;")]
    CarriageReturn,
    #[error("the document has a CDATA section; write the text with &lt; and &amp;")]
    CData,
    #[error("the document has a type of its own (DOCTYPE)")]
    Doctype,
    #[error("the document has a processing instruction")]
    Instruction,
    #[error("the document has an entity that XML 1.0 does not have itself")]
    Entity,
    #[error(
        "the document has a reference to a character beyond U+FFFF; write the character itself"
    )]
    Reference,
    #[error("the document's root must be <{0}>")]
    Root(&'static str),
    #[error("the document has in <{0}> an element that is not known")]
    Unknown(&'static str),
    #[error("the document has <{0}> twice in one element")]
    Twice(&'static str),
    #[error("the document has in <{0}> an attribute that is not known")]
    Attribute(&'static str),
    #[error("the document has a text in <{0}>, where only elements can be")]
    Text(&'static str),
    #[error("the document has in <{0}> a value that cannot be read")]
    Value(&'static str),
    #[error("the document has <{0}>, which is not implemented here")]
    Unsupported(&'static str),
    #[error("a document cannot come in the chunks of aws-chunked")]
    Chunked,
}

impl From<quick_xml::Error> for BadDocument {
    fn from(_: quick_xml::Error) -> Self {
        Self::Malformed
    }
}
