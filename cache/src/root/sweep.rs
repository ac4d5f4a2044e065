// SPDX-License-Identifier: Apache-2.0
//! What a crash or a reboot leaves behind, and where it goes.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use rusqlite::params;
use rustix::fs::{FlockOperation, flock};

use super::{Query, Store, StoreError, from_sql, to_sql};
use crate::file::{Attempt, FileError, list, open_path_dir};
use crate::snapshot::{SnapshotId, layers_from_blob};

/// Returns a number that no other process draws.
pub(crate) fn random_id() -> u64 {
    let mut bytes = [0_u8; 8];
    let mut filled = 0;
    while filled < bytes.len() {
        // Interrupted at most; the kernel's generator is seeded long before a process starts.
        filled +=
            rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty())
                .unwrap_or(0);
    }
    u64::from_ne_bytes(bytes)
}

impl Store {
    /// Drops the snapshots that were not on disk for certain when the machine went down, and what
    /// is built on them. Their records go too: the steps run again.
    pub(super) fn drop_unsynced(&self) -> Result<(), StoreError> {
        let boot_id = self.boot_id().to_owned();
        let doubtful = self.with_database(|connection| {
            let mut statement = connection
                .prepare("SELECT id FROM snapshot WHERE boot_id IS NOT NULL AND boot_id <> ?1")
                .query("list snapshots")?;
            let ids = statement
                .query_map(params![boot_id], |row| row.get::<_, i64>(0))
                .query("list snapshots")?
                .collect::<rusqlite::Result<Vec<_>>>()
                .query("list snapshots")?;
            Ok::<_, StoreError>(ids)
        })?;
        if doubtful.is_empty() {
            return Ok(());
        }
        let doubtful: BTreeSet<u64> = doubtful.into_iter().map(from_sql).collect();
        self.with_database_alone(|connection| {
            let transaction = connection.transaction().query("drop snapshots")?;
            let mut gone = Vec::new();
            {
                let mut statement = transaction
                    .prepare("SELECT id, layers FROM snapshot")
                    .query("list snapshots")?;
                let mut rows = statement.query([]).query("list snapshots")?;
                while let Some(row) = rows.next().query("list snapshots")? {
                    let id = from_sql(row.get(0).query("list snapshots")?);
                    let layers: Vec<u8> = row.get(1).query("list snapshots")?;
                    let is_built_on = layers_from_blob(&layers)
                        .iter()
                        .any(|layer| doubtful.contains(&layer.0));
                    if doubtful.contains(&id) || is_built_on {
                        gone.push(id);
                    }
                }
            }
            for id in gone {
                for statement in [
                    "DELETE FROM snapshot WHERE id = ?1",
                    "DELETE FROM record WHERE snapshot = ?1",
                ] {
                    transaction
                        .execute(statement, params![to_sql(id)])
                        .query("drop snapshots")?;
                }
            }
            Ok::<_, StoreError>(transaction.commit().query("drop snapshots")?)
        })
    }

    /// Moves every snapshot directory without a row and without a live owner to `trash/`, and drops
    /// leases of dead processes.
    pub(crate) fn sweep(&self) -> Result<(), StoreError> {
        let known = self.known_layers()?;
        let mut strays = Vec::new();
        let dir = self.snapshots_dir();
        for_each_name(&dir, |name| {
            let known = SnapshotId::parse(name).is_some_and(|id| known.contains(&id.0));
            if !known {
                strays.push(name.to_owned());
            }
        })?;
        if !strays.is_empty() {
            // Alone, nobody is between making a directory and locking it, or between its row and
            // the release of its lock; and what was committed since the list was made is seen.
            self.with_database_alone(|connection| {
                let known = known_layers(connection)?;
                for name in &strays {
                    let known = SnapshotId::parse(name).is_some_and(|id| known.contains(&id.0));
                    let stray = dir.join(name);
                    if !known && !is_locked(&stray.join("owner")) {
                        self.move_to_trash(&stray)?;
                    }
                }
                Ok::<_, StoreError>(())
            })?;
        }
        Ok(self.lease().drop_dead(&self.path().join("leases"))?)
    }

    fn known_layers(&self) -> Result<BTreeSet<u64>, StoreError> {
        self.with_database(|connection| known_layers(connection))
    }

    /// Takes a directory out of existence at once; [`Store::empty_trash`] deletes it.
    pub(crate) fn move_to_trash(&self, path: &Path) -> Result<(), FileError> {
        let target = self.trash_dir().join(format!("{:016x}", random_id()));
        match fs::rename(path, &target) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other.attempt("move to trash", path),
        }
    }

    /// Deletes what was dropped, and returns how many bytes of disk that freed. Slow; not for the
    /// middle of a build.
    ///
    /// # Errors
    ///
    /// What the file system said.
    pub fn empty_trash(&self) -> Result<u64, StoreError> {
        let trash = self.trash_dir();
        let mut names = Vec::new();
        for_each_name(&trash, |name| names.push(name.to_owned()))?;
        let handle = open_path_dir(&trash).attempt("open", &trash)?;
        let mut freed_bytes = 0;
        for name in names {
            let path = trash.join(&name);
            freed_bytes += disk_bytes(&path)?;
            match crate::upper::remove_tree(handle.as_fd(), &name) {
                // Another process empties it too.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                other => other.attempt("remove", &path)?,
            }
        }
        Ok(freed_bytes)
    }
}

/// Returns the directories that some snapshot is made of.
fn known_layers(connection: &rusqlite::Connection) -> Result<BTreeSet<u64>, StoreError> {
    let mut known = BTreeSet::new();
    let mut statement = connection
        .prepare_cached("SELECT layers FROM snapshot")
        .query("list snapshots")?;
    let mut rows = statement.query([]).query("list snapshots")?;
    while let Some(row) = rows.next().query("list snapshots")? {
        let layers: Vec<u8> = row.get(0).query("list snapshots")?;
        known.extend(layers_from_blob(&layers).into_iter().map(|layer| layer.0));
    }
    Ok(known)
}

pub(crate) fn for_each_name(dir: &Path, mut each: impl FnMut(&OsStr)) -> Result<(), FileError> {
    let handle = open_path_dir(dir).attempt("open", dir)?;
    list(handle.as_fd(), |name| {
        each(name);
        Ok(())
    })
    .attempt("list", dir)
}

/// Tells whether a live process holds the lock file.
pub(crate) fn is_locked(path: &Path) -> bool {
    match fs::File::open(path) {
        Ok(file) => flock(&file, FlockOperation::NonBlockingLockExclusive).is_err(),
        Err(_) => false,
    }
}

/// Returns how many bytes of disk a tree takes; files with several names are counted once per name.
pub(crate) fn disk_bytes(path: &Path) -> Result<u64, FileError> {
    use std::os::unix::fs::MetadataExt;
    let mut bytes = 0;
    let mut left = vec![path.to_owned()];
    while let Some(path) = left.pop() {
        let meta = match fs::symlink_metadata(&path) {
            Ok(meta) => meta,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(FileError::new("stat", path, error)),
        };
        bytes += meta.blocks() * 512;
        if meta.is_dir() {
            for_each_name(&path, |name| left.push(path.join(name)))?;
        }
    }
    Ok(bytes)
}
