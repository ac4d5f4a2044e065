// SPDX-License-Identifier: Apache-2.0
//! Manifests: put with everything that hangs on them, get, delete, and the referrers of a subject.
//!
//! A manifest is content like a blob (its bytes lie among the blobs, so that metadata can be
//! rebuilt from files) and a record of its own that holds the bytes once more, so that a read is
//! one look-up. The tag is written last.

use std::collections::BTreeSet;

use oci::{Algorithm, Descriptor, Digest, Document, Tag};

use super::data::{Publication, Stage};
use super::error::StorageError;
use super::key;
use super::meta::{Condition, LIST_MAX, Version, Write};
use super::record::{self, ManifestHeader, Membership, State, TagRecord};
use super::repository::Found;
use super::store::{RACES_MAX, SparsePolicy, Store, nonce};
use crate::endpoint::Name;

/// After how many seconds a manifest that is pushed again is written again, see `repository`.
const CONFIRM_AFTER_SECONDS: u64 = 30 * 60;
/// After how many records other requests get their turn: reading one may never wait.
const READS_PER_TURN: usize = 64;
/// How many tags one write removes with a manifest; more take several writes.
const TAGS_PER_WRITE: usize = 500;
/// Where a page of referrers ends, in bytes of descriptors. Spec: distribution-spec §Listing
/// Referrers (clients limit an index to 4 MiB).
const REFERRERS_PAGE_BYTES: usize = 3 << 20;

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

/// One page of referrers.
#[derive(Clone, Debug, Default)]
pub struct ReferrerPage {
    /// The descriptors, sorted by digest.
    pub descriptors: Vec<Descriptor>,
    /// Where the next page starts, if there is one.
    pub next: Option<String>,
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
        let key = key::manifest(name, digest);
        let Some((header, bytes, _)) = self.manifest_record(&key).await? else {
            return Ok(None);
        };
        Ok(header
            .state
            .is_readable()
            .then_some(StoredManifest { header, bytes }))
    }

    async fn manifest_record(
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
            let mut steps = Vec::new();
            let mut stored = self
                .claim_manifest(put, publication.as_ref(), &mut steps)
                .await?;
            if !stored {
                publication = Some(self.publish_manifest(put).await?);
                steps.clear();
                stored = self
                    .claim_manifest(put, publication.as_ref(), &mut steps)
                    .await?;
            }
            debug_assert!(stored, "published bytes can always be claimed");
            let sparse = self.hold_references(put, &mut steps).await?;
            self.point_tags(put, &mut steps).await?;
            steps.push(Self::changed(put.name));
            let tag_key = put.tags.first().map(|tag| key::tag(put.name, tag));
            match self.meta.write(steps).await {
                Ok(()) => return Ok(sparse),
                Err(StorageError::Conflict(key)) => {
                    let conditional = put.tag_condition != Condition::Any;
                    if conditional && Some(key) == tag_key {
                        return Err(PutManifestError::TagChanged);
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(StorageError::Contended(put.digest.to_string()).into())
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

    /// Adds the steps that make the manifest itself live; false if its bytes must be published
    /// first.
    async fn claim_manifest(
        &self,
        put: &ManifestPut<'_>,
        publication: Option<&Publication>,
        steps: &mut Vec<Write>,
    ) -> Result<bool, StorageError> {
        let key = key::manifest(put.name, &put.digest);
        let old = self.manifest_record(&key).await?;
        let now = self.now();
        let (incarnation, version) = match old {
            None => (nonce(), None),
            Some((old, _, version)) if old.state.is_readable() => {
                let young = now < old.at.saturating_add(CONFIRM_AFTER_SECONDS);
                if young && old.state == State::Live && old.media_type == put.media_type {
                    steps.push(Write::Require(key, Condition::Is(version)));
                    return Ok(true);
                }
                (old.incarnation, Some(version))
            }
            Some((_, _, version)) => (nonce(), Some(version)),
        };
        let Some(publication) = publication else {
            return Ok(false);
        };
        let bytes = put.document.bytes();
        let size_bytes = bytes.len() as u64;
        let marker = key::marker(&put.digest, put.name, size_bytes, &incarnation);
        steps.push(Write::Put(marker, Vec::new(), Condition::Any));
        let found = Found {
            size_bytes,
            location: publication.location.clone(),
        };
        self.claim_content(&put.digest, Some(&found), steps).await?;
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
        Ok(true)
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
            if let Some((header, _, version)) = self.manifest_record(&key).await? {
                if header.state == State::Live {
                    let step = Write::Require(key, Condition::Is(version));
                    return Ok(Reference::Held(step));
                }
                was_there = true;
            }
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

    /// Removes a manifest with every tag on it; false if there was none.
    ///
    /// # Errors
    ///
    /// Whatever the metadata reports.
    ///
    /// # Cancellation
    ///
    /// The manifest is gone before its last tags are; a tag without manifest reads as absent.
    pub async fn delete_manifest(
        &self,
        name: &Name,
        digest: &Digest,
    ) -> Result<bool, StorageError> {
        let key = key::manifest(name, digest);
        for _ in 0..RACES_MAX {
            let Some((mut header, _, version)) = self.manifest_record(&key).await? else {
                return Ok(false);
            };
            if !header.state.is_readable() {
                return Ok(false);
            }
            let marker = key::marker(digest, name, header.size_bytes, &header.incarnation);
            header.state = State::Dead;
            header.nonce = nonce();
            header.at = self.now();
            let dead = record::encode_manifest(&header, &[]);
            let mut steps = vec![Write::Put(key.clone(), dead, Condition::Is(version))];
            self.untag(name, digest, &mut steps).await?;
            if let Some(subject) = &header.subject {
                let prefix = key::referrer(name, subject, digest);
                let entry = format!("{prefix}{}", header.incarnation);
                steps.push(Write::Delete(entry, Condition::Any));
            }
            steps.push(Write::Delete(marker, Condition::Any));
            steps.push(Self::changed(name));
            if self.write_or_lose(steps).await? {
                self.untag_rest(name, digest).await?;
                return Ok(true);
            }
        }
        Err(StorageError::Contended(key))
    }

    /// Adds the steps that remove the first tags on `digest`; true if there may be more.
    async fn untag(
        &self,
        name: &Name,
        digest: &Digest,
        steps: &mut Vec<Write>,
    ) -> Result<bool, StorageError> {
        let prefix = key::tags_on(name, digest);
        let listed = self.meta.list(&prefix, "", TAGS_PER_WRITE).await?;
        for line in &listed {
            let tag = line.key.strip_prefix(&prefix).map(str::parse::<Tag>);
            let Some(Ok(tag)) = tag else { continue };
            if let Some(stored) = self.tag(name, &tag).await?
                && stored.digest == *digest
            {
                let key = key::tag(name, &tag);
                steps.push(Write::Delete(key, Condition::Is(stored.version)));
            }
            // Only this version of the entry: a push that points the tag here again writes anew.
            let condition = Condition::Is(line.version.clone());
            steps.push(Write::Delete(line.key.clone(), condition));
        }
        Ok(listed.len() == TAGS_PER_WRITE)
    }

    /// Removes the tags that did not fit into the first write.
    async fn untag_rest(&self, name: &Name, digest: &Digest) -> Result<(), StorageError> {
        let mut races = 0;
        while races < RACES_MAX {
            let mut steps = Vec::new();
            let more = self.untag(name, digest, &mut steps).await?;
            if steps.is_empty() {
                return Ok(());
            }
            if !self.write_or_lose(steps).await? {
                races += 1;
            } else if !more {
                return Ok(());
            }
        }
        Err(StorageError::Contended(key::tags_on(name, digest)))
    }

    /// Returns the referrers of `subject` in `name` from `start` on (empty: from the first).
    ///
    /// # Errors
    ///
    /// Whatever the metadata reports.
    pub async fn referrers(
        &self,
        name: &Name,
        subject: &Digest,
        start: &str,
    ) -> Result<ReferrerPage, StorageError> {
        let prefix = key::referrers(name, subject);
        let after = format!("{prefix}{start}");
        let listed = self.meta.list(&prefix, &after, LIST_MAX).await?;
        let full = listed.len() == LIST_MAX;
        let mut page = ReferrerPage::default();
        let mut size_bytes = 0;
        let mut last = None;
        for line in listed {
            if size_bytes >= REFERRERS_PAGE_BYTES {
                page.next = last;
                return Ok(page);
            }
            if let Some((descriptor, _)) = self.read::<Descriptor>(&line.key).await? {
                size_bytes += usize::try_from(line.size_bytes).unwrap_or(REFERRERS_PAGE_BYTES);
                page.descriptors.push(descriptor);
            }
            if page.descriptors.len().is_multiple_of(READS_PER_TURN) {
                tokio::task::yield_now().await;
            }
            last = line.key.strip_prefix(&prefix).map(str::to_owned);
        }
        page.descriptors.dedup_by(|b, a| a.digest == b.digest);
        page.next = last.filter(|_| full);
        Ok(page)
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
fn references(document: &Document) -> Vec<&Descriptor> {
    match document {
        Document::Manifest(manifest, _) => std::iter::once(&manifest.config)
            .chain(&manifest.layers)
            .collect(),
        Document::Index(index, _) => index.manifests.iter().collect(),
    }
}

/// Returns the entry of a manifest among the referrers of its subject.
///
/// Spec: distribution-spec §Listing Referrers (artifact type of an image falls back to its config's
/// media type, that of an index does not).
fn referrer_descriptor(put: &ManifestPut<'_>) -> Descriptor {
    let (artifact_type, annotations) = match &put.document {
        Document::Manifest(manifest, _) => {
            let own = manifest.artifact_type.clone().filter(|own| !own.is_empty());
            let artifact_type = own.unwrap_or_else(|| manifest.config.media_type.to_string());
            (Some(artifact_type), manifest.annotations.clone())
        }
        Document::Index(index, _) => (index.artifact_type.clone(), index.annotations.clone()),
    };
    let size_bytes = put.document.bytes().len() as u64;
    let media_type = oci::MediaType::parse(&put.media_type);
    Descriptor {
        annotations,
        artifact_type,
        ..Descriptor::new(media_type, put.digest.clone(), size_bytes)
    }
}

/// Returns the digest of `bytes` in `algorithm`.
pub fn digest_of(algorithm: Algorithm, bytes: &[u8]) -> Digest {
    let mut hasher = oci::Hasher::new(algorithm);
    hasher.update(bytes);
    hasher.finish()
}
