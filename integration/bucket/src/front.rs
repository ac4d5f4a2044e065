// SPDX-License-Identifier: Apache-2.0
//! What stands between the wire and the protocol: the log and the faults.
//!
//! A request is known by its operation and key only once `s3s` has read and verified it. So the
//! [`Front`] sends an [`Exchange`] along, and the [`Gate`], which `s3s` asks for permission, decides
//! there what happens: faults before doing happen in the gate, those after doing in the front.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, TryStreamExt as _, stream};
use hyper::body::Incoming;
use hyper::service::Service;
use s3s::access::{S3Access, S3AccessContext};
use s3s::dto::StreamingBlob;
use s3s::service::S3Service;
use s3s::{Body, HttpError, S3Result, s3_error};

use crate::faults::{Fault, Plan};
use crate::log::{Log, Operation, Request};

/// Bytes of a slow body that come at once.
const SLOW_BYTES: usize = 4 << 10;
/// How long a body that is cut waits for what came before to be sent.
const FLUSH_TIME: Duration = Duration::from_millis(20);

/// One request on its way; logged when it goes.
#[derive(Debug)]
struct Exchange {
    log: Arc<Log>,
    request: Mutex<Request>,
}

impl Exchange {
    fn new(log: &Arc<Log>, method: &http::Method) -> Self {
        let began = log.tick();
        let request = Request {
            operation: Operation::Other,
            method: method.to_string(),
            key: String::new(),
            status: None,
            fault: None,
            began,
            ended: began,
        };
        Self {
            log: Arc::clone(log),
            request: Mutex::new(request),
        }
    }

    fn request(&self) -> MutexGuard<'_, Request> {
        self.request.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Puts the request into the log also if its client went away in the middle.
struct Entry(Arc<Exchange>);

impl Drop for Entry {
    fn drop(&mut self) {
        self.0.log.add(self.0.request().clone());
    }
}

/// The service of every connection.
#[derive(Clone, Debug)]
pub(crate) struct Front {
    inner: S3Service,
    log: Arc<Log>,
}

impl Front {
    pub(crate) fn new(inner: S3Service, log: Arc<Log>) -> Self {
        Self { inner, log }
    }

    async fn answer(
        self,
        request: http::Request<Incoming>,
    ) -> Result<http::Response<Body>, HttpError> {
        let mut request = request.map(Body::from);
        let exchange = Arc::new(Exchange::new(&self.log, request.method()));
        let entry = Entry(Arc::clone(&exchange));
        request.extensions_mut().insert(Arc::clone(&exchange));
        let done = self.inner.call(request).await?;
        let fault = exchange.request().fault.clone();
        let response = spoil(done, fault.as_ref())?;
        exchange.request().status = Some(response.status().as_u16());
        drop(entry);
        Ok(response)
    }
}

/// The answer with its fault, if that happens after doing.
fn spoil(
    response: http::Response<Body>,
    fault: Option<&Fault>,
) -> Result<http::Response<Body>, HttpError> {
    match fault {
        // Without an answer hyper closes the connection.
        Some(Fault::RequestLost | Fault::AnswerLost) => Err(HttpError::new(
            "the connection is closed, as ordered".into(),
        )),
        Some(Fault::AnswerWrong) => s3_error!(InternalError, "an error, as ordered")
            .to_http_response()
            .map_err(|error| HttpError::new(Box::new(error))),
        Some(Fault::BodyCut { after_bytes }) => {
            Ok(response.map(|body| Body::from(StreamingBlob::wrap(cut(body, *after_bytes)))))
        }
        Some(Fault::BodySlow { bytes_per_second }) => {
            Ok(response.map(|body| Body::from(StreamingBlob::wrap(slow(body, *bytes_per_second)))))
        }
        _ => Ok(response),
    }
}

/// `body` up to `after_bytes`, then an error.
fn cut(body: Body, after_bytes: u64) -> impl Stream<Item = io::Result<Bytes>> + Send + Sync {
    let mut left = usize::try_from(after_bytes).unwrap_or(usize::MAX);
    let chunks = body
        .map_err(io::Error::other)
        .map_ok(move |mut chunk: Bytes| {
            chunk.truncate(left);
            left -= chunk.len();
            (chunk, left == 0)
        });
    let pieces = chunks.flat_map(|chunk| match chunk {
        Err(error) => stream::iter(vec![Err(error)]),
        Ok((chunk, false)) => stream::iter(vec![Ok(chunk)]),
        Ok((chunk, true)) => {
            let end = Err(io::Error::other("the body is cut, as ordered"));
            stream::iter(vec![Ok(chunk), end])
        }
    });
    pieces.then(|piece| async move {
        if piece.is_err() {
            // While the body is awaited hyper sends what it has, which an error would throw away.
            tokio::time::sleep(FLUSH_TIME).await;
        }
        piece
    })
}

/// `body` in small pieces with pauses.
fn slow(body: Body, bytes_per_second: u64) -> impl Stream<Item = io::Result<Bytes>> + Send + Sync {
    let pieces = body.map_err(io::Error::other).map_ok(|mut chunk: Bytes| {
        let mut pieces = Vec::new();
        while !chunk.is_empty() {
            let size = chunk.len().min(SLOW_BYTES);
            pieces.push(Ok(chunk.split_to(size)));
        }
        stream::iter(pieces)
    });
    pieces
        .try_flatten()
        .and_then(move |piece: Bytes| async move {
            let micros = piece.len() as u64 * 1_000_000 / bytes_per_second.max(1);
            tokio::time::sleep(Duration::from_micros(micros)).await;
            Ok(piece)
        })
}

impl Service<http::Request<Incoming>> for Front {
    type Response = http::Response<Body>;
    type Error = HttpError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn call(&self, request: http::Request<Incoming>) -> Self::Future {
        Box::pin(self.clone().answer(request))
    }
}

/// Notes what a verified request is about, and does what goes wrong before doing.
#[derive(Debug)]
pub(crate) struct Gate {
    pub(crate) plan: Arc<Plan>,
}

#[async_trait::async_trait]
impl S3Access for Gate {
    async fn check(&self, context: &mut S3AccessContext<'_>) -> S3Result<()> {
        if context.credentials().is_none() {
            return Err(s3_error!(AccessDenied, "unsigned request"));
        }
        let operation = Operation::from_name(context.s3_op().name());
        let key = match context.s3_path().as_object() {
            Some((_, key)) => key.to_owned(),
            None => listed_prefix(context.uri()),
        };
        let fate = self.plan.decide(operation, &key);
        if let Some(exchange) = context.extensions_mut().get::<Arc<Exchange>>() {
            let mut request = exchange.request();
            request.operation = operation;
            request.key = key;
            request.fault.clone_from(&fate.fault);
        }
        if !fate.latency.is_zero() {
            tokio::time::sleep(fate.latency).await;
        }
        match fate.fault {
            Some(Fault::SlowDown) => Err(s3_error!(SlowDown)),
            Some(Fault::Conflict) => Err(s3_error!(ConditionalRequestConflict)),
            // The front closes the connection in place of this answer, too.
            Some(Fault::Refused | Fault::RequestLost) => Err(s3_error!(InternalError)),
            _ => Ok(()),
        }
    }
}

/// The prefix that a list asks for.
fn listed_prefix(uri: &http::Uri) -> String {
    let query = uri.query().unwrap_or_default();
    let mut pairs = url::form_urlencoded::parse(query.as_bytes());
    let prefix = pairs.find(|(name, _)| name == "prefix");
    prefix.map_or_else(String::new, |(_, prefix)| prefix.into_owned())
}
