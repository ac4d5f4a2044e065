// SPDX-License-Identifier: Apache-2.0
//! From damaged content to the repositories that have it and the tags that need it.

use std::collections::{BTreeMap, BTreeSet};

use oci::{Digest, Document, MediaType, Tag};

use super::Scrubber;
use crate::endpoint::Name;
use crate::storage::error::StorageError;
use crate::storage::gc::Pages;
use crate::storage::key;
use crate::storage::manifest::references;

/// How many tags are named beside one piece of damage.
const TAGS_MAX: usize = 200;

/// Which manifests name which digest, in one repository.
type Parents = BTreeMap<Digest, BTreeSet<Digest>>;

impl Scrubber<'_> {
    /// Adds repositories and tags to what was found. Each repository is gone through once.
    pub(super) async fn trace(&mut self) -> Result<(), StorageError> {
        let mut by_name: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (number, finding) in self.report.findings.iter().enumerate() {
            let names = self.store.repositories_with(&finding.digest).await?;
            for name in names.iter().map(ToString::to_string) {
                let numbers = by_name.entry(name).or_default();
                if numbers.last() != Some(&number) {
                    numbers.push(number);
                }
            }
        }
        for (text, numbers) in by_name {
            let Ok(name) = text.parse::<Name>() else {
                continue;
            };
            let parents = self.parents(&name).await?;
            for number in numbers {
                let digest = self.report.findings[number].digest.clone();
                let tags = self.tags_above(&name, &digest, &parents).await?;
                let finding = &mut self.report.findings[number];
                finding.repositories.push(text.clone());
                let room = TAGS_MAX.saturating_sub(finding.tags.len());
                let tags = tags.iter().map(|tag| format!("{name}:{tag}"));
                let is_new = |tag: &String| !finding.tags.contains(tag);
                let tags: Vec<String> = tags.filter(is_new).take(room).collect();
                finding.tags.extend(tags);
            }
        }
        Ok(())
    }

    async fn parents(&self, name: &Name) -> Result<Parents, StorageError> {
        let mut parents = Parents::new();
        let prefix = key::manifests(name);
        let mut lines = Pages::new(&*self.store.meta, prefix.clone());
        while let Some(line) = lines.next().await? {
            let id = line.key.strip_prefix(&prefix).unwrap_or_default();
            let Some(digest) = key::digest_in(id, '/') else {
                continue;
            };
            let read = match self.store.manifest_record(&line.key).await {
                Err(StorageError::BadRecord { .. }) => None,
                other => other?,
            };
            let Some((header, bytes, _)) = read else {
                continue;
            };
            let media_type = MediaType::parse(&header.media_type);
            let Ok(document) = Document::parse(bytes.to_vec(), Some(&media_type)) else {
                continue;
            };
            for named in references(&document) {
                let above = parents.entry(named.digest.clone()).or_default();
                above.insert(digest.clone());
            }
        }
        Ok(parents)
    }

    /// Returns the tags on `digest` and on everything that names it, however far above.
    async fn tags_above(
        &self,
        name: &Name,
        digest: &Digest,
        parents: &Parents,
    ) -> Result<BTreeSet<Tag>, StorageError> {
        let mut tags = BTreeSet::new();
        let mut seen = BTreeSet::from([digest]);
        let mut waiting = vec![digest];
        while let Some(next) = waiting.pop() {
            let prefix = key::tags_on(name, next);
            let mut entries = Pages::new(&*self.store.meta, prefix.clone());
            while let Some(line) = entries.next().await? {
                let tag = line.key.strip_prefix(&prefix).map(str::parse::<Tag>);
                let Some(Ok(tag)) = tag else { continue };
                let stored = self.store.tag(name, &tag).await?;
                if stored.is_some_and(|stored| stored.digest == *next) {
                    tags.insert(tag);
                }
                if tags.len() >= TAGS_MAX {
                    return Ok(tags);
                }
            }
            let above = parents.get(next).into_iter().flatten();
            waiting.extend(above.filter(|above| seen.insert(above)));
        }
        Ok(tags)
    }
}
