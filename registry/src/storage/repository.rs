// SPDX-License-Identifier: Apache-2.0
//! Which blobs a repository has: publish, mount, look up, delete.
//!
//! The publisher's half of the garbage collection protocol: write the marker, then see (in the
//! same ordered write) that the content has not changed since it was read, then the membership. A
//! collector condemns before it looks for markers a second time, so one of the two notices.

use oci::Digest;

use super::data::{Bytes, Location, Publication};
use super::error::StorageError;
use super::key;
use super::meta::{Condition, LIST_MAX, Version, Write};
use super::record::{self, Content, Membership, Origin, State};
use super::store::{RACES_MAX, Store, nonce};
use crate::endpoint::Name;

/// After how many seconds a membership that is used again is confirmed anew, so that the collector
/// sees it as young. Ours: half the least grace period that garbage collection will have.
const CONFIRM_AFTER_SECONDS: u64 = 30 * 60;
/// How many markers an anonymous mount looks at.
const MOUNT_CANDIDATES_MAX: usize = LIST_MAX;

/// A blob that a repository may serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// How many bytes.
    pub size_bytes: u64,
    /// Where they lie.
    pub location: Location,
}

/// How a mount ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mounted {
    /// The repository has the blob now.
    Yes,
    /// There was nothing to mount, or nothing that may be told of.
    No,
}

/// Content as a publisher knows it: what the records must say when it is done.
pub(crate) struct Found {
    pub(crate) size_bytes: u64,
    pub(crate) location: Location,
}

impl Store {
    /// Returns the blob `digest` of `name`, or none.
    ///
    /// # Errors
    ///
    /// Whatever the metadata reports.
    pub async fn blob(&self, name: &Name, digest: &Digest) -> Result<Option<Blob>, StorageError> {
        let found = self.membership(name, digest).await?;
        Ok(found.map(|(membership, _)| Blob {
            size_bytes: membership.size_bytes,
            location: membership.location,
        }))
    }

    /// Returns the bytes `range` of a blob.
    ///
    /// # Errors
    ///
    /// [`StorageError::Missing`] if the content was collected meanwhile.
    pub async fn read_blob(
        &self,
        blob: &Blob,
        range: std::ops::Range<u64>,
    ) -> Result<Bytes, StorageError> {
        self.data.read(&blob.location, range).await
    }

    /// Returns the membership if readers may see it, rescuing it if it is condemned: who was told
    /// "it exists" may rely on it.
    pub(crate) async fn membership(
        &self,
        name: &Name,
        digest: &Digest,
    ) -> Result<Option<(Membership, Version)>, StorageError> {
        let key = key::membership(name, digest);
        for _ in 0..RACES_MAX {
            let Some((mut membership, version)) = self.read::<Membership>(&key).await? else {
                return Ok(None);
            };
            match membership.state {
                State::Live => return Ok(Some((membership, version))),
                State::Dead => return Ok(None),
                State::Condemned => {}
                State::Quarantined => {
                    // Its marker has kept the content from the collector all the time, so bytes
                    // that somebody has brought since are this repository's too.
                    let content = self.read::<Content>(&key::content(digest)).await?;
                    let content = content.filter(|(content, _)| content.state.is_readable());
                    let Some((content, _)) = content else {
                        return Ok(None);
                    };
                    membership.location = content.location;
                }
            }
            membership.state = State::Live;
            membership.nonce = nonce();
            membership.at = self.now();
            let bytes = record::encode(&membership);
            let put = Write::Put(key.clone(), bytes, Condition::Is(version));
            self.write_or_lose(vec![put]).await?;
        }
        Err(StorageError::Contended(key))
    }

    /// Gives `name` the blob `digest`, whose bytes were published just now.
    ///
    /// # Errors
    ///
    /// Whatever the metadata reports; the content may be left without a member.
    pub async fn add_blob(
        &self,
        name: &Name,
        digest: &Digest,
        size_bytes: u64,
        publication: Publication,
    ) -> Result<(), StorageError> {
        let found = Found {
            size_bytes,
            location: publication.location.clone(),
        };
        let mut is_spent = false;
        for _ in 0..RACES_MAX {
            let mut steps = Vec::with_capacity(4);
            let fresh = (!is_spent).then_some(&found);
            let location = self.claim_content(digest, fresh, &mut steps).await?;
            let Some(location) = location else {
                return Err(StorageError::Contended(key::content(digest)));
            };
            let member = Found {
                size_bytes,
                location,
            };
            self.claim_membership(name, digest, &member, Origin::Upload, &mut steps)
                .await?;
            match self.meta.write(steps).await {
                Ok(()) => return self.drop_unused(publication, &member.location).await,
                Err(StorageError::Conflict(at)) => {
                    is_spent |= member.location == publication.location
                        && self.may_have_used(&publication, digest, &at);
                }
                Err(error) => return Err(error),
            }
        }
        Err(StorageError::Contended(digest.to_string()))
    }

    /// Tells whether a write that stopped at the key `at` may have made a record name the
    /// publication: from then on the bytes live and die with that record, and may be gone.
    pub(crate) fn may_have_used(
        &self,
        publication: &Publication,
        digest: &Digest,
        at: &str,
    ) -> bool {
        let came_so_far = at != key::content(digest) && !self.meta.is_atomic();
        came_so_far && !publication.guard.is_held()
    }

    /// Removes bytes that were published just now if others of the same digest are in use.
    ///
    /// Where locations are never used twice no record names ours then, and none will.
    pub(crate) async fn drop_unused(
        &self,
        publication: Publication,
        used: &Location,
    ) -> Result<(), StorageError> {
        if publication.location == *used {
            return Ok(());
        }
        self.data
            .delete(&publication.location, &publication.guard)
            .await
    }

    /// Gives `name` the blob `digest` of `from`, which the caller may pull.
    ///
    /// # Errors
    ///
    /// Whatever the metadata reports.
    pub async fn mount(
        &self,
        name: &Name,
        from: &Name,
        digest: &Digest,
    ) -> Result<Mounted, StorageError> {
        for _ in 0..RACES_MAX {
            let Some((source, _)) = self.membership(from, digest).await? else {
                return Ok(Mounted::No);
            };
            let mut steps = Vec::with_capacity(4);
            let Some(location) = self.claim_content(digest, None, &mut steps).await? else {
                return Ok(Mounted::No);
            };
            let found = Found {
                size_bytes: source.size_bytes,
                location,
            };
            let origin = Origin::Mount(from.to_string());
            self.claim_membership(name, digest, &found, origin, &mut steps)
                .await?;
            if self.write_or_lose(steps).await? {
                return Ok(Mounted::Yes);
            }
        }
        Err(StorageError::Contended(digest.to_string()))
    }

    /// Gives `name` the blob `digest` if its content is there already; false if not. For whoever
    /// has the bytes at hand and need not send them.
    ///
    /// # Errors
    ///
    /// Whatever the metadata reports.
    pub(crate) async fn share(&self, name: &Name, digest: &Digest) -> Result<bool, StorageError> {
        for _ in 0..RACES_MAX {
            let Some((content, _)) = self.read::<Content>(&key::content(digest)).await? else {
                return Ok(false);
            };
            let size_bytes = content.size_bytes;
            let mut steps = Vec::with_capacity(4);
            let Some(location) = self.claim_content(digest, None, &mut steps).await? else {
                return Ok(false);
            };
            let found = Found {
                size_bytes,
                location,
            };
            self.claim_membership(name, digest, &found, Origin::Upload, &mut steps)
                .await?;
            if self.write_or_lose(steps).await? {
                return Ok(true);
            }
        }
        Err(StorageError::Contended(digest.to_string()))
    }

    /// Returns repositories that have, or had until just now, the blob `digest`; at most a few
    /// hundred.
    ///
    /// # Errors
    ///
    /// Whatever the metadata reports.
    pub async fn repositories_with(&self, digest: &Digest) -> Result<Vec<Name>, StorageError> {
        let prefix = key::markers(digest);
        let listed = self.meta.list(&prefix, "", MOUNT_CANDIDATES_MAX).await?;
        let names = listed
            .iter()
            .filter_map(|line| key::marker_name(&line.key, &prefix));
        Ok(names.collect())
    }

    /// Takes the blob from `name`; false if it had none. Other repositories keep theirs.
    ///
    /// # Errors
    ///
    /// Whatever the metadata reports.
    pub async fn delete_blob(&self, name: &Name, digest: &Digest) -> Result<bool, StorageError> {
        let key = key::membership(name, digest);
        for _ in 0..RACES_MAX {
            let Some((mut membership, version)) = self.read::<Membership>(&key).await? else {
                return Ok(false);
            };
            if !membership.state.is_there() {
                return Ok(false);
            }
            let marker = key::marker(digest, name, membership.size_bytes, &membership.incarnation);
            membership.state = State::Dead;
            membership.nonce = nonce();
            membership.at = self.now();
            let steps = vec![
                Write::Put(
                    key.clone(),
                    record::encode(&membership),
                    Condition::Is(version),
                ),
                Write::Delete(marker, Condition::Any),
                Self::changed(name),
            ];
            if self.write_or_lose(steps).await? {
                return Ok(true);
            }
        }
        Err(StorageError::Contended(key))
    }

    /// Adds the step that makes sure the content is and stays live; `fresh` is what the caller has
    /// just published, if anything. Returns where the bytes lie; none if there is no content and
    /// nothing fresh.
    pub(crate) async fn claim_content(
        &self,
        digest: &Digest,
        fresh: Option<&Found>,
        steps: &mut Vec<Write>,
    ) -> Result<Option<Location>, StorageError> {
        let key = key::content(digest);
        let read = self.read::<Content>(&key).await?;
        let (found, version) = match (read, fresh) {
            (Some((content, version)), _) if content.state == State::Live => {
                steps.push(Write::Require(key, Condition::Is(version)));
                return Ok(Some(content.location));
            }
            (Some((content, version)), _) if content.state == State::Condemned => {
                let found = Found {
                    size_bytes: content.size_bytes,
                    location: content.location,
                };
                (found, Some(version))
            }
            (_, None) => return Ok(None),
            (read, Some(fresh)) => {
                let found = Found {
                    size_bytes: fresh.size_bytes,
                    location: fresh.location.clone(),
                };
                (found, read.map(|(_, version)| version))
            }
        };
        let content = Content {
            state: State::Live,
            size_bytes: found.size_bytes,
            location: found.location.clone(),
            nonce: nonce(),
        };
        let put = Write::Put(key, record::encode(&content), Condition::unchanged(version));
        steps.push(put);
        Ok(Some(found.location))
    }

    /// Adds the steps that give `name` the content: marker first, membership last. The step that
    /// [`Self::claim_content`] added moves between the two.
    async fn claim_membership(
        &self,
        name: &Name,
        digest: &Digest,
        found: &Found,
        origin: Origin,
        steps: &mut Vec<Write>,
    ) -> Result<(), StorageError> {
        let key = key::membership(name, digest);
        let read = self.read::<Membership>(&key).await?;
        let now = self.now();
        let (incarnation, version) = match read {
            None => (incarnation(), None),
            Some((old, version)) if old.state.is_readable() => {
                let young = now < old.at.saturating_add(CONFIRM_AFTER_SECONDS);
                if young && old.state == State::Live && old.location == found.location {
                    steps.push(Write::Require(key, Condition::Is(version)));
                    return Ok(());
                }
                (old.incarnation, Some(version))
            }
            Some((old, version)) if old.state.is_there() => (old.incarnation, Some(version)),
            Some((_, version)) => (incarnation(), Some(version)),
        };
        let marker = key::marker(digest, name, found.size_bytes, &incarnation);
        // The marker comes before the look at the content: see the header.
        steps.insert(0, Write::Put(marker, Vec::new(), Condition::Any));
        let membership = Membership {
            state: State::Live,
            incarnation,
            nonce: nonce(),
            size_bytes: found.size_bytes,
            location: found.location.clone(),
            origin,
            at: now,
        };
        steps.push(Write::Put(
            key,
            record::encode(&membership),
            Condition::unchanged(version),
        ));
        steps.push(Self::changed(name));
        Ok(())
    }

    /// Writes; false if a condition did not hold and the caller should look again.
    pub(crate) async fn write_or_lose(&self, steps: Vec<Write>) -> Result<bool, StorageError> {
        match self.meta.write(steps).await {
            Ok(()) => Ok(true),
            Err(StorageError::Conflict(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Returns a fresh incarnation of a membership.
fn incarnation() -> String {
    format!("{}{}", key::BLOB_INCARNATION, nonce())
}
