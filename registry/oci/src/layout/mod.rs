// SPDX-License-Identifier: Apache-2.0
//! An image layout on a disk: the local image store, readable by every OCI tool.
//!
//! Owns this directory:
//!
//! ```text
//! oci-layout                  {"imageLayoutVersion":"1.0.0"}
//! index.json                  one entry per tag, and one per image without a tag
//! blobs/<algorithm>/<hex>     content under the digest of its bytes
//! .kiln/writers.lock          locked shared from a process's first write to its end
//! .kiln/lock                  locked shared to publish or touch a blob, exclusively to collect
//! .kiln/index.lock            locked to change index.json
//! .kiln/ingest/<name>         blobs being written; locked by their writer
//! .kiln/partial/<digest>      downloads that broke off, continued by the next one; `ranged.rs`
//! .kiln/sources/<digest>      repositories known to have the blob, one a line
//! ```
//!
//! Does not know registries, builds or archives.
//!
//! Invariants
//! 1. A file under `blobs/` was hashed while it was written and renamed into place when complete.
//! 2. [`Layout::tag`] syncs first: whatever a tag names is on the disk before the tag is. After a
//!    loss of power only blobs that no tag reaches can be torn; a wrong size counts as absent.
//! 3. `index.json` is replaced by rename, never written in place, and only under its lock.
//! 4. The collector removes only what no entry reaches; while any writer is at work, only what
//!    nobody touched for the grace period as well. Publishing and touching exclude it, so
//!    "already there" stays true. Locks are taken in the order of the list above.
//! 5. A process killed at any instruction leaves at most files in `.kiln/`, which the collector
//!    removes once their writer's lock is gone.
//!
//! Spec: image-spec `image-layout.md`. Ours: `.kiln/` (the specification lets other files be
//! there; tools ignore them).

mod blobs;
mod disk;
mod gc;
mod index;
mod ranged;
mod sources;
#[cfg(test)]
mod tests;
mod writer;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

pub use blobs::BlobError;
pub use gc::{GcError, GcOptions, GcReport};
pub use index::{ANNOTATION_INDEX_DIGEST, ANNOTATION_REF_NAME, FindError, ImageEntry, IndexError};
pub use ranged::RangedWriter;
pub use writer::{BlobWriter, StoredBlob};

use disk::Disk;

const LAYOUT_FILE: &str = "oci-layout";
const LAYOUT_BYTES: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
const INDEX_FILE: &str = "index.json";
const EMPTY_INDEX: &[u8] =
    br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;
/// The largest `oci-layout` file that is read, in bytes.
const LAYOUT_FILE_MAX_BYTES: u64 = 4096;

/// An image layout directory. Cheap to clone; clones share what is yet to be synced.
///
/// Blocking. Safe for many threads and many processes at once.
#[derive(Clone, Debug)]
pub struct Layout {
    disk: Arc<Disk>,
    unsynced: Arc<Mutex<blobs::Unsynced>>,
}

/// Why a directory cannot be used as an image layout.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenLayoutError {
    /// There is no `oci-layout` file.
    #[error("{0} is not an OCI image layout (it has no `oci-layout` file)")]
    NotALayout(PathBuf),
    /// `oci-layout` is not JSON, or of a version that is not 1.x.
    #[error("{0} is an OCI image layout of an unknown version")]
    UnknownVersion(PathBuf),
    /// The operating system refused.
    #[error("cannot use image layout at {path}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Layout {
    /// Opens the layout at `root`, making it first if there is none.
    ///
    /// # Errors
    ///
    /// [`OpenLayoutError::Io`]; [`OpenLayoutError::UnknownVersion`] of an existing layout.
    pub fn create(root: impl Into<PathBuf>) -> Result<Self, OpenLayoutError> {
        let layout = Self::at(root.into());
        let disk = &layout.disk;
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| OpenLayoutError::Io { path, source }
        };
        for directory in [disk.blobs_dir("sha256"), disk.ingest_dir()] {
            std::fs::create_dir_all(&directory).map_err(io(&directory))?;
        }
        let index = disk.root().join(INDEX_FILE);
        disk.create_file(&index, EMPTY_INDEX).map_err(io(&index))?;
        let marker = disk.root().join(LAYOUT_FILE);
        disk.create_file(&marker, LAYOUT_BYTES)
            .map_err(io(&marker))?;
        layout.check_version()?;
        Ok(layout)
    }

    /// Opens the existing layout at `root`, made by kiln or by another tool.
    ///
    /// # Errors
    ///
    /// See [`OpenLayoutError`].
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, OpenLayoutError> {
        let layout = Self::at(root.into());
        layout.check_version()?;
        Ok(layout)
    }

    /// Returns the directory.
    pub fn root(&self) -> &Path {
        self.disk.root()
    }

    fn at(root: PathBuf) -> Self {
        Self {
            disk: Arc::new(Disk::new(root)),
            unsynced: Arc::default(),
        }
    }

    fn check_version(&self) -> Result<(), OpenLayoutError> {
        let path = self.root().join(LAYOUT_FILE);
        let bytes = match disk::read_small(&path, LAYOUT_FILE_MAX_BYTES) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(OpenLayoutError::NotALayout(self.root().to_owned()));
            }
            Err(source) => return Err(OpenLayoutError::Io { path, source }),
        };
        let version = serde_json::from_slice::<serde_json::Value>(&bytes)
            .ok()
            .and_then(|value| Some(value.get("imageLayoutVersion")?.as_str()?.to_owned()));
        match version {
            Some(version) if version.starts_with("1.") => Ok(()),
            _ => Err(OpenLayoutError::UnknownVersion(self.root().to_owned())),
        }
    }
}
