// SPDX-License-Identifier: Apache-2.0
//! HTTP/2: the same answers, and what only it lets a client do.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use h2::{Reason, RecvStream};
use http::{Request, Response};
use oci::sha256;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::peer::Server;
use crate::tls::{client, install, issue};

/// The largest window that flow control knows.
const WIDE: u32 = (1 << 31) - 1;

/// One connection; ready when it ended, with the error it ended with.
type End = tokio::task::JoinHandle<Result<(), h2::Error>>;

async fn begin(
    io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    window: u32,
) -> (SendRequest<Bytes>, End) {
    let mut builder = Builder::new();
    builder
        .initial_window_size(window)
        .initial_connection_window_size(WIDE);
    let (send, connection) = builder.handshake(io).await.unwrap();
    (send, tokio::spawn(connection))
}

async fn plain(address: SocketAddr) -> (SendRequest<Bytes>, End) {
    begin(TcpStream::connect(address).await.unwrap(), WIDE).await
}

fn request(method: &str, path: &str) -> Request<()> {
    let uri = format!("http://test{path}");
    Request::builder().method(method).uri(uri).body(()).unwrap()
}

async fn send(
    client: &SendRequest<Bytes>,
    request: Request<()>,
    body: &[u8],
) -> Result<Response<RecvStream>, h2::Error> {
    let mut client = client.clone().ready().await?;
    let (answer, mut stream) = client.send_request(request, body.is_empty())?;
    let mut rest = Bytes::copy_from_slice(body);
    while !rest.is_empty() {
        stream.reserve_capacity(rest.len());
        let Some(Ok(count)) = poll_fn(|context| stream.poll_capacity(context)).await else {
            break;
        };
        let piece = rest.split_to(count);
        stream.send_data(piece, rest.is_empty())?;
    }
    answer.await
}

async fn whole(answer: Response<RecvStream>) -> Result<Vec<u8>, h2::Error> {
    let mut body = answer.into_body();
    let mut bytes = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece?;
        body.flow_control().release_capacity(piece.len())?;
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

fn run(test: impl Future<Output = ()>) {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
        .block_on(async {
            tokio::time::timeout(Duration::from_mins(1), test)
                .await
                .expect("in time");
        });
}

async fn push_and_pull(client: &SendRequest<Bytes>) {
    let bytes: Vec<u8> = (0..5_000_000_u32).map(|n| n.to_le_bytes()[1]).collect();
    let digest = sha256(&bytes);
    let path = format!("/v2/a/blobs/uploads/?digest={digest}");
    let pushed = send(client, request("POST", &path), &bytes).await.unwrap();
    assert_eq!(pushed.status(), 201);
    let location = pushed.headers()["location"].to_str().unwrap().to_owned();
    let pulled = send(client, request("GET", &location), b"").await.unwrap();
    assert_eq!(pulled.headers()["content-length"], bytes.len().to_string());
    assert_eq!(whole(pulled).await.unwrap(), bytes);
    let head = send(client, request("HEAD", &location), b"").await.unwrap();
    assert_eq!(head.headers()["content-length"], bytes.len().to_string());
    assert_eq!(whole(head).await.unwrap(), b"");
}

#[test]
fn by_prior_knowledge_and_by_alpn() {
    run(async {
        let server = Server::start();
        let (connection, _) = plain(server.address).await;
        push_and_pull(&connection).await;
        let directory = tempfile::tempdir().unwrap();
        let issued = issue(|_| {});
        let tls = install(directory.path(), &issued);
        let server = Server::with(|config| config.tls = Some(tls));
        let stream = TcpStream::connect(server.address).await.unwrap();
        let connector = TlsConnector::from(Arc::new(client(&issued.trusted, &["h2"])));
        let name = ServerName::try_from("localhost").unwrap();
        let stream = connector.connect(name, stream).await.unwrap();
        let (connection, _) = begin(stream, WIDE).await;
        push_and_pull(&connection).await;
    });
}

#[test]
fn an_early_refusal_reaches_a_client_that_is_still_sending() {
    run(async {
        let server = Server::start();
        let (connection, _) = plain(server.address).await;
        let huge = vec![b' '; 9 << 20];
        let answer = send(&connection, request("PUT", "/v2/a/manifests/x"), &huge)
            .await
            .unwrap();
        assert_eq!(answer.status(), 413);
        let after = send(&connection, request("GET", "/v2/"), b"")
            .await
            .unwrap();
        assert_eq!(after.status(), 200, "and the connection goes on");
    });
}

#[test]
fn streams_and_unread_bytes_are_bounded() {
    run(async {
        let server = Server::start();
        let stream = TcpStream::connect(server.address).await.unwrap();
        let mut builder = Builder::new();
        builder.max_send_buffer_size(64 << 20);
        let (connection, end) = builder.handshake::<_, Bytes>(stream).await.unwrap();
        let end = tokio::spawn(end);
        // After an answer the server's settings are known.
        let base = send(&connection, request("GET", "/v2/"), b"").await;
        assert_eq!(base.unwrap().status(), 200);
        assert_eq!(connection.current_max_send_streams(), 100);
        let mut held = Vec::new();
        for expected in [4 << 20, 0] {
            let mut ready = connection.clone().ready().await.unwrap();
            let put = request("PUT", "/v2/a/manifests/x");
            let (answer, mut body) = ready.send_request(put, false).unwrap();
            body.reserve_capacity(64 << 20);
            let wait = Duration::from_millis(300);
            while let Ok(Some(Ok(_))) =
                tokio::time::timeout(wait, poll_fn(|context| body.poll_capacity(context))).await
            {
            }
            assert_eq!(body.capacity(), expected, "one window for all streams");
            held.push((answer, body));
        }
        drop((held, connection));
        end.abort();
    });
}

#[test]
fn a_flood_of_resets_ends_the_connection() {
    run(async {
        let server = Server::start();
        let (connection, end) = plain(server.address).await;
        for _ in 0..10_000 {
            let Ok(mut client) = connection.clone().ready().await else {
                break;
            };
            let Ok((_, mut stream)) = client.send_request(request("GET", "/v2/"), false) else {
                break;
            };
            stream.send_reset(Reason::CANCEL);
        }
        let error = end.await.unwrap().unwrap_err();
        // The farewell may be lost to a client that goes on writing.
        let calm = error.reason() == Some(Reason::ENHANCE_YOUR_CALM);
        assert!(calm || error.is_io(), "{error}");
        assert_eq!(server.get("/v2/").status, 200, "and the server lives");
    });
}

#[test]
fn a_head_that_is_too_large_is_refused() {
    run(async {
        let server = Server::start();
        let (connection, _) = plain(server.address).await;
        let mut large = request("GET", "/v2/");
        large
            .headers_mut()
            .insert("x-y", "x".repeat(100 << 10).parse().unwrap());
        let answer = send(&connection, large, b"").await.unwrap();
        assert_eq!(answer.status(), 431);
        let body = String::from_utf8(whole(answer).await.unwrap()).unwrap();
        assert!(body.contains("UNSUPPORTED"), "{body}");
        let mut large = request("GET", "/v2/");
        let value = "x".repeat(200 << 10).parse().unwrap();
        large.headers_mut().insert("x-y", value);
        match send(&connection, large, b"").await {
            Ok(answer) => assert_eq!(answer.status(), 431),
            Err(error) => assert!(error.is_reset() || error.is_go_away(), "{error}"),
        }
        assert_eq!(server.get("/v2/").status, 200, "and the server lives");
    });
}

#[test]
fn idle_and_stalled_connections_are_let_go() {
    run(async {
        let server = Server::with(|config| {
            config.limits.head = Duration::from_millis(300);
            config.limits.write_idle = Duration::from_millis(300);
            config.limits.body_idle = Duration::from_millis(300);
        });
        let bytes = vec![7; 16 << 20];
        let digest = server.push_blob("a", &bytes);
        let path = format!("/v2/a/blobs/{digest}");
        // No request at all: a farewell.
        let (idle, end) = plain(server.address).await;
        drop(end.await.unwrap());
        drop(idle);
        // Answers whose windows stay shut, while the connection itself is read.
        let stream = TcpStream::connect(server.address).await.unwrap();
        let (stalled, end) = begin(stream, 10).await;
        let mut answers = Vec::new();
        for _ in 0..20 {
            answers.push(send(&stalled, request("GET", &path), b"").await.unwrap());
        }
        let started = Instant::now();
        drop(end.await.unwrap());
        assert!(started.elapsed() < Duration::from_secs(5), "cut off");
        for answer in answers {
            assert!(whole(answer).await.is_err());
        }
        // Half a body.
        let (slow, _) = plain(server.address).await;
        let mut ready = slow.clone().ready().await.unwrap();
        let put = request("PUT", "/v2/a/manifests/x");
        let (answer, mut body) = ready.send_request(put, false).unwrap();
        body.send_data(Bytes::from_static(b"{"), false).unwrap();
        assert_eq!(answer.await.unwrap().status(), 408);
        // Half a preface, and half a head.
        for text in [
            &b"PRI * HTTP/2.0\r\n"[..],
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\0\x09\x01\0\0\0\0\x01",
        ] {
            let mut stream = TcpStream::connect(server.address).await.unwrap();
            stream.write_all(text).await.unwrap();
            let mut rest = Vec::new();
            drop(tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut rest).await);
        }
    });
}

#[test]
fn shutdown_says_farewell_and_finishes_what_runs() {
    run(async {
        let server = Server::start();
        let bytes = vec![7; 16 << 20];
        let digest = server.push_blob("a", &bytes);
        let stream = TcpStream::connect(server.address).await.unwrap();
        let (connection, end) = begin(stream, 1 << 20).await;
        let path = format!("/v2/a/blobs/{digest}");
        let answer = send(&connection, request("GET", &path), b"").await.unwrap();
        let stopping = tokio::task::spawn_blocking(move || drop(server));
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(whole(answer).await.unwrap().len(), bytes.len());
        drop(connection);
        end.await.unwrap().unwrap();
        stopping.await.unwrap();
    });
}
