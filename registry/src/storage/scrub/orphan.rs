// SPDX-License-Identifier: Apache-2.0
//! Bytes that no record names: published by a process that stopped before it wrote the record.

use super::Scrubber;
use crate::storage::data::Placed;
use crate::storage::error::StorageError;
use crate::storage::key;
use crate::storage::record::{Content, State};

impl Scrubber<'_> {
    /// Removes published bytes without a record, and files of stopped uploads.
    pub(super) async fn orphans(&mut self) -> Result<(), StorageError> {
        let before = self.store.now().saturating_sub(self.policy.grace_seconds);
        let mut after = String::new();
        loop {
            let page = self.store.data.published(&after).await?;
            let Some(last) = page.last() else { break };
            after = last.location.to_string();
            for stored in page {
                if stored.written_at <= before {
                    self.orphan(&stored).await?;
                }
            }
        }
        if !self.policy.dry_run {
            self.report.leftovers += self.store.data.sweep(before).await? as u64;
        }
        Ok(())
    }

    async fn orphan(&mut self, stored: &Placed) -> Result<(), StorageError> {
        if self.is_named(stored).await? {
            return Ok(());
        }
        if !self.policy.dry_run {
            // Whoever publishes here holds the guard until its record is written.
            let guard = self.store.data.lock(&stored.location).await?;
            if self.is_named(stored).await? {
                return Ok(());
            }
            self.store.data.delete(&stored.location, &guard).await?;
        }
        self.report.orphans += 1;
        self.report.orphan_bytes += stored.size_bytes;
        Ok(())
    }

    /// Tells whether a record names the bytes, or cannot be read and may.
    async fn is_named(&self, stored: &Placed) -> Result<bool, StorageError> {
        let key = key::content(&stored.digest);
        match self.store.read::<Content>(&key).await {
            Ok(read) => Ok(read.is_some_and(|(content, _)| {
                content.location == stored.location && content.state != State::Dead
            })),
            Err(StorageError::BadRecord { .. }) => Ok(true),
            Err(error) => Err(error),
        }
    }
}
