// SPDX-License-Identifier: Apache-2.0
//! Probes: `/healthz` (the process answers) and `/readyz` (requests would succeed).
//!
//! Both lie outside `/v2/`, where no repository can be; they need no credentials and say one word.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderValue, Method, StatusCode, header};
use tokio::time::{Instant, timeout};

use super::Monitor;
use crate::server::answer::{Answer, empty, whole};
use crate::storage::{Meta, key};

/// How long one look at the storage counts. Ours: probes need no credentials, so that however many
/// come, the storage is asked once.
const FRESH: Duration = Duration::from_secs(1);
/// How long the storage may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks the storage whether it answers.
#[derive(Debug)]
pub(super) struct Probe {
    meta: Arc<dyn Meta>,
    last: Mutex<Option<(Instant, bool)>>,
}

impl Probe {
    pub(super) fn new(meta: Arc<dyn Meta>) -> Self {
        Self {
            meta,
            last: Mutex::new(None),
        }
    }

    async fn is_well(&self) -> bool {
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, was_well)) = last
            && at.elapsed() < FRESH
        {
            return was_well;
        }
        let asked = timeout(PATIENCE, self.meta.get(key::INSTANCE)).await;
        let is_well = matches!(asked, Ok(Ok(_)));
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Some((Instant::now(), is_well));
        is_well
    }
}

/// Answers a probe; none if `path` is not one.
pub(super) async fn answer(monitor: &Monitor, method: &Method, path: &str) -> Option<Answer> {
    let is_well = match path {
        "/healthz" => true,
        "/readyz" => is_ready(monitor).await,
        _ => return None,
    };
    if !matches!(*method, Method::GET | Method::HEAD) {
        let mut answer = empty(StatusCode::METHOD_NOT_ALLOWED);
        let allowed = HeaderValue::from_static("GET, HEAD");
        answer.headers_mut().insert(header::ALLOW, allowed);
        return Some(answer);
    }
    let mut answer = if is_well {
        whole("text/plain", "ok\n")
    } else {
        let mut answer = whole("text/plain", "unavailable\n");
        *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        answer
    };
    let never = HeaderValue::from_static("no-store");
    answer.headers_mut().insert(header::CACHE_CONTROL, never);
    Some(answer)
}

async fn is_ready(monitor: &Monitor) -> bool {
    if monitor.is_draining() {
        return false;
    }
    match monitor.probe.get() {
        Some(probe) => probe.is_well().await,
        None => false,
    }
}
