// SPDX-License-Identifier: Apache-2.0
//! What a server is told before it starts.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::auth::AuthConfig;
use super::monitor::{Monitor, MonitorConfig};
use super::tls::TlsConfig;
use crate::storage::{Backend, Clock, GcPolicy, ScrubPolicy, SparsePolicy};

/// Hears about faults that were answered with a status of 500 and above, and about those that no
/// request sees.
#[derive(Clone)]
pub struct Reporter(pub Arc<Hear>);

/// Takes one fault.
type Hear = dyn Fn(&(dyn std::error::Error + 'static)) + Send + Sync;

impl fmt::Debug for Reporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reporter")
    }
}

/// Bounds on what clients may make the server do.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at once; more wait to be accepted.
    pub connections_max: usize,
    /// Requests without answer at once, over all connections; more are told to come back.
    pub requests_max: usize,
    /// Requests at once on one connection of HTTP/2.
    pub streams_max: u32,
    /// TLS handshakes at once; more wait.
    pub handshakes_max: usize,
    /// How long a TLS handshake may take, with the wait for it.
    pub handshake: Duration,
    /// The largest manifest. Spec: distribution-spec §Pushing Manifests (4 MiB at least).
    pub manifest_max_bytes: usize,
    /// The longest path and query; 414 above.
    pub uri_max_bytes: usize,
    /// The most header fields; 431 above.
    pub headers_max: usize,
    /// The most bytes of all header fields, as HTTP/2 counts them; 431 above. Ours: a token and
    /// fifty tags fit several times.
    pub headers_max_bytes: usize,
    /// The most references of one manifest. Ours: real ones stay under a few hundred.
    pub references_max: usize,
    /// How many `tag` parameters one request may have. Spec: distribution-spec (development)
    /// §Pushing Manifests: at least 10, and 414 above the registry's own limit.
    pub tags_max: usize,
    /// The largest blob, if there is a bound; 413 above.
    pub upload_max_bytes: Option<u64>,
    /// How long the next piece of a request body may take.
    pub body_idle: Duration,
    /// How long a client may take nothing of an answer.
    pub write_idle: Duration,
    /// How long the head of a request may take, and how long an idle connection stays.
    pub head: Duration,
    /// How long running requests may take after shutdown was asked for.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 16_384,
            requests_max: 16_384,
            streams_max: 100,
            handshakes_max: 1024,
            handshake: Duration::from_secs(10),
            manifest_max_bytes: oci::Document::SIZE_MAX_BYTES,
            uri_max_bytes: 16 << 10,
            headers_max: 100,
            headers_max_bytes: 64 << 10,
            references_max: 20_000,
            tags_max: 50,
            upload_max_bytes: None,
            body_idle: Duration::from_mins(1),
            write_idle: Duration::from_mins(1),
            head: Duration::from_mins(1),
            drain: Duration::from_secs(30),
        }
    }
}

/// When garbage is collected while the server runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GcSchedule {
    /// How long after one cycle the next begins, of whichever replica, also across restarts.
    pub every: Duration,
    /// What goes. Every seventh cycle is thorough.
    pub policy: GcPolicy,
}

/// When the server looks for damage while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScrubSchedule {
    /// How long after one scrub the next begins, of whichever replica, also across restarts.
    pub every: Duration,
    /// How closely to look, how fast, and whether to mend.
    pub policy: ScrubPolicy,
}

/// A server's configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the state lies.
    pub storage: Backend,
    /// Tells the time.
    pub clock: Clock,
    /// Who may do what; everybody everything unless set.
    pub auth: Option<AuthConfig>,
    /// Which manifests may refer to what is not there.
    pub sparse: SparsePolicy,
    /// Whether blobs, manifests and tags may be deleted.
    pub deletes: bool,
    /// Certificate and key; plain HTTP without.
    pub tls: Option<TlsConfig>,
    /// Whether HTTP/2 is spoken, beside HTTP/1.1.
    pub http2: bool,
    /// Bounds.
    pub limits: Limits,
    /// When garbage is collected; never unless set.
    pub gc: Option<GcSchedule>,
    /// When the server looks for damage; never unless set.
    pub scrub: Option<ScrubSchedule>,
    /// Watches the server; numbers alone unless replaced.
    pub monitor: Arc<Monitor>,
    /// Hears about faults; nobody unless replaced.
    pub report: Reporter,
}

impl Config {
    /// Returns the defaults: open to everybody, deletes allowed.
    pub fn new(storage: Backend, clock: Clock) -> Self {
        Self {
            storage,
            clock,
            auth: None,
            sparse: SparsePolicy::default(),
            deletes: true,
            tls: None,
            http2: true,
            limits: Limits::default(),
            gc: None,
            scrub: None,
            monitor: Arc::new(Monitor::new(MonitorConfig::new(clock))),
            report: Reporter(Arc::new(|_| {})),
        }
    }
}
