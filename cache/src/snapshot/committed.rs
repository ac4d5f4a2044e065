// SPDX-License-Identifier: Apache-2.0
//! Committed snapshots: find, view, merge, remove, make durable.

use std::collections::BTreeSet;

use oci::ChainId;
use rusqlite::{OptionalExtension, params};

use super::{LAYERS_MAX, Snapshot, SnapshotError, SnapshotId, layers_from_blob};
use crate::Store;
use crate::file::{Attempt, open_path_dir};
use crate::root::{DatabaseError, Query, from_sql, random_id, to_sql};
use crate::view::View;

impl Store {
    /// Returns a committed snapshot as data, and keeps it until this store is dropped.
    ///
    /// # Errors
    ///
    /// [`SnapshotError::NotFound`], or what the database said.
    pub fn snapshot(&self, id: SnapshotId) -> Result<Snapshot, SnapshotError> {
        let layers = self.with_database(|connection| {
            let blob = connection
                .prepare_cached("SELECT layers FROM snapshot WHERE id = ?1")
                .and_then(|mut statement| {
                    statement
                        .query_row(params![to_sql(id.0)], |row| row.get::<_, Vec<u8>>(0))
                        .optional()
                })
                .query("find a snapshot")?
                .ok_or(SnapshotError::NotFound(id))?;
            self.lease().hold(id).map_err(DatabaseError::Gate)?;
            Ok::<_, SnapshotError>(layers_from_blob(&blob))
        })?;
        let dir = self.snapshots_dir();
        let lowers = layers
            .iter()
            .map(|layer| dir.join(layer.to_string()).join("fs"))
            .collect();
        Ok(Snapshot { id, layers, lowers })
    }

    /// Returns the unpacked chain of layers, if there is one, and keeps it until this store is
    /// dropped.
    ///
    /// # Errors
    ///
    /// What the database said.
    pub fn by_chain_id(&self, chain_id: &ChainId) -> Result<Option<SnapshotId>, SnapshotError> {
        self.with_database(|connection| {
            let id = connection
                .prepare_cached("SELECT id FROM snapshot WHERE chain_id = ?1")
                .and_then(|mut statement| {
                    statement
                        .query_row(params![chain_id.to_string()], |row| row.get(0))
                        .optional()
                })
                .query("find a snapshot")?
                .map(|id| SnapshotId(from_sql(id)));
            if let Some(id) = id {
                self.lease().hold(id).map_err(DatabaseError::Gate)?;
            }
            Ok(id)
        })
    }

    /// Opens the merged view of a committed snapshot.
    ///
    /// # Errors
    ///
    /// [`SnapshotError`] if it does not exist or its directories cannot be opened.
    pub fn view(&self, id: SnapshotId) -> Result<View, SnapshotError> {
        let snapshot = self.snapshot(id)?;
        Ok(View::layers(&snapshot.lowers, self.overlay_form())?)
    }

    /// Stacks snapshots on each other, lowest first, without copying: the result lists the layers of
    /// all. A layer that occurs twice counts where it is topmost.
    ///
    /// # Errors
    ///
    /// [`SnapshotError::NotFound`], [`SnapshotError::TooManyLayers`], or what the database said.
    pub fn merge(&self, inputs: &[SnapshotId]) -> Result<SnapshotId, SnapshotError> {
        let mut layers = Vec::new();
        let mut seen = BTreeSet::new();
        for input in inputs.iter().rev() {
            for layer in self.snapshot(*input)?.layers {
                if seen.insert(layer) {
                    layers.push(layer);
                }
            }
        }
        if layers.len() > LAYERS_MAX {
            return Err(SnapshotError::TooManyLayers {
                layers: layers.len(),
            });
        }
        self.insert_snapshot(SnapshotId(random_id()), &layers, None)
    }

    /// Lists a prefix of a snapshot's layers as a snapshot of its own: all but the topmost `count`.
    /// This is the parent against which a layer is compared.
    ///
    /// # Errors
    ///
    /// As [`Self::merge`].
    pub fn without_top(&self, id: SnapshotId, count: usize) -> Result<SnapshotId, SnapshotError> {
        let layers = self.snapshot(id)?.layers;
        let rest = layers.get(count..).unwrap_or_default();
        self.insert_snapshot(SnapshotId(random_id()), rest, None)
    }

    /// Removes a snapshot and the records that lead to it. Its directory goes when no other
    /// snapshot lists it.
    ///
    /// # Errors
    ///
    /// [`SnapshotError::NotFound`], or what the database or file system said.
    pub fn remove_snapshot(&self, id: SnapshotId) -> Result<(), SnapshotError> {
        self.with_database_alone(|connection| {
            let transaction = connection.transaction().query("remove a snapshot")?;
            let removed = transaction
                .execute("DELETE FROM snapshot WHERE id = ?1", params![to_sql(id.0)])
                .query("remove a snapshot")?;
            if removed == 0 {
                return Err(SnapshotError::NotFound(id));
            }
            transaction
                .execute(
                    "DELETE FROM record WHERE snapshot = ?1",
                    params![to_sql(id.0)],
                )
                .query("remove records")?;
            Ok(transaction.commit().query("remove a snapshot")?)
        })?;
        self.sweep().map_err(SnapshotError::from)
    }

    /// Writes everything committed so far to the disk, for good. Call it before an image that
    /// relies on these snapshots becomes visible; without it they are dropped after a crash of the
    /// machine and made again.
    ///
    /// # Errors
    ///
    /// What the file system or the database said.
    pub fn sync(&self) -> Result<(), SnapshotError> {
        let boot_id = self.boot_id().to_owned();
        let covered = self.with_database(|connection| {
            let mut statement = connection
                .prepare_cached("SELECT id FROM snapshot WHERE boot_id = ?1")
                .query("list snapshots")?;
            let ids = statement
                .query_map(params![boot_id], |row| row.get::<_, i64>(0))
                .query("list snapshots")?
                .collect::<rusqlite::Result<Vec<_>>>()
                .query("list snapshots")?;
            Ok::<_, SnapshotError>(ids)
        })?;
        if covered.is_empty() {
            return Ok(());
        }
        let dir = self.snapshots_dir();
        let handle = open_path_dir(&dir).attempt("open", &dir)?;
        rustix::fs::syncfs(&handle).attempt("sync", &dir)?;
        self.with_database(|connection| {
            let transaction = connection
                .transaction()
                .query("mark snapshots as durable")?;
            for id in covered {
                transaction
                    .execute(
                        "UPDATE snapshot SET boot_id = NULL WHERE id = ?1",
                        params![id],
                    )
                    .query("mark snapshots as durable")?;
            }
            Ok(transaction.commit().query("mark snapshots as durable")?)
        })
    }

    /// Returns the names of all committed snapshots, sorted.
    ///
    /// # Errors
    ///
    /// What the database said.
    pub fn snapshots(&self) -> Result<Vec<SnapshotId>, SnapshotError> {
        self.with_database(|connection| {
            let mut statement = connection
                .prepare_cached("SELECT id FROM snapshot")
                .query("list snapshots")?;
            let mut ids = statement
                .query_map([], |row| row.get(0).map(|id| SnapshotId(from_sql(id))))
                .query("list snapshots")?
                .collect::<rusqlite::Result<Vec<_>>>()
                .query("list snapshots")?;
            ids.sort_unstable();
            Ok(ids)
        })
    }
}

impl From<crate::StoreError> for SnapshotError {
    fn from(error: crate::StoreError) -> Self {
        match error {
            crate::StoreError::File(error) => Self::File(error),
            crate::StoreError::Database(error) => Self::Database(error),
            crate::StoreError::Version(error) => {
                unreachable!("the version is checked once, at open: {error}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::layers_to_blob;
    use super::*;

    #[test]
    fn layer_lists_survive_their_stored_form() {
        let layers = vec![SnapshotId(1), SnapshotId(u64::MAX), SnapshotId(0)];
        assert_eq!(layers_from_blob(&layers_to_blob(&layers)), layers);
    }
}
