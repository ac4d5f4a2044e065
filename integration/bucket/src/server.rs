// SPDX-License-Identifier: Apache-2.0
//! A server that runs in a thread of its own for as long as it is held.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::SystemTime;

use hyper_util::rt::{TokioIo, TokioTimer};
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::content::{Content, Spool};
use crate::faults::{Faults, Plan};
use crate::front::{Front, Gate};
use crate::log::{Log, Request};
use crate::options::Options;
use crate::service::Service;

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The address cannot be listened on.
    #[error("cannot listen on {0}")]
    Listen(SocketAddr, #[source] io::Error),
    /// The directory for large bodies cannot be made.
    #[error("cannot make the directory for large bodies")]
    Directory(#[source] io::Error),
    /// No thread or runtime.
    #[error("cannot start a thread to serve")]
    Thread(#[source] io::Error),
}

/// What a test may know about an object without asking for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Its key.
    pub key: String,
    /// Its size.
    pub size_bytes: u64,
    /// Its `ETag`, without quotes.
    pub etag: String,
    /// When it was written, by the server's clock.
    pub modified: SystemTime,
}

/// A running server; it stops when dropped.
#[derive(Debug)]
pub struct Server {
    options: Options,
    address: SocketAddr,
    service: Service,
    log: Arc<Log>,
    plan: Arc<Plan>,
    /// Ends the thread when dropped.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts a server; it takes requests when this returns.
    ///
    /// # Errors
    ///
    /// [`StartError`] says what is missing.
    pub fn start(options: Options) -> Result<Self, StartError> {
        let spool = Spool::new(options.directory.as_deref()).map_err(StartError::Directory)?;
        let service = Service::new(&options, spool);
        let log = Arc::new(Log::new(options.log));
        let plan = Arc::new(Plan::default());
        plan.set(options.faults.clone());
        let listen = |error| StartError::Listen(options.address, error);
        let listener = std::net::TcpListener::bind(options.address).map_err(listen)?;
        listener.set_nonblocking(true).map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(options.threads.max(1))
            .enable_all()
            .build()
            .map_err(StartError::Thread)?;
        let listener = {
            let _context = runtime.enter();
            TcpListener::from_std(listener).map_err(listen)?
        };
        let front = Front::new(protocol(&options, &service, &plan), Arc::clone(&log));
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("bucket".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        () = accept(&listener, &front) => {}
                        _ = stopped => {}
                    }
                });
                // Open connections end here, as those of a server that is killed.
                drop(runtime);
            })
            .map_err(StartError::Thread)?;
        Ok(Self {
            options,
            address,
            service,
            log,
            plan,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// The URL to send requests to, with path-style names of buckets.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The region to sign for; any is accepted.
    pub fn region(&self) -> &'static str {
        "us-east-1"
    }

    /// The name of the bucket that exists from the start.
    pub fn name(&self) -> &str {
        &self.options.name
    }

    /// The key to sign with.
    pub fn access_key(&self) -> &str {
        &self.options.access_key
    }

    /// The secret of that key.
    pub fn secret_key(&self) -> &str {
        &self.options.secret_key
    }

    /// Replaces all faults; what rules have counted begins anew.
    pub fn faults(&self, faults: Faults) {
        self.plan.set(faults);
    }

    /// The requests that ended since the start or the last [`clear_log`](Self::clear_log), in the
    /// order in which they began.
    pub fn requests(&self) -> Vec<Request> {
        self.log.requests()
    }

    /// Forgets the requests so far.
    pub fn clear_log(&self) {
        self.log.clear();
    }

    /// What the bucket holds, in the order of keys.
    pub fn objects(&self) -> Vec<ObjectInfo> {
        let store = self.service.lock();
        let Ok(bucket) = store.bucket(&self.options.name) else {
            return Vec::new();
        };
        let info = |(key, object): (&String, &Arc<crate::store::Object>)| ObjectInfo {
            key: key.clone(),
            size_bytes: object.content.len(),
            etag: object.etag.clone(),
            modified: object.modified,
        };
        bucket.objects.iter().map(info).collect()
    }

    /// Puts an object that somebody wrote before: no request is logged.
    pub fn put(&self, key: impl Into<String>, bytes: impl Into<bytes::Bytes>) {
        let content = Content::of(bytes.into());
        let mut store = self.service.lock();
        if let Ok(bucket) = store.bucket_mut(&self.options.name) {
            let object = crate::store::Object {
                etag: format!("{:032x}", content.len()),
                content,
                modified: SystemTime::UNIX_EPOCH,
                attributes: crate::store::Attributes::default(),
            };
            bucket.objects.insert(key.into(), Arc::new(object));
        }
    }

    /// Keys of the multipart uploads that were begun and neither completed nor aborted.
    pub fn uploads(&self) -> Vec<String> {
        let store = self.service.lock();
        let uploads = store
            .bucket(&self.options.name)
            .map(|bucket| &bucket.uploads);
        uploads.map_or_else(
            |_| Vec::new(),
            |uploads| uploads.keys().map(|(key, _)| key.clone()).collect(),
        )
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic in there was printed there.
            drop(thread.join());
        }
    }
}

/// S3 with signatures over `service`.
fn protocol(options: &Options, service: &Service, plan: &Arc<Plan>) -> S3Service {
    let mut builder = S3ServiceBuilder::new(service.clone());
    builder.set_auth(SimpleAuth::from_single(
        options.access_key.as_str(),
        options.secret_key.as_str(),
    ));
    builder.set_access(Gate {
        plan: Arc::clone(plan),
    });
    builder.build()
}

async fn accept(listener: &TcpListener, front: &Front) {
    loop {
        // Errors of `accept` are those of one connection, or pass when others end.
        let Ok((stream, _)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        // Answers come in small pieces, and their latency is what tests measure.
        drop(stream.set_nodelay(true));
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .serve_connection(TokioIo::new(stream), front.clone());
        tokio::spawn(async move {
            // It broke off, or a fault closed it.
            drop(connection.await);
        });
    }
}
