// SPDX-License-Identifier: Apache-2.0
//! The trait for bytes: staged while they come, published under a digest once verified.
//!
//! Bytes are hashed as they are staged, never read again for it (except for an algorithm that was
//! not announced, and after a restart). Published bytes never change.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::io;
use std::ops::Range;
use std::pin::Pin;

use futures_util::Stream as FuturesStream;
use oci::{Algorithm, Digest};
use serde::{Deserialize, Serialize};

use super::error::StorageError;
use super::session::SessionId;

/// The answer of a store: boxed, so that servers need not be generic over the store.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, StorageError>> + Send + 'a>>;

/// Bytes as they are read, in order.
pub type Stream = Pin<Box<dyn FuturesStream<Item = io::Result<bytes::Bytes>> + Send>>;

/// Where published bytes lie; opaque, of the implementation.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Location(pub Box<str>);

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Bytes that were asked for.
pub enum Bytes {
    /// All of them; small content.
    Whole(bytes::Bytes),
    /// Piece by piece.
    Stream(Stream),
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(bytes) => write!(f, "Whole({} bytes)", bytes.len()),
            Self::Stream(_) => f.write_str("Stream"),
        }
    }
}

/// What a store needs to go on with a session that some process wrote before; opaque to everybody
/// else, who keep it in the session's record. Null where the session's id is enough.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Resume(pub serde_json::Value);

impl Resume {
    /// The longest that one may be as JSON: ten thousand parts of an object store, some hash
    /// state, and a few bytes that were not worth an object of their own.
    pub const SIZE_MAX_BYTES: usize = 1 << 20;

    /// Tells whether the store keeps all it needs to know by itself.
    pub fn is_empty(&self) -> bool {
        self.0.is_null()
    }
}

/// Which bytes to stage.
#[derive(Clone, Debug)]
pub struct Stage {
    /// Under which session they survive the process; none: they vanish unless published.
    pub session: Option<SessionId>,
    /// How many bytes the session already has (its last checkpoint).
    pub offset: u64,
    /// What that checkpoint returned.
    pub resume: Resume,
    /// The algorithm to hash with while they come.
    pub algorithm: Algorithm,
    /// The digest they are said to have, if they come all at once.
    pub digest: Option<Digest>,
    /// How many bytes will come now, if known: a full disk then shows at once.
    pub expected_bytes: Option<u64>,
}

impl Stage {
    /// Returns the stage of bytes that belong to no session.
    pub fn anonymous(algorithm: Algorithm) -> Self {
        Self {
            session: None,
            offset: 0,
            resume: Resume::default(),
            algorithm,
            digest: None,
            expected_bytes: None,
        }
    }

    /// Returns the stage of bytes that come all at once and are said to have `digest`.
    pub fn whole(digest: &Digest, expected_bytes: Option<u64>) -> Self {
        Self {
            digest: Some(digest.clone()),
            expected_bytes,
            ..Self::anonymous(digest.algorithm())
        }
    }
}

/// Keeps one location between a publisher and a collector apart: while one holds it, the other
/// waits. Empty where locations are never used twice.
pub struct Guard(Option<Box<dyn Any + Send + Sync>>);

impl Guard {
    /// Returns the guard of a store whose locations are never used twice.
    pub fn not_needed() -> Self {
        Self(None)
    }

    /// Tells whether anybody is kept out: the location can be used twice.
    pub fn is_held(&self) -> bool {
        self.0.is_some()
    }

    /// Returns a guard that lasts as long as `lock`.
    pub fn of(lock: impl Any + Send + Sync) -> Self {
        Self(Some(Box::new(lock)))
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Guard").field(&self.is_held()).finish()
    }
}

/// Published bytes.
#[derive(Debug)]
pub struct Publication {
    /// Where they lie.
    pub location: Location,
    /// Hold it until the records that name the bytes are written: nobody removes them before.
    pub guard: Guard,
}

/// Published bytes in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Where they lie.
    pub location: Location,
    /// The digest they were published under.
    pub digest: Digest,
    /// How many they are.
    pub size_bytes: u64,
    /// When they were published, in seconds since 1970, by the store's own clock.
    pub written_at: u64,
}

/// A file of another program, to be taken over as published bytes.
#[derive(Debug)]
pub struct Adopted {
    /// The file, open for reading; a regular one.
    pub file: std::fs::File,
    /// What it is said to be.
    pub digest: Digest,
    /// Whether the digest is believed where no byte has to be copied.
    pub is_trusted: bool,
}

/// Bytes on their way in: appended any number of times, then published or dropped.
///
/// Dropping leaves a session's bytes up to the last checkpoint, and of anonymous ones nothing.
pub trait Staged: fmt::Debug + Send {
    /// Returns how many bytes have been appended, those of earlier checkpoints included.
    fn offset(&self) -> u64;

    /// Waits until bytes may come, and returns how many [`Self::append`] then takes before it waits
    /// for memory. Whoever feeds an upload does not read more than that ahead: what waits, waits
    /// with the client.
    fn ready(&mut self) -> Answer<'_, u64> {
        Box::pin(async { Ok(u64::MAX) })
    }

    /// Appends and hashes `pieces`. After an error the staged bytes are of no further use.
    fn append(&mut self, pieces: Vec<bytes::Bytes>) -> Answer<'_, ()>;

    /// Makes everything appended durable, so that the session can go on from here, wherever the
    /// returned value is handed to [`Data::stage`] again. An older value may be of no use from
    /// then on only once the new one is recorded and something is appended.
    fn checkpoint(&mut self) -> Answer<'_, Resume>;

    /// Tells whether so much came since the last checkpoint that losing it would hurt.
    fn is_due(&self) -> bool {
        false
    }

    /// Gives back what other uploads wait for: the client sends nothing at the moment.
    fn pause(&mut self) -> Answer<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    /// Gets a session ready for [`Self::publish`]. Where that takes several steps, a stop between
    /// them must leave a trail: what is returned is recorded first, and stages the session again,
    /// to be published once more, any number of times.
    ///
    /// # Errors
    ///
    /// [`StorageError::WrongDigest`] if the bytes are already known to be others.
    fn prepare<'a>(&'a mut self, digest: &'a Digest) -> Answer<'a, Option<Resume>> {
        let _: &Digest = digest;
        Box::pin(async { Ok(None) })
    }

    /// Tells whether the bytes are known to be those of `digest` before they are published. False
    /// where finding out costs more than publishing does.
    fn is_known_as(&self, digest: &Digest) -> bool {
        let _ = digest;
        false
    }

    /// Makes the bytes durable and readable under `digest`.
    ///
    /// # Errors
    ///
    /// [`StorageError::WrongDigest`] if they are others; nothing becomes visible then.
    ///
    /// # Cancellation
    ///
    /// The bytes may or may not be published; nothing refers to them.
    fn publish<'a>(&'a mut self, digest: &'a Digest) -> Answer<'a, Publication>;
}

/// Where bytes are kept. Implementations run `contract::data`.
pub trait Data: fmt::Debug + Send + Sync + 'static {
    /// Returns how many bytes may be staged under a session that has no record yet, or whose
    /// record does not say who is writing.
    ///
    /// Where one process owns all sessions: any number. Where others go on with them, anything
    /// left behind must be found by a record, and two writers of one session must notice.
    fn unclaimed_max_bytes(&self) -> u64 {
        u64::MAX
    }

    /// Opens bytes for appending. Bytes of a session beyond `stage.offset` are forgotten.
    ///
    /// # Errors
    ///
    /// [`StorageError::Missing`] if the session has fewer bytes than `stage.offset`.
    fn stage(&self, stage: Stage) -> Answer<'_, Box<dyn Staged>>;

    /// Forgets what is staged under `session`, if anything, and what was published from it, but
    /// for `keep`, unless others may have come to own it (a path made of the digest).
    fn discard<'a>(&'a self, session: &'a SessionId, keep: Option<&'a Location>) -> Answer<'a, ()>;

    /// Returns an address where a client that has no account with the store can read published
    /// bytes for a while; none if it should read them here.
    fn link<'a>(&'a self, location: &'a Location, size_bytes: u64) -> Answer<'a, Option<String>> {
        let _: (&Location, u64) = (location, size_bytes);
        Box::pin(async { Ok(None) })
    }

    /// Returns `range` of the published bytes, which must lie within them.
    ///
    /// # Errors
    ///
    /// [`StorageError::Missing`] if nothing is at `location`.
    fn read<'a>(&'a self, location: &'a Location, range: Range<u64>) -> Answer<'a, Bytes>;

    /// Waits until nobody publishes at `location`, and keeps it so while the guard is held.
    ///
    /// A store whose locations are used again (a path made of the digest) needs it, because there
    /// the same location may have become somebody else's live bytes: look at the record again
    /// under the guard, then delete.
    fn lock<'a>(&'a self, location: &'a Location) -> Answer<'a, Guard>;

    /// Removes published bytes, under the guard of `location`. Readers that began keep reading.
    fn delete<'a>(&'a self, location: &'a Location, guard: &'a Guard) -> Answer<'a, ()>;

    /// Returns the sessions that have staged bytes, to sweep those without a record.
    fn sessions(&self) -> Answer<'_, Vec<SessionId>>;

    /// Returns published bytes whose location follows `after`, in the order of algorithm and hex of
    /// their digests; empty at the end. Left out are those that a session's record leads to.
    ///
    /// Only where bytes may be published and then forgotten without a trace: elsewhere it returns
    /// nothing.
    fn placed<'a>(&'a self, after: Option<&'a Location>) -> Answer<'a, Vec<Placed>> {
        let _: Option<&Location> = after;
        Box::pin(async { Ok(Vec::new()) })
    }

    /// Removes what belongs to no session and was staged before `before` (seconds since 1970, by
    /// the store's own clock) and not published: a process died. Returns how much.
    fn sweep(&self, before: u64) -> Answer<'_, usize> {
        let _: u64 = before;
        Box::pin(async { Ok(0) })
    }

    /// Returns how many bytes are at `location`, without reading them; none if that is not to be
    /// had.
    ///
    /// # Errors
    ///
    /// [`StorageError::Missing`] if nothing is at `location`.
    fn size<'a>(&'a self, location: &'a Location) -> Answer<'a, Option<u64>> {
        let _ = location;
        Box::pin(async { Ok(None) })
    }

    /// Takes damaged bytes out of the way, under the guard of `location`: from then on publishing
    /// there writes anew, and reading finds nothing. A store may keep them for people to look at.
    fn set_aside<'a>(&'a self, location: &'a Location, guard: &'a Guard) -> Answer<'a, ()> {
        self.delete(location, guard)
    }

    /// Returns the first published bytes after the location `after` (empty: from the first) in an
    /// order of the store's own; none at the end.
    ///
    /// Only of stores whose locations can be used again, so that publishing holds a guard: there
    /// whoever has the guard sees the record that names the bytes, or nobody ever will. Others
    /// answer with nothing.
    fn published<'a>(&'a self, after: &'a str) -> Answer<'a, Vec<Placed>> {
        let _ = after;
        Box::pin(async { Ok(Vec::new()) })
    }

    /// Publishes the bytes of a file that somebody else wrote, without copying them if possible.
    ///
    /// # Errors
    ///
    /// [`StorageError::WrongDigest`] if it has other bytes; nothing becomes visible then.
    fn adopt(&self, adopted: Adopted) -> Answer<'_, Publication> {
        Box::pin(super::adopt::copy(self, adopted))
    }
}
