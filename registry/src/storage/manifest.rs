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
use super::record::{self, ManifestHeader, Membership, State, TagRecord};
use super::referrer::referrer_descriptor;
use super::repository::Found;
use super::store::{RACES_MAX, SparsePolicy, Store, nonce};
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

/// How the manifest itself becomes or stays live.
enum Claimed {
    /// Its bytes must be published first.
    NeedsBytes,
    /// It is live already.
    Held,
    /// The steps make it live, with its bytes at this place.
    At(Location),
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
    /// [`PutManifestError`]; nothing points at the manifest then.
    ///
    /// # Cancellation
    ///
    /// All of it or nothing becomes visible.
    pub async fn put_manifest(&self, put: &ManifestPut<'_>) -> Result<usize, PutManifestError> {
        let mut publication = None;
        for _ in 0..RACES_MAX {
            let mut held = Vec::new();
            let sparse = match self.hold_references(put, &mut held).await {
                Ok(sparse) => sparse,
                Err(error) => {
                    self.abandon(publication).await?;
                    return Err(error);
                }
            };
            let mut steps = Vec::new();
            let mut claimed = self
                .claim_manifest(put, publication.as_ref(), &mut steps)
                .await?;
            if let Claimed::NeedsBytes = claimed {
                publication = Some(self.publish_manifest(put).await?);
                steps.clear();
                claimed = self
                    .claim_manifest(put, publication.as_ref(), &mut steps)
                    .await?;
            }
            // Behind the manifest's own record: whoever collects what it refers to has seen that.
            steps.append(&mut held);
            self.point_tags(put, &mut steps).await?;
            steps.push(Self::changed(put.name));
            match self.write_manifest(put, steps).await? {
                Written::Yes => {
                    match (publication, claimed) {
                        (Some(one), Claimed::At(used)) => self.drop_unused(one, &used).await?,
                        (unused, _) => self.abandon(unused).await?,
                    }
                    return Ok(sparse);
                }
                Written::Lost(at) => {
                    let is_spent = |one: &Publication| {
                        matches!(&claimed, Claimed::At(used) if *used == one.location)
                            && self.may_have_used(one, &put.digest, &at)
                    };
                    // The next attempt publishes them anew.
                    publication = publication.filter(|one| !is_spent(one));
                }
            }
        }
        Err(StorageError::Contended(put.digest.to_string()).into())
    }

    async fn write_manifest(
        &self,
        put: &ManifestPut<'_>,
        steps: Vec<Write>,
    ) -> Result<Written, PutManifestError> {
        let tag_key = put.tags.first().map(|tag| key::tag(put.name, tag));
        match self.meta.write(steps).await {
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
            session: None,
            offset: 0,
            algorithm: put.digest.algorithm(),
            expected_bytes: Some(bytes.len() as u64),
        };
        let mut staged = self.data.stage(stage).await?;
        let piece = bytes::Bytes::copy_from_slice(bytes);
        staged.append(vec![piece]).await?;
        staged.publish(&put.digest).await
    }

    /// Adds the steps that make the manifest itself live.
    async fn claim_manifest(
        &self,
        put: &ManifestPut<'_>,
        publication: Option<&Publication>,
        steps: &mut Vec<Write>,
    ) -> Result<Claimed, StorageError> {
        let key = key::manifest(put.name, &put.digest);
        let old = self.manifest_record(&key).await?;
        let now = self.now();
        let (incarnation, version) = match old {
            None => (incarnation(), None),
            Some((old, _, version)) if old.state.is_readable() => {
                let young = now < old.at.saturating_add(CONFIRM_AFTER_SECONDS);
                if young && old.state == State::Live && old.media_type == put.media_type {
                    steps.push(Write::Require(key, Condition::Is(version)));
                    return Ok(Claimed::Held);
                }
                (old.incarnation, Some(version))
            }
            Some((old, _, version)) if old.state.is_there() => (old.incarnation, Some(version)),
            Some((_, _, version)) => (incarnation(), Some(version)),
        };
        let Some(publication) = publication else {
            return Ok(Claimed::NeedsBytes);
        };
        let bytes = put.document.bytes();
        let size_bytes = bytes.len() as u64;
        let marker = key::marker(&put.digest, put.name, size_bytes, &incarnation);
        steps.push(Write::Put(marker, Vec::new(), Condition::Any));
        let found = Found {
            size_bytes,
            location: publication.location.clone(),
        };
        let used = self.claim_content(&put.digest, Some(&found), steps).await?;
        let subject = subject(&put.document);
        if let Some(subject) = subject {
            let prefix = key::referrer(put.name, &subject.digest, &put.digest);
            let entry = record::encode(&referrer_descriptor(put));
            steps.push(Write::Put(
                format!("{prefix}{incarnation}"),
                entry,
                Condition::Any,
            ));
        }
        let header = ManifestHeader {
            state: State::Live,
            incarnation,
            nonce: nonce(),
            media_type: put.media_type.clone(),
            size_bytes,
            subject: subject.map(|subject| subject.digest.clone()),
            at: now,
        };
        let record = record::encode_manifest(&header, bytes);
        steps.push(Write::Put(key, record, Condition::unchanged(version)));
        Ok(Claimed::At(used.unwrap_or(found.location)))
    }

    /// Adds the steps that keep what the manifest refers to. Returns how much of it is not there.
    async fn hold_references(
        &self,
        put: &ManifestPut<'_>,
        steps: &mut Vec<Write>,
    ) -> Result<usize, PutManifestError> {
        let mut missing = Vec::new();
        let mut sparse = 0;
        let mut seen = BTreeSet::new();
        for descriptor in references(&put.document) {
            if !seen.insert(&descriptor.digest) {
                continue;
            }
            if seen.len().is_multiple_of(READS_PER_TURN) {
                tokio::task::yield_now().await;
            }
            match self.look_at_reference(put, descriptor).await? {
                Reference::Held(step) => steps.push(step),
                Reference::Sparse => sparse += 1,
                Reference::Missing => missing.push(descriptor.digest.clone()),
            }
        }
        if missing.is_empty() {
            Ok(sparse)
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

    /// Adds the steps that point the tags at the manifest, reverse entry first.
    async fn point_tags(
        &self,
        put: &ManifestPut<'_>,
        steps: &mut Vec<Write>,
    ) -> Result<(), StorageError> {
        for (number, tag) in put.tags.iter().enumerate() {
            let key = key::tag(put.name, tag);
            let old = self.read::<TagRecord>(&key).await?;
            let record = TagRecord {
                digest: put.digest.clone(),
                media_type: put.media_type.clone(),
                size_bytes: put.document.bytes().len() as u64,
                nonce: nonce(),
                at: self.now(),
                previous: old.map(|(old, _)| old.digest),
            };
            let condition = match number {
                0 => put.tag_condition.clone(),
                _ => Condition::Any,
            };
            let reverse = key::tag_on(put.name, &put.digest, tag);
            steps.push(Write::Put(reverse, Vec::new(), Condition::Any));
            steps.push(Write::Put(key, record::encode(&record), condition));
        }
        Ok(())
    }
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
