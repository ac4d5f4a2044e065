// SPDX-License-Identifier: Apache-2.0
//! What an operator sees of a server: numbers, lines about requests, whether it is well.
//!
//! Every request passes `watch` on its way in and its answer on its way out; `counted` wraps the
//! storage; `health` answers probes; `metrics` keeps the numbers and `log` writes the lines. [`serve`]
//! is the separate listener that Prometheus asks.
//!
//! Does not decide anything about requests.
//!
//! Invariants
//! 1. No label of a metric holds what a client sent: their number is fixed when the program is
//!    built.
//! 2. Nothing waits for a line to be written: lines that nobody takes are dropped, and counted.
//! 3. No credentials, signatures or tokens are in a line.

mod counted;
mod health;
mod log;
mod metrics;
mod process;
mod scrub;
mod serve;
#[cfg(test)]
mod tests;
mod watch;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

pub use log::{LogForm, LogSink, TakeLines};
pub use serve::serve;
pub(super) use watch::{Requester, watch};

use crate::storage::{Backend, Clock, GcReport, ScrubReport};
use counted::{CountedData, CountedMeta};
use health::Probe;
use log::AccessLog;
use metrics::{Connection, Metrics};

/// What hears of a cycle of garbage collection.
pub type HearReport = dyn Fn(&GcReport, Duration) + Send + Sync;

/// Hears what each cycle of garbage collection did, and how long it took.
#[derive(Clone)]
pub struct Collected(pub Arc<HearReport>);

impl fmt::Debug for Collected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Collected")
    }
}

/// What hears of a scrub.
pub type HearScrub = dyn Fn(&ScrubReport, Duration) + Send + Sync;

/// Hears what each scrub found, and how long it took.
#[derive(Clone)]
pub struct Scrubbed(pub Arc<HearScrub>);

impl fmt::Debug for Scrubbed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scrubbed")
    }
}

/// What a monitor is told before it starts.
#[derive(Clone, Debug)]
pub struct MonitorConfig {
    /// Tells the time.
    pub clock: Clock,
    /// The version of the program.
    pub version: &'static str,
    /// Lines about requests: their form, and where they go.
    pub access_log: Option<(LogForm, LogSink)>,
    /// A text that every answer of the API warns of: printable ASCII.
    /// Spec: distribution-spec §Warnings.
    pub warning: Option<String>,
    /// Hears about garbage collection; nobody unless replaced.
    pub collected: Collected,
    /// Hears about scrubs; nobody unless replaced.
    pub scrubbed: Scrubbed,
}

impl MonitorConfig {
    /// Returns the defaults: numbers alone.
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            version: env!("CARGO_PKG_VERSION"),
            access_log: None,
            warning: None,
            collected: Collected(Arc::new(|_, _| {})),
            scrubbed: Scrubbed(Arc::new(|_, _| {})),
        }
    }
}

/// Watches one server.
#[derive(Debug)]
pub struct Monitor {
    clock: Clock,
    warning: Option<http::HeaderValue>,
    collected: Collected,
    scrubbed: Scrubbed,
    metrics: Arc<Metrics>,
    log: Option<AccessLog>,
    draining: AtomicBool,
    probe: OnceLock<Probe>,
}

impl Monitor {
    /// Starts watching.
    pub fn new(config: MonitorConfig) -> Self {
        let metrics = Arc::new(Metrics::new(config.version));
        let log = config.access_log;
        Self {
            clock: config.clock,
            warning: config.warning.as_deref().and_then(watch::warning),
            collected: config.collected,
            scrubbed: config.scrubbed,
            log: log.map(|(form, sink)| AccessLog::start(form, sink, metrics.dropped_lines())),
            metrics,
            draining: AtomicBool::new(false),
            probe: OnceLock::new(),
        }
    }

    /// Returns `backend` with every operation counted; probes ask it from now on.
    pub(super) fn over(&self, backend: Backend) -> Backend {
        let meta = Arc::new(CountedMeta::new(backend.meta, Arc::clone(&self.metrics)));
        let counted = Backend {
            data: Arc::new(CountedData::new(backend.data, Arc::clone(&self.metrics))),
            meta,
        };
        // A second server under one monitor leaves the first's probe in place.
        drop(self.probe.set(Probe::new(Arc::clone(&counted.meta))));
        counted
    }

    /// Says from now on that the server is not ready.
    pub(super) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Counts a connection until the value is dropped.
    pub(super) fn connection(&self) -> Connection {
        self.metrics.connection()
    }

    /// Notes what a cycle of garbage collection did.
    pub(super) fn collected(&self, report: &GcReport, took: Duration) {
        self.metrics.collected(report, took, self.clock.seconds());
        (self.collected.0)(report, took);
    }

    /// Notes that a cycle of garbage collection failed.
    pub(super) fn collection_failed(&self) {
        self.metrics.collection_failed();
    }

    /// Notes what a scrub found.
    pub(super) fn scrubbed(&self, report: &ScrubReport, took: Duration) {
        self.metrics.scrubbed(report, took, self.clock.seconds());
        (self.scrubbed.0)(report, took);
    }

    /// Notes that a scrub failed.
    pub(super) fn scrub_failed(&self) {
        self.metrics.scrub_failed();
    }

    /// Writes the lines that wait; later ones are dropped.
    pub(super) fn close(&self) {
        if let Some(log) = &self.log {
            log.close();
        }
    }

    fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}
