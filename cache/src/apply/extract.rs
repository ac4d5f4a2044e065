// SPDX-License-Identifier: Apache-2.0
//! Entries of an archive, one after another, written through directory handles.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::{BufRead, Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::ApplyError;
use super::names::{Meaning, clean, meaning};
use crate::file::{Attempt, FileError, Kind, Timestamp, XattrMap};
use crate::tar::{TarEntry, TarKind, TarReader};
use crate::upper::{Attributes, NewDir, Upper, UpperDir, WriteError};
use crate::view::is_content_attribute;
use crate::{Follow, Owner, Resolved};

/// How many directory handles are kept. Archives are in directory order, so few are enough.
const OPEN_DIRS_MAX: usize = 256;

/// What the archive is for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// Whiteouts and opaque markers have their meaning.
    pub(super) is_layer: bool,
    pub(super) owner: Option<Owner>,
    pub(super) mtime: Option<Timestamp>,
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) entries: u64,
    pub(super) unpacked_bytes: u64,
    pub(super) skipped_devices: u64,
}

pub(super) struct Extractor<'a> {
    target: &'a Upper,
    /// Resolved.
    dest: PathBuf,
    rules: Rules,
    /// By path as written in the archive, cleaned.
    open_dirs: BTreeMap<PathBuf, Arc<UpperDir>>,
    /// Set at the end: making a child changes the time of its directory.
    dir_times: Vec<(PathBuf, Timestamp)>,
    counts: Counts,
}

impl<'a> Extractor<'a> {
    pub(super) fn new(target: &'a Upper, dest: &Path, rules: Rules) -> Result<Self, ApplyError> {
        let new = NewDir {
            owner: rules.owner.unwrap_or(Owner::ROOT),
            mtime: rules.mtime,
            ..NewDir::default()
        };
        let dest = target.make_dirs(dest, &new)?.path().to_owned();
        Ok(Self {
            target,
            dest,
            rules,
            open_dirs: BTreeMap::new(),
            dir_times: Vec::new(),
            counts: Counts::default(),
        })
    }

    pub(super) fn entry<R: BufRead>(
        &mut self,
        entry: &TarEntry,
        tar: &mut TarReader<R>,
    ) -> Result<(), ApplyError> {
        self.counts.entries += 1;
        let path = clean(&entry.path)?;
        let Some(name) = path.file_name() else {
            return self.root(entry);
        };
        let parent = path.parent().unwrap_or(Path::new(""));
        if self.rules.is_layer {
            match meaning(&path, name)? {
                Meaning::Entry => {}
                Meaning::Ignored => return Ok(()),
                Meaning::Opaque => return Ok(self.dir(parent)?.make_opaque()?),
                Meaning::Whiteout(hidden) => {
                    let dir = self.dir(parent)?;
                    dir.whiteout(&hidden)?;
                    return Ok(());
                }
            }
        }
        self.forget_dirs_through(&path);
        let dir = self.dir(parent)?;
        match entry.kind {
            TarKind::Dir => self.make_dir(&dir, name, entry),
            TarKind::HardLink => self.hard_link(&dir, name, entry),
            TarKind::File => self.file(&dir, name, entry, tar),
            TarKind::Symlink => {
                let target = OsStr::from_bytes(&entry.link);
                let attributes = self.attributes(entry);
                self.replacing(&dir, name, || dir.symlink(name, target, &attributes))
            }
            TarKind::Fifo => self.node(&dir, name, Kind::Fifo, entry),
            TarKind::CharDevice => self.node(&dir, name, Kind::CharDevice, entry),
            TarKind::BlockDevice => self.node(&dir, name, Kind::BlockDevice, entry),
        }
    }

    /// Returns the directory that `path` of the archive leads to.
    fn dir(&mut self, path: &Path) -> Result<Arc<UpperDir>, ApplyError> {
        if let Some(dir) = self.open_dirs.get(path) {
            return Ok(Arc::clone(dir));
        }
        let full = self.dest.join(path);
        let new = NewDir {
            owner: self.rules.owner.unwrap_or(Owner::ROOT),
            mtime: self.rules.mtime,
            ..NewDir::default()
        };
        let dir = self.target.make_dirs(&full, &new)?;
        if self.open_dirs.len() >= OPEN_DIRS_MAX {
            self.open_dirs.clear();
        }
        self.open_dirs.insert(path.to_owned(), Arc::clone(&dir));
        Ok(dir)
    }

    /// What `path` leads to is about to change, so handles that were reached through it are stale.
    fn forget_dirs_through(&mut self, path: &Path) {
        // Paths sort by component: those that start with `path` follow it directly.
        let next = self.open_dirs.range(path.to_owned()..).next();
        if next.is_some_and(|(open, _)| open.starts_with(path)) {
            self.open_dirs.clear();
        }
    }

    fn attributes(&self, entry: &TarEntry) -> Attributes {
        let xattrs: XattrMap = entry
            .xattrs
            .iter()
            .filter(|(name, _)| is_content_attribute(name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        Attributes {
            mode: Some(entry.mode),
            owner: Some(self.rules.owner.unwrap_or(entry.owner)),
            mtime: Some(self.rules.mtime.unwrap_or(entry.mtime)),
            xattrs,
        }
    }

    fn root(&mut self, entry: &TarEntry) -> Result<(), ApplyError> {
        if entry.kind != TarKind::Dir {
            return Err(ApplyError::RootIsNoDirectory);
        }
        // `ADD` leaves the directory it unpacks into as it is.
        if self.rules.is_layer {
            let dir = self.dir(Path::new(""))?;
            let attributes = self.attributes(entry);
            attributes.set(dir.handle(), dir.path())?;
            self.dir_times
                .extend(attributes.mtime.map(|mtime| (dir.path().to_owned(), mtime)));
        }
        Ok(())
    }

    fn make_dir(
        &mut self,
        parent: &UpperDir,
        name: &OsStr,
        entry: &TarEntry,
    ) -> Result<(), ApplyError> {
        let (dir, _) = parent.child_replacing(name, &NewDir::default())?;
        let attributes = self.attributes(entry);
        attributes.set(dir.handle(), dir.path())?;
        self.dir_times
            .extend(attributes.mtime.map(|mtime| (dir.path().to_owned(), mtime)));
        Ok(())
    }

    fn file<R: BufRead>(
        &mut self,
        dir: &UpperDir,
        name: &OsStr,
        entry: &TarEntry,
        tar: &mut TarReader<R>,
    ) -> Result<(), ApplyError> {
        let mut file = self.replacing(dir, name, || dir.create_file(name))?;
        let path = || dir.path().join(name);
        match &entry.sparse {
            None => loop {
                let content = tar.content()?;
                let count = content.len();
                if count == 0 {
                    break;
                }
                file.write_all(content).attempt("write", path())?;
                tar.consume(count);
            },
            Some(map) => {
                for (offset, len) in &map.pieces {
                    file.seek(SeekFrom::Start(*offset))
                        .attempt("write", path())?;
                    let mut left = *len;
                    while left > 0 {
                        let content = tar.content()?;
                        let count = content
                            .len()
                            .min(usize::try_from(left).unwrap_or(usize::MAX));
                        file.write_all(&content[..count]).attempt("write", path())?;
                        tar.consume(count);
                        left -= count as u64;
                    }
                }
                file.set_len(map.size_bytes).attempt("write", path())?;
            }
        }
        self.counts.unpacked_bytes += entry.size_bytes;
        Ok(self.attributes(entry).set(&file, &path())?)
    }

    fn hard_link(
        &mut self,
        dir: &UpperDir,
        name: &OsStr,
        entry: &TarEntry,
    ) -> Result<(), ApplyError> {
        let target = clean(&entry.link)?;
        let bad = || ApplyError::BadLink {
            path: dir.path().join(name),
            target: target.clone(),
        };
        let target_name = target.file_name().ok_or_else(bad)?;
        let target_parent = target.parent().unwrap_or(Path::new(""));
        // Look before making directories: a link to nothing leaves nothing behind.
        let full = self.dest.join(&target);
        match self.target.view().resolve(&full, Follow::Parents)? {
            Resolved::Entry { entry, .. } if !entry.meta.is_dir() => {}
            _ => return Err(bad()),
        }
        let source = self.dir(target_parent)?;
        if source.path() == dir.path() && target_name == name {
            return Ok(());
        }
        source.copy_up(target_name)?;
        self.replacing(dir, name, || dir.hard_link(name, &source, target_name))
    }

    fn node(
        &mut self,
        dir: &UpperDir,
        name: &OsStr,
        kind: Kind,
        entry: &TarEntry,
    ) -> Result<(), ApplyError> {
        let is_whiteout = kind == Kind::CharDevice && entry.rdev == 0;
        if is_whiteout {
            self.counts.skipped_devices += 1;
            return Ok(());
        }
        let attributes = self.attributes(entry);
        let made = self.replacing(dir, name, || {
            dir.make_node(name, kind, entry.rdev, &attributes)
        });
        match made {
            Err(ApplyError::Write(WriteError::File(FileError { source, .. })))
                if kind != Kind::Fifo && source.kind() == std::io::ErrorKind::PermissionDenied =>
            {
                self.counts.skipped_devices += 1;
                Ok(())
            }
            other => other,
        }
    }

    /// Makes an entry; a directory in its place gives way.
    fn replacing<T>(
        &mut self,
        dir: &UpperDir,
        name: &OsStr,
        make: impl Fn() -> Result<T, WriteError>,
    ) -> Result<T, ApplyError> {
        match make() {
            Err(WriteError::IsADirectory(_)) => {
                dir.remove(name)?;
                self.open_dirs.clear();
                Ok(make()?)
            }
            other => Ok(other?),
        }
    }

    /// Sets the times of the directories.
    pub(super) fn finish(mut self) -> Result<Counts, ApplyError> {
        self.open_dirs.clear();
        let times = std::mem::take(&mut self.dir_times);
        let mut parent: Option<(PathBuf, Arc<UpperDir>)> = None;
        for (path, mtime) in times {
            let (Some(name), Some(above)) = (path.file_name(), path.parent()) else {
                self.target.set_root_mtime(mtime)?;
                continue;
            };
            let name: OsString = name.to_owned();
            let dir = match &parent {
                Some((open, dir)) if open == above => Arc::clone(dir),
                // Replaced by a file since.
                _ => match self.target.make_resolved(above, &NewDir::default()) {
                    Ok(dir) => dir,
                    Err(WriteError::IsNotADirectory(_)) => continue,
                    Err(error) => return Err(error.into()),
                },
            };
            dir.set_dir_time(&name, mtime)?;
            parent = Some((above.to_owned(), dir));
        }
        Ok(self.counts)
    }
}
