// SPDX-License-Identifier: Apache-2.0
//! Push: layers, then config, then manifest; an index after all of its manifests; the tag last.
//!
//! What the registry has is not sent; what another repository of it has is mounted. A layer that
//! is not in the layout (a base image that was never unpacked) is fetched from where it is known
//! to be, and only if the registry needs it.
//!
//! Spec: distribution-spec §Push.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use oci::{
    BlobError, Descriptor, Digest, Document, ImageError, Layout, Manifest, MediaType, Reference,
    Repository, read_document,
};

use super::challenge::Scope;
use super::download::{Download, FetchError};
use super::error::{CallError, TransportError};
use super::progress::{Outcome, Progress, TransferEvent};
use super::transport::Endpoint;
use super::upload::{Opened, Upload, blob_error};
use super::{Client, blocking};

/// The deepest nesting of indexes that is pushed.
const DEPTH_MAX: usize = 4;
/// How many repositories are tried as sources of a mount.
const MOUNTS_MAX: usize = 2;

/// Why a push stopped. The tag is written last, so a failed push leaves no tag behind.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PushError {
    /// The credentials do not allow a push. Spec: distribution-spec code-12.
    #[error("not allowed to push to {0}")]
    Denied(Repository, #[source] Box<CallError>),
    /// The registry hashed other bytes than we did. Spec: code-4.
    #[error("{0} says blob {1} does not match its digest")]
    DigestRejected(Box<str>, Digest),
    /// The upload broke off and could not be resumed (end-13, then end-5).
    #[error("upload of blob {digest} stopped after {sent_bytes} of {size_bytes} bytes")]
    Interrupted {
        /// The blob being sent.
        digest: Digest,
        /// Bytes the registry has acknowledged, counted from the first.
        sent_bytes: u64,
        /// Bytes of the whole blob.
        size_bytes: u64,
        /// What broke the connection.
        source: TransportError,
    },
    /// A blob could not be sent for another reason.
    #[error("cannot push blob {digest}")]
    Blob {
        /// The blob.
        digest: Digest,
        /// Why.
        source: Box<CallError>,
    },
    /// A manifest or index was not accepted.
    #[error("cannot push manifest {reference}")]
    Manifest {
        /// Under which name.
        reference: Reference,
        /// Why.
        source: Box<CallError>,
    },
    /// The registry cannot be reached.
    #[error("cannot push to {0}")]
    Unreachable(Repository, #[source] Box<CallError>),
    /// A blob is neither here nor where it is known to have been.
    #[error("blob {digest} is missing from the image store and cannot be fetched")]
    Missing {
        /// The blob.
        digest: Digest,
        /// Why it cannot be fetched, or that nothing is known about it.
        source: Box<FetchError>,
    },
    /// A document of the image cannot be read.
    #[error("cannot read image {digest}")]
    Image {
        /// The manifest or index.
        digest: Digest,
        /// Why.
        source: Box<ImageError>,
    },
    /// The store cannot be read.
    #[error("cannot read the image store")]
    Store(#[source] BlobError),
    /// Indexes are nested too deeply.
    #[error("image {0} is nested more than {DEPTH_MAX} levels deep")]
    TooDeep(Digest),
}

impl PushError {
    pub(super) fn denied(repository: &Repository, error: CallError) -> Self {
        Self::Denied(repository.clone(), Box::new(error))
    }
}

/// What a push did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pushed {
    /// The manifest or index that the tag now names.
    pub descriptor: Descriptor,
}

struct Push<'a> {
    layout: &'a Layout,
    reference: &'a Reference,
    endpoint: Endpoint,
    progress: &'a Progress,
}

impl Push<'_> {
    fn repository(&self) -> &Repository {
        self.reference.repository()
    }
}

impl Client {
    /// Pushes the manifest or index `descriptor` of `layout` as `reference`.
    ///
    /// # Errors
    ///
    /// See [`PushError`].
    ///
    /// # Cancellation
    ///
    /// Blobs that were sent stay in the registry without a name and are found by the next push.
    pub async fn push(
        &self,
        layout: &Layout,
        descriptor: &Descriptor,
        reference: &Reference,
        progress: &Progress,
    ) -> Result<Pushed, PushError> {
        let repository = reference.repository();
        let endpoint = self.transport.endpoint(repository.host()).await;
        let endpoint = endpoint
            .map_err(|error| PushError::Unreachable(repository.clone(), Box::new(error)))?;
        let push = Push {
            layout,
            reference,
            endpoint,
            progress,
        };
        let document = self.push_contents(&push, descriptor, 0).await?;
        put_document(self, &push, &document, reference).await?;
        Ok(Pushed {
            descriptor: document.descriptor(),
        })
    }

    /// Pushes everything that a document names, but not the document.
    async fn push_contents(
        &self,
        push: &Push<'_>,
        descriptor: &Descriptor,
        depth: usize,
    ) -> Result<Document, PushError> {
        if depth > DEPTH_MAX {
            return Err(PushError::TooDeep(descriptor.digest.clone()));
        }
        let (layout, wanted) = (push.layout.clone(), descriptor.clone());
        let document = blocking(move || read_document(&layout, &wanted)).await;
        let document = document.map_err(|source| PushError::Image {
            digest: descriptor.digest.clone(),
            source: Box::new(source),
        })?;
        match &document {
            Document::Manifest(manifest, _) => self.push_blobs(push, manifest).await?,
            Document::Index(index, _) => {
                for child in &index.manifests {
                    let contents = Box::pin(self.push_contents(push, child, depth + 1));
                    let contents = contents.await?;
                    let repository = push.repository().clone();
                    let name = Reference::with_digest(repository, child.digest.clone());
                    put_document(self, push, &contents, &name).await?;
                }
            }
        }
        Ok(document)
    }

    /// Pushes the layers of a manifest side by side, then its config.
    async fn push_blobs(&self, push: &Push<'_>, manifest: &Manifest) -> Result<(), PushError> {
        // The same layer may be there several times; it is sent once.
        let layers: BTreeMap<&Digest, &Descriptor> = manifest
            .layers
            .iter()
            .filter(|layer| layer.digest != manifest.config.digest)
            .map(|layer| (&layer.digest, layer))
            .collect();
        let pushes = layers.values().map(|layer| self.push_blob(push, layer));
        futures_util::stream::iter(pushes)
            .buffer_unordered(self.transport.config().transfers_max.max(1))
            .try_collect::<()>()
            .await?;
        self.push_blob(push, &manifest.config).await
    }

    async fn push_blob(&self, push: &Push<'_>, blob: &Descriptor) -> Result<(), PushError> {
        if blob.media_type.is_foreign_layer() {
            push.progress.finished(&blob.digest, Outcome::Foreign);
            return Ok(());
        }
        push.progress.tell(TransferEvent::Started {
            digest: blob.digest.clone(),
            size_bytes: blob.size_bytes,
        });
        let upload = Upload {
            endpoint: &push.endpoint,
            repository: push.repository(),
            digest: &blob.digest,
            size_bytes: blob.size_bytes,
            path: push.layout.blob_path(&blob.digest),
            progress: push.progress,
        };
        let outcome = self.place(push, blob, &upload).await?;
        let (layout, digest) = (push.layout.clone(), blob.digest.clone());
        let repository = push.repository().clone();
        blocking(move || layout.remember_source(&digest, &repository)).await;
        push.progress.finished(&blob.digest, outcome);
        Ok(())
    }

    /// Gets a blob into the repository by the cheapest way.
    async fn place(
        &self,
        push: &Push<'_>,
        blob: &Descriptor,
        upload: &Upload<'_>,
    ) -> Result<Outcome, PushError> {
        let scopes = [Scope::push(push.repository())];
        let (endpoint, repository) = (&push.endpoint, push.repository());
        let found = self.stat_at(endpoint, repository, &blob.digest, &scopes);
        if found
            .await
            .map_err(|error| blob_error(upload, error))?
            .is_some()
        {
            return Ok(Outcome::Existed);
        }
        let (layout, digest) = (push.layout.clone(), blob.digest.clone());
        let sources = blocking(move || layout.sources(&digest)).await;
        let mut session = None;
        let mounts = sources
            .iter()
            .filter(|source| source.host() == repository.host() && *source != repository);
        for source in mounts.take(MOUNTS_MAX) {
            let mount = Some((&blob.digest, source));
            match self.open_upload(endpoint, repository, mount).await {
                Ok(Opened::Mounted) => return Ok(Outcome::Mounted(source.clone())),
                Ok(Opened::Session(url)) => {
                    session = Some(url);
                    break;
                }
                // Not to be allowed to read there is no reason to fail here.
                Err(error) if error.api().is_some() => {}
                Err(error) => return Err(blob_error(upload, error)),
            }
        }
        self.ensure_local(push, blob, &sources).await?;
        let session = match session {
            Some(session) => session,
            None => match self.open_upload(endpoint, repository, None).await {
                Ok(Opened::Session(session)) => session,
                Ok(Opened::Mounted) => return Ok(Outcome::Existed),
                Err(error) => return Err(blob_error(upload, error)),
            },
        };
        self.send_blob(upload, session).await
    }

    /// Fetches a blob that is not in the layout from the first place that still has it.
    async fn ensure_local(
        &self,
        push: &Push<'_>,
        blob: &Descriptor,
        sources: &[Repository],
    ) -> Result<(), PushError> {
        let (layout, wanted) = (push.layout.clone(), blob.clone());
        let present = blocking(move || layout.has_blob(&wanted.digest, wanted.size_bytes)).await;
        if present.map_err(PushError::Store)? {
            return Ok(());
        }
        let mut last = FetchError::Store(BlobError::NotFound(blob.digest.clone()));
        for source in sources {
            let download = Download {
                repository: source,
                descriptor: blob,
                layout: push.layout,
                progress: push.progress,
            };
            match self.fetch(&self.hosts(source.host()), &download).await {
                Ok(()) => return Ok(()),
                Err(error) => last = error,
            }
        }
        Err(PushError::Missing {
            digest: blob.digest.clone(),
            source: Box::new(last),
        })
    }
}

async fn put_document(
    client: &Client,
    push: &Push<'_>,
    document: &Document,
    reference: &Reference,
) -> Result<(), PushError> {
    let bytes = Bytes::copy_from_slice(document.bytes());
    let media_type: MediaType = document.media_type();
    let put = client.manifest_put(reference, &media_type, bytes).await;
    put.map_err(|error| {
        if error.is_denied() {
            return PushError::denied(push.repository(), error);
        }
        PushError::Manifest {
            reference: reference.clone(),
            source: Box::new(error),
        }
    })
}
