// SPDX-License-Identifier: Apache-2.0
//! Upload sessions: bytes that come in pieces, over several requests, restarts and replicas.
//!
//! A session without bytes is only its id. The first piece makes staged bytes and a record with
//! the durable offset; a later piece goes on from there. Between two requests the open file and its
//! hasher wait in a [`Slot`], so that a chunked upload is hashed once; after a restart, or when too
//! many sessions wait, the committed prefix is read and hashed again. A store whose bytes cannot be
//! read back before they are published puts what it needs into the record instead.
//!
//! Ours: on a disk no hash state is persisted. The hasher that can export its state does 188 MB/s
//! here, the one that cannot 345: every upload would pay for what only an upload interrupted by a
//! restart needs, and that one reads its prefix back at hashing speed.
//!
//! One request at a time writes a session. A newer one takes over. Within a process the older,
//! whose connection is usually dead without knowing it, is told to stop, checkpoints and lets go.
//! Across processes the newer one puts its nonce into the record (`writer`): the older one's next
//! write of the record fails, and so does its request. What was acknowledged before is in the
//! record that the newer one read, so nothing of it is lost and nothing else comes in.

mod purge;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use oci::{Algorithm, Digest};
use tokio::sync::{Mutex, MutexGuard, Notify};

use super::data::{Resume, Staged};
use super::error::StorageError;
use super::key;
use super::meta::{Condition, Write};
use super::record::{self, Phase, SessionRecord};
use super::session::SessionId;
use super::store::{RACES_MAX, Store, nonce, random};
use crate::endpoint::Name;
pub(crate) use writer::{Held, Piece};

/// How long a session stays good, from the request that opened it. Docs: distribution purges
/// uploads after as long.
pub const SESSION_SECONDS: u64 = 168 * 3600;
/// How long a pass is good, from the last answer on its session: longer than one piece of a very
/// large blob takes over a slow line.
const PASS_SECONDS: u64 = 24 * 3600;
/// How many open files wait for the next request of their session.
const WAITING_MAX: usize = 256;
/// How long a request waits for an older one of the same session to let go.
const TAKE_OVER: Duration = Duration::from_secs(10);

/// An open session between two requests.
#[derive(Debug)]
struct Waiting {
    staged: Box<dyn Staged>,
    /// The record that says as much as `staged` holds.
    nonce: String,
}

/// Where a session's open file waits between two requests.
#[derive(Debug, Default)]
pub struct Slot {
    waiting: Mutex<Option<Waiting>>,
    /// Tells the request that holds the session to let go.
    stop: Notify,
}

impl Slot {
    /// Waits for the slot, telling whoever holds it to let go.
    async fn take_over(&self) -> Result<MutexGuard<'_, Option<Waiting>>, UploadError> {
        if let Ok(held) = self.waiting.try_lock() {
            return Ok(held);
        }
        self.stop.notify_waiters();
        let waiting = tokio::time::timeout(TAKE_OVER, self.waiting.lock());
        waiting.await.map_err(|_| UploadError::Busy)
    }
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
    /// Another request writes the session: it does not let go, or it has taken over.
    #[error("another request is writing this upload")]
    Busy,
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// How far a session is, as a client may ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Nothing was sent, or nothing is durable yet.
    New,
    /// So many bytes are durable.
    Open(u64),
    /// All bytes are there; the request that closed it ended before it was done, or has not ended.
    Committing(Digest),
    /// Published under this digest.
    Done(Digest),
}

impl Store {
    /// Opens a session for an upload of `owner` into `name`. Nothing is written.
    pub fn open_session(&self, name: &Name, owner: &str) -> SessionId {
        let expires_at = self.now().saturating_add(SESSION_SECONDS);
        self.signer.issue((name, owner), expires_at, random::<16>())
    }

    /// Returns the session in `text`, which came in a path under `name` from `owner`.
    ///
    /// # Errors
    ///
    /// [`UploadError::Unknown`] if it is not ours, of another repository or owner, or expired.
    pub fn session(&self, name: &Name, owner: &str, text: &str) -> Result<SessionId, UploadError> {
        let id = self.signer.verify((name, owner), text, self.now());
        id.ok_or(UploadError::Unknown)
    }

    /// Returns a pass with which whoever has it goes on with the session as `owner`.
    pub fn pass(&self, id: &SessionId, owner: &str) -> String {
        let expires_at = self.now().saturating_add(PASS_SECONDS);
        self.signer.pass(id, owner, expires_at)
    }

    /// Returns as whom `pass` lets its bearer go on with the session `id`.
    pub fn passes(&self, id: &str, pass: &str) -> Option<String> {
        self.signer.passes(id, pass, self.now())
    }

    /// Returns how far a session is.
    ///
    /// # Errors
    ///
    /// [`UploadError::Unknown`] if it was cancelled.
    pub async fn progress(&self, id: &SessionId) -> Result<Progress, UploadError> {
        let read = self.read::<SessionRecord>(&key::session(id)).await?;
        match read.map(|(record, _)| (record.phase, record.offset_bytes)) {
            None => Ok(Progress::New),
            Some((Phase::Open, offset)) => Ok(Progress::Open(offset)),
            Some((Phase::Committing(digest), _)) => Ok(Progress::Committing(digest)),
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

    /// Returns a session's record as it would be written now.
    fn session_record(
        &self,
        phase: Phase,
        (offset_bytes, algorithm): (u64, Algorithm),
        resume: Resume,
    ) -> SessionRecord {
        SessionRecord {
            phase,
            offset_bytes,
            algorithm,
            resume,
            nonce: nonce(),
            at: self.now(),
        }
    }

    async fn write_session(
        &self,
        id: &SessionId,
        record: &SessionRecord,
        condition: Condition,
    ) -> Result<(), UploadError> {
        let put = Write::Put(key::session(id), record::encode(record), condition);
        match self.meta.write(vec![put]).await {
            Err(StorageError::Conflict(_)) => Err(UploadError::Busy),
            other => Ok(other?),
        }
    }

    /// Ends a session without result. Its id stays unknown until it expires.
    ///
    /// # Errors
    ///
    /// [`UploadError::Unknown`] if it had ended before, [`UploadError::Busy`] while it is being
    /// published.
    pub async fn cancel(&self, id: &SessionId) -> Result<(), UploadError> {
        let slot = self.slot(id);
        let mut waiting = slot.take_over().await?;
        for _ in 0..RACES_MAX {
            let read = self.read::<SessionRecord>(&key::session(id)).await?;
            let version = match read {
                Some((record, version)) => match record.phase {
                    Phase::Open => Some(version),
                    Phase::Committing(_) => return Err(UploadError::Busy),
                    Phase::Done(_) | Phase::Cancelled => return Err(UploadError::Unknown),
                },
                None => None,
            };
            let nothing = (0, Algorithm::Sha256);
            let record = self.session_record(Phase::Cancelled, nothing, Resume::default());
            match self
                .write_session(id, &record, Condition::unchanged(version))
                .await
            {
                Err(UploadError::Busy) => {}
                Err(error) => return Err(error),
                Ok(()) => {
                    waiting.take();
                    self.drop_slot(id);
                    self.data.discard(id, None).await?;
                    return Ok(());
                }
            }
        }
        Err(UploadError::Busy)
    }
}
