// SPDX-License-Identifier: Apache-2.0
//! Leases: what the live processes use.
//!
//! A process has one lease, the file `leases/<id>`, locked as long as the process lives. It lists,
//! eight bytes each, the snapshots that the process was told of. A killed process frees its lease
//! because the kernel frees the lock; nothing is written to disk on time, because after a reboot
//! no lease is live.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{FlockOperation, flock};

use crate::file::{Attempt, FileError};
use crate::root::random_id;
use crate::snapshot::SnapshotId;

#[derive(Debug)]
pub(crate) struct Lease {
    path: PathBuf,
    held: Mutex<(File, BTreeSet<SnapshotId>)>,
}

impl Lease {
    pub(crate) fn new(dir: &Path) -> Result<Self, FileError> {
        let id = random_id();
        let path = dir.join(format!("{id:016x}"));
        // Locked under another name first: a lease that can be seen is a locked one.
        let hidden = dir.join(format!("{id:016x}.new"));
        let file = File::create_new(&hidden).attempt("create", &hidden)?;
        flock(&file, FlockOperation::LockExclusive).attempt("lock", &hidden)?;
        fs::rename(&hidden, &path).attempt("rename", &hidden)?;
        Ok(Self {
            path,
            held: Mutex::new((file, BTreeSet::new())),
        })
    }

    /// Keeps `id` until this process ends. The caller holds the gate and has seen the row of `id`.
    pub(crate) fn hold(&self, id: SnapshotId) -> Result<(), FileError> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let (file, ids) = &mut *held;
        if ids.insert(id) {
            file.write_all(&id.0.to_be_bytes())
                .attempt("write", &self.path)?;
        }
        Ok(())
    }

    /// Returns the snapshots that live processes hold, this one included.
    pub(crate) fn held_by_anyone(dir: &Path) -> Result<BTreeSet<SnapshotId>, FileError> {
        let mut ids = BTreeSet::new();
        for path in lease_files(dir)? {
            if is_live(&path) {
                let bytes = fs::read(&path).attempt("read", &path)?;
                ids.extend(
                    bytes
                        .chunks_exact(8)
                        .filter_map(|chunk| chunk.try_into().ok())
                        .map(|chunk| SnapshotId(u64::from_be_bytes(chunk))),
                );
            }
        }
        Ok(ids)
    }

    /// Removes the leases of processes that are gone.
    pub(crate) fn drop_dead(&self, dir: &Path) -> Result<(), FileError> {
        for path in lease_files(dir)? {
            if path != self.path && !is_live(&path) {
                // Somebody else may be doing the same.
                drop(fs::remove_file(&path));
            }
        }
        Ok(())
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // A file that stays is dropped by the next process.
        drop(fs::remove_file(&self.path));
    }
}

fn lease_files(dir: &Path) -> Result<Vec<PathBuf>, FileError> {
    let mut files = Vec::new();
    crate::root::for_each_name(dir, |name| {
        // `<id>.new` is being made; a process that died there leaves an empty file of no effect.
        if name.len() == 16 {
            files.push(dir.join(name));
        }
    })?;
    Ok(files)
}

fn is_live(path: &Path) -> bool {
    crate::root::is_locked(path)
}
