// SPDX-License-Identifier: Apache-2.0
//! Snapshots: the root filesystem between two steps.
//!
//! A snapshot is *active* (written by one step) or *committed* (frozen, usable as a parent). Active
//! becomes committed once, never back. A snapshot is a list of layer directories, topmost first, so
//! that merging snapshots copies nothing and a parent's directories are simply listed again.
//!
//! Owns this part of the state directory:
//!
//! ```text
//! snapshots/<id>/fs/     files this snapshot adds or hides
//! snapshots/<id>/work/   overlay scratch; gone once committed
//! snapshots/<id>/owner   lock file of the process that writes it; gone once committed
//! state.db snapshot      id, layers, chain ID, boot; one row a committed snapshot
//! ```
//!
//! Does not know images, cache keys, processes or mounts: who mounts takes [`ActiveSnapshot`]'s
//! paths.
//!
//! Invariants
//! 1. A directory that no row lists and no live process owns does not exist.
//! 2. `fs/` of a committed snapshot is never opened for writing.
//! 3. A layer directory lives as long as any snapshot lists it: parents outlive children.
//! 4. A row whose `boot_id` is set and not the current one is not trusted: its files were perhaps
//!    never written. [`Store::sync`] clears it.
//!
//! Ours: `docs/cache-format.md`.

mod active;
mod committed;
#[cfg(test)]
mod tests;

use std::ffi::OsStr;
use std::fmt;
use std::path::PathBuf;

pub use active::ActiveSnapshot;

use crate::file::FileError;
use crate::root::DatabaseError;
use crate::view::ViewError;

/// How many layer directories a snapshot may have.
///
/// Observed: overlayfs of Linux 6.18 takes 500 lower directories; one is left for the layer of mount
/// targets that lies below all others.
pub const LAYERS_MAX: usize = 499;

/// The name of a snapshot, and of the layer directory it added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SnapshotId(pub(crate) u64);

impl SnapshotId {
    /// Parses what [`fmt::Display`] prints.
    pub fn parse(name: &OsStr) -> Option<Self> {
        let text = name.to_str()?;
        if text.len() != 16 {
            return None;
        }
        let id = u64::from_str_radix(text, 16).ok()?;
        // One text for one id: no upper case, no sign.
        (format!("{id:016x}") == text).then_some(Self(id))
    }
}

impl fmt::Display for SnapshotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Why a snapshot cannot be made or found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// A system call failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// A directory could not be read.
    #[error(transparent)]
    View(#[from] ViewError),
    /// There is no committed snapshot of that name (any more).
    #[error("there is no snapshot {0}")]
    NotFound(SnapshotId),
    /// More layers than overlayfs can stack.
    #[error("{layers} layers are more than the {LAYERS_MAX} that can be stacked")]
    TooManyLayers {
        /// How many it would be.
        layers: usize,
    },
}

/// A committed snapshot, as data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Its name.
    pub id: SnapshotId,
    /// The layer directories by the snapshot that added them, topmost first.
    pub layers: Vec<SnapshotId>,
    /// The same as paths, topmost first: the lower directories of an overlay mount.
    pub lowers: Vec<PathBuf>,
}

pub(crate) fn layers_to_blob(layers: &[SnapshotId]) -> Vec<u8> {
    layers
        .iter()
        .flat_map(|layer| layer.0.to_be_bytes())
        .collect()
}

pub(crate) fn layers_from_blob(blob: &[u8]) -> Vec<SnapshotId> {
    blob.chunks_exact(8)
        .filter_map(|chunk| chunk.try_into().ok())
        .map(|chunk| SnapshotId(u64::from_be_bytes(chunk)))
        .collect()
}
