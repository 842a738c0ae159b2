//! The S3 face: path-style buckets and objects at `/`.
//!
//! The crate `s3s` reads requests, verifies signatures and writes answers. What it leaves to us is
//! done here: permissions ([`access`]), what must be refused before a signature is looked at
//! ([`precheck`]), above all what is not in the table of what is known ([`operations`], with
//! [`queries`] and [`headers`]), bounds on bodies ([`body`]), checksums
//! ([`checksums`]) and, of course, the operations, which are methods of [`Api`] in a file for each
//! subject.

mod access;
mod acl;
mod answers;
mod api;
mod attributes;
mod bad_body;
mod body;
mod bucket_list;
mod buckets;
mod checksums;
mod complete;
mod conditions;
mod copy;
mod delete;
mod describe;
mod document;
mod document_tables;
mod documents;
mod errors;
mod form;
mod form_policy;
mod form_signature;
mod form_upload;
pub(crate) mod framing;
mod header_groups;
mod header_values;
mod headers;
mod listing;
mod multipart;
mod objects;
mod operations;
mod part_sizes;
mod parts;
mod precheck;
mod put;
mod queries;
mod region;
mod service;
mod signed_date;
mod tags;
mod unconfigured;
mod uploads;
mod xml_text;

use bytes::Bytes;
use drystone_edge::gate::Share;
use drystone_sync::PlainArc;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body as _;
use http_body_util::Full;
use percent_encoding::percent_decode_str;
use s3s::Body;
use s3s::service::S3Service;

use self::api::Api;
use self::body::Failure;
use self::document::Document;
use self::document_tables::DOCUMENT_BYTES_MAX;
use self::operations::{FORM, OPERATIONS, Takes};
use crate::access::Peer;
use crate::cross_site;
use crate::engine::Engine;
use crate::face::{Answer, Face, text};
use crate::front;
use crate::request_body::RequestBody;
use crate::request_head::Refusal;

/// The names of all operations that are understood, as S3 has them.
pub fn s3_operations() -> impl Iterator<Item = &'static str> {
    OPERATIONS.iter().chain([&FORM]).map(|operation| operation.name)
}

/// The S3 face.
pub(crate) struct S3Face {
    api: Api,
    service: S3Service,
}

impl S3Face {
    pub(crate) fn new(engine: &PlainArc<Engine>) -> Self {
        let api = Api { engine: PlainArc::clone(engine) };
        Self { service: service::build(&api), api }
    }
}

impl Face for S3Face {
    const NAME: &'static str = "s3";

    /// S3 takes signatures only, but for what is public: in a header, in the query, or among the
    /// fields of a form.
    fn is_proven<B>(request: &Request<B>) -> bool {
        let names = request.uri().query().unwrap_or_default().split('&');
        let mut names = names.map(|pair| pair.split_once('=').map_or(pair, |(name, _)| name));
        let is_signature = |name| {
            let name = percent_decode_str(name).decode_utf8_lossy();
            matches!(&*name, "X-Amz-Signature" | "Signature")
        };
        cross_site::scheme(request.headers())
            .is_some_and(|scheme| scheme == "AWS4-HMAC-SHA256" || scheme == "AWS")
            || names.any(is_signature)
            || (request.method() == Method::POST && form::is_form(request.headers()))
    }

    async fn answer(&self, mut request: Request<RequestBody>, id: &str) -> Answer {
        if let Some(response) = front::for_browser(&request, Self::is_proven) {
            return response;
        }
        let operation = match precheck::check(&mut request) {
            Ok(operation) => operation,
            Err(refused) => return answers::error(refused, id),
        };
        if let Err(refused) = signed_date::supply(&mut request) {
            return answers::error(refused, id);
        }
        let (mut parts, mut incoming) = request.into_parts();
        parts.extensions.insert(operation);
        let engine = &self.api.engine;
        // Who has signed it is not known yet, so addresses take turns.
        let share =
            Share::new(Some(String::new()), parts.extensions.get::<Peer>().map(|peer| peer.0));
        let has_document = operation.takes_document() && !incoming.is_end_stream();
        let (bytes, turn) = if has_document {
            match engine.edge.receive_document(&share, &mut incoming, DOCUMENT_BYTES_MAX).await {
                Ok((document, turn)) => (document, Some(turn)),
                Err(refused) => return answers::error(document::refusal(refused), id),
            }
        } else if operation.takes_document() || operation.has_long_answer() {
            match engine.edge.turn_for_document(&share).await {
                Ok(turn) => (Bytes::new(), Some(turn)),
                Err(refused) => return answers::error(errors::fault(refused), id),
            }
        } else {
            (Bytes::new(), None)
        };
        let body = if operation.takes_document() {
            let document = match Document::new(operation, &parts.headers, bytes.clone()) {
                Ok(document) => document,
                Err(refused) => return answers::error(refused, id),
            };
            if has_document {
                parts.extensions.insert(document);
                Body::http_body(Full::new(bytes))
            } else {
                if let Err(refused) = document.check_sums() {
                    return answers::error(errors::bad(refused), id);
                }
                Body::empty()
            }
        } else {
            let failure = PlainArc::new(Failure::new(&parts.headers));
            parts.extensions.insert(PlainArc::clone(&failure));
            body::guard(&parts.headers, incoming, &failure)
        };
        if operation.takes == Takes::Form {
            match self.api.post(&parts.uri, &parts.headers, &parts.extensions, body).await {
                Ok(response) => answers::complete(response, id),
                Err(refused) => answers::error(refused, id),
            }
        } else {
            let condition = conditions::of_write(&parts.headers);
            let request = Request::from_parts(parts, body);
            let Some(turn) = turn else {
                return match serve(&self.service, request, condition).await {
                    Ok(response) => answers::complete(response, id),
                    Err(answer) => answer,
                };
            };
            let (service, id) = (self.service.clone(), id.to_owned());
            let make = {
                let (engine, id) = (PlainArc::clone(engine), id.clone());
                async move {
                    match serve(&service, request, condition).await {
                        Ok(response) => answers::complete_long(response, &id, &engine, turn).await,
                        Err(answer) => answer,
                    }
                }
            };
            let made = engine.make(make).await;
            made.unwrap_or_else(|refused| answers::error(errors::fault(refused), &id))
        }
    }

    fn refuse(&self, refused: Refusal, id: &str) -> Answer {
        answers::error(errors::custom(refused.code, refused.status, refused.why), id)
    }
}

/// Has s3s answer it.
async fn serve(
    service: &S3Service,
    request: Request<Body>,
    condition: Option<&'static str>,
) -> Result<Response<Body>, Answer> {
    match service.call(request).await {
        Ok(mut response) => {
            if let (StatusCode::PRECONDITION_FAILED, Some(name)) = (response.status(), condition) {
                // The operation knows better which of several it was, if it has looked before
                // the commit did.
                let headers = response.headers_mut();
                headers.entry(errors::CONDITION).or_insert(HeaderValue::from_static(name));
            }
            Ok(response)
        }
        Err(error) => {
            tracing::error!(error = %Box::<dyn std::error::Error + Send + Sync>::from(error), "s3s failed");
            Err(text(StatusCode::INTERNAL_SERVER_ERROR, ""))
        }
    }
}
