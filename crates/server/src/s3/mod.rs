//! The S3 face.

use bytes::Bytes;
use drystone_sync::PlainArc;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;

use crate::engine::Engine;
use crate::route::full;
use crate::server::Answer;

pub(crate) struct S3Face {
    _engine: PlainArc<Engine>,
}

impl S3Face {
    pub(crate) fn new(engine: &PlainArc<Engine>) -> Self {
        Self { _engine: PlainArc::clone(engine) }
    }

    pub(crate) async fn answer(&self, _request: Request<Incoming>) -> Answer {
        let mut response = Response::new(full(Bytes::new()));
        *response.status_mut() = StatusCode::NOT_IMPLEMENTED;
        response
    }
}
