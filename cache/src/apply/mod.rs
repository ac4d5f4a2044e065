// SPDX-License-Identifier: Apache-2.0
//! A layer blob, or an archive, becomes files.
//!
//! [`apply_layer`] unpacks a layer into the upper directory of an active snapshot in overlay form:
//! whiteouts become whiteouts of overlayfs, opaque markers become its attribute.
//! [`unpack_archive`] does what `ADD` does with a tar: no whiteouts, everything below one
//! directory.
//!
//! Invariants
//! 1. Nothing is written outside the target, whatever names and links say: parents are resolved
//!    inside the root, the last name is created with `O_EXCL` or replaced, never followed.
//! 2. What the archive says twice in different words is an error ([`TarError`]).
//! 3. Names and bytes are limited by constants in the module `tar`.
//!
//! Spec: image-spec `layer.md` §Applying Changesets, §Whiteouts.

mod error;
mod extract;
mod names;
mod newest;
mod sniff;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::Read;
use std::path::Path;

use oci::DiffId;
use oci::layer::LayerReader;

pub use error::ApplyError;
pub(crate) use names::looks_like_whiteout;
pub use newest::newest_file_time;
pub(crate) use sniff::{archive_reader, is_archive};

use crate::file::Timestamp;
use crate::tar::TarReader;
use crate::{Owner, Upper};
use extract::{Extractor, Rules};

/// What was unpacked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The digest of the uncompressed bytes; the caller compares it with the image's config.
    pub diff_id: DiffId,
    /// Entries of the archive.
    pub entries: u64,
    /// Bytes of file content, holes counted.
    pub unpacked_bytes: u64,
    /// Device nodes that this process may not make (in a user namespace), or that overlayfs would
    /// take for whiteouts. They are left out, as containerd does.
    pub skipped_devices: u64,
}

/// Unpacks a layer blob (gzip, zstd or plain) into `target`.
///
/// With the layers below given to `target`, names are resolved through them, as on a mounted root.
/// Without, the layer stands alone; then links to files of other layers are errors.
///
/// Decompression and hashing run in threads of their own.
///
/// # Errors
///
/// [`ApplyError`]; the target is then half written, and the caller aborts the snapshot.
pub fn apply_layer(
    blob: impl Read + Send + 'static,
    target: &Upper,
) -> Result<Applied, ApplyError> {
    let reader = LayerReader::new(blob)?;
    let rules = Rules {
        is_layer: true,
        owner: None,
        mtime: None,
    };
    run(reader, target, Path::new("/"), rules)
}

/// How `ADD` unpacks.
#[derive(Clone, Copy, Debug, Default)]
pub struct UnpackOptions {
    /// Owner of everything; `None` keeps what the archive says.
    pub owner: Option<Owner>,
    /// Time of everything; `None` keeps what the archive says.
    pub mtime: Option<Timestamp>,
}

/// Unpacks an archive (tar; plain or compressed with gzip, bzip2, xz or zstd) below the directory
/// `dest`, which exists or is made.
///
/// # Errors
///
/// As [`apply_layer`].
pub fn unpack_archive(
    archive: File,
    target: &Upper,
    dest: &Path,
    options: UnpackOptions,
) -> Result<Applied, ApplyError> {
    let rules = Rules {
        is_layer: false,
        owner: options.owner,
        mtime: options.mtime,
    };
    run(archive_reader(archive)?, target, dest, rules)
}

fn run(
    reader: LayerReader,
    target: &Upper,
    dest: &Path,
    rules: Rules,
) -> Result<Applied, ApplyError> {
    let mut tar = TarReader::new(reader);
    let mut extractor = Extractor::new(target, dest, rules)?;
    while let Some(entry) = tar.next_entry()? {
        extractor.entry(&entry, &mut tar)?;
    }
    let counts = extractor.finish()?;
    Ok(Applied {
        diff_id: tar.into_inner().finish()?,
        entries: counts.entries,
        unpacked_bytes: counts.unpacked_bytes,
        skipped_devices: counts.skipped_devices,
    })
}
