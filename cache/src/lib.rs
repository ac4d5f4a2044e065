// SPDX-License-Identifier: Apache-2.0
//! What a build keeps: results by cache key, file trees as snapshots, and the way between trees and
//! layers.
//!
//! Data order: a [`Store`] is the state directory that all kiln processes share. It looks up a
//! [`CacheKey`] ([`Store::claim`]) and finds a [`Record`] that names a snapshot, or lets the caller
//! make one: [`Store::prepare`], write through [`Upper`] (or a mount that somebody else makes),
//! [`Store::commit`]. A [`View`] reads what a stack of layers shows, without a mount.
//!
//! Blocking; callers move calls to their blocking pool. Knows no images, no graph and no processes.
//! All trees are hostile: every path goes through the handle of a directory.
//!
//! Ours: `docs/cache-format.md`. Spec: image-spec `layer.md` for what a layer means.

mod apply;
mod clock;
mod content;
mod copy;
mod diff;
mod file;
mod lease;
mod mirrors;
mod mounts;
mod owner;
mod pool;
mod prune;
mod record;
mod root;
mod settle;
mod snapshot;
mod source;
pub mod tar;
#[cfg(test)]
mod testing;
mod upper;
mod view;

pub use apply::{
    Applied, ApplyError, UnpackOptions, apply_layer, newest_file_time, unpack_archive,
};
pub use clock::Clock;
pub use content::{ContentDigest, ContentError, ContentIndex, ContentSelector};
pub use copy::{Chmod, CopyError, CopyRequest, CopyStats, ParseChmodError, copy};
pub use diff::{DiffError, LayerOptions, LayerStats, Times, write_diff};
pub use file::{FileError, Kind, Meta, Timestamp, XattrMap};
pub use mirrors::{Mirror, MirrorError};
pub use mounts::{CacheMount, CacheMountError, CacheMountRequest, Sharing};
pub use owner::{ACCOUNT_FILE_BYTES_MAX, Owner, resolve_owner};
pub use prune::{PruneRequest, Pruned};
pub use record::{CacheKey, Claim, ClaimGuard, ClaimWaiter, RESULT_BYTES_MAX, Record, RecordError};
pub use root::{DatabaseError, Store, StoreError, StoreOptions, VersionError};
pub use settle::{Settlement, settle};
pub use snapshot::{ActiveSnapshot, LAYERS_MAX, Snapshot, SnapshotError, SnapshotId};
pub use source::{PathFilter, Source, SourceError, SourceOwners, Verdict, Wildcard, WildcardError};
pub use tar::TarError;
pub use upper::{Attributes, NewDir, Upper, UpperDir, WriteError};
pub use view::{
    Entry, Follow, MergedDir, OverlayForm, Resolved, View, ViewError, WhiteoutForm, XattrNamespace,
};
