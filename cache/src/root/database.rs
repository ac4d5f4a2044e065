// SPDX-License-Identifier: Apache-2.0
//! The SQLite database of the state directory, and the gate in front of it.
//!
//! Many processes use the database at once (WAL). The gate, a lock on the file `lock`, is held
//! shared during each use, and exclusively by whoever decides what no longer exists: so "read a row and lease
//! what it names" cannot interleave with "nobody leases it, delete it".

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;
use rustix::fs::{FlockOperation, flock};

use crate::file::{Attempt, FileError};

/// How long a writer waits for another process's transaction. Transactions here take milliseconds.
const BUSY_TIMEOUT: Duration = Duration::from_mins(1);

/// The number of [`SCHEMA`], kept in `PRAGMA user_version`.
const SCHEMA_VERSION: i64 = 1;

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS snapshot (
    id INTEGER PRIMARY KEY,
    layers BLOB NOT NULL,
    chain_id TEXT UNIQUE,
    boot_id TEXT,
    created INTEGER NOT NULL,
    last_used INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS record (
    key BLOB PRIMARY KEY,
    snapshot INTEGER,
    result BLOB NOT NULL,
    created INTEGER NOT NULL,
    last_used INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS record_snapshot ON record (snapshot);
CREATE TABLE IF NOT EXISTS stat_tree (
    tree BLOB PRIMARY KEY,
    entries BLOB NOT NULL,
    last_used INTEGER NOT NULL
) STRICT;
PRAGMA user_version = 1;
";

/// Why the database of the state directory failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatabaseError {
    /// It could not be opened.
    #[error("cannot open the database {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// A statement failed.
    #[error("cannot {action} in the state database")]
    Statement {
        /// What was tried.
        action: &'static str,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// A later kiln changed the tables.
    #[error("the database {} has schema {found}; this kiln knows {SCHEMA_VERSION}", path.display())]
    Schema {
        /// The file.
        path: PathBuf,
        /// The number found.
        found: i64,
    },
    /// The lock file could not be opened or locked.
    #[error(transparent)]
    Gate(#[from] FileError),
}

/// Says what a statement was for.
pub(crate) trait Query<T> {
    /// Turns the error into a [`DatabaseError::Statement`].
    fn query(self, action: &'static str) -> Result<T, DatabaseError>;
}

impl<T> Query<T> for rusqlite::Result<T> {
    fn query(self, action: &'static str) -> Result<T, DatabaseError> {
        self.map_err(|source| DatabaseError::Statement { action, source })
    }
}

/// SQLite has signed integers only; ids keep their bits.
pub(crate) fn to_sql(id: u64) -> i64 {
    id.cast_signed()
}

/// The inverse of [`to_sql`].
pub(crate) fn from_sql(id: i64) -> u64 {
    id.cast_unsigned()
}

#[derive(Debug)]
pub(crate) struct Database {
    connection: Connection,
    gate: File,
    gate_path: PathBuf,
}

/// Holds the gate until dropped.
#[derive(Debug)]
pub(crate) struct GateGuard<'a>(&'a File);

impl Drop for GateGuard<'_> {
    fn drop(&mut self) {
        // Unlocking a file that we hold open cannot fail.
        flock(self.0, FlockOperation::Unlock).ok();
    }
}

impl Database {
    pub(super) fn open(root: &Path) -> Result<Self, DatabaseError> {
        let gate_path = root.join("lock");
        let gate = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&gate_path)
            .attempt("open", &gate_path)?;
        let path = root.join("state.db");
        let failed = |source| DatabaseError::Open {
            path: path.clone(),
            source,
        };
        let connection = Connection::open(&path).map_err(failed)?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
        let database = Self {
            connection,
            gate,
            gate_path,
        };
        database.prepare(&path).map_err(failed)?;
        let found: i64 = database.schema().map_err(failed)?;
        if found > SCHEMA_VERSION {
            return Err(DatabaseError::Schema { path, found });
        }
        Ok(database)
    }

    fn schema(&self) -> rusqlite::Result<i64> {
        self.connection
            .query_row("PRAGMA user_version", [], |row| row.get(0))
    }

    fn prepare(&self, _path: &Path) -> rusqlite::Result<()> {
        self.connection
            .execute_batch("PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON;")?;
        if self.schema()? != 0 {
            return Ok(());
        }
        // Changing the journal mode wants to be alone; opening for the first time is rare.
        // Without the lock, two first openings at most disturb each other with "busy".
        flock(&self.gate, FlockOperation::LockExclusive).ok();
        let _alone = GateGuard(&self.gate);
        if self.schema()? == 0 {
            self.connection
                .execute_batch("PRAGMA journal_mode = WAL;")?;
            self.connection.execute_batch(SCHEMA)?;
        }
        Ok(())
    }

    pub(crate) fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    pub(crate) fn gate_shared(
        &mut self,
    ) -> Result<(GateGuard<'_>, &mut Connection), DatabaseError> {
        flock(&self.gate, FlockOperation::LockShared).attempt("lock", &self.gate_path)?;
        Ok((GateGuard(&self.gate), &mut self.connection))
    }

    pub(crate) fn gate_exclusive(&self) -> Result<AloneGuard, DatabaseError> {
        // A handle of its own, so that the guard does not borrow the connection.
        let file = File::open(&self.gate_path).attempt("open", &self.gate_path)?;
        flock(&file, FlockOperation::LockExclusive).attempt("lock", &self.gate_path)?;
        Ok(AloneGuard { _file: file })
    }
}

/// Holds the gate exclusively until dropped.
#[derive(Debug)]
pub(crate) struct AloneGuard {
    _file: File,
}
