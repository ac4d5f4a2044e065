// SPDX-License-Identifier: Apache-2.0
//! The listener for Prometheus and probes, apart from the one for clients.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use http::{Method, Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::{Monitor, health};
use crate::server::answer::{Answer, empty, whole};

/// Connections at once; more wait.
const CONNECTIONS_MAX: usize = 64;
/// How long the head of a request may take.
const HEAD: Duration = Duration::from_secs(10);
/// How long a connection may last.
const CONNECTION: Duration = Duration::from_mins(10);
/// How long to wait after a connection could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The format. Docs: `OpenMetrics` 1.0.
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Answers `/metrics`, `/healthz` and `/readyz` on `listener` until dropped.
///
/// # Cancellation
///
/// Nothing stays behind.
pub async fn serve(monitor: Arc<Monitor>, listener: TcpListener) {
    let router = Router::new().fallback(handle).with_state(monitor);
    let service = TowerToHyperService::new(router);
    let mut builder = auto::Builder::new(TokioExecutor::new()).http1_only();
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD);
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    // Ends with this future, and its connections with it.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let Ok((stream, _)) = listener.accept().await else {
            sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let connection = builder.serve_connection(TokioIo::new(stream), service.clone());
        let connection = connection.into_owned();
        connections.spawn(async move {
            drop(timeout(CONNECTION, connection).await);
            drop(place);
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn handle(State(monitor): State<Arc<Monitor>>, request: Request<axum::body::Body>) -> Answer {
    let (method, path) = (request.method(), request.uri().path());
    if let Some(answer) = health::answer(&monitor, method, path).await {
        return answer;
    }
    match (method, path) {
        (&Method::GET | &Method::HEAD, "/metrics") => whole(CONTENT_TYPE, monitor.metrics.text()),
        (_, "/metrics") => empty(StatusCode::METHOD_NOT_ALLOWED),
        _ => empty(StatusCode::NOT_FOUND),
    }
}
