// SPDX-License-Identifier: Apache-2.0
//! A foreign directory, read through handles: nothing in it leads out of it, and nothing in it can
//! make a reader wait.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

/// How many entries of one directory are read.
const ENTRIES_MAX: usize = 4 << 20;
const DIRECTORY: OFlags = OFlags::DIRECTORY
    .union(OFlags::RDONLY)
    .union(OFlags::CLOEXEC);

/// The root of a foreign directory.
#[derive(Debug)]
pub(super) struct Tree {
    root: OwnedFd,
}

impl Tree {
    /// Opens `path`, which the user named: links in it are followed.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let root = rustix::fs::open(path, DIRECTORY, Mode::empty())?;
        Ok(Self { root })
    }

    /// Returns the tree at `path` below.
    pub(super) fn below(&self, path: &str) -> io::Result<Self> {
        let root = self.folder(path)?;
        Ok(Self { root })
    }

    /// Opens the directory `path`; a link anywhere in it is an error.
    fn folder(&self, path: &str) -> io::Result<OwnedFd> {
        let mut folder = rustix::fs::openat(&self.root, c".", DIRECTORY, Mode::empty())?;
        for part in path.split('/').filter(|part| !part.is_empty()) {
            if part == ".." {
                return Err(io::ErrorKind::InvalidInput.into());
            }
            let flags = DIRECTORY | OFlags::NOFOLLOW;
            folder = rustix::fs::openat(&folder, part, flags, Mode::empty())?;
        }
        Ok(folder)
    }

    /// Returns the names in the directory `path`, sorted, with whether each is a directory; none if
    /// there is no such directory. Names that are not text are left out.
    pub(super) fn list(&self, path: &str) -> io::Result<Vec<(String, bool)>> {
        let folder = match self.folder(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        let mut names = Vec::new();
        for entry in Dir::read_from(&folder)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().to_str() else {
                continue;
            };
            if name == "." || name == ".." {
                continue;
            }
            let is_folder = match entry.file_type() {
                FileType::Unknown => {
                    let stat = rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
                    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
                }
                known => known == FileType::Directory,
            };
            names.push((name.to_owned(), is_folder));
            if names.len() > ENTRIES_MAX {
                return Err(io::ErrorKind::FileTooLarge.into());
            }
        }
        names.sort();
        Ok(names)
    }

    /// Opens the regular file `path`. A link or a pipe is an error, at once.
    pub(super) fn file(&self, path: &str) -> io::Result<File> {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let folder = self.folder(folder)?;
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = rustix::fs::openat(&folder, name, flags, Mode::empty())?;
        let stat = rustix::fs::fstat(&file)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(Errno::INVAL.into());
        }
        Ok(file.into())
    }

    /// Returns the whole of a file that has at most `limit` bytes.
    pub(super) fn read(&self, path: &str, limit: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut limited = self.file(path)?.take(limit as u64 + 1);
        limited.read_to_end(&mut bytes)?;
        if bytes.len() > limit {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(bytes)
    }

    /// Tells whether there is anything at `path`.
    pub(super) fn has(&self, path: &str) -> bool {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let stat =
            |folder: OwnedFd| rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW).is_ok();
        self.folder(folder).is_ok_and(stat)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn nothing_leads_out_and_nothing_blocks() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret"), b"x").unwrap();
        let root = tempfile::tempdir().unwrap();
        let path = root.path();
        fs::create_dir(path.join("real")).unwrap();
        fs::write(path.join("real/file"), b"hello").unwrap();
        std::os::unix::fs::symlink(outside.path(), path.join("link")).unwrap();
        std::os::unix::fs::symlink("file", path.join("real/alias")).unwrap();
        let mode = Mode::from_raw_mode(0o644);
        rustix::fs::mknodat(
            rustix::fs::CWD,
            path.join("real/pipe"),
            FileType::Fifo,
            mode,
            0,
        )
        .unwrap();
        let tree = Tree::open(path).unwrap();
        assert_eq!(tree.read("real/file", 5).unwrap(), b"hello");
        for (rule, path) in [
            ("too large", "real/file"),
            ("linked directory", "link/secret"),
            ("linked file", "real/alias"),
            ("pipe", "real/pipe"),
            ("directory", "real"),
            ("above", "real/../real/file"),
        ] {
            assert!(tree.read(path, 4).is_err(), "{rule}");
        }
        let listed = tree.list("").unwrap();
        assert_eq!(listed, [("link".into(), false), ("real".into(), true)]);
        assert!(tree.list("link").is_err() && tree.list("absent").unwrap().is_empty());
    }
}
