// SPDX-License-Identifier: Apache-2.0
//! Moving what the database's log holds into the database, beside the thread that writes it.
//!
//! SQLite would do it inside the commit that fills the log: every request behind that commit then
//! waits for thousands of pages to be written and synced. Here another thread copies nearly all of
//! it while commits go on; the writer copies the few pages that came meanwhile, after which the next
//! commit begins the log anew.
//!
//! Docs: SQLite `PRAGMA wal_checkpoint(PASSIVE)` copies as much as it can without waiting for
//! anybody, and a log that has been copied in full is written from its start again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use rusqlite::Connection;

use super::root::Root;
use crate::storage::error::StorageError;

/// After how many steps of writes the log is copied. Ours: about 8 MiB of log.
const STEPS: usize = 1000;

/// The thread that copies.
#[derive(Debug)]
pub(super) struct Checkpointer {
    root: Arc<Root>,
    steps: usize,
    /// Whether the thread has finished a copy that the writer has not.
    is_copied: Arc<AtomicBool>,
    wake: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpointer {
    /// Starts the thread, which uses `database` alone.
    pub(super) fn start(root: Arc<Root>, database: Connection) -> Result<Self, StorageError> {
        let (wake, woken) = sync_channel(1);
        let is_copied = Arc::new(AtomicBool::new(false));
        let (copied, counted) = (Arc::clone(&is_copied), Arc::clone(&root));
        let copy_when_woken = move || {
            for () in woken {
                copy(&database, &counted);
                copied.store(true, Ordering::Release);
            }
        };
        let thread = std::thread::Builder::new().name("registry-log".into());
        let thread = thread.spawn(copy_when_woken).map_err(|source| {
            StorageError::io("start a thread for", root.path.join("meta.db"), source)
        })?;
        Ok(Self {
            root,
            steps: 0,
            is_copied,
            wake: Some(wake),
            thread: Some(thread),
        })
    }

    /// Counts a commit of `steps` on the writer's own connection.
    pub(super) fn committed(&mut self, steps: usize, database: &Connection) {
        if self.is_copied.swap(false, Ordering::Acquire) {
            copy(database, &self.root);
        }
        self.steps += steps;
        if self.steps >= STEPS {
            self.steps = 0;
            if let Some(wake) = &self.wake {
                // It is at it already, or will be: that will do.
                wake.try_send(()).unwrap_or_default();
            }
        }
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.wake.take();
        if let Some(thread) = self.thread.take() {
            // Nothing is lost with a copy: the log has it.
            drop(thread.join());
        }
    }
}

/// Copies what can be copied. What cannot stays in the log, so that only a disk that fails again
/// and again is a reason to stop.
fn copy(database: &Connection, root: &Root) {
    let copied = database.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
    if let Err(error) = copied {
        let error = StorageError::meta(root.path.join("meta.db"), error);
        if !matches!(error, StorageError::Full(_)) {
            root.count_failure();
        }
    }
}
