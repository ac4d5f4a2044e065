// SPDX-License-Identifier: Apache-2.0
//! Why an archive could not be unpacked.

use std::path::PathBuf;

use oci::layer::ReadLayerError;

use crate::file::FileError;
use crate::tar::TarError;
use crate::upper::WriteError;
use crate::view::ViewError;

/// Why an archive could not be unpacked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApplyError {
    /// The blob cannot be decompressed.
    #[error(transparent)]
    Read(#[from] ReadLayerError),
    /// The archive breaks its format or a limit.
    #[error(transparent)]
    Tar(#[from] TarError),
    /// A file cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// A name leads out of the root, or is empty.
    #[error("the archive has an entry with the name {0:?}, which is outside its root")]
    Outside(PathBuf),
    /// A whiteout that hides nothing that could exist.
    #[error("the archive has a whiteout with the invalid name {0:?}")]
    BadWhiteout(PathBuf),
    /// A hard link to something that is not there, or is a directory.
    #[error("the archive links {path:?} to {target:?}, which is no file of this root")]
    BadLink {
        /// The link.
        path: PathBuf,
        /// What it should be another name of.
        target: PathBuf,
    },
    /// The entry for the root is not a directory.
    #[error("the archive replaces its root by something that is no directory")]
    RootIsNoDirectory,
}

impl From<FileError> for ApplyError {
    fn from(error: FileError) -> Self {
        Self::Write(WriteError::File(error))
    }
}

impl From<ViewError> for ApplyError {
    fn from(error: ViewError) -> Self {
        Self::Write(WriteError::View(error))
    }
}
