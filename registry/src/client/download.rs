// SPDX-License-Identifier: Apache-2.0
//! One blob from a registry into a layout: streamed, verified, resumed.
//!
//! The reactor receives; a blocking thread hashes and writes (`sink.rs`). A connection that breaks
//! is made anew from the byte where it stopped (`Range`), and what a pull leaves unfinished the
//! next one continues, whichever host it comes from: the digest is checked over the whole at the
//! end. A large blob comes over several connections (`ranges.rs`) if the host gives ranges.
//!
//! Spec: distribution-spec §Pulling blobs (end-2), RFC 9110 §14 Range Requests.

use bytes::Bytes;
use http::Method;
use http::header::{CONTENT_RANGE, RANGE};
use oci::{BlobError, Descriptor, Digest, Layout, Repository, VerifyError};
use reqwest::Response;

use super::blob::blob_path;
use super::challenge::Scope;
use super::error::{CallError, TransportError};
use super::progress::{Outcome, Progress, TransferEvent, in_one_line};
use super::ranges::{ContentRange, RangesError};
use super::sink::Sink;
use super::transport::{BODY_TIMEOUT, Call, Endpoint, Slot, refusal};
use super::{Client, blocking};

/// How many broken connections in a row, without a byte between them, end a download.
const FAILURES_MAX: u32 = 5;

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
    /// Part of a large blob could not be fetched. The next download asks only for what is missing.
    #[error(
        "cannot fetch bytes {first_byte}-{last_byte} of blob {digest} ({received_bytes} of \
         {size_bytes} bytes are kept)"
    )]
    Range {
        /// The blob.
        digest: Digest,
        /// The first byte that was asked for in vain.
        first_byte: u64,
        /// The last one.
        last_byte: u64,
        /// Bytes that are kept, of all parts.
        received_bytes: u64,
        /// Bytes of the whole blob.
        size_bytes: u64,
        /// What went wrong.
        source: Box<CallError>,
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
    pub(super) fn digest(&self) -> &Digest {
        &self.descriptor.digest
    }

    pub(super) fn advanced(&self, done_bytes: u64) {
        self.progress.tell(TransferEvent::Advanced {
            digest: self.digest().clone(),
            done_bytes,
        });
    }

    pub(super) fn retrying(&self, endpoint: &Endpoint, source: &TransportError) {
        self.progress.tell(TransferEvent::Retrying {
            digest: self.digest().clone(),
            host: endpoint.host().into(),
            reason: in_one_line(source),
        });
    }
}

/// How many connections broke in a row without a byte between them.
#[derive(Debug, Default)]
pub(super) struct Patience(u32);

impl Patience {
    /// Counts a broken connection; returns how many tries preceded the next, none if there is to
    /// be none.
    pub(super) fn after(&mut self, source: &TransportError, has_progressed: bool) -> Option<u32> {
        self.0 = if has_progressed { 1 } else { self.0 + 1 };
        let again = self.0 <= FAILURES_MAX && source.is_transient();
        again.then_some(self.0 - 1)
    }
}

/// Whether a download is over.
enum Attempt {
    Stored,
    /// What was kept of an earlier one was damaged and is thrown away.
    StartOver,
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
        while let Attempt::StartOver = self.attempt(endpoint, download).await? {}
        let (layout, digest) = (download.layout.clone(), download.digest().clone());
        let repository = download.repository.clone();
        blocking(move || layout.remember_source(&digest, &repository)).await;
        let digest = download.digest();
        download.progress.finished(digest, Outcome::Transferred);
        Ok(())
    }

    /// Receives what is missing, in parts if that is worth it and possible, and verifies the whole.
    async fn attempt(
        &self,
        endpoint: &Endpoint,
        download: &Download<'_>,
    ) -> Result<Attempt, FetchError> {
        let (layout, descriptor) = (download.layout, download.descriptor);
        let config = self.transport.config();
        let mut opened = None;
        if descriptor.size_bytes >= config.parts_from_bytes && endpoint.gives_ranges() {
            let sink = Sink::open_parts(layout, descriptor, config.part_bytes).await;
            let sink = sink.map_err(FetchError::Store)?;
            match self.receive_parts(endpoint, download, &sink).await {
                Ok(()) => return finish(sink, endpoint).await,
                Err(error) => {
                    sink.abandon().await;
                    match error {
                        RangesError::Fetch(error) => return Err(error),
                        RangesError::Unsupported(whole) => opened = whole,
                    }
                }
            }
            if opened.is_none() {
                endpoint.distrust_ranges();
            }
        }
        let sink = Sink::open(layout, descriptor).await;
        let sink = sink.map_err(FetchError::Store)?;
        match self.receive_all(endpoint, download, &sink, opened).await {
            Ok(()) => finish(sink, endpoint).await,
            Err(error) => {
                sink.abandon().await;
                Err(error)
            }
        }
    }

    /// Receives what is missing as one stream, over as many connections as it takes, of which one
    /// may be open already: it gives the blob from its first byte on.
    async fn receive_all(
        &self,
        endpoint: &Endpoint,
        download: &Download<'_>,
        sink: &Sink,
        opened: Option<(Response, Slot)>,
    ) -> Result<(), FetchError> {
        let size_bytes = download.descriptor.size_bytes;
        let mut have = sink.kept_bytes;
        if have == size_bytes {
            return Ok(());
        }
        let (mut opened, _slot) = match opened {
            Some((response, slot)) => (Some((response, have)), slot),
            None => (None, endpoint.slot().await),
        };
        let mut patience = Patience::default();
        while have < size_bytes {
            let before = have;
            let received = async {
                let opened = match opened.take() {
                    Some(opened) => opened,
                    None => self.request_rest(endpoint, download, have).await?,
                };
                receive(endpoint, download, sink, opened, &mut have).await
            };
            let source = match received.await {
                Ok(()) => continue,
                Err(FetchError::Call(CallError::Transport(source))) => source,
                Err(error) => return Err(error),
            };
            let Some(retries) = patience.after(&source, have > before) else {
                return Err(FetchError::Interrupted {
                    digest: download.digest().clone(),
                    received_bytes: have,
                    size_bytes,
                    source,
                });
            };
            download.retrying(endpoint, &source);
            self.transport.pause(retries).await;
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
        if have > 0 && endpoint.gives_ranges() {
            let range = format!("bytes={have}-");
            let call = Call::new(Method::GET, url.clone(), &scopes).header(RANGE, &range);
            let response = self.transport.send(endpoint, &call).await?;
            match response.status().as_u16() {
                200 => return Ok((response, have)),
                206 if starts_at(&response, have) => return Ok((response, 0)),
                // Another range than asked for; the blob as a whole may be right.
                206 | 416 => endpoint.distrust_ranges(),
                _ => return Err(refusal(endpoint, response).await),
            }
        }
        let call = Call::new(Method::GET, url, &scopes);
        let response = self.transport.expect(endpoint, &call, &[200]).await?;
        Ok((response, have))
    }
}

/// Receives over one connection, from byte `have` on, and counts it up. Of the answer the first
/// `skip` bytes are known.
async fn receive(
    endpoint: &Endpoint,
    download: &Download<'_>,
    sink: &Sink,
    (mut response, mut skip): (Response, u64),
    have: &mut u64,
) -> Result<(), FetchError> {
    let size_bytes = download.descriptor.size_bytes;
    while let Some(mut bytes) = next_chunk(endpoint, &mut response).await? {
        let skipped = bytes.len().min(usize::try_from(skip).unwrap_or(usize::MAX));
        skip -= skipped as u64;
        let bytes = bytes.split_off(skipped);
        let offset = *have;
        *have += bytes.len() as u64;
        if *have > size_bytes {
            return Err(mismatch(endpoint, download, |digest| {
                VerifyError::TooLong {
                    digest,
                    expected_bytes: size_bytes,
                }
            }));
        }
        if !bytes.is_empty() && !sink.send(offset, bytes).await {
            // The disk is full or the like: pretend to be done, finishing tells why.
            *have = size_bytes;
            return Ok(());
        }
        download.advanced(*have);
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

/// Returns the next bytes of a body, none at its end.
pub(super) async fn next_chunk(
    endpoint: &Endpoint,
    response: &mut Response,
) -> Result<Option<Bytes>, FetchError> {
    let next = tokio::time::timeout(BODY_TIMEOUT, response.chunk()).await;
    let next = next.map_err(|_| TransportError::TimedOut(endpoint.host().into()));
    let next = next.map_err(CallError::from)?;
    let next = next.map_err(|error| TransportError::new(endpoint.host(), error));
    Ok(next.map_err(CallError::from)?)
}

/// Verifies what was received, and gives it its name.
async fn finish(sink: Sink, endpoint: &Endpoint) -> Result<Attempt, FetchError> {
    let resumed = sink.kept_bytes > 0;
    match sink.finish().await {
        Ok(()) => Ok(Attempt::Stored),
        // What an earlier pull left may be damaged; finishing has thrown it away.
        Err(BlobError::Mismatch { .. }) if resumed => Ok(Attempt::StartOver),
        Err(BlobError::Mismatch { digest, source }) => Err(FetchError::Mismatch {
            host: endpoint.host().into(),
            digest,
            source,
        }),
        Err(error) => Err(FetchError::Store(error)),
    }
}

fn starts_at(response: &Response, have: u64) -> bool {
    let header = response.headers().get(CONTENT_RANGE);
    let range = header.and_then(|value| ContentRange::parse(value.to_str().ok()?));
    range.is_some_and(|range| range.first == have)
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
