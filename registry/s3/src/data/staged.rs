// SPDX-License-Identifier: Apache-2.0
//! Bytes on their way into a bucket: hashed, cut into parts, completed once they are verified.
//!
//! What fits into one part is one PUT, after it was verified. What does not is a multipart upload,
//! which nobody can read before it is completed, and that happens after the digest is known to be
//! right: no byte is copied to become visible, and no wrong byte ever is.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use oci::{Algorithm, Digest};
use registry::storage::data::{Answer, Publication, Resume, Stage, Staged};
use registry::storage::{Guard, Location, SessionId, StorageError};

use super::hash::Hash;
use super::janitor::Litter;
use super::multipart::{Multipart, PARTS_MAX};
use super::object::{self, Reader};
use super::payload::Payload;
use super::pool::{Buffer, SMALL_BYTES, full};
use super::resume::{Sealed, State};
use super::tail::Tail;
use super::{ANONYMOUS, Shared, folder, fresh_name};

/// After how many parts a session is worth a checkpoint.
const DUE_PARTS: u64 = 8;
/// After what time it is.
const DUE: Duration = Duration::from_secs(10);
/// What part sizes are rounded up to.
const PART_STEP_BYTES: u64 = 1 << 20;

/// Bytes staged for a bucket.
#[derive(Debug)]
pub(super) struct BucketStaged {
    shared: Arc<Shared>,
    session: Option<SessionId>,
    digest: Option<Digest>,
    /// None while a blocking task has it, and for good after that task failed.
    hash: Option<Hash>,
    offset: u64,
    /// How many bytes there will be, if known.
    expected: Option<u64>,
    part_bytes: usize,
    upload: Option<Multipart>,
    tail: Tail,
    stale: Vec<String>,
    sealed: Option<Sealed>,
    /// Where the last checkpoint was, and when.
    saved: (u64, Instant),
    is_published: bool,
}

impl BucketStaged {
    /// Opens what `stage` says.
    pub(super) fn open(shared: &Arc<Shared>, stage: Stage) -> Result<Self, StorageError> {
        let found = State::read(&stage.resume, stage.offset)?;
        let lost = || StorageError::Missing("hash state of an upload".into());
        let hash = match (&found, &stage.session) {
            (None, None) => Hash::fast(stage.algorithm),
            (None, Some(_)) => Hash::new(stage.algorithm),
            (Some(old), _) => old
                .hash
                .as_deref()
                .and_then(|text| Hash::restore(stage.algorithm, text))
                .ok_or_else(lost)?,
        };
        let old = match found {
            Some(old) => old,
            None => State {
                part_bytes: part_bytes(shared, stage.expected_bytes.unwrap_or_default()),
                ..State::default()
            },
        };
        let inline = old.inline()?;
        let resumed = |progress| Multipart::resume(&shared.bucket, progress);
        Ok(Self {
            shared: Arc::clone(shared),
            session: stage.session,
            digest: stage.digest,
            hash: Some(hash),
            offset: stage.offset,
            expected: stage
                .expected_bytes
                .map(|more| stage.offset.saturating_add(more)),
            part_bytes: usize::try_from(old.part_bytes).map_err(|_| lost())?,
            upload: old.upload.map(resumed),
            tail: Tail::new(&shared.pool, old.scraps, inline),
            stale: old.stale,
            sealed: old.sealed,
            saved: (stage.offset, Instant::now()),
            is_published: false,
        })
    }

    /// Returns a new key for the bytes.
    fn key(&self) -> String {
        match (&self.session, &self.digest) {
            (None, Some(digest)) => {
                let (algorithm, hex) = (digest.algorithm(), digest.hex());
                format!("d/k/{algorithm}/{hex}/{}", fresh_name())
            }
            (None, None) => format!("d/k/-/{}", fresh_name()),
            (Some(session), _) => scrap_key(Some(session)),
        }
    }

    async fn take_in(&mut self, pieces: Vec<Bytes>) -> Result<(), StorageError> {
        if self.sealed.is_some() {
            return Err(StorageError::Missing("an upload that is still open".into()));
        }
        let mut pieces = VecDeque::from(pieces);
        pieces.retain(|piece| !piece.is_empty());
        while !pieces.is_empty() {
            let (buffer, room) = self.room().await?;
            let now = split(&mut pieces, room);
            self.absorb(buffer, now).await?;
            if self.tail.len() == self.part_bytes {
                self.ship().await?;
            }
        }
        Ok(())
    }

    /// Returns a buffer, and how many bytes go into it before the part is full.
    async fn room(&mut self) -> Result<(Buffer, usize), StorageError> {
        let tail = self.tail.len();
        // A client that sends more than it announced may send anything.
        let left = self.left().filter(|left| *left > 0);
        let left = left.map_or(self.part_bytes, |left| {
            usize::try_from(left).unwrap_or(usize::MAX)
        });
        // Of an unknown length the first bytes tell nothing about the rest.
        let unknown = self.expected.is_none() && tail < SMALL_BYTES;
        let wanted = if unknown {
            tail
        } else {
            tail.saturating_add(left)
        };
        let wanted = wanted.min(self.part_bytes);
        let buffer = self.tail.room(&self.shared.bucket, wanted).await?;
        let room = buffer.room().min(self.part_bytes - tail);
        Ok((buffer, room))
    }

    /// How many bytes are still to come, if known.
    fn left(&self) -> Option<u64> {
        self.expected.map(|end| end.saturating_sub(self.offset))
    }

    async fn make_room(&mut self) -> Result<u64, StorageError> {
        if self.sealed.is_some() || self.left() == Some(0) {
            return Ok(u64::MAX);
        }
        let (buffer, room) = self.room().await?;
        self.tail.put_back(buffer);
        Ok(room as u64)
    }

    /// Hashes and keeps `pieces`, off the threads that serve connections.
    async fn absorb(&mut self, mut buffer: Buffer, pieces: Vec<Bytes>) -> Result<(), StorageError> {
        let gone = || StorageError::Missing("staged bytes after an error".into());
        let mut hash = self.hash.take().ok_or_else(gone)?;
        let task = tokio::task::spawn_blocking(move || {
            let mut count = 0;
            for piece in &pieces {
                hash.update(piece);
                buffer.extend(piece)?;
                count += piece.len() as u64;
            }
            Ok((hash, buffer, count))
        });
        let (hash, buffer, count) = task.await.map_err(|_| gone())?.map_err(full)?;
        self.hash = Some(hash);
        self.tail.put_back(buffer);
        self.offset += count;
        Ok(())
    }

    /// Sends the tail as the next part.
    async fn ship(&mut self) -> Result<(), StorageError> {
        let (bytes, scraps) = self.tail.take(&self.shared.bucket).await?;
        self.stale.extend(scraps.into_iter().map(|scrap| scrap.key));
        let mut upload = match self.upload.take() {
            Some(upload) => upload,
            None => Multipart::create(&self.shared.bucket, self.key()).await?,
        };
        let sent = upload.send(bytes).await;
        self.upload = Some(upload);
        sent
    }

    async fn settle(&mut self) -> Result<(), StorageError> {
        match &mut self.upload {
            Some(upload) => upload.settle().await,
            None => Ok(()),
        }
    }

    async fn put_away(&mut self) -> Result<(), StorageError> {
        let session = self.session.clone();
        let name = || scrap_key(session.as_ref());
        self.tail.put_away(&self.shared.bucket, name).await
    }

    fn state(&self) -> State {
        let mut state = State {
            offset_bytes: self.offset,
            part_bytes: self.part_bytes as u64,
            hash: self.hash.as_ref().and_then(Hash::save),
            upload: self.upload.as_ref().map(|upload| upload.progress().clone()),
            scraps: self.tail.scraps().to_vec(),
            stale: self.stale.clone(),
            sealed: self.sealed.clone(),
            ..State::default()
        };
        state.set_inline(self.tail.inline());
        state
    }

    async fn save(&mut self) -> Result<Resume, StorageError> {
        self.settle().await?;
        self.put_away().await?;
        // What is stale stays in the list until the session ends: the record that needs it may be
        // the last one that is written.
        self.saved = (self.offset, Instant::now());
        Ok(self.state().write())
    }

    /// Brings all bytes to where [`Self::complete`] only has to make them visible.
    async fn seal(&mut self, digest: &Digest) -> Result<Sealed, StorageError> {
        if let Some(sealed) = &self.sealed {
            return Ok(sealed.clone());
        }
        self.settle().await?;
        let gone = || StorageError::Missing("staged bytes after an error".into());
        let hash = self.hash.as_ref().ok_or_else(gone)?;
        let is_same = hash.algorithm() == digest.algorithm();
        if is_same {
            check(digest, hash.digest())?;
        }
        let location = if self.upload.is_some() {
            if self.tail.len() > 0 {
                self.ship().await?;
                self.settle().await?;
            }
            let upload = self.upload.as_ref().expect("is there, see above");
            upload.progress().key.clone()
        } else {
            self.put_whole(digest, is_same).await?
        };
        let sealed = Sealed {
            digest: digest.clone(),
            location,
            is_verified: is_same || self.upload.is_none(),
        };
        self.sealed = Some(sealed.clone());
        Ok(sealed)
    }

    /// Makes one object of bytes that fit into one.
    async fn put_whole(
        &mut self,
        digest: &Digest,
        is_verified: bool,
    ) -> Result<String, StorageError> {
        if let ([scrap], true) = (self.tail.scraps(), is_verified)
            && scrap.size_bytes == self.offset
            && self.session.is_some()
        {
            // All of it is an object already.
            return Ok(scrap.key.clone());
        }
        let (bytes, scraps) = self.tail.take(&self.shared.bucket).await?;
        self.stale.extend(scraps.into_iter().map(|scrap| scrap.key));
        if !is_verified {
            check(digest, hash_all(digest.algorithm(), bytes.clone()).await?)?;
        }
        if self.digest.is_none() {
            self.digest = Some(digest.clone());
        }
        let key = self.key();
        object::put(&self.shared.bucket, &key, bytes).await?;
        Ok(key)
    }

    async fn complete(&mut self, digest: &Digest) -> Result<Publication, StorageError> {
        let sealed = self.seal(digest).await?;
        if sealed.digest != *digest {
            return Err(StorageError::WrongDigest {
                expected: digest.clone(),
                actual: sealed.digest,
            });
        }
        if let Some(upload) = &self.upload {
            upload.complete(self.offset).await?;
        }
        if !sealed.is_verified
            && let Err(error) = self.read_back(digest, &sealed.location).await
        {
            if matches!(error, StorageError::WrongDigest { .. }) {
                object::delete(&self.shared.bucket, &sealed.location).await?;
            }
            return Err(error);
        }
        self.is_published = true;
        let scraps = self.tail.scraps().iter().map(|scrap| scrap.key.clone());
        let mut litter: Vec<String> = self.stale.drain(..).chain(scraps).collect();
        litter.retain(|key| *key != sealed.location);
        self.shared.janitor.take(Litter::Objects(litter));
        Ok(Publication {
            location: Location(sealed.location.into()),
            guard: Guard::not_needed(),
        })
    }

    /// Hashes what was completed under an algorithm that nobody had announced.
    async fn read_back(&self, digest: &Digest, key: &str) -> Result<(), StorageError> {
        let mut hash = Hash::fast(digest.algorithm());
        let mut reader = Reader::open(&self.shared.bucket, key, 0..self.offset).await?;
        while let Some(piece) = reader.next().await? {
            let task = tokio::task::spawn_blocking(move || {
                hash.update(&piece);
                hash
            });
            let gone = |_| StorageError::Missing("blocking pool".into());
            hash = task.await.map_err(gone)?;
        }
        check(digest, hash.digest())
    }
}

impl Staged for BucketStaged {
    fn offset(&self) -> u64 {
        self.offset
    }

    fn ready(&mut self) -> Answer<'_, u64> {
        Box::pin(self.make_room())
    }

    fn append(&mut self, pieces: Vec<Bytes>) -> Answer<'_, ()> {
        Box::pin(self.take_in(pieces))
    }

    fn checkpoint(&mut self) -> Answer<'_, Resume> {
        Box::pin(self.save())
    }

    fn is_due(&self) -> bool {
        let (offset, at) = self.saved;
        let came = self.offset - offset;
        let part = self.part_bytes as u64;
        came >= DUE_PARTS * part || (came >= part && at.elapsed() >= DUE)
    }

    fn pause(&mut self) -> Answer<'_, ()> {
        Box::pin(self.put_away())
    }

    fn prepare<'a>(&'a mut self, digest: &'a Digest) -> Answer<'a, Option<Resume>> {
        Box::pin(async move {
            self.seal(digest).await?;
            Ok(Some(self.state().write()))
        })
    }

    fn is_known_as(&self, digest: &Digest) -> bool {
        let hash = self.hash.as_ref();
        hash.is_some_and(|hash| hash.algorithm() == digest.algorithm() && hash.digest() == *digest)
    }

    fn publish<'a>(&'a mut self, digest: &'a Digest) -> Answer<'a, Publication> {
        Box::pin(self.complete(digest))
    }
}

impl Drop for BucketStaged {
    fn drop(&mut self) {
        if self.session.is_some() || self.is_published {
            return;
        }
        // No record leads to anonymous bytes.
        let scraps = self.tail.scraps().iter().map(|scrap| scrap.key.clone());
        let objects = self.stale.drain(..).chain(scraps).collect();
        self.shared.janitor.take(Litter::Objects(objects));
        if let Some(upload) = &self.upload {
            let progress = upload.progress().clone();
            self.shared.janitor.take(Litter::Upload(progress));
        }
    }
}

/// Returns how large the parts of an upload of `expected` bytes are.
fn part_bytes(shared: &Shared, expected: u64) -> u64 {
    let needed = expected.div_ceil(PARTS_MAX as u64);
    let needed = needed.next_multiple_of(PART_STEP_BYTES);
    let most = shared.pool.part_max_bytes() as u64;
    needed.clamp(shared.part_bytes, most.max(shared.part_bytes))
}

fn check(expected: &Digest, actual: Digest) -> Result<(), StorageError> {
    if actual == *expected {
        return Ok(());
    }
    Err(StorageError::WrongDigest {
        expected: expected.clone(),
        actual,
    })
}

async fn hash_all(algorithm: Algorithm, bytes: Payload) -> Result<Digest, StorageError> {
    let task = tokio::task::spawn_blocking(move || {
        let mut hash = Hash::fast(algorithm);
        for piece in bytes.pieces() {
            hash.update(piece);
        }
        hash.digest()
    });
    let gone = |_| StorageError::Missing("blocking pool".into());
    task.await.map_err(gone)
}

/// Returns a new key for something in between.
fn scrap_key(session: Option<&SessionId>) -> String {
    match session {
        Some(session) => format!("{}{}", folder(session), fresh_name()),
        None => format!("{ANONYMOUS}{}", fresh_name()),
    }
}

/// Takes up to `room` bytes off the front.
fn split(pieces: &mut VecDeque<Bytes>, mut room: usize) -> Vec<Bytes> {
    let mut taken = Vec::new();
    while let Some(mut piece) = pieces.pop_front() {
        if piece.len() > room {
            let front = piece.split_to(room);
            if !front.is_empty() {
                taken.push(front);
            }
            pieces.push_front(piece);
            break;
        }
        room -= piece.len();
        taken.push(piece);
    }
    taken
}
