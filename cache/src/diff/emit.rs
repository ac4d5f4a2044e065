// SPDX-License-Identifier: Apache-2.0
//! Changes in, tar entries out.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::{Read, Write};
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::{DiffError, LayerStats, Times};
use crate::Owner;
use crate::file::{Attempt, Kind, Meta, XattrMap, get_xattr, open_file, read_link};
use crate::tar::{EntryHead, TarKind, TarWriter};

/// The one attribute that layers keep.
pub(super) const CAPABILITY: &[u8] = b"security.capability";

/// How much of a file is read at a time.
const READ_BYTES: usize = 256 << 10;

pub(super) struct Emitter<'a, W> {
    tar: TarWriter<&'a mut W>,
    times: Times,
    /// The first path of every inode with several names.
    inodes: HashMap<(u64, u64), PathBuf>,
    buffer: Vec<u8>,
    stats: LayerStats,
}

impl<'a, W: Write> Emitter<'a, W> {
    pub(super) fn new(sink: &'a mut W, times: Times) -> Self {
        Self {
            tar: TarWriter::new(sink),
            times,
            inodes: HashMap::new(),
            buffer: vec![0; READ_BYTES],
            stats: LayerStats::default(),
        }
    }

    fn begin(&mut self, head: &EntryHead<'_>) -> Result<(), DiffError> {
        self.stats.entries += 1;
        self.tar.begin(head).map_err(DiffError::Sink)
    }

    fn mtime_secs(&self, meta: &Meta) -> i64 {
        let secs = meta.mtime.secs;
        match self.times {
            Times::Keep => secs,
            Times::NotAfter(moment) => secs.min(moment),
            Times::Exactly(moment) => moment,
        }
    }

    pub(super) fn skip_socket(&mut self) {
        self.stats.skipped_sockets += 1;
    }

    /// Writes `dir/.wh.name` for `dir/name`.
    pub(super) fn whiteout(&mut self, path: &Path) -> Result<(), DiffError> {
        let name = path.file_name().unwrap_or_default().as_bytes();
        let whiteout = path.with_file_name(OsStr::from_bytes(&[b".wh.", name].concat()));
        self.begin(&EntryHead {
            path: whiteout.as_os_str().as_bytes(),
            kind: TarKind::File,
            mode: 0,
            owner: Owner::ROOT,
            size_bytes: 0,
            mtime_secs: 0,
            link: b"",
            rdev: 0,
            xattrs: &XattrMap::new(),
        })
    }

    pub(super) fn dir(&mut self, path: &Path, meta: &Meta) -> Result<(), DiffError> {
        if path.as_os_str().is_empty() {
            // The root has no entry.
            return Ok(());
        }
        let name = [path.as_os_str().as_bytes(), b"/"].concat();
        self.begin(&EntryHead {
            path: &name,
            kind: TarKind::Dir,
            mode: meta.mode,
            owner: meta.owner,
            size_bytes: 0,
            mtime_secs: self.mtime_secs(meta),
            link: b"",
            rdev: 0,
            xattrs: &XattrMap::new(),
        })
    }

    /// Writes a file, symlink, fifo or device, or a link to a former name of it.
    pub(super) fn entry(
        &mut self,
        dir: BorrowedFd<'_>,
        path: &Path,
        meta: &Meta,
    ) -> Result<(), DiffError> {
        let name = path.file_name().unwrap_or_default();
        let mut head = EntryHead {
            path: path.as_os_str().as_bytes(),
            kind: TarKind::File,
            mode: meta.mode,
            owner: meta.owner,
            size_bytes: 0,
            mtime_secs: self.mtime_secs(meta),
            link: b"",
            rdev: 0,
            xattrs: &XattrMap::new(),
        };
        if meta.links > 1 {
            let inode = (meta.dev, meta.ino);
            if let Some(first) = self.inodes.get(&inode).cloned() {
                head.kind = TarKind::HardLink;
                head.link = first.as_os_str().as_bytes();
                return self.begin(&head);
            }
            self.inodes.insert(inode, path.to_owned());
        }
        match meta.kind {
            Kind::File => self.file(dir, name, (path, meta), &head),
            Kind::Symlink => {
                let target = read_link(dir, name).attempt("read link", path)?;
                head.kind = TarKind::Symlink;
                head.mode = 0o777;
                head.link = target.to_bytes();
                self.begin(&head)
            }
            Kind::Fifo => {
                head.kind = TarKind::Fifo;
                self.begin(&head)
            }
            Kind::CharDevice | Kind::BlockDevice => {
                head.kind = match meta.kind {
                    Kind::CharDevice => TarKind::CharDevice,
                    _ => TarKind::BlockDevice,
                };
                head.rdev = meta.rdev;
                self.begin(&head)
            }
            // The walk goes into directories, and leaves sockets out.
            Kind::Dir | Kind::Socket => Ok(()),
        }
    }

    fn file(
        &mut self,
        dir: BorrowedFd<'_>,
        name: &OsStr,
        (path, meta): (&Path, &Meta),
        head: &EntryHead<'_>,
    ) -> Result<(), DiffError> {
        let mut file = open_file(dir, name).attempt("open", path)?;
        let mut xattrs = XattrMap::new();
        if let Some(value) = get_xattr(&file, CAPABILITY).attempt("read attributes of", path)? {
            xattrs.insert(CAPABILITY.to_vec(), value);
        }
        self.begin(&EntryHead {
            xattrs: &xattrs,
            size_bytes: meta.size_bytes,
            ..head.clone()
        })?;
        let mut left = meta.size_bytes;
        while left > 0 {
            let want = usize::try_from(left).map_or(READ_BYTES, |left| left.min(READ_BYTES));
            let count = file.read(&mut self.buffer[..want]).attempt("read", path)?;
            if count == 0 {
                return Err(DiffError::Changed(path.to_owned()));
            }
            self.tar
                .sink()
                .write_all(&self.buffer[..count])
                .map_err(DiffError::Sink)?;
            left -= count as u64;
        }
        self.stats.content_bytes += meta.size_bytes;
        Ok(())
    }

    /// Ends the tar.
    pub(super) fn finish(self) -> Result<LayerStats, DiffError> {
        self.tar.finish().map_err(DiffError::Sink)?;
        Ok(self.stats)
    }
}
