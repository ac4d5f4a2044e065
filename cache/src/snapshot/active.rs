// SPDX-License-Identifier: Apache-2.0
//! Active snapshots: prepare, write, commit or abort.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use oci::ChainId;
use rusqlite::{OptionalExtension, params};
use rustix::fs::{FlockOperation, flock};

use super::{LAYERS_MAX, SnapshotError, SnapshotId, layers_to_blob};
use crate::file::{Attempt, FileError, open_path_dir, stat_fd};
use crate::root::{DatabaseError, Query, from_sql, random_id, to_sql};
use crate::upper::Attributes;
use crate::view::ViewError;
use crate::{Store, Upper};

/// A snapshot that one step writes. Dropping it without [`Store::commit`] aborts it.
#[derive(Debug)]
pub struct ActiveSnapshot {
    store: Store,
    id: SnapshotId,
    dir: PathBuf,
    upper: PathBuf,
    work: PathBuf,
    layers: Vec<SnapshotId>,
    lowers: Vec<PathBuf>,
    /// Locked while this process lives.
    owner: Option<File>,
}

impl ActiveSnapshot {
    /// Returns the name it will have.
    pub fn id(&self) -> SnapshotId {
        self.id
    }

    /// Returns the directory that the step's changes go to.
    pub fn upper_dir(&self) -> &Path {
        &self.upper
    }

    /// Returns the scratch directory of overlayfs, empty; good for one mount.
    pub fn work_dir(&self) -> &Path {
        &self.work
    }

    /// Returns the layer directories below, topmost first.
    pub fn lowers(&self) -> &[PathBuf] {
        &self.lowers
    }

    /// Opens it for writing without a mount.
    ///
    /// # Errors
    ///
    /// [`ViewError`] if a directory cannot be opened.
    pub fn upper(&self) -> Result<Upper, ViewError> {
        Upper::open(&self.upper, &self.lowers, self.store.overlay_form())
    }

    /// Throws it away. Deleting is left to [`Store::empty_trash`].
    pub fn abort(self) {
        drop(self);
    }
}

impl Drop for ActiveSnapshot {
    fn drop(&mut self) {
        if self.owner.take().is_some() {
            // Left in place it is swept by the next process: it has no row and no owner.
            drop(self.store.move_to_trash(&self.dir));
        }
    }
}

impl Store {
    /// Makes a directory for one step's changes on top of `parent`, or on nothing.
    ///
    /// # Errors
    ///
    /// [`SnapshotError::NotFound`] for an unknown parent, [`SnapshotError::TooManyLayers`], or what
    /// the file system said.
    pub fn prepare(&self, parent: Option<SnapshotId>) -> Result<ActiveSnapshot, SnapshotError> {
        let parent = match parent {
            Some(id) => Some(self.snapshot(id)?),
            None => None,
        };
        let (layers, lowers) =
            parent.map_or_else(Default::default, |parent| (parent.layers, parent.lowers));
        if layers.len() >= LAYERS_MAX {
            return Err(SnapshotError::TooManyLayers {
                layers: layers.len() + 1,
            });
        }
        let active = self.with_database(|_| self.make_dirs(layers, lowers))?;
        active.copy_root_attributes()?;
        Ok(active)
    }

    /// The gate is held: no sweep sees the directory before its owner file is locked.
    fn make_dirs(
        &self,
        layers: Vec<SnapshotId>,
        lowers: Vec<PathBuf>,
    ) -> Result<ActiveSnapshot, SnapshotError> {
        let id = SnapshotId(random_id());
        let dir = self.snapshots_dir().join(id.to_string());
        let (upper, work) = (dir.join("fs"), dir.join("work"));
        fs::create_dir(&dir).attempt("create", &dir)?;
        // Steps run as other users inside; nobody else enters the state directory.
        fs::set_permissions(&dir, Permissions::from_mode(0o700)).attempt("chmod", &dir)?;
        let owner_path = dir.join("owner");
        let owner = File::create_new(&owner_path).attempt("create", &owner_path)?;
        flock(&owner, FlockOperation::LockExclusive).attempt("lock", &owner_path)?;
        fs::create_dir(&upper).attempt("create", &upper)?;
        fs::create_dir(&work).attempt("create", &work)?;
        Ok(ActiveSnapshot {
            store: self.clone(),
            id,
            dir,
            upper,
            work,
            layers,
            lowers,
            owner: Some(owner),
        })
    }

    /// Freezes a snapshot: from now on it can be a parent, and it survives this process.
    ///
    /// With a chain ID it can be found by it. If another process has unpacked the same chain
    /// meanwhile, that snapshot is returned and this one dropped.
    ///
    /// # Errors
    ///
    /// What the file system or the database said; the snapshot is then aborted.
    pub fn commit(
        &self,
        active: ActiveSnapshot,
        chain_id: Option<&ChainId>,
    ) -> Result<SnapshotId, SnapshotError> {
        let mut active = active;
        if let Err(error) = fs::remove_dir_all(&active.work)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(FileError::new("remove", &active.work, error).into());
        }
        let mut layers = vec![active.id];
        layers.extend_from_slice(&active.layers);
        let id = self.insert_snapshot(active.id, &layers, chain_id)?;
        if id == active.id {
            // The row is there; only now may the lock go. The empty file is of no effect.
            drop(active.owner.take());
            drop(fs::remove_file(active.dir.join("owner")));
        }
        Ok(id)
    }

    /// Inserts a row, or finds the one that has the chain ID already; leases either.
    pub(super) fn insert_snapshot(
        &self,
        id: SnapshotId,
        layers: &[SnapshotId],
        chain_id: Option<&ChainId>,
    ) -> Result<SnapshotId, SnapshotError> {
        let chain_id = chain_id.map(ToString::to_string);
        let now = self.now().secs;
        self.with_database(|connection| {
            let inserted = connection
                .prepare_cached(
                    "INSERT INTO snapshot (id, layers, chain_id, boot_id, created, last_used)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?5) ON CONFLICT (chain_id) DO NOTHING",
                )
                .and_then(|mut statement| {
                    statement.execute(params![
                        to_sql(id.0),
                        layers_to_blob(layers),
                        chain_id,
                        self.boot_id(),
                        now
                    ])
                })
                .query("commit a snapshot")?;
            let id = if inserted == 1 {
                id
            } else {
                connection
                    .query_row(
                        "SELECT id FROM snapshot WHERE chain_id = ?1",
                        params![chain_id],
                        |row| row.get(0).map(|id| SnapshotId(from_sql(id))),
                    )
                    .optional()
                    .query("find a snapshot")?
                    .ok_or(SnapshotError::NotFound(id))?
            };
            self.lease().hold(id).map_err(DatabaseError::Gate)?;
            Ok(id)
        })
    }
}

impl ActiveSnapshot {
    /// The root of a mount shows the attributes of the upper directory, so it takes those of the
    /// layer below; without one, a root directory as every image has it.
    fn copy_root_attributes(&self) -> Result<(), SnapshotError> {
        let upper = open_path_dir(&self.upper).attempt("open", &self.upper)?;
        let mut attributes = Attributes {
            mode: Some(0o755),
            ..Attributes::default()
        };
        if let Some(lower) = self.lowers.first() {
            let below = open_path_dir(lower).attempt("open", lower)?;
            let meta = stat_fd(&below).attempt("stat", lower)?;
            attributes.mode = Some(meta.mode);
            attributes.mtime = Some(meta.mtime);
            if meta.owner != stat_fd(&upper).attempt("stat", &self.upper)?.owner {
                attributes.owner = Some(meta.owner);
            }
        }
        Ok(attributes.set(&upper, &self.upper)?)
    }
}
