// SPDX-License-Identifier: Apache-2.0
//! FROM: the root file system of an image.
//!
//! The key of an image is the chain ID of its layers, which its config names: a step on top of it is
//! found in the cache without a byte of the layers being fetched. They are fetched and unpacked when
//! something is to run on them.
//!
//! Spec: image-spec `config.md` §Layer ChainID, `layer.md` §Applying Changesets.

use std::collections::BTreeMap;
use std::sync::Arc;

use cache::{ApplyError, CacheKey, SnapshotId, Store};
use futures_util::{StreamExt, TryStreamExt, stream};
use graph::{SourceOp, VertexId};
use oci::layout::{BlobError, Layout};
use oci::{ChainId, Descriptor, DiffId, Digest, Image, Platform, Reference, chain_ids};
use registry::client::{Client, FetchError, Progress};

use super::{Ops, Output};
use crate::result::{self, LayerBlob};
use crate::solver::driver::Ran;
use crate::step_error::StepError;
use crate::transfer;

/// The form under which the blobs of unpacked layers are remembered: as they came.
pub(crate) const PULLED: &str = "pulled";
/// How many bytes of a layer are copied at a time.
const COPY_BYTES: usize = 256 << 10;
/// How many layers are fetched at the same time.
const FETCHES_MAX: usize = 4;

/// An image that a source operation names.
#[derive(Clone, Debug)]
pub(crate) struct SourceImage {
    /// Where it is from.
    pub(crate) reference: Reference,
    /// Manifest and config.
    pub(crate) image: Image,
    /// The layout that has its layers; none if the local store or a registry has them.
    pub(crate) layout: Option<Layout>,
}

/// The images of one build, by identifier of the source and platform. One that was asked for by
/// name is known by that and by its digest; one that stands alone is for another platform than was
/// asked for perhaps, and a vertex may name either.
#[derive(Clone, Debug, Default)]
pub(crate) struct ImageSources(BTreeMap<(String, String), SourceImage>);

impl ImageSources {
    pub(crate) fn insert(&mut self, digest: &Digest, platform: &Platform, source: &SourceImage) {
        let asked = platform.normalized().to_string();
        let own = source.image.config().platform().normalized().to_string();
        let mut add = |name: String| {
            let own = (name.clone(), own.clone());
            self.0.entry(own).or_insert_with(|| source.clone());
            self.0.insert((name, asked.clone()), source.clone());
        };
        if source.layout.is_some() {
            return add(format!("oci-layout://{digest}"));
        }
        add(format!("docker-image://{}", source.reference));
        add(format!("docker-image://{digest}"));
    }

    /// Returns the image that a source operation names.
    pub(crate) fn get(&self, source: &SourceOp, platform: &Platform) -> Option<&SourceImage> {
        let (scheme, name) = source.identifier.split_once("://")?;
        let reference: Reference = name.parse().ok()?;
        let name = match reference.digest() {
            Some(digest) => digest.to_string(),
            None => reference.to_string(),
        };
        let platform = platform.normalized().to_string();
        self.0.get(&(format!("{scheme}://{name}"), platform))
    }
}

/// Why the layers of an image did not become a root file system.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageFetchError {
    /// A layer could not be fetched.
    #[error("cannot fetch layer {digest}")]
    Fetch {
        /// The layer.
        digest: Digest,
        /// Why.
        source: FetchError,
    },
    /// A layer could not be read from the image store.
    #[error("cannot read layer {digest}")]
    Blob {
        /// The layer.
        digest: Digest,
        /// Why.
        source: BlobError,
    },
    /// A layer could not be unpacked.
    #[error("cannot unpack layer {digest}")]
    Apply {
        /// The layer.
        digest: Digest,
        /// Why.
        source: ApplyError,
    },
    /// A layer unpacks to something else than the config says.
    #[error("layer {digest} unpacks to {actual}, but the image's config says {expected}")]
    WrongDiffId {
        /// The layer.
        digest: Digest,
        /// What the config says.
        expected: DiffId,
        /// What came out.
        actual: DiffId,
    },
    /// A layer's root directory could not be opened.
    #[error("cannot open the snapshot of a layer")]
    View(#[from] cache::ViewError),
    /// The cache failed.
    #[error("the build cache failed")]
    Snapshot(#[from] cache::SnapshotError),
    /// The cache failed.
    #[error("the build cache failed")]
    Record(#[from] cache::RecordError),
}

fn bad(source: &SourceOp) -> StepError {
    StepError::BadSource(source.identifier.clone())
}

fn platform_of(ops: &Ops, id: VertexId) -> Platform {
    ops.graph
        .vertex(id)
        .platform
        .clone()
        .unwrap_or_else(Platform::host)
}

/// Returns the key of an image: what it contains, not what it is called.
pub(crate) fn identify(ops: &Ops, id: VertexId, source: &SourceOp) -> Result<CacheKey, StepError> {
    let platform = platform_of(ops, id);
    let found = ops
        .images
        .get(source, &platform)
        .ok_or_else(|| bad(source))?;
    let chain = chain_ids(&found.image.config().rootfs.diff_ids);
    let content = chain
        .last()
        .map_or_else(|| "scratch".to_owned(), ToString::to_string);
    Ok(CacheKey::of(
        "image 1",
        &[content.as_bytes(), platform.to_string().as_bytes()],
    ))
}

/// Fetches and unpacks the image of a source vertex.
pub(crate) async fn fetch(ops: &Arc<Ops>, id: VertexId) -> Result<Ran<Output>, StepError> {
    let source = ops.source(id).ok_or(StepError::BadSource(String::new()))?;
    let found = ops
        .images
        .get(source, &platform_of(ops, id))
        .ok_or_else(|| bad(source))?
        .clone();
    let progress = match ops.report.step(id) {
        Some(step) => transfer::progress(ops.report.clone(), step),
        None => Progress::none(),
    };
    let unpack = Unpack {
        store: ops.store.clone(),
        layout: ops.layout.clone(),
        client: ops.client.clone(),
    };
    let unpacked = tokio::select! {
        unpacked = unpack.run(&found, &progress) => unpacked,
        () = ops.cancel.cancelled() => return Err(StepError::Cancelled),
    };
    let unpacked = unpacked.map_err(|source| StepError::Image {
        reference: Box::new(found.reference.clone()),
        source,
    })?;
    Ok(Ran {
        output: Output::Tree(unpacked.snapshot),
        cached: unpacked.cached,
    })
}

/// Turns images into root file systems.
#[derive(Clone, Debug)]
pub(crate) struct Unpack {
    pub(crate) store: Store,
    pub(crate) layout: Layout,
    pub(crate) client: Client,
}

/// A root file system made of an image.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unpacked {
    /// None for an image without layers.
    pub(crate) snapshot: Option<SnapshotId>,
    /// Whether it was there already.
    pub(crate) cached: bool,
}

struct Layer {
    descriptor: Descriptor,
    diff_id: DiffId,
    chain_id: ChainId,
}

impl Unpack {
    /// Makes sure that the layers of an image are unpacked.
    pub(crate) async fn run(
        &self,
        source: &SourceImage,
        progress: &Progress,
    ) -> Result<Unpacked, ImageFetchError> {
        let chain = chain_ids(&source.image.config().rootfs.diff_ids);
        let layers: Vec<Layer> = source
            .image
            .layers()
            .zip(chain)
            .map(|((descriptor, diff_id), chain_id)| Layer {
                descriptor: descriptor.clone(),
                diff_id: diff_id.clone(),
                chain_id,
            })
            .collect();
        let (mut parent, present) = self.longest_present(&layers)?;
        let missing = &layers[present..];
        let descriptors: Vec<Descriptor> = missing
            .iter()
            .map(|layer| layer.descriptor.clone())
            .collect();
        let fetched = stream::iter(descriptors)
            .map(|descriptor| self.fetch_layer(source, descriptor, progress))
            .buffered(FETCHES_MAX);
        let mut fetched = std::pin::pin!(fetched);
        let mut next = missing.iter();
        // Fetched in parallel, unpacked in order, each as soon as it is there.
        while let Some(()) = fetched.try_next().await? {
            let Some(layer) = next.next() else { break };
            parent = Some(self.unpack_aside(layer, parent).await?);
        }
        Ok(Unpacked {
            snapshot: parent,
            cached: missing.is_empty(),
        })
    }

    async fn fetch_layer(
        &self,
        source: &SourceImage,
        descriptor: Descriptor,
        progress: &Progress,
    ) -> Result<(), ImageFetchError> {
        if let Some(layout) = &source.layout {
            let (from, to) = (layout.clone(), self.layout.clone());
            let copied = tokio::task::spawn_blocking(move || {
                let copied = copy_blob(&from, &to, &descriptor);
                copied.map_err(|source| ImageFetchError::Blob {
                    digest: descriptor.digest,
                    source,
                })
            });
            return copied.await.expect("copying a blob does not panic");
        }
        let repository = source.reference.repository();
        let fetch = self
            .client
            .fetch_blob(repository, &descriptor, &self.layout, progress);
        fetch.await.map_err(|source| ImageFetchError::Fetch {
            digest: descriptor.digest.clone(),
            source,
        })
    }

    /// Returns the snapshot of the longest prefix that is unpacked, and its length.
    fn longest_present(
        &self,
        layers: &[Layer],
    ) -> Result<(Option<SnapshotId>, usize), ImageFetchError> {
        for (at, layer) in layers.iter().enumerate().rev() {
            if let Some(snapshot) = self.store.by_chain_id(&layer.chain_id)? {
                return Ok((Some(snapshot), at + 1));
            }
        }
        Ok((None, 0))
    }

    async fn unpack_aside(
        &self,
        layer: &Layer,
        parent: Option<SnapshotId>,
    ) -> Result<SnapshotId, ImageFetchError> {
        let this = self.clone();
        let layer = Layer {
            descriptor: layer.descriptor.clone(),
            diff_id: layer.diff_id.clone(),
            chain_id: layer.chain_id.clone(),
        };
        tokio::task::spawn_blocking(move || this.unpack(&layer, parent))
            .await
            .expect("unpacking does not panic")
    }

    fn unpack(
        &self,
        layer: &Layer,
        parent: Option<SnapshotId>,
    ) -> Result<SnapshotId, ImageFetchError> {
        let digest = &layer.descriptor.digest;
        let blob = self
            .layout
            .open_blob(digest)
            .map_err(|source| ImageFetchError::Blob {
                digest: digest.clone(),
                source,
            })?;
        let active = self.store.prepare(parent)?;
        let applied = cache::apply_layer(blob, &active.upper()?).map_err(|source| {
            ImageFetchError::Apply {
                digest: digest.clone(),
                source,
            }
        })?;
        if applied.diff_id != layer.diff_id {
            return Err(ImageFetchError::WrongDiffId {
                digest: digest.clone(),
                expected: layer.diff_id.clone(),
                actual: applied.diff_id,
            });
        }
        let snapshot = self.store.commit(active, Some(&layer.chain_id))?;
        let blob = LayerBlob {
            diff_id: layer.diff_id.clone(),
            descriptor: layer.descriptor.clone(),
        };
        self.store
            .put_all(&[result::blob_record(snapshot, PULLED, &blob)])?;
        Ok(snapshot)
    }
}

/// Copies a blob between layouts, if it is not there; it is verified on the way.
fn copy_blob(from: &Layout, to: &Layout, descriptor: &Descriptor) -> Result<(), BlobError> {
    if to.has_blob(&descriptor.digest, descriptor.size_bytes)? {
        return Ok(());
    }
    let mut blob = from.open_verified(descriptor)?;
    let mut writer = to.create_blob_with(descriptor.digest.algorithm())?;
    let mut buffer = vec![0; COPY_BYTES];
    loop {
        let read = std::io::Read::read(&mut blob, &mut buffer);
        let read = read.map_err(|source| BlobError::Io {
            action: "read",
            path: from.blob_path(&descriptor.digest),
            source,
        })?;
        if read == 0 {
            break;
        }
        writer.write_bytes(&buffer[..read])?;
    }
    writer.finish(Some((&descriptor.digest, descriptor.size_bytes)))?;
    Ok(())
}
