// SPDX-License-Identifier: Apache-2.0
//! The copy of one file, link, fifo or device.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::file::Contents;
use super::{CopyError, CopyRequest, CopyStats};
use crate::file::{Attempt, FileError, Kind, Meta, Timestamp, XattrMap};
use crate::source::{Source, Verdict};
use crate::upper::{Attributes, NewDir, Upper, UpperDir, WriteError};
use crate::view::{Entry, MergedDir, content_xattrs};

/// Where the first name of an inode went; locked while it is being copied.
type FirstName = Arc<Mutex<Option<PathBuf>>>;

/// What all threads of one copy share.
pub(super) struct Copier<'a> {
    source: &'a Source<'a>,
    target: &'a Upper,
    pub(super) request: &'a CopyRequest<'a>,
    new_dir: NewDir,
    inodes: Mutex<HashMap<(u64, u64), FirstName>>,
    contents: Contents,
    files: AtomicU64,
    bytes: AtomicU64,
}

impl<'a> Copier<'a> {
    pub(super) fn new(
        source: &'a Source<'a>,
        target: &'a Upper,
        request: &'a CopyRequest<'a>,
        new_dir: NewDir,
    ) -> Self {
        Self {
            source,
            target,
            request,
            new_dir,
            inodes: Mutex::default(),
            contents: Contents::new(),
            files: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        }
    }

    pub(super) fn stats(&self) -> CopyStats {
        CopyStats {
            files: self.files.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }

    pub(super) fn has_filter(&self) -> bool {
        self.source.filter.is_some() || self.request.filter.is_some()
    }

    pub(super) fn verdict(&self, path: &Path, relative: &Path, is_dir: bool) -> Verdict {
        self.source
            .verdict_of(path, (self.request.filter, relative), is_dir)
    }

    pub(super) fn mtime(&self, meta: &Meta) -> Timestamp {
        self.request.mtime.unwrap_or(meta.mtime)
    }

    pub(super) fn attributes(&self, meta: &Meta, xattrs: XattrMap) -> Attributes {
        let mode = match self.request.chmod {
            Some(chmod) => chmod.apply(meta.mode, meta.is_dir()),
            None => meta.mode,
        };
        Attributes {
            mode: Some(mode),
            owner: Some(self.request.owner.unwrap_or(self.source.owner_of(meta))),
            mtime: Some(self.mtime(meta)),
            xattrs,
        }
    }

    /// Copies `entry` of `from` to `to`.
    pub(super) fn copy(
        &self,
        from: &MergedDir,
        entry: &Entry,
        to: (&UpperDir, &OsStr),
    ) -> Result<(), CopyError> {
        self.files.fetch_add(1, Ordering::Relaxed);
        if entry.meta.links > 1 && entry.meta.kind != Kind::Socket {
            return self.copy_linked(from, entry, to);
        }
        self.copy_alone(from, entry, to)
    }

    /// Of several names of one inode the first that comes is copied, the others link to it.
    fn copy_linked(
        &self,
        from: &MergedDir,
        entry: &Entry,
        (dir, name): (&UpperDir, &OsStr),
    ) -> Result<(), CopyError> {
        let inode = (entry.meta.dev, entry.meta.ino);
        let first = {
            let mut inodes = self.inodes.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(inodes.entry(inode).or_default())
        };
        let mut first = first.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(path) = &*first {
            let above = path.parent().unwrap_or(Path::new("/"));
            let source = self.target.make_resolved(above, &self.new_dir)?;
            let source_name = path.file_name().unwrap_or_default();
            return self.replacing((dir, name), || dir.hard_link(name, &source, source_name));
        }
        self.copy_alone(from, entry, (dir, name))?;
        *first = Some(dir.path().join(name));
        Ok(())
    }

    fn copy_alone(
        &self,
        from: &MergedDir,
        entry: &Entry,
        (dir, name): (&UpperDir, &OsStr),
    ) -> Result<(), CopyError> {
        let meta = &entry.meta;
        match meta.kind {
            Kind::File => {
                let source = from.open_file(entry)?;
                let path = from.path().join(&entry.name);
                let target = self.replacing((dir, name), || dir.create_file(name))?;
                let copied = self
                    .contents
                    .copy(&source, &target, meta.size_bytes)
                    .attempt("copy", &path)?;
                self.bytes.fetch_add(copied, Ordering::Relaxed);
                let attributes = self.attributes(meta, content_xattrs(&source, &path)?);
                Ok(attributes.set(&target, &path)?)
            }
            Kind::Symlink => {
                let target = from.read_link(entry)?;
                let target = OsStr::from_bytes(target.to_bytes());
                let attributes = self.attributes(meta, XattrMap::new());
                self.replacing((dir, name), || dir.symlink(name, target, &attributes))
            }
            // Observed: a socket becomes an empty file (facts: rule 43).
            Kind::Socket => {
                let file = self.replacing((dir, name), || dir.create_file(name))?;
                let attributes = self.attributes(meta, XattrMap::new());
                Ok(attributes.set(&file, &dir.path().join(name))?)
            }
            Kind::Fifo | Kind::CharDevice | Kind::BlockDevice => {
                let is_whiteout = meta.kind == Kind::CharDevice && meta.rdev == 0;
                if is_whiteout {
                    // In the target it would hide a file instead of being one.
                    let error = std::io::Error::from(std::io::ErrorKind::Unsupported);
                    return Err(FileError::new("copy", from.path().join(name), error).into());
                }
                let attributes = self.attributes(meta, XattrMap::new());
                self.replacing((dir, name), || {
                    dir.make_node(name, meta.kind, meta.rdev, &attributes)
                })
            }
            Kind::Dir => unreachable!("directories are tasks of their own"),
        }
    }

    /// Makes an entry; if the request says so, a directory in its place gives way.
    fn replacing<T>(
        &self,
        (dir, name): (&UpperDir, &OsStr),
        make: impl Fn() -> Result<T, WriteError>,
    ) -> Result<T, CopyError> {
        match make() {
            Err(WriteError::IsADirectory(_)) if self.request.replace_existing => {
                dir.remove(name)?;
                Ok(make()?)
            }
            other => Ok(other?),
        }
    }
}
