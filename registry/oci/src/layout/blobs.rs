// SPDX-License-Identifier: Apache-2.0
//! Blobs of a layout: finding, reading, syncing and deleting them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};

use super::{Layout, disk};
use crate::{Algorithm, Descriptor, Digest, MediaType, VerifyError, VerifyingReader};

/// Above this many files one `syncfs` replaces a sync of each. Ours: `syncfs` also waits for what
/// others wrote to the file system (snapshots of running steps), so a few syncs are cheaper.
const UNSYNCED_FILES_MAX: usize = 128;

/// Why a blob cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BlobError {
    /// The layout has no such blob.
    #[error("blob {0} is not in the image store")]
    NotFound(Digest),
    /// The bytes are not those that were promised.
    #[error("blob {digest} is not what it should be")]
    Mismatch {
        /// What was promised.
        digest: Digest,
        /// What is wrong.
        source: VerifyError,
    },
    /// Larger than what may be read into memory.
    #[error(
        "blob {digest} has {size_bytes} bytes, more than the {max_bytes} that are read at once"
    )]
    TooLarge {
        /// The blob.
        digest: Digest,
        /// Its size.
        size_bytes: u64,
        /// The limit.
        max_bytes: u64,
    },
    /// The operating system refused.
    #[error("cannot {action} {path}")]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Returns a function that turns an [`io::Error`] into a [`BlobError`] that names the file.
pub(super) fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BlobError {
    let path = path.to_owned();
    move |source| BlobError::Io {
        action,
        path,
        source,
    }
}

/// Files that [`Layout::sync`] must still make durable.
#[derive(Debug, Default)]
pub(super) struct Unsynced {
    files: BTreeMap<PathBuf, File>,
    directories: BTreeSet<PathBuf>,
    /// There were more than [`UNSYNCED_FILES_MAX`]: sync the whole file system.
    overflow: bool,
    /// Held from the first write on: tells collectors that somebody is between writing a blob and
    /// tagging what names it.
    writing: Option<File>,
}

impl Layout {
    /// Stores `bytes` and returns a descriptor of them. Durable only after [`Layout::sync`].
    ///
    /// # Errors
    ///
    /// [`BlobError::Io`].
    pub fn put_bytes(&self, media_type: MediaType, bytes: &[u8]) -> Result<Descriptor, BlobError> {
        let digest = crate::sha256(bytes);
        let size_bytes = bytes.len() as u64;
        if !self.has_blob(&digest, size_bytes)? {
            let mut writer = self.create_blob()?;
            writer.write_bytes(bytes)?;
            writer.finish_unsynced(Some((&digest, size_bytes)))?;
        }
        Ok(Descriptor::new(media_type, digest, size_bytes))
    }

    /// Tells whether the blob is there with that size, and protects it from a collector for the
    /// grace period: the caller may go on as if it had written the blob itself.
    ///
    /// # Errors
    ///
    /// [`BlobError::Io`].
    pub fn has_blob(&self, digest: &Digest, size_bytes: u64) -> Result<bool, BlobError> {
        self.enter()?;
        let path = self.disk.blob(digest);
        let lock = self
            .disk
            .lock_shared()
            .map_err(io_error("lock", self.root()))?;
        let present = self.stat_blob(digest)? == Some(size_bytes);
        if present {
            touch(&path).map_err(io_error("touch", &path))?;
            let file = File::open(&path).map_err(io_error("open", &path))?;
            self.remember_unsynced(file, &path);
        }
        drop(lock);
        Ok(present)
    }

    /// Returns the size of a blob, or none if it is not there.
    ///
    /// # Errors
    ///
    /// [`BlobError::Io`].
    pub fn stat_blob(&self, digest: &Digest) -> Result<Option<u64>, BlobError> {
        let path = self.disk.blob(digest);
        match std::fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_file() => Ok(Some(metadata.len())),
            Ok(_) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(io_error("stat", &path)(source)),
        }
    }

    /// Opens a blob for reading, unverified; use [`Layout::open_verified`] unless what reads it
    /// verifies anyway.
    ///
    /// # Errors
    ///
    /// [`BlobError::NotFound`], [`BlobError::Io`].
    pub fn open_blob(&self, digest: &Digest) -> Result<File, BlobError> {
        let path = self.disk.blob(digest);
        File::open(&path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => BlobError::NotFound(digest.clone()),
            _ => io_error("open", &path)(source),
        })
    }

    /// Opens a blob; reading to the end fails if the bytes are not what `descriptor` promises.
    ///
    /// # Errors
    ///
    /// [`BlobError::NotFound`], [`BlobError::Io`].
    pub fn open_verified(
        &self,
        descriptor: &Descriptor,
    ) -> Result<VerifyingReader<File>, BlobError> {
        let file = self.open_blob(&descriptor.digest)?;
        Ok(VerifyingReader::new(
            file,
            descriptor.digest.clone(),
            descriptor.size_bytes,
        ))
    }

    /// Reads and verifies a whole blob of at most `max_bytes`.
    ///
    /// # Errors
    ///
    /// See [`BlobError`].
    pub fn read_blob(
        &self,
        descriptor: &Descriptor,
        max_bytes: usize,
    ) -> Result<Vec<u8>, BlobError> {
        if descriptor.size_bytes > max_bytes as u64 {
            return Err(BlobError::TooLarge {
                digest: descriptor.digest.clone(),
                size_bytes: descriptor.size_bytes,
                max_bytes: max_bytes as u64,
            });
        }
        let mut bytes = Vec::new();
        match self.open_verified(descriptor)?.read_to_end(&mut bytes) {
            Ok(_) => Ok(bytes),
            Err(error) => Err(self.read_error(&descriptor.digest, error)),
        }
    }

    fn read_error(&self, digest: &Digest, error: io::Error) -> BlobError {
        match error.downcast::<VerifyError>() {
            Ok(source) => BlobError::Mismatch {
                digest: digest.clone(),
                source,
            },
            Err(source) => io_error("read", &self.disk.blob(digest))(source),
        }
    }

    /// Returns where the file of a blob is, whether it exists or not. Never write to it.
    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.disk.blob(digest)
    }

    /// Deletes a blob, whoever may still name it; returns whether it was there.
    ///
    /// Removing images is [`Layout::untag`] and [`Layout::collect`]; this is for a blob that turned
    /// out to be damaged.
    ///
    /// # Errors
    ///
    /// [`BlobError::Io`].
    pub fn delete_blob(&self, digest: &Digest) -> Result<bool, BlobError> {
        let path = self.disk.blob(digest);
        self.forget_sources(digest);
        match std::fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(source) => Err(io_error("delete", &path)(source)),
        }
    }

    /// Returns digest and size of every blob, sorted by digest.
    ///
    /// # Errors
    ///
    /// [`BlobError::Io`].
    pub fn blobs(&self) -> Result<Vec<(Digest, u64)>, BlobError> {
        let mut found = Vec::new();
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let directory = self.disk.blobs_dir(algorithm.name());
            let entries = match std::fs::read_dir(&directory) {
                Ok(entries) => entries,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(source) => return Err(io_error("list", &directory)(source)),
            };
            for entry in entries {
                let entry = entry.map_err(io_error("list", &directory))?;
                let name = entry.file_name();
                let text = format!("{algorithm}:{}", name.to_string_lossy());
                // Other tools may leave temporary files here: not blobs.
                let Ok(digest) = Digest::from_str(&text) else {
                    continue;
                };
                if let Some(size_bytes) = self.stat_blob(&digest)? {
                    found.push((digest, size_bytes));
                }
            }
        }
        found.sort();
        Ok(found)
    }

    /// Makes every blob that this layout (or a clone of it) stored or found durable.
    ///
    /// # Errors
    ///
    /// [`BlobError::Io`]; what was not synced is tried again by the next call.
    ///
    /// # Panics
    ///
    /// If another thread panicked while it stored a blob.
    pub fn sync(&self) -> Result<(), BlobError> {
        let mut unsynced = self.unsynced.lock().expect("no writer panics");
        if unsynced.overflow {
            let root = File::open(self.root()).map_err(io_error("open", self.root()))?;
            rustix::fs::syncfs(root)
                .map_err(|error| io_error("sync", self.root())(error.into()))?;
        } else {
            for (path, file) in &unsynced.files {
                file.sync_data().map_err(io_error("sync", path))?;
            }
            for directory in &unsynced.directories {
                disk::sync_dir(directory).map_err(io_error("sync", directory))?;
            }
        }
        unsynced.files.clear();
        unsynced.directories.clear();
        unsynced.overflow = false;
        Ok(())
    }

    /// Joins the writers at work, for as long as this layout and its clones live.
    pub(super) fn enter(&self) -> Result<(), BlobError> {
        let mut unsynced = self.unsynced.lock().expect("no writer panics");
        if unsynced.writing.is_none() {
            let lock = self.disk.lock_writers();
            unsynced.writing = Some(lock.map_err(io_error("lock", self.root()))?);
        }
        Ok(())
    }

    pub(super) fn remember_unsynced(&self, file: File, path: &Path) {
        let mut unsynced = self.unsynced.lock().expect("no writer panics");
        if unsynced.files.len() >= UNSYNCED_FILES_MAX {
            unsynced.overflow = true;
        }
        if unsynced.overflow {
            unsynced.files.clear();
        } else {
            unsynced.files.insert(path.to_owned(), file);
        }
        if let Some(directory) = path.parent() {
            unsynced.directories.insert(directory.to_owned());
        }
    }
}

/// Sets the modification time to now, as the kernel sees it.
pub(super) fn touch(path: &Path) -> io::Result<()> {
    let stamp = |nanoseconds| Timespec {
        tv_sec: 0,
        tv_nsec: nanoseconds,
    };
    let times = Timestamps {
        last_access: stamp(UTIME_OMIT),
        last_modification: stamp(UTIME_NOW),
    };
    Ok(rustix::fs::utimensat(CWD, path, &times, AtFlags::empty())?)
}
