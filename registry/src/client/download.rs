// SPDX-License-Identifier: Apache-2.0
//! One blob from a registry into a layout: streamed, verified, resumed.
//!
//! The reactor receives; a blocking thread hashes and writes. A connection that breaks is made
//! anew from the byte where it stopped (`Range`), and what a pull leaves unfinished the next one
//! continues, whichever host it comes from: the digest is checked over the whole at the end.
//!
//! Spec: distribution-spec §Pulling blobs (end-2), RFC 9110 §14 Range Requests.

use bytes::Bytes;
use http::Method;
use http::header::{CONTENT_RANGE, RANGE};
use oci::{BlobError, BlobWriter, Descriptor, Digest, Layout, Repository, StoredBlob, VerifyError};
use reqwest::Response;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::blob::blob_path;
use super::challenge::Scope;
use super::error::{CallError, TransportError};
use super::progress::{Outcome, Progress, TransferEvent, in_one_line};
use super::transport::{BODY_TIMEOUT, Call, Endpoint, refusal};
use super::{Client, blocking};

/// How many broken connections in a row, without a byte between them, end a download.
const FAILURES_MAX: u32 = 5;
/// How many parts may wait for the disk.
const PARTS_MAX: usize = 32;

/// Why a blob could not be fetched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// A request failed.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The registry gave other bytes than the digest promises. They were thrown away.
    #[error("{host} gave wrong content for blob {digest}")]
    Mismatch {
        /// The registry or mirror.
        host: Box<str>,
        /// The blob.
        digest: Digest,
        /// What is wrong.
        source: VerifyError,
    },
    /// The download broke off again and again. The next one continues it.
    #[error("download of blob {digest} stopped after {received_bytes} of {size_bytes} bytes")]
    Interrupted {
        /// The blob.
        digest: Digest,
        /// Bytes that are kept.
        received_bytes: u64,
        /// Bytes of the whole blob.
        size_bytes: u64,
        /// What broke the connection.
        source: TransportError,
    },
    /// It cannot be stored.
    #[error(transparent)]
    Store(BlobError),
}

/// What is to be fetched, and whereto.
#[derive(Clone, Copy, Debug)]
pub(super) struct Download<'a> {
    pub(super) repository: &'a Repository,
    pub(super) descriptor: &'a Descriptor,
    pub(super) layout: &'a Layout,
    pub(super) progress: &'a Progress,
}

impl Download<'_> {
    fn digest(&self) -> &Digest {
        &self.descriptor.digest
    }
}

/// What the writing thread is sent.
enum Part {
    Bytes(Bytes),
    Finish,
}

/// A thread that hashes and writes. Dropping it keeps what was written, to be continued.
struct Sink {
    parts: mpsc::Sender<Part>,
    thread: JoinHandle<Result<Option<StoredBlob>, BlobError>>,
    /// Bytes that were there at the start.
    kept_bytes: u64,
}

impl Sink {
    async fn open(layout: &Layout, descriptor: &Descriptor) -> Result<Self, BlobError> {
        let (layout, descriptor) = (layout.clone(), descriptor.clone());
        let wanted = descriptor.clone();
        let writer = blocking(move || {
            let mut writer = layout.resume_blob(&wanted.digest)?;
            if writer.written_bytes() > wanted.size_bytes {
                writer.restart(wanted.digest.algorithm())?;
            }
            Ok(writer)
        })
        .await?;
        let kept_bytes = writer.written_bytes();
        let (parts, received) = mpsc::channel(PARTS_MAX);
        let thread = tokio::task::spawn_blocking(move || write(writer, received, &descriptor));
        Ok(Self {
            parts,
            thread,
            kept_bytes,
        })
    }

    /// Returns false if the thread has given up; [`Sink::finish`] then says why.
    async fn send(&self, bytes: Bytes) -> bool {
        self.parts.send(Part::Bytes(bytes)).await.is_ok()
    }

    /// Keeps what was written; when this returns the next try can continue it.
    async fn abandon(self) {
        drop(self.parts);
        // The error that led here is the one to report.
        self.thread.await.ok();
    }

    async fn finish(self) -> Result<(), BlobError> {
        // If nobody takes it, the thread ended with the error that is returned below.
        self.parts.send(Part::Finish).await.ok();
        match self.thread.await {
            Ok(result) => result.map(|_| ()),
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
}

fn write(
    mut writer: BlobWriter,
    mut parts: mpsc::Receiver<Part>,
    descriptor: &Descriptor,
) -> Result<Option<StoredBlob>, BlobError> {
    while let Some(part) = parts.blocking_recv() {
        match part {
            Part::Bytes(bytes) => writer.write_bytes(&bytes)?,
            Part::Finish => {
                let expected = (&descriptor.digest, descriptor.size_bytes);
                return writer.finish_unsynced(Some(expected)).map(Some);
            }
        }
    }
    Ok(None)
}

impl Client {
    /// Fetches one blob of `repository` into `layout`, unless it is there. It is durable once
    /// something is tagged or the layout is synced.
    ///
    /// # Errors
    ///
    /// See [`FetchError`].
    ///
    /// # Cancellation
    ///
    /// What was received is kept for the next try.
    pub async fn fetch_blob(
        &self,
        repository: &Repository,
        descriptor: &Descriptor,
        layout: &Layout,
        progress: &Progress,
    ) -> Result<(), FetchError> {
        let download = Download {
            repository,
            descriptor,
            layout,
            progress,
        };
        self.fetch(&self.hosts(repository.host()), &download).await
    }

    /// Returns the mirrors of `host`, then itself.
    pub(super) fn hosts(&self, host: &str) -> Vec<String> {
        let mut hosts = self.transport.mirrors(host).to_vec();
        hosts.push(host.to_owned());
        hosts
    }

    /// Fetches from the first of `hosts` that can give the blob; all but the last are mirrors.
    pub(super) async fn fetch(
        &self,
        hosts: &[String],
        download: &Download<'_>,
    ) -> Result<(), FetchError> {
        let (layout, wanted) = (download.layout.clone(), download.descriptor.clone());
        download.progress.tell(TransferEvent::Started {
            digest: wanted.digest.clone(),
            size_bytes: wanted.size_bytes,
        });
        let present = blocking(move || layout.has_blob(&wanted.digest, wanted.size_bytes)).await;
        if present.map_err(FetchError::Store)? {
            let digest = download.digest();
            download.progress.finished(digest, Outcome::Existed);
            return Ok(());
        }
        let (last, mirrors) = hosts.split_last().expect("a registry is its own last host");
        for mirror in mirrors {
            let tried = async {
                let endpoint = self.transport.mirror(mirror).await?;
                self.download(&endpoint, download).await
            };
            match tried.await {
                Ok(()) => return Ok(()),
                Err(error @ FetchError::Store(_)) => return Err(error),
                Err(error) => download.progress.tell(TransferEvent::MirrorFailed {
                    host: mirror.as_str().into(),
                    reason: in_one_line(&error),
                }),
            }
        }
        let endpoint = self.transport.endpoint(last).await?;
        self.download(&endpoint, download).await
    }

    async fn download(
        &self,
        endpoint: &Endpoint,
        download: &Download<'_>,
    ) -> Result<(), FetchError> {
        loop {
            let opened = Sink::open(download.layout, download.descriptor).await;
            let sink = opened.map_err(FetchError::Store)?;
            let resumed = sink.kept_bytes > 0;
            let received = self.receive_all(endpoint, download, &sink).await;
            if let Err(error) = received {
                sink.abandon().await;
                return Err(error);
            }
            let finished = sink.finish().await;
            match finished {
                Ok(()) => break,
                // What an earlier pull left may be damaged; finishing has thrown it away.
                Err(BlobError::Mismatch { .. }) if resumed => {}
                Err(BlobError::Mismatch { digest, source }) => {
                    return Err(FetchError::Mismatch {
                        host: endpoint.host().into(),
                        digest,
                        source,
                    });
                }
                Err(error) => return Err(FetchError::Store(error)),
            }
        }
        let (layout, digest) = (download.layout.clone(), download.digest().clone());
        let repository = download.repository.clone();
        blocking(move || layout.remember_source(&digest, &repository)).await;
        let digest = download.digest();
        download.progress.finished(digest, Outcome::Transferred);
        Ok(())
    }

    /// Receives what is missing, over as many connections as it takes.
    async fn receive_all(
        &self,
        endpoint: &Endpoint,
        download: &Download<'_>,
        sink: &Sink,
    ) -> Result<(), FetchError> {
        let size_bytes = download.descriptor.size_bytes;
        let mut have = sink.kept_bytes;
        let mut failures = 0;
        while have < size_bytes {
            let before = have;
            let Err(error) = self.receive(endpoint, download, sink, &mut have).await else {
                continue;
            };
            let FetchError::Call(CallError::Transport(source)) = error else {
                return Err(error);
            };
            failures = if have > before { 1 } else { failures + 1 };
            if failures > FAILURES_MAX || !source.is_transient() {
                return Err(FetchError::Interrupted {
                    digest: download.digest().clone(),
                    received_bytes: have,
                    size_bytes,
                    source,
                });
            }
            download.progress.tell(TransferEvent::Retrying {
                digest: download.digest().clone(),
                host: endpoint.host().into(),
                reason: in_one_line(&source),
            });
            self.transport.pause(failures - 1).await;
        }
        Ok(())
    }

    /// Receives over one connection, from byte `have` on, and counts it up.
    async fn receive(
        &self,
        endpoint: &Endpoint,
        download: &Download<'_>,
        sink: &Sink,
        have: &mut u64,
    ) -> Result<(), FetchError> {
        let size_bytes = download.descriptor.size_bytes;
        let (mut response, mut skip) = self.request_rest(endpoint, download, *have).await?;
        loop {
            let next = tokio::time::timeout(BODY_TIMEOUT, response.chunk()).await;
            let next = next.map_err(|_| TransportError::TimedOut(endpoint.host().into()));
            let next = next.map_err(CallError::from)?;
            let next = next.map_err(|error| TransportError::new(endpoint.host(), error));
            let Some(mut bytes) = next.map_err(CallError::from)? else {
                break;
            };
            let skipped = bytes.len().min(usize::try_from(skip).unwrap_or(usize::MAX));
            skip -= skipped as u64;
            let bytes = bytes.split_off(skipped);
            *have += bytes.len() as u64;
            if *have > size_bytes {
                return Err(mismatch(endpoint, download, |digest| {
                    VerifyError::TooLong {
                        digest,
                        expected_bytes: size_bytes,
                    }
                }));
            }
            if !bytes.is_empty() && !sink.send(bytes).await {
                // The disk is full or the like: pretend to be done, finishing tells why.
                *have = size_bytes;
                return Ok(());
            }
            download.progress.tell(TransferEvent::Advanced {
                digest: download.digest().clone(),
                done_bytes: *have,
            });
        }
        if *have < size_bytes {
            // A body that ends early without the connection breaking is a truncated blob.
            return Err(mismatch(endpoint, download, |digest| {
                VerifyError::TooShort {
                    digest,
                    expected_bytes: size_bytes,
                    actual_bytes: *have,
                }
            }));
        }
        Ok(())
    }

    /// Asks for the bytes from `have` on; returns the answer and how many of its bytes are known.
    async fn request_rest(
        &self,
        endpoint: &Endpoint,
        download: &Download<'_>,
        have: u64,
    ) -> Result<(Response, u64), CallError> {
        let scopes = [Scope::pull(download.repository)];
        let url = endpoint.url(&blob_path(download.repository, download.digest()));
        let mut call = Call::new(Method::GET, url, &scopes);
        if have > 0 {
            call = call.header(RANGE, &format!("bytes={have}-"));
        }
        let response = self.transport.send(endpoint, &call).await?;
        match response.status().as_u16() {
            200 => Ok((response, have)),
            206 if have > 0 && starts_at(&response, have) => Ok((response, 0)),
            206 => Err(CallError::protocol(
                endpoint.host(),
                "another range than asked for",
            )),
            _ => Err(refusal(endpoint, response).await),
        }
    }
}

fn starts_at(response: &Response, have: u64) -> bool {
    let header = response.headers().get(CONTENT_RANGE);
    let text = header.and_then(|value| value.to_str().ok());
    let first = text.and_then(|text| text.strip_prefix("bytes ")?.split('-').next());
    first.and_then(|first| first.trim().parse().ok()) == Some(have)
}

fn mismatch(
    endpoint: &Endpoint,
    download: &Download<'_>,
    what: impl FnOnce(Digest) -> VerifyError,
) -> FetchError {
    FetchError::Mismatch {
        host: endpoint.host().into(),
        digest: download.digest().clone(),
        source: what(download.digest().clone()),
    }
}
