// SPDX-License-Identifier: Apache-2.0
//! Both traits in memory, for tests: as strict as the traits allow an implementation to be.
//!
//! A write that meets a conflict leaves the steps before it applied, as a bucket would; data keys
//! are never used twice; staged bytes that were not checkpointed are gone when dropped.

use std::collections::{BTreeMap, HashMap};
use std::ops::{Bound, Range};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use oci::Digest;

use super::data::{self, Answer, Data, Guard, Location, Publication, Resume, Stage, Staged};
use super::error::StorageError;
use super::manifest::digest_of;
use super::meta::{Condition, LIST_MAX, Listed, Meta, Version, Write};
use super::session::SessionId;

/// A record with its version.
type Record = (Vec<u8>, u64);

/// Names in memory.
#[derive(Debug, Default)]
pub struct MemoryMeta {
    /// The records, and the last version given out.
    state: Mutex<(BTreeMap<String, Record>, u64)>,
}

#[cfg(test)]
impl MemoryMeta {
    /// Returns the last version given out: whether anything was written.
    pub(crate) fn last_version(&self) -> u64 {
        lock(&self.state).1
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no code panics under this lock")
}

fn version(number: u64) -> Version {
    Version(number.to_string().into())
}

impl Meta for MemoryMeta {
    fn get<'a>(&'a self, key: &'a str) -> Answer<'a, Option<(Vec<u8>, Version)>> {
        let state = lock(&self.state);
        let found = state.0.get(key);
        let found = found.map(|(bytes, number)| (bytes.clone(), version(*number)));
        Box::pin(async move { Ok(found) })
    }

    fn write(&self, steps: Vec<Write>) -> Answer<'_, ()> {
        Box::pin(async move {
            for step in steps {
                // One step at a time: others may come between two.
                tokio::task::yield_now().await;
                let mut state = lock(&self.state);
                let found = state.0.get(step.key()).map(|(_, number)| version(*number));
                let holds = match step.condition() {
                    Condition::Any => true,
                    Condition::Absent => found.is_none(),
                    Condition::Is(version) => found.as_ref() == Some(version),
                };
                if !holds {
                    return Err(StorageError::Conflict(step.key().to_owned()));
                }
                state.1 += 1;
                let number = state.1;
                match step {
                    Write::Put(key, bytes, _) => {
                        state.0.insert(key, (bytes, number));
                    }
                    Write::Delete(key, _) => {
                        state.0.remove(&key);
                    }
                    Write::Require(..) => {}
                }
            }
            Ok(())
        })
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: &'a str,
        limit: usize,
    ) -> Answer<'a, Vec<Listed>> {
        let state = lock(&self.state);
        let start = after.max(prefix);
        let range = (Bound::Excluded(start), Bound::Unbounded);
        let listed = state.0.range::<str, _>(range);
        let listed = listed.take_while(|(key, _)| key.starts_with(prefix));
        let listed = listed.take(limit.min(LIST_MAX));
        let listed = listed.map(|(key, (bytes, number))| Listed {
            key: key.clone(),
            version: version(*number),
            written_at: 0,
            size_bytes: bytes.len() as u64,
        });
        let listed = listed.collect();
        Box::pin(async move { Ok(listed) })
    }
}

#[derive(Debug, Default)]
struct Content {
    published: HashMap<Location, Bytes>,
    staged: BTreeMap<SessionId, Vec<u8>>,
    keys: u64,
    removed: u64,
    #[cfg(test)]
    damaged: std::collections::HashSet<Location>,
}

/// Bytes in memory.
#[derive(Clone, Debug, Default)]
pub struct MemoryData {
    content: Arc<Mutex<Content>>,
}

#[cfg(test)]
impl MemoryData {
    /// Returns how many published byte strings there are.
    pub(crate) fn published(&self) -> usize {
        lock(&self.content).published.len()
    }

    /// Changes the first byte of what lies at `location`.
    pub(crate) fn damage(&self, location: &Location) {
        let mut content = lock(&self.content);
        content.removed += 1;
        content.damaged.insert(location.clone());
        let bytes = content.published.get_mut(location).expect("it is there");
        let mut changed = bytes.to_vec();
        changed[0] ^= 1;
        *bytes = changed.into();
    }

    /// Tells whether [`Self::damage`] was there.
    pub(crate) fn is_damaged(&self, location: &Location) -> bool {
        lock(&self.content).damaged.contains(location)
    }

    /// Returns how often anything was published or removed.
    pub(crate) fn changes(&self) -> u64 {
        let content = lock(&self.content);
        content.keys + content.removed
    }
}

#[derive(Debug)]
struct MemoryStaged {
    content: Arc<Mutex<Content>>,
    session: Option<SessionId>,
    bytes: Vec<u8>,
}

impl Staged for MemoryStaged {
    fn offset(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn append(&mut self, pieces: Vec<Bytes>) -> Answer<'_, ()> {
        for piece in pieces {
            self.bytes.extend_from_slice(&piece);
        }
        Box::pin(async { Ok(()) })
    }

    fn checkpoint(&mut self) -> Answer<'_, Resume> {
        if let Some(session) = &self.session {
            let mut content = lock(&self.content);
            content.staged.insert(session.clone(), self.bytes.clone());
        }
        Box::pin(async { Ok(Resume::default()) })
    }

    fn is_known_as(&self, digest: &Digest) -> bool {
        digest_of(digest.algorithm(), &self.bytes) == *digest
    }

    fn publish<'a>(&'a mut self, digest: &'a Digest) -> Answer<'a, Publication> {
        Box::pin(async move {
            let actual = digest_of(digest.algorithm(), &self.bytes);
            if actual != *digest {
                return Err(StorageError::WrongDigest {
                    expected: digest.clone(),
                    actual,
                });
            }
            let mut content = lock(&self.content);
            content.keys += 1;
            let location = Location(format!("d/{}", content.keys).into());
            let bytes = Bytes::copy_from_slice(&self.bytes);
            content.published.insert(location.clone(), bytes);
            Ok(Publication {
                location,
                guard: Guard::not_needed(),
            })
        })
    }
}

impl Data for MemoryData {
    fn stage(&self, stage: Stage) -> Answer<'_, Box<dyn Staged>> {
        Box::pin(async move {
            let mut bytes = Vec::new();
            if let Some(session) = &stage.session {
                let content = lock(&self.content);
                bytes = content.staged.get(session).cloned().unwrap_or_default();
            }
            let offset = usize::try_from(stage.offset).unwrap_or(usize::MAX);
            if bytes.len() < offset {
                return Err(StorageError::Missing("staged bytes".into()));
            }
            bytes.truncate(offset);
            Ok(Box::new(MemoryStaged {
                content: Arc::clone(&self.content),
                session: stage.session,
                bytes,
            }) as Box<dyn Staged>)
        })
    }

    fn discard<'a>(&'a self, session: &'a SessionId, _: Option<&'a Location>) -> Answer<'a, ()> {
        lock(&self.content).staged.remove(session);
        Box::pin(async { Ok(()) })
    }

    fn read<'a>(&'a self, location: &'a Location, range: Range<u64>) -> Answer<'a, data::Bytes> {
        Box::pin(async move {
            let content = lock(&self.content);
            let bytes = content.published.get(location);
            let bytes = bytes.ok_or_else(|| StorageError::Missing(location.to_string()))?;
            let at = |offset| {
                usize::try_from(offset)
                    .unwrap_or(usize::MAX)
                    .min(bytes.len())
            };
            let piece = bytes.slice(at(range.start)..at(range.end));
            Ok(data::Bytes::Whole(piece))
        })
    }

    fn size<'a>(&'a self, location: &'a Location) -> Answer<'a, Option<u64>> {
        let content = lock(&self.content);
        let size = content
            .published
            .get(location)
            .map(|bytes| bytes.len() as u64);
        let size = size.ok_or_else(|| StorageError::Missing(location.to_string()));
        Box::pin(async move { size.map(Some) })
    }

    fn lock<'a>(&'a self, _: &'a Location) -> Answer<'a, Guard> {
        Box::pin(async { Ok(Guard::not_needed()) })
    }

    fn delete<'a>(&'a self, location: &'a Location, _: &'a Guard) -> Answer<'a, ()> {
        let mut content = lock(&self.content);
        content.published.remove(location);
        content.removed += 1;
        drop(content);
        Box::pin(async { Ok(()) })
    }

    fn placed<'a>(&'a self, after: Option<&'a Location>) -> Answer<'a, Vec<data::Placed>> {
        let content = lock(&self.content);
        let placed = content
            .published
            .iter()
            .map(|(location, bytes)| data::Placed {
                location: location.clone(),
                digest: digest_of(oci::Algorithm::Sha256, bytes),
                size_bytes: bytes.len() as u64,
                written_at: 0,
            });
        let mut placed: Vec<_> = placed.collect();
        placed.sort_by_cached_key(|one| (one.digest.to_string(), one.location.0.clone()));
        // All of them are one page.
        placed.retain(|_| after.is_none());
        Box::pin(async move { Ok(placed) })
    }

    fn sessions(&self) -> Answer<'_, Vec<SessionId>> {
        let sessions = lock(&self.content).staged.keys().cloned().collect();
        Box::pin(async move { Ok(sessions) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::contract;

    #[tokio::test]
    async fn keeps_the_contracts() {
        contract::meta(&MemoryMeta::default()).await;
        contract::data(&MemoryData::default()).await;
    }
}
