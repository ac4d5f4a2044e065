// SPDX-License-Identifier: Apache-2.0
//! Level 2: blobs of a repository that none of its manifests names.

use oci::Digest;

use super::Collector;
use super::pages::Pages;
use super::view::View;
use crate::endpoint::Name;
use crate::storage::error::StorageError;
use crate::storage::key;
use crate::storage::meta::{Condition, Listed, Version, Write};
use crate::storage::record::{self, Membership, State};
use crate::storage::store::{Store, nonce};

/// How many memberships are condemned before manifests are looked at again.
const BATCH: usize = 1000;

/// How long at least it is remembered that something was deleted, whatever the grace. A client that
/// was told before the deletion that a blob is there would otherwise have its manifest taken as one
/// whose blob never was (sparse), instead of being asked to send the blob again.
const REMEMBER_SECONDS: u64 = 3600;

/// A membership that nothing was seen to need.
struct Condemned {
    key: String,
    digest: Digest,
    membership: Membership,
    version: Version,
}

impl Collector<'_> {
    pub(super) async fn memberships(&mut self, name: &Name) -> Result<(), StorageError> {
        let store = self.store;
        let mut view = View::default();
        view.look(store, name).await?;
        self.bury_leftovers(name, &view).await?;
        if view.is_blind {
            self.report.repositories_skipped += 1;
            self.pending = true;
            return Ok(());
        }
        let prefix = key::memberships(name);
        let mut pages = Pages::new(&*store.meta, prefix.clone());
        let mut batch = Vec::new();
        while let Some(line) = pages.next().await? {
            let id = line.key.strip_prefix(&prefix).unwrap_or_default();
            let Ok(digest) = id.replacen('/', ":", 1).parse::<Digest>() else {
                continue;
            };
            if view.named.contains(&digest) {
                continue;
            }
            batch.extend(self.condemn(line, digest).await?);
            if batch.len() >= BATCH {
                self.settle(name, &mut view, std::mem::take(&mut batch))
                    .await?;
            }
        }
        self.settle(name, &mut view, batch).await
    }

    async fn condemn(
        &mut self,
        line: Listed,
        digest: Digest,
    ) -> Result<Option<Condemned>, StorageError> {
        let key = line.key.clone();
        let Some((mut membership, mut version)) = self.store.read::<Membership>(&key).await? else {
            return Ok(None);
        };
        if !membership.state.is_there() {
            self.forget(&line, version).await?;
            return Ok(None);
        }
        if !self.is_old(&line, self.policy.grace_seconds) {
            self.pending = true;
            return Ok(None);
        }
        self.report.memberships.candidates += 1;
        if self.policy.dry_run {
            return Ok(None);
        }
        // A quarantined one is as good as condemned: who needs it changes its version.
        if membership.state == State::Live {
            membership.state = State::Condemned;
            membership.nonce = nonce();
            if !self
                .replace(&key, record::encode(&membership), version)
                .await?
            {
                self.pending = true;
                return Ok(None);
            }
            match self.store.read::<Membership>(&key).await? {
                Some((now, found)) if now.nonce == membership.nonce => version = found,
                _ => {
                    self.pending = true;
                    return Ok(None);
                }
            }
        }
        Ok(Some(Condemned {
            key,
            digest,
            membership,
            version,
        }))
    }

    /// Removes the record of something dead. A reference to it counts as "never was there" then.
    ///
    /// Only where a write is one moment: elsewhere a publisher that saw "absent" long ago could go
    /// on where this one had stopped it.
    pub(super) async fn forget(
        &mut self,
        line: &Listed,
        version: Version,
    ) -> Result<(), StorageError> {
        if !self.store.meta.is_atomic() || self.policy.dry_run {
            return Ok(());
        }
        if !self.is_old(line, self.policy.grace_seconds.max(REMEMBER_SECONDS)) {
            self.pending = true;
            return Ok(());
        }
        self.give_way().await;
        let delete = Write::Delete(line.key.clone(), Condition::Is(version));
        if self.store.write_or_lose(vec![delete]).await? {
            self.report.dead_records += 1;
        }
        Ok(())
    }

    /// Looks at the manifests once more, then decides about what was condemned before.
    async fn settle(
        &mut self,
        name: &Name,
        view: &mut View,
        batch: Vec<Condemned>,
    ) -> Result<(), StorageError> {
        if batch.is_empty() {
            return Ok(());
        }
        // Whatever comes of it, the next cycle has to look again: at a dead record, or at one that
        // a reader rescued without needing it.
        self.pending = true;
        view.look(self.store, name).await?;
        for mut one in batch {
            let is_named = view.is_blind || view.named.contains(&one.digest);
            if is_named && one.membership.state == State::Quarantined {
                continue;
            }
            one.membership.state = if is_named { State::Live } else { State::Dead };
            one.membership.nonce = nonce();
            let bytes = record::encode(&one.membership);
            let put = Write::Put(one.key, bytes, Condition::Is(one.version));
            let mut stages = vec![vec![put]];
            if !is_named {
                let (size, incarnation) = (one.membership.size_bytes, &one.membership.incarnation);
                let marker = key::marker(&one.digest, name, size, incarnation);
                stages.push(vec![
                    Write::Delete(marker, Condition::Any),
                    Store::changed(name),
                ]);
            }
            self.give_way().await;
            if self.store.stage_or_lose(stages).await? && !is_named {
                self.report.memberships.killed += 1;
            } else {
                self.report.memberships.rescued += 1;
            }
        }
        Ok(())
    }

    /// Removes tags that a stopped deletion left on dead manifests, and the records of those.
    async fn bury_leftovers(&mut self, name: &Name, view: &View) -> Result<(), StorageError> {
        for (digest, seen) in &view.manifests {
            if seen.state != State::Dead || self.policy.dry_run {
                continue;
            }
            self.store.untag_all(name, digest).await?;
            self.forget(&seen.line, seen.line.version.clone()).await?;
        }
        Ok(())
    }
}
