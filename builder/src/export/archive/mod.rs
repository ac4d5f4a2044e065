// SPDX-License-Identifier: Apache-2.0
//! Archives of images: OCI image layouts and docker archives, as tar files, out and in.
//!
//! What [`write()`] makes in either kind is an OCI image layout; a docker archive also has
//! `manifest.json`, which `docker load` of every age reads:
//!
//! ```text
//! oci-layout
//! index.json              one entry per name; names in annotations as BuildKit writes them
//! manifest.json           docker only: config, tags and layers by path
//! blobs/<algorithm>/<hex>
//! ```
//!
//! [`load()`] reads these and the older docker archives (layers as `<id>/layer.tar`, configs as
//! `<id>.json`, links between them), compressed as a whole or not. An archive is hostile: every
//! blob is hashed while it is stored, documents and counts have limits, and no path of an archive
//! ever becomes a path of the machine.
//!
//! Does not know where the bytes come from or go to.
//!
//! Invariant: an image is named only after everything it needs was stored and verified.
//!
//! Spec: image-spec `image-layout.md`. Docs: moby `image/spec/v1.2.md` §Combined Image JSON +
//! Filesystem Changeset Format; BuildKit's `oci` and `docker` exporters for the annotations.

mod contents;
mod directory;
mod document;
mod load;
mod reach;
#[cfg(test)]
mod tests;
mod write;

pub use contents::ReadArchiveError;
pub use directory::{WriteDirectoryError, write_directory};
pub use load::{LoadError, LoadedImage, load};
pub use reach::ReachError;
pub use write::{ArchiveImage, ArchiveKind, WriteArchiveError, write};
