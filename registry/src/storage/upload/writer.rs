// SPDX-License-Identifier: Apache-2.0
//! One request that writes a session: claim, append, save, publish.
//!
//! Every write of the record is conditional on the one before it being ours. Where other processes
//! may write the same session ([`Data::unclaimed_max_bytes`](crate::storage::Data)), the record is
//! written before the first byte too: whatever the store then holds for the session is found
//! through it, and the request that wrote it last is the only one that can go on.

use oci::{Algorithm, Digest};
use tokio::sync::MutexGuard;

use super::{Slot, UploadError, Waiting};
use crate::endpoint::Name;
use crate::storage::data::{Resume, Stage, Staged};
use crate::storage::error::StorageError;
use crate::storage::key;
use crate::storage::meta::Condition;
use crate::storage::record::{Phase, SessionRecord};
use crate::storage::session::SessionId;
use crate::storage::store::Store;

/// How long publishing may take until its records are written. The collector of abandoned uploads
/// waits much longer ([`super::purge`]), so that it never removes what a slow publisher is about
/// to name.
const COMMIT_SECONDS: u64 = 3600;

/// What a request says about the piece that it brings.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Piece {
    /// Where it begins; none: wherever the last one ended.
    pub(crate) start: Option<u64>,
    /// How long it is, if known.
    pub(crate) length: Option<u64>,
}

/// What the next write of the record depends on.
#[derive(Debug)]
enum Claim {
    /// The record is as it was read.
    Read(Condition),
    /// The record is the one that we wrote with this nonce.
    Wrote(String),
}

/// A session held by one request.
#[derive(Debug)]
pub(crate) struct Held<'a> {
    store: &'a Store,
    id: &'a SessionId,
    slot: &'a Slot,
    waiting: MutexGuard<'a, Option<Waiting>>,
    claim: Claim,
    algorithm: Algorithm,
}

impl Store {
    /// Opens the session's bytes for one request.
    ///
    /// # Errors
    ///
    /// [`UploadError`].
    pub(crate) async fn resume<'a>(
        &'a self,
        (id, slot): (&'a SessionId, &'a Slot),
        piece: Piece,
        wanted: Algorithm,
    ) -> Result<Held<'a>, UploadError> {
        let waiting = slot.take_over().await?;
        let read = self.read::<SessionRecord>(&key::session(id)).await?;
        let (record, claim) = match read {
            None => {
                let at = (0, wanted);
                let record = self.session_record(Phase::Open, at, Resume::default());
                (record, Claim::Read(Condition::Absent))
            }
            Some((record, version)) if record.phase == Phase::Open => {
                (record, Claim::Read(Condition::Is(version)))
            }
            Some(_) => return Err(UploadError::Unknown),
        };
        if piece
            .start
            .is_some_and(|start| start != record.offset_bytes)
        {
            return Err(UploadError::OutOfOrder {
                offset_bytes: record.offset_bytes,
            });
        }
        let mut held = Held {
            store: self,
            id,
            slot,
            waiting,
            claim,
            algorithm: record.algorithm,
        };
        let is_long = piece.length.unwrap_or(u64::MAX) > self.data.unclaimed_max_bytes();
        let read_nonce = record.nonce.clone();
        if is_long {
            let at = record.offset_bytes;
            held.write(Phase::Open, at, record.resume.clone()).await?;
        }
        held.open(&read_nonce, &record, piece.length).await?;
        Ok(held)
    }

    /// Publishes a session whose closing request ended before it was done.
    ///
    /// # Errors
    ///
    /// [`UploadError::Unknown`] if it is not about to become `digest`.
    pub(crate) async fn publish_again(
        &self,
        name: &Name,
        id: &SessionId,
        digest: &Digest,
    ) -> Result<(), UploadError> {
        let slot = self.slot(id);
        let waiting = slot.take_over().await?;
        let read = self.read::<SessionRecord>(&key::session(id)).await?;
        let (record, version) = read.ok_or(UploadError::Unknown)?;
        match &record.phase {
            Phase::Done(done) if done == digest => return Ok(()),
            Phase::Committing(wanted) if wanted == digest => {}
            _ => return Err(UploadError::Unknown),
        }
        let mut held = Held {
            store: self,
            id,
            slot: &slot,
            waiting,
            claim: Claim::Read(Condition::Is(version)),
            algorithm: record.algorithm,
        };
        // Whoever is at it now shall not have the last word about the record.
        let (phase, resume) = (record.phase.clone(), record.resume.clone());
        held.write(phase, record.offset_bytes, resume).await?;
        held.open("", &record, Some(0)).await?;
        held.publish_prepared(name, digest, true).await
    }

    /// Records the end of a session and, if it `leaves` anything staged, forgets that.
    async fn end(&self, id: &SessionId, phase: Phase, leaves: bool) -> Result<(), UploadError> {
        let nothing = (0, Algorithm::Sha256);
        let record = self.session_record(phase, nothing, Resume::default());
        // Whatever another request made of the record meanwhile: it says the same, or is wrong.
        self.write_session(id, &record, Condition::Any).await?;
        self.drop_slot(id);
        if leaves {
            self.data.discard(id, None).await?;
        }
        Ok(())
    }
}

impl<'a> Held<'a> {
    /// Makes sure that the bytes of `record` are open; those that wait are good if they belong to
    /// the record that was read.
    async fn open(
        &mut self,
        read_nonce: &str,
        record: &SessionRecord,
        expected_bytes: Option<u64>,
    ) -> Result<(), UploadError> {
        let offset = record.offset_bytes;
        let is_same =
            |waiting: &Waiting| waiting.nonce == read_nonce && waiting.staged.offset() == offset;
        if self.waiting.as_ref().is_some_and(is_same) {
            return Ok(());
        }
        let stage = Stage {
            session: Some(self.id.clone()),
            offset,
            resume: record.resume.clone(),
            expected_bytes,
            ..Stage::anonymous(self.algorithm)
        };
        let staged = match self.store.data.stage(stage).await {
            Ok(staged) => staged,
            // The file went on its way to a blob when the process died, or by hand.
            Err(StorageError::Missing(_)) => return Err(UploadError::Unknown),
            Err(error) => return Err(error.into()),
        };
        *self.waiting = Some(Waiting {
            staged,
            nonce: String::new(),
        });
        Ok(())
    }

    fn staged(&mut self) -> &mut dyn Staged {
        let waiting = self.waiting.as_mut();
        &mut *waiting
            .expect("a held session has its bytes open until it is closed")
            .staged
    }

    /// Returns how many bytes are there.
    ///
    /// # Panics
    ///
    /// After [`Self::close`], as everything below.
    pub(crate) fn offset(&mut self) -> u64 {
        self.staged().offset()
    }

    /// Returns what to wait for besides the next piece: a newer request wants the session.
    pub(crate) fn stop(&self) -> tokio::sync::futures::Notified<'a> {
        self.slot.stop.notified()
    }

    /// Closes the bytes: they are spoiled, or published.
    pub(crate) fn close(&mut self) {
        self.waiting.take();
    }

    /// Waits until bytes may come; returns how many.
    pub(crate) async fn ready(&mut self) -> Result<u64, UploadError> {
        Ok(self.staged().ready().await?)
    }

    /// Appends `pieces`, and saves now and then.
    pub(crate) async fn append(&mut self, pieces: Vec<bytes::Bytes>) -> Result<(), UploadError> {
        self.staged().append(pieces).await?;
        if self.staged().is_due() {
            self.checkpoint().await?;
        }
        Ok(())
    }

    /// Gives back what others wait for.
    pub(crate) async fn pause(&mut self) -> Result<(), UploadError> {
        Ok(self.staged().pause().await?)
    }

    /// Makes everything appended durable and says so in the record; the bytes wait for the next
    /// request then, or are closed if the record tells all about them.
    pub(crate) async fn save(&mut self) -> Result<u64, UploadError> {
        let offset = self.offset();
        let saved = self.checkpoint().await;
        if !matches!(saved, Ok(true)) {
            self.close();
        }
        saved.map(|_| offset)
    }

    /// Returns whether the bytes are worth keeping open.
    async fn checkpoint(&mut self) -> Result<bool, UploadError> {
        let resume = self.staged().checkpoint().await?;
        let (offset, stays) = (self.offset(), resume.is_empty());
        self.write(Phase::Open, offset, resume).await?;
        Ok(stays)
    }

    /// Writes the record if the one before it is still there.
    async fn write(&mut self, phase: Phase, at: u64, resume: Resume) -> Result<(), UploadError> {
        let condition = match &self.claim {
            Claim::Read(condition) => condition.clone(),
            Claim::Wrote(nonce) => {
                let key = key::session(self.id);
                match self.store.read::<SessionRecord>(&key).await? {
                    Some((record, version)) if record.nonce == *nonce => Condition::Is(version),
                    _ => return Err(UploadError::Busy),
                }
            }
        };
        let at = (at, self.algorithm);
        let record = self.store.session_record(phase, at, resume);
        self.store
            .write_session(self.id, &record, condition)
            .await?;
        if let Some(waiting) = self.waiting.as_mut() {
            waiting.nonce.clone_from(&record.nonce);
        }
        self.claim = Claim::Wrote(record.nonce);
        Ok(())
    }

    /// Publishes the bytes and gives them to `name`; the session has ended then.
    ///
    /// # Errors
    ///
    /// [`StorageError::WrongDigest`] if they are others: the session has ended too.
    pub(crate) async fn publish(mut self, name: &Name, digest: &Digest) -> Result<(), UploadError> {
        let _first = self.store.precedence.enter();
        let offset = self.offset();
        if self.is_unrecorded() {
            self.write(Phase::Open, 0, Resume::default()).await?;
        }
        let prepared = match self.staged().prepare(digest).await {
            Ok(prepared) => prepared,
            Err(error) => return Err(self.spoiled(error).await),
        };
        let is_prepared = prepared.is_some();
        if let Some(resume) = prepared {
            let phase = Phase::Committing(digest.clone());
            self.write(phase, offset, resume).await?;
        }
        self.publish_prepared(name, digest, is_prepared).await
    }

    /// Tells whether a record must come before anything else is stored.
    fn is_unrecorded(&self) -> bool {
        let is_absent = matches!(self.claim, Claim::Read(Condition::Absent));
        is_absent && self.store.data.unclaimed_max_bytes() < u64::MAX
    }

    async fn publish_prepared(
        mut self,
        name: &Name,
        digest: &Digest,
        is_prepared: bool,
    ) -> Result<(), UploadError> {
        let (size_bytes, began) = (self.offset(), self.store.now());
        let publication = match self.staged().publish(digest).await {
            Ok(publication) => publication,
            Err(error) => return Err(self.spoiled(error).await),
        };
        if self.store.now() > began.saturating_add(COMMIT_SECONDS) {
            return Err(UploadError::Busy);
        }
        self.store
            .add_blob(name, digest, size_bytes, publication)
            .await?;
        self.close();
        let done = Phase::Done(digest.clone());
        self.store.end(self.id, done, !is_prepared).await
    }

    /// Ends the session if its bytes are not what they should be.
    async fn spoiled(&mut self, error: StorageError) -> UploadError {
        self.close();
        if matches!(error, StorageError::WrongDigest { .. })
            && let Err(error) = self.store.end(self.id, Phase::Cancelled, true).await
        {
            return error;
        }
        error.into()
    }
}
