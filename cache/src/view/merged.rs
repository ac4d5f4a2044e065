// SPDX-License-Identifier: Apache-2.0
//! One directory of a merged view: the handles of all layers that contribute to it.

use std::collections::{BTreeMap, btree_map};
use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use super::form::Opaque;
use super::{OverlayForm, ViewError};
use crate::file::{
    Attempt, Kind, Meta, XattrMap, list, list_xattrs, lstat, open_dir, open_file, read_link,
    stat_fd,
};

/// A directory entry of a merged view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name, one component.
    pub name: OsString,
    /// Its attributes, the last symlink not followed.
    pub meta: Meta,
    /// Index of the part it was found in.
    part: usize,
}

#[derive(Debug)]
struct Part {
    handle: OwnedFd,
    xattr_whiteouts: bool,
}

/// An open directory of a merged view.
#[derive(Debug)]
pub struct MergedDir {
    /// Topmost first; never empty but for a view of no layers.
    parts: Vec<Part>,
    /// `None`: a plain directory, in which nothing is a whiteout.
    form: Option<OverlayForm>,
    path: PathBuf,
}

impl MergedDir {
    pub(super) fn root(handles: Vec<OwnedFd>, form: Option<OverlayForm>) -> io::Result<Self> {
        let mut dir = Self {
            parts: Vec::with_capacity(handles.len()),
            form,
            path: PathBuf::from("/"),
        };
        for handle in handles {
            if dir.push(handle)? == Opaque::Yes {
                break;
            }
        }
        Ok(dir)
    }

    fn push(&mut self, handle: OwnedFd) -> io::Result<Opaque> {
        let opaque = match self.form {
            None => Opaque::No,
            Some(form) => form.opaque(&handle)?,
        };
        self.parts.push(Part {
            handle,
            xattr_whiteouts: opaque == Opaque::XattrWhiteouts,
        });
        Ok(opaque)
    }

    /// Returns the path inside the tree.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Tells whether no layer contributes: an empty root of no layers.
    pub(crate) fn is_nowhere(&self) -> bool {
        self.parts.is_empty()
    }

    /// Returns the attributes of the directory itself.
    ///
    /// # Errors
    ///
    /// What the kernel said.
    pub fn meta(&self) -> Result<Meta, ViewError> {
        match self.parts.first() {
            Some(part) => Ok(stat_fd(&part.handle).attempt("stat", &self.path)?),
            None => Err(ViewError::NotADirectory(self.path.clone())),
        }
    }

    /// Returns the entry `name`, or `None`.
    ///
    /// # Errors
    ///
    /// What the kernel said.
    pub fn lookup(&self, name: &OsStr) -> Result<Option<Entry>, ViewError> {
        for (index, part) in self.parts.iter().enumerate() {
            let found = lstat(&part.handle, name).attempt("stat", self.path.join(name))?;
            let Some(meta) = found else { continue };
            if self.hides(part, name, &meta)? {
                return Ok(None);
            }
            return Ok(Some(Entry {
                name: name.to_owned(),
                meta,
                part: index,
            }));
        }
        Ok(None)
    }

    fn hides(&self, part: &Part, name: &OsStr, meta: &Meta) -> Result<bool, ViewError> {
        let Some(form) = self.form else {
            return Ok(false);
        };
        if meta.is_device_whiteout() {
            return Ok(true);
        }
        if part.xattr_whiteouts && meta.kind == Kind::File && meta.size_bytes == 0 {
            return Ok(form
                .is_xattr_whiteout(&part.handle, name)
                .attempt("read attributes of", self.path.join(name))?);
        }
        Ok(false)
    }

    /// Returns all entries, sorted by name.
    ///
    /// # Errors
    ///
    /// What the kernel said.
    pub fn entries(&self) -> Result<Vec<Entry>, ViewError> {
        if let [part] = self.parts.as_slice() {
            return self.entries_of(0, part);
        }
        // A `None` is a name that some upper layer hides.
        let mut merged: BTreeMap<OsString, Option<Entry>> = BTreeMap::new();
        for (index, part) in self.parts.iter().enumerate() {
            let mut names = Vec::new();
            list(part.handle.as_fd(), |name| {
                names.push(name.to_owned());
                Ok(())
            })
            .attempt("list", &self.path)?;
            for name in names {
                if let btree_map::Entry::Vacant(free) = merged.entry(name) {
                    let entry = self.entry(index, part, free.key())?;
                    free.insert(entry);
                }
            }
        }
        Ok(merged.into_values().flatten().collect())
    }

    fn entries_of(&self, index: usize, part: &Part) -> Result<Vec<Entry>, ViewError> {
        let mut entries = Vec::new();
        let mut names = Vec::new();
        list(part.handle.as_fd(), |name| {
            names.push(name.to_owned());
            Ok(())
        })
        .attempt("list", &self.path)?;
        names.sort_unstable();
        for name in names {
            entries.extend(self.entry(index, part, &name)?);
        }
        Ok(entries)
    }

    /// Returns `None` for a whiteout, and for a name that went away since it was listed.
    fn entry(&self, index: usize, part: &Part, name: &OsStr) -> Result<Option<Entry>, ViewError> {
        let found = lstat(&part.handle, name).attempt("stat", self.path.join(name))?;
        let Some(meta) = found else { return Ok(None) };
        if self.hides(part, name, &meta)? {
            return Ok(None);
        }
        Ok(Some(Entry {
            name: name.to_owned(),
            meta,
            part: index,
        }))
    }

    /// Opens the directory `name`, merged through all layers that show it.
    ///
    /// # Errors
    ///
    /// [`ViewError::NotADirectory`] if there is none of that name, or what the kernel said.
    pub fn open_dir(&self, name: &OsStr) -> Result<Self, ViewError> {
        let path = self.path.join(name);
        match self.open_dir_if_any(name)? {
            Some(dir) => Ok(dir),
            None => Err(ViewError::NotADirectory(path)),
        }
    }

    /// Opens the directory `name`, or returns `None` if no directory of that name is visible.
    pub(crate) fn open_dir_if_any(&self, name: &OsStr) -> Result<Option<Self>, ViewError> {
        let path = self.path.join(name);
        let mut dir = Self {
            parts: Vec::new(),
            form: self.form,
            path,
        };
        for part in &self.parts {
            match open_dir(&part.handle, name) {
                Ok(handle) => {
                    if dir.push(handle).attempt("read attributes of", &dir.path)? == Opaque::Yes {
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                // A file, a symlink or a whiteout: it hides what is below.
                Err(error) if is_no_directory(&error) => break,
                Err(error) => return Err(crate::FileError::new("open", dir.path, error).into()),
            }
        }
        Ok(if dir.parts.is_empty() {
            None
        } else {
            Some(dir)
        })
    }

    /// Opens a regular file for reading.
    ///
    /// # Errors
    ///
    /// [`ViewError::NotAFile`] if the entry is none, or what the kernel said.
    pub fn open_file(&self, entry: &Entry) -> Result<File, ViewError> {
        let path = || self.path.join(&entry.name);
        if entry.meta.kind != Kind::File {
            return Err(ViewError::NotAFile(path()));
        }
        let file = open_file(self.part(entry), &entry.name).attempt("open", path())?;
        // The tree may be changing under us; a fifo or device here would never end.
        let meta = stat_fd(&file).attempt("stat", path())?;
        if meta.kind != Kind::File {
            return Err(ViewError::NotAFile(path()));
        }
        Ok(file)
    }

    /// Returns the target of a symlink.
    ///
    /// # Errors
    ///
    /// What the kernel said.
    pub fn read_link(&self, entry: &Entry) -> Result<CString, ViewError> {
        Ok(read_link(self.part(entry), &entry.name)
            .attempt("read link", self.path.join(&entry.name))?)
    }

    /// Returns the extended attributes that belong to the content of an entry: all but those of
    /// overlayfs, `system.*`, and `security.*` other than `security.capability`. Only regular files
    /// and directories have any.
    ///
    /// # Errors
    ///
    /// What the kernel said.
    pub fn xattrs(&self, entry: &Entry) -> Result<XattrMap, ViewError> {
        let path = || self.path.join(&entry.name);
        match entry.meta.kind {
            Kind::File => {
                let file = open_file(self.part(entry), &entry.name).attempt("open", path())?;
                content_xattrs(&file, &path())
            }
            Kind::Dir => {
                let dir = open_dir(self.part(entry), &entry.name).attempt("open", path())?;
                content_xattrs(&dir, &path())
            }
            _ => Ok(XattrMap::new()),
        }
    }

    /// Returns the extended attributes of this directory itself, as [`Self::xattrs`].
    ///
    /// # Errors
    ///
    /// What the kernel said.
    pub fn own_xattrs(&self) -> Result<XattrMap, ViewError> {
        match self.parts.first() {
            Some(part) => content_xattrs(&part.handle, &self.path),
            None => Ok(XattrMap::new()),
        }
    }

    fn part(&self, entry: &Entry) -> BorrowedFd<'_> {
        self.parts[entry.part.min(self.parts.len() - 1)]
            .handle
            .as_fd()
    }
}

/// Returns the attributes of an open file that belong to its content; see [`MergedDir::xattrs`].
pub(crate) fn content_xattrs(file: impl AsFd, path: &Path) -> Result<XattrMap, ViewError> {
    Ok(list_xattrs(file, is_content_attribute).attempt("read attributes of", path)?)
}

/// Observed: BuildKit `cache/contenthash/tarsum.go`: `security.*` and `system.*` left out, but
/// `security.capability` kept.
pub(crate) fn is_content_attribute(name: &[u8]) -> bool {
    name == b"security.capability"
        || !(name.starts_with(b"security.")
            || name.starts_with(b"system.")
            || OverlayForm::owns_attribute(name))
}

pub(crate) fn is_no_directory(error: &io::Error) -> bool {
    matches!(
        error
            .raw_os_error()
            .map(rustix::io::Errno::from_raw_os_error),
        Some(rustix::io::Errno::NOTDIR | rustix::io::Errno::LOOP)
    )
}
