//! What a face is: one protocol over the edge, from a request to its answer.
//!
//! A face reads its protocol, asks the edge, and says in its protocol what came of it. It knows no
//! other face. What every request has in common (an id, the checks of its head, a date, a line in
//! the log) is done before and after it, in `route`.

use drystone_edge::answer::{ResponseBody, full};
use http::{HeaderValue, Request, Response, StatusCode};

use crate::request_body::RequestBody;
use crate::request_head::Refusal;

/// A response, of any face.
pub(crate) type Answer = Response<ResponseBody>;

/// One protocol of the server.
pub(crate) trait Face {
    /// What it is called in the log and among the metrics.
    const NAME: &'static str;

    /// Whether a request shows itself that its client has a key: not by what a browser attaches on
    /// its own.
    fn is_proven<B>(request: &Request<B>) -> bool;

    /// Answers the request with this id.
    fn answer(
        &self,
        request: Request<RequestBody>,
        id: &str,
    ) -> impl Future<Output = Answer> + Send;

    /// Says why a request was refused before it came to a face.
    fn refuse(&self, refused: Refusal, id: &str) -> Answer;
}

/// A short answer in plain text.
pub(crate) fn text(status: StatusCode, text: impl Into<String>) -> Answer {
    let mut response = Response::new(full(text.into()));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(http::header::CONTENT_TYPE, kind);
    response
}
