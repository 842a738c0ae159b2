//! Answers on their way out: what S3 has in them and s3s has not.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::BodyExt as _;
use s3s::{Body, S3Error};

use super::{buckets, precheck};
use crate::route::full;
use crate::server::Answer;

/// What SDKs show of a failed request, so that it can be found in the log.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-amz-request-id");

/// Marks an answer whose entity tag has no quotes: GetObjectAttributes has it so, and SDKs pass it on as it is.
#[derive(Clone)]
pub(super) struct BareTag;

/// Marks an answer to HEAD about a part of an object. s3s says 200 there, whatever status the
/// answer has.
#[derive(Clone)]
pub(super) struct Partial;

/// Completes an answer to the request with this id.
pub(super) fn complete(mut response: Response<Body>, id: &str) -> Answer {
    if response.extensions().get::<BareTag>().is_some() {
        response = response.map(|body| edit(body, without_quotes));
    } else if response.status().is_client_error() || response.status().is_server_error() {
        response = response.map(|body| edit(body, |text| with_id(text, id)));
    }
    if response.extensions().get::<Partial>().is_some() {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    if let Ok(id) = HeaderValue::from_str(id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response.map(Body::boxed_unsync)
}

pub(super) fn error(refused: S3Error, id: &str) -> Answer {
    let response = match refused.code().as_str() {
        precheck::WRONG_REGION => Ok(wrong_region()),
        _ => refused.to_http_response(),
    };
    match response {
        Ok(response) => complete(response, id),
        Err(_) => {
            let mut response = Response::new(full(""));
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            response
        }
    }
}

/// The one error with more than a code and a message: clients sign anew for the region that it names.
fn wrong_region() -> Response<Body> {
    let xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{}</Code><Message>the region of the signature is wrong; \
         expecting '{region}'</Message><Region>{region}</Region></Error>",
        precheck::WRONG_REGION,
        region = buckets::REGION,
    );
    let mut response = Response::new(Body::from(Bytes::from(xml)));
    *response.status_mut() = StatusCode::BAD_REQUEST;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    response
}

/// Edits a document that is in memory; leaves alone what is none.
fn edit(body: Body, edit: impl FnOnce(&str) -> Option<String>) -> Body {
    let bytes = body.bytes();
    let text = bytes.as_deref().and_then(|bytes| std::str::from_utf8(bytes).ok());
    text.and_then(edit).map_or(body, |text| Body::from(Bytes::from(text)))
}

fn without_quotes(text: &str) -> Option<String> {
    let (before, rest) = text.split_once("<ETag>")?;
    let (tag, after) = rest.split_once("</ETag>")?;
    let tag = tag.replace("&quot;", "\"");
    Some(format!("{before}<ETag>{}</ETag>{after}", tag.trim_matches('"')))
}

fn with_id(text: &str, id: &str) -> Option<String> {
    let before = text.strip_suffix("</Error>")?;
    Some(format!("{before}<RequestId>{id}</RequestId></Error>"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_are_taken_from_the_tag_only() {
        for quote in ["\"", "&quot;"] {
            let text = format!("<R><ETag>{quote}ab-1{quote}</ETag><Other>{quote}</Other></R>");
            let expected = format!("<R><ETag>ab-1</ETag><Other>{quote}</Other></R>");
            assert_eq!(without_quotes(&text), Some(expected));
        }
        assert_eq!(without_quotes("<R/>"), None);
    }

    #[test]
    fn an_error_names_its_request() {
        let text = "<Error><Code>NoSuchKey</Code></Error>";
        let expected = "<Error><Code>NoSuchKey</Code><RequestId>07</RequestId></Error>";
        assert_eq!(with_id(text, "07").as_deref(), Some(expected));
        assert_eq!(with_id("", "07"), None);
        assert_eq!(with_id("<Errors/>", "07"), None);
    }
}
