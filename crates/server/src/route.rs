//! A request's first step: an id, a face, and a line in the log when it is answered.

use std::net::SocketAddr;
use std::time::{Instant, SystemTime};

use drystone_sync::PlainArc;
use drystone_sync::atomic::{AtomicBool, AtomicU64, Ordering};
use http::header::{CONNECTION, DATE, EXPECT, HeaderName};
use http::{HeaderValue, Request};
use http_body::Body as _;
use hyper::body::Incoming;
use tracing::Level;

use crate::access::Peer;
use crate::cross_site;
use crate::engine::Engine;
use crate::face::{Answer, Face};
use crate::files::Files;
use crate::metrics::Metrics;
use crate::reason::{self, Reason};
use crate::request_body::{RequestBody, Unread};
use crate::request_head;
use crate::s3::S3Face;

static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Sends each request to its face.
pub(crate) struct Router {
    engine: PlainArc<Engine>,
    files: Files,
    s3: S3Face,
    metrics: PlainArc<Metrics>,
    draining: PlainArc<AtomicBool>,
    next_id: AtomicU64,
    /// What the answers are dated with.
    pub(crate) clock: fn() -> SystemTime,
}

impl Router {
    pub(crate) fn new(engine: &PlainArc<Engine>) -> Self {
        let draining = PlainArc::new(AtomicBool::new(false));
        let metrics = PlainArc::new(Metrics::new(engine));
        let seed = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |since| since.as_nanos() as u64);
        Self {
            engine: PlainArc::clone(engine),
            files: Files::new(engine, &metrics, &draining),
            s3: S3Face::new(engine),
            metrics,
            draining,
            next_id: AtomicU64::new(seed),
            clock: SystemTime::now,
        }
    }

    /// Says to load balancers that no more requests should come, and to clients that they should
    /// reconnect elsewhere.
    pub(crate) fn drain(&self) {
        // A flag on its own: nothing else is published with it.
        self.draining.store(true, Ordering::Relaxed);
    }

    pub(crate) async fn answer(&self, request: Request<Incoming>, peer: SocketAddr) -> Answer {
        let begun = Instant::now();
        // Only has to differ from the others.
        let id =
            format!("{:016x}", self.next_id.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed));
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let own = path == "/_" || path.starts_with("/_/");
        let waits = request.headers().contains_key(EXPECT);
        let unasked = waits && request.body().is_end_stream();
        let unread = PlainArc::<Unread>::default();
        let mut request = request.map(|body| unread.lend(body));
        request.extensions_mut().insert(Peer(peer.ip()));
        let (face, asked) = if own {
            (Files::NAME, ask(&self.files, request, &id).await)
        } else {
            (S3Face::NAME, ask(&self.s3, request, &id).await)
        };
        let Asked { mut response, in_doubt } = asked;
        let status = response.status();
        self.metrics.answered(face, &method, status, begun.elapsed());
        if let Ok(value) = HeaderValue::from_str(&id) {
            response.headers_mut().insert(REQUEST_ID.clone(), value);
        }
        // hyper would keep a date until a moment that a clock which is set back reaches only later.
        if let Ok(date) = HeaderValue::from_str(&httpdate::fmt_http_date((self.clock)())) {
            response.headers_mut().insert(DATE, date);
        }
        // A client that waits to be told to go on will not send the rest. Without a `100 Continue`
        // before its answer a connection is not used again: some clients are confused about which
        // answer belongs to what.
        let is_last = unasked
            || (waits && unread.is_untouched())
            || response.headers().contains_key(CONNECTION)
            || !unread.drain(&self.engine.edge.admission).await
            || in_doubt
            || self.draining.load(Ordering::Relaxed);
        if is_last {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        // The query stays out of it: presigned ones are keys.
        let path = path.escape_debug().to_string();
        let ms = begun.elapsed().as_secs_f64() * 1e3;
        let reason = Reason::take(response.extensions_mut());
        macro_rules! log {
            ($level:ident) => {
                tracing::$level!(id, %peer, face, %method, path, status = status.as_u16(), reason, ms, "request")
            };
        }
        match reason::level(status) {
            Level::ERROR => log!(error),
            Level::WARN => log!(warn),
            _ => log!(info),
        }
        response
    }
}

/// What came of a request.
struct Asked {
    response: Answer,
    /// Where the next request begins is in doubt.
    in_doubt: bool,
}

/// Has a face answer a request, if that passes what is asked of it whichever face it is for.
async fn ask<F: Face>(face: &F, mut request: Request<RequestBody>, id: &str) -> Asked {
    let checked =
        request_head::check(&mut request).and_then(|()| cross_site::check(&request, F::is_proven));
    match checked {
        Ok(()) => Asked { response: face.answer(request, id).await, in_doubt: false },
        Err(refused) => {
            // What is left of its body is read afterwards.
            drop(request);
            let in_doubt = refused.is_last;
            Asked { response: face.refuse(refused, id), in_doubt }
        }
    }
}
