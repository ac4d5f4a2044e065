// SPDX-License-Identifier: Apache-2.0
//! Writing one blob of a layout; with `blobs.rs` the only code that touches blob files.
//!
//! Sync policy: [`BlobWriter::finish`] returns with the blob on the disk;
//! [`BlobWriter::finish_unsynced`] returns at once and leaves that to [`Layout::sync`], which
//! [`Layout::tag`] calls in any case. A build with twenty layers thus waits for the disk once.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::blobs::{BlobError, io_error, touch};
use super::{Layout, disk, ranged};
use crate::{Algorithm, Digest, Hasher, VerifyError};

/// Size of the buffer that re-reads a partial download.
const BUFFER_BYTES: usize = 256 << 10;

/// What [`BlobWriter::finish`] put into the layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredBlob {
    /// The digest of the bytes.
    pub digest: Digest,
    /// How many bytes there are.
    pub size_bytes: u64,
    /// Whether the layout had the blob before, so that nothing new was stored.
    pub existed: bool,
}

impl Layout {
    /// Starts a new blob named by sha256.
    ///
    /// # Errors
    ///
    /// [`BlobError::Io`].
    pub fn create_blob(&self) -> Result<BlobWriter, BlobError> {
        self.create_blob_with(Algorithm::Sha256)
    }

    /// Starts a new blob named by `algorithm`.
    ///
    /// # Errors
    ///
    /// [`BlobError::Io`].
    pub fn create_blob_with(&self, algorithm: Algorithm) -> Result<BlobWriter, BlobError> {
        self.enter()?;
        let ingest = self.disk.ingest_dir();
        let (path, file) = self
            .disk
            .create_temporary()
            .map_err(io_error("create a file in", &ingest))?;
        Ok(BlobWriter {
            layout: self.clone(),
            hasher: Hasher::new(algorithm),
            written_bytes: 0,
            keep_on_drop: false,
            path: Some(path),
            file,
        })
    }

    /// Continues the blob `digest` of `size_bytes` where an earlier, broken-off writer of it
    /// stopped; see [`BlobWriter::written_bytes`]. What this writer leaves unfinished is kept as
    /// well. What another left of parts behind a hole is given up.
    ///
    /// If another process writes the same blob now, both go their own ways.
    ///
    /// # Errors
    ///
    /// [`BlobError::Io`].
    pub fn resume_blob(&self, digest: &Digest, size_bytes: u64) -> Result<BlobWriter, BlobError> {
        let mut writer = self.open_partial(digest)?;
        let path = writer.path.clone().unwrap_or_default();
        let kept = ranged::beginning(&writer.file, size_bytes).map_err(io_error("read", &path))?;
        ranged::cut(&writer.file, kept).map_err(io_error("truncate", &path))?;
        let hashed = hash_all(&mut writer.file, &mut writer.hasher);
        writer.written_bytes = hashed.map_err(io_error("read", &path))?;
        Ok(writer)
    }

    /// Opens what there is of the blob `digest`, of which nothing is hashed yet.
    pub(super) fn open_partial(&self, digest: &Digest) -> Result<BlobWriter, BlobError> {
        self.enter()?;
        let directory = self.disk.partial_dir();
        std::fs::create_dir_all(&directory).map_err(io_error("create", &directory))?;
        let path = directory.join(format!("{}-{}", digest.algorithm(), digest.hex()));
        let open = || {
            std::fs::OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)
        };
        let file = open().map_err(io_error("open", &path))?;
        // The name must still lead to the file that is locked: its last writer may have renamed
        // it into place between the two calls.
        if file.try_lock().is_err() || !is_file_at(&file, &path) {
            return self.create_blob_with(digest.algorithm());
        }
        Ok(BlobWriter {
            layout: self.clone(),
            hasher: Hasher::new(digest.algorithm()),
            written_bytes: 0,
            keep_on_drop: true,
            path: Some(path),
            file,
        })
    }

    /// Gives the complete temporary file its name. The caller has hashed it.
    fn publish(
        &self,
        temporary: &Path,
        file: File,
        stored: &mut StoredBlob,
    ) -> Result<(), BlobError> {
        let path = self.disk.blob(&stored.digest);
        let lock = self
            .disk
            .lock_shared()
            .map_err(io_error("lock", self.root()))?;
        stored.existed = self.stat_blob(&stored.digest)? == Some(stored.size_bytes);
        if stored.existed {
            touch(&path).map_err(io_error("touch", &path))?;
            disk::remove_quietly(temporary);
            let existing = File::open(&path).map_err(io_error("open", &path))?;
            self.remember_unsynced(existing, &path);
            return Ok(());
        }
        // A partial download may carry the time of its first attempt, days ago.
        touch(temporary).map_err(io_error("touch", temporary))?;
        let directory = self.disk.blobs_dir(stored.digest.algorithm().name());
        std::fs::create_dir_all(&directory).map_err(io_error("create", &directory))?;
        std::fs::rename(temporary, &path).map_err(io_error("rename a new blob to", &path))?;
        drop(lock);
        file.unlock().map_err(io_error("unlock", &path))?;
        self.remember_unsynced(file, &path);
        Ok(())
    }
}

/// Writes one blob. Dropping it unfinished removes what was written, unless the blob was begun
/// with [`Layout::resume_blob`].
#[derive(Debug)]
pub struct BlobWriter {
    layout: Layout,
    pub(super) hasher: Hasher,
    pub(super) written_bytes: u64,
    keep_on_drop: bool,
    /// None once the file has its final name.
    pub(super) path: Option<PathBuf>,
    pub(super) file: File,
}

impl BlobWriter {
    /// Returns how many bytes the blob has so far.
    pub fn written_bytes(&self) -> u64 {
        self.written_bytes
    }

    /// Takes the next bytes; like [`Write::write_all`], but the error names the file.
    ///
    /// # Errors
    ///
    /// [`BlobError::Io`].
    pub fn write_bytes(&mut self, bytes: &[u8]) -> Result<(), BlobError> {
        let result = self.file.write_all(bytes);
        let path = self.path.as_deref().unwrap_or(Path::new(""));
        result.map_err(io_error("write", path))?;
        self.hasher.update(bytes);
        self.written_bytes += bytes.len() as u64;
        Ok(())
    }

    /// Makes the blob part of the layout, durably.
    ///
    /// With `expected`, digest and size must be those. If the layout has the blob already, nothing
    /// is stored.
    ///
    /// # Errors
    ///
    /// [`BlobError::Mismatch`] if it is other bytes than expected: they are thrown away.
    /// [`BlobError::Io`].
    pub fn finish(self, expected: Option<(&Digest, u64)>) -> Result<StoredBlob, BlobError> {
        let layout = self.layout.clone();
        let stored = self.finish_unsynced(expected)?;
        layout.sync()?;
        Ok(stored)
    }

    /// Like [`BlobWriter::finish`], but durable only after [`Layout::sync`].
    ///
    /// # Errors
    ///
    /// As [`BlobWriter::finish`].
    ///
    /// # Panics
    ///
    /// Never: only finishing takes the path, and it takes the writer too.
    pub fn finish_unsynced(
        mut self,
        expected: Option<(&Digest, u64)>,
    ) -> Result<StoredBlob, BlobError> {
        let algorithm = expected.map_or(Algorithm::Sha256, |(digest, _)| digest.algorithm());
        let hasher = std::mem::replace(&mut self.hasher, Hasher::new(algorithm));
        let mut stored = StoredBlob {
            digest: hasher.finish(),
            size_bytes: self.written_bytes,
            existed: false,
        };
        if let Some((digest, size_bytes)) = expected
            && let Err(source) = compare(&stored, digest, size_bytes)
        {
            // Wrong bytes are never continued.
            self.keep_on_drop = false;
            return Err(BlobError::Mismatch {
                digest: digest.clone(),
                source,
            });
        }
        let path = self
            .path
            .clone()
            .expect("the path goes with the first finish");
        let file = self
            .file
            .try_clone()
            .map_err(io_error("duplicate the handle of", &path))?;
        self.layout.clone().publish(&path, file, &mut stored)?;
        self.path = None;
        Ok(stored)
    }
}

impl Write for BlobWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        self.written_bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for BlobWriter {
    fn drop(&mut self) {
        if let Some(path) = self.path.take()
            && !self.keep_on_drop
        {
            disk::remove_quietly(&path);
        }
    }
}

fn compare(stored: &StoredBlob, digest: &Digest, size_bytes: u64) -> Result<(), VerifyError> {
    if stored.size_bytes < size_bytes {
        return Err(VerifyError::TooShort {
            digest: digest.clone(),
            expected_bytes: size_bytes,
            actual_bytes: stored.size_bytes,
        });
    }
    if stored.size_bytes > size_bytes {
        return Err(VerifyError::TooLong {
            digest: digest.clone(),
            expected_bytes: size_bytes,
        });
    }
    if stored.digest != *digest {
        return Err(VerifyError::WrongDigest {
            expected: digest.clone(),
            actual: stored.digest.clone(),
        });
    }
    Ok(())
}

fn is_file_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let same = |held: std::fs::Metadata, named: std::fs::Metadata| {
        (held.dev(), held.ino()) == (named.dev(), named.ino())
    };
    match (file.metadata(), std::fs::symlink_metadata(path)) {
        (Ok(held), Ok(named)) => same(held, named),
        _ => false,
    }
}

fn hash_all(file: &mut File, hasher: &mut Hasher) -> io::Result<u64> {
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut total = 0;
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(total),
            count => {
                hasher.update(&buffer[..count]);
                total += count as u64;
            }
        }
    }
}
