// SPDX-License-Identifier: Apache-2.0
//! Writes images as one tar file.
//!
//! The bytes depend on the images alone: entries are sorted, with time 0 and owner 0. The small
//! documents come first, so that a reader of a stream knows what it gets.

use std::io::{self, Read, Write};

use oci::layout::{BlobError, Layout};
use oci::{Descriptor, Digest, Image, Platform, Reference};

use super::document::{DOCKER_FILE, DockerImage, INDEX_FILE, LAYOUT_FILE};
use super::document::{docker_bytes, index_bytes, index_entries};
use super::reach::{Blobs, ReachError, reach};

/// An image to write, under its names.
#[derive(Clone, Debug)]
pub struct ArchiveImage {
    /// Its manifest or index in the store.
    pub descriptor: Descriptor,
    /// Names that the archive records, in order; none for an image that only has an ID.
    pub names: Vec<Reference>,
}

/// What an archive is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArchiveKind {
    /// An OCI image layout.
    Oci,
    /// The same with `manifest.json`, for `docker load`.
    Docker,
}

/// Why an archive was not written, or not to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteArchiveError {
    /// An image is not there or not complete. Nothing was written.
    #[error("cannot collect what the archive holds")]
    Reach(#[from] ReachError),
    /// A blob cannot be read, or is damaged.
    #[error("cannot read blob {digest}")]
    Blob {
        /// The blob.
        digest: Digest,
        /// Why.
        source: BlobError,
    },
    /// A blob cannot be copied: it is damaged, or the destination refuses.
    #[error("cannot write {entry} to the archive")]
    Write {
        /// The entry of the archive.
        entry: String,
        /// Why.
        source: io::Error,
    },
}

/// Writes `images` to `out`. In a docker archive, `platform` chooses among the manifests of an
/// index, because `manifest.json` has no platforms.
///
/// # Errors
///
/// See [`WriteArchiveError`]; `out` then holds the beginning of an archive.
pub fn write(
    layout: &Layout,
    images: &[ArchiveImage],
    kind: ArchiveKind,
    platform: &Platform,
    out: &mut dyn Write,
) -> Result<(), WriteArchiveError> {
    let mut blobs = Blobs::new();
    let mut entries = Vec::new();
    let mut docker = Vec::new();
    for image in images {
        let root = reach(layout, &image.descriptor, platform, &mut blobs)?;
        if kind == ArchiveKind::Docker {
            docker.push(docker_image(layout, &root, &image.names, platform)?);
        }
        entries.extend(index_entries(&root, &image.names));
    }
    let mut archive = Archive::new(out);
    archive.put(LAYOUT_FILE.0, LAYOUT_FILE.1)?;
    archive.put(INDEX_FILE, &index_bytes(entries))?;
    if kind == ArchiveKind::Docker {
        archive.put(DOCKER_FILE, &docker_bytes(&docker))?;
    }
    archive.put_blobs(layout, &blobs)?;
    archive.finish()
}

fn docker_image(
    layout: &Layout,
    root: &Descriptor,
    names: &[Reference],
    platform: &Platform,
) -> Result<DockerImage, ReachError> {
    let image = Image::read(layout, root, platform).map_err(|source| ReachError::Image {
        digest: root.digest.clone(),
        source,
    })?;
    let tags = names.iter().filter(|name| name.tag().is_some());
    let tags: Vec<String> = tags.map(Reference::familiar).collect();
    let layers = image.manifest().layers.iter();
    Ok(DockerImage {
        config: blob_path(image.id()),
        repo_tags: (!tags.is_empty()).then_some(tags),
        layers: Some(layers.map(|layer| blob_path(&layer.digest)).collect()),
    })
}

fn blob_path(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm(), digest.hex())
}

/// A tar file being written.
struct Archive<'a> {
    builder: tar::Builder<&'a mut dyn Write>,
}

impl<'a> Archive<'a> {
    fn new(out: &'a mut dyn Write) -> Self {
        Self {
            builder: tar::Builder::new(out),
        }
    }

    fn put(&mut self, path: &str, bytes: &[u8]) -> Result<(), WriteArchiveError> {
        self.put_stream(path, bytes.len() as u64, bytes)
    }

    fn put_stream(
        &mut self,
        path: &str,
        size_bytes: u64,
        from: impl Read,
    ) -> Result<(), WriteArchiveError> {
        let mut header = header(tar::EntryType::Regular, 0o644);
        header.set_size(size_bytes);
        self.builder
            .append_data(&mut header, path, from)
            .map_err(write_error(path))
    }

    fn put_directory(&mut self, path: &str) -> Result<(), WriteArchiveError> {
        let mut header = header(tar::EntryType::Directory, 0o755);
        self.builder
            .append_data(&mut header, path, io::empty())
            .map_err(write_error(path))
    }

    fn put_blobs(&mut self, layout: &Layout, blobs: &Blobs) -> Result<(), WriteArchiveError> {
        self.put_directory("blobs/")?;
        let mut algorithm = None;
        for (digest, descriptor) in blobs {
            if algorithm != Some(digest.algorithm()) {
                algorithm = Some(digest.algorithm());
                self.put_directory(&format!("blobs/{}/", digest.algorithm()))?;
            }
            let blob = layout.open_verified(descriptor);
            let blob = blob.map_err(|source| WriteArchiveError::Blob {
                digest: digest.clone(),
                source,
            })?;
            self.put_stream(&blob_path(digest), descriptor.size_bytes, blob)?;
        }
        Ok(())
    }

    fn finish(self) -> Result<(), WriteArchiveError> {
        let end = self.builder.into_inner().and_then(Write::flush);
        end.map_err(write_error("the end"))
    }
}

fn header(kind: tar::EntryType, mode: u32) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(0);
    header
}

fn write_error(entry: &str) -> impl FnOnce(io::Error) -> WriteArchiveError {
    let entry = entry.to_owned();
    |source| WriteArchiveError::Write { entry, source }
}
