// SPDX-License-Identifier: Apache-2.0
//! [`Meta`] on SQLite: many readers, one writing thread.
//!
//! A record is read on the calling thread: a look-up by key in a cached tree takes microseconds,
//! less than handing it to another thread. Listings go to the blocking pool.
//!
//! Docs: SQLite `PRAGMA synchronous=FULL` with WAL syncs the log on every commit.

use std::fmt;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use rusqlite::{Connection, OpenFlags, OptionalExtension as _, params};
use tokio::sync::oneshot;

use super::checkpoint::Checkpointer;
use super::journal::{self, Journal};
use super::root::Root;
use super::writer::{Batch, Writer, version_of};
use crate::storage::data::Answer;
use crate::storage::error::StorageError;
use crate::storage::meta::{LIST_MAX, Listed, Meta, Version, Write};
use crate::storage::store::Clock;

/// How many idle reading connections are kept.
const READERS_MAX: usize = 8;
pub(super) const SCHEMA: &str = "
    PRAGMA page_size = 4096;
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA wal_autocheckpoint = 0;
    PRAGMA journal_size_limit = 67108864;
    CREATE TABLE IF NOT EXISTS record (
        key TEXT PRIMARY KEY,
        value BLOB NOT NULL,
        version INTEGER NOT NULL,
        written_at INTEGER NOT NULL
    ) WITHOUT ROWID, STRICT;
";

/// Connections for reading.
#[derive(Debug)]
struct Readers {
    root: Arc<Root>,
    idle: Mutex<Vec<Connection>>,
}

/// Names in SQLite.
pub(super) struct DiskMeta {
    readers: Arc<Readers>,
    batches: Option<Sender<Batch>>,
    writer: Option<JoinHandle<()>>,
}

impl fmt::Debug for DiskMeta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DiskMeta").field(&self.readers.root).finish()
    }
}

impl DiskMeta {
    /// Opens the database and starts its thread. Blocking.
    pub(super) fn open(root: Arc<Root>, clock: Clock) -> Result<Self, StorageError> {
        let path = root.path.join("meta.db");
        let failed = |error| StorageError::meta(&path, error);
        if !path.exists() && journal::is_there(&root.path) {
            // An empty registry in its place would look as if everything had been deleted.
            return Err(StorageError::DatabaseLost(path));
        }
        let database = Connection::open(&path).map_err(failed)?;
        database.execute_batch(SCHEMA).map_err(failed)?;
        let copier = Connection::open(&path).map_err(failed)?;
        let writer = Writer {
            checkpoints: Checkpointer::start(Arc::clone(&root), copier)?,
            journal: Journal::open(&root.path)?,
            root: Arc::clone(&root),
            database,
            clock,
        };
        root.sync_folders()?;
        let (batches, receiver) = channel();
        let thread = std::thread::Builder::new()
            .name("registry-meta".into())
            .spawn(move || writer.run(&receiver));
        let thread =
            thread.map_err(|source| StorageError::io("start the writer of", &path, source))?;
        Ok(Self {
            readers: Arc::new(Readers {
                root,
                idle: Mutex::default(),
            }),
            batches: Some(batches),
            writer: Some(thread),
        })
    }
}

impl Drop for DiskMeta {
    fn drop(&mut self) {
        self.batches.take();
        if let Some(writer) = self.writer.take() {
            // A panic there has failed its requests already.
            drop(writer.join());
        }
    }
}

impl Readers {
    /// Runs `work` on an idle connection, or a new one.
    fn with<T>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StorageError> {
        let path = self.root.path.join("meta.db");
        let failed = |error| StorageError::meta(&path, error);
        let idle = || self.idle.lock().expect("no code panics under this lock");
        let kept = idle().pop();
        let connection = match kept {
            Some(connection) => connection,
            None => self.connect().map_err(failed)?,
        };
        let result = work(&connection).map_err(failed);
        let mut idle = idle();
        if idle.len() < READERS_MAX {
            idle.push(connection);
        }
        result
    }

    fn connect(&self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(self.root.path.join("meta.db"), flags)?;
        connection.execute_batch("PRAGMA query_only = ON; PRAGMA mmap_size = 268435456;")?;
        Ok(connection)
    }

    fn get(&self, key: &str) -> Result<Option<(Vec<u8>, Version)>, StorageError> {
        self.with(|database| {
            let sql = "SELECT value, version FROM record WHERE key = ?1";
            let mut statement = database.prepare_cached(sql)?;
            let row = statement.query_row([key], |row| Ok((row.get(0)?, row.get(1)?)));
            Ok(row
                .optional()?
                .map(|(value, version)| (value, version_of(version))))
        })
    }

    fn list(&self, prefix: &str, after: &str, limit: usize) -> Result<Vec<Listed>, StorageError> {
        // Keys are text in byte order; the highest code point closes the range of a prefix.
        let end = format!("{prefix}\u{10ffff}");
        // One lower bound, or the tree would be searched from the start of the prefix every time.
        // No record has a bare prefix as its key.
        let start = after.max(prefix);
        let limit = i64::try_from(limit.min(LIST_MAX)).unwrap_or_default();
        self.with(|database| {
            let sql = "SELECT key, version, written_at, length(value) FROM record \
                       WHERE key > ?1 AND key < ?2 ORDER BY key LIMIT ?3";
            let mut statement = database.prepare_cached(sql)?;
            let rows = statement.query_map(params![start, end, limit], |row| {
                Ok(Listed {
                    key: row.get(0)?,
                    version: version_of(row.get(1)?),
                    written_at: u64::try_from(row.get::<_, i64>(2)?).unwrap_or_default(),
                    size_bytes: u64::try_from(row.get::<_, i64>(3)?).unwrap_or_default(),
                })
            })?;
            rows.collect()
        })
    }
}

impl Meta for DiskMeta {
    fn get<'a>(&'a self, key: &'a str) -> Answer<'a, Option<(Vec<u8>, Version)>> {
        Box::pin(async move { self.readers.get(key) })
    }

    fn write(&self, steps: Vec<Write>) -> Answer<'_, ()> {
        let stopped = || StorageError::Stopped(self.readers.root.path.clone());
        Box::pin(async move {
            let (reply, answer) = oneshot::channel();
            let batches = self.batches.as_ref().ok_or_else(stopped)?;
            let sent = batches.send(Batch { steps, reply });
            sent.map_err(|_| stopped())?;
            answer.await.map_err(|_| stopped())?
        })
    }

    fn is_atomic(&self) -> bool {
        true
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: &'a str,
        limit: usize,
    ) -> Answer<'a, Vec<Listed>> {
        let readers = Arc::clone(&self.readers);
        let (prefix, after) = (prefix.to_owned(), after.to_owned());
        Box::pin(async move {
            let stopped = StorageError::Stopped(readers.root.path.clone());
            let task = tokio::task::spawn_blocking(move || readers.list(&prefix, &after, limit));
            task.await.map_err(|_| stopped)?
        })
    }
}
