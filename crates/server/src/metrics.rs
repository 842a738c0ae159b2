//! What Prometheus reads. No label has a value that clients choose: their number is fixed.

use std::fmt::Write as _;
use std::time::Duration;

use drystone_sync::PlainArc;
use drystone_sync::atomic::{AtomicU64, Ordering};
use http::{Method, StatusCode};

use crate::engine::Engine;
use crate::process::Process;
use crate::resources::{Resource, resources};

/// Upper bounds of the latency histogram, in seconds.
const BOUNDS: [f64; 8] = [0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0, 60.0];
const FACES: [&str; 2] = ["s3", "http"];
const METHODS: [&str; 6] = ["GET", "HEAD", "PUT", "POST", "DELETE", "other"];
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// Counters of one face. They are independent of each other, so every access is relaxed.
#[derive(Default)]
struct Face {
    requests: [[AtomicU64; CLASSES.len()]; METHODS.len()],
    buckets: [AtomicU64; BOUNDS.len() + 1],
    micros: AtomicU64,
}

/// Everything that is counted here, and where to read the rest.
pub(crate) struct Metrics {
    engine: PlainArc<Engine>,
    faces: [Face; FACES.len()],
}

impl Metrics {
    pub(crate) fn new(engine: &PlainArc<Engine>) -> Self {
        Self { engine: PlainArc::clone(engine), faces: Default::default() }
    }

    /// Counts a request whose response has begun.
    pub(crate) fn answered(&self, face: &str, method: &Method, status: StatusCode, took: Duration) {
        let face = &self.faces[FACES.iter().position(|name| *name == face).unwrap_or(0)];
        let other = METHODS.len() - 1;
        let method = METHODS.iter().position(|name| *name == method.as_str()).unwrap_or(other);
        let class = usize::from(status.as_u16() / 100).clamp(1, CLASSES.len()) - 1;
        face.requests[method][class].fetch_add(1, Ordering::Relaxed);
        let seconds = took.as_secs_f64();
        let bucket = BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(BOUNDS.len());
        face.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        face.micros.fetch_add(took.as_micros() as u64, Ordering::Relaxed);
    }

    /// Every bounded resource.
    pub(crate) fn resources(&self) -> [Resource; 14] {
        resources(&self.engine.edge)
    }

    /// The exposition format, version 0.0.4.
    pub(crate) fn text(&self, process: &Process) -> String {
        let mut text = String::with_capacity(8 << 10);
        self.requests(&mut text);
        write_resources(&mut text, &self.resources());
        self.process(&mut text, process);
        let stats = self.engine.edge.store.put_stats();
        let mut counter = |name: &str, help: &str, value: u64| {
            let _ = writeln!(
                text,
                "# HELP drystone_{name} {help}\n# TYPE drystone_{name} counter\ndrystone_{name} {value}"
            );
        };
        counter("put_bytes_total", "Bytes that were cut and hashed.", stats.bytes);
        counter(
            "put_new_bytes_total",
            "Bytes of them that the store did not have.",
            stats.new_bytes,
        );
        counter("put_chunks_total", "Chunks that were hashed.", stats.chunks);
        counter(
            "put_new_chunks_total",
            "Chunks of them that the store did not have.",
            stats.new_chunks,
        );
        counter("commit_groups_total", "Group commits.", stats.commit_groups);
        let admission = &self.engine.edge.admission;
        counter("connections_accepted_total", "Connections accepted.", admission.admitted());
        counter(
            "connections_evicted_total",
            "Idle connections closed for others.",
            admission.evicted(),
        );
        text
    }

    fn requests(&self, text: &mut String) {
        let _ = writeln!(
            text,
            "# HELP drystone_requests_total Requests answered.\n# TYPE drystone_requests_total counter"
        );
        for (face, name) in self.faces.iter().zip(FACES) {
            for (classes, method) in face.requests.iter().zip(METHODS) {
                for (count, class) in classes.iter().zip(CLASSES) {
                    let count = count.load(Ordering::Relaxed);
                    if count > 0 {
                        let _ = writeln!(
                            text,
                            "drystone_requests_total{{face=\"{name}\",method=\"{method}\",status=\"{class}\"}} {count}"
                        );
                    }
                }
            }
        }
        let name = "drystone_request_seconds";
        let _ = writeln!(
            text,
            "# HELP {name} From a request's head to its response's.\n# TYPE {name} histogram"
        );
        for (face, label) in self.faces.iter().zip(FACES) {
            let mut sum = 0;
            for (count, bound) in
                face.buckets.iter().zip(BOUNDS.iter().map(f64::to_string).chain(["+Inf".into()]))
            {
                sum += count.load(Ordering::Relaxed);
                let _ = writeln!(text, "{name}_bucket{{face=\"{label}\",le=\"{bound}\"}} {sum}");
            }
            let seconds = face.micros.load(Ordering::Relaxed) as f64 / 1e6;
            let _ = writeln!(
                text,
                "{name}_sum{{face=\"{label}\"}} {seconds}\n{name}_count{{face=\"{label}\"}} {sum}"
            );
        }
    }

    /// The names are those that clients of Prometheus use for any process; what is unknown is left
    /// out.
    fn process(&self, text: &mut String, process: &Process) {
        let plan = self.engine.plan();
        let rows = [
            ("process_open_fds", "Open descriptors.", process.descriptors),
            ("process_max_fds", "The most that may be open.", Some(plan.descriptors_ceiling)),
            ("process_resident_memory_bytes", "Resident memory.", process.resident_bytes),
            (
                "drystone_resident_memory_high_water_bytes",
                "The most that was resident since the start.",
                process.resident_high_water_bytes,
            ),
            (
                "drystone_planned_memory_bytes",
                "What the plan spends.",
                Some(plan.memory_total_bytes),
            ),
            (
                "drystone_memory_ceiling_bytes",
                "What the plan stays below.",
                Some(plan.memory_ceiling),
            ),
            ("process_threads", "Threads.", process.threads),
        ];
        for (name, help, value) in rows {
            if let Some(value) = value {
                let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}");
            }
        }
    }
}

fn write_resources(text: &mut String, rows: &[Resource]) {
    let mut family = |name: &str,
                      kind: &str,
                      help: &str,
                      value: &dyn Fn(&Resource) -> Option<u64>| {
        let _ = writeln!(
            text,
            "# HELP drystone_resource_{name} {help}\n# TYPE drystone_resource_{name} {kind}"
        );
        for row in rows {
            if let Some(value) = value(row) {
                let _ =
                    writeln!(text, "drystone_resource_{name}{{resource=\"{}\"}} {value}", row.name);
            }
        }
    };
    family("now", "gauge", "In use.", &|row| Some(row.now));
    family("high_water", "gauge", "The most in use since the start.", &|row| Some(row.high_water));
    family("ceiling", "gauge", "Never passed.", &|row| Some(row.ceiling));
    family("waiting", "gauge", "Requests or connections that wait.", &|row| row.waiting);
    family("waits_total", "counter", "Requests or connections that had to wait.", &|row| {
        Some(row.waits)
    });
    family("refused_total", "counter", "Requests turned away.", &|row| row.refused);
}
