// SPDX-License-Identifier: Apache-2.0
//! The loop that accepts connections, from start to drained.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::{Extension, Router};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::config::{Config, GcSchedule};
use super::connection::Connection;
use super::monitor::Remote;
use super::route::{self, App};
use crate::storage::{Backend, Clock, GcPolicy, GcReport, SparsePolicy, StorageError, Store};

/// How often expired uploads are removed.
const PURGE_EVERY: Duration = Duration::from_hours(1);
/// Every how many cycles of garbage collection one looks at everything.
const THOROUGH_EVERY: u64 = 7;
/// How long to wait after a connection could not be accepted, mostly for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How much of a request is read at once.
const READ_MAX_BYTES: usize = 256 << 10;

/// Why a server did not start, or stopped on its own.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The state could not be opened.
    #[error("cannot open the registry's storage")]
    Storage(#[from] StorageError),
    /// Requests were still running when the time to finish was over.
    #[error("requests were cut off after {0:?}")]
    CutOff(Duration),
}

/// Serves a registry on `listener` until `shutdown` is ready; then lets running requests finish.
///
/// # Errors
///
/// [`ServeError::Storage`] before the first connection is accepted, [`ServeError::CutOff`] at the
/// end.
///
/// # Cancellation
///
/// Dropping the future cuts connections; whatever was acknowledged is durable, and the storage is
/// released once requests that change something have ended.
pub async fn serve(
    config: Config,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    let drain = config.limits.drain;
    let app = Arc::new(open(config).await?);
    app.store.sweep_sessions().await?;
    let graceful = GracefulShutdown::new();
    let connections = TaskTracker::new();
    let stop = CancellationToken::new();
    if let Some(schedule) = app.config.gc {
        let collector = collect_again_and_again(Arc::clone(&app), schedule);
        app.changes
            .spawn(stop.clone().run_until_cancelled_owned(collector));
    }
    accept(&app, listener, shutdown, &graceful, &connections).await;
    app.config.monitor.drain();
    // A cycle may stop anywhere; the next one goes on.
    stop.cancel();
    let drained = timeout(drain, async {
        graceful.shutdown().await;
        connections.close();
        connections.wait().await;
        app.changes.close();
        app.changes.wait().await;
    });
    let drained = drained.await;
    app.config.monitor.close();
    drained.map_err(|_| ServeError::CutOff(drain))
}

/// Collects garbage once in a registry.
///
/// # Errors
///
/// [`ServeError::Storage`].
///
/// # Cancellation
///
/// See [`Store::collect`].
pub async fn collect(
    storage: Backend,
    clock: Clock,
    policy: &GcPolicy,
) -> Result<GcReport, ServeError> {
    let store = Store::open(storage, clock, SparsePolicy::default()).await?;
    Ok(store.collect(policy).await?)
}

async fn collect_again_and_again(app: Arc<App>, schedule: GcSchedule) {
    for cycle in 1_u64.. {
        sleep(schedule.every).await;
        let policy = GcPolicy {
            thorough: cycle.is_multiple_of(THOROUGH_EVERY),
            ..schedule.policy
        };
        let start = Instant::now();
        let monitor = &app.config.monitor;
        match app.store.collect(&policy).await {
            Ok(report) => monitor.collected(&report, start.elapsed()),
            Err(error) => {
                monitor.collection_failed();
                (app.config.report.0)(&error);
            }
        }
    }
}

async fn open(config: Config) -> Result<App, StorageError> {
    let storage = config.monitor.over(config.storage.clone());
    let store = Store::open(storage, config.clock, config.sparse).await?;
    Ok(App {
        store,
        config,
        changes: TaskTracker::new(),
    })
}

async fn accept(
    app: &Arc<App>,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send,
    graceful: &GracefulShutdown,
    connections: &TaskTracker,
) {
    let router = Router::new().fallback(route::handle);
    let router = router.with_state(Arc::clone(app));
    let builder = builder(app.config.limits.head);
    let places = Arc::new(Semaphore::new(app.config.limits.connections_max));
    let mut purge = interval(PURGE_EVERY);
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let stream = tokio::select! {
            () = shutdown.as_mut() => return,
            _ = purge.tick() => {
                spawn_purge(app);
                continue;
            }
            stream = next(&listener, &places) => stream,
        };
        let Some((stream, remote, place)) = stream else {
            continue;
        };
        let service = router.clone().layer(Extension(Remote(remote)));
        let service = TowerToHyperService::new(service);
        let counted = app.config.monitor.connection();
        let stream = Connection::new(stream, app.config.limits.write_idle);
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        let connection = graceful.watch(connection.into_owned());
        connections.spawn(async move {
            // Whatever breaks a connection is the client's affair: it has seen it too.
            drop(connection.await);
            drop((place, counted));
        });
    }
}

/// The connection builder: HTTP/1.1 here, HTTP/2 by leaving out one line and naming its feature.
fn builder(head: Duration) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new()).http1_only();
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(head)
        .max_buf_size(READ_MAX_BYTES);
    builder
}

async fn next(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    let Ok((stream, remote)) = listener.accept().await else {
        sleep(ACCEPT_PAUSE).await;
        return None;
    };
    // Answers are written in one piece; waiting to fill a packet only delays them. A connection
    // that is gone already fails at its first read.
    drop(stream.set_nodelay(true));
    Some((stream, remote, place))
}

fn spawn_purge(app: &Arc<App>) {
    let purged = Arc::clone(app);
    app.changes.spawn(async move {
        if let Err(error) = purged.store.purge_sessions().await {
            (purged.config.report.0)(&error);
        }
    });
}
