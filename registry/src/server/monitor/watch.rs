// SPDX-License-Identifier: Apache-2.0
//! Follows one request from its head to the last byte of its answer.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use axum::body::Body;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Extensions, Method, Request, Uri, Version};
use hyper::body::{Bytes, Frame, SizeHint};
use jiff::Timestamp;
use tokio::time::Instant;

use super::log::Line;
use super::metrics::{InFlight, RequestLabels};
use super::{Monitor, health};
use crate::endpoint::Resource;
use crate::server::accept::Peer;
use crate::server::access::Principal;
use crate::server::answer::Answer;
use crate::server::auth::TOKEN_PATH;
use crate::server::route::App;
use crate::storage::store::nonce;

/// By which a request is found again in other logs. Ours: the name that proxies use.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The longest id that is taken from a client.
const REQUEST_ID_MAX: usize = 128;
/// Parameters whose values are shown; all others may be signatures.
const SHOWN_PARAMETERS: &[&str] = &[
    "artifactType",
    "digest",
    "digest-algorithm",
    "from",
    "last",
    "mount",
    "n",
    "ns",
    "scope",
    "service",
    "tag",
];
/// How much of an upload's session is shown: enough to tell them apart, not enough to go on.
const SESSION_SHOWN: usize = 8;

/// On whose behalf a request comes, as an extension of it: told by whoever finds out, so that it is
/// known of refused and cut off requests too.
#[derive(Clone, Debug, Default)]
pub(in crate::server) struct Requester(Arc<OnceLock<Box<str>>>);

impl Requester {
    /// Notes who it is; the first user who is told stays.
    pub(in crate::server) fn tell(&self, principal: &Principal) {
        if let Principal::User(name) = principal {
            self.0.get_or_init(|| name.clone());
        }
    }

    fn name(&self) -> Option<String> {
        self.0.get().map(|name| String::from(&**name))
    }
}

/// Returns the header for a warning; none if the text cannot be in one.
pub(super) fn warning(text: &str) -> Option<HeaderValue> {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
    HeaderValue::from_str(&format!("299 - \"{escaped}\"")).ok()
}

/// Answers a request by `answer`, and notes what it was.
pub(in crate::server) async fn watch<F, R>(
    app: Arc<App>,
    request: Request<Body>,
    answer: F,
) -> Answer
where
    F: FnOnce(Arc<App>, Request<Body>) -> R,
    R: Future<Output = Answer>,
{
    let monitor = Arc::clone(&app.config.monitor);
    let (method, path) = (request.method(), request.uri().path());
    if let Some(answer) = health::answer(&monitor, method, path).await {
        return answer;
    }
    let mut entry = Entry::begin(Arc::clone(&monitor), &request);
    let received = Arc::clone(&entry.received);
    let mut request = request.map(|body| Body::new(Received { body, received }));
    request.extensions_mut().insert(entry.requester.clone());
    let mut answer = answer(app, request).await;
    entry.status = answer.status().as_u16();
    let headers = answer.headers_mut();
    headers.extend(HeaderValue::from_str(&entry.id).map(|id| (REQUEST_ID, id)));
    if let Some(warning) = &monitor.warning {
        headers.append(header::WARNING, warning.clone());
    }
    answer.map(|body| Body::new(Sent { body, entry }))
}

/// What is known of a request; written down when it is dropped, which is when the last byte of the
/// answer was taken, or when nobody takes any more.
#[derive(Debug)]
struct Entry {
    monitor: Arc<Monitor>,
    start: Instant,
    method: Method,
    endpoint: &'static str,
    id: String,
    status: u16,
    sent: u64,
    received: Arc<AtomicU64>,
    requester: Requester,
    /// What only a log wants.
    texts: Option<Texts>,
    _in_flight: InFlight,
}

#[derive(Debug)]
struct Texts {
    remote: Option<SocketAddr>,
    path: String,
    version: Version,
    referer: Option<String>,
    user_agent: Option<String>,
}

impl Entry {
    fn begin(monitor: Arc<Monitor>, request: &Request<Body>) -> Self {
        let endpoint = endpoint(request.uri().path());
        let texts = monitor.log.as_ref().map(|_| Texts::of(request));
        Self {
            start: Instant::now(),
            method: request.method().clone(),
            endpoint,
            id: id(request.headers()),
            // What a client sees of a request that is dropped before its answer.
            status: 499,
            sent: 0,
            received: Arc::default(),
            requester: Requester::default(),
            texts,
            _in_flight: monitor.metrics.begin(endpoint),
            monitor,
        }
    }
}

impl Texts {
    fn of(request: &Request<Body>) -> Self {
        Self {
            remote: remote(request.extensions()),
            path: shown_path(request.uri()),
            version: request.version(),
            referer: text(request.headers(), &header::REFERER),
            user_agent: text(request.headers(), &header::USER_AGENT),
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let took = self.start.elapsed();
        let received = self.received.load(Ordering::Relaxed);
        let labels = RequestLabels {
            method: method(&self.method),
            endpoint: self.endpoint,
            status: class(self.status),
        };
        let metrics = &self.monitor.metrics;
        metrics.end(labels, took, (received, self.sent));
        let (Some(log), Some(texts)) = (&self.monitor.log, self.texts.take()) else {
            return;
        };
        let now = (self.monitor.clock.0)();
        log.write(&Line {
            time: Timestamp::try_from(now).unwrap_or_default(),
            remote: texts.remote.map(|remote| remote.ip().to_string()),
            user: self.requester.name(),
            method: self.method.to_string(),
            path: texts.path,
            protocol: protocol(texts.version),
            status: self.status,
            bytes: self.sent,
            received,
            duration_ms: (took.as_secs_f64() * 10_000.0).round() / 10.0,
            referer: texts.referer,
            user_agent: texts.user_agent,
            request_id: std::mem::take(&mut self.id),
        });
    }
}

fn remote(extensions: &Extensions) -> Option<SocketAddr> {
    let peer = extensions.get::<Option<Peer>>().copied().flatten();
    peer.map(|peer| peer.address)
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let value = headers.get(name)?;
    Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
}

/// Returns the id that the client gave, if it is a harmless one, else a fresh one.
fn id(headers: &HeaderMap) -> String {
    let given = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok());
    let is_harmless = |id: &&str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
        (1..=REQUEST_ID_MAX).contains(&id.len()) && id.bytes().all(plain)
    };
    given.filter(is_harmless).map_or_else(nonce, str::to_owned)
}

/// Returns path and query without what gives a right.
fn shown_path(uri: &Uri) -> String {
    let mut shown = match uri.path().rsplit_once("/blobs/uploads/") {
        Some((before, session)) if session.len() > SESSION_SHOWN => {
            let start: String = session.chars().take(SESSION_SHOWN).collect();
            format!("{before}/blobs/uploads/{start}***")
        }
        _ => uri.path().to_owned(),
    };
    for (index, part) in uri
        .query()
        .into_iter()
        .flat_map(|q| q.split('&'))
        .enumerate()
    {
        shown.push(if index == 0 { '?' } else { '&' });
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        if value.is_empty() || SHOWN_PARAMETERS.contains(&name) {
            shown.push_str(part);
        } else {
            shown.extend([name, "=***"]);
        }
    }
    shown
}

fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

fn endpoint(path: &str) -> &'static str {
    if path == TOKEN_PATH {
        return "token";
    }
    match Resource::parse(path) {
        Ok(Resource::Base) => "base",
        Ok(Resource::Catalog) => "catalog",
        Ok(Resource::Tags(_)) => "tags",
        Ok(Resource::Uploads(_)) => "uploads",
        Ok(Resource::Upload(..)) => "upload",
        Ok(Resource::Blob(..)) => "blob",
        Ok(Resource::Manifest(..)) => "manifest",
        Ok(Resource::Referrers(..)) => "referrers",
        Ok(Resource::Extensions) | Err(_) => "other",
    }
}

fn class(status: u16) -> &'static str {
    match status {
        100..200 => "1xx",
        200..300 => "2xx",
        300..400 => "3xx",
        400..500 => "4xx",
        _ => "5xx",
    }
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_2 => "HTTP/2.0",
        Version::HTTP_10 => "HTTP/1.0",
        _ => "HTTP/1.1",
    }
}

/// A request body whose bytes are counted.
struct Received {
    body: Body,
    received: Arc<AtomicU64>,
}

/// An answer body whose bytes are counted; the entry goes with it.
struct Sent {
    body: Body,
    entry: Entry,
}

fn size(frame: &Frame<Bytes>) -> u64 {
    frame.data_ref().map_or(0, |data| data.len() as u64)
}

impl hyper::body::Body for Received {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            self.received.fetch_add(size(frame), Ordering::Relaxed);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl hyper::body::Body for Sent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            self.entry.sent += size(frame);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_gives_a_right_is_not_shown() {
        for (uri, shown) in [
            ("/v2/", "/v2/"),
            ("/v2/a/tags/list?n=5&last=x", "/v2/a/tags/list?n=5&last=x"),
            (
                "/v2/a/blobs/uploads/0123456789abcdef.signature?_state=secret&digest=sha256:1",
                "/v2/a/blobs/uploads/01234567***?_state=***&digest=sha256:1",
            ),
            ("/token?password=x&scope=y", "/token?password=***&scope=y"),
            ("/v2/?a&b=", "/v2/?a&b="),
        ] {
            assert_eq!(shown_path(&uri.parse().unwrap()), shown, "{uri}");
        }
    }

    #[test]
    fn harmless_ids_are_kept() {
        for (given, is_kept) in [
            ("abc-1.2_3:4", true),
            ("", false),
            ("a b", false),
            ("a\"b", false),
            (&*"a".repeat(129), false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, given.parse().unwrap());
            assert_eq!(id(&headers) == given, is_kept, "{given}");
            assert!(!id(&headers).is_empty());
        }
    }
}
