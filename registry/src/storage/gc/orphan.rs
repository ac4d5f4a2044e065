// SPDX-License-Identifier: Apache-2.0
//! Bytes that no record names: whoever published them stopped before the record was written, or
//! lost a race and could not remove them.
//!
//! One pass over the listings of bytes and contents side by side. A digest whose bytes lie in one
//! place and that has a record is taken to be right without reading the record (a thorough cycle
//! reads it), so a registry without orphans costs two listings.
//!
//! This is the one place where a time is part of the argument: a publisher that takes longer than
//! [`PUBLISH_SECONDS`] from its bytes to its record gives up, and the sweep leaves alone what is
//! younger than a day by the store's own clock.

use std::collections::VecDeque;

use super::Collector;
use super::pages::Pages;
use crate::storage::data::{Data, Location, Placed};
use crate::storage::error::StorageError;
use crate::storage::key;
use crate::storage::record::Content;
use crate::storage::repository::PUBLISH_SECONDS;

/// How old bytes must be before they count as forgotten.
const ORPHAN_SECONDS: u64 = 24 * PUBLISH_SECONDS;
/// How many places of one digest are looked at together; more are looked at in turns.
const PLACES_MAX: usize = 1000;

/// All published bytes in the order of their digests.
struct Places<'a> {
    data: &'a dyn Data,
    after: Option<Location>,
    page: VecDeque<Placed>,
    is_last: bool,
}

impl Places<'_> {
    async fn peek(&mut self) -> Result<Option<&Placed>, StorageError> {
        if self.page.is_empty() && !self.is_last {
            let page = self.data.placed(self.after.as_ref()).await?;
            self.is_last = page.is_empty();
            self.after = page.last().map(|last| last.location.clone());
            self.page = page.into();
        }
        Ok(self.page.front())
    }

    /// Returns the places of the next digest; empty at the end.
    async fn next_digest(&mut self) -> Result<Vec<Placed>, StorageError> {
        let mut group: Vec<Placed> = Vec::new();
        while let Some(next) = self.peek().await? {
            let is_other = group
                .first()
                .is_some_and(|first| first.digest != next.digest);
            if is_other || group.len() == PLACES_MAX {
                break;
            }
            group.extend(self.page.pop_front());
        }
        Ok(group)
    }
}

impl Collector<'_> {
    pub(super) async fn orphans(&mut self) -> Result<(), StorageError> {
        let store = self.store;
        let mut contents = Pages::new(&*store.meta, key::CONTENTS);
        let mut places = Places {
            data: &*store.data,
            after: None,
            page: VecDeque::new(),
            is_last: false,
        };
        loop {
            let group = places.next_digest().await?;
            let Some(first) = group.first() else {
                return Ok(());
            };
            let key = key::content(&first.digest);
            while contents.peek().await?.is_some_and(|line| line.key < key) {
                contents.next().await?;
            }
            let has_record = contents.peek().await?.is_some_and(|line| line.key == key);
            if group.len() > 1 || !has_record || self.policy.thorough {
                self.sweep(&key, group).await?;
            }
        }
    }

    /// Removes those of `group`, the places of one digest, that its record does not name.
    async fn sweep(&mut self, key: &str, mut group: Vec<Placed>) -> Result<(), StorageError> {
        let store = self.store;
        let seconds = self.policy.grace_seconds.max(ORPHAN_SECONDS);
        group.retain(|placed| placed.written_at.saturating_add(seconds) <= store.now());
        if group.is_empty() {
            return Ok(());
        }
        // Read after the listing, and nothing that old will be named from now on.
        let named = store.read::<Content>(key).await?;
        for placed in group {
            let is_named = named
                .as_ref()
                .is_some_and(|(content, _)| content.location == placed.location);
            if is_named {
                continue;
            }
            self.report.orphans += 1;
            self.report.bytes += placed.size_bytes;
            if !self.policy.dry_run {
                let guard = store.data.lock(&placed.location).await?;
                store.data.delete(&placed.location, &guard).await?;
            }
        }
        Ok(())
    }
}
