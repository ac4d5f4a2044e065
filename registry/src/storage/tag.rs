// SPDX-License-Identifier: Apache-2.0
//! Tags, and the list of repositories.

use oci::{Digest, Tag};

use super::error::StorageError;
use super::key;
use super::meta::{Condition, LIST_MAX, Version, Write};
use super::record::TagRecord;
use super::store::{RACES_MAX, Store};
use crate::endpoint::Name;

/// Where a tag points.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredTag {
    /// The manifest.
    pub digest: Digest,
    /// The version of the tag's record, for conditional changes.
    pub version: Version,
}

/// How the removal of a tag ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Untagged {
    /// The tag is gone.
    Yes,
    /// There was none.
    Absent,
    /// It points elsewhere than the caller wants removed.
    Kept,
}

/// One page of names, in byte order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The names.
    pub names: Vec<String>,
    /// Whether there are more after the last.
    pub more: bool,
}

impl Store {
    /// Returns where `tag` of `name` points, or none.
    ///
    /// # Errors
    ///
    /// Whatever the metadata reports.
    pub async fn tag(&self, name: &Name, tag: &Tag) -> Result<Option<StoredTag>, StorageError> {
        let read = self.read::<TagRecord>(&key::tag(name, tag)).await?;
        Ok(read.map(|(record, version)| StoredTag {
            digest: record.digest,
            version,
        }))
    }

    /// Removes `tag`; false if there was none. The manifest stays.
    ///
    /// # Errors
    ///
    /// Whatever the metadata reports.
    pub async fn delete_tag(&self, name: &Name, tag: &Tag) -> Result<bool, StorageError> {
        let untagged = self.delete_tag_if(name, tag, |_| true).await?;
        Ok(untagged == Untagged::Yes)
    }

    /// Removes `tag` if `may` says so of what it points at. The tag that goes is the one that was
    /// asked about: if it moves meanwhile, `may` is asked again.
    ///
    /// # Errors
    ///
    /// Whatever the metadata reports.
    pub async fn delete_tag_if(
        &self,
        name: &Name,
        tag: &Tag,
        may: impl Fn(&Digest) -> bool + Send,
    ) -> Result<Untagged, StorageError> {
        let _first = self.precedence.enter();
        for _ in 0..RACES_MAX {
            let Some(stored) = self.tag(name, tag).await? else {
                return Ok(Untagged::Absent);
            };
            if !may(&stored.digest) {
                return Ok(Untagged::Kept);
            }
            let steps = vec![
                Write::Delete(key::tag(name, tag), Condition::Is(stored.version)),
                Self::changed(name),
            ];
            if self.write_or_lose(steps).await? {
                return Ok(Untagged::Yes);
            }
        }
        Err(StorageError::Contended(key::tag(name, tag)))
    }

    /// Returns up to `limit` tags of `name` after `last`; none if there is no such repository.
    ///
    /// # Errors
    ///
    /// Whatever the metadata reports.
    pub async fn tags(
        &self,
        name: &Name,
        last: &str,
        limit: usize,
    ) -> Result<Option<Page>, StorageError> {
        let page = self.page(&key::tags(name), last, limit).await?;
        if page.names.is_empty() && self.meta.get(&key::changes(name)).await?.is_none() {
            return Ok(None);
        }
        Ok(Some(page))
    }

    /// Returns up to `limit` repositories after `last`.
    ///
    /// # Errors
    ///
    /// Whatever the metadata reports.
    pub async fn repositories(&self, last: &str, limit: usize) -> Result<Page, StorageError> {
        self.page(key::REPOSITORIES, last, limit).await
    }

    async fn page(&self, prefix: &str, last: &str, limit: usize) -> Result<Page, StorageError> {
        // One more than asked for tells whether there is another page.
        let limit = limit.min(LIST_MAX - 1);
        let after = format!("{prefix}{last}");
        let listed = self.meta.list(prefix, &after, limit + 1).await?;
        let more = listed.len() > limit;
        let names = listed.iter().take(limit);
        let names = names.filter_map(|line| line.key.strip_prefix(prefix));
        Ok(Page {
            names: names.map(str::to_owned).collect(),
            more,
        })
    }
}
