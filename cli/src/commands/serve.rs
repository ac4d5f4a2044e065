// SPDX-License-Identifier: Apache-2.0
//! `kiln registry serve`: settings become the configurations of the server's parts.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use registry::server::auth::AuthConfig;
use registry::server::monitor::{self, LogForm, LogSink, Monitor, MonitorConfig};
use registry::server::{
    self, Config, GcSchedule, Limits, Reporter, ScrubSchedule, TlsConfig, TlsVersion,
};
use registry::settings::sections::{self, AccessLog, Auth, Gc, Level, Scrub, Sparse};
use registry::settings::{Problem, Settings};
use registry::storage::{Clock, GcPolicy, ScrubLevel, ScrubPolicy, SparsePolicy};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::registry_access::access;
use super::registry_settings::{self, flags_of, refused};
use super::registry_state::State;
use super::registry_told::{told_of_gc, told_of_scrub};
use crate::args::registry::ServeArgs;
use crate::environment;
use crate::report::{self, Exit, Failure};
use crate::session::{self, Session};

/// Serves until SIGINT or SIGTERM.
pub(crate) fn run(args: &ServeArgs, session: &Session) -> Result<(), Failure> {
    let found = registry_settings::resolve(&args.source, flags_of(args), session)?;
    let settings = found.effective.settings;
    let parts = configure(&settings, Some(session.root()))?;
    warn(&settings);
    raise_descriptors();
    let clock = Clock(environment::now);
    let monitor = Arc::new(Monitor::new(parts.monitor));
    let scheme = if parts.tls.is_some() { "https" } else { "http" };
    session::block_on(|cancel| async move {
        let mut config = Config::new(parts.state.open(clock).await?, clock);
        config.sparse = parts.sparse;
        config.deletes = settings.storage.deletes;
        config.limits = parts.limits;
        config.auth = parts.auth;
        config.tls = parts.tls;
        config.http2 = settings.http.http2;
        config.gc = parts.gc;
        config.scrub = parts.scrub;
        config.monitor = Arc::clone(&monitor);
        config.report = reporter(settings.log.level);
        let listener = listen(settings.http.address).await?;
        let address = listener.local_addr().unwrap_or(settings.http.address);
        let stop = CancellationToken::new();
        let _stopped_last = stop.clone().drop_guard();
        if let Some(address) = settings.metrics.address {
            let listener = listen(address).await?;
            let address = listener.local_addr().unwrap_or(address);
            report::print(&format!("metrics on http://{address}/metrics\n"))?;
            let metrics = monitor::serve(Arc::clone(&monitor), listener);
            tokio::spawn(stop.run_until_cancelled_owned(metrics));
        }
        let shown = parts.state.shown();
        report::print(&format!(
            "registry on {scheme}://{address}, content in {shown}\n"
        ))?;
        server::serve(config, listener, cancel.cancelled_owned()).await?;
        Ok(())
    })
}

/// What settings become, apart from what must be opened.
#[derive(Debug)]
pub(crate) struct Parts {
    state: State,
    pub(crate) tls: Option<TlsConfig>,
    sparse: SparsePolicy,
    limits: Limits,
    pub(crate) auth: Option<AuthConfig>,
    gc: Option<GcSchedule>,
    scrub: Option<ScrubSchedule>,
    monitor: MonitorConfig,
}

/// Turns settings into configurations; `root` is the state directory of the program.
pub(crate) fn configure(settings: &Settings, root: Option<&Path>) -> Result<Parts, Failure> {
    Ok(Parts {
        state: State::of(settings, root)?,
        tls: tls(&settings.tls)?,
        sparse: match settings.storage.sparse {
            Sparse::Strict => SparsePolicy::Strict,
            Sparse::Index => SparsePolicy::Index,
            Sparse::All => SparsePolicy::All,
        },
        limits: limits(settings),
        auth: access(settings).map_err(|problems| refused(&problems))?,
        gc: schedule(&settings.gc),
        scrub: scrub_schedule(&settings.scrub),
        monitor: monitor_config(settings),
    })
}

/// Returns the policy of garbage collection.
pub(crate) fn policy(gc: &Gc) -> GcPolicy {
    GcPolicy {
        grace_seconds: gc.grace.0.as_secs(),
        untagged_seconds: gc.untagged.map(|untagged| untagged.0.as_secs()),
        ..GcPolicy::default()
    }
}

fn schedule(gc: &Gc) -> Option<GcSchedule> {
    let every = gc.every.0;
    let policy = policy(gc);
    (!every.is_zero()).then_some(GcSchedule { every, policy })
}

fn scrub_schedule(scrub: &Scrub) -> Option<ScrubSchedule> {
    let every = scrub.every.0;
    let policy = ScrubPolicy {
        level: match scrub.level {
            sections::ScrubLevel::Names => ScrubLevel::Names,
            sections::ScrubLevel::Sizes => ScrubLevel::Sizes,
            sections::ScrubLevel::Bytes => ScrubLevel::Bytes,
        },
        bytes_per_second: Some(scrub.rate.0).filter(|rate| *rate > 0),
        bytes_max: scrub.max_bytes.map(|max| max.0),
        grace_seconds: scrub.grace.0.as_secs(),
        dry_run: !scrub.mend,
    };
    (!every.is_zero()).then_some(ScrubSchedule { every, policy })
}

fn limits(settings: &Settings) -> Limits {
    let limits = &settings.limits;
    Limits {
        connections_max: limits.connections,
        requests_max: limits.requests,
        streams_max: limits.streams,
        handshakes_max: limits.handshakes,
        handshake: limits.handshake.0,
        uri_max_bytes: limits.uri.bytes(),
        headers_max: limits.headers,
        headers_max_bytes: limits.header_size.bytes(),
        manifest_max_bytes: limits.manifest.bytes(),
        references_max: limits.references,
        tags_max: limits.tags,
        upload_max_bytes: limits.upload.map(|limit| limit.0),
        body_idle: limits.body_idle.0,
        write_idle: limits.write_idle.0,
        head: limits.head.0,
        drain: settings.http.drain.0,
    }
}

/// Returns how TLS is spoken; none without a certificate.
fn tls(settings: &sections::Tls) -> Result<Option<TlsConfig>, Failure> {
    let (Some(certificate), Some(key)) = (&settings.certificate, &settings.key) else {
        if *settings == sections::Tls::default() {
            return Ok(None);
        }
        let message = "`tls.certificate` and `tls.key` belong together";
        return Err(refused(&[Problem::new(message)]));
    };
    let mut config = TlsConfig::new(certificate, key);
    config.min_version = match settings.min_version {
        sections::TlsVersion::V1_2 => TlsVersion::V1_2,
        sections::TlsVersion::V1_3 => TlsVersion::V1_3,
    };
    config.client_ca.clone_from(&settings.client_ca);
    Ok(Some(config))
}

/// Allows as many descriptors as the system lets us have: each connection is one, each blob being
/// read or written another, and each directory of blobs stays open. What starts us often allows
/// 1024, for the sake of programs that call `select`; the hard limit is the operator's word.
fn raise_descriptors() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    // Where that is forbidden the limit is what it was: connections wait to be accepted.
    setrlimit(Resource::Nofile, raised).ok();
}

fn warn(settings: &Settings) {
    let is_open = settings.auth == Auth::default();
    if is_open && !settings.http.address.ip().is_loopback() && settings.log.level >= Level::Warn {
        report::remark(
            "warning: everybody who reaches this address can read and write all images\n",
        );
    }
}

fn reporter(level: Level) -> Reporter {
    Reporter(Arc::new(move |error| {
        if level >= Level::Error {
            report::remark(&Failure::from_error(Exit::Store, error).render(false));
        }
    }))
}

fn monitor_config(settings: &Settings) -> MonitorConfig {
    let form = match settings.log.access {
        AccessLog::Off => None,
        AccessLog::Text => Some(LogForm::Text),
        AccessLog::Json => Some(LogForm::Json),
    };
    let sink = LogSink(Arc::new(|lines| {
        let mut out = std::io::stdout().lock();
        out.write_all(lines)?;
        out.flush()
    }));
    let mut config = MonitorConfig::new(Clock(environment::now));
    config.version = env!("CARGO_PKG_VERSION");
    config.access_log = form.map(|form| (form, sink));
    config.warning.clone_from(&settings.http.warning);
    let level = settings.log.level;
    config.scrubbed = monitor::Scrubbed(Arc::new(move |report, took| {
        report::remark(&told_of_scrub(report, took, level));
    }));
    if level >= Level::Info {
        config.collected = monitor::Collected(Arc::new(|report, took| {
            report::remark(&told_of_gc(report, took));
        }));
    }
    config
}

async fn listen(address: std::net::SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| {
        let message = format!("cannot listen on {address}");
        Failure::new(Exit::Network, message).because(Some(&error))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_has_all_descriptors_that_it_may_have() {
        let before = getrlimit(Resource::Nofile);
        let most = before.maximum.expect("systems have a bound");
        let few = Rlimit {
            current: Some(most - 1),
            ..before
        };
        setrlimit(Resource::Nofile, few).unwrap();
        raise_descriptors();
        assert_eq!(getrlimit(Resource::Nofile).current, Some(most));
    }
}
