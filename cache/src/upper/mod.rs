// SPDX-License-Identifier: Apache-2.0
//! Writing into the upper directory of an active snapshot, without a mount.
//!
//! [`Upper`] finds where a path leads in the merged view and hands out an [`UpperDir`], the handle of
//! the directory in the upper layer; directories that exist only below are copied up on the way,
//! with mode, owner, attributes and time. What is written is what overlayfs would have written.
//!
//! Invariants
//! 1. Every call goes through the handle of a directory in the upper layer, with a name of one
//!    component that is never followed.
//! 2. A directory made where a whiteout was, or where another directory was removed, is opaque.

mod dir;
mod remove;
#[cfg(test)]
mod tests;
mod write;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use dir::{NewDir, UpperDir};
pub(crate) use remove::remove_tree;
pub use write::Attributes;

use crate::file::{Attempt, FileError, Timestamp, open_path_dir};
use crate::view::{Follow, OverlayForm, Resolved, View, ViewError};

/// Why something cannot be written into a tree.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// A system call failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// The tree could not be read.
    #[error(transparent)]
    View(#[from] ViewError),
    /// A directory is where a file should go.
    #[error("cannot replace directory {} with a file", .0.display())]
    IsADirectory(PathBuf),
    /// A file is where a directory should go.
    #[error("cannot copy to non-directory {}", .0.display())]
    IsNotADirectory(PathBuf),
    /// The path to remove does not exist.
    #[error("{} does not exist", .0.display())]
    NotFound(PathBuf),
    /// The root itself cannot be replaced or removed.
    #[error("the root directory cannot be replaced or removed")]
    Root,
}

/// The upper directory of a stack, open for writing.
#[derive(Clone, Debug)]
pub struct Upper {
    view: View,
    root: Arc<UpperDir>,
}

impl Upper {
    /// Opens the directory `upper` on top of `lowers` (topmost first).
    ///
    /// # Errors
    ///
    /// [`ViewError`] if a directory cannot be opened.
    pub fn open(upper: &Path, lowers: &[PathBuf], form: OverlayForm) -> Result<Self, ViewError> {
        let mut layers = vec![upper.to_owned()];
        layers.extend_from_slice(lowers);
        let below = View::layers(lowers, form)?;
        let view = View::layers(&layers, form)?;
        let handle = open_path_dir(upper).attempt("open", upper)?;
        Ok(Self {
            view,
            root: Arc::new(UpperDir::root(handle, Arc::clone(below.root()), Some(form))),
        })
    }

    /// Opens a plain directory that is no layer, such as a cache mount.
    ///
    /// # Errors
    ///
    /// [`ViewError`] if the directory cannot be opened.
    pub fn plain(path: &Path) -> Result<Self, ViewError> {
        let below = View::nothing()?;
        let handle = open_path_dir(path).attempt("open", path)?;
        Ok(Self {
            view: View::directory(path)?,
            root: Arc::new(UpperDir::root(handle, Arc::clone(below.root()), None)),
        })
    }

    /// Returns the merged view, which shows every later write too.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// Returns the root directory.
    pub fn root(&self) -> &Arc<UpperDir> {
        &self.root
    }

    /// Resolves `path` with all its symlinks, inside the root.
    ///
    /// # Errors
    ///
    /// [`ViewError`] as [`View::resolve`].
    pub fn resolve(&self, path: &Path) -> Result<PathBuf, ViewError> {
        Ok(self.view.resolve(path, Follow::All)?.path().to_owned())
    }

    /// Opens the directory `path` in the upper layer, symlinks followed inside the root; what is
    /// missing is made as `missing` says, what is below is copied up.
    ///
    /// # Errors
    ///
    /// [`WriteError::IsNotADirectory`] if a component is a file, or what a system call gave.
    pub fn make_dirs(&self, path: &Path, missing: &NewDir) -> Result<Arc<UpperDir>, WriteError> {
        let resolved = match self.view.resolve(path, Follow::All) {
            Err(ViewError::NotADirectory(at)) => return Err(WriteError::IsNotADirectory(at)),
            other => other?,
        };
        self.make_resolved(resolved.path(), missing)
    }

    /// As [`Self::make_dirs`] for a path that is resolved already.
    pub(crate) fn make_resolved(
        &self,
        path: &Path,
        missing: &NewDir,
    ) -> Result<Arc<UpperDir>, WriteError> {
        let mut dir = Arc::clone(&self.root);
        for name in path.iter().filter(|name| *name != "/") {
            dir = Arc::new(dir.child(name, missing)?.0);
        }
        Ok(dir)
    }

    /// Makes one directory, whose parent must exist, as `mkdir` does; `make_parents` as `mkdir -p`.
    ///
    /// # Errors
    ///
    /// [`WriteError`]; without `make_parents`, an existing path or a missing parent.
    pub fn make_dir(
        &self,
        path: &Path,
        new: &NewDir,
        make_parents: bool,
    ) -> Result<(), WriteError> {
        if make_parents {
            return self.make_dirs(path, new).map(drop);
        }
        let (dir, name) = self.place(path)?;
        if dir.exists(&name)? {
            let error = std::io::ErrorKind::AlreadyExists;
            return Err(FileError::new("create", path, error).into());
        }
        dir.child(&name, new).map(drop)
    }

    /// Creates or replaces a regular file with `content`.
    ///
    /// # Errors
    ///
    /// [`WriteError::IsADirectory`] if a directory is there, or what a system call gave.
    pub fn write_file(
        &self,
        path: &Path,
        content: &[u8],
        attributes: &Attributes,
    ) -> Result<(), WriteError> {
        let (dir, name) = self.place_followed(path)?;
        let mut file = dir.create_file(&name)?;
        std::io::Write::write_all(&mut file, content).attempt("write", path)?;
        attributes.set(&file, path)?;
        Ok(())
    }

    /// Creates or replaces a symlink.
    ///
    /// # Errors
    ///
    /// [`WriteError::IsADirectory`] if a directory is there, or what a system call gave.
    pub fn symlink(
        &self,
        path: &Path,
        target: &Path,
        attributes: &Attributes,
    ) -> Result<(), WriteError> {
        let (dir, name) = self.place(path)?;
        dir.symlink(&name, target.as_os_str(), attributes)
    }

    /// Removes `path` and everything below it. The last symlink is not followed.
    ///
    /// # Errors
    ///
    /// [`WriteError::NotFound`] unless `allow_missing`, [`WriteError::Root`], or what a system call
    /// gave.
    pub fn remove(&self, path: &Path, allow_missing: bool) -> Result<(), WriteError> {
        let missing = || {
            if allow_missing {
                Ok(())
            } else {
                Err(WriteError::NotFound(path.to_owned()))
            }
        };
        match self.view.resolve(path, Follow::Parents) {
            Ok(Resolved::Root) => Err(WriteError::Root),
            Ok(Resolved::Missing { .. }) | Err(ViewError::NotADirectory(_)) => missing(),
            Ok(Resolved::Entry { parent, entry, .. }) => {
                let dir = self.make_resolved(parent.path(), &NewDir::default())?;
                dir.remove(&entry.name)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Changes the attributes of an existing file or directory, symlinks followed inside the root;
    /// what is below is copied up first.
    ///
    /// # Errors
    ///
    /// [`WriteError::NotFound`], or what a system call gave.
    pub fn set_attributes(&self, path: &Path, attributes: &Attributes) -> Result<(), WriteError> {
        match self.view.resolve(path, Follow::All)? {
            Resolved::Root => Ok(attributes.set(self.root.handle(), path)?),
            Resolved::Missing { path } => Err(WriteError::NotFound(path)),
            Resolved::Entry { parent, entry, .. } => {
                let dir = self.make_resolved(parent.path(), &NewDir::default())?;
                dir.copy_up(&entry.name)?;
                dir.set_attributes(&entry.name, attributes)
            }
        }
    }

    /// Gives the root directory the time `mtime`; for layers that must not depend on the clock.
    ///
    /// # Errors
    ///
    /// What the system call gave.
    pub fn set_root_mtime(&self, mtime: Timestamp) -> Result<(), WriteError> {
        Ok(crate::file::set_times(self.root.handle(), mtime).attempt("set time of", "/")?)
    }

    /// Returns the parent directory of `path`, which must exist, and the last name.
    pub(crate) fn place(
        &self,
        path: &Path,
    ) -> Result<(Arc<UpperDir>, std::ffi::OsString), WriteError> {
        let name = path.file_name().ok_or(WriteError::Root)?;
        let parent = path.parent().unwrap_or(Path::new("/"));
        let resolved = self.view.resolve(parent, Follow::All)?;
        if let Resolved::Missing { path } = resolved {
            return Err(WriteError::NotFound(path));
        }
        let dir = self.make_resolved(resolved.path(), &NewDir::default())?;
        Ok((dir, name.to_owned()))
    }

    /// As [`Self::place`] for where the last symlink leads to.
    fn place_followed(
        &self,
        path: &Path,
    ) -> Result<(Arc<UpperDir>, std::ffi::OsString), WriteError> {
        let path = self.resolve(path)?;
        self.place(&path)
    }
}
