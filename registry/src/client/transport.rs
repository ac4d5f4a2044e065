// SPDX-License-Identifier: Apache-2.0
//! Requests to one registry: where it is, how it is reached, and when to try again.
//!
//! Rules
//! 1. `docker.io` is at `registry-1.docker.io`.
//! 2. A registry on loopback is asked by plain HTTP first and by HTTPS if that is not understood;
//!    every other one by HTTPS unless the configuration says `http = true`. Docs: docker treats
//!    127.0.0.0/8 as insecure registries without configuration.
//! 3. `Authorization` goes to the registry's own origin and to nobody else, neither by redirect
//!    nor by an upload location.
//! 4. 429 and 5xx and broken connections are tried again a limited number of times, with growing
//!    pauses or the pause that `Retry-After` asks for; a 401 once, with a new token.
//! 5. Blobs of one registry come over a limited number of connections, whichever pull wants them.
//! 6. Loopback never goes through a proxy; everything else as `HTTP_PROXY` and its kin say.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{AUTHORIZATION, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use reqwest::{Certificate, Client as Http, Response};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};
use url::Url;

use super::auth::Auth;
use super::body::FileBody;
use super::challenge::Scope;
use super::config::{ClientConfig, RegistryConfig};
use super::error::{ApiError, CallError, TransportError};

/// How often a failed request is repeated.
const RETRIES_MAX: u32 = 5;
/// How often a failed request to a mirror is repeated: the next host is waiting.
const MIRROR_RETRIES_MAX: u32 = 1;
/// The longest pause between two tries of our own making.
const WAIT_MAX: Duration = Duration::from_secs(10);
/// The longest pause that a registry may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_mins(1);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a registry on loopback may take to answer the first question.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the answer to a request without a large body may take to begin.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_mins(1);
/// How long a small body may take as a whole, and a large one between two parts.
pub(super) const BODY_TIMEOUT: Duration = Duration::from_mins(1);
/// How long bytes may stay unacknowledged before the connection counts as dead.
const UNACKNOWLEDGED_TIMEOUT: Duration = Duration::from_mins(1);
/// The largest body of an answer that failed which is read, in bytes.
const ERROR_BODY_MAX_BYTES: usize = 64 << 10;

/// One registry, or one mirror of it.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    host: Box<str>,
    base: Url,
    http: Http,
    retries_max: u32,
    /// One permit for each connection that may fetch a blob.
    slots: Arc<Semaphore>,
    /// It answered a range with another.
    wrong_ranges: Arc<AtomicBool>,
}

/// The right to fetch from a registry over one connection, until dropped.
pub(super) type Slot = OwnedSemaphorePermit;

impl Endpoint {
    /// Returns the host as references name it, under which credentials are kept.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// Returns scheme, host and port, with the path `/`.
    pub(super) fn base(&self) -> &Url {
        &self.base
    }

    pub(super) fn http(&self) -> &Http {
        &self.http
    }

    /// Waits until one more connection may fetch. Who waits longest is next.
    pub(super) async fn slot(&self) -> Slot {
        let slot = Arc::clone(&self.slots).acquire_owned().await;
        slot.expect("nobody closes the semaphore")
    }

    /// Tells whether ranges may be asked for.
    pub(super) fn gives_ranges(&self) -> bool {
        !self.wrong_ranges.load(Ordering::Relaxed)
    }

    /// Remembers that the answer to a range was not that range.
    pub(super) fn distrust_ranges(&self) {
        self.wrong_ranges.store(true, Ordering::Relaxed);
    }

    /// Returns the URL of an absolute path of the protocol.
    pub(super) fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(path);
        url
    }
}

/// One request, which can be sent several times.
#[derive(Debug)]
pub(super) struct Call<'a> {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) body: CallBody,
    pub(super) scopes: &'a [Scope],
}

#[derive(Debug)]
pub(super) enum CallBody {
    Empty,
    Bytes(Bytes),
    /// Part of a file. Broken connections are then the caller's business, who knows how to resume.
    File(FileBody),
}

impl<'a> Call<'a> {
    pub(super) fn new(method: Method, url: Url, scopes: &'a [Scope]) -> Self {
        Self {
            method,
            url,
            headers: Vec::new(),
            body: CallBody::Empty,
            scopes,
        }
    }

    pub(super) fn header(mut self, name: HeaderName, value: &str) -> Self {
        // What is not printable was taken from an answer of the registry; it gets none back.
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((name, value));
        }
        self
    }
}

/// Sends [`Call`]s.
#[derive(Debug)]
pub(super) struct Transport {
    config: ClientConfig,
    proxied: Http,
    direct: Http,
    auth: Auth,
    endpoints: Mutex<BTreeMap<String, Endpoint>>,
}

impl Transport {
    pub(super) fn new(config: ClientConfig) -> Result<Self, TransportError> {
        let roots = certificates(&config.roots_pem)?;
        let build =
            |builder: reqwest::ClientBuilder| builder.build().map_err(TransportError::SetUp);
        Ok(Self {
            proxied: build(builder(roots.clone()))?,
            direct: build(builder(roots).no_proxy())?,
            auth: Auth::new(config.credentials.clone()),
            endpoints: Mutex::default(),
            config,
        })
    }

    pub(super) fn web(&self) -> &Http {
        &self.proxied
    }

    pub(super) fn config(&self) -> &ClientConfig {
        &self.config
    }

    /// Returns the registry of `host`, after finding out how to talk to it.
    pub(super) async fn endpoint(&self, host: &str) -> Result<Endpoint, CallError> {
        let mut endpoints = self.endpoints.lock().await;
        if let Some(endpoint) = endpoints.get(host) {
            return Ok(endpoint.clone());
        }
        let endpoint = self.locate(host).await?;
        endpoints.insert(host.to_owned(), endpoint.clone());
        Ok(endpoint)
    }

    /// Returns the mirrors that the configuration names for `host`.
    pub(super) fn mirrors(&self, host: &str) -> &[String] {
        let registry = self.config.registries.get(host);
        registry.map_or(&[], |registry| &registry.mirrors)
    }

    /// Returns the endpoint of a mirror.
    pub(super) async fn mirror(&self, host: &str) -> Result<Endpoint, CallError> {
        let mut endpoint = self.endpoint(host).await?;
        endpoint.retries_max = MIRROR_RETRIES_MAX;
        Ok(endpoint)
    }

    async fn locate(&self, host: &str) -> Result<Endpoint, CallError> {
        let none = RegistryConfig::default();
        let registry = self.config.registries.get(host).unwrap_or(&none);
        let loopback = is_loopback(host);
        let authority = if host == "docker.io" {
            "registry-1.docker.io"
        } else {
            host
        };
        let at = |scheme: &str| {
            let url = Url::parse(&format!("{scheme}://{authority}/"));
            url.map_err(|_| CallError::protocol(host, "its name is no valid address"))
        };
        let mut endpoint = Endpoint {
            host: host.into(),
            base: at(if registry.http { "http" } else { "https" })?,
            http: self.http_for(registry, loopback)?,
            retries_max: RETRIES_MAX,
            slots: Arc::new(Semaphore::new(self.config.transfers_max.max(1))),
            wrong_ranges: Arc::default(),
        };
        if loopback && !registry.http && registry.ca.is_none() {
            let plain = at("http")?;
            if self.speaks_plain_http(&endpoint, plain.clone()).await? {
                endpoint.base = plain;
            }
        }
        Ok(endpoint)
    }

    fn http_for(&self, registry: &RegistryConfig, loopback: bool) -> Result<Http, TransportError> {
        let Some(path) = &registry.ca else {
            let shared = if loopback {
                &self.direct
            } else {
                &self.proxied
            };
            return Ok(shared.clone());
        };
        let own = std::fs::read(path).map_err(|source| TransportError::Certificate {
            path: path.clone(),
            source,
        })?;
        let mut roots = certificates(&self.config.roots_pem)?;
        roots.extend(certificates(&own)?);
        let builder = builder(roots);
        let builder = if loopback {
            builder.no_proxy()
        } else {
            builder
        };
        builder.build().map_err(TransportError::SetUp)
    }

    /// Asks a registry on loopback whether it understands plain HTTP.
    async fn speaks_plain_http(&self, endpoint: &Endpoint, plain: Url) -> Result<bool, CallError> {
        let mut url = plain;
        url.set_path("/v2/");
        let request = endpoint.http.get(url).timeout(PROBE_TIMEOUT);
        match request.send().await {
            // Go's HTTPS servers answer plain HTTP with this; no registry answers `/v2/` so.
            Ok(response) => Ok(response.status() != StatusCode::BAD_REQUEST),
            Err(error) => match TransportError::new(&endpoint.host, error) {
                refused @ TransportError::Connect { .. } => Err(refused.into()),
                _ => Ok(false),
            },
        }
    }

    /// Sends `call` and returns whatever is answered in the end, success or not.
    pub(super) async fn send(
        &self,
        endpoint: &Endpoint,
        call: &Call<'_>,
    ) -> Result<Response, CallError> {
        let mut retries = 0;
        let mut challenged = false;
        loop {
            let result = self.send_once(endpoint, call).await;
            let wait = match &result {
                Ok(response) if response.status() == StatusCode::UNAUTHORIZED && !challenged => {
                    challenged = true;
                    let headers = response.headers();
                    if self.auth.challenged(endpoint, call.scopes, headers).await {
                        continue;
                    }
                    None
                }
                Ok(response) => self.wait_after(response.status(), response.headers(), retries),
                Err(CallError::Transport(error)) if !matches!(call.body, CallBody::File(_)) => {
                    error.is_transient().then(|| self.wait(retries))
                }
                Err(_) => None,
            };
            match wait {
                Some(wait) if retries < endpoint.retries_max => {
                    retries += 1;
                    tokio::time::sleep(wait).await;
                }
                _ => return result,
            }
        }
    }

    /// Sends `call` and returns the answer if its status is one of `wanted`.
    pub(super) async fn expect(
        &self,
        endpoint: &Endpoint,
        call: &Call<'_>,
        wanted: &[u16],
    ) -> Result<Response, CallError> {
        let response = self.send(endpoint, call).await?;
        if wanted.contains(&response.status().as_u16()) {
            return Ok(response);
        }
        Err(refusal(endpoint, response).await)
    }

    /// Waits before the try after try number `retries` of something that the caller repeats.
    pub(super) async fn pause(&self, retries: u32) {
        tokio::time::sleep(self.wait(retries)).await;
    }

    async fn send_once(&self, endpoint: &Endpoint, call: &Call<'_>) -> Result<Response, CallError> {
        let mut request = endpoint.http.request(call.method.clone(), call.url.clone());
        if call.url.origin() == endpoint.base.origin() {
            let header = self.auth.header(endpoint, call.scopes).await;
            let header = header.map_err(|source| CallError::Auth {
                host: endpoint.host.clone(),
                source: Box::new(source),
            })?;
            if let Some(header) = header {
                request = request.header(AUTHORIZATION, header);
            }
        }
        for (name, value) in &call.headers {
            request = request.header(name, value);
        }
        let mut timeout = ANSWER_TIMEOUT;
        request = match &call.body {
            CallBody::Empty if call.method == Method::GET || call.method == Method::HEAD => request,
            // Some servers want to be told that there is no body.
            CallBody::Empty => request.header(http::header::CONTENT_LENGTH, 0),
            CallBody::Bytes(bytes) => request.body(bytes.clone()),
            CallBody::File(file) => {
                timeout = file.timeout();
                file.attach(request).await?
            }
        };
        let sent = tokio::time::timeout(timeout, request.send()).await;
        let timed_out = |_| TransportError::TimedOut(endpoint.host.clone());
        let response = sent
            .map_err(timed_out)?
            .map_err(|error| TransportError::new(&endpoint.host, error))?;
        Ok(response)
    }

    /// Returns how long to wait before repeating a request that got `status`, none if not at all.
    fn wait_after(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        retries: u32,
    ) -> Option<Duration> {
        let transient = matches!(status.as_u16(), 408 | 429 | 500 | 502 | 503 | 504);
        if !transient {
            return None;
        }
        let asked = headers
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.trim().parse().ok());
        Some(match asked {
            Some(seconds) => Duration::from_secs(seconds).min(RETRY_AFTER_MAX),
            None => self.wait(retries),
        })
    }

    fn wait(&self, retries: u32) -> Duration {
        let factor = 1_u32 << retries.min(16);
        self.config.retry_wait.saturating_mul(factor).min(WAIT_MAX)
    }
}

/// Returns the error that a failed answer stands for.
pub(super) async fn refusal(endpoint: &Endpoint, response: Response) -> CallError {
    let status = response.status().as_u16();
    let body = read_body(response, ERROR_BODY_MAX_BYTES, &endpoint.host).await;
    let error = ApiError::new(&endpoint.host, status, &body.unwrap_or_default());
    CallError::Api(Box::new(error))
}

/// Reads a body of at most `max_bytes`; what is longer counts as broken off.
pub(super) async fn read_body(
    mut response: Response,
    max_bytes: usize,
    host: &str,
) -> Result<Bytes, TransportError> {
    let mut body = BytesMut::new();
    let read = async {
        while let Some(part) = response.chunk().await? {
            if body.len() + part.len() > max_bytes {
                return Ok(false);
            }
            body.extend_from_slice(&part);
        }
        Ok(true)
    };
    match tokio::time::timeout(BODY_TIMEOUT, read).await {
        Err(_) => Err(TransportError::TimedOut(host.into())),
        Ok(Err(error)) => Err(TransportError::new(host, error)),
        Ok(Ok(false)) => Err(TransportError::TooLong {
            host: host.into(),
            max_bytes,
        }),
        Ok(Ok(true)) => Ok(body.freeze()),
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<Certificate>, TransportError> {
    Certificate::from_pem_bundle(pem).map_err(TransportError::SetUp)
}

fn builder(roots: Vec<Certificate>) -> reqwest::ClientBuilder {
    Http::builder()
        .user_agent(concat!("kiln/", env!("CARGO_PKG_VERSION")))
        .tls_certs_only(roots)
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .tcp_user_timeout(UNACKNOWLEDGED_TIMEOUT)
        .referer(false)
        .http1_only()
}

/// Tells whether `host` (with or without port) is this machine.
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or(rest, |(address, _)| address),
        None => host.split_once(':').map_or(host, |(name, _)| name),
    };
    name == "localhost"
        || name
            .parse()
            .is_ok_and(|address: IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_this_machine_only() {
        for (host, expected) in [
            ("localhost", true),
            ("localhost:5000", true),
            ("127.0.0.1:5000", true),
            ("127.9.9.9", true),
            ("[::1]:5000", true),
            ("[::2]:5000", false),
            ("10.0.0.1", false),
            ("localhost.example", false),
            ("127.0.0.1.example:80", false),
        ] {
            assert_eq!(is_loopback(host), expected, "{host}");
        }
    }
}
