// SPDX-License-Identifier: Apache-2.0
//! Which blobs a repository has: publish, mount, look up, delete.
//!
//! The publisher's half of the garbage collection protocol: write the marker, then see (in the
//! same ordered write) that the content has not changed since it was read, then the membership. A
//! collector condemns before it looks for markers a second time, so one of the two notices.
//!
//! Where every step is a journey to a bucket, a new blob costs three in a row: its bytes, its marker
//! and a look at the records; the content record; the membership.

use oci::Digest;

use super::data::{Bytes, Location, Publication, Staged};
use super::error::StorageError;
use super::key;
use super::meta::{Condition, LIST_MAX, Version, Write};
use super::record::{self, Content, Membership, Origin, State};
use super::store::{RACES_MAX, Store, nonce};
use crate::endpoint::Name;

/// After how many seconds a membership that is used again is confirmed anew, so that the collector
/// sees it as young. Ours: half the least grace period that garbage collection will have.
const CONFIRM_AFTER_SECONDS: u64 = 30 * 60;
/// How long a publisher may take from its bytes to the record that names them. After that they may
/// be swept as forgotten, so it gives up.
pub(crate) const PUBLISH_SECONDS: u64 = 3600;
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

/// A marker that was written before anybody looked at the record it is for.
///
/// It counts only where that record was absent: a collector that removes a marker makes sure that
/// there is a (dead) record from then on, on whose version the publisher then stumbles.
pub(crate) struct Early {
    pub(crate) incarnation: String,
    pub(crate) key: String,
}

impl Early {
    pub(crate) fn put(&self) -> Write {
        Write::Put(self.key.clone(), Vec::new(), Condition::Any)
    }

    /// The step that removes it when its incarnation was not used, and so never will be.
    pub(crate) fn delete(&self) -> Write {
        Write::Delete(self.key.clone(), Condition::Any)
    }
}

/// The records of a blob as they were read.
struct Look {
    content: Option<(Content, Version)>,
    membership: Option<(Membership, Version)>,
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

    /// Returns where a client can read the blob without us for a while; none if it cannot.
    ///
    /// # Errors
    ///
    /// Whatever the store reports.
    pub async fn blob_link(&self, blob: &Blob) -> Result<Option<String>, StorageError> {
        self.data.link(&blob.location, blob.size_bytes).await
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

    /// Publishes what is staged as `digest` and gives it to `name`.
    ///
    /// # Errors
    ///
    /// [`StorageError::WrongDigest`] if the bytes are others, and whatever the traits report; the
    /// content may be left without a member.
    ///
    /// # Cancellation
    ///
    /// Bytes, content or marker may be left behind; nobody is told that the blob exists, unless
    /// all of it is there.
    pub async fn publish_blob(
        &self,
        name: &Name,
        digest: &Digest,
        staged: &mut dyn Staged,
    ) -> Result<(), StorageError> {
        let (size_bytes, began) = (staged.offset(), self.now());
        if self.meta.is_atomic() || !staged.is_known_as(digest) {
            let publication = staged.publish(digest).await?;
            return self.add_blob(name, digest, size_bytes, publication).await;
        }
        let incarnation = incarnation();
        let early = Early {
            key: key::marker(digest, name, size_bytes, &incarnation),
            incarnation,
        };
        let (publication, marked, look) = tokio::join!(
            staged.publish(digest),
            self.meta.write(vec![early.put()]),
            self.look(name, digest),
        );
        let publication = publication?;
        marked?;
        let looked = (early, look?);
        self.check_pace(began)?;
        self.add(name, digest, (size_bytes, publication), Some(looked))
            .await
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
        self.add(name, digest, (size_bytes, publication), None)
            .await
    }

    async fn add(
        &self,
        name: &Name,
        digest: &Digest,
        (size_bytes, publication): (u64, Publication),
        looked: Option<(Early, Look)>,
    ) -> Result<(), StorageError> {
        let found = Found {
            size_bytes,
            location: publication.location.clone(),
        };
        let (early, mut look) = looked.unzip();
        let mut is_spent = false;
        let began = self.now();
        for _ in 0..RACES_MAX {
            self.check_pace(began)?;
            let Look {
                content,
                membership,
            } = match look.take() {
                Some(look) => look,
                None => self.look(name, digest).await?,
            };
            let fresh = (!is_spent).then_some(&found);
            let Some((claim, location)) = claim_content(digest, content, fresh) else {
                return Err(StorageError::Contended(key::content(digest)));
            };
            let member = Found {
                size_bytes,
                location,
            };
            let origin = Origin::Upload;
            let stages =
                self.claim_membership((name, digest), &member, membership, (claim, origin, &early));
            match self.meta.write_stages(stages).await {
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

    /// Makes sure that what was published at `began` cannot have been swept yet.
    pub(crate) fn check_pace(&self, began: u64) -> Result<(), StorageError> {
        if self.now() > began.saturating_add(PUBLISH_SECONDS) {
            return Err(StorageError::Contended("of published bytes".into()));
        }
        Ok(())
    }

    /// Reads the records of a blob.
    async fn look(&self, name: &Name, digest: &Digest) -> Result<Look, StorageError> {
        let (content, membership) = (key::content(digest), key::membership(name, digest));
        let (content, membership) = tokio::join!(self.read(&content), self.read(&membership));
        Ok(Look {
            content: content?,
            membership: membership?,
        })
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
        let _first = self.precedence.enter();
        for _ in 0..RACES_MAX {
            let (source, look) =
                tokio::join!(self.membership(from, digest), self.look(name, digest));
            let (Some((source, _)), look) = (source?, look?) else {
                return Ok(Mounted::No);
            };
            let Some((claim, location)) = claim_content(digest, look.content, None) else {
                return Ok(Mounted::No);
            };
            let found = Found {
                size_bytes: source.size_bytes,
                location,
            };
            let origin = Origin::Mount(from.to_string());
            let claims = (claim, origin, &None);
            let stages = self.claim_membership((name, digest), &found, look.membership, claims);
            if self.stage_or_lose(stages).await? {
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
            let look = self.look(name, digest).await?;
            let Some(size_bytes) = look.content.as_ref().map(|(content, _)| content.size_bytes)
            else {
                return Ok(false);
            };
            let Some((claim, location)) = claim_content(digest, look.content, None) else {
                return Ok(false);
            };
            let found = Found {
                size_bytes,
                location,
            };
            let claims = (claim, Origin::Upload, &None);
            let stages = self.claim_membership((name, digest), &found, look.membership, claims);
            if self.stage_or_lose(stages).await? {
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
        let _first = self.precedence.enter();
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
            let bytes = record::encode(&membership);
            let stages = vec![
                vec![Write::Put(key.clone(), bytes, Condition::Is(version))],
                vec![Write::Delete(marker, Condition::Any), Self::changed(name)],
            ];
            if self.stage_or_lose(stages).await? {
                return Ok(true);
            }
        }
        Err(StorageError::Contended(key))
    }

    /// Returns the steps that give `name` the content: marker first, then `claim` (of
    /// [`claim_content`]), membership last.
    fn claim_membership(
        &self,
        (name, digest): (&Name, &Digest),
        found: &Found,
        read: Option<(Membership, Version)>,
        (claim, origin, early): (Write, Origin, &Option<Early>),
    ) -> Vec<Vec<Write>> {
        let key = key::membership(name, digest);
        let now = self.now();
        let mut last = Vec::with_capacity(3);
        let mut is_marked = false;
        if let (Some((old, _)), Some(early)) = (&read, early)
            && old.incarnation != early.incarnation
        {
            last.push(early.delete());
        }
        let (incarnation, version) = match (read, early) {
            (Some((old, version)), _) if old.state.is_there() => {
                let young = now < old.at.saturating_add(CONFIRM_AFTER_SECONDS);
                if young && old.state == State::Live && old.location == found.location {
                    last.push(claim);
                    last.push(Write::Require(key, Condition::Is(version)));
                    return vec![last];
                }
                (old.incarnation, Some(version))
            }
            (None, Some(early)) => {
                is_marked = true;
                (early.incarnation.clone(), None)
            }
            (None, None) => (incarnation(), None),
            (Some((_, version)), _) => (incarnation(), Some(version)),
        };
        let mut stages = Vec::with_capacity(3);
        if !is_marked {
            // The marker comes before the look at the content: see the header.
            let marker = key::marker(digest, name, found.size_bytes, &incarnation);
            stages.push(vec![Write::Put(marker, Vec::new(), Condition::Any)]);
        }
        stages.push(vec![claim]);
        let membership = Membership {
            state: State::Live,
            incarnation,
            nonce: nonce(),
            size_bytes: found.size_bytes,
            location: found.location.clone(),
            origin,
            at: now,
        };
        let bytes = record::encode(&membership);
        last.push(Write::Put(key, bytes, Condition::unchanged(version)));
        last.push(Self::changed(name));
        stages.push(last);
        stages
    }

    /// Writes step by step; false if a condition did not hold and the caller should look again.
    pub(crate) async fn write_or_lose(&self, steps: Vec<Write>) -> Result<bool, StorageError> {
        let stages = steps.into_iter().map(|step| vec![step]);
        self.stage_or_lose(stages.collect()).await
    }

    /// Writes stage by stage; false if a condition did not hold and the caller should look again.
    pub(crate) async fn stage_or_lose(
        &self,
        stages: Vec<Vec<Write>>,
    ) -> Result<bool, StorageError> {
        match self.meta.write_stages(stages).await {
            Ok(()) => Ok(true),
            Err(StorageError::Conflict(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Returns the step that makes sure the content is and stays live, and where its bytes lie; none if
/// there is no content and nothing fresh. `fresh` is what the caller has just published, if anything.
pub(crate) fn claim_content(
    digest: &Digest,
    read: Option<(Content, Version)>,
    fresh: Option<&Found>,
) -> Option<(Write, Location)> {
    let key = key::content(digest);
    let (size_bytes, location, version) = match (read, fresh) {
        (Some((content, version)), _) if content.state == State::Live => {
            let step = Write::Require(key, Condition::Is(version));
            return Some((step, content.location));
        }
        (Some((content, version)), _) if content.state == State::Condemned => {
            (content.size_bytes, content.location, Some(version))
        }
        (_, None) => return None,
        (read, Some(fresh)) => {
            let version = read.map(|(_, version)| version);
            (fresh.size_bytes, fresh.location.clone(), version)
        }
    };
    let content = Content {
        state: State::Live,
        size_bytes,
        location: location.clone(),
        nonce: nonce(),
    };
    let bytes = record::encode(&content);
    let step = Write::Put(key, bytes, Condition::unchanged(version));
    Some((step, location))
}

/// Returns a fresh incarnation of a membership.
fn incarnation() -> String {
    format!("{}{}", key::BLOB_INCARNATION, nonce())
}
