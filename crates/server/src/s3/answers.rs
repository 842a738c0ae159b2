//! Answers on their way out: what S3 has in them and s3s has not.

use bytes::Bytes;
use drystone_edge::answer::{ResponseBody, full};
use drystone_edge::fault::FAILED;
use drystone_edge::gate::Turn;
use drystone_sync::{Mutex, PlainArc};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::BodyExt as _;
use s3s::{Body, S3Error};

use super::errors::CONDITION;
use super::region::{REGION, WRONG_REGION};
use super::xml_text;
use crate::engine::Engine;
use crate::face::Answer;
use crate::reason::Reason;

/// What SDKs show of a failed request, so that it can be found in the log.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-amz-request-id");

/// Marks an answer whose entity tag has no quotes: GetObjectAttributes has it so, and SDKs pass it
/// on as it is.
#[derive(Clone)]
pub(super) struct BareTag;

/// Marks an answer to HEAD about a part of an object. s3s says 200 there and ignores the answer's
/// status.
#[derive(Clone)]
pub(super) struct Partial;

/// The body of an answer that was made piece by piece, in the place of the one that s3s has made.
#[derive(Clone)]
pub(super) struct Made(pub(super) PlainArc<Mutex<Option<ResponseBody>>>);

/// Completes an answer to the request with this id.
pub(super) fn complete(response: Response<Body>, id: &str) -> Answer {
    prepared(response, id).map(Body::boxed_unsync)
}

/// The same for one that may be long, and was made in a turn.
pub(super) async fn complete_long(
    response: Response<Body>,
    id: &str,
    engine: &PlainArc<Engine>,
    turn: Turn,
) -> Answer {
    let (mut parts, body) = prepared(response, id).into_parts();
    let made = parts.extensions.remove::<Made>().and_then(|made| made.0.lock().take());
    let body = match (made, body.bytes()) {
        (Some(made), _) => {
            // That of the other one.
            parts.headers.remove(CONTENT_LENGTH);
            made
        }
        (None, Some(bytes)) => engine.edge.answer(bytes, turn).await,
        (None, None) => body.boxed_unsync(),
    };
    Response::from_parts(parts, body)
}

fn prepared(mut response: Response<Body>, id: &str) -> Response<Body> {
    if response.extensions().get::<BareTag>().is_some() {
        response = response.map(|body| edit(body, without_quotes));
    } else if response.status().is_client_error() || response.status().is_server_error() {
        let condition = response.headers_mut().remove(CONDITION);
        let condition = condition.as_ref().and_then(|name| name.to_str().ok());
        let mut reason = None;
        response = response.map(|body| {
            edit(body, |text| {
                let explained = explained(text)?;
                reason = reason_of(&explained);
                with_id(&explained, condition, id)
            })
        });
        if let Some(reason) = reason {
            response.extensions_mut().insert(reason);
        }
    }
    // An object's body is never in memory here.
    if response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == "application/xml") {
        response = response.map(|body| edit(body, xml_text::mended));
    }
    if response.extensions().get::<Partial>().is_some() {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    if let Ok(id) = HeaderValue::from_str(id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

pub(super) fn error(refused: S3Error, id: &str) -> Answer {
    let response = match refused.code().as_str() {
        WRONG_REGION => Ok(wrong_region()),
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

/// The one error with more than a code and a message: clients sign anew for the region that it
/// names.
fn wrong_region() -> Response<Body> {
    let xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{}</Code><Message>the region of the signature is wrong; \
         expecting '{region}'</Message><Region>{region}</Region></Error>",
        WRONG_REGION,
        region = REGION,
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

/// Puts a message into an error that has none: clients show nothing else.
fn explained(text: &str) -> Option<String> {
    let code = element(text, "Code")?;
    if element(text, "Message").is_some_and(|message| !message.is_empty()) {
        return Some(text.to_owned());
    }
    let (before, after) = text.split_once("</Code>")?;
    let after = after.strip_prefix("<Message></Message>").unwrap_or(after);
    Some(format!("{before}</Code><Message>{}</Message>{after}", meaning(code)))
}

/// What a code of the protocol crate means, and what to do.
fn meaning(code: &str) -> &'static str {
    match code {
        "SignatureDoesNotMatch" => {
            "the signature is not the one that this request has with that key: check the secret, and whether \
             something on the way changes the path, the query or a signed header"
        }
        "InvalidBucketName" => {
            "this cannot be a bucket's name: it has 3 to 63 lower-case letters, digits, dots and hyphens, and \
             begins and ends with a letter or a digit"
        }
        "MalformedXML" => {
            "the body is not the XML document that this operation takes: check its elements and that it is \
             well-formed"
        }
        "MissingRequestBodyError" => {
            "this operation takes an XML document as its body, and the body is empty"
        }
        "InvalidURI" => "the path or the query cannot be read: both are UTF-8 with escapes",
        "KeyTooLongError" => "a key has at most 1024 bytes",
        "IncompleteBody" => "the body is shorter or longer than its Content-Length: send it again",
        "MissingContentLength" => "the request needs a Content-Length",
        "MaxMessageLengthExceeded" => "the document is larger than this operation takes",
        "MethodNotAllowed" => "this method is no operation of S3 on this path",
        "NotImplemented" => "this is not implemented here: nothing was done",
        "InternalError" => FAILED,
        _ => "the request was refused; the code says why",
    }
}

/// The text of an error's element, escaped as it is.
fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>")).map(|(inside, _)| inside)
}

/// For the log.
fn reason_of(text: &str) -> Option<Reason> {
    Some(Reason::new(&format!("{}: {}", element(text, "Code")?, element(text, "Message")?)))
}

fn with_id(text: &str, condition: Option<&str>, id: &str) -> Option<String> {
    let before = text.strip_suffix("</Error>")?;
    let condition =
        condition.map(|name| format!("<Condition>{name}</Condition>")).unwrap_or_default();
    Some(format!("{before}{condition}<RequestId>{id}</RequestId></Error>"))
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
        assert_eq!(with_id(text, None, "07").as_deref(), Some(expected));
        let expected = "<Error><Code>NoSuchKey</Code><Condition>If-Match</Condition><RequestId>07</RequestId></Error>";
        assert_eq!(with_id(text, Some("If-Match"), "07").as_deref(), Some(expected));
        assert_eq!(with_id("", None, "07"), None);
        assert_eq!(with_id("<Errors/>", None, "07"), None);
    }

    #[test]
    fn every_error_has_a_message() {
        // Those that the protocol crate has without one, and any other.
        for code in [
            "IncompleteBody",
            "InternalError",
            "InvalidBucketName",
            "InvalidURI",
            "KeyTooLongError",
            "MalformedXML",
            "MaxMessageLengthExceeded",
            "MethodNotAllowed",
            "MissingContentLength",
            "MissingRequestBodyError",
            "NotImplemented",
            "SignatureDoesNotMatch",
            "SomethingNew",
        ] {
            for message in ["", "<Message></Message>"] {
                let text = format!("<Error><Code>{code}</Code>{message}<Other/></Error>");
                let found = explained(&text).unwrap();
                assert!(
                    element(&found, "Message").is_some_and(|message| message.len() > 20),
                    "{found}"
                );
                assert!(found.ends_with("</Message><Other/></Error>"), "{found}");
            }
        }
        let own = "<Error><Code>MalformedXML</Code><Message>mine</Message></Error>";
        assert_eq!(explained(own).as_deref(), Some(own));
        assert_eq!(reason_of(own), Some(Reason::new("MalformedXML: mine")));
    }
}
