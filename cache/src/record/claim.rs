// SPDX-License-Identifier: Apache-2.0
//! Claims: of several processes that need one step, one runs it.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::{CacheKey, Record, RecordError};
use crate::Store;
use crate::file::{Attempt, FileError};

/// How long a waiter sleeps between looks, at first and at most. A lock that is waited for in the
/// kernel could not be cancelled.
const POLL_FIRST: Duration = Duration::from_millis(1);
const POLL_LAST: Duration = Duration::from_millis(25);

/// What became of a wish to run a step.
#[derive(Debug)]
pub enum Claim {
    /// It has run already.
    Found(Record),
    /// This caller runs it, and nobody else does meanwhile.
    Owned(ClaimGuard),
    /// Another process, or another thread, runs it now.
    Busy(ClaimWaiter),
}

/// The right to run the step of one key. Dropping it without [`ClaimGuard::finish`] gives the right
/// to the next.
#[derive(Debug)]
pub struct ClaimGuard {
    store: Store,
    key: CacheKey,
    path: PathBuf,
    /// Locked; the kernel unlocks it when this process dies.
    _file: File,
}

/// A step that someone else runs.
#[derive(Debug)]
pub struct ClaimWaiter {
    store: Store,
    key: CacheKey,
}

impl Store {
    /// Asks to run the step of `key`.
    ///
    /// # Errors
    ///
    /// [`RecordError`] if the record or the claim file cannot be read.
    pub fn claim(&self, key: &CacheKey) -> Result<Claim, RecordError> {
        if let Some(record) = self.get(key)? {
            return Ok(Claim::Found(record));
        }
        self.claim_ignoring_record(key, false)
    }

    /// Asks to run the step of `key` even if it has a record: for `--no-cache`.
    ///
    /// # Errors
    ///
    /// As [`Self::claim`].
    pub fn claim_anew(&self, key: &CacheKey) -> Result<Claim, RecordError> {
        self.claim_ignoring_record(key, true)
    }

    fn claim_ignoring_record(&self, key: &CacheKey, anew: bool) -> Result<Claim, RecordError> {
        let path = self.path().join("claims").join(key.to_string());
        loop {
            let file = OpenOptions::new()
                .create(true)
                .truncate(false)
                .read(true)
                .write(true)
                .open(&path)
                .attempt("open", &path)?;
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(Errno::WOULDBLOCK) => {
                    return Ok(Claim::Busy(ClaimWaiter {
                        store: self.clone(),
                        key: *key,
                    }));
                }
                Err(error) => return Err(FileError::new("lock", path, error).into()),
            }
            // The former owner removes the file; a lock on a removed file is worth nothing.
            if !is_same_file(&file, &path)? {
                continue;
            }
            let guard = ClaimGuard {
                store: self.clone(),
                key: *key,
                path,
                _file: file,
            };
            if !anew && let Some(record) = self.get(key)? {
                return Ok(Claim::Found(record));
            }
            return Ok(Claim::Owned(guard));
        }
    }
}

fn is_same_file(file: &File, path: &PathBuf) -> Result<bool, FileError> {
    let held = file.metadata().attempt("stat", path)?;
    match fs::metadata(path) {
        Ok(named) => Ok((held.dev(), held.ino()) == (named.dev(), named.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(FileError::new("stat", path, error)),
    }
}

impl ClaimGuard {
    /// Returns the key that is claimed.
    pub fn key(&self) -> &CacheKey {
        &self.key
    }

    /// Writes the record, then frees the claim: who waited finds it.
    ///
    /// # Errors
    ///
    /// As [`Store::put`].
    pub fn finish(self, record: &Record) -> Result<(), RecordError> {
        self.finish_with(record, Vec::new())
    }

    /// As [`Self::finish`], with further records in the same transaction: each costs a wait for the
    /// disk otherwise.
    ///
    /// # Errors
    ///
    /// As [`Store::put_all`].
    pub fn finish_with(
        self,
        record: &Record,
        mut further: Vec<(CacheKey, Record)>,
    ) -> Result<(), RecordError> {
        further.push((self.key, record.clone()));
        self.store.put_all(&further)
    }
}

impl Drop for ClaimGuard {
    fn drop(&mut self) {
        // Removed while locked, so nobody can lock it between. One that stays is only litter.
        drop(fs::remove_file(&self.path));
    }
}

impl ClaimWaiter {
    /// Waits until the other is done and takes its record; or takes over, if it failed or died.
    /// Blocks; looks at `is_cancelled` every few milliseconds.
    ///
    /// # Errors
    ///
    /// [`RecordError::Cancelled`], or as [`Store::claim`].
    pub fn wait(self, is_cancelled: &dyn Fn() -> bool) -> Result<Claim, RecordError> {
        let mut pause = POLL_FIRST;
        loop {
            if is_cancelled() {
                return Err(RecordError::Cancelled(self.key));
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(POLL_LAST);
            match self.store.claim(&self.key)? {
                Claim::Busy(_) => {}
                done => return Ok(done),
            }
        }
    }
}
