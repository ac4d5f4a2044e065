// SPDX-License-Identifier: Apache-2.0
//! Removes what no entry of a layout reaches.
//!
//! A blob is *reached* from an entry through manifests, indexes, configs, layers and subjects, or
//! because the caller keeps it. A writer may be between storing a blob and tagging what names it:
//! while one is at work anywhere (it holds `.kiln/writers.lock`), blobs younger than the grace
//! period stay; each write, and each find of an existing blob, makes a blob young.
//!
//! Ours: docker and podman hold one lock over whole builds, or forget the race.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::{Layout, blobs, disk};
use crate::{BlobError, Descriptor, Digest, Document, ImageError, IndexError, image};

/// The deepest nesting of indexes that is followed.
const DEPTH_MAX: usize = 8;

/// What [`Layout::collect`] may remove.
#[derive(Clone, Debug)]
pub struct GcOptions {
    /// The present time.
    pub now: SystemTime,
    /// How long an unreached blob stays while writers are at work. It must be longer than a build
    /// takes from storing its first blob to its tag.
    pub grace: Duration,
    /// How long a broken-off download is kept to be continued.
    pub keep_partial: Duration,
    /// Report what would go, but remove nothing.
    pub dry_run: bool,
}

impl GcOptions {
    /// Returns the usual options: a day of grace, a week for broken-off downloads.
    pub fn at(now: SystemTime) -> Self {
        const DAY: Duration = Duration::from_hours(24);
        Self {
            now,
            grace: DAY,
            keep_partial: 7 * DAY,
            dry_run: false,
        }
    }
}

/// What [`Layout::collect`] removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GcReport {
    /// Blobs, sorted.
    pub removed: Vec<Digest>,
    /// Bytes of all removed files.
    pub removed_bytes: u64,
    /// Unreached blobs that the grace period protects.
    pub spared: usize,
}

/// Why a collection stopped. What was removed until then was garbage.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GcError {
    /// The names cannot be read.
    #[error("cannot tell which images are in use")]
    Index(#[from] IndexError),
    /// A manifest cannot be read, so what it reaches is unknown.
    #[error("cannot tell what image {digest} uses")]
    Image {
        /// The manifest or index.
        digest: Digest,
        /// What is wrong with it.
        source: Box<ImageError>,
    },
    /// Indexes are nested too deeply.
    #[error("image {0} is nested more than {DEPTH_MAX} levels deep")]
    TooDeep(Digest),
    /// A blob cannot be listed or removed.
    #[error("cannot remove unused blobs")]
    Blob(#[from] BlobError),
}

impl Layout {
    /// Removes every blob that no entry reaches and `keep` does not claim, and what killed writers
    /// left behind.
    ///
    /// `keep` is asked while writers wait; it must be quick and not use the layout.
    ///
    /// # Errors
    ///
    /// See [`GcError`]. A damaged manifest stops the collection before anything is removed.
    pub fn collect(
        &self,
        options: &GcOptions,
        keep: &dyn Fn(&Digest) -> bool,
    ) -> Result<GcReport, GcError> {
        let lock_error = |source| blobs::io_error("lock", self.root())(source);
        // Kept until the end: new writers wait, so that "alone" stays true.
        let alone = self.disk.try_lock_no_writers().map_err(lock_error)?;
        let _publishing = self.disk.lock_exclusive().map_err(lock_error)?;
        let _index = self.disk.lock_index().map_err(lock_error)?;
        let grace = if alone.is_some() {
            Duration::ZERO
        } else {
            options.grace
        };
        let reached = self.reached()?;
        let mut report = GcReport::default();
        for (digest, size_bytes) in self.blobs()? {
            if reached.contains(&digest) || keep(&digest) {
                continue;
            }
            if !is_older(&self.disk.blob(&digest), options.now, grace)? {
                report.spared += 1;
                continue;
            }
            if !options.dry_run {
                self.delete_blob(&digest)?;
            }
            report.removed_bytes += size_bytes;
            report.removed.push(digest);
        }
        for (directory, age) in [
            (self.disk.ingest_dir(), grace),
            (self.disk.partial_dir(), options.keep_partial),
        ] {
            report.removed_bytes += sweep(&directory, options, age)?;
        }
        Ok(report)
    }

    /// Returns every digest that an entry leads to.
    ///
    /// # Errors
    ///
    /// [`GcError::Index`], [`GcError::Image`], [`GcError::TooDeep`].
    pub fn reached(&self) -> Result<BTreeSet<Digest>, GcError> {
        let mut reached = BTreeSet::new();
        for entry in self.read_index()?.manifests {
            self.reach(&entry, 0, &mut reached)?;
        }
        Ok(reached)
    }

    fn reach(
        &self,
        from: &Descriptor,
        depth: usize,
        reached: &mut BTreeSet<Digest>,
    ) -> Result<(), GcError> {
        if depth > DEPTH_MAX {
            return Err(GcError::TooDeep(from.digest.clone()));
        }
        let is_document = from.media_type.is_manifest() || from.media_type.is_index();
        if !reached.insert(from.digest.clone()) || !is_document {
            return Ok(());
        }
        // A manifest of another platform is usually not here; that is no damage.
        if self.stat_blob(&from.digest)?.is_none() {
            return Ok(());
        }
        let document = image::read_document(self, from).map_err(|source| GcError::Image {
            digest: from.digest.clone(),
            source: Box::new(source),
        })?;
        let (children, subject) = match document {
            Document::Manifest(manifest, _) => {
                let mut children = manifest.layers;
                children.push(manifest.config);
                (children, manifest.subject)
            }
            Document::Index(index, _) => (index.manifests, index.subject),
        };
        for child in children.iter().chain(&subject) {
            self.reach(child, depth + 1, reached)?;
        }
        Ok(())
    }
}

/// Removes files whose writer is gone; returns how many bytes went.
fn sweep(directory: &Path, options: &GcOptions, age: Duration) -> Result<u64, BlobError> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(source) => return Err(blobs::io_error("list", directory)(source)),
    };
    let mut removed_bytes = 0;
    for entry in entries {
        let path: PathBuf = entry.map_err(blobs::io_error("list", directory))?.path();
        let Ok(file) = std::fs::File::open(&path) else {
            continue;
        };
        if file.try_lock().is_err() || !is_older(&path, options.now, age)? {
            continue;
        }
        removed_bytes += file.metadata().map_or(0, |metadata| metadata.len());
        if !options.dry_run {
            disk::remove_quietly(&path);
        }
    }
    Ok(removed_bytes)
}

/// Tells whether a file was last touched at least `age` ago. A file that is gone is not.
fn is_older(path: &Path, now: SystemTime, age: Duration) -> Result<bool, BlobError> {
    let modified = std::fs::symlink_metadata(path).and_then(|metadata| metadata.modified());
    match modified {
        Ok(_) if age.is_zero() => Ok(true),
        // A time in the future counts as young.
        Ok(modified) => Ok(now.duration_since(modified).is_ok_and(|past| past >= age)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(blobs::io_error("stat", path)(source)),
    }
}
