//! `multipart/form-data` into a folder: each file of the form becomes an object.

use bytes::Bytes;
use drystone_store::{BucketName, Condition, Key, ObjectMeta, PutTarget, Store};
use futures_util::TryStreamExt as _;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use multer::{Constraints, Field, Multipart, SizeLimit};
use serde::Serialize;

use super::object::{body_stream, now_ns};
use super::{Error, Files};
use crate::access::{Right, Who};
use crate::fault::Fault;
use crate::meta;
use crate::route::full;
use crate::server::Answer;
use crate::upload::Upload;

/// Fields of one form.
const FIELDS_MAX: usize = 1000;
/// Bytes of a field that is not a file.
const FIELD_BYTES_MAX: u64 = 64 << 10;

#[derive(Serialize)]
struct Stored {
    key: String,
    size: u64,
    etag: String,
}

#[derive(Serialize)]
struct Report {
    stored: Vec<Stored>,
    /// Why it ended before the form did. What is in `stored` is stored all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl Files {
    pub(super) async fn post_form(
        &self,
        request: Request<Incoming>,
        who: &Who,
        bucket: BucketName,
        prefix: String,
    ) -> Result<Answer, Error> {
        self.engine.allow(who, Right::Write, Some(&bucket)).await?;
        let kind =
            request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let boundary = multer::parse_boundary(kind).map_err(|error| {
            Error::Status(StatusCode::UNSUPPORTED_MEDIA_TYPE, format!("a form with files is needed: {error}"))
        })?;
        {
            let bucket = bucket.clone();
            self.engine
                .call(move |store: &Store| store.list(&bucket, "", std::ops::Bound::Unbounded, 1))
                .await?;
        }
        let limits = Constraints::new().size_limit(SizeLimit::new().per_field(u64::MAX));
        let body = body_stream(request.into_body());
        let mut form = Multipart::with_constraints(body, boundary, limits);
        let mut report = Report { stored: Vec::new(), error: None };
        let mut failed = None;
        for number in 0.. {
            let field = match form.next_field().await {
                Ok(Some(field)) if number < FIELDS_MAX => field,
                Ok(Some(_)) => {
                    failed = Some(bad_request(format!("a form has at most {FIELDS_MAX} fields")));
                    break;
                }
                Ok(None) => break,
                Err(error) => {
                    failed = Some(bad_request(format!("the form is malformed: {error}")));
                    break;
                }
            };
            match self.form_field(field, &bucket, &prefix).await {
                Ok(Some(stored)) => report.stored.push(stored),
                Ok(None) => {}
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        let mut status = StatusCode::CREATED;
        if let Some(error) = failed {
            if report.stored.is_empty() {
                return Err(error);
            }
            (status, report.error) = (StatusCode::MULTI_STATUS, Some(error.to_string()));
        } else if report.stored.is_empty() {
            return Err(bad_request("the form has no file in it".into()));
        }
        let json = serde_json::to_string(&report).map_err(|_| Fault::Internal)?;
        let mut response = Response::new(full(json));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(response)
    }

    async fn form_field(
        &self,
        field: Field<'static>,
        bucket: &BucketName,
        prefix: &str,
    ) -> Result<Option<Stored>, Error> {
        let Some(name) = field.file_name().map(ToOwned::to_owned).filter(|name| !name.is_empty()) else {
            skip(field).await?;
            return Ok(None);
        };
        // Some browsers send the whole path of where the file was.
        let base = name.rsplit(['/', '\\']).next().unwrap_or_default();
        let key = Key::new(format!("{prefix}{base}"))?;
        let media_type = field.content_type().map(ToString::to_string);
        let target = {
            let (bucket, key) = (bucket.clone(), key.clone());
            Box::new(move |digested: &crate::digest::Digested, _| {
                let mut meta = ObjectMeta { media_type, modified_ns: now_ns(), ..ObjectMeta::default() };
                meta::note_digests(&mut meta, digested);
                PutTarget { bucket, key, meta, condition: Condition::Always }.into()
            })
        };
        let body = field.map_err(|error| Fault::BadBody(error.to_string()));
        let upload = Upload { len: None, algorithms: Vec::new(), target };
        let uploaded = self.engine.upload(upload, body, || Ok(crate::digest::Expected::default())).await?;
        let etag = meta::etag_of_upload(&uploaded);
        Ok(Some(Stored { key: key.as_str().to_owned(), size: uploaded.stored.size, etag }))
    }
}

/// Passes over a field that is not a file.
async fn skip(mut field: Field<'static>) -> Result<(), Error> {
    let mut len = 0;
    let next = |piece: Result<Option<Bytes>, multer::Error>| {
        piece.map_err(|error| bad_request(format!("the form is malformed: {error}")))
    };
    while let Some(piece) = next(field.chunk().await)? {
        len += piece.len() as u64;
        if len > FIELD_BYTES_MAX {
            return Err(bad_request(format!(
                "a field that is not a file has at most {FIELD_BYTES_MAX} bytes"
            )));
        }
    }
    Ok(())
}

fn bad_request(text: String) -> Error {
    Error::Status(StatusCode::BAD_REQUEST, text)
}
