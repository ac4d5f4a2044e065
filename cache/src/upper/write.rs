// SPDX-License-Identifier: Apache-2.0
//! Files, links and devices of one upper directory, and their attributes.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{AtFlags, Mode};

use super::dir::Own;
use super::{UpperDir, WriteError};
use crate::Owner;
use crate::file::{
    Attempt, FileError, Kind, Timestamp, XattrMap, chmod_fd, create_new, open_dir, open_file,
    set_times, set_times_at, set_xattr, unlink,
};

/// Attributes to give to a file; `None` leaves what it has.
#[derive(Clone, Debug, Default)]
pub struct Attributes {
    /// Permission bits.
    pub mode: Option<u32>,
    /// User and group.
    pub owner: Option<Owner>,
    /// Time of the last change of content.
    pub mtime: Option<Timestamp>,
    /// Extended attributes to add. One that the file system or the kernel refuses is left out,
    /// as every builder does (`Observed:` BuildKit, facts rule 44).
    pub xattrs: XattrMap,
}

impl Attributes {
    /// Gives them to an open file, in the order in which none undoes another.
    pub(crate) fn set(&self, file: impl AsFd, path: &Path) -> Result<(), FileError> {
        if let Some(owner) = self.owner {
            owner.give(&file).attempt("change owner of", path)?;
        }
        if let Some(mode) = self.mode {
            chmod_fd(&file, mode).attempt("change mode of", path)?;
        }
        for (name, value) in &self.xattrs {
            match set_xattr(&file, name, value) {
                Err(error) if !is_xattr_refusal(&error) => {
                    return Err(FileError::new("set attributes of", path, error));
                }
                _ => {}
            }
        }
        if let Some(mtime) = self.mtime {
            set_times(&file, mtime).attempt("set time of", path)?;
        }
        Ok(())
    }
}

fn is_xattr_refusal(error: &io::Error) -> bool {
    use rustix::io::Errno;
    matches!(
        error.raw_os_error().map(Errno::from_raw_os_error),
        Some(Errno::PERM | Errno::ACCESS | Errno::OPNOTSUPP | Errno::INVAL)
    )
}

impl UpperDir {
    /// Creates the regular file `name`, replacing whatever else but a directory is there. Its mode
    /// is 0600 until attributes are set.
    ///
    /// # Errors
    ///
    /// [`WriteError::IsADirectory`], or what a system call gave.
    pub fn create_file(&self, name: &OsStr) -> Result<File, WriteError> {
        self.refuse_dir_below(name)?;
        match create_new(self.handle(), name) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            other => return Ok(other.attempt("create", self.path().join(name))?),
        }
        self.clear(name)?;
        Ok(create_new(self.handle(), name).attempt("create", self.path().join(name))?)
    }

    /// Creates the symlink `name`, replacing whatever else but a directory is there.
    ///
    /// # Errors
    ///
    /// As [`Self::create_file`].
    pub fn symlink(
        &self,
        name: &OsStr,
        target: &OsStr,
        attributes: &Attributes,
    ) -> Result<(), WriteError> {
        self.refuse_dir_below(name)?;
        self.clear(name)?;
        rustix::fs::symlinkat(target, self.handle(), name)
            .attempt("create", self.path().join(name))?;
        self.set_attributes_at(name, attributes)
    }

    /// Creates the fifo or device `name`, replacing whatever else but a directory is there.
    ///
    /// # Errors
    ///
    /// As [`Self::create_file`].
    pub fn make_node(
        &self,
        name: &OsStr,
        kind: Kind,
        rdev: u64,
        attributes: &Attributes,
    ) -> Result<(), WriteError> {
        self.refuse_dir_below(name)?;
        self.clear(name)?;
        let mode = Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(self.handle(), name, kind.file_type(), mode, rdev)
            .attempt("create device", self.path().join(name))?;
        if let Some(mode) = attributes.mode {
            rustix::fs::chmodat(
                self.handle(),
                name,
                Mode::from_raw_mode(mode),
                AtFlags::empty(),
            )
            .attempt("change mode of", self.path().join(name))?;
        }
        self.set_attributes_at(name, attributes)
    }

    /// Makes `name` another name of `source_name` in `source`, which must be a regular file, fifo
    /// or device of the upper layer.
    ///
    /// # Errors
    ///
    /// As [`Self::create_file`].
    pub fn hard_link(
        &self,
        name: &OsStr,
        source: &Self,
        source_name: &OsStr,
    ) -> Result<(), WriteError> {
        self.refuse_dir_below(name)?;
        self.clear(name)?;
        let flags = AtFlags::empty();
        rustix::fs::linkat(source.handle(), source_name, self.handle(), name, flags)
            .attempt("link", self.path().join(name))?;
        Ok(())
    }

    /// Owner and time by name, for files that cannot be opened.
    fn set_attributes_at(&self, name: &OsStr, attributes: &Attributes) -> Result<(), WriteError> {
        let path = || self.path().join(name);
        if let Some(owner) = attributes.owner {
            owner
                .give_at(self.handle(), name)
                .attempt("change owner of", path())?;
        }
        if let Some(mtime) = attributes.mtime {
            set_times_at(self.handle(), name, mtime).attempt("set time of", path())?;
        }
        Ok(())
    }

    /// Changes the attributes of the entry `name` of the upper layer.
    ///
    /// # Errors
    ///
    /// [`WriteError::NotFound`], or what a system call gave.
    pub fn set_attributes(&self, name: &OsStr, attributes: &Attributes) -> Result<(), WriteError> {
        let path = self.path().join(name);
        match self.own(name)? {
            Own::Entry(meta) if meta.kind == Kind::Dir => {
                let dir = open_dir(self.handle(), name).attempt("open", &path)?;
                Ok(attributes.set(dir, &path)?)
            }
            Own::Entry(meta) if meta.kind == Kind::File => {
                let file = open_file(self.handle(), name).attempt("open", &path)?;
                Ok(attributes.set(file, &path)?)
            }
            Own::Entry(_) => self.set_attributes_at(name, attributes),
            Own::Nothing | Own::Whiteout => Err(WriteError::NotFound(path)),
        }
    }

    /// Sets the time of the directory `name` of the upper layer, if there still is one.
    pub(crate) fn set_dir_time(&self, name: &OsStr, mtime: Timestamp) -> Result<(), WriteError> {
        match self.own(name)? {
            Own::Entry(meta) if meta.is_dir() => {
                let path = self.path().join(name);
                Ok(set_times_at(self.handle(), name, mtime).attempt("set time of", path)?)
            }
            _ => Ok(()),
        }
    }

    /// Copies the entry `name` up from below, if the upper layer does not have it.
    ///
    /// # Errors
    ///
    /// [`WriteError`] if it cannot be read or written.
    pub fn copy_up(&self, name: &OsStr) -> Result<(), WriteError> {
        let (Own::Nothing, Some(below)) = (self.own(name)?, self.below()) else {
            return Ok(());
        };
        let Some(entry) = below.lookup(name)? else {
            return Ok(());
        };
        let mut attributes = Attributes {
            mode: Some(entry.meta.mode),
            owner: Some(entry.meta.owner),
            mtime: Some(entry.meta.mtime),
            xattrs: XattrMap::new(),
        };
        match entry.meta.kind {
            Kind::Dir => self.child(name, &super::NewDir::default()).map(drop),
            Kind::File => {
                attributes.xattrs = below.xattrs(&entry)?;
                let mut source = below.open_file(&entry)?;
                let path = self.path().join(name);
                let mut target = create_new(self.handle(), name).attempt("create", &path)?;
                io::copy(&mut source, &mut target).attempt("copy", &path)?;
                Ok(attributes.set(&target, &path)?)
            }
            Kind::Symlink => {
                let target = below.read_link(&entry)?;
                let target = std::os::unix::ffi::OsStrExt::from_bytes(target.to_bytes());
                self.symlink(name, target, &attributes)
            }
            kind => self.make_node(name, kind, entry.meta.rdev, &attributes),
        }
    }

    /// Fails if the layers below show a directory under `name` that this layer does not hide.
    fn refuse_dir_below(&self, name: &OsStr) -> Result<(), WriteError> {
        let Some(below) = self.below() else {
            return Ok(());
        };
        let is_dir = below.lookup(name)?.is_some_and(|entry| entry.meta.is_dir());
        if is_dir && matches!(self.own(name)?, Own::Nothing) {
            return Err(WriteError::IsADirectory(self.path().join(name)));
        }
        Ok(())
    }

    /// Removes what the upper layer has under `name`, unless it is a directory.
    fn clear(&self, name: &OsStr) -> Result<(), WriteError> {
        let path = self.path().join(name);
        match self.own(name)? {
            Own::Nothing => Ok(()),
            Own::Entry(meta) if meta.is_dir() => Err(WriteError::IsADirectory(path)),
            Own::Entry(_) | Own::Whiteout => {
                Ok(unlink(self.handle(), name, false).attempt("remove", &path)?)
            }
        }
    }
}
