// SPDX-License-Identifier: Apache-2.0
//! The state directory: what every kiln process shares.
//!
//! ```text
//! $KILN_ROOT
//! ├── version          format and features; written first
//! ├── lock             the gate: shared for each short use, exclusive for sweep and prune
//! ├── state.db         SQLite (WAL): snapshots, records, stat cache
//! ├── snapshots/<id>/  see `snapshot`
//! ├── leases/<id>      one locked file a process: the snapshots it uses
//! ├── claims/<key>     lock files of cache keys being worked on
//! ├── mounts/<key>/    see `mounts`
//! ├── git/<key>/       see `mirrors`
//! └── trash/           what is gone but not deleted yet
//! ```
//!
//! `images/` and `logs/` lie beside these and belong to others.
//!
//! Invariants
//! 1. What has no row in `state.db` and no live owner does not exist: [`Store::open`] moves it to
//!    `trash/`, in whatever state a killed process left it.
//! 2. A snapshot that this process was told of stays until its [`Store`] is dropped.
//! 3. Nothing big is deleted while a build runs: deleting empties `trash/`, on request.
//!
//! Ours: `docs/cache-format.md`.

mod database;
mod flags;
mod sweep;
#[cfg(test)]
mod tests;
mod version;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;

pub use database::DatabaseError;
pub(crate) use database::{Database, Query, from_sql, to_sql};
pub(crate) use sweep::{for_each_name, is_locked, random_id};
pub use version::VersionError;

use crate::file::{Attempt, FileError, open_path_dir};
use crate::lease::Lease;
use crate::record::CacheKey;
use crate::view::OverlayForm;
use crate::{Clock, Timestamp};

/// How a state directory is opened.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// The directory; made if missing.
    pub path: PathBuf,
    /// The time of day, for "last used".
    pub clock: Clock,
    /// What identifies this boot of the machine; `None` asks the kernel.
    pub boot_id: Option<String>,
}

impl StoreOptions {
    /// Returns the options for `path` with the clock and boot of this machine.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            clock: Clock::system(),
            boot_id: None,
        }
    }
}

/// Why the state directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A system call failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// Another version of kiln wrote it.
    #[error(transparent)]
    Version(#[from] VersionError),
}

/// The open state directory. Cheap to clone; all methods take `&self` and may be called from any
/// thread.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    clock: Clock,
    boot_id: String,
    form: OverlayForm,
    database: Mutex<Database>,
    lease: Lease,
    /// Records that were used, and when; written at the end, because one write each would cost
    /// more than the lookup.
    touched: Mutex<BTreeMap<CacheKey, Timestamp>>,
}

/// The directories of the store, all direct children of the root.
const DIRS: [&str; 5] = ["snapshots", "leases", "claims", "mounts", "trash"];

impl Store {
    /// Opens the state directory, makes what is missing, drops what a crash or a reboot left
    /// without its record, and registers this process.
    ///
    /// # Errors
    ///
    /// [`StoreError::Version`] for a directory of another format, otherwise what the file system or
    /// the database said.
    pub fn open(options: StoreOptions) -> Result<Self, StoreError> {
        let StoreOptions {
            path,
            clock,
            boot_id,
        } = options;
        for dir in DIRS {
            let dir = path.join(dir);
            fs::create_dir_all(&dir).attempt("create", &dir)?;
        }
        version::check_or_write(&path)?;
        flags::spread_children(&path.join("snapshots"))?;
        flags::spread_children(&path.join("trash"))?;
        let boot_id = match boot_id {
            Some(boot_id) => boot_id,
            None => read_boot_id()?,
        };
        let database = Database::open(&path)?;
        let form = {
            let _alone = database.gate_exclusive()?;
            // Not in `trash`, which another process may be emptying.
            let dir = open_path_dir(&path).attempt("open", &path)?;
            OverlayForm::probe(std::os::fd::AsFd::as_fd(&dir)).attempt("probe", &path)?
        };
        let lease = Lease::new(&path.join("leases"))?;
        let store = Self {
            inner: Arc::new(Inner {
                path,
                clock,
                boot_id,
                form,
                database: Mutex::new(database),
                lease,
                touched: Mutex::default(),
            }),
        };
        store.drop_unsynced()?;
        store.sweep()?;
        Ok(store)
    }

    /// Returns the root of the state directory.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// Returns how whiteouts are written here, and so which options an overlay mount needs.
    pub fn overlay_form(&self) -> OverlayForm {
        self.inner.form
    }

    /// Returns the current time of the store's clock.
    pub fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    pub(crate) fn boot_id(&self) -> &str {
        &self.inner.boot_id
    }

    pub(crate) fn lease(&self) -> &Lease {
        &self.inner.lease
    }

    pub(crate) fn snapshots_dir(&self) -> PathBuf {
        self.inner.path.join("snapshots")
    }

    pub(crate) fn trash_dir(&self) -> PathBuf {
        self.inner.path.join("trash")
    }

    pub(crate) fn database(&self) -> MutexGuard<'_, Database> {
        // A panic of another thread leaves no half-done transaction: SQLite rolls it back.
        self.inner
            .database
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `work` on the database while no sweep or prune can run.
    pub(crate) fn with_database<T, E: From<DatabaseError>>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut database = self.database();
        let (_open, connection) = database.gate_shared()?;
        work(connection)
    }

    /// Runs `work` while no other process uses the store at this moment.
    pub(crate) fn with_database_alone<T, E: From<DatabaseError>>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut database = self.database();
        let _alone = database.gate_exclusive()?;
        work(database.connection())
    }

    pub(crate) fn touch(&self, key: CacheKey) {
        let now = self.now();
        self.inner
            .touched
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(key, now);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let touched = std::mem::take(
            self.touched
                .get_mut()
                .unwrap_or_else(PoisonError::into_inner),
        );
        let database = self
            .database
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        // Best effort: a lost "last used" makes a record look older, nothing else.
        drop(crate::record::write_touched(
            database.connection(),
            &touched,
        ));
    }
}

/// Docs: proc(5), `/proc/sys/kernel/random/boot_id`.
fn read_boot_id() -> Result<String, FileError> {
    let path = Path::new("/proc/sys/kernel/random/boot_id");
    let text = fs::read_to_string(path).attempt("read", path)?;
    Ok(text.trim().to_owned())
}
