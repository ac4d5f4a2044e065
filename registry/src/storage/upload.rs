// SPDX-License-Identifier: Apache-2.0
//! Upload sessions: bytes that come in pieces, over several requests and restarts.
//!
//! A session without bytes is only its id. The first piece makes a staged file and a record with
//! the durable offset; a later piece goes on from there. Between two requests the open file and its
//! hasher wait in a [`Slot`], so that a chunked upload is hashed once; after a restart, or when too
//! many sessions wait, the committed prefix is read and hashed again.
//!
//! Ours: no hash state is persisted. The hasher that can export its state does 188 MB/s here, the
//! one that cannot 345 (`design.md` decision 5): every upload would pay for what only an upload
//! interrupted by a restart needs, and that one reads its prefix back at hashing speed.
//!
//! One request at a time writes a session. A newer one takes over: the older, whose connection is
//! usually dead without knowing it, is told to stop, checkpoints and lets go.

use std::sync::Arc;
use std::time::Duration;

use oci::{Algorithm, Digest};
use tokio::sync::{Mutex, MutexGuard, Notify};

use super::data::{Stage, Staged};
use super::error::StorageError;
use super::key;
use super::meta::{Condition, LIST_MAX, Listed, Write};
use super::record::{self, Phase, SessionRecord};
use super::session::SessionId;
use super::store::{Store, nonce, random};
use crate::endpoint::Name;

/// How long a session stays good, from the request that opened it. Docs: distribution purges
/// uploads after as long.
pub const SESSION_SECONDS: u64 = 168 * 3600;
/// How long the result of a session can be asked for again.
const ENDED_SECONDS: u64 = 3600;
/// How many open files wait for the next request of their session.
const WAITING_MAX: usize = 256;
/// How long a request waits for an older one of the same session to let go.
const TAKE_OVER: Duration = Duration::from_secs(10);

/// Where a session's open file waits between two requests.
#[derive(Debug, Default)]
pub struct Slot {
    staged: Mutex<Option<Box<dyn Staged>>>,
    /// Tells the request that holds `staged` to let go.
    stop: Notify,
}

/// Why an upload cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UploadError {
    /// Never opened, expired, finished, cancelled or spoiled.
    #[error("upload is not known, or has ended")]
    Unknown,
    /// The piece does not begin where the last one ended.
    #[error("upload is at byte {offset_bytes}")]
    OutOfOrder {
        /// How many bytes are there.
        offset_bytes: u64,
    },
    /// Another request writes the session and does not let go.
    #[error("another request is writing this upload")]
    Busy,
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// How far a session is, as a client may ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// So many bytes are durable.
    Open(u64),
    /// Published under this digest.
    Done(Digest),
}

impl Store {
    /// Opens a session for an upload into `name`. Nothing is written.
    pub fn open_session(&self, name: &Name) -> SessionId {
        let expires_at = self.now().saturating_add(SESSION_SECONDS);
        self.signer.issue(name, expires_at, random::<16>())
    }

    /// Returns the session in `text`, which came in a path under `name`.
    ///
    /// # Errors
    ///
    /// [`UploadError::Unknown`] if it is not ours, of another repository, or expired.
    pub fn session(&self, name: &Name, text: &str) -> Result<SessionId, UploadError> {
        let id = self.signer.verify(name, text, self.now());
        id.ok_or(UploadError::Unknown)
    }

    /// Returns how far a session is.
    ///
    /// # Errors
    ///
    /// [`UploadError::Unknown`] if it was cancelled.
    pub async fn progress(&self, id: &SessionId) -> Result<Progress, UploadError> {
        let read = self.read::<SessionRecord>(&key::session(id)).await?;
        match read.map(|(record, _)| (record.phase, record.offset_bytes)) {
            None => Ok(Progress::Open(0)),
            Some((Phase::Open, offset)) => Ok(Progress::Open(offset)),
            Some((Phase::Done(digest), _)) => Ok(Progress::Done(digest)),
            Some((Phase::Cancelled, _)) => Err(UploadError::Unknown),
        }
    }

    /// Returns the slot of a session. Slots of sessions that nobody writes are few: they go when
    /// the session ends, and the oldest go when there are too many.
    pub(crate) fn slot(&self, id: &SessionId) -> Arc<Slot> {
        let mut slots = self.slots.lock().expect("no code panics under this lock");
        if slots.len() >= WAITING_MAX && !slots.contains_key(id) {
            // Which one goes does not matter for correctness: it is hashed again if it comes back.
            slots.retain(|_, slot| Arc::strong_count(slot) > 1);
        }
        Arc::clone(slots.entry(id.clone()).or_default())
    }

    /// Tells whether a request writes the session now, or did not long ago.
    pub(crate) fn is_held(&self, id: &SessionId) -> bool {
        let slots = self.slots.lock().expect("no code panics under this lock");
        slots.contains_key(id)
    }

    fn drop_slot(&self, id: &SessionId) {
        let mut slots = self.slots.lock().expect("no code panics under this lock");
        slots.remove(id);
    }

    /// Writes the session's record after a piece became durable.
    pub(crate) async fn record_session(
        &self,
        id: &SessionId,
        phase: Phase,
        offset_bytes: u64,
        algorithm: Algorithm,
    ) -> Result<(), StorageError> {
        let record = SessionRecord {
            phase,
            offset_bytes,
            algorithm,
            nonce: nonce(),
            at: self.now(),
        };
        let put = Write::Put(key::session(id), record::encode(&record), Condition::Any);
        self.meta.write(vec![put]).await
    }

    /// Ends a session without result. Its id stays unknown until it expires.
    ///
    /// # Errors
    ///
    /// [`UploadError::Unknown`] if it had ended before.
    pub async fn cancel(&self, id: &SessionId) -> Result<(), UploadError> {
        let slot = self.slot(id);
        let mut held = slot.take_over().await?;
        if let Progress::Done(_) = self.progress(id).await? {
            return Err(UploadError::Unknown);
        }
        held.take();
        self.end(id, Phase::Cancelled).await?;
        Ok(())
    }

    /// Records the end and forgets the bytes.
    pub(crate) async fn end(&self, id: &SessionId, phase: Phase) -> Result<(), StorageError> {
        self.record_session(id, phase, 0, Algorithm::Sha256).await?;
        self.drop_slot(id);
        self.data.discard(id).await
    }

    /// Removes sessions that have expired, and the records of those that ended a while ago. Returns
    /// how many went. Run it now and again.
    ///
    /// # Errors
    ///
    /// Whatever the traits report; the rest is removed next time.
    pub async fn purge_sessions(&self) -> Result<usize, StorageError> {
        let mut purged = 0;
        let mut after = String::new();
        loop {
            let listed = self.meta.list(key::SESSIONS, &after, LIST_MAX).await?;
            let Some(last) = listed.last() else {
                return Ok(purged);
            };
            after.clone_from(&last.key);
            for line in listed {
                let text = line.key.strip_prefix(key::SESSIONS).unwrap_or_default();
                let Some(id) = SessionId::from_text(text) else {
                    continue;
                };
                if id.expires_at() <= self.now() || self.has_ended(&line).await? {
                    self.drop_slot(&id);
                    self.data.discard(&id).await?;
                    let delete = Write::Delete(line.key, Condition::Any);
                    self.meta.write(vec![delete]).await?;
                    purged += 1;
                }
            }
        }
    }

    /// Tells whether a session ended so long ago that nobody asks for its result again. Should a
    /// late piece come all the same, it opens the session anew, and that expires in turn.
    async fn has_ended(&self, line: &Listed) -> Result<bool, StorageError> {
        if line.written_at.saturating_add(ENDED_SECONDS) > self.now() {
            return Ok(false);
        }
        let read = self.read::<SessionRecord>(&line.key).await?;
        Ok(read.is_some_and(|(record, _)| record.phase != Phase::Open))
    }

    /// Removes staged bytes that no record names: a crash came between the two. Run it before the
    /// first request, because a request makes bytes and record in this order too.
    ///
    /// # Errors
    ///
    /// Whatever the traits report.
    pub async fn sweep_sessions(&self) -> Result<usize, StorageError> {
        let mut swept = 0;
        for id in self.data.sessions().await? {
            let read = self.read::<SessionRecord>(&key::session(&id)).await?;
            let open = read.is_some_and(|(record, _)| record.phase == Phase::Open);
            if !open {
                self.data.discard(&id).await?;
                swept += 1;
            }
        }
        Ok(swept)
    }

    /// Opens the session's bytes for one request, to be appended at `start` (none: at the end).
    ///
    /// # Errors
    ///
    /// [`UploadError`].
    pub(crate) async fn resume<'a>(
        &self,
        id: &SessionId,
        slot: &'a Slot,
        start: Option<u64>,
        wanted: Algorithm,
    ) -> Result<Held<'a>, UploadError> {
        let mut held = slot.take_over().await?;
        let read = self.read::<SessionRecord>(&key::session(id)).await?;
        let (offset, algorithm) = match read {
            None => (0, wanted),
            Some((record, _)) if record.phase == Phase::Open => {
                (record.offset_bytes, record.algorithm)
            }
            Some(_) => return Err(UploadError::Unknown),
        };
        if start.is_some_and(|start| start != offset) {
            return Err(UploadError::OutOfOrder {
                offset_bytes: offset,
            });
        }
        if held.as_ref().is_none_or(|staged| staged.offset() != offset) {
            let stage = Stage {
                session: Some(id.clone()),
                offset,
                algorithm,
                expected_bytes: None,
            };
            *held = Some(match self.data.stage(stage).await {
                Ok(staged) => staged,
                // The file went on its way to a blob when the process died, or by hand.
                Err(StorageError::Missing(_)) => return Err(UploadError::Unknown),
                Err(error) => return Err(error.into()),
            });
        }
        Ok(Held {
            staged: held,
            slot,
            algorithm,
        })
    }
}

impl Slot {
    /// Waits for the slot, telling whoever holds it to let go.
    async fn take_over(&self) -> Result<MutexGuard<'_, Option<Box<dyn Staged>>>, UploadError> {
        if let Ok(held) = self.staged.try_lock() {
            return Ok(held);
        }
        self.stop.notify_waiters();
        let waiting = tokio::time::timeout(TAKE_OVER, self.staged.lock());
        waiting.await.map_err(|_| UploadError::Busy)
    }
}

/// A session held by one request.
#[derive(Debug)]
pub struct Held<'a> {
    staged: MutexGuard<'a, Option<Box<dyn Staged>>>,
    slot: &'a Slot,
    /// The algorithm it is hashed with.
    pub algorithm: Algorithm,
}

impl<'a> Held<'a> {
    /// Returns the staged bytes.
    ///
    /// # Panics
    ///
    /// After [`Self::close`].
    pub fn staged(&mut self) -> &mut dyn Staged {
        let staged = self.staged.as_mut();
        &mut **staged.expect("a held session has its bytes open until it is released")
    }

    /// Returns what to wait for besides the next piece: a newer request wants the session.
    pub fn stop(&self) -> tokio::sync::futures::Notified<'a> {
        self.slot.stop.notified()
    }

    /// Closes the bytes: they are spoiled, or published.
    pub fn close(&mut self) {
        self.staged.take();
    }
}
