// SPDX-License-Identifier: Apache-2.0
//! Which blobs an image needs: what goes into an archive.

use std::collections::BTreeMap;

use oci::layout::{BlobError, Layout};
use oci::{Descriptor, Digest, Document, Image, ImageError, Platform, read_document};

/// The deepest nesting of indexes that is followed.
const DEPTH_MAX: usize = 8;

/// Why an image cannot be written out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReachError {
    /// A manifest, index or config cannot be read.
    #[error("cannot read image {digest}")]
    Image {
        /// The image.
        digest: Digest,
        /// Why.
        source: ImageError,
    },
    /// A layer is not in the store.
    #[error("image {image} is not complete")]
    Blob {
        /// The image.
        image: Digest,
        /// What is missing.
        source: BlobError,
    },
    /// Indexes are nested too deeply.
    #[error("image {0} is nested more than {DEPTH_MAX} levels deep")]
    TooDeep(Digest),
}

/// Blobs to write, by digest, with their descriptors.
pub(super) type Blobs = BTreeMap<Digest, Descriptor>;

/// Returns what stands for the image in an archive, and adds all its blobs to `blobs`.
///
/// An index stands for itself if all its manifests are here, else for the one that runs best on
/// `platform`: a pull of one platform keeps the index but not the images of the others.
pub(super) fn reach(
    layout: &Layout,
    image: &Descriptor,
    platform: &Platform,
    blobs: &mut Blobs,
) -> Result<Descriptor, ReachError> {
    let root = complete_root(layout, image, platform)?;
    add(layout, &root, blobs, 0)?;
    Ok(root)
}

fn complete_root(
    layout: &Layout,
    image: &Descriptor,
    platform: &Platform,
) -> Result<Descriptor, ReachError> {
    let failed = |source| ReachError::Image {
        digest: image.digest.clone(),
        source,
    };
    let Document::Index(index, _) = read_document(layout, image).map_err(failed)? else {
        return Ok(image.clone());
    };
    for child in &index.manifests {
        let size_bytes = layout
            .stat_blob(&child.digest)
            .map_err(|error| failed(error.into()))?;
        if size_bytes != Some(child.size_bytes) {
            let one = Image::read(layout, image, platform).map_err(failed)?;
            return Ok(one.descriptor().clone());
        }
    }
    Ok(image.clone())
}

fn add(
    layout: &Layout,
    descriptor: &Descriptor,
    blobs: &mut Blobs,
    depth: usize,
) -> Result<(), ReachError> {
    if depth > DEPTH_MAX {
        return Err(ReachError::TooDeep(descriptor.digest.clone()));
    }
    let document = read_document(layout, descriptor).map_err(|source| ReachError::Image {
        digest: descriptor.digest.clone(),
        source,
    })?;
    match document {
        Document::Index(index, _) => {
            for child in &index.manifests {
                add(layout, child, blobs, depth + 1)?;
            }
        }
        Document::Manifest(manifest, _) => {
            for blob in std::iter::once(&manifest.config).chain(&manifest.layers) {
                add_blob(layout, &descriptor.digest, blob, blobs)?;
            }
        }
    }
    blobs.insert(descriptor.digest.clone(), descriptor.clone());
    Ok(())
}

fn add_blob(
    layout: &Layout,
    image: &Digest,
    blob: &Descriptor,
    blobs: &mut Blobs,
) -> Result<(), ReachError> {
    let failed = |source| ReachError::Blob {
        image: image.clone(),
        source,
    };
    let size_bytes = layout.stat_blob(&blob.digest).map_err(failed)?;
    if size_bytes != Some(blob.size_bytes) {
        // Layers that must not be distributed are had from their own place.
        if !blob.urls.is_empty() {
            return Ok(());
        }
        return Err(failed(BlobError::NotFound(blob.digest.clone())));
    }
    blobs.insert(blob.digest.clone(), blob.clone());
    Ok(())
}
