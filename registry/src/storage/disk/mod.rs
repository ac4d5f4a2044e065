// SPDX-License-Identifier: Apache-2.0
//! A registry on one directory: blobs as files, names in SQLite.
//!
//! Owns the whole directory:
//!
//! ```text
//! version                      layout version
//! lock                         held by the one process that serves it
//! blobs/<alg>/<2 hex>/<hex>    published bytes, never changed
//! uploads/<session>            bytes of unfinished uploads
//! tmp/                         only where the file system has no unnamed files; empty at rest
//! meta.db, meta.db-wal, -shm   every record (SQLite)
//! journal/                     names as they change, to rebuild meta.db from files
//! quarantine/<alg>-<hex>       damaged files, taken out of blobs/ for people to look at
//! ```
//!
//! Does not know repositories or the protocol.
//!
//! Invariants
//! 1. A file under `blobs/` has the digest of its name: it was hashed while it was written, synced,
//!    and only then linked there.
//! 2. A record that was acknowledged is on the disk, and so is the file it names: file, directory
//!    and new parent directories are synced before the record is committed.
//! 3. After a failed sync nothing is assumed about the file: it is dropped, the request fails, and
//!    after a few of them the storage stops.
//! 4. Opening takes the same time however many blobs there are.

mod checkpoint;
mod data;
mod journal;
mod meta;
mod reading;
mod rebuild;
mod repair;
mod root;
mod staged;
mod writer;

use std::path::Path;
use std::sync::Arc;

use super::error::StorageError;
use super::store::{Backend, Clock};
pub use rebuild::{Rebuilt, check, rebuild};

use data::DiskData;
use meta::DiskMeta;
use root::Root;

/// Opens the registry directory `path`, creating it if it is not there. Blocking.
///
/// # Errors
///
/// [`StorageError::InUse`] if another process has it open, [`StorageError::UnknownLayout`] if a
/// newer version wrote it, and what the operating system refuses.
pub fn open(path: &Path, clock: Clock) -> Result<Backend, StorageError> {
    let root = Arc::new(Root::open(path)?);
    let meta = DiskMeta::open(Arc::clone(&root), clock)?;
    Ok(Backend {
        data: Arc::new(DiskData::new(root)),
        meta: Arc::new(meta),
    })
}

#[cfg(test)]
mod tests;
