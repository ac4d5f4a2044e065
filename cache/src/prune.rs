// SPDX-License-Identifier: Apache-2.0
//! Pruning: what nobody needs may go.
//!
//! A snapshot stays if a record leads to it, a live process holds it, or the caller names its chain
//! ID because an image is made of it. Records stay if they were used lately.

use std::collections::BTreeSet;

use oci::ChainId;
use rusqlite::params;

use crate::lease::Lease;
use crate::root::{Query, from_sql, to_sql};
use crate::snapshot::SnapshotId;
use crate::{Store, StoreError, Timestamp};

/// What must stay.
#[derive(Clone, Debug, Default)]
pub struct PruneRequest<'a> {
    /// The chains of the images that exist: every prefix of their layers.
    pub keep_chains: &'a [ChainId],
    /// Records used at or after this moment stay; `None` lets all go.
    pub keep_records_since: Option<Timestamp>,
}

/// What went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Records removed.
    pub records: usize,
    /// Snapshots removed.
    pub snapshots: usize,
    /// Bytes of disk freed.
    pub freed_bytes: u64,
}

impl Store {
    /// Removes what nobody needs, and deletes its files.
    ///
    /// Records of snapshots that live processes hold stay, whatever their age.
    ///
    /// # Errors
    ///
    /// What the database or the file system said. What was removed until then stays removed.
    pub fn prune(&self, request: &PruneRequest<'_>) -> Result<Pruned, StoreError> {
        let (records, snapshots) = self.with_database_alone(|connection| {
            let held = Lease::held_by_anyone(&self.path().join("leases"))?;
            let transaction = connection.transaction().query("prune")?;
            let records = prune_records(&transaction, request, &held)?;
            let snapshots = prune_snapshots(&transaction, request, &held)?;
            transaction
                .execute(
                    "DELETE FROM stat_tree WHERE last_used < ?1",
                    params![request.keep_records_since.map_or(i64::MAX, |at| at.secs)],
                )
                .query("prune")?;
            transaction.commit().query("prune")?;
            Ok::<_, StoreError>((records, snapshots))
        })?;
        self.prune_mirrors(request.keep_records_since)?;
        self.sweep()?;
        Ok(Pruned {
            records,
            snapshots,
            freed_bytes: self.empty_trash()?,
        })
    }
}

fn prune_records(
    connection: &rusqlite::Connection,
    request: &PruneRequest<'_>,
    held: &BTreeSet<SnapshotId>,
) -> Result<usize, StoreError> {
    let since = request.keep_records_since.map_or(i64::MAX, |at| at.secs);
    let mut old: Vec<(Vec<u8>, Option<i64>)> = Vec::new();
    {
        let mut statement = connection
            .prepare("SELECT key, snapshot FROM record WHERE last_used < ?1")
            .query("list records")?;
        let mut rows = statement.query(params![since]).query("list records")?;
        while let Some(row) = rows.next().query("list records")? {
            old.push((
                row.get(0).query("list records")?,
                row.get(1).query("list records")?,
            ));
        }
    }
    let mut count = 0;
    for (key, snapshot) in old {
        if snapshot.is_none_or(|id| !held.contains(&SnapshotId(from_sql(id)))) {
            count += connection
                .execute("DELETE FROM record WHERE key = ?1", params![key])
                .query("remove a record")?;
        }
    }
    Ok(count)
}

fn prune_snapshots(
    connection: &rusqlite::Connection,
    request: &PruneRequest<'_>,
    held: &BTreeSet<SnapshotId>,
) -> Result<usize, StoreError> {
    let kept_chains: BTreeSet<String> = request
        .keep_chains
        .iter()
        .map(ToString::to_string)
        .collect();
    let mut unneeded = Vec::new();
    {
        let mut statement = connection
            .prepare(
                "SELECT id, chain_id FROM snapshot
                 WHERE id NOT IN (SELECT snapshot FROM record WHERE snapshot IS NOT NULL)",
            )
            .query("list snapshots")?;
        let mut rows = statement.query([]).query("list snapshots")?;
        while let Some(row) = rows.next().query("list snapshots")? {
            let id = SnapshotId(from_sql(row.get(0).query("list snapshots")?));
            let chain: Option<String> = row.get(1).query("list snapshots")?;
            let is_kept = chain.is_some_and(|chain| kept_chains.contains(&chain));
            if !is_kept && !held.contains(&id) {
                unneeded.push(id);
            }
        }
    }
    for id in &unneeded {
        connection
            .execute("DELETE FROM snapshot WHERE id = ?1", params![to_sql(id.0)])
            .query("remove a snapshot")?;
    }
    Ok(unneeded.len())
}
