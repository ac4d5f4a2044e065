// SPDX-License-Identifier: Apache-2.0
//! Removal: of entries in the upper layer, and of what is below by a whiteout.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use super::dir::Own;
use super::{UpperDir, WriteError};
use crate::file::{Attempt, list, lstat, open_dir, unlink};

/// How deep a tree may be that is removed; each level holds one handle.
///
/// Ours: a path of 4,096 bytes cannot be deeper than this.
const DEPTH_MAX: usize = 2048;

impl UpperDir {
    /// Removes the entry `name` and everything below it; what the layers below have is hidden.
    ///
    /// # Errors
    ///
    /// What a system call gave.
    pub fn remove(&self, name: &OsStr) -> Result<(), WriteError> {
        let path = self.path().join(name);
        if let Own::Entry(_) = self.own(name)? {
            remove_tree(self.handle(), name).attempt("remove", &path)?;
        }
        let is_below = match self.below() {
            Some(below) => below.lookup(name)?.is_some(),
            None => false,
        };
        if let Some(form) = self.form()
            && is_below
            && matches!(self.own(name)?, Own::Nothing)
        {
            form.make_whiteout(self.handle(), name)
                .attempt("hide", &path)?;
        }
        Ok(())
    }
}

impl UpperDir {
    /// Hides `name` of the layers below, whether they have it or not. What this layer itself has
    /// stays: a file hides anyway, a directory becomes opaque.
    pub(crate) fn whiteout(&self, name: &OsStr) -> Result<(), WriteError> {
        let path = self.path().join(name);
        let Some(form) = self.form() else {
            return Ok(());
        };
        match self.own(name)? {
            Own::Nothing => {
                form.make_whiteout(self.handle(), name)
                    .attempt("hide", &path)?;
            }
            Own::Entry(meta) if meta.is_dir() => {
                let dir = open_dir(self.handle(), name).attempt("open", &path)?;
                form.make_opaque(&dir).attempt("set attributes of", &path)?;
            }
            Own::Entry(_) | Own::Whiteout => {}
        }
        Ok(())
    }
}

/// Removes `name` and everything below it, without following symlinks.
pub(crate) fn remove_tree(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    remove_level(dir, name, DEPTH_MAX)
}

fn remove_level(dir: BorrowedFd<'_>, name: &OsStr, depth_left: usize) -> io::Result<()> {
    let Some(meta) = lstat(dir, name)? else {
        return Ok(());
    };
    if !meta.is_dir() {
        return unlink(dir, name, false);
    }
    if depth_left == 0 {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "directories are nested too deeply",
        ));
    }
    let child = open_dir(dir, name)?;
    let mut names: Vec<OsString> = Vec::new();
    list(child.as_fd(), |entry| {
        names.push(entry.to_owned());
        Ok(())
    })?;
    for entry in names {
        remove_level(child.as_fd(), &entry, depth_left - 1)?;
    }
    unlink(dir, name, true)
}
