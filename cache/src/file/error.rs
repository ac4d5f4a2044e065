// SPDX-License-Identifier: Apache-2.0
//! An input or output error that says what was tried, and where.

use std::io;
use std::path::{Path, PathBuf};

/// A system call on a path failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}", path.display())]
pub struct FileError {
    /// What was tried, as a verb: `open`, `create`, `list`.
    pub action: &'static str,
    /// The path, as far as it was known where the error happened.
    pub path: PathBuf,
    /// What the kernel said.
    pub source: io::Error,
}

impl FileError {
    /// Returns the error for `action` on `path`.
    pub fn new(
        action: &'static str,
        path: impl Into<PathBuf>,
        source: impl Into<io::Error>,
    ) -> Self {
        Self {
            action,
            path: path.into(),
            source: source.into(),
        }
    }

    /// Tells whether the kernel said that there is no such file.
    pub fn is_not_found(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }
}

/// Names the path of a failed system call.
pub(crate) trait Attempt<T> {
    /// Turns the error into a [`FileError`] for `action` on `path`.
    fn attempt(self, action: &'static str, path: impl AsRef<Path>) -> Result<T, FileError>;
}

impl<T, E: Into<io::Error>> Attempt<T> for Result<T, E> {
    fn attempt(self, action: &'static str, path: impl AsRef<Path>) -> Result<T, FileError> {
        self.map_err(|error| FileError::new(action, path.as_ref(), error))
    }
}
