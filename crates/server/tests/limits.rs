//! What operators look at: the limits page, and the dashboard over the metrics.

#![allow(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]

#[allow(dead_code, reason = "shared with other tests")]
mod common;

use std::collections::BTreeSet;

use common::{Running, SECRET, config, put_key};
use drystone_store::{BucketName, Grant};
use serde_json::Value;

const DASHBOARD: &str = include_str!("../../../packaging/grafana-dashboard.json");
/// What Prometheus adds to all that it reads.
const LABELS_OF_PROMETHEUS: [&str; 1] = ["instance"];
/// What an expression may hold beside metrics.
const WORDS: [&str; 5] = ["sum", "max", "rate", "histogram_quantile", "by"];

fn limits(server: &Running) -> Value {
    let answer = server.request("GET", "/_/limits", &[("Accept", "application/json")], b"");
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    serde_json::from_slice(&answer.body).unwrap()
}

#[test]
fn only_who_may_do_everything_sees_the_limits() {
    let server = Running::start(config());
    let bucket = Some(BucketName::new("files").unwrap());
    put_key(
        &server.store,
        "one",
        vec![Grant { bucket, read: true, write: true, list: true, admin: true }],
    );
    put_key(
        &server.store,
        "all",
        vec![Grant { bucket: None, read: true, write: true, list: true, admin: false }],
    );
    for path in ["/_/limits", "/_/metrics"] {
        let as_key = |key| server.request_as(key, "GET", path, &[], b"").status;
        assert_eq!(as_key(None), 401, "{path}");
        assert_eq!(as_key(Some(("one", SECRET))), 403, "{path}");
        assert_eq!(as_key(Some(("all", SECRET))), 403, "{path}");
        assert_eq!(server.request("GET", path, &[], b"").status, 200, "{path}");
        assert_eq!(server.request("HEAD", path, &[], b"").status, 200, "{path}");
        assert_eq!(server.request("POST", path, &[], b"").status, 405, "{path}");
    }
}

#[test]
fn the_limits_are_the_plan_and_what_the_metrics_say() {
    let config = config();
    let server = Running::start(config.clone());
    assert_eq!(
        server.request("PUT", "/_/files/files/a", &[], &common::noise(300_000, 1)).status,
        201
    );
    let limits = limits(&server);
    assert_eq!(limits["ceilings"], serde_json::to_value(&config.plan.ceilings).unwrap());
    assert_eq!(limits["spends"], serde_json::to_value(&config.plan.spends).unwrap());
    assert_eq!(limits["deadlines"].as_array().unwrap().len(), 6);
    // Those of the whole test, whose other threads open and close some meanwhile.
    let kinds = limits["descriptor_kinds"].as_array().unwrap();
    let sum: u64 = kinds.iter().map(|of| of["count"].as_u64().unwrap()).sum();
    let open = limits["process"]["descriptors"].as_u64().unwrap();
    assert!(
        open > 0 && sum.abs_diff(open) <= open / 2 && kinds.iter().any(|of| of["kind"] == "socket"),
        "{kinds:?} {open}"
    );
    let metrics = server.request("GET", "/_/metrics", &[], b"").text();
    let rows = limits["resources"].as_array().unwrap();
    assert_eq!(
        metrics.matches("drystone_resource_ceiling{").count(),
        rows.len(),
        "one has more than the other"
    );
    for row in rows {
        let name = row["name"].as_str().unwrap();
        let in_metrics = |number: &str| -> u64 {
            let begin = format!("drystone_resource_{number}{{resource=\"{name}\"}} ");
            let line = metrics.lines().find_map(|line| line.strip_prefix(&begin));
            line.unwrap_or_else(|| panic!("{begin}{metrics}")).parse().unwrap()
        };
        assert_eq!(row["ceiling"], in_metrics("ceiling"), "{name}");
        // A connection may still be open as the next one comes, which asks for the metrics.
        assert!(row["high_water"].as_u64().unwrap() <= in_metrics("high_water"), "{name}");
        let number = |what: &str| row[what].as_u64().unwrap();
        assert!(
            number("now") <= number("high_water") && number("high_water") <= number("ceiling"),
            "{row}"
        );
    }
    let row = |name: &str| rows.iter().find(|row| row["name"] == name).unwrap();
    for (name, ceiling) in [("connections", 16), ("transfers", 8), ("uploads", 2), ("documents", 2)]
    {
        assert_eq!(row(name)["ceiling"], ceiling, "{name}");
    }
    for used in ["connections", "transfers", "uploads", "buffers", "ingests"] {
        assert_ne!(row(used)["high_water"], 0, "{used}");
    }
    let process = &limits["process"];
    assert_eq!(
        (&process["descriptors_ceiling"], &process["memory_ceiling_bytes"]),
        (&1024.into(), &(256 << 20).into())
    );
    assert!(process["resident_bytes"].as_u64().unwrap() > 1 << 20, "{process}");
    // The listener, the connection that asks, and the standard streams.
    assert!(process["descriptors"].as_u64().unwrap() >= 5, "{process}");
}

#[test]
fn the_page_stands_alone_and_shows_everything() {
    let server = Running::start(config());
    let limits = limits(&server);
    for headers in
        [&[][..], &[("Accept", "text/html,application/xhtml+xml,application/json;q=0.9")]]
    {
        let page = server.request("GET", "/_/limits", headers, b"");
        assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
        let policy = page.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
        assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
        let text = page.text();
        for other in ["<script", "<link", "<img", "src=", "style=", "://", "javascript:"] {
            assert!(!text.contains(other), "{other}: {text}");
        }
        let shown =
            |what: &str| assert!(text.contains(&format!(">{what}<")), "{what} is not in {text}");
        limits["resources"]
            .as_array()
            .unwrap()
            .iter()
            .for_each(|row| shown(row["name"].as_str().unwrap()));
        limits["deadlines"]
            .as_array()
            .unwrap()
            .iter()
            .for_each(|row| shown(row["setting"].as_str().unwrap()));
        limits["spends"]
            .as_array()
            .unwrap()
            .iter()
            .for_each(|row| shown(row["use"].as_str().unwrap()));
        for source in ["two", "a thousand", "256 MiB", "resident memory", "open descriptors"] {
            assert!(text.contains(source), "{source} is not in {text}");
        }
    }
    let json = server.request("GET", "/_/limits?format=json", &[("Accept", "text/html")], b"");
    assert_eq!(json.header("content-type"), Some("application/json"));
    let html =
        server.request("GET", "/_/limits?format=html", &[("Accept", "application/json")], b"");
    assert_eq!(html.header("content-type"), Some("text/html; charset=utf-8"));
}

/// The names, labels and label values that a server prints after it has seen one of everything.
struct Printed {
    names: BTreeSet<String>,
    labels: BTreeSet<String>,
    values: BTreeSet<(String, String)>,
}

impl Printed {
    fn of(metrics: &str) -> Self {
        let mut printed =
            Self { names: BTreeSet::new(), labels: BTreeSet::new(), values: BTreeSet::new() };
        for sample in metrics.lines().filter(|line| !line.starts_with('#')) {
            let (name, _) = sample.split_once(['{', ' ']).unwrap();
            printed.names.insert(name.to_owned());
            for (label, value) in matchers(sample) {
                printed.labels.insert(label.clone());
                printed.values.insert((label, value));
            }
        }
        printed
    }

    /// What of an expression nothing that is printed answers to.
    fn unknown_in(&self, expression: &str) -> Vec<String> {
        let mut unknown = Vec::new();
        let known =
            |label: &str| self.labels.contains(label) || LABELS_OF_PROMETHEUS.contains(&label);
        for (label, value) in matchers(expression) {
            let is_variable = value.starts_with('$');
            if !known(&label)
                || !(is_variable || self.values.contains(&(label.clone(), value.clone())))
            {
                unknown.push(format!("{label}=\"{value}\""));
            }
        }
        let bare = without(&without(&without(expression, '"', '"'), '{', '}'), '[', ']');
        let mut metrics = 0;
        let mut grouped = false;
        for word in
            bare.split_inclusive(|sign: char| !(sign.is_alphanumeric() || "_:".contains(sign)))
        {
            let (word, end) =
                word.split_at(word.trim_end_matches(|sign: char| !sign.is_alphanumeric()).len());
            if grouped {
                if !word.is_empty() && !known(word) {
                    unknown.push(word.to_owned());
                }
                grouped = !end.contains(')');
            } else if word == "by" {
                grouped = true;
            } else if self.names.contains(word) {
                metrics += 1;
            } else if word.starts_with(char::is_alphabetic) && !WORDS.contains(&word) {
                unknown.push(word.to_owned());
            }
        }
        if metrics == 0 {
            unknown.push(format!("no metric in {expression}"));
        }
        unknown
    }
}

/// `label="value"` and `label=~"value"`, wherever they stand.
fn matchers(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let parts: Vec<&str> = text.split('"').collect();
    for pair in parts.chunks_exact(2) {
        let name = pair[0].trim_end_matches(['=', '~', '!']);
        let label = name.rsplit(|sign: char| !(sign.is_alphanumeric() || sign == '_')).next();
        found.push((label.unwrap().to_owned(), pair[1].to_owned()));
    }
    found
}

fn without(text: &str, open: char, close: char) -> String {
    let mut kept = String::new();
    let mut is_inside = false;
    for sign in text.chars() {
        match is_inside {
            false if sign == open => is_inside = true,
            true if sign == close => is_inside = false,
            false => kept.push(sign),
            true => {}
        }
    }
    kept
}

/// Every text below this key, however deep.
fn texts<'a>(value: &'a Value, key: &str, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(name, value)| {
            found.extend(value.as_str().filter(|_| name == key));
            texts(value, key, found);
        }),
        Value::Array(list) => list.iter().for_each(|value| texts(value, key, found)),
        _ => {}
    }
}

/// A server that has answered well, badly and not at all.
fn printed() -> Printed {
    let server = Running::start(config());
    server.request("PUT", "/_/files/files/a", &[], b"bytes");
    server.request("GET", "/_/files/files/absent", &[], b"");
    // The store is closed: requests that need it fail with 503.
    server.store.close();
    assert_eq!(server.request("PUT", "/_/files/files/b", &[], b"bytes").status, 503);
    Printed::of(&server.request("GET", "/_/metrics", &[], b"").text())
}

#[test]
fn the_dashboard_asks_for_what_the_server_prints() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let printed = printed();
    let mut expressions = Vec::new();
    texts(&dashboard, "expr", &mut expressions);
    assert!(expressions.len() > 20, "{expressions:?}");
    for expression in &expressions {
        assert_eq!(printed.unknown_in(expression), [""; 0], "{expression}");
    }
    let mut legends = Vec::new();
    texts(&dashboard, "legendFormat", &mut legends);
    for legend in legends {
        for label in legend.split("{{").skip(1).map(|rest| rest.split("}}").next().unwrap()) {
            assert!(printed.labels.contains(label), "{legend}");
        }
    }
    let all = expressions.join(" ");
    for name in &printed.names {
        assert!(all.contains(name.as_str()), "{name} is printed and on no panel");
    }
    let rows: Vec<&str> = dashboard["panels"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|panel| panel["type"] == "row")
        .map(|row| row["title"].as_str().unwrap())
        .collect();
    assert_eq!(rows, ["Traffic", "Latency", "Pools against ceilings", "Deduplication", "Errors"]);
}

#[test]
fn an_expression_that_asks_for_anything_else_is_noticed() {
    let printed = printed();
    for (expression, unknown) in [
        ("rate(drystone_request_total[5m])", "drystone_request_total"),
        ("sum by (face, verb) (rate(drystone_requests_total[5m]))", "verb"),
        ("drystone_resource_now{pool=\"buffers\"}", "pool=\"buffers\""),
        ("drystone_resource_now{resource=\"buffer\"}", "resource=\"buffer\""),
        ("median(drystone_resource_now)", "median"),
        (
            "sum(rate({resource=\"buffers\"}[5m]))",
            "no metric in sum(rate({resource=\"buffers\"}[5m]))",
        ),
    ] {
        assert!(printed.unknown_in(expression).contains(&unknown.to_owned()), "{expression}");
    }
}
