// SPDX-License-Identifier: Apache-2.0
//! The one thread that writes the database: it takes every write that is waiting, applies them in
//! one transaction, and answers all of them after one sync.
//!
//! While a commit runs, the next writes gather; the more clients, the larger the groups. A write
//! whose condition does not hold is rolled back alone.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, params};
use tokio::sync::oneshot;

use super::checkpoint::Checkpointer;
use super::journal::Journal;
use super::root::Root;
use crate::storage::error::StorageError;
use crate::storage::meta::{Condition, Version, Write};
use crate::storage::store::{Clock, random};

/// How many writes share one transaction at most.
const GROUP_MAX: usize = 512;
/// How long the thread sleeps when there is nothing to do at all.
const IDLE: Duration = Duration::from_hours(1);

/// One [`Meta::write`](crate::storage::Meta::write) on its way.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) steps: Vec<Write>,
    pub(super) reply: oneshot::Sender<Result<(), StorageError>>,
}

/// What the thread owns.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) root: Arc<Root>,
    pub(super) database: Connection,
    pub(super) journal: Journal,
    pub(super) checkpoints: Checkpointer,
    pub(super) clock: Clock,
}

impl Writer {
    /// Serves batches until every sender is gone.
    pub(super) fn run(mut self, batches: &Receiver<Batch>) {
        loop {
            let due = self.journal.sync_due();
            match batches.recv_timeout(due.unwrap_or(IDLE)) {
                Ok(first) => {
                    let mut group = vec![first];
                    group.extend(batches.try_iter().take(GROUP_MAX - 1));
                    self.serve(group);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if self.journal.sync_due() == Some(Duration::ZERO) {
                self.sync_journal();
            }
        }
        self.sync_journal();
    }

    fn sync_journal(&mut self) {
        if self.journal.sync().is_err() {
            self.root.count_failure();
        }
    }

    fn serve(&mut self, group: Vec<Batch>) {
        let results = self.commit(&group);
        let steps = group.iter().map(|batch| batch.steps.len()).sum();
        for (number, batch) in group.into_iter().enumerate() {
            let result = match &results {
                Ok(results) => results[number].clone(),
                Err(error) => Err(error.clone()),
            };
            // Nobody listens if the request was dropped; the write counts all the same.
            drop(batch.reply.send(result));
        }
        self.checkpoints.committed(steps, &self.database);
    }

    /// Applies a group. The inner results are of single batches; an outer error is of all.
    fn commit(&mut self, group: &[Batch]) -> Result<Vec<Result<(), StorageError>>, StorageError> {
        self.root.check_running()?;
        let now = self.clock.seconds();
        let path = self.root.path.join("meta.db");
        let failed = |error| StorageError::meta(&path, error);
        let mut transaction = self
            .database
            .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)
            .map_err(failed)?;
        let mut results = Vec::with_capacity(group.len());
        for batch in group {
            let savepoint = transaction.savepoint().map_err(failed)?;
            match apply(&savepoint, &batch.steps, now) {
                Ok(()) => {
                    savepoint.commit().map_err(failed)?;
                    results.push(Ok(()));
                }
                Err(Refused::Conflict(key)) => results.push(Err(StorageError::Conflict(key))),
                Err(Refused::Database(error)) => return Err(failed(error)),
            }
        }
        let applied = group.iter().zip(&results);
        let applied = applied.filter(|(_, result)| result.is_ok());
        let steps = applied.flat_map(|(batch, _)| &batch.steps);
        let journal = self.root.path.join("journal");
        self.journal
            .append(now, steps)
            .map_err(|source| StorageError::io("write to", journal, source))?;
        transaction.commit().map_err(|error| {
            let error = failed(error);
            if !matches!(error, StorageError::Full(_)) {
                self.root.count_failure();
            }
            error
        })?;
        Ok(results)
    }
}

/// Why one batch was not applied.
enum Refused {
    Conflict(String),
    Database(rusqlite::Error),
}

impl From<rusqlite::Error> for Refused {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error)
    }
}

fn apply(database: &Connection, steps: &[Write], now: u64) -> Result<(), Refused> {
    for step in steps {
        if !holds(database, step.key(), step.condition())? {
            return Err(Refused::Conflict(step.key().to_owned()));
        }
        match step {
            Write::Put(key, bytes, _) => {
                let version = i64::from_ne_bytes(random());
                let now = i64::try_from(now).unwrap_or(i64::MAX);
                let sql = "INSERT OR REPLACE INTO record (key, value, version, written_at) \
                           VALUES (?1, ?2, ?3, ?4)";
                let mut statement = database.prepare_cached(sql)?;
                statement.execute(params![key, bytes, version, now])?;
            }
            Write::Delete(key, _) => {
                let mut statement = database.prepare_cached("DELETE FROM record WHERE key = ?1")?;
                statement.execute([key])?;
            }
            Write::Require(..) => {}
        }
    }
    Ok(())
}

fn holds(database: &Connection, key: &str, condition: &Condition) -> rusqlite::Result<bool> {
    if *condition == Condition::Any {
        return Ok(true);
    }
    let mut statement = database.prepare_cached("SELECT version FROM record WHERE key = ?1")?;
    let found: Option<i64> = statement.query_row([key], |row| row.get(0)).optional()?;
    Ok(match condition {
        Condition::Any => true,
        Condition::Absent => found.is_none(),
        Condition::Is(version) => found.map(version_of).as_ref() == Some(version),
    })
}

/// Returns the version as the trait shows it.
pub(super) fn version_of(stored: i64) -> Version {
    Version(format!("{stored:x}").into())
}
