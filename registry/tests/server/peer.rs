// SPDX-License-Identifier: Apache-2.0
//! A server on a directory, and a client that is just a socket.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, SystemTime};

use oci::{Algorithm, Digest, Hasher};
use registry::server::{Config, serve};
use registry::storage::{Clock, disk};

/// A fixed time: sessions are issued and checked by it.
pub(crate) const CLOCK: Clock = Clock(|| SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 30));
pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// A running server; stops when dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    root: Option<tempfile::TempDir>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::with(|_| {})
    }

    /// Starts a server whose configuration `change` has changed.
    pub(crate) fn with(change: impl FnOnce(&mut Config)) -> Self {
        let root = tempfile::tempdir().unwrap();
        let mut config = config(root.path());
        change(&mut config);
        let mut server = Self::on(config);
        server.root = Some(root);
        server
    }

    pub(crate) fn on(config: Config) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                let shutdown = async move { drop(stopped.await) };
                serve(config, listener, shutdown).await.unwrap();
            });
        });
        Self {
            address,
            root: None,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    pub(crate) fn send(&self, request: &Request) -> Answer {
        request.send(self.address).unwrap()
    }

    /// Uploads a blob in one request.
    pub(crate) fn push_blob(&self, name: &str, bytes: &[u8]) -> Digest {
        let digest = oci::sha256(bytes);
        let path = format!("/v2/{name}/blobs/uploads/?digest={digest}");
        let answer = self.send(&Request::new("POST", &path).body(bytes));
        assert_eq!(answer.status, 201, "{answer:?}");
        digest
    }

    pub(crate) fn put_manifest(&self, name: &str, reference: &str, body: &[u8]) -> Answer {
        let path = format!("/v2/{name}/manifests/{reference}");
        let request = Request::new("PUT", &path).body(body);
        self.send(&request.header("content-type", MANIFEST))
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send(&Request::new("GET", path))
    }

    pub(crate) fn head(&self, path: &str) -> Answer {
        self.send(&Request::new("HEAD", path))
    }

    pub(crate) fn delete(&self, path: &str) -> Answer {
        self.send(&Request::new("DELETE", path))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let result = thread.join();
            if !std::thread::panicking() {
                result.unwrap();
            }
        }
        // Only now: the server was writing there.
        self.root.take();
    }
}

pub(crate) fn config(root: &Path) -> Config {
    Config::new(disk::open(root, CLOCK).unwrap(), CLOCK)
}

pub(crate) fn digest_of(algorithm: Algorithm, bytes: &[u8]) -> Digest {
    let mut hasher = Hasher::new(algorithm);
    hasher.update(bytes);
    hasher.finish()
}

/// A request, as bytes for a socket.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    method: String,
    head: String,
    body: Vec<u8>,
    chunked: bool,
}

impl Request {
    pub(crate) fn new(method: &str, path: &str) -> Self {
        Self {
            method: method.into(),
            head: format!("{method} {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n"),
            body: Vec::new(),
            chunked: false,
        }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        write!(self.head, "{name}: {value}\r\n").unwrap();
        self
    }

    pub(crate) fn body(mut self, bytes: &[u8]) -> Self {
        self.body = bytes.to_vec();
        self.header("content-length", &bytes.len().to_string())
    }

    /// Sends the body with chunked transfer coding, its length unsaid.
    pub(crate) fn stream(mut self, bytes: &[u8]) -> Self {
        self.body = bytes.to_vec();
        self.chunked = true;
        self.header("transfer-encoding", "chunked")
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{}\r\n", self.head).into_bytes();
        if !self.chunked {
            bytes.extend_from_slice(&self.body);
            return bytes;
        }
        for piece in self.body.chunks(1000) {
            bytes.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
            bytes.extend_from_slice(piece);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"0\r\n\r\n");
        bytes
    }

    pub(crate) fn send(&self, address: SocketAddr) -> std::io::Result<Answer> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        // A server that refuses early may stop reading; its answer counts.
        stream.write_all(&self.bytes()).unwrap_or_default();
        Answer::read(stream, self.method == "HEAD")
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn read(stream: impl Read, is_head: bool) -> std::io::Result<Self> {
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let status = line.split(' ').nth(1).and_then(|text| text.parse().ok());
        let broken = || std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
        let status = status.ok_or_else(broken)?;
        let mut headers = Vec::new();
        loop {
            line.clear();
            reader.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(": ") else {
                break;
            };
            headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
        let mut answer = Self {
            status,
            headers,
            body: Vec::new(),
        };
        reader.read_to_end(&mut answer.body)?;
        if is_head {
            assert!(answer.body.is_empty(), "an answer to HEAD has no body");
        } else if let Some(length) = answer.header("content-length")
            && answer.body.len().to_string() != length
        {
            return Err(broken());
        }
        Ok(answer)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    pub(crate) fn headers(&self) -> &[(String, String)] {
        &self.headers
    }

    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        let found = self.headers.iter().filter(move |(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Returns the code of the first error.
    pub(crate) fn code(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/json"));
        let json = self.json();
        json["errors"][0]["code"].as_str().unwrap().to_owned()
    }
}

/// Returns an image manifest over blobs, as text; `more` is inserted as further keys.
pub(crate) fn manifest(config: &Digest, layers: &[&Digest], more: &str) -> String {
    let layers: Vec<_> = layers
        .iter()
        .map(|layer| descriptor(layer, "x/layer", 5))
        .collect();
    let config = descriptor(config, "application/vnd.oci.image.config.v1+json", 2);
    format!(
        "{{\"schemaVersion\":2,\"mediaType\":\"{MANIFEST}\",\"config\":{config},\"layers\":[{}]{more}}}",
        layers.join(",")
    )
}

pub(crate) fn descriptor(digest: &Digest, media_type: &str, size: usize) -> String {
    format!("{{\"mediaType\":\"{media_type}\",\"digest\":\"{digest}\",\"size\":{size}}}")
}

/// Returns an index over manifests.
pub(crate) fn index(manifests: &[(&Digest, usize)], more: &str) -> String {
    let manifests = manifests.iter();
    let manifests: Vec<_> = manifests
        .map(|(digest, size)| descriptor(digest, MANIFEST, *size))
        .collect();
    let manifests = manifests.join(",");
    format!("{{\"schemaVersion\":2,\"mediaType\":\"{INDEX}\",\"manifests\":[{manifests}]{more}}}")
}
