// SPDX-License-Identifier: Apache-2.0
//! Pull: tag to digest, digest to documents, documents to layers; the local tag last.
//!
//! Mirrors of the registry are asked first, for documents and for blobs; the registry itself is
//! the last resort, and its error is the one that counts.
//!
//! Spec: distribution-spec §Pull.

use futures_util::{StreamExt, TryStreamExt};
use oci::layout::ANNOTATION_INDEX_DIGEST;
use oci::{
    BlobError, Descriptor, Digest, Document, Image, ImageConfig, ImageError, Index, IndexError,
    Layout, ParseDocumentError, Platform, Reference, Repository,
};

use super::download::{Download, FetchError};
use super::error::CallError;
use super::manifest::manifest_ref;
use super::progress::{Outcome, Progress, TransferEvent, in_one_line};
use super::transport::Endpoint;
use super::{Client, blocking};
use crate::endpoint::ManifestRef;

/// The deepest nesting of indexes that is pulled.
const DEPTH_MAX: usize = 4;

/// Which images of an index are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Platforms {
    /// The one that runs best here. The index itself is not kept.
    One(Platform),
    /// All of them, with the index.
    All,
}

/// How to pull.
#[derive(Clone, Debug)]
pub struct PullOptions {
    /// What to take from an index.
    pub platforms: Platforms,
    /// Told what happens.
    pub progress: Progress,
}

/// What a pull brought.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pulled {
    /// What the tag names in the registry: an index or a manifest.
    pub digest: Digest,
    /// What the local tag names: the same, or the manifest that was chosen from it.
    pub descriptor: Descriptor,
}

/// What a reference means, without its layers.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Resolved {
    /// What the tag names in the registry: an index or a manifest.
    pub digest: Digest,
    /// The manifest for the wanted platform; if it came from an index, with that index's digest
    /// as an annotation, ready for [`Layout::tag`].
    pub descriptor: Descriptor,
    /// Manifest and config.
    pub image: Image,
}

/// Why a pull stopped. The local tag is written last, so it still names what it named before.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PullError {
    /// There is no such repository, tag or digest.
    #[error("image {0} does not exist")]
    NotFound(Reference, #[source] Box<CallError>),
    /// The credentials do not allow a pull. Registries also say so of what does not exist.
    #[error("not allowed to pull {0} (or it does not exist)")]
    Denied(Reference, #[source] Box<CallError>),
    /// The registry cannot be asked, or fails.
    #[error("cannot pull {0}")]
    Call(Reference, #[source] Box<CallError>),
    /// A manifest of Docker's first format, which no registry has accepted for years.
    #[error(
        "image {0} has a manifest of schema 1, which is not supported: push it again with a current docker"
    )]
    Schema1(Reference),
    /// A document makes no sense.
    #[error("image {reference} has a document {digest} that cannot be used")]
    Document {
        /// The image.
        reference: Reference,
        /// Manifest or index.
        digest: Digest,
        /// What is wrong with it.
        source: ParseDocumentError,
    },
    /// The image is not one, or not for the platform.
    #[error("cannot use image {0}")]
    Image(Reference, #[source] Box<ImageError>),
    /// A blob could not be fetched.
    #[error("cannot pull a blob of {0}")]
    Blob(Reference, #[source] Box<FetchError>),
    /// What was pulled cannot be stored.
    #[error("cannot store image {0}")]
    Store(Reference, #[source] BlobError),
    /// What was pulled cannot be tagged.
    #[error("cannot tag image {0}")]
    Tag(Reference, #[source] IndexError),
    /// Indexes are nested too deeply.
    #[error("image {0} is nested more than {DEPTH_MAX} levels deep")]
    TooDeep(Reference),
}

/// A pull under way.
struct Pull<'a> {
    reference: &'a Reference,
    /// Who answered for the first document, then the registry itself.
    hosts: Vec<String>,
    progress: &'a Progress,
}

impl Pull<'_> {
    fn repository(&self) -> &Repository {
        self.reference.repository()
    }

    fn call_error(&self, error: CallError) -> PullError {
        let make = if error.is_denied() {
            PullError::Denied
        } else if error.is_not_found() {
            PullError::NotFound
        } else {
            PullError::Call
        };
        make(self.reference.clone(), Box::new(error))
    }

    fn blob_error(&self, error: FetchError) -> PullError {
        PullError::Blob(self.reference.clone(), Box::new(error))
    }

    fn image_error(&self, error: ImageError) -> PullError {
        PullError::Image(self.reference.clone(), Box::new(error))
    }
}

impl Client {
    /// Pulls `reference` into `layout` and tags it there.
    ///
    /// # Errors
    ///
    /// See [`PullError`].
    ///
    /// # Cancellation
    ///
    /// Blobs that arrived stay until collected, halves of blobs too; the next pull continues.
    pub async fn pull(
        &self,
        reference: &Reference,
        layout: &Layout,
        options: &PullOptions,
    ) -> Result<Pulled, PullError> {
        let mut pull = self.start(reference, &options.progress);
        let document = self.first_document(&mut pull).await?;
        let digest = digest_as_named(reference, &document);
        let descriptor = match &options.platforms {
            Platforms::One(platform) => {
                let resolved = self.choose(&pull, document, platform).await?;
                self.fetch_image(&pull, layout, &resolved).await?
            }
            Platforms::All => self.fetch_tree(&pull, layout, document, 0).await?,
        };
        let (layout, name, tagged) = (layout.clone(), reference.clone(), descriptor.clone());
        let tag = blocking(move || layout.tag(&name, &tagged)).await;
        tag.map_err(|source| PullError::Tag(reference.clone(), source))?;
        Ok(Pulled { digest, descriptor })
    }

    /// Finds out what `reference` means for `platform`, without fetching layers.
    ///
    /// # Errors
    ///
    /// See [`PullError`].
    ///
    /// # Cancellation
    ///
    /// Nothing stays behind.
    pub async fn resolve(
        &self,
        reference: &Reference,
        platform: &Platform,
    ) -> Result<Resolved, PullError> {
        let progress = Progress::none();
        let mut pull = self.start(reference, &progress);
        let document = self.first_document(&mut pull).await?;
        self.choose(&pull, document, platform).await
    }

    fn start<'a>(&self, reference: &'a Reference, progress: &'a Progress) -> Pull<'a> {
        Pull {
            reference,
            hosts: self.hosts(reference.repository().host()),
            progress,
        }
    }

    /// Reads what the reference names. Mirrors that do not have it are not asked again.
    async fn first_document(&self, pull: &mut Pull<'_>) -> Result<Document, PullError> {
        let wanted = manifest_ref(pull.reference);
        while pull.hosts.len() > 1 {
            let mirror = pull.hosts[0].clone();
            let tried = async {
                let endpoint = self.transport.mirror(&mirror).await;
                let endpoint = endpoint.map_err(|error| pull.call_error(error))?;
                self.document(pull, &endpoint, &wanted).await
            };
            match tried.await {
                Ok(document) => return Ok(document),
                Err(error) => pull.progress.tell(TransferEvent::MirrorFailed {
                    host: mirror.as_str().into(),
                    reason: in_one_line(&error),
                }),
            }
            pull.hosts.remove(0);
        }
        let endpoint = self.transport.endpoint(pull.repository().host()).await;
        let endpoint = endpoint.map_err(|error| pull.call_error(error))?;
        self.document(pull, &endpoint, &wanted).await
    }

    /// Reads a document that another names, from the same hosts.
    async fn child_document(
        &self,
        pull: &Pull<'_>,
        child: &Descriptor,
    ) -> Result<Document, PullError> {
        let wanted = ManifestRef::Digest(child.digest.clone());
        let (last, mirrors) = pull
            .hosts
            .split_last()
            .expect("the registry is always there");
        for mirror in mirrors {
            if let Ok(endpoint) = self.transport.mirror(mirror).await
                && let Ok(document) = self.document(pull, &endpoint, &wanted).await
            {
                return Ok(document);
            }
        }
        let endpoint = self.transport.endpoint(last).await;
        let endpoint = endpoint.map_err(|error| pull.call_error(error))?;
        self.document(pull, &endpoint, &wanted).await
    }

    async fn document(
        &self,
        pull: &Pull<'_>,
        endpoint: &Endpoint,
        wanted: &ManifestRef,
    ) -> Result<Document, PullError> {
        let received = self.manifest_at(endpoint, pull.repository(), wanted).await;
        let received = received.map_err(|error| pull.call_error(error))?;
        let digest = match wanted {
            ManifestRef::Digest(digest) => digest.clone(),
            ManifestRef::Tag(_) => oci::sha256(&received.bytes),
        };
        let media_type = received.media_type.as_ref();
        Document::parse(received.bytes.to_vec(), media_type).map_err(|source| match source {
            ParseDocumentError::UnsupportedVersion(1) => PullError::Schema1(pull.reference.clone()),
            source => PullError::Document {
                reference: pull.reference.clone(),
                digest,
                source,
            },
        })
    }

    /// Goes from what a reference names to the image for one platform.
    async fn choose(
        &self,
        pull: &Pull<'_>,
        document: Document,
        platform: &Platform,
    ) -> Result<Resolved, PullError> {
        let digest = digest_as_named(pull.reference, &document);
        let (manifest, index_digest) = match document {
            Document::Index(index, _) => {
                let child = select(&index, &digest, platform);
                let child = child.map_err(|error| pull.image_error(error))?;
                (
                    self.child_document(pull, child).await?,
                    Some(digest.clone()),
                )
            }
            manifest @ Document::Manifest(..) => (manifest, None),
        };
        let image = self.image_of(pull, manifest).await?;
        let mut descriptor = image.descriptor().clone();
        descriptor.platform = Some(image.config().platform());
        if let Some(index_digest) = index_digest {
            let annotation = (ANNOTATION_INDEX_DIGEST.to_owned(), index_digest.to_string());
            descriptor.annotations.extend([annotation]);
        }
        Ok(Resolved {
            digest,
            descriptor,
            image,
        })
    }

    async fn image_of(&self, pull: &Pull<'_>, document: Document) -> Result<Image, PullError> {
        let Document::Manifest(manifest, _) = &document else {
            let error = ImageError::NestedIndex(document.digest());
            return Err(pull.image_error(error));
        };
        let config = manifest.config.clone();
        if !config.media_type.is_config() {
            // An artifact: do not fetch what may be anything.
            let violation = oci::Violation::ConfigType(config.media_type.clone());
            return Err(pull.image_error(ImageError::Invalid {
                digest: document.digest(),
                violations: vec![violation],
            }));
        }
        let mut last = None;
        for host in &pull.hosts {
            let tried = async {
                let endpoint = self.transport.endpoint(host).await?;
                let max_bytes = ImageConfig::SIZE_MAX_BYTES;
                self.read_at(&endpoint, pull.repository(), &config, max_bytes)
                    .await
            };
            match tried.await {
                Ok(bytes) => {
                    let image = Image::from_document(document, bytes.to_vec());
                    return image.map_err(|error| pull.image_error(error));
                }
                Err(error) => last = Some(error),
            }
        }
        let error = last.expect("the registry is always there");
        Err(pull.blob_error(error))
    }

    /// Stores an image with its layers.
    async fn fetch_image(
        &self,
        pull: &Pull<'_>,
        layout: &Layout,
        resolved: &Resolved,
    ) -> Result<Descriptor, PullError> {
        let layers = &resolved.image.manifest().layers;
        self.fetch_blobs(pull, layout, layers).await?;
        let (layout, image) = (layout.clone(), resolved.image.clone());
        let repository = pull.repository().clone();
        let written = blocking(move || {
            let written = image.write(&layout);
            layout.remember_source(image.id(), &repository);
            written
        });
        let store = |source| PullError::Store(pull.reference.clone(), source);
        written.await.map_err(store)?;
        Ok(resolved.descriptor.clone())
    }

    /// Stores a document with everything that it names, whatever that is.
    async fn fetch_tree(
        &self,
        pull: &Pull<'_>,
        layout: &Layout,
        document: Document,
        depth: usize,
    ) -> Result<Descriptor, PullError> {
        if depth > DEPTH_MAX {
            return Err(PullError::TooDeep(pull.reference.clone()));
        }
        match &document {
            Document::Manifest(manifest, _) => {
                let mut blobs = manifest.layers.clone();
                blobs.push(manifest.config.clone());
                self.fetch_blobs(pull, layout, &blobs).await?;
            }
            Document::Index(index, _) => {
                for child in &index.manifests {
                    let child = self.child_document(pull, child).await?;
                    Box::pin(self.fetch_tree(pull, layout, child, depth + 1)).await?;
                }
            }
        }
        let layout = layout.clone();
        let written = blocking(move || layout.put_bytes(document.media_type(), document.bytes()));
        let store = |source| PullError::Store(pull.reference.clone(), source);
        written.await.map_err(store)
    }

    async fn fetch_blobs(
        &self,
        pull: &Pull<'_>,
        layout: &Layout,
        blobs: &[Descriptor],
    ) -> Result<(), PullError> {
        let mut seen = std::collections::BTreeSet::new();
        let mut wanted = Vec::new();
        for blob in blobs {
            if blob.media_type.is_foreign_layer() {
                pull.progress.finished(&blob.digest, Outcome::Foreign);
            } else if seen.insert(&blob.digest) {
                wanted.push(blob);
            }
        }
        let fetches = wanted.into_iter().map(async |descriptor| {
            let download = Download {
                repository: pull.repository(),
                descriptor,
                layout,
                progress: pull.progress,
            };
            self.fetch(&pull.hosts, &download).await
        });
        futures_util::stream::iter(fetches)
            .buffer_unordered(self.transport.config().transfers_max.max(1))
            .try_collect::<()>()
            .await
            .map_err(|error| pull.blob_error(error))
    }
}

/// Returns the digest of a document in the algorithm in which it was asked for.
fn digest_as_named(reference: &Reference, document: &Document) -> Digest {
    let asked = reference.digest().cloned();
    asked.unwrap_or_else(|| document.digest())
}

fn select<'a>(
    index: &'a Index,
    digest: &Digest,
    platform: &Platform,
) -> Result<&'a Descriptor, ImageError> {
    index
        .select(platform)
        .ok_or_else(|| ImageError::NoPlatform {
            digest: digest.clone(),
            platform: Box::new(platform.clone()),
            offered: index.platforms(),
        })
}
