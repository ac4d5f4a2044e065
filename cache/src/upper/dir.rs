// SPDX-License-Identifier: Apache-2.0
//! One directory of the upper layer, and the directories below it that it merges with.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Attributes, WriteError};
use crate::Owner;
use crate::file::{Attempt, FileError, Kind, Meta, Timestamp, lstat, make_dir, open_dir, unlink};
use crate::view::{MergedDir, OverlayForm};

/// How a missing directory is made.
#[derive(Clone, Copy, Debug)]
pub struct NewDir {
    /// Its permission bits.
    pub mode: u32,
    /// Its owner.
    pub owner: Owner,
    /// Its time; `None` for now.
    pub mtime: Option<Timestamp>,
}

impl Default for NewDir {
    fn default() -> Self {
        Self {
            mode: 0o755,
            owner: Owner::ROOT,
            mtime: None,
        }
    }
}

/// An open directory of the upper layer.
#[derive(Debug)]
pub struct UpperDir {
    handle: OwnedFd,
    /// The same directory in the layers below; `None` if they have none, or it is hidden.
    below: Option<Arc<MergedDir>>,
    form: Option<OverlayForm>,
    path: PathBuf,
}

impl UpperDir {
    pub(super) fn root(handle: OwnedFd, below: Arc<MergedDir>, form: Option<OverlayForm>) -> Self {
        Self {
            handle,
            below: Some(below).filter(|below| !below.is_nowhere()),
            form,
            path: PathBuf::from("/"),
        }
    }

    /// Returns the path inside the tree.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the handle of the directory in the upper layer.
    pub fn handle(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }

    pub(crate) fn below(&self) -> Option<&Arc<MergedDir>> {
        self.below.as_ref()
    }

    pub(super) fn form(&self) -> Option<OverlayForm> {
        self.form
    }

    /// Returns what the upper layer itself has under `name`: an entry, a whiteout or nothing.
    pub(super) fn own(&self, name: &OsStr) -> Result<Own, FileError> {
        let path = || self.path.join(name);
        let Some(meta) = lstat(&self.handle, name).attempt("stat", path())? else {
            return Ok(Own::Nothing);
        };
        let Some(form) = self.form else {
            return Ok(Own::Entry(meta));
        };
        if meta.is_device_whiteout() {
            return Ok(Own::Whiteout);
        }
        if meta.kind == Kind::File
            && meta.size_bytes == 0
            && form.whiteout == crate::WhiteoutForm::Xattr
            && form
                .is_xattr_whiteout(&self.handle, name)
                .attempt("read attributes of", path())?
        {
            return Ok(Own::Whiteout);
        }
        Ok(Own::Entry(meta))
    }

    /// Returns the attributes of the entry `name` of the merged view, or `None`.
    ///
    /// # Errors
    ///
    /// [`WriteError`] if the tree cannot be read.
    pub fn lookup(&self, name: &OsStr) -> Result<Option<Meta>, WriteError> {
        Ok(match self.own(name)? {
            Own::Entry(meta) => Some(meta),
            Own::Whiteout => None,
            Own::Nothing => match &self.below {
                Some(below) => below.lookup(name)?.map(|entry| entry.meta),
                None => None,
            },
        })
    }

    /// Tells whether the merged view has an entry `name`.
    ///
    /// # Errors
    ///
    /// As [`Self::lookup`].
    pub fn exists(&self, name: &OsStr) -> Result<bool, WriteError> {
        Ok(self.lookup(name)?.is_some())
    }

    /// Opens the directory `name`; copies it up if it is only below, makes it if it is missing.
    /// Tells whether it was made.
    ///
    /// # Errors
    ///
    /// [`WriteError::IsNotADirectory`] if something else is there, or what a system call gave.
    pub fn child(&self, name: &OsStr, missing: &NewDir) -> Result<(Self, bool), WriteError> {
        let path = self.path.join(name);
        match self.own(name)? {
            Own::Entry(meta) if meta.is_dir() => {
                let dir = self.open_own(name)?;
                Ok((dir, false))
            }
            Own::Entry(_) => Err(WriteError::IsNotADirectory(path)),
            Own::Whiteout => {
                unlink(&self.handle, name, false).attempt("remove", &path)?;
                Ok((self.make_own(name, missing, true)?, true))
            }
            Own::Nothing => {
                let below = match &self.below {
                    Some(below) => below.lookup(name)?,
                    None => None,
                };
                match below {
                    None => Ok((self.make_own(name, missing, false)?, true)),
                    Some(entry) if entry.meta.is_dir() => {
                        let dir = self.make_own(name, &NewDir::default(), false)?;
                        dir.copy_up_attributes()?;
                        Ok((dir, false))
                    }
                    Some(_) => Err(WriteError::IsNotADirectory(path)),
                }
            }
        }
    }

    /// As [`Self::child`], but whatever else is there is replaced by a new directory.
    pub(crate) fn child_replacing(
        &self,
        name: &OsStr,
        missing: &NewDir,
    ) -> Result<(Self, bool), WriteError> {
        match self.child(name, missing) {
            Err(WriteError::IsNotADirectory(path)) => {
                if let Own::Entry(_) = self.own(name)? {
                    unlink(&self.handle, name, false).attempt("remove", &path)?;
                }
                Ok((self.make_own(name, missing, true)?, true))
            }
            other => other,
        }
    }

    fn open_own(&self, name: &OsStr) -> Result<Self, WriteError> {
        let path = self.path.join(name);
        let handle = open_dir(&self.handle, name).attempt("open", &path)?;
        let is_opaque = match self.form {
            Some(form) if self.below.is_some() => {
                form.opaque(&handle).attempt("read attributes of", &path)?
                    == crate::view::Opaque::Yes
            }
            _ => false,
        };
        let below = match &self.below {
            Some(below) if !is_opaque => below.open_dir_if_any(name)?.map(Arc::new),
            _ => None,
        };
        Ok(Self {
            handle,
            below,
            form: self.form,
            path,
        })
    }

    /// Makes the directory `name`, of which the upper layer has nothing.
    fn make_own(&self, name: &OsStr, new: &NewDir, opaque: bool) -> Result<Self, WriteError> {
        let path = self.path.join(name);
        make_dir(&self.handle, name).attempt("create", &path)?;
        let handle = open_dir(&self.handle, name).attempt("open", &path)?;
        let mut below = match &self.below {
            Some(below) => below.open_dir_if_any(name)?.map(Arc::new),
            None => None,
        };
        // Without a directory below there is nothing to hide.
        if opaque && below.is_some() {
            if let Some(form) = self.form {
                form.make_opaque(&handle)
                    .attempt("set attributes of", &path)?;
            }
            below = None;
        }
        Attributes {
            mode: Some(new.mode),
            owner: Some(new.owner),
            mtime: new.mtime,
            ..Attributes::default()
        }
        .set(&handle, &path)?;
        Ok(Self {
            handle,
            below,
            form: self.form,
            path,
        })
    }

    /// Gives this directory the attributes of the one below it.
    fn copy_up_attributes(&self) -> Result<(), WriteError> {
        let Some(below) = &self.below else {
            return Ok(());
        };
        let meta = below.meta()?;
        Attributes {
            mode: Some(meta.mode),
            owner: Some(meta.owner),
            mtime: Some(meta.mtime),
            xattrs: below.own_xattrs()?,
        }
        .set(&self.handle, &self.path)?;
        Ok(())
    }

    /// Hides everything that the layers below have in this directory.
    pub(crate) fn make_opaque(&self) -> Result<(), WriteError> {
        if let Some(form) = self.form {
            form.make_opaque(&self.handle)
                .attempt("set attributes of", &self.path)?;
        }
        Ok(())
    }
}

/// What the upper layer itself has under a name.
#[derive(Clone, Copy, Debug)]
pub(super) enum Own {
    /// Nothing: what is below is seen.
    Nothing,
    /// A whiteout: what is below is hidden.
    Whiteout,
    /// An entry.
    Entry(Meta),
}
