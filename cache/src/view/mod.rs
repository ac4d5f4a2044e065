// SPDX-License-Identifier: Apache-2.0
//! The merged view of a stack of layer directories, without a mount.
//!
//! A [`View`] answers what overlayfs would show: whiteouts hide, opaque directories hide everything
//! below them, the topmost entry wins and directories merge. Symlinks are resolved inside the root,
//! whatever they say. A view of one plain directory (a build context) is the same thing without
//! whiteouts, so copying and checksums have one kind of source.
//!
//! Knows nothing of snapshots. Reads only; [`crate::Upper`] writes.
//!
//! Invariants
//! 1. Names are looked up one component at a time, relative to open directories, never following a
//!    symlink in the kernel: hostile content cannot lead outside.
//! 2. Layers are topmost first.
//!
//! Docs: kernel `filesystems/overlayfs.rst` §Upper and Lower, §whiteouts and opaque directories.

mod error;
mod form;
mod merged;
mod resolve;
#[cfg(test)]
mod tests;

use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use error::ViewError;
pub(crate) use form::Opaque;
pub use form::{OverlayForm, WhiteoutForm, XattrNamespace};
pub use merged::{Entry, MergedDir};
pub(crate) use merged::{content_xattrs, is_content_attribute};
pub use resolve::{Follow, Resolved};

use crate::file::{Attempt, FileError, Meta, XattrMap, open_path_dir};

/// A stack of layer directories seen as one tree.
#[derive(Clone, Debug)]
pub struct View {
    root: Arc<MergedDir>,
}

impl View {
    /// Opens a plain directory: one layer, no whiteouts.
    ///
    /// # Errors
    ///
    /// [`FileError`] if it cannot be opened as a directory.
    pub fn directory(path: &Path) -> Result<Self, FileError> {
        Self::open([path], None)
    }

    /// Opens `layers`, topmost first, as overlayfs would show them.
    ///
    /// # Errors
    ///
    /// [`FileError`] for the first layer that cannot be opened.
    pub fn layers(layers: &[PathBuf], form: OverlayForm) -> Result<Self, FileError> {
        Self::open(layers.iter().map(PathBuf::as_path), Some(form))
    }

    /// Returns the view of no layers: a root in which there is nothing.
    pub(crate) fn nothing() -> Result<Self, FileError> {
        Self::open([], None)
    }

    fn open<'a>(
        layers: impl IntoIterator<Item = &'a Path>,
        form: Option<OverlayForm>,
    ) -> Result<Self, FileError> {
        let mut handles = Vec::new();
        for layer in layers {
            handles.push(open_path_dir(layer).attempt("open", layer)?);
        }
        let root = MergedDir::root(handles, form).attempt("read", "/")?;
        Ok(Self {
            root: Arc::new(root),
        })
    }

    /// Returns the root directory.
    pub fn root(&self) -> &Arc<MergedDir> {
        &self.root
    }

    /// Returns the attributes of `path`, symlinks followed, or `None` if there is nothing.
    ///
    /// # Errors
    ///
    /// [`ViewError`] if the tree cannot be read.
    pub fn stat(&self, path: impl AsRef<Path>) -> Result<Option<Meta>, ViewError> {
        self.meta(path.as_ref(), Follow::All)
    }

    /// Returns the attributes of `path`, the last symlink not followed.
    ///
    /// # Errors
    ///
    /// [`ViewError`] if the tree cannot be read.
    pub fn lstat(&self, path: impl AsRef<Path>) -> Result<Option<Meta>, ViewError> {
        self.meta(path.as_ref(), Follow::Parents)
    }

    fn meta(&self, path: &Path, follow: Follow) -> Result<Option<Meta>, ViewError> {
        Ok(match self.find(path, follow)? {
            Resolved::Root => Some(self.root.meta()?),
            Resolved::Entry { entry, .. } => Some(entry.meta),
            Resolved::Missing { .. } => None,
        })
    }

    /// Resolves, taking a file in the middle of the path for "nothing there".
    fn find(&self, path: &Path, follow: Follow) -> Result<Resolved, ViewError> {
        match self.resolve(path, follow) {
            Err(ViewError::NotADirectory(at)) => Ok(Resolved::Missing { path: at }),
            other => other,
        }
    }

    /// Returns the content of the regular file `path`, symlinks followed, or `None` if there is
    /// nothing.
    ///
    /// # Errors
    ///
    /// [`ViewError::NotAFile`], [`ViewError::TooLarge`] past `bytes_max`, or what reading gave.
    pub fn read(
        &self,
        path: impl AsRef<Path>,
        bytes_max: usize,
    ) -> Result<Option<Vec<u8>>, ViewError> {
        let path = path.as_ref();
        let Resolved::Entry {
            parent,
            entry,
            path,
        } = self.find(path, Follow::All)?
        else {
            return Ok(None);
        };
        let file = parent.open_file(&entry)?;
        let mut bytes = Vec::new();
        let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX);
        file.take(limit.saturating_add(1))
            .read_to_end(&mut bytes)
            .attempt("read", &path)?;
        if bytes.len() > bytes_max {
            return Err(ViewError::TooLarge { path, bytes_max });
        }
        Ok(Some(bytes))
    }

    /// Returns the entries of the directory `path`, symlinks followed, sorted by name, or `None` if
    /// there is nothing.
    ///
    /// # Errors
    ///
    /// [`ViewError::NotADirectory`], or what reading gave.
    pub fn read_dir(&self, path: impl AsRef<Path>) -> Result<Option<Vec<Entry>>, ViewError> {
        let Some(dir) = self.open_dir(path)? else {
            return Ok(None);
        };
        Ok(Some(dir.entries()?))
    }

    /// Opens the directory `path`, symlinks followed, or `None` if there is nothing.
    ///
    /// # Errors
    ///
    /// [`ViewError::NotADirectory`], or what opening gave.
    pub fn open_dir(&self, path: impl AsRef<Path>) -> Result<Option<Arc<MergedDir>>, ViewError> {
        Ok(match self.find(path.as_ref(), Follow::All)? {
            Resolved::Root => Some(Arc::clone(&self.root)),
            Resolved::Entry { parent, entry, .. } => Some(Arc::new(parent.open_dir(&entry.name)?)),
            Resolved::Missing { .. } => None,
        })
    }

    /// Returns the target of the symlink `path`, or `None` if there is nothing or no symlink.
    ///
    /// # Errors
    ///
    /// What reading gave.
    pub fn read_link(&self, path: impl AsRef<Path>) -> Result<Option<PathBuf>, ViewError> {
        match self.find(path.as_ref(), Follow::Parents)? {
            Resolved::Entry { parent, entry, .. } if entry.meta.kind == crate::Kind::Symlink => {
                let target = parent.read_link(&entry)?;
                Ok(Some(PathBuf::from(OsStr::from_bytes(target.to_bytes()))))
            }
            _ => Ok(None),
        }
    }

    /// Returns the extended attributes of `path` that belong to its content (see
    /// [`MergedDir::xattrs`]), symlinks followed, or `None` if there is nothing.
    ///
    /// # Errors
    ///
    /// What reading gave.
    pub fn xattrs(&self, path: impl AsRef<Path>) -> Result<Option<XattrMap>, ViewError> {
        Ok(match self.find(path.as_ref(), Follow::All)? {
            Resolved::Root => Some(self.root.own_xattrs()?),
            Resolved::Entry { parent, entry, .. } => Some(parent.xattrs(&entry)?),
            Resolved::Missing { .. } => None,
        })
    }
}
