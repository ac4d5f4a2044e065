// SPDX-License-Identifier: Apache-2.0
//! Level 3: manifests that no tag, no index and no subject keeps. Only by policy: the specification
//! lets clients use a manifest by its digest alone.

use oci::Digest;

use super::Collector;
use super::view::View;
use crate::endpoint::Name;
use crate::storage::error::StorageError;
use crate::storage::key;
use crate::storage::meta::Version;
use crate::storage::record::{self, ManifestHeader, State};
use crate::storage::store::nonce;

/// How many generations one cycle removes: an index, its indexes, their images, their referrers.
/// What is deeper goes in the next cycle.
const GENERATIONS_MAX: usize = 8;

/// A manifest that nothing was seen to need.
struct Condemned {
    digest: Digest,
    header: ManifestHeader,
    bytes: bytes::Bytes,
    version: Version,
}

impl Collector<'_> {
    pub(super) async fn manifests(&mut self, name: &Name) -> Result<(), StorageError> {
        let mut view = View::default();
        view.look(self.store, name).await?;
        for _ in 0..GENERATIONS_MAX {
            if view.is_blind {
                self.pending = true;
                return Ok(());
            }
            let mut condemned = Vec::new();
            for digest in self.loose(name, &view).await? {
                self.report.manifests.candidates += 1;
                if !self.policy.dry_run {
                    condemned.extend(self.condemn_manifest(name, digest).await?);
                }
            }
            if condemned.is_empty() {
                return Ok(());
            }
            view.look(self.store, name).await?;
            for one in condemned {
                self.settle_manifest(name, &view, one).await?;
            }
            view.look(self.store, name).await?;
        }
        self.pending = true;
        Ok(())
    }

    /// Returns the manifests that are old enough and that nothing keeps.
    async fn loose(&mut self, name: &Name, view: &View) -> Result<Vec<Digest>, StorageError> {
        let after = self.policy.untagged_seconds.unwrap_or(u64::MAX);
        let after = after.max(self.policy.grace_seconds);
        let children = view.children();
        let mut loose = Vec::new();
        for (digest, seen) in &view.manifests {
            if !seen.state.is_readable() || children.contains(digest) {
                continue;
            }
            let subject = seen.subject.as_ref();
            if subject.is_some_and(|subject| view.is_readable(subject)) {
                continue;
            }
            if self.store.is_tagged(name, digest, None).await? {
                continue;
            }
            if self.is_old(&seen.line, after) {
                loose.push(digest.clone());
            } else {
                self.pending = true;
            }
        }
        Ok(loose)
    }

    async fn condemn_manifest(
        &mut self,
        name: &Name,
        digest: Digest,
    ) -> Result<Option<Condemned>, StorageError> {
        let key = key::manifest(name, &digest);
        let read = self.store.manifest_record(&key).await?;
        let condemned = match read {
            Some(held) if held.0.state == State::Live => {
                self.give_way().await;
                let condemned = self.store.condemn_manifest(&key, held).await?;
                self.pending |= condemned.is_none();
                condemned
            }
            read => read.filter(|(header, ..)| header.state == State::Condemned),
        };
        Ok(condemned.map(|(header, bytes, version)| Condemned {
            digest,
            header,
            bytes,
            version,
        }))
    }

    /// Looks for what keeps it once more, then decides. `view` was taken after it was condemned.
    async fn settle_manifest(
        &mut self,
        name: &Name,
        view: &View,
        mut one: Condemned,
    ) -> Result<(), StorageError> {
        let subject = one.header.subject.as_ref();
        let is_kept = view.is_blind
            || view.children().contains(&one.digest)
            || subject.is_some_and(|subject| view.is_readable(subject))
            || self.store.is_tagged(name, &one.digest, None).await?;
        self.pending = true;
        if is_kept {
            one.header.state = State::Live;
            one.header.nonce = nonce();
            let record = record::encode_manifest(&one.header, &one.bytes);
            let key = key::manifest(name, &one.digest);
            self.replace(&key, record, one.version).await?;
        } else {
            let store = self.store;
            let bury = store.bury_manifest(name, &one.digest, one.header, one.version);
            if bury.await? {
                self.report.manifests.killed += 1;
                return Ok(());
            }
        }
        self.report.manifests.rescued += 1;
        Ok(())
    }
}
