// SPDX-License-Identifier: Apache-2.0
//! Records against the records that they hang together with.

use oci::{Digest, Document, MediaType, Tag};

use super::Scrubber;
use super::report::{Damage, Remedy};
use crate::endpoint::Name;
use crate::storage::data::Bytes;
use crate::storage::error::StorageError;
use crate::storage::gc::{Marker, Pages};
use crate::storage::key;
use crate::storage::manifest::{ManifestPut, digest_of, references};
use crate::storage::meta::{Condition, Listed, Version, Write};
use crate::storage::record::{self, Content, ManifestHeader, Membership, State};
use crate::storage::referrer::referrer_descriptor;
use crate::storage::store::Store;

impl Scrubber<'_> {
    pub(super) async fn repository(&mut self, name: &Name) -> Result<(), StorageError> {
        self.report.repositories += 1;
        let store = self.store;
        let prefix = key::memberships(name);
        let mut lines = Pages::new(&*store.meta, prefix.clone());
        while let Some(line) = lines.next().await? {
            let done = self.membership(name, &prefix, &line).await;
            self.survive(done)?;
        }
        let prefix = key::manifests(name);
        let mut lines = Pages::new(&*store.meta, prefix.clone());
        while let Some(line) = lines.next().await? {
            let done = self.manifest(name, &prefix, &line).await;
            self.survive(done)?;
        }
        let prefix = key::tags(name);
        let mut lines = Pages::new(&*store.meta, prefix.clone());
        while let Some(line) = lines.next().await? {
            let done = self.tag(name, &prefix, &line).await;
            self.survive(done)?;
        }
        self.tag_entries(name).await?;
        self.referrer_entries(name).await
    }

    /// Counts a record that cannot be read, and goes on.
    fn survive(&mut self, result: Result<(), StorageError>) -> Result<(), StorageError> {
        match result {
            Err(StorageError::BadRecord { .. }) => {
                self.report.unreadable_records += 1;
                Ok(())
            }
            other => other,
        }
    }

    async fn membership(
        &mut self,
        name: &Name,
        prefix: &str,
        line: &Listed,
    ) -> Result<(), StorageError> {
        let Some(digest) = in_line(prefix, line) else {
            return Ok(());
        };
        let Some((found, version)) = self.store.read::<Membership>(&line.key).await? else {
            return Ok(());
        };
        if !found.state.is_readable() {
            return Ok(());
        }
        self.report.memberships += 1;
        let marker = key::marker(&digest, name, found.size_bytes, &found.incarnation);
        self.restore(marker, Vec::new(), &line.key, version).await?;
        let content = self.store.read::<Content>(&key::content(&digest)).await?;
        match content.map(|(content, _)| content.state) {
            Some(State::Live | State::Condemned) => return Ok(()),
            // A push that looked at the content before it was quarantined, and wrote after that.
            Some(State::Quarantined) => {}
            Some(State::Dead) | None => {
                let remedy = self.remedy(Remedy::Quarantined);
                self.report.add(digest, Damage::NoContent, remedy);
            }
        }
        if self.policy.dry_run {
            return Ok(());
        }
        self.store.quarantine_member(&line.key).await
    }

    async fn manifest(
        &mut self,
        name: &Name,
        prefix: &str,
        line: &Listed,
    ) -> Result<(), StorageError> {
        let Some(digest) = in_line(prefix, line) else {
            return Ok(());
        };
        let read = self.store.manifest_record(&line.key).await?;
        let Some((header, bytes, version)) = read.filter(|(header, ..)| header.state.is_there())
        else {
            return Ok(());
        };
        self.report.manifests += 1;
        let is_whole = digest_of(digest.algorithm(), &bytes) == digest;
        if !is_whole || !header.state.is_readable() {
            return self.damaged_manifest(name, digest, header, version).await;
        }
        let marker = key::marker(&digest, name, header.size_bytes, &header.incarnation);
        self.restore(marker, Vec::new(), &line.key, version.clone())
            .await?;
        let content = self.store.read::<Content>(&key::content(&digest)).await?;
        let is_live = content.is_some_and(|(content, _)| content.state.is_readable());
        if !is_live {
            let remedy = self.remedy(Remedy::Healed);
            if remedy == Remedy::Healed {
                self.store.heal_from_manifest(&digest).await?;
            }
            self.report.add(digest.clone(), Damage::NoContent, remedy);
        }
        let media_type = MediaType::parse(&header.media_type);
        let Ok(document) = Document::parse(bytes.to_vec(), Some(&media_type)) else {
            self.report.unreadable_records += 1;
            return Ok(());
        };
        self.references(name, &document).await?;
        let Some(subject) = &header.subject else {
            return Ok(());
        };
        let prefix = key::referrer(name, subject, &digest);
        let entry = format!("{prefix}{}", header.incarnation);
        let put = ManifestPut {
            name,
            digest,
            document,
            media_type: header.media_type.clone(),
            tags: Vec::new(),
            tag_condition: Condition::Any,
        };
        let descriptor = record::encode(&referrer_descriptor(&put));
        self.restore(entry, descriptor, &line.key, version).await
    }

    /// Writes the bytes of a manifest's record again from its content, or takes it out of sight.
    async fn damaged_manifest(
        &mut self,
        name: &Name,
        digest: Digest,
        mut header: ManifestHeader,
        version: Version,
    ) -> Result<(), StorageError> {
        let key = key::manifest(name, &digest);
        let copy = self.content_bytes(&digest).await?;
        let remedy = self.remedy(match copy {
            Some(_) => Remedy::Healed,
            None => Remedy::Quarantined,
        });
        if !self.policy.dry_run && (copy.is_some() || header.state.is_readable()) {
            header.state = match copy {
                Some(_) => State::Live,
                None => State::Quarantined,
            };
            header.nonce = crate::storage::store::nonce();
            let record = record::encode_manifest(&header, &copy.unwrap_or_default());
            let put = Write::Put(key, record, Condition::Is(version));
            if !self.store.write_or_lose(vec![put]).await? {
                return Ok(());
            }
        }
        let damage = Damage::Unreadable;
        self.report.add(digest, damage, remedy);
        Ok(())
    }

    /// Returns the bytes of content that a manifest may consist of, if they are whole.
    async fn content_bytes(&self, digest: &Digest) -> Result<Option<bytes::Bytes>, StorageError> {
        let content = self.store.read::<Content>(&key::content(digest)).await?;
        let Some((content, _)) = content.filter(|(content, _)| content.state.is_readable()) else {
            return Ok(None);
        };
        let limit = Document::SIZE_MAX_BYTES as u64;
        if content.size_bytes > limit {
            return Ok(None);
        }
        let read = self
            .store
            .data
            .read(&content.location, 0..content.size_bytes);
        let bytes = match read.await {
            Ok(Bytes::Whole(bytes)) => bytes,
            Ok(Bytes::Stream(mut pieces)) => {
                let mut whole = Vec::new();
                while let Some(piece) = futures_util::StreamExt::next(&mut pieces).await {
                    let Ok(piece) = piece else { return Ok(None) };
                    whole.extend_from_slice(&piece);
                }
                whole.into()
            }
            Err(StorageError::Missing(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok((digest_of(digest.algorithm(), &bytes) == *digest).then_some(bytes))
    }

    /// Tells of references to what was there once and has been removed.
    async fn references(&mut self, name: &Name, document: &Document) -> Result<(), StorageError> {
        let is_index = matches!(document, Document::Index(..));
        for descriptor in references(document) {
            let digest = &descriptor.digest;
            let mut states = Vec::with_capacity(2);
            if is_index {
                let key = key::manifest(name, digest);
                let read = self.store.manifest_record(&key).await?;
                states.extend(read.map(|(header, ..)| header.state));
            }
            let key = key::membership(name, digest);
            let read = self.store.read::<Membership>(&key).await?;
            states.extend(read.map(|(found, _)| found.state));
            let is_dead = |state: &State| *state == State::Dead;
            if !states.is_empty() && states.iter().all(is_dead) {
                let damage = Damage::MissingReference;
                self.report.add(digest.clone(), damage, Remedy::None);
            }
        }
        Ok(())
    }

    async fn tag(&mut self, name: &Name, prefix: &str, line: &Listed) -> Result<(), StorageError> {
        let tag = line.key.strip_prefix(prefix).map(str::parse::<Tag>);
        let Some(Ok(tag)) = tag else { return Ok(()) };
        let Some(stored) = self.store.tag(name, &tag).await? else {
            return Ok(());
        };
        self.report.tags += 1;
        let entry = key::tag_on(name, &stored.digest, &tag);
        let version = stored.version.clone();
        self.restore(entry, Vec::new(), &line.key, version).await?;
        let key = key::manifest(name, &stored.digest);
        // Looked at after the tag: who pushes it again makes it live first, and sets the tag in
        // another version after that.
        let remedy = match self.store.manifest_record(&key).await? {
            Some((header, ..)) if header.state.is_there() => return Ok(()),
            Some((.., version)) if !self.policy.dry_run => {
                let steps = vec![
                    Write::Require(key, Condition::Is(version)),
                    Write::Delete(line.key.clone(), Condition::Is(stored.version)),
                    Store::changed(name),
                ];
                if !self.store.write_or_lose(steps).await? {
                    return Ok(());
                }
                Remedy::Removed
            }
            // Without a record nobody knows whether it was deleted or lost.
            Some(_) | None => Remedy::None,
        };
        self.report
            .add_tag(stored.digest, format!("{name}:{tag}"), remedy);
        Ok(())
    }

    /// Writes the entry `key` unless it is there, and looks at the record that it supports after
    /// that.
    async fn restore(
        &mut self,
        key: String,
        value: Vec<u8>,
        supported: &str,
        version: Version,
    ) -> Result<(), StorageError> {
        if self.store.meta.get(&key).await?.is_some() {
            return Ok(());
        }
        if self.policy.dry_run {
            self.report.entries_restored += 1;
            return Ok(());
        }
        let steps = vec![
            Write::Put(key, value, Condition::Absent),
            Write::Require(supported.to_owned(), Condition::Is(version)),
        ];
        // If the record has changed meanwhile, the entry may support nothing: that is a state that
        // publishers leave too, and the next thorough look removes it.
        let is_written = self.store.write_or_lose(steps).await?;
        self.report.entries_restored += u64::from(is_written);
        Ok(())
    }

    /// Removes reverse entries whose tag points elsewhere.
    ///
    /// Only where a write is one moment: elsewhere a push that has written its entry and not yet
    /// its tag would lose the entry. There a stale one costs a look at its tag, and nothing else.
    async fn tag_entries(&mut self, name: &Name) -> Result<(), StorageError> {
        let store = self.store;
        if !store.meta.is_atomic() {
            return Ok(());
        }
        let prefix = key::tag_entries(name);
        let mut lines = Pages::new(&*store.meta, prefix.clone());
        while let Some(line) = lines.next().await? {
            let rest = line.key.strip_prefix(&prefix);
            let Some((id, tag)) = rest.and_then(|rest| rest.split_once('/')) else {
                continue;
            };
            let (Some(digest), Ok(tag)) = (key::digest_in(id, '-'), tag.parse::<Tag>()) else {
                continue;
            };
            let stored = store.tag(name, &tag).await?;
            if stored
                .as_ref()
                .is_some_and(|stored| stored.digest == digest)
            {
                continue;
            }
            self.report.entries_removed += 1;
            if self.policy.dry_run {
                continue;
            }
            let version = stored.map(|stored| stored.version);
            let steps = vec![
                Write::Require(key::tag(name, &tag), Condition::unchanged(version)),
                Write::Delete(line.key, Condition::Is(line.version)),
            ];
            store.write_or_lose(steps).await?;
        }
        Ok(())
    }

    /// Removes entries of referrers that are not there.
    async fn referrer_entries(&mut self, name: &Name) -> Result<(), StorageError> {
        let store = self.store;
        let prefix = key::all_referrers(name);
        let mut lines = Pages::new(&*store.meta, prefix.clone());
        while let Some(line) = lines.next().await? {
            let mut parts = line.key.strip_prefix(&prefix).unwrap_or("").split('/');
            let (id, incarnation) = (parts.nth(1), parts.next());
            let (Some(id), Some(incarnation)) = (id, incarnation) else {
                continue;
            };
            let Some(digest) = key::digest_in(id, '-') else {
                continue;
            };
            let marker = Marker {
                digest,
                name: name.clone(),
                incarnation: incarnation.to_owned(),
            };
            self.unless_needed(&marker, &line).await?;
        }
        Ok(())
    }

    /// Removes markers that support nothing.
    pub(super) async fn markers(&mut self) -> Result<(), StorageError> {
        let mut lines = Pages::new(&*self.store.meta, key::MARKERS);
        while let Some(line) = lines.next().await? {
            if let Some(marker) = Marker::parse(&line.key) {
                self.unless_needed(&marker, &line).await?;
            }
        }
        Ok(())
    }

    /// Removes the entry `line` if it belongs to the incarnation of `marker` and no record of that
    /// is there or on its way.
    async fn unless_needed(&mut self, marker: &Marker, line: &Listed) -> Result<(), StorageError> {
        if !self.is_old(line) || !self.store.forbid(marker, self.policy.dry_run).await? {
            return Ok(());
        }
        self.report.entries_removed += 1;
        if self.policy.dry_run {
            return Ok(());
        }
        let delete = Write::Delete(line.key.clone(), Condition::Any);
        self.store.meta.write(vec![delete]).await
    }

    /// Returns what is done about damage: nothing if this only looks.
    fn remedy(&self, remedy: Remedy) -> Remedy {
        if self.policy.dry_run {
            Remedy::None
        } else {
            remedy
        }
    }
}

/// Returns the digest at the end of a key.
fn in_line(prefix: &str, line: &Listed) -> Option<Digest> {
    key::digest_in(line.key.strip_prefix(prefix)?, '/')
}
