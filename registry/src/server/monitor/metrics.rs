// SPDX-License-Identifier: Apache-2.0
//! The numbers, in the format of Prometheus.
//!
//! Docs: `OpenMetrics` 1.0; names as Prometheus' "Metric and label naming" wants them.

use std::fmt;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use super::process::Process;
use super::scrub::ScrubMetrics;
use crate::storage::gc::Level;
use crate::storage::{GcReport, ScrubReport};

/// Bounds of the durations of requests, in seconds.
const REQUEST_SECONDS: [f64; 10] = [0.001, 0.005, 0.02, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0, 600.0];
/// Bounds of the durations of storage operations, in seconds.
const STORAGE_SECONDS: [f64; 8] = [0.0001, 0.0005, 0.002, 0.01, 0.05, 0.2, 1.0, 5.0];

/// What a request is counted under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RequestLabels {
    pub(super) method: &'static str,
    pub(super) endpoint: &'static str,
    pub(super) status: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndpointLabels {
    endpoint: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OperationLabels {
    operation: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DurationLabels {
    operation: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LevelLabels {
    level: &'static str,
    outcome: &'static str,
}

type Durations<L> = Family<L, Histogram, fn() -> Histogram>;

/// Every number there is.
pub(super) struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    durations: Durations<EndpointLabels>,
    in_flight: Family<EndpointLabels, Gauge>,
    received: Counter,
    sent: Counter,
    connections: Gauge,
    accepted: Counter,
    operations: Family<OperationLabels, Counter>,
    operation_durations: Durations<DurationLabels>,
    dropped_lines: Counter,
    gc: GcMetrics,
    scrub: ScrubMetrics,
}

/// The last cycle of garbage collection, and how many there were.
#[derive(Default)]
struct GcMetrics {
    cycles: Counter,
    failed: Counter,
    freed: Counter,
    seconds: Gauge<f64, std::sync::atomic::AtomicU64>,
    last: Gauge,
    resources: Family<LevelLabels, Gauge>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

/// An open connection; counted until dropped.
#[derive(Debug)]
pub(in crate::server) struct Connection(Gauge);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// A request at work; counted until dropped.
#[derive(Debug)]
pub(super) struct InFlight(Gauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn request_histogram() -> Histogram {
    Histogram::new(REQUEST_SECONDS)
}

fn storage_histogram() -> Histogram {
    Histogram::new(STORAGE_SECONDS)
}

impl Metrics {
    pub(super) fn new(version: &'static str) -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            requests: Family::default(),
            durations: Family::new_with_constructor(request_histogram),
            in_flight: Family::default(),
            received: Counter::default(),
            sent: Counter::default(),
            connections: Gauge::default(),
            accepted: Counter::default(),
            operations: Family::default(),
            operation_durations: Family::new_with_constructor(storage_histogram),
            dropped_lines: Counter::default(),
            gc: GcMetrics::default(),
            scrub: ScrubMetrics::default(),
        };
        metrics.register(version);
        metrics
    }

    fn register(&mut self, version: &'static str) {
        let mut ours = Registry::with_prefix("kiln_registry");
        let build = Info::new(vec![("version", version)]);
        ours.register("build", "The program that runs", build);
        let help = "Requests answered";
        ours.register("requests", help, self.requests.clone());
        let help = "From the head of a request to the end of its answer";
        ours.register("request_duration_seconds", help, self.durations.clone());
        let help = "Requests at work";
        ours.register("requests_in_flight", help, self.in_flight.clone());
        let help = "Bytes of request bodies";
        ours.register("received_bytes", help, self.received.clone());
        let help = "Bytes of answer bodies";
        ours.register("sent_bytes", help, self.sent.clone());
        ours.register("connections", "Open connections", self.connections.clone());
        let help = "Connections accepted";
        ours.register("connections_accepted", help, self.accepted.clone());
        let help = "Operations on the storage";
        ours.register("storage_operations", help, self.operations.clone());
        let durations = self.operation_durations.clone();
        let help = "How long operations on the storage took";
        ours.register("storage_operation_duration_seconds", help, durations);
        let help = "Lines of the access log that nobody took";
        let dropped = self.dropped_lines.clone();
        ours.register("access_log_dropped_lines", help, dropped);
        self.gc.register(&mut ours);
        self.scrub.register(&mut ours);
        ours.register_collector(Box::new(Process));
        self.registry = ours;
    }

    /// Returns all numbers as text.
    pub(super) fn text(&self) -> String {
        let mut out = String::new();
        // A string takes everything.
        text::encode(&mut out, &self.registry).ok();
        out
    }

    pub(super) fn dropped_lines(&self) -> Counter {
        self.dropped_lines.clone()
    }

    pub(super) fn connection(&self) -> Connection {
        self.accepted.inc();
        self.connections.inc();
        Connection(self.connections.clone())
    }

    pub(super) fn begin(&self, endpoint: &'static str) -> InFlight {
        let gauge = self
            .in_flight
            .get_or_create_owned(&EndpointLabels { endpoint });
        gauge.inc();
        InFlight(gauge)
    }

    pub(super) fn end(&self, labels: RequestLabels, took: Duration, (received, sent): (u64, u64)) {
        let endpoint = labels.endpoint;
        self.requests.get_or_create(&labels).inc();
        let durations = self.durations.get_or_create(&EndpointLabels { endpoint });
        durations.observe(took.as_secs_f64());
        self.received.inc_by(received);
        self.sent.inc_by(sent);
    }

    pub(super) fn operation(&self, operation: &'static str, outcome: &'static str, took: Duration) {
        let labels = OperationLabels { operation, outcome };
        self.operations.get_or_create(&labels).inc();
        let labels = DurationLabels { operation };
        let durations = self.operation_durations.get_or_create(&labels);
        durations.observe(took.as_secs_f64());
    }

    pub(super) fn collection_failed(&self) {
        self.gc.failed.inc();
    }

    pub(super) fn scrub_failed(&self) {
        self.scrub.failed();
    }

    pub(super) fn scrubbed(&self, report: &ScrubReport, took: Duration, now: u64) {
        self.scrub.ended(report, took, now);
    }

    pub(super) fn collected(&self, report: &GcReport, took: Duration, now: u64) {
        let gc = &self.gc;
        gc.cycles.inc();
        gc.freed.inc_by(report.bytes);
        gc.seconds.set(took.as_secs_f64());
        gc.last.set(whole(now));
        for (level, numbers) in [
            ("manifest", report.manifests),
            ("membership", report.memberships),
            ("content", report.contents),
        ] {
            gc.level(level, numbers);
        }
    }
}

impl GcMetrics {
    fn register(&self, registry: &mut Registry) {
        let help = "Cycles of garbage collection that came to their end";
        registry.register("gc_cycles", help, self.cycles.clone());
        let help = "Cycles of garbage collection that failed";
        registry.register("gc_failed_cycles", help, self.failed.clone());
        let help = "Bytes freed by garbage collection";
        registry.register("gc_freed_bytes", help, self.freed.clone());
        let help = "How long the last cycle of garbage collection took";
        registry.register("gc_duration_seconds", help, self.seconds.clone());
        let help = "When the last cycle of garbage collection came to its end";
        registry.register("gc_last_success_timestamp_seconds", help, self.last.clone());
        let help = "What the last cycle of garbage collection found";
        registry.register("gc_resources", help, self.resources.clone());
    }

    fn level(&self, level: &'static str, numbers: Level) {
        for (outcome, number) in [
            ("candidate", numbers.candidates),
            ("rescued", numbers.rescued),
            ("removed", numbers.killed),
        ] {
            let labels = LevelLabels { level, outcome };
            self.resources.get_or_create(&labels).set(whole(number));
        }
    }
}

pub(super) fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
