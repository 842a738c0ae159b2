//! What the log says of requests: enough to find out why one was refused, and no more noise than
//! they deserve.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

#[allow(dead_code, reason = "each file of tests uses a part of it")]
mod common;
#[allow(dead_code, reason = "each file of tests uses a part of it")]
#[path = "common/sigv4.rs"]
mod sigv4;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Mutex;

use common::{ACCESS, Running, config};
use sigv4::ask;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

type Line = (Level, BTreeMap<String, String>);

static LINES: Mutex<Vec<Line>> = Mutex::new(Vec::new());

/// Keeps the lines about requests.
struct Kept;

struct Fields(BTreeMap<String, String>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.to_owned());
    }
}

impl Subscriber for Kept {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("drystone")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields(BTreeMap::new());
        event.record(&mut fields);
        LINES.lock().unwrap().push((*event.metadata().level(), fields.0));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// The line of the request with this id. It is written before the answer is sent.
fn line(id: &str) -> Line {
    let lines = LINES.lock().unwrap();
    let is_it = |line: &&Line| line.1.get("id").is_some_and(|found| found == id);
    lines.iter().find(is_it).cloned().unwrap_or_else(|| panic!("no line of {id} in {lines:?}"))
}

#[test]
fn a_refusal_has_its_reason_in_the_log_and_what_clients_cause_is_no_error() {
    tracing::subscriber::set_global_default(Kept).unwrap();
    let server = Running::start(config());
    let anonymous = server.request_as(None, "GET", "/files/a", &[], b"");
    let plain_anonymous = server.request_as(None, "GET", "/_/files/files/a", &[], b"");
    let plain_wrong =
        server.request_as(Some((ACCESS, "another")), "GET", "/_/files/files/a", &[], b"");
    let forged = server.request_as(
        None,
        "GET",
        "/files/a",
        &[("Authorization", "AWS4-HMAC-SHA256 nonsense")],
        b"",
    );
    let unknown = ask(&server, "DELETE", "/files/a?fooBar", &[], b"");
    let missing = ask(&server, "GET", "/files/a", &[], b"");
    for (answer, status, reason) in [
        (&anonymous, 403, "AccessDenied: this needs a signed request"),
        (&plain_anonymous, 401, "this needs a key"),
        (&plain_wrong, 401, "the key is unknown or its secret is wrong"),
        (&forged, 400, "InvalidRequest: the Authorization header has"),
        (&unknown, 501, "NotImplemented: `DELETE` of an object with `fooBar`"),
        (&missing, 404, "NoSuchKey: "),
    ] {
        assert_eq!(answer.status, status, "{}", answer.text());
        let (level, fields) = line(answer.header("x-request-id").unwrap());
        assert_eq!(level, Level::INFO, "{fields:?}");
        assert!(fields["reason"].contains(reason), "{reason}: {fields:?}");
    }
    let fine = ask(&server, "PUT", "/files/a", &[], b"a");
    let (level, fields) = line(fine.header("x-request-id").unwrap());
    assert_eq!((level, fields.get("reason")), (Level::INFO, None));
}
