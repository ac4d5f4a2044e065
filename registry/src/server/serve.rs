// SPDX-License-Identifier: Apache-2.0
//! The loop that accepts connections, from start to drained.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use tokio::time::{interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::accept::Door;
use super::access::{Access, AllowAll};
use super::auth::{AuthError, Cursor, Gate};
use super::config::Config;
use super::route::App;
use super::schedule::{collect_again_and_again, scrub_again_and_again};
use super::tls::{LOOK_EVERY, Tls, TlsError};
use crate::storage::{Backend, Clock, GcPolicy, GcReport, SparsePolicy, StorageError, Store};

/// How often expired uploads are removed.
const PURGE_EVERY: Duration = Duration::from_hours(1);
/// How long to wait after a connection could not be accepted, mostly for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why a server did not start, or stopped on its own.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The state could not be opened.
    #[error("cannot open the registry's storage")]
    Storage(#[from] StorageError),
    /// The certificate or its key cannot be used.
    #[error("cannot speak TLS")]
    Tls(#[from] TlsError),
    /// Access control cannot work as configured.
    #[error("cannot set up access control")]
    Auth(#[from] AuthError),
    /// Requests were still running when the time to finish was over.
    #[error("requests were cut off after {0:?}")]
    CutOff(Duration),
}

/// Serves a registry on `listener` until `shutdown` is ready; then lets running requests finish.
///
/// # Errors
///
/// [`ServeError::Storage`], [`ServeError::Auth`] and [`ServeError::Tls`] before the first connection is accepted,
/// [`ServeError::CutOff`] at the end.
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
    let tls = match app.config.tls.clone() {
        Some(mut tls) => {
            tls.http2 &= app.config.http2;
            Some(Arc::new(Tls::open(tls, app.config.clock)?))
        }
        None => None,
    };
    let stop = CancellationToken::new();
    // Also when nobody waits for the end of this.
    let _stops = stop.clone().drop_guard();
    start_chores(&app, tls.as_ref(), &stop);
    let connections = TaskTracker::new();
    let door = Arc::new(Door::new(Arc::clone(&app), tls, stop.clone()));
    accept(&app, &door, listener, shutdown, &connections).await;
    app.config.monitor.drain();
    // A cycle of collection or a scrub may stop anywhere; the next one goes on.
    stop.cancel();
    let drained = timeout(drain, async {
        connections.close();
        connections.wait().await;
        app.changes.close();
        app.changes.wait().await;
    });
    let drained = drained.await;
    app.config.monitor.close();
    drained.map_err(|_| ServeError::CutOff(drain))
}

/// What goes on beside the requests.
type Chore = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Starts what goes on beside the requests, until `stop` is cancelled.
fn start_chores(app: &Arc<App>, tls: Option<&Arc<Tls>>, stop: &CancellationToken) {
    let until_stopped = |chore: Chore| stop.clone().run_until_cancelled_owned(chore);
    let spawn = |chore: Chore| drop(app.changes.spawn(until_stopped(chore)));
    // When these are due they do a good deal between two waits for the store. Requests on the same
    // worker would wait behind that; among threads the kernel divides the processor.
    let spawn_apart = |chore: Chore| {
        let (runtime, chore) = (Handle::current(), until_stopped(chore));
        drop(app.changes.spawn_blocking(move || runtime.block_on(chore)));
    };
    spawn(Box::pin(purge_again_and_again(Arc::clone(app))));
    if let Some(schedule) = app.config.gc {
        spawn_apart(Box::pin(collect_again_and_again(Arc::clone(app), schedule)));
    }
    if let Some(schedule) = app.config.scrub {
        spawn_apart(Box::pin(scrub_again_and_again(Arc::clone(app), schedule)));
    }
    if let Some(tls) = tls {
        spawn(Box::pin(reload_again_and_again(
            Arc::clone(app),
            Arc::clone(tls),
        )));
    }
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

async fn open(config: Config) -> Result<App, ServeError> {
    let storage = config.monitor.over(config.storage.clone());
    let store = Store::open(storage, config.clock, config.sparse).await?;
    let access: Arc<dyn Access> = match &config.auth {
        Some(auth) => Arc::new(Gate::open(auth, &store, config.report.clone())?),
        None => Arc::new(AllowAll),
    };
    Ok(App {
        access,
        cursor: Cursor::new(&store),
        store,
        config,
        changes: TaskTracker::new(),
    })
}

/// Accepts connections until `shutdown` is ready.
async fn accept(
    app: &App,
    door: &Arc<Door>,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send,
    connections: &TaskTracker,
) {
    let places = Arc::new(Semaphore::new(app.config.limits.connections_max));
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = shutdown.as_mut() => return,
            accepted = next(&listener, &places) => accepted,
        };
        let Some((stream, address, place)) = accepted else {
            continue;
        };
        let door = Arc::clone(door);
        let counted = app.config.monitor.connection();
        connections.spawn(async move {
            door.serve(stream, address).await;
            drop((place, counted));
        });
    }
}

async fn next(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    let Ok((stream, address)) = listener.accept().await else {
        sleep(ACCEPT_PAUSE).await;
        return None;
    };
    // Answers are written in one piece; waiting to fill a packet only delays them. A connection
    // that is gone already fails at its first read.
    drop(stream.set_nodelay(true));
    Some((stream, address, place))
}

/// Looks at the files of TLS again and again.
async fn reload_again_and_again(app: Arc<App>, tls: Arc<Tls>) {
    let mut looks = interval(LOOK_EVERY);
    loop {
        looks.tick().await;
        let reloader = Arc::clone(&tls);
        if let Ok(Err(error)) = spawn_blocking(move || reloader.reload()).await {
            (app.config.report.0)(&error);
        }
        if let Some(warning) = tls.warning() {
            (app.config.report.0)(&warning);
        }
    }
}

async fn purge_again_and_again(app: Arc<App>) {
    let mut purge = interval(PURGE_EVERY);
    loop {
        purge.tick().await;
        if let Err(error) = app.store.purge_sessions().await {
            (app.config.report.0)(&error);
        }
    }
}
