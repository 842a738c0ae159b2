//! A request's document: here before s3s sees the request, and looked at when the key that sent it
//! is known.

use bytes::Bytes;
use drystone_edge::document::Refused;
use drystone_edge::fault::Fault;
use http::HeaderMap;
use s3s::S3Error;

use super::bad_body::{Bad, BadDocument};
use super::body::is_framed;
use super::document_tables::{ELEMENTS_MAX, Element};
use super::documents;
use super::errors::{bad, fault};
use super::operations::{Operation, Takes};
use crate::digest::{Algorithm, Digests, Expected};

/// A document that has come; goes with the request.
#[derive(Clone)]
pub(super) struct Document {
    bytes: Bytes,
    /// Checksums that it was promised: its operation does not look at the bytes again.
    promised: Expected,
    framed: bool,
}

impl Document {
    /// The document of a request with these headers.
    ///
    /// # Errors
    /// If a checksum that it was promised cannot be one.
    pub(super) fn new(
        operation: &Operation,
        headers: &HeaderMap,
        bytes: Bytes,
    ) -> Result<Self, S3Error> {
        let promised = match operation.takes {
            Takes::Document => Expected::read(headers, Algorithm::ALL).map_err(fault)?,
            Takes::Completion => Expected::read(headers, [Algorithm::Md5]).map_err(fault)?,
            Takes::Nothing | Takes::Bytes | Takes::Form => Expected::default(),
        };
        Ok(Self { bytes, promised, framed: is_framed(headers) })
    }

    /// Whether it is what its operation takes.
    pub(super) fn check(&self, root: &'static Element) -> Result<(), S3Error> {
        self.judge(root).map_err(bad)
    }

    fn judge(&self, root: &'static Element) -> Result<(), Bad> {
        if self.framed {
            return Err(BadDocument::Chunked.into());
        }
        if self.bytes.iter().filter(|byte| **byte == b'<').count() > ELEMENTS_MAX {
            return Err(Bad::Elements);
        }
        self.check_sums()?;
        Ok(documents::check(root, &self.bytes)?)
    }

    /// Whether it has the checksums that it was promised.
    pub(super) fn check_sums(&self) -> Result<(), Bad> {
        let mut digests = Digests::new(self.promised.algorithms());
        digests.update(&self.bytes);
        match digests.finish().check(&self.promised) {
            Ok(()) => Ok(()),
            Err(Fault::BadDigest(name)) => Err(Bad::Sum(name)),
            Err(_) => Err(Bad::Unreadable),
        }
    }
}

/// Why a document did not come, in the words of S3.
pub(super) fn refusal(refused: Refused) -> S3Error {
    match refused {
        Refused::Long => bad(Bad::Long),
        Refused::Late => bad(Bad::Late),
        Refused::Broken => bad(Bad::Broken),
        Refused::Trailers => bad(Bad::Trailers),
        Refused::Fault(refused) => fault(refused),
    }
}
