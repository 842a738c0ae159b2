//! POST Object: a browser's upload by HTML form, which the holder of a key has allowed by signing a
//! policy.
//!
//! s3s would take the whole file into memory to know its length; so forms do not go through it.

use std::ops::RangeInclusive;
use std::time::SystemTime;

use bytes::Bytes;
use drystone_edge::Fault;
use drystone_edge::gate::{Busy, Size};
use drystone_store::{BucketName, Condition, Key, PutTarget};
use futures_util::{Stream, StreamExt as _};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, LOCATION};
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Uri};
use http_body_util::BodyDataStream;
use percent_encoding::{percent_decode_str, utf8_percent_encode};
use quick_xml::escape::escape;
use s3s::dto::Metadata;
use s3s::{Body, S3Error, S3ErrorCode};

use super::api::{Api, bucket_name, key_name};
use super::bad_body::Bad;
use super::checksums::Promised;
use super::errors::{self, error, fault, invalid};
use super::form::Form;
use super::form_policy::{Fields, Policy};
use super::form_signature::Signature;
use super::listing::PLAIN;
use super::operations::FIELDS;
use super::{describe, headers};
use crate::access::{Right, Who};
use crate::digest::{Algorithm, Digests, Upload, Uploaded};
use crate::meta;
use crate::writer::Writer;

/// What stands in a key for the file's own name.
const FILE_NAME: &str = "${filename}";
/// Fields whose names stand for a header of another name.
const RENAMED: [(&str, &str); 2] = [("acl", "x-amz-acl"), ("tagging", "x-amz-tagging")];
/// Headers that are fields by their own names.
const HEADERS: [&str; 7] = [
    "content-type",
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-md5",
    "expires",
];

impl Api {
    /// Answers a POST whose body is a form.
    pub(super) async fn post(
        &self,
        uri: &Uri,
        headers: &HeaderMap,
        extensions: &Extensions,
        body: Body,
    ) -> Result<Response<Body>, S3Error> {
        let bucket = bucket_of(uri.path())?;
        let body = BodyDataStream::new(body)
            .map(|piece| piece.map_err(|refused| Fault::Incomplete(refused.to_string())));
        let body = self.engine.edge.admission.eviction.hurried(body);
        // Until it is known who has signed, there may not be many of them; and its fields take as
        // much memory as any transfer.
        // Which key has signed it is not known yet.
        let (edge, share) = (&self.engine.edge, Who::Anonymous.share(extensions));
        let busy = |busy: Busy| fault(busy.into());
        let unknown = edge.forms.enter(&share, Size::Large).await.map_err(busy)?;
        let transfer = edge.transfers.enter(&share, Size::Large).await.map_err(busy)?;
        let mut form = Form::read(headers, body).await?;
        let key = form.fields.get("key").ok_or_else(|| invalid("the form has no field `key`"))?;
        let key = key_name(&key.replace(FILE_NAME, &form.file_name))?;
        form.fields.insert("key".into(), key.as_str().to_owned());
        let (writer, sizes) = self.authorize(&bucket, &mut form.fields).await?;
        drop((unknown, transfer));
        let stated = stated_headers(&form.fields)?;
        headers::check(&FIELDS, &stated)?;
        describe::refuse_unsupported("PostObject", &stated)?;
        let mut meta = describe::meta(&stated, user_metadata(&form.fields))?;
        let then = Then::of(&form.fields);
        let promised = Promised::read(&stated).map_err(fault)?;
        let mut algorithms = promised.algorithms();
        // The file's own length is not announced, but it is less than the form's.
        let len = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        if meta::wants_md5(len) {
            algorithms.push(Algorithm::Md5);
        }
        self.need_bucket(&bucket).await?;
        self.check_object_acl(&bucket, &stated).await?;
        let (to_bucket, to_key) = (bucket.clone(), key.clone());
        let target = Box::new(move |digested: &_, _| {
            meta::note_digests(&mut meta, digested);
            PutTarget { bucket: to_bucket, key: to_key, meta, condition: Condition::Always }.into()
        });
        let share = writer.share(extensions);
        let (last_look, checksums) = (self.engine.last_look(&writer), Digests::new(algorithms));
        let upload = Upload { last_look, share, len: None, checksums, target };
        let file = form.file.map(|piece| {
            piece.map_err(|refused| {
                Fault::Incomplete(format!("the file did not come to its end: {refused}"))
            })
        });
        let file = of_size(file, sizes);
        let uploaded = self.engine.edge.upload(upload, file, move || promised.complete(None)).await;
        let uploaded = uploaded.map_err(fault)?;
        Ok(then.answer(&bucket, &key, &uploaded))
    }

    /// Whether the holder of a key that may write there has signed a policy which allows these
    /// fields. Returns that key, and the lengths that the policy allows.
    async fn authorize(
        &self,
        bucket: &BucketName,
        fields: &mut Fields,
    ) -> Result<(Writer, RangeInclusive<u64>), S3Error> {
        let now = SystemTime::now();
        let named = fields.insert("bucket".into(), bucket.as_str().to_owned());
        let signature = Signature::read(fields, now)?;
        let unknown = || error(S3ErrorCode::InvalidAccessKeyId, "there is no such access key");
        let key = self.engine.key(signature.access).await.map_err(fault)?.ok_or_else(unknown)?;
        if !signature.is_of(&key.key.secret.0) {
            return Err(error(S3ErrorCode::SignatureDoesNotMatch, "the form's signature is wrong"));
        }
        let policy = Policy::parse(signature.policy)?;
        policy.check(fields, now)?;
        if named.is_some_and(|named| named != bucket.as_str()) {
            return Err(error(S3ErrorCode::AccessDenied, "the form is for another bucket"));
        }
        let who = Who::Key(key);
        self.engine.allow(&who, Right::Write, Some(bucket)).await.map_err(errors::refused)?;
        Ok((Writer::new(&who, Right::Write, bucket), policy.sizes()))
    }
}

/// The bucket of a path: forms are sent to a bucket, and say themselves which object they are.
fn bucket_of(path: &str) -> Result<BucketName, S3Error> {
    let path = percent_decode_str(path).decode_utf8().map_err(|_| S3ErrorCode::InvalidURI)?;
    let path = path.strip_prefix('/').unwrap_or(&path);
    let name = path.strip_suffix('/').unwrap_or(path);
    if name.is_empty() || name.contains('/') {
        return Err(error(
            S3ErrorCode::MethodNotAllowed,
            "a form is sent to a bucket: POST /BUCKET",
        ));
    }
    bucket_name(name)
}

/// Fields as the headers that would say the same.
fn stated_headers(fields: &Fields) -> Result<HeaderMap, S3Error> {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        let renamed = RENAMED.iter().find(|(field, _)| field == name).map(|(_, header)| *header);
        // A condition is none that a form can have: it is refused with the other headers.
        let begins = name.starts_with("if-") || (name.starts_with("x-amz-") && !is_meta(name));
        let own = HEADERS.contains(&name.as_str()) || begins;
        let Some(header) = renamed.or(own.then_some(name)) else { continue };
        let bad = |_| invalid(format!("the form's field {name} cannot be a header"));
        let header = HeaderName::from_bytes(header.as_bytes()).map_err(|_| bad(()))?;
        headers.insert(header, HeaderValue::from_str(value).map_err(|_| bad(()))?);
    }
    Ok(headers)
}

fn is_meta(name: &str) -> bool {
    name.starts_with("x-amz-meta-")
}

fn user_metadata(fields: &Fields) -> Option<Metadata> {
    let named =
        fields.iter().filter_map(|(name, value)| Some((name.strip_prefix("x-amz-meta-")?, value)));
    Some(named.map(|(name, value)| (name.to_owned(), value.clone())).collect())
}

/// Ends a file badly that is longer or shorter than allowed.
fn of_size(
    file: impl Stream<Item = Result<Bytes, Fault>>,
    sizes: RangeInclusive<u64>,
) -> impl Stream<Item = Result<Bytes, Fault>> {
    let mut len = 0u64;
    let end = futures_util::stream::iter([None]);
    file.map(Some).chain(end).filter_map(move |piece| {
        len +=
            piece.as_ref().map_or(0, |piece| piece.as_ref().map_or(0, |bytes| bytes.len() as u64));
        let passed = match piece {
            Some(Ok(_)) if len > *sizes.end() => Some(Err(Fault::bad_body(Bad::TooLarge))),
            None if len < *sizes.start() => Some(Err(Fault::bad_body(Bad::TooSmall))),
            piece => piece,
        };
        std::future::ready(passed)
    })
}

/// What the form wants to happen when the file is stored.
enum Then {
    Status(StatusCode),
    Redirect(Uri),
}

impl Then {
    fn of(fields: &Fields) -> Self {
        let redirect = fields.get("success_action_redirect").or_else(|| fields.get("redirect"));
        let redirect = redirect.and_then(|uri| uri.parse::<Uri>().ok());
        // What is no address is passed over, as in S3.
        let is_web = |uri: &Uri| {
            matches!(uri.scheme_str(), Some("http" | "https")) && uri.authority().is_some()
        };
        if let Some(uri) = redirect.filter(is_web) {
            return Self::Redirect(uri);
        }
        Self::Status(match fields.get("success_action_status").map(String::as_str) {
            Some("200") => StatusCode::OK,
            Some("201") => StatusCode::CREATED,
            _ => StatusCode::NO_CONTENT,
        })
    }

    fn answer(&self, bucket: &BucketName, key: &Key, uploaded: &Uploaded) -> Response<Body> {
        let etag = format!("\"{}\"", meta::etag_of_upload(uploaded));
        let place = format!("/{bucket}/{}", utf8_percent_encode(key.as_str(), PLAIN));
        let mut response = Response::new(Body::empty());
        let (status, location) = match self {
            Self::Status(status) => (*status, place.clone()),
            Self::Redirect(uri) => (StatusCode::SEE_OTHER, redirected(uri, bucket, key, &etag)),
        };
        if status == StatusCode::CREATED {
            // What XML cannot carry is mended with every other answer.
            let xml = format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<PostResponse><Location>{}</Location><Bucket>{bucket}</Bucket>\
                 <Key>{}</Key><ETag>{}</ETag></PostResponse>",
                escape(&place),
                escape(key.as_str()),
                escape(&etag)
            );
            response = Response::new(Body::from(Bytes::from(xml)));
            response
                .headers_mut()
                .insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
        }
        *response.status_mut() = status;
        for (name, value) in [(ETAG, etag), (LOCATION, location)] {
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }
}

/// Where a browser is sent, and told there what has become of its file.
fn redirected(uri: &Uri, bucket: &BucketName, key: &Key, etag: &str) -> String {
    let query = format!(
        "bucket={bucket}&key={}&etag={}",
        utf8_percent_encode(key.as_str(), PLAIN),
        utf8_percent_encode(etag, PLAIN)
    );
    let mut parts = uri.clone().into_parts();
    let path = match uri.query() {
        Some(own) => format!("{}?{own}&{query}", uri.path()),
        None => format!("{}?{query}", uri.path()),
    };
    parts.path_and_query = path.parse().ok();
    Uri::from_parts(parts).map_or_else(|_| uri.to_string(), |uri| uri.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(pairs: &[(&str, &str)]) -> Fields {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_form_is_sent_to_a_bucket() {
        assert_eq!(bucket_of("/photos").unwrap().as_str(), "photos");
        assert_eq!(bucket_of("/photos/").unwrap().as_str(), "photos");
        for (path, code) in [
            ("/", S3ErrorCode::MethodNotAllowed),
            ("/photos/a", S3ErrorCode::MethodNotAllowed),
            ("/photos%2Fa", S3ErrorCode::MethodNotAllowed),
            ("/%FF", S3ErrorCode::InvalidURI),
            ("/No", S3ErrorCode::InvalidBucketName),
        ] {
            assert_eq!(bucket_of(path).unwrap_err().code(), &code, "{path}");
        }
    }

    #[test]
    fn a_browser_is_sent_to_addresses_of_the_web_only() {
        #[track_caller]
        fn check(redirect: &str, expected: Option<&str>) {
            let (bucket, key) = (BucketName::new("photos").unwrap(), Key::new("a b&c").unwrap());
            let found = match Then::of(&fields(&[("success_action_redirect", redirect)])) {
                Then::Redirect(uri) => Some(redirected(&uri, &bucket, &key, "\"00\"")),
                Then::Status(_) => None,
            };
            assert_eq!(found.as_deref(), expected, "{redirect}");
        }
        let query = "bucket=photos&key=a%20b%26c&etag=%2200%22";
        check("https://example.com/done", Some(&format!("https://example.com/done?{query}")));
        check(
            "http://example.com:8080/?a=b",
            Some(&format!("http://example.com:8080/?a=b&{query}")),
        );
        check("https://example.com", Some(&format!("https://example.com/?{query}")));
        for other in ["/done", "javascript:alert(1)", "ftp://example.com/", "", "https://a\r\nb/"] {
            check(other, None);
        }
    }

    #[test]
    fn fields_are_headers_by_other_names() {
        let stated = stated_headers(&fields(&[
            ("acl", "private"),
            ("key", "k"),
            ("content-type", "text/plain"),
            ("x-amz-meta-a", "b"),
            ("x-amz-storage-class", "STANDARD"),
        ]));
        let stated = stated.unwrap();
        let names: Vec<_> = stated.keys().map(HeaderName::as_str).collect();
        assert_eq!(names.len(), 3, "{names:?}");
        assert_eq!(stated["x-amz-acl"], "private");
        assert!(stated_headers(&fields(&[("content-type", "a\r\nb: c")])).is_err());
        assert_eq!(user_metadata(&fields(&[("x-amz-meta-a", "b"), ("c", "d")])).unwrap()["a"], "b");
    }
}
