// SPDX-License-Identifier: Apache-2.0
//! Registries that share a bucket, asked over HTTP.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bucket::Server;
use oci::{Algorithm, sha256};
use registry::server::{Config, serve};
use registry::storage::{Backend, Clock};
use reqwest::{Client, Method, Response};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::{PART, data, digest, noise, small_parts};
use crate::client::Bucket;
use crate::config::BucketConfig;
use crate::meta::S3Meta;
use crate::mode::Mode;

const CLOCK: Clock = Clock(|| SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 31));

/// Some replicas; they stop when dropped.
struct Replicas {
    client: Client,
    addresses: Vec<String>,
    _server: Server,
    _tasks: JoinSet<()>,
}

impl Replicas {
    async fn start(count: usize, edit: impl Fn(&mut BucketConfig)) -> Self {
        let (server, mut config) = small_parts();
        edit(&mut config);
        let (mut addresses, mut tasks) = (Vec::new(), JoinSet::new());
        for _ in 0..count {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            addresses.push(format!("http://{}", listener.local_addr().unwrap()));
            let bucket = Bucket::new(&config).await;
            let backend = Backend {
                data: Arc::new(data(&config).await),
                meta: Arc::new(S3Meta::new(bucket, Mode::MultiWriter)),
            };
            let config = Config::new(backend, CLOCK);
            tasks.spawn(async move {
                serve(config, listener, std::future::pending())
                    .await
                    .unwrap();
            });
        }
        let client = Client::builder().redirect(reqwest::redirect::Policy::none());
        Self {
            client: client.build().unwrap(),
            addresses,
            _server: server,
            _tasks: tasks,
        }
    }

    async fn send(&self, replica: usize, method: Method, path: &str, body: Vec<u8>) -> Response {
        let url = format!("{}{path}", self.addresses[replica]);
        let request = self.client.request(method, url).body(body);
        request.send().await.unwrap()
    }

    async fn open(&self, replica: usize) -> String {
        let path = "/v2/a/blobs/uploads/";
        let answer = self.send(replica, Method::POST, path, Vec::new()).await;
        assert_eq!(answer.status(), 202);
        answer.headers()["location"].to_str().unwrap().to_owned()
    }

    async fn patch(&self, replica: usize, session: &str, from: usize, bytes: &[u8]) -> u16 {
        let url = format!("{}{session}", self.addresses[replica]);
        let range = format!("{from}-{}", from + bytes.len() - 1);
        let request = self.client.patch(url).header("content-range", range);
        let answer = request.body(bytes.to_vec()).send().await.unwrap();
        answer.status().as_u16()
    }

    async fn close(&self, replica: usize, session: &str, digest: &oci::Digest) -> u16 {
        let path = format!("{session}?digest={digest}");
        let answer = self.send(replica, Method::PUT, &path, Vec::new()).await;
        answer.status().as_u16()
    }

    async fn pull(&self, replica: usize, digest: &oci::Digest) -> Vec<u8> {
        let path = format!("/v2/a/blobs/{digest}");
        let answer = self.send(replica, Method::GET, &path, Vec::new()).await;
        assert_eq!(answer.status(), 200);
        answer.bytes().await.unwrap().to_vec()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_take_turns_at_one_upload() {
    let replicas = Replicas::start(3, |_| {}).await;
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        let bytes = noise(PART + 900_000);
        let digest = digest(algorithm, &bytes);
        let session = replicas.open(0).await;
        let mut at = 0;
        for (turn, count) in [10, 70_000, 1, 3 << 20, 200_000].into_iter().enumerate() {
            let status = replicas
                .patch(turn % 3, &session, at, &bytes[at..at + count])
                .await;
            assert_eq!(status, 202, "turn {turn}");
            let gap = replicas.patch((turn + 1) % 3, &session, at, b"x").await;
            assert_eq!(gap, 416, "every replica knows how far it is");
            at += count;
        }
        let rest = replicas.patch(1, &session, at, &bytes[at..]).await;
        assert_eq!(rest, 202);
        assert_eq!(replicas.close(2, &session, &digest).await, 201);
        assert_eq!(replicas.close(0, &session, &digest).await, 201, "again");
        assert!(replicas.pull(1, &digest).await == bytes);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_writer_on_another_replica_takes_over() {
    let replicas = Replicas::start(2, |_| {}).await;
    let bytes = noise(1 << 20);
    let session = replicas.open(0).await;
    assert_eq!(replicas.patch(0, &session, 0, &bytes[..1000]).await, 202);
    // The older writer is in the middle of its body when the newer one comes.
    let (sender, body) = tokio::sync::mpsc::channel::<Vec<u8>>(4);
    let stream = futures_util::stream::unfold(body, |mut body| async move {
        let piece = body.recv().await?;
        Some((Ok::<_, std::io::Error>(piece), body))
    });
    let url = format!("{}{session}", replicas.addresses[0]);
    let older = replicas.client.patch(url);
    let older = older.body(reqwest::Body::wrap_stream(stream)).send();
    let mut tasks = JoinSet::new();
    tasks.spawn(older);
    sender.send(vec![0; 500_000]).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(replicas.patch(1, &session, 1000, &bytes[1000..]).await, 202);
    sender.send(vec![0; 500_000]).await.unwrap();
    drop(sender);
    let older = tasks.join_next().await.unwrap().unwrap().unwrap();
    assert!(older.status().is_client_error(), "{older:?}");
    let digest = sha256(&bytes);
    assert_eq!(replicas.close(0, &session, &digest).await, 201);
    assert!(replicas.pull(0, &digest).await == bytes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_digest_ends_the_session_everywhere() {
    let replicas = Replicas::start(2, |_| {}).await;
    let session = replicas.open(0).await;
    assert_eq!(replicas.patch(0, &session, 0, b"hello").await, 202);
    assert_eq!(replicas.close(1, &session, &sha256(b"jello")).await, 400);
    assert_eq!(replicas.close(0, &session, &sha256(b"hello")).await, 404);
    let session = replicas.open(0).await;
    assert_eq!(replicas.patch(0, &session, 0, b"hello").await, 202);
    let cancelled = replicas.send(1, Method::DELETE, &session, Vec::new()).await;
    assert_eq!(cancelled.status(), 204);
    assert_eq!(replicas.patch(0, &session, 5, b"x").await, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_blob_is_read_from_the_bucket_by_redirect() {
    let replicas = Replicas::start(1, |config| config.redirect_from_bytes = Some(1000)).await;
    for (bytes, status) in [(noise(999), 200), (noise(1000), 307)] {
        let digest = sha256(&bytes);
        let path = format!("/v2/a/blobs/uploads/?digest={digest}");
        let put = replicas.send(0, Method::POST, &path, bytes.clone()).await;
        assert_eq!(put.status(), 201);
        let path = format!("/v2/a/blobs/{digest}");
        let head = replicas.send(0, Method::HEAD, &path, Vec::new()).await;
        assert_eq!(head.status(), 200, "HEAD is answered here");
        let get = replicas.send(0, Method::GET, &path, Vec::new()).await;
        assert_eq!(get.status(), status);
        if status == 307 {
            let link = get.headers()["location"].to_str().unwrap();
            let direct = replicas.client.get(link).send().await.unwrap();
            assert_eq!(direct.status(), 200);
            assert!(direct.bytes().await.unwrap() == bytes);
        }
    }
}
