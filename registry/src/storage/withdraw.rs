// SPDX-License-Identifier: Apache-2.0
//! Taking back what a push wrote of a manifest before it failed. Only where a write is not one
//! moment: elsewhere a failed push has written nothing.
//!
//! A manifest is live before it is known that what it refers to stayed. Its record names the
//! *pushes* of which none is known to have failed, unless others may rely on it too. A push that
//! fails strikes itself out; the last one makes the manifest dead with the steps of a collector
//! ([`super::gc`]): condemn, look, kill. Nobody who relies on it loses it:
//!
//! - A reader or index that met it condemned has made it live, in a version that names no push.
//! - A push by its digest alone has written itself into the record, if that named any, and looked
//!   at the references after that.
//! - Who tagged or listed it wrote that tag or index first and looked at the manifest after that,
//!   so the look of who condemned it finds the tag or index, or his kill fails.
//!
//! A stop in between leaves a condemned manifest, which readers get as before.

use oci::{Digest, Document, MediaType, Tag};

use super::error::StorageError;
use super::gc::Pages;
use super::key;
use super::manifest::{ManifestPut, PutManifestError, references};
use super::meta::{Condition, Meta, Version, Write};
use super::record::{self, ManifestHeader, State, TagRecord};
use super::store::{RACES_MAX, Store, nonce};
use crate::endpoint::Name;

/// How many manifests are in memory at a time while somebody is looked for who lists one.
const READS_AT_ONCE: usize = 16;

/// How many pushes a record names. Of a manifest that more are pushing at the same time nothing is
/// withdrawn.
const PUSHES_MAX: usize = 4;

/// One push of a manifest, whose records can be told from those of others.
pub(super) struct Push {
    id: String,
    /// Whether a write is one moment.
    is_atomic: bool,
    /// Whether it came to write anything that others may see.
    has_written: bool,
}

impl Push {
    pub(super) fn new(meta: &dyn Meta) -> Self {
        Self {
            id: nonce(),
            is_atomic: meta.is_atomic(),
            has_written: false,
        }
    }

    /// Notes that it is about to write.
    pub(super) fn write(&mut self) {
        self.has_written = true;
    }

    /// Tells whether steps of it may have happened although it failed.
    pub(super) fn may_have_written(&self) -> bool {
        self.has_written && !self.is_atomic
    }

    /// Returns a fresh nonce that says who wrote the record.
    pub(super) fn nonce(&self) -> String {
        format!("{}-{}", self.id, nonce())
    }

    /// Returns which pushes the manifest's record names that replaces `old`.
    pub(super) fn pushes(&self, old: Option<&ManifestHeader>) -> Vec<String> {
        if self.is_atomic {
            return Vec::new();
        }
        let Some(old) = old.filter(|old| old.state.is_there()) else {
            return vec![self.id.clone()];
        };
        if !self.is_missing_in(old) {
            return old.pushes.clone();
        }
        if old.pushes.len() >= PUSHES_MAX {
            return Vec::new();
        }
        let own = std::iter::once(&self.id);
        old.pushes.iter().chain(own).cloned().collect()
    }

    /// Returns the step that makes sure that a live manifest is not withdrawn by others behind the
    /// push's back.
    pub(super) fn rely(
        &self,
        put: &ManifestPut<'_>,
        old: &ManifestHeader,
        version: &Version,
    ) -> Write {
        let key = key::manifest(put.name, &put.digest);
        let condition = Condition::Is(version.clone());
        if !put.tags.is_empty() || !self.is_missing_in(old) {
            return Write::Require(key, condition);
        }
        let header = ManifestHeader {
            pushes: self.pushes(Some(old)),
            nonce: nonce(),
            ..old.clone()
        };
        let record = record::encode_manifest(&header, put.document.bytes());
        Write::Put(key, record, condition)
    }

    /// Tells whether the record names other pushes alone, which may withdraw it.
    fn is_missing_in(&self, header: &ManifestHeader) -> bool {
        !header.pushes.is_empty() && !header.pushes.contains(&self.id)
    }

    fn wrote(&self, tag: &TagRecord) -> bool {
        let rest = tag.nonce.strip_prefix(&self.id);
        rest.is_some_and(|rest| rest.starts_with('-'))
    }
}

impl Store {
    /// Takes back what `push` wrote of the manifest, unless it is whole or somebody relies on it.
    pub(super) async fn withdraw(
        &self,
        put: &ManifestPut<'_>,
        push: &Push,
        refusal: &PutManifestError,
    ) -> Result<(), StorageError> {
        let key = key::manifest(put.name, &put.digest);
        for _ in 0..RACES_MAX {
            let Some(mut held) = self.manifest_record(&key).await? else {
                return Ok(());
            };
            let header = &mut held.0;
            if header.state == State::Dead {
                // Whoever deleted it may have done so before the tags were set.
                return self.untag_all(put.name, &put.digest).await;
            }
            if !header.state.is_readable() || !header.pushes.contains(&push.id) {
                return Ok(());
            }
            let is_done = if header.pushes.len() == 1 {
                self.withdraw_last(put, held, (push, refusal)).await?
            } else {
                header.pushes.retain(|id| *id != push.id);
                self.rewrite_manifest(&key, held).await?
            };
            if is_done {
                return Ok(());
            }
        }
        Err(StorageError::Contended(key))
    }

    /// Kills a manifest that nobody relies on but `push`; false if it has changed meanwhile.
    async fn withdraw_last(
        &self,
        put: &ManifestPut<'_>,
        held: (ManifestHeader, bytes::Bytes, Version),
        (push, refusal): (&Push, &PutManifestError),
    ) -> Result<bool, StorageError> {
        let key = key::manifest(put.name, &put.digest);
        let Some(mut held) = self.condemn_manifest(&key, held).await? else {
            return Ok(false);
        };
        // Refused: its tags, if it came to set any, point at what was dead since. Else one of them
        // may have replaced somebody's equal one.
        let own = matches!(refusal, PutManifestError::Missing(_)).then_some(push);
        let is_kept = match self.hold_references(put).await {
            Err(PutManifestError::Storage(error)) => return Err(error),
            Err(_) => {
                self.is_tagged(put.name, &put.digest, own).await?
                    || self.is_listed(put.name, &put.digest).await?
            }
            Ok(_) => true,
        };
        if is_kept {
            held.0.state = State::Live;
            held.0.pushes.clear();
            return self.rewrite_manifest(&key, held).await;
        }
        let (header, _, version) = held;
        self.bury_manifest(put.name, &put.digest, header, version)
            .await
    }

    /// Condemns a live manifest; none if somebody has changed it meanwhile.
    pub(super) async fn condemn_manifest(
        &self,
        key: &str,
        (mut header, bytes, version): (ManifestHeader, bytes::Bytes, Version),
    ) -> Result<Option<(ManifestHeader, bytes::Bytes, Version)>, StorageError> {
        header.state = State::Condemned;
        header.nonce = nonce();
        let record = record::encode_manifest(&header, &bytes);
        let put = Write::Put(key.to_owned(), record, Condition::Is(version));
        if !self.write_or_lose(vec![put]).await? {
            return Ok(None);
        }
        let now = self.manifest_record(key).await?;
        Ok(now.filter(|(now, ..)| now.nonce == header.nonce))
    }

    /// Writes a changed header; false if somebody has changed the record meanwhile.
    async fn rewrite_manifest(
        &self,
        key: &str,
        (mut header, bytes, version): (ManifestHeader, bytes::Bytes, Version),
    ) -> Result<bool, StorageError> {
        header.nonce = nonce();
        let record = record::encode_manifest(&header, &bytes);
        let put = Write::Put(key.to_owned(), record, Condition::Is(version));
        self.write_or_lose(vec![put]).await
    }

    /// Tells whether a tag points at `digest`, one that `own` has set not counted.
    pub(super) async fn is_tagged(
        &self,
        name: &Name,
        digest: &Digest,
        own: Option<&Push>,
    ) -> Result<bool, StorageError> {
        let prefix = key::tags_on(name, digest);
        let mut entries = Pages::new(&*self.meta, prefix.clone());
        while let Some(line) = entries.next().await? {
            let tag = line.key.strip_prefix(&prefix).map(str::parse::<Tag>);
            let Some(Ok(tag)) = tag else { continue };
            let stored = self.read::<TagRecord>(&key::tag(name, &tag)).await?;
            let counts = |stored: &TagRecord| {
                stored.digest == *digest && !own.is_some_and(|own| own.wrote(stored))
            };
            if stored.is_some_and(|(stored, _)| counts(&stored)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Tells whether an index of `name` lists `digest`, or may.
    async fn is_listed(&self, name: &Name, digest: &Digest) -> Result<bool, StorageError> {
        let mut lines = Pages::new(&*self.meta, key::manifests(name));
        let mut keys = Vec::with_capacity(READS_AT_ONCE);
        loop {
            let line = lines.next().await?;
            let is_last = line.is_none();
            keys.extend(line.map(|line| line.key));
            if is_last || keys.len() == READS_AT_ONCE {
                let reads = keys.iter().map(|key| self.manifest_record(key));
                for read in futures_util::future::join_all(reads).await {
                    if read?.is_some_and(|(header, bytes, _)| may_list(&header, &bytes, digest)) {
                        return Ok(true);
                    }
                }
                keys.clear();
            }
            if is_last {
                return Ok(false);
            }
        }
    }
}

/// Tells whether a manifest lists `digest`, or cannot be asked.
fn may_list(header: &ManifestHeader, bytes: &[u8], digest: &Digest) -> bool {
    match header.state {
        State::Dead => return false,
        State::Quarantined => return true,
        State::Live | State::Condemned => {}
    }
    let media_type = MediaType::parse(&header.media_type);
    match Document::parse(bytes.to_vec(), Some(&media_type)) {
        Err(_) => true,
        Ok(Document::Manifest(..)) => false,
        Ok(index) => references(&index)
            .iter()
            .any(|listed| listed.digest == *digest),
    }
}
