// SPDX-License-Identifier: Apache-2.0
//! One connection, from accepted to closed: handshake, version, requests, and the ends that a
//! client can be led to.
//!
//! Does not know paths or storage. The figures of HTTP/2 are here; what a deployment may want to
//! change is in [`Limits`](super::Limits).

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use http::{Request, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::activity::{Activity, Outgoing, Patience};
use super::answer::{ApiError, too_busy};
use super::config::Limits;
use super::connection::Connection;
use super::route::{self, App};
use super::tls::Tls;
use crate::error::ErrorCode;

/// How much of a request is read at once over HTTP/1.1, and the most its head may have.
const READ_MAX_BYTES: usize = 256 << 10;
/// The most of a decoded head that is read over HTTP/2. More than requests may have, so that what is
/// not beyond reason gets our own answer; hyper's has no body.
const HEAD_READ_MAX_BYTES: u32 = 128 << 10;
/// How many times the header fields that requests may have are read over HTTP/1.1, for the same
/// reason.
const FIELDS_READ_FACTOR: usize = 4;
/// The most header fields that fit what is read at once; places for them are reserved.
const FIELDS_READ_MAX: usize = READ_MAX_BYTES / "a:\r\n".len();
/// What a client may send before it is read: for one stream and for the connection, so that many
/// stalled uploads hold no more than one.
const WINDOW_BYTES: u32 = 4 << 20;
/// The largest frame that is taken; less than the smallest window of a client's kernel.
const FRAME_MAX_BYTES: u32 = 64 << 10;
/// How much of an answer waits in a stream beyond the piece in hand.
const SEND_BUFFER_BYTES: usize = 128 << 10;
/// How many streams a client may have reset before they were looked at; the connection ends above.
/// See CVE-2023-44487.
const RESETS_MAX: usize = 20;
/// How many streams the server may have to reset for a client's mistakes. See CVE-2025-8671.
const MISTAKES_MAX: usize = 100;
/// How long an answer to a ping may take.
const PING_MAX: Duration = Duration::from_secs(20);
/// The first byte of a TLS record that begins a handshake. Spec: RFC 8446 §5.1.
const TLS_HANDSHAKE: u8 = 0x16;
/// How much of a plain request on a TLS port is read before it is answered, and for how long.
const PLAIN_MAX_BYTES: u64 = 64 << 10;
const PLAIN_MAX: Duration = Duration::from_secs(1);

/// The other end of a connection; every request has `Some` of it among its extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Peer {
    /// The other end of the connection: a client, or a proxy.
    pub(super) address: SocketAddr,
    /// Whether it speaks TLS with us.
    pub(super) tls: bool,
}

/// What all connections of a listener share.
#[derive(Debug)]
pub(super) struct Door {
    app: Arc<App>,
    builder: auto::Builder<TokioExecutor>,
    tls: Option<Arc<Tls>>,
    handshakes: Semaphore,
    requests: Arc<Semaphore>,
    /// Cancelled when no connection is to begin anything new.
    closing: CancellationToken,
}

impl Door {
    pub(super) fn new(app: Arc<App>, tls: Option<Arc<Tls>>, closing: CancellationToken) -> Self {
        let limits = app.config.limits;
        Self {
            builder: builder(&limits, app.config.http2),
            app,
            tls,
            handshakes: Semaphore::new(limits.handshakes_max),
            requests: Arc::new(Semaphore::new(limits.requests_max)),
            closing,
        }
    }

    /// Serves one connection to its end. Whatever breaks it is the client's affair: it has seen it
    /// too.
    pub(super) async fn serve(self: Arc<Self>, stream: TcpStream, address: SocketAddr) {
        let stream = Connection::new(stream, self.app.config.limits.write_idle);
        let peer = |tls| Peer { address, tls };
        let Some(tls) = &self.tls else {
            return self.answer(stream, peer(false)).await;
        };
        let acceptor = TlsAcceptor::from(tls.server());
        let handshake = async {
            let place = self.handshakes.acquire().await.ok()?;
            if stream.first_byte().await? != TLS_HANDSHAKE {
                refuse_plain(stream).await;
                return None;
            }
            let stream = acceptor.accept(stream).await.ok()?;
            drop(place);
            Some(stream)
        };
        let shaken = tokio::select! {
            shaken = timeout(self.app.config.limits.handshake, handshake) => shaken,
            () = self.closing.cancelled() => return,
        };
        if let Ok(Some(stream)) = shaken {
            self.answer(stream, peer(true)).await;
        }
    }

    async fn answer(
        self: &Arc<Self>,
        stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
        peer: Peer,
    ) {
        let activity = Activity::new();
        let limits = self.app.config.limits;
        let patience = Patience {
            idle: limits.head,
            stalled: limits.write_idle,
        };
        let service = service_fn(|request| {
            let (door, activity) = (Arc::clone(self), Arc::clone(&activity));
            door.request(activity, peer, request)
        });
        let connection = self.builder.serve_connection(TokioIo::new(stream), service);
        let mut connection = pin!(connection);
        let mut is_closing = false;
        loop {
            tokio::select! {
                result = connection.as_mut() => return drop(result),
                () = self.closing.cancelled(), if !is_closing => {}
                () = activity.quiet(patience) => {
                    if is_closing {
                        return;
                    }
                }
            }
            // HTTP/2 says so first; whoever does not listen is cut off by the next quiet period.
            connection.as_mut().graceful_shutdown();
            is_closing = true;
        }
    }

    async fn request(
        self: Arc<Self>,
        activity: Arc<Activity>,
        peer: Peer,
        request: Request<Incoming>,
    ) -> Result<http::Response<Outgoing>, Infallible> {
        let counted = activity.request();
        let is_http2 = request.version() == Version::HTTP_2;
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Some(peer));
        let place = Arc::clone(&self.requests).try_acquire_owned().ok();
        let answer = match place {
            Some(_) => route::handle(State(Arc::clone(&self.app)), request).await,
            None => too_busy().into_answer(),
        };
        drop(counted);
        Ok(answer.map(|body| activity.answer(body, is_http2, place)))
    }
}

fn builder(limits: &Limits, http2: bool) -> auto::Builder<TokioExecutor> {
    let fields_max = limits.headers_max.saturating_mul(FIELDS_READ_FACTOR);
    let fields_max = fields_max.min(FIELDS_READ_MAX);
    let mut builder = auto::Builder::new(TokioExecutor::new());
    if !http2 {
        builder = builder.http1_only();
    }
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_headers(fields_max)
        .max_buf_size(READ_MAX_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams_max)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .max_frame_size(FRAME_MAX_BYTES)
        .max_header_list_size(HEAD_READ_MAX_BYTES)
        .max_send_buf_size(SEND_BUFFER_BYTES)
        .max_pending_accept_reset_streams(RESETS_MAX)
        .max_local_error_reset_streams(MISTAKES_MAX)
        .keep_alive_interval(limits.head)
        .keep_alive_timeout(PING_MAX);
    builder
}

/// Tells a client that speaks HTTP where TLS is spoken.
async fn refuse_plain(mut stream: Connection) {
    let message = "this port speaks TLS: use https";
    let json = ApiError::new(ErrorCode::Unsupported, message).json();
    let head = format!(
        "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n",
        json.len()
    );
    let answer = [head.as_bytes(), &json].concat();
    let exchange = async {
        stream.write_all(&answer).await?;
        stream.shutdown().await?;
        // Closing with unread bytes would reset the connection, and the answer with it.
        tokio::io::copy(&mut stream.take(PLAIN_MAX_BYTES), &mut tokio::io::sink()).await
    };
    drop(timeout(PLAIN_MAX, exchange).await);
}
