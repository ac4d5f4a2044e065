// SPDX-License-Identifier: Apache-2.0
//! Records: cache key → result, and the claim that makes a step run once.
//!
//! Two levels of exactly-once: within a process the solver shares equal work; between processes
//! [`Store::claim`] lets one run and the others wait for its record. A claim is a lock on
//! `claims/<key>`, freed by the kernel when its owner is killed.
//!
//! Does not know how a key is computed.

mod claim;
mod key;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, params};

pub use claim::{Claim, ClaimGuard, ClaimWaiter};
pub use key::CacheKey;

use crate::file::FileError;
use crate::root::{DatabaseError, Query, from_sql, to_sql};
use crate::snapshot::SnapshotId;
use crate::{Store, Timestamp};

/// The most bytes that a record may carry beside its snapshot.
///
/// Ours: descriptors and digests are a few hundred bytes; files belong into snapshots.
pub const RESULT_BYTES_MAX: usize = 1 << 20;

/// The result of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The file system it left, if it makes one.
    pub snapshot: Option<SnapshotId>,
    /// What else it gave; the caller's own format.
    pub bytes: Vec<u8>,
}

/// Why a record cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// A claim file could not be opened or locked.
    #[error(transparent)]
    File(#[from] FileError),
    /// The record is larger than [`RESULT_BYTES_MAX`].
    #[error("the result of {key} has {size_bytes} bytes; {RESULT_BYTES_MAX} are allowed")]
    TooLarge {
        /// The key.
        key: CacheKey,
        /// The size of the result.
        size_bytes: usize,
    },
    /// Waiting for another process was given up.
    #[error("gave up waiting for another build of {0}")]
    Cancelled(CacheKey),
}

impl Store {
    /// Returns the record of `key`, and keeps its snapshot until this store is dropped.
    ///
    /// # Errors
    ///
    /// What the database said.
    pub fn get(&self, key: &CacheKey) -> Result<Option<Record>, RecordError> {
        let record = self.with_database(|connection| {
            let found = connection
                .prepare_cached(
                    "SELECT r.snapshot, r.result FROM record r LEFT JOIN snapshot s
                     ON s.id = r.snapshot
                     WHERE r.key = ?1 AND (r.snapshot IS NULL OR s.id IS NOT NULL)",
                )
                .and_then(|mut statement| {
                    statement
                        .query_row(params![key.as_bytes()], |row| {
                            Ok(Record {
                                snapshot: row
                                    .get::<_, Option<i64>>(0)?
                                    .map(|id| SnapshotId(from_sql(id))),
                                bytes: row.get(1)?,
                            })
                        })
                        .optional()
                })
                .query("read a record")?;
            if let Some(Record {
                snapshot: Some(id), ..
            }) = &found
            {
                self.lease().hold(*id).map_err(DatabaseError::Gate)?;
            }
            Ok::<_, RecordError>(found)
        })?;
        if record.is_some() {
            self.touch(*key);
        }
        Ok(record)
    }

    /// Writes the record of `key`, replacing an older one.
    ///
    /// # Errors
    ///
    /// [`RecordError::TooLarge`], or what the database said.
    pub fn put(&self, key: &CacheKey, record: &Record) -> Result<(), RecordError> {
        self.put_all(&[(*key, record.clone())])
    }

    /// Writes several records in one transaction: a step has several keys.
    ///
    /// # Errors
    ///
    /// As [`Self::put`]; then none is written.
    pub fn put_all(&self, records: &[(CacheKey, Record)]) -> Result<(), RecordError> {
        for (key, record) in records {
            let size_bytes = record.bytes.len();
            if size_bytes > RESULT_BYTES_MAX {
                return Err(RecordError::TooLarge {
                    key: *key,
                    size_bytes,
                });
            }
        }
        let now = self.now().secs;
        self.with_database(|connection| {
            let transaction = connection.transaction().query("write a record")?;
            for (key, record) in records {
                transaction
                    .prepare_cached(
                        "INSERT OR REPLACE INTO record (key, snapshot, result, created, last_used)
                         VALUES (?1, ?2, ?3, ?4, ?4)",
                    )
                    .and_then(|mut statement| {
                        statement.execute(params![
                            key.as_bytes(),
                            record.snapshot.map(|id| to_sql(id.0)),
                            record.bytes,
                            now
                        ])
                    })
                    .query("write a record")?;
            }
            Ok(transaction.commit().query("write a record")?)
        })
    }

    /// Removes the record of `key`, if there is one.
    ///
    /// # Errors
    ///
    /// What the database said.
    pub fn delete(&self, key: &CacheKey) -> Result<(), RecordError> {
        self.with_database(|connection| {
            connection
                .execute("DELETE FROM record WHERE key = ?1", params![key.as_bytes()])
                .query("remove a record")?;
            Ok(())
        })
    }
}

/// Writes when records were last used.
pub(crate) fn write_touched(
    connection: &mut Connection,
    touched: &BTreeMap<CacheKey, Timestamp>,
) -> rusqlite::Result<()> {
    /// A use within this many seconds of the stored one is not worth a write.
    const RESOLUTION_SECS: i64 = 60;
    if touched.is_empty() {
        return Ok(());
    }
    let mut stale = Vec::new();
    for (key, moment) in touched {
        let is_stale = connection
            .prepare_cached("SELECT 1 FROM record WHERE key = ?1 AND last_used + ?2 < ?3")?
            .exists(params![key.as_bytes(), RESOLUTION_SECS, moment.secs])?;
        if is_stale {
            stale.push((key, moment));
        }
    }
    if stale.is_empty() {
        return Ok(());
    }
    let transaction = connection.transaction()?;
    for (key, moment) in stale {
        transaction.execute(
            "UPDATE record SET last_used = ?2 WHERE key = ?1",
            params![key.as_bytes(), moment.secs],
        )?;
    }
    transaction.commit()
}
