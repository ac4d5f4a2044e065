// SPDX-License-Identifier: Apache-2.0
//! Why a path in a tree cannot be read.

use std::path::PathBuf;

use crate::FileError;

/// Why a path in a tree cannot be read. Paths are those inside the tree.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ViewError {
    /// A system call failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// Something that must be a directory is not.
    #[error("{} is not a directory", .0.display())]
    NotADirectory(PathBuf),
    /// Something that must be a regular file is not.
    #[error("{} is not a regular file", .0.display())]
    NotAFile(PathBuf),
    /// A path with more than 255 symlinks, most likely a circle.
    #[error("too many symbolic links in {}", .0.display())]
    TooManySymlinks(PathBuf),
    /// A file that is read whole is larger than allowed.
    #[error("{} is larger than {bytes_max} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// What is allowed.
        bytes_max: usize,
    },
}
