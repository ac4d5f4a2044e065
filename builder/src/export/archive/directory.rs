// SPDX-License-Identifier: Apache-2.0
//! Writes images into an OCI image layout directory (`type=oci,tar=false`).
//!
//! The directory may be a layout already: images are added to it, and names in it move.

use std::io::{self, Read};
use std::path::Path;

use oci::layout::{BlobError, IndexError, Layout, OpenLayoutError};
use oci::{Descriptor, Digest, Platform};

use super::document::ANNOTATION_IMAGE_NAME;
use super::reach::{Blobs, ReachError, reach};
use super::write::ArchiveImage;

/// How much of a blob is copied at once, in bytes.
const BUFFER_BYTES: usize = 256 << 10;

/// Why a layout directory was not written. Names in it move last.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteDirectoryError {
    /// The directory cannot be used.
    #[error("cannot write an image layout")]
    Open(#[from] OpenLayoutError),
    /// An image is not there or not complete.
    #[error("cannot collect what the layout holds")]
    Reach(#[from] ReachError),
    /// A blob cannot be found or stored.
    #[error("cannot copy blob {digest}")]
    Copy {
        /// The blob.
        digest: Digest,
        /// Why.
        source: BlobError,
    },
    /// A blob cannot be read, or is damaged.
    #[error("cannot read blob {digest}")]
    Read {
        /// The blob.
        digest: Digest,
        /// Why.
        source: io::Error,
    },
    /// The names cannot be written.
    #[error("cannot name the image")]
    Name(#[from] IndexError),
}

/// Writes `images` into the layout at `directory`, making it if needed. `platform` chooses among
/// the manifests of an index of which only some are here.
///
/// # Errors
///
/// See [`WriteDirectoryError`].
pub fn write_directory(
    layout: &Layout,
    images: &[ArchiveImage],
    platform: &Platform,
    directory: &Path,
) -> Result<(), WriteDirectoryError> {
    let mut blobs = Blobs::new();
    let mut roots = Vec::new();
    for image in images {
        let root = reach(layout, &image.descriptor, platform, &mut blobs)?;
        roots.push((root, &image.names));
    }
    let target = Layout::create(directory)?;
    for descriptor in blobs.values() {
        copy(layout, &target, descriptor)?;
    }
    for (mut root, names) in roots {
        root.annotations.clear();
        if names.is_empty() {
            target.add(&root)?;
        }
        for name in names {
            let annotation = (ANNOTATION_IMAGE_NAME.into(), name.to_string());
            root.annotations = [annotation].into();
            target.tag(name, &root)?;
        }
    }
    Ok(())
}

fn copy(from: &Layout, to: &Layout, blob: &Descriptor) -> Result<(), WriteDirectoryError> {
    let failed = |source| WriteDirectoryError::Copy {
        digest: blob.digest.clone(),
        source,
    };
    if to.has_blob(&blob.digest, blob.size_bytes).map_err(failed)? {
        return Ok(());
    }
    let mut reader = from.open_verified(blob).map_err(failed)?;
    let writer = to.create_blob_with(blob.digest.algorithm());
    let mut writer = writer.map_err(failed)?;
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let read = reader.read(&mut buffer);
        let count = read.map_err(|source| WriteDirectoryError::Read {
            digest: blob.digest.clone(),
            source,
        })?;
        if count == 0 {
            break;
        }
        writer.write_bytes(&buffer[..count]).map_err(failed)?;
    }
    let stored = writer.finish_unsynced(Some((&blob.digest, blob.size_bytes)));
    stored.map(drop).map_err(failed)
}
