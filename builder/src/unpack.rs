// SPDX-License-Identifier: Apache-2.0
//! A build context that comes as a tar file: unpacked into a directory of its own.

use std::fs::File;
use std::path::{Path, PathBuf};

use cache::{ApplyError, Owner, UnpackOptions, Upper, ViewError, unpack_archive};

/// Why a context was not unpacked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnpackError {
    /// The directory cannot be opened.
    #[error("cannot open {path}")]
    Open {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: ViewError,
    },
    /// The archive is damaged or hostile, or the disk refuses.
    #[error("cannot unpack the build context")]
    Apply(#[from] ApplyError),
}

/// Unpacks `archive` (tar; plain, gzip, bzip2, xz or zstd) into the empty directory `directory`.
/// Nothing is written outside of it. Everything belongs to root: contexts have no owners.
///
/// # Errors
///
/// [`UnpackError`]; the directory is then half written.
pub fn unpack_context(archive: File, directory: &Path) -> Result<(), UnpackError> {
    let upper = Upper::plain(directory).map_err(|source| UnpackError::Open {
        path: directory.to_owned(),
        source,
    })?;
    let options = UnpackOptions {
        owner: Some(Owner::ROOT),
        mtime: None,
    };
    unpack_archive(archive, &upper, Path::new("/"), options)?;
    Ok(())
}
