//! The limits page: every ceiling with where it comes from, and how much of it is in use.

use std::fmt::Write as _;
use std::time::Duration;

use drystone_edge::{Deadlines, Fault};
use drystone_limits::{Ceiling, Plan, Resource as Kind, Spend, format_bytes};
use http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderValue, Method, Request, Response};
use serde::Serialize;

use super::Files;
use super::errors::Error;
use super::page::escape;
use super::understood::Query;
use crate::access::Who;
use crate::face::Answer;
use crate::front::accepts_html;
use crate::process::Process;
use crate::request_body::RequestBody;
use crate::resources::Resource;

/// The page's only style; the policy names its hash, so that nothing else that looks like one is
/// obeyed.
const STYLE: &str = include_str!("limits.css");
const POLICY: &str = "default-src 'none'; style-src 'sha256-CGbubWfpr4ocKq7uzukAHzyanbUDMoT1t9GhqY5p0Zo='; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// All that is shown, in the order of the page.
#[derive(Serialize)]
struct Limits<'a> {
    resources: &'a [Resource],
    process: Measured,
    descriptor_kinds: &'a [KindCount],
    deadlines: [Deadline; 6],
    ceilings: &'a [Ceiling],
    spends: &'a [Spend],
}

/// One deadline.
#[derive(Serialize)]
struct Deadline {
    /// The setting that changes it.
    setting: &'static str,
    seconds: f64,
    what: &'static str,
}

impl Deadline {
    fn all(deadlines: &Deadlines) -> [Self; 6] {
        let row =
            |setting, time: Duration, what| Self { setting, seconds: time.as_secs_f64(), what };
        [
            row("head_seconds", deadlines.head, "for the whole head of a request"),
            row("idle_seconds", deadlines.idle, "for the next request on a connection"),
            row("body_seconds", deadlines.body, "for the next byte of a body"),
            row("unread_seconds", deadlines.unread, "for a client to read on"),
            row("turn_seconds", deadlines.turn, "for a place, then 503"),
            row("drain_seconds", deadlines.drain, "for requests to end when the server stops"),
        ]
    }
}

/// Descriptors that are looked at, to say what they are: more would make the page slow.
const KINDS_OF_MAX: usize = 4096;

/// So many descriptors of this process are of that kind.
#[derive(Serialize)]
struct KindCount {
    kind: fdwatch::Kind,
    count: u64,
}

impl KindCount {
    /// Most first; none where the system does not say.
    fn all() -> Vec<Self> {
        let kinds = fdwatch::own_kinds(KINDS_OF_MAX).unwrap_or_default();
        kinds.into_iter().map(|(kind, count)| Self { kind, count }).collect()
    }
}

/// What the system counts, each with its ceiling. `None` where the system does not say, or sets no
/// ceiling.
#[derive(Serialize)]
struct Measured {
    descriptors: Option<u64>,
    descriptors_ceiling: Option<u64>,
    resident_bytes: Option<u64>,
    resident_high_water_bytes: Option<u64>,
    memory_planned_bytes: u64,
    memory_ceiling_bytes: u64,
    threads: Option<u64>,
    threads_planned: u64,
}

impl Measured {
    fn new(process: Process, plan: &Plan) -> Self {
        Self {
            descriptors: process.descriptors,
            descriptors_ceiling: Some(plan.descriptors_ceiling)
                .filter(|ceiling| *ceiling < u64::MAX),
            resident_bytes: process.resident_bytes,
            resident_high_water_bytes: process.resident_high_water_bytes,
            memory_planned_bytes: plan.memory_total_bytes,
            memory_ceiling_bytes: plan.memory_ceiling,
            threads: process.threads,
            threads_planned: plan.threads as u64,
        }
    }
}

impl Files {
    pub(super) async fn limits(
        &self,
        request: &Request<RequestBody>,
        who: &Who,
    ) -> Result<Answer, Error> {
        let asked = Query::read(request, &["format"])?.wants_json()?;
        let turn = self.engine.edge.turn_for_document(&who.share(request.extensions())).await?;
        let (process, kinds) =
            self.engine.edge.call(|_| Ok((Process::read(), KindCount::all()))).await?;
        let (plan, resources) = (self.engine.plan(), self.metrics.resources());
        let limits = Limits {
            resources: &resources,
            process: Measured::new(process, &plan),
            descriptor_kinds: &kinds,
            deadlines: Deadline::all(&self.engine.edge.deadlines.get()),
            ceilings: &plan.ceilings,
            spends: &plan.spends,
        };
        let (kind, text) = if asked.unwrap_or_else(|| prefers_json(request)) {
            ("application/json", serde_json::to_string(&limits).map_err(|_| Fault::Internal)?)
        } else {
            ("text/html; charset=utf-8", html(&limits))
        };
        let text = if request.method() == Method::HEAD { String::new() } else { text };
        let mut response = Response::new(self.engine.edge.answer(text.into(), turn).await);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
        Ok(response)
    }
}

/// Browsers ask for HTML first. A client that asks for JSON and not for HTML gets JSON.
fn prefers_json(request: &Request<RequestBody>) -> bool {
    let accept =
        request.headers().get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accept.contains("application/json") && !accepts_html(request.headers())
}

fn html(limits: &Limits<'_>) -> String {
    let mut text = String::with_capacity(16 << 10);
    let _ = write!(
        text,
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>limits</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style>\
         <h1>Limits</h1><p>What this server never passes, and how near it has come. \
         <a href=\"?format=json\">The same as JSON</a>.</p>"
    );
    in_use(&mut text, limits.resources);
    process(&mut text, &limits.process, limits.descriptor_kinds);
    text.push_str(
        "<h2>Ceilings</h2><table><tr><th>of<th class=\"n\">ceiling<th>where it comes from",
    );
    for Ceiling { resource, value, source } in limits.ceilings {
        let (value, source) = (amount(*resource, *value), escape(source));
        let _ = write!(text, "<tr><th scope=\"row\">{resource}<td class=\"n\">{value}<td>{source}");
    }
    text.push_str("</table><h2>How they are spent</h2>");
    for resource in [Kind::Memory, Kind::Descriptors, Kind::Threads, Kind::Children] {
        spent(&mut text, limits, resource);
    }
    text.push_str(
        "<h2>Deadlines</h2><table><tr><th>setting<th class=\"n\">seconds<th>how long is waited",
    );
    for Deadline { setting, seconds, what } in &limits.deadlines {
        let _ = write!(text, "<tr><th scope=\"row\">{setting}<td class=\"n\">{seconds}<td>{what}");
    }
    text.push_str("</table></html>\n");
    text
}

fn in_use(text: &mut String, resources: &[Resource]) {
    text.push_str(
        "<h2>In use</h2><table><tr><th>resource<th><th class=\"n\">now<th class=\"n\">high water\
         <th class=\"n\">ceiling<th class=\"n\">waits<th class=\"n\">waiting<th class=\"n\">refused",
    );
    let or_none =
        |value: Option<u64>| value.map_or_else(|| "–".to_owned(), |value| value.to_string());
    for row in resources {
        let Resource { name, what, now, high_water, ceiling, waits, .. } = row;
        let (meter, waiting, refused) =
            (meter(*now, *ceiling), or_none(row.waiting), or_none(row.refused));
        let _ = write!(
            text,
            "<tr><th scope=\"row\">{name}<small>{what}</small><td>{meter}<td class=\"n\">{now}\
             <td class=\"n\">{high_water}<td class=\"n\">{ceiling}<td class=\"n\">{waits}\
             <td class=\"n\">{waiting}<td class=\"n\">{refused}"
        );
    }
    text.push_str("</table>");
}

fn process(text: &mut String, process: &Measured, kinds: &[KindCount]) {
    text.push_str(
        "<h2>This process</h2><table><tr><th>what<th><th class=\"n\">now<th class=\"n\">high water\
         <th class=\"n\">planned<th class=\"n\">ceiling",
    );
    type Cell = Option<u64>;
    let mut row = |kind: Kind,
                   what: &str,
                   now: Cell,
                   high_water: Cell,
                   planned: Cell,
                   ceiling: Cell| {
        let shown = |cell: Cell| cell.map_or_else(|| "–".to_owned(), |value| amount(kind, value));
        let meter =
            now.zip(ceiling.or(planned)).map_or_else(String::new, |(now, most)| meter(now, most));
        let (now, high_water, planned, ceiling) =
            (shown(now), shown(high_water), shown(planned), shown(ceiling));
        let _ = write!(
            text,
            "<tr><th scope=\"row\">{what}<td>{meter}<td class=\"n\">{now}<td class=\"n\">{high_water}\
             <td class=\"n\">{planned}<td class=\"n\">{ceiling}"
        );
    };
    let planned = Some(process.memory_planned_bytes);
    let (high_water, ceiling) =
        (process.resident_high_water_bytes, Some(process.memory_ceiling_bytes));
    row(Kind::Memory, "resident memory", process.resident_bytes, high_water, planned, ceiling);
    let kinds: Vec<String> =
        kinds.iter().map(|of| format!("{} {}", of.count, of.kind.name())).collect();
    let what = format!("open descriptors<small>{}</small>", kinds.join(", "));
    row(Kind::Descriptors, &what, process.descriptors, None, None, process.descriptors_ceiling);
    row(Kind::Threads, "threads", process.threads, None, Some(process.threads_planned), None);
    text.push_str("</table>");
}

fn spent(text: &mut String, limits: &Limits<'_>, resource: Kind) {
    let _ = write!(
        text,
        "<table><tr><th>{resource}<th class=\"n\">count<th class=\"n\">each<th class=\"n\">total"
    );
    let mut sum = 0_u64;
    for Spend { use_, count, unit, total, .. } in
        limits.spends.iter().filter(|row| row.resource == resource)
    {
        sum = sum.saturating_add(*total);
        let (use_, unit, total) = (escape(use_), amount(resource, *unit), amount(resource, *total));
        let _ = write!(
            text,
            "<tr><th scope=\"row\">{use_}<td class=\"n\">{count}<td class=\"n\">{unit}<td class=\"n\">{total}"
        );
    }
    let sum = amount(resource, sum);
    let _ = write!(text, "<tr><th scope=\"row\">together<td><td><td class=\"n\">{sum}</table>");
}

/// A bar that needs neither script nor style. Near the ceiling it changes its colour.
fn meter(now: u64, ceiling: u64) -> String {
    let high = ceiling - ceiling / 5;
    format!(
        "<meter min=\"0\" max=\"{ceiling}\" high=\"{high}\" value=\"{now}\">{now} of {ceiling}</meter>"
    )
}

fn amount(kind: Kind, value: u64) -> String {
    match (kind, value) {
        (_, u64::MAX) => "unlimited".to_owned(),
        (Kind::Memory, bytes) => format_bytes(bytes),
        (_, count) => count.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD as BASE64;
    use s3s::crypto::{Checksum as _, Sha256};

    use super::*;

    #[test]
    fn the_policy_names_the_style() {
        let mut hash = Sha256::new();
        hash.update(STYLE.as_bytes());
        let hash = BASE64.encode(hash.finalize());
        assert!(
            POLICY.contains(&format!("style-src 'sha256-{hash}'")),
            "the style's hash is sha256-{hash}"
        );
        assert!(!STYLE.contains('<'), "it would end the element");
    }

    #[test]
    fn a_bar_is_never_wider_than_its_frame_and_amounts_have_units() {
        assert_eq!(
            meter(3, 10),
            "<meter min=\"0\" max=\"10\" high=\"8\" value=\"3\">3 of 10</meter>"
        );
        assert_eq!(amount(Kind::Memory, 3 << 20), "3 MiB");
        assert_eq!(amount(Kind::Descriptors, 1024), "1024");
        assert_eq!(amount(Kind::Descriptors, u64::MAX), "unlimited");
    }
}
