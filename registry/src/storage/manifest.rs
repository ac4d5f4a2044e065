// SPDX-License-Identifier: Apache-2.0
//! Manifests: put with everything that hangs on them, and get. The publisher's half of the garbage
//! collection protocol for manifests and what they refer to.
//!
//! A manifest is content like a blob (its bytes lie among the blobs, so that metadata can be
//! rebuilt from files) and a record of its own that holds the bytes once more, so that a read is
//! one look-up. The tag is written last.

use std::collections::BTreeSet;

use oci::{Algorithm, Descriptor, Digest, Document, Tag};

use super::data::{Location, Publication, Stage};
use super::error::StorageError;
use super::key;
use super::meta::{Condition, Version, Write};
use super::record::{self, Content, ManifestHeader, Membership, State, TagRecord};
use super::referrer::referrer_descriptor;
use super::repository::{Early, Found, claim_content};
use super::store::{RACES_MAX, SparsePolicy, Store, nonce};
use super::withdraw::Push;
use crate::endpoint::Name;

/// After how many seconds a manifest that is pushed again is written again, see `repository`.
const CONFIRM_AFTER_SECONDS: u64 = 30 * 60;
/// After how many records other requests get their turn: reading one may never wait.
pub(super) const READS_PER_TURN: usize = 64;
/// A manifest to be stored.
#[derive(Debug)]
pub struct ManifestPut<'a> {
    /// Where to.
    pub name: &'a Name,
    /// The digest, verified by the caller.
    pub digest: Digest,
    /// The document, whose type the caller has checked.
    pub document: Document,
    /// What `Content-Type` will say.
    pub media_type: String,
    /// Tags to point at it.
    pub tags: Vec<Tag>,
    /// Under which condition the tags may move, as the caller last saw the first of them.
    pub tag_condition: Condition,
}

/// A manifest as stored.
#[derive(Clone, Debug)]
pub struct StoredManifest {
    /// What it says of itself.
    pub header: ManifestHeader,
    /// The exact bytes.
    pub bytes: bytes::Bytes,
}

/// Why a manifest was not stored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PutManifestError {
    /// It refers to content that the repository does not have.
    #[error("manifest refers to {} blobs or manifests that the repository does not have", .0.len())]
    Missing(Vec<Digest>),
    /// The tag moved, against [`ManifestPut::tag_condition`].
    #[error("tag has changed meanwhile")]
    TagChanged,
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// How a write of everything about a manifest ended.
enum Written {
    /// All of it is there.
    Yes,
    /// Somebody else changed this key meanwhile.
    Lost(String),
}

/// What was read before one attempt to write everything about a manifest.
struct Round {
    /// The steps that keep what it refers to, and how much of that is not there.
    references: Result<(Vec<Write>, usize), PutManifestError>,
    records: Records,
}

/// The records of the manifest itself.
struct Records {
    manifest: Option<(ManifestHeader, Version)>,
    content: Option<(Content, Version)>,
    /// Where its tags point.
    tags: Vec<Option<Digest>>,
}

/// What looking at one reference of a manifest led to.
enum Reference {
    /// It is there; the step keeps it there.
    Held(Write),
    /// It was never there, and that is allowed.
    Sparse,
    /// It is not there.
    Missing,
}

impl Store {
    /// Returns the manifest `digest` of `name`, or none.
    ///
    /// # Errors
    ///
    /// Whatever the metadata reports.
    pub async fn manifest(
        &self,
        name: &Name,
        digest: &Digest,
    ) -> Result<Option<StoredManifest>, StorageError> {
        let held = self.held_manifest(name, digest).await?;
        Ok(held.map(|(manifest, _)| manifest))
    }

    /// Returns the manifest if readers may see it, rescuing it if it is condemned: who was told
    /// "it exists" may rely on it.
    pub(super) async fn held_manifest(
        &self,
        name: &Name,
        digest: &Digest,
    ) -> Result<Option<(StoredManifest, Version)>, StorageError> {
        let key = key::manifest(name, digest);
        for _ in 0..RACES_MAX {
            let Some((mut header, bytes, version)) = self.manifest_record(&key).await? else {
                return Ok(None);
            };
            match header.state {
                State::Live => return Ok(Some((StoredManifest { header, bytes }, version))),
                State::Dead | State::Quarantined => return Ok(None),
                State::Condemned => {
                    header.state = State::Live;
                    header.pushes.clear();
                    header.nonce = nonce();
                    header.at = self.now();
                    let record = record::encode_manifest(&header, &bytes);
                    let put = Write::Put(key.clone(), record, Condition::Is(version));
                    self.write_or_lose(vec![put]).await?;
                }
            }
        }
        Err(StorageError::Contended(key))
    }

    pub(super) async fn manifest_record(
        &self,
        key: &str,
    ) -> Result<Option<(ManifestHeader, bytes::Bytes, Version)>, StorageError> {
        let Some((bytes, version)) = self.meta.get(key).await? else {
            return Ok(None);
        };
        let (header, start) = record::decode_manifest(key, &bytes)?;
        let bytes = bytes::Bytes::from(bytes).slice(start..);
        Ok(Some((header, bytes, version)))
    }

    /// Stores a manifest and points its tags at it. Returns how many of its references the
    /// repository does not have (none unless the policy allows it).
    ///
    /// # Errors
    ///
    /// [`PutManifestError`]; no tag of this call points at the manifest then. What it has written
    /// until then is withdrawn, unless somebody else has come to rely on it.
    ///
    /// # Cancellation
    ///
    /// Where a write is one moment, all of it or nothing becomes visible; elsewhere any number of
    /// its first steps.
    pub async fn put_manifest(&self, put: &ManifestPut<'_>) -> Result<usize, PutManifestError> {
        let _first = self.precedence.enter();
        let mut push = Push::new(&*self.meta);
        let result = self.try_put_manifest(put, &mut push).await;
        match &result {
            // What it refers to was all there when the tag was tried.
            Ok(_) | Err(PutManifestError::TagChanged) => {}
            Err(error) if push.may_have_written() => {
                // Should this fail too, what is left is what a stop would have left.
                drop(self.withdraw(put, &push, error).await);
            }
            Err(_) => {}
        }
        result
    }

    async fn try_put_manifest(
        &self,
        put: &ManifestPut<'_>,
        push: &mut Push,
    ) -> Result<usize, PutManifestError> {
        let began = self.now();
        let (mut round, mut publication, early) = self.begin(put).await?;
        for _ in 0..RACES_MAX {
            self.check_pace(began)?;
            let Round {
                references,
                records,
            } = round;
            let (held, sparse) = match references {
                Ok(held) => held,
                Err(error) => {
                    self.abandon(publication).await?;
                    let mut steps = unused(put, &records, early.as_ref());
                    if records.manifest.is_none() {
                        steps.extend(early.as_ref().map(Early::delete));
                    }
                    self.meta.write_stages(vec![steps]).await?;
                    return Err(error);
                }
            };
            let is_live = self.is_live(put, &records);
            if publication.is_none() && !is_live {
                publication = Some(self.publish_manifest(put).await?);
            }
            let (mut stages, used) = match &publication {
                Some(fresh) if !is_live => {
                    let fresh = (fresh, early.as_ref());
                    let (stages, used) = self.revive(put, &records, fresh, push);
                    (stages, Some(used))
                }
                _ => (vec![hold(put, &records, early.as_ref(), push)], None),
            };
            // Behind the manifest's own record: whoever collects what it refers to has seen that.
            stages.push(held);
            self.point_tags(put, records.tags, &mut stages, push);
            push.write();
            match self.write_manifest(put, stages).await? {
                Written::Yes => {
                    match (publication, used) {
                        (Some(one), Some(used)) => self.drop_unused(one, &used).await?,
                        (unused, _) => self.abandon(unused).await?,
                    }
                    return Ok(sparse);
                }
                Written::Lost(at) => {
                    let is_spent = |one: &Publication| {
                        used.as_ref().is_some_and(|used| *used == one.location)
                            && self.may_have_used(one, &put.digest, &at)
                    };
                    // The next attempt publishes them anew.
                    publication = publication.filter(|one| !is_spent(one));
                }
            }
            round = self.look_around(put).await?;
        }
        Err(StorageError::Contended(put.digest.to_string()).into())
    }

    /// Looks at everything about a manifest; where every step is a journey to a bucket, its bytes
    /// and marker are written meanwhile, in the hope that it is new.
    async fn begin(
        &self,
        put: &ManifestPut<'_>,
    ) -> Result<(Round, Option<Publication>, Option<Early>), StorageError> {
        if self.meta.is_atomic() {
            return Ok((self.look_around(put).await?, None, None));
        }
        let incarnation = incarnation();
        let size_bytes = put.document.bytes().len() as u64;
        let early = Early {
            key: key::marker(&put.digest, put.name, size_bytes, &incarnation),
            incarnation,
        };
        let (round, publication, marked) = tokio::join!(
            self.look_around(put),
            self.publish_manifest(put),
            self.meta.write(vec![early.put()]),
        );
        marked?;
        Ok((round?, Some(publication?), Some(early)))
    }

    async fn look_around(&self, put: &ManifestPut<'_>) -> Result<Round, StorageError> {
        let key = key::manifest(put.name, &put.digest);
        let content = key::content(&put.digest);
        let (references, manifest, content, tags) = tokio::join!(
            self.hold_references(put),
            self.manifest_record(&key),
            self.read::<Content>(&content),
            self.previous(put),
        );
        let references = match references {
            Err(PutManifestError::Storage(error)) => return Err(error),
            references => references,
        };
        let records = Records {
            manifest: manifest?.map(|(header, _, version)| (header, version)),
            content: content?,
            tags: tags?,
        };
        Ok(Round {
            references,
            records,
        })
    }

    /// Returns where the tags point now.
    async fn previous(&self, put: &ManifestPut<'_>) -> Result<Vec<Option<Digest>>, StorageError> {
        let tags = put.tags.iter().map(|tag| self.tag(put.name, tag));
        let tags = futures_util::future::join_all(tags).await.into_iter();
        tags.map(|tag| Ok(tag?.map(|stored| stored.digest)))
            .collect()
    }

    async fn write_manifest(
        &self,
        put: &ManifestPut<'_>,
        stages: Vec<Vec<Write>>,
    ) -> Result<Written, PutManifestError> {
        let tag_key = put.tags.first().map(|tag| key::tag(put.name, tag));
        match self.meta.write_stages(stages).await {
            Ok(()) if self.is_still_there(put).await? => Ok(Written::Yes),
            Ok(()) => Ok(Written::Lost(key::manifest(put.name, &put.digest))),
            Err(StorageError::Conflict(at)) => {
                let conditional = put.tag_condition != Condition::Any;
                if conditional && Some(&at) == tag_key.as_ref() {
                    return Err(PutManifestError::TagChanged);
                }
                Ok(Written::Lost(at))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Removes bytes that no record was ever made to name.
    async fn abandon(&self, publication: Option<Publication>) -> Result<(), StorageError> {
        match publication {
            Some(publication) if !publication.guard.is_held() => {
                let Publication { location, guard } = publication;
                self.data.delete(&location, &guard).await
            }
            _ => Ok(()),
        }
    }

    /// Looks at the manifest again after the tags were set: whoever deleted or collected it between
    /// two steps did not see them.
    async fn is_still_there(&self, put: &ManifestPut<'_>) -> Result<bool, StorageError> {
        if put.tags.is_empty() || self.meta.is_atomic() {
            return Ok(true);
        }
        Ok(self.held_manifest(put.name, &put.digest).await?.is_some())
    }

    /// Writes the bytes among the blobs.
    async fn publish_manifest(&self, put: &ManifestPut<'_>) -> Result<Publication, StorageError> {
        let bytes = put.document.bytes();
        let stage = Stage {
            expected_bytes: Some(bytes.len() as u64),
            ..Stage::anonymous(put.digest.algorithm())
        };
        let mut staged = self.data.stage(stage).await?;
        let piece = bytes::Bytes::copy_from_slice(bytes);
        staged.append(vec![piece]).await?;
        staged.publish(&put.digest).await
    }

    /// Tells whether the manifest is live as it is, and was confirmed not long ago.
    fn is_live(&self, put: &ManifestPut<'_>, records: &Records) -> bool {
        records.manifest.as_ref().is_some_and(|(old, _)| {
            let young = self.now() < old.at.saturating_add(CONFIRM_AFTER_SECONDS);
            young && old.state == State::Live && old.media_type == put.media_type
        })
    }

    /// Returns the stages that make the manifest itself live, and where its bytes will lie.
    fn revive(
        &self,
        put: &ManifestPut<'_>,
        records: &Records,
        (fresh, early): (&Publication, Option<&Early>),
        push: &Push,
    ) -> (Vec<Vec<Write>>, Location) {
        let mut before = unused(put, records, early);
        let (incarnation, version) = match (&records.manifest, early) {
            (None, None) => (incarnation(), None),
            (None, Some(early)) => (early.incarnation.clone(), None),
            (Some((old, version)), _) if old.state.is_there() => {
                (old.incarnation.clone(), Some(version.clone()))
            }
            (Some((_, version)), _) => (incarnation(), Some(version.clone())),
        };
        let size_bytes = put.document.bytes().len() as u64;
        let marker = key::marker(&put.digest, put.name, size_bytes, &incarnation);
        if early.is_none_or(|early| early.key != marker) {
            before.push(Write::Put(marker, Vec::new(), Condition::Any));
        }
        let found = Found {
            size_bytes,
            location: fresh.location.clone(),
        };
        let content = claim_content(&put.digest, records.content.clone(), Some(&found));
        let (content, location) = content.expect("there are fresh bytes");
        let mut support = vec![content];
        support.extend(reverse_entries(put));
        support.extend(referrer_entry(put, &incarnation));
        let header = ManifestHeader {
            state: State::Live,
            incarnation,
            nonce: nonce(),
            media_type: put.media_type.clone(),
            size_bytes,
            subject: subject(&put.document).map(|subject| subject.digest.clone()),
            pushes: push.pushes(records.manifest.as_ref().map(|(old, _)| old)),
            at: self.now(),
        };
        let key = key::manifest(put.name, &put.digest);
        let record = record::encode_manifest(&header, put.document.bytes());
        let manifest = Write::Put(key, record, Condition::unchanged(version));
        (vec![before, support, vec![manifest]], location)
    }

    /// Returns the steps that keep what the manifest refers to, and how much of it is not there.
    pub(super) async fn hold_references(
        &self,
        put: &ManifestPut<'_>,
    ) -> Result<(Vec<Write>, usize), PutManifestError> {
        let mut seen = BTreeSet::new();
        let mut wanted = references(&put.document);
        wanted.retain(|descriptor| seen.insert(&descriptor.digest));
        let mut steps = Vec::new();
        let mut missing = Vec::new();
        let mut sparse = 0;
        for turn in wanted.chunks(READS_PER_TURN) {
            let looks = turn.iter().map(|one| self.look_at_reference(put, one));
            let looks = futures_util::future::join_all(looks).await;
            for (descriptor, look) in turn.iter().zip(looks) {
                match look? {
                    Reference::Held(step) => steps.push(step),
                    Reference::Sparse => sparse += 1,
                    Reference::Missing => missing.push(descriptor.digest.clone()),
                }
            }
            if turn.len() == READS_PER_TURN {
                tokio::task::yield_now().await;
            }
        }
        if missing.is_empty() {
            Ok((steps, sparse))
        } else {
            Err(PutManifestError::Missing(missing))
        }
    }

    async fn look_at_reference(
        &self,
        put: &ManifestPut<'_>,
        descriptor: &Descriptor,
    ) -> Result<Reference, StorageError> {
        let is_index = matches!(put.document, Document::Index(..));
        let mut was_there = false;
        if is_index {
            let key = key::manifest(put.name, &descriptor.digest);
            let held = self.held_manifest(put.name, &descriptor.digest).await?;
            if let Some((_, version)) = held {
                let step = Write::Require(key, Condition::Is(version));
                return Ok(Reference::Held(step));
            }
            was_there = self.meta.get(&key).await?.is_some();
        }
        // An index may also list blobs: BuildKit's cache export does.
        let key = key::membership(put.name, &descriptor.digest);
        if let Some((_, version)) = self.membership(put.name, &descriptor.digest).await? {
            let step = Write::Require(key, Condition::Is(version));
            return Ok(Reference::Held(step));
        }
        was_there |= self.read::<Membership>(&key).await?.is_some();
        let elsewhere = !descriptor.urls.is_empty();
        let allowed = match self.sparse {
            SparsePolicy::Strict => false,
            SparsePolicy::Index => is_index,
            SparsePolicy::All => true,
        };
        if elsewhere || (allowed && !was_there) {
            return Ok(Reference::Sparse);
        }
        Ok(Reference::Missing)
    }

    /// Adds the steps that point the tags at the manifest. The reverse entries are there already.
    fn point_tags(
        &self,
        put: &ManifestPut<'_>,
        previous: Vec<Option<Digest>>,
        stages: &mut Vec<Vec<Write>>,
        push: &Push,
    ) {
        let mut last = Vec::with_capacity(put.tags.len() + 1);
        for (number, (tag, previous)) in put.tags.iter().zip(previous).enumerate() {
            let record = TagRecord {
                digest: put.digest.clone(),
                media_type: put.media_type.clone(),
                size_bytes: put.document.bytes().len() as u64,
                nonce: push.nonce(),
                at: self.now(),
                previous,
            };
            let condition = match number {
                0 => put.tag_condition.clone(),
                _ => Condition::Any,
            };
            let is_conditional = condition != Condition::Any;
            let key = key::tag(put.name, tag);
            last.push(Write::Put(key, record::encode(&record), condition));
            if is_conditional {
                // If it may not move, neither do the others.
                stages.push(std::mem::take(&mut last));
            }
        }
        last.push(Self::changed(put.name));
        stages.push(last);
    }
}

/// Returns the steps that keep a live manifest as it is.
fn hold(
    put: &ManifestPut<'_>,
    records: &Records,
    early: Option<&Early>,
    push: &Push,
) -> Vec<Write> {
    let mut steps = unused(put, records, early);
    if let Some((old, version)) = &records.manifest {
        steps.push(push.rely(put, old, version));
    }
    steps.extend(reverse_entries(put));
    steps
}

/// Returns the steps that remove what was written for an incarnation that is not used.
fn unused(put: &ManifestPut<'_>, records: &Records, early: Option<&Early>) -> Vec<Write> {
    let (Some((old, _)), Some(early)) = (&records.manifest, early) else {
        return Vec::new();
    };
    if old.incarnation == early.incarnation {
        return Vec::new();
    }
    let mut steps = vec![early.delete()];
    if let Some(subject) = subject(&put.document) {
        let prefix = key::referrer(put.name, &subject.digest, &put.digest);
        let entry = format!("{prefix}{}", early.incarnation);
        steps.push(Write::Delete(entry, Condition::Any));
    }
    steps
}

/// Returns the steps that note which tags may point at the manifest. They come before the tags.
fn reverse_entries(put: &ManifestPut<'_>) -> impl Iterator<Item = Write> {
    put.tags.iter().map(|tag| {
        let key = key::tag_on(put.name, &put.digest, tag);
        Write::Put(key, Vec::new(), Condition::Any)
    })
}

/// Returns the step that lists the manifest among the referrers of its subject, if it has one.
fn referrer_entry(put: &ManifestPut<'_>, incarnation: &str) -> Option<Write> {
    let subject = subject(&put.document)?;
    let prefix = key::referrer(put.name, &subject.digest, &put.digest);
    let entry = record::encode(&referrer_descriptor(put));
    let key = format!("{prefix}{incarnation}");
    Some(Write::Put(key, entry, Condition::Any))
}

/// Returns the subject of a manifest or index.
pub fn subject(document: &Document) -> Option<&Descriptor> {
    match document {
        Document::Manifest(manifest, _) => manifest.subject.as_ref(),
        Document::Index(index, _) => index.subject.as_ref(),
    }
}

/// Returns what a document refers to, in its order; not the subject, which need not exist.
pub(crate) fn references(document: &Document) -> Vec<&Descriptor> {
    match document {
        Document::Manifest(manifest, _) => std::iter::once(&manifest.config)
            .chain(&manifest.layers)
            .collect(),
        Document::Index(index, _) => index.manifests.iter().collect(),
    }
}

/// Returns the digest of `bytes` in `algorithm`.
pub fn digest_of(algorithm: Algorithm, bytes: &[u8]) -> Digest {
    let mut hasher = oci::Hasher::new(algorithm);
    hasher.update(bytes);
    hasher.finish()
}

/// Returns a fresh incarnation of a manifest.
fn incarnation() -> String {
    format!("{}{}", key::MANIFEST_INCARNATION, nonce())
}
