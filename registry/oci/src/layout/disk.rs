// SPDX-License-Identifier: Apache-2.0
//! Paths of a layout, its locks, and files that appear whole or not at all.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::Digest;

/// Where things lie below the root of a layout.
#[derive(Debug)]
pub(super) struct Disk {
    root: PathBuf,
}

/// Makes names of temporary files differ within one process; the process id does between them.
static NEXT_TEMPORARY: AtomicU64 = AtomicU64::new(0);

impl Disk {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn blobs_dir(&self, algorithm: &str) -> PathBuf {
        self.root.join("blobs").join(algorithm)
    }

    /// A digest is checked hexadecimal text, so no path can hide in it.
    pub(super) fn blob(&self, digest: &Digest) -> PathBuf {
        self.blobs_dir(digest.algorithm().name()).join(digest.hex())
    }

    pub(super) fn ingest_dir(&self) -> PathBuf {
        self.root.join(".kiln/ingest")
    }

    pub(super) fn partial_dir(&self) -> PathBuf {
        self.root.join(".kiln/partial")
    }

    pub(super) fn sources_dir(&self) -> PathBuf {
        self.root.join(".kiln/sources")
    }

    /// Takes the lock that publishing shares and collecting owns.
    pub(super) fn lock_shared(&self) -> io::Result<File> {
        let file = self.open_lock("lock")?;
        file.lock_shared()?;
        Ok(file)
    }

    /// Waits until nobody publishes, and keeps everybody from it until dropped.
    pub(super) fn lock_exclusive(&self) -> io::Result<File> {
        let file = self.open_lock("lock")?;
        file.lock()?;
        Ok(file)
    }

    /// Joins the writers at work; waits while a collector has the layout for itself.
    pub(super) fn lock_writers(&self) -> io::Result<File> {
        let file = self.open_lock("writers.lock")?;
        file.lock_shared()?;
        Ok(file)
    }

    /// Keeps writers out until dropped; none if one is at work.
    pub(super) fn try_lock_no_writers(&self) -> io::Result<Option<File>> {
        let file = self.open_lock("writers.lock")?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Takes the lock on `index.json`.
    pub(super) fn lock_index(&self) -> io::Result<File> {
        let file = self.open_lock("index.lock")?;
        file.lock()?;
        Ok(file)
    }

    fn open_lock(&self, name: &str) -> io::Result<File> {
        let directory = self.root.join(".kiln");
        let open = || {
            OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .open(directory.join(name))
        };
        match open() {
            // A layout that another tool made has no directory of ours yet.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                std::fs::create_dir_all(&directory)?;
                open()
            }
            other => other,
        }
    }

    /// Makes a temporary file, locked as long as its handle lives so that the collector can tell
    /// a writer at work from one that was killed.
    pub(super) fn create_temporary(&self) -> io::Result<(PathBuf, File)> {
        loop {
            let number = NEXT_TEMPORARY.fetch_add(1, Ordering::Relaxed);
            let name = format!("{}-{number}", std::process::id());
            let path = self.ingest_dir().join(name);
            let mut options = OpenOptions::new();
            options.read(true).write(true).create_new(true);
            match options.open(&path) {
                Ok(file) => {
                    file.lock()?;
                    return Ok((path, file));
                }
                // Left by a killed process that had our process id.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    std::fs::create_dir_all(self.ingest_dir())?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Replaces `path` by a file with `bytes`, durably.
    pub(super) fn replace_file(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let (temporary, mut file) = self.create_temporary()?;
        let done = file
            .write_all(bytes)
            .and_then(|()| file.sync_data())
            .and_then(|()| std::fs::rename(&temporary, path))
            .and_then(|()| sync_dir(parent(path)));
        if done.is_err() {
            remove_quietly(&temporary);
        }
        done
    }

    /// Makes `path` with `bytes` unless it exists. Many processes may do this at once: a hard
    /// link, unlike a rename, never replaces the file of the one that was first.
    pub(super) fn create_file(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        if path.try_exists()? {
            return Ok(());
        }
        let (temporary, mut file) = self.create_temporary()?;
        let done = file
            .write_all(bytes)
            .and_then(|()| file.sync_data())
            .and_then(|()| std::fs::hard_link(&temporary, path))
            .and_then(|()| sync_dir(parent(path)));
        remove_quietly(&temporary);
        match done {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        }
    }
}

/// Removes a leftover. That it stays is no harm: the collector takes it later.
pub(super) fn remove_quietly(path: &Path) {
    std::fs::remove_file(path).ok();
}

/// Makes the names in `directory` durable.
pub(super) fn sync_dir(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Reads a file that has no reason to be larger than `max_bytes`.
pub(super) fn read_small(path: &Path, max_bytes: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(max_bytes + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max_bytes {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("larger than {max_bytes} bytes"),
        ));
    }
    Ok(bytes)
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("."))
}
