// SPDX-License-Identifier: Apache-2.0
//! Taking a manifest away, with the tags that point at it.
//!
//! The manifest dies first: from then on a tag on it reads as absent, and a push of the same tag
//! that is under way notices when it looks at the manifest again.

use oci::{Digest, Tag};

use super::error::StorageError;
use super::key;
use super::meta::{Condition, LIST_MAX, Version, Write};
use super::record::{self, ManifestHeader, State};
use super::store::{RACES_MAX, Store, nonce};
use crate::endpoint::Name;

/// How many tags one write removes; more take several writes.
const TAGS_PER_WRITE: usize = LIST_MAX / 2;

impl Store {
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
        let _first = self.precedence.enter();
        let key = key::manifest(name, digest);
        for _ in 0..RACES_MAX {
            let Some((header, _, version)) = self.manifest_record(&key).await? else {
                return Ok(false);
            };
            if !header.state.is_there() {
                return Ok(false);
            }
            if self.bury_manifest(name, digest, header, version).await? {
                return Ok(true);
            }
        }
        Err(StorageError::Contended(key))
    }

    /// Makes the manifest at `version` dead and removes what hangs on it; false if it has changed
    /// meanwhile.
    pub(super) async fn bury_manifest(
        &self,
        name: &Name,
        digest: &Digest,
        mut header: ManifestHeader,
        version: Version,
    ) -> Result<bool, StorageError> {
        let key = key::manifest(name, digest);
        let marker = key::marker(digest, name, header.size_bytes, &header.incarnation);
        header.state = State::Dead;
        header.pushes.clear();
        header.nonce = nonce();
        header.at = self.now();
        let dead = record::encode_manifest(&header, &[]);
        let mut stages = Vec::with_capacity(3);
        if !self.meta.is_atomic() {
            // Should the next write be the last, the collector looks here for what it left.
            stages.push(vec![Self::changed(name)]);
        }
        stages.push(vec![Write::Put(key, dead, Condition::Is(version))]);
        let mut steps = Vec::new();
        if self.meta.is_atomic() {
            // A reader finds the tags gone with it. Elsewhere a tag that moves could not undo this.
            self.untag(name, digest, "", &mut steps).await?;
        }
        if let Some(subject) = &header.subject {
            let prefix = key::referrer(name, subject, digest);
            let entry = format!("{prefix}{}", header.incarnation);
            steps.push(Write::Delete(entry, Condition::Any));
        }
        steps.push(Write::Delete(marker, Condition::Any));
        steps.push(Self::changed(name));
        stages.push(steps);
        if !self.stage_or_lose(stages).await? {
            return Ok(false);
        }
        self.untag_all(name, digest).await?;
        Ok(true)
    }

    /// Removes every tag that points at `digest`, a dead manifest, as long as it is dead.
    pub(super) async fn untag_all(&self, name: &Name, digest: &Digest) -> Result<(), StorageError> {
        let mut races = 0;
        let mut after = String::new();
        while races < RACES_MAX {
            let mut steps = Vec::new();
            let last = self.untag(name, digest, &after, &mut steps).await?;
            // Looked at after the tags: who pushes it again makes it live first, and a tag that
            // was set later has another version.
            let key = key::manifest(name, digest);
            let manifest = self.manifest_record(&key).await?;
            if manifest.is_some_and(|(header, ..)| header.state.is_readable()) {
                return Ok(());
            }
            if !steps.is_empty() && !self.write_or_lose(steps).await? {
                races += 1;
                continue;
            }
            match last {
                Some(last) => after = last,
                None => return Ok(()),
            }
        }
        Err(StorageError::Contended(key::tags_on(name, digest)))
    }

    /// Adds the steps that remove the first tags on `digest` after the entry `after`. Returns the
    /// last entry looked at if there may be more.
    ///
    /// The entries themselves go only where the look and the removal are one moment with the
    /// death of the manifest; elsewhere a tag set meanwhile would lose its entry. A stale entry
    /// costs a look at its tag.
    async fn untag(
        &self,
        name: &Name,
        digest: &Digest,
        after: &str,
        steps: &mut Vec<Write>,
    ) -> Result<Option<String>, StorageError> {
        let prefix = key::tags_on(name, digest);
        let listed = self.meta.list(&prefix, after, TAGS_PER_WRITE).await?;
        for line in &listed {
            let tag = line.key.strip_prefix(&prefix).map(str::parse::<Tag>);
            let Some(Ok(tag)) = tag else { continue };
            if let Some(stored) = self.tag(name, &tag).await?
                && stored.digest == *digest
            {
                let key = key::tag(name, &tag);
                steps.push(Write::Delete(key, Condition::Is(stored.version)));
            }
            if self.meta.is_atomic() {
                // Only this version of the entry: a push that points the tag here writes it anew.
                let condition = Condition::Is(line.version.clone());
                steps.push(Write::Delete(line.key.clone(), condition));
            }
        }
        let is_full = listed.len() == TAGS_PER_WRITE;
        Ok(listed
            .last()
            .filter(|_| is_full)
            .map(|line| line.key.clone()))
    }
}
