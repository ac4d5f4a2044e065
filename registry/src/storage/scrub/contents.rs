// SPDX-License-Identifier: Apache-2.0
//! Bytes against their records: by number, or by hash in turns that begin where the last one ended.

use std::time::Duration;

use futures_util::future::BoxFuture;
use oci::Digest;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep_until};

use super::Scrubber;
use super::quarantine::{AsyncPace, Look};
use super::report::Remedy;
use crate::storage::error::StorageError;
use crate::storage::gc::Pages;
use crate::storage::key;
use crate::storage::meta::{Condition, Write};
use crate::storage::record::{self, Content, State};

/// After how many contents the place is noted.
const NOTE_EVERY: u64 = 100;

/// Which content was verified last. Keys are gone through in order, again and again, so what comes
/// next is always what was verified longest ago.
#[derive(Default, Serialize, Deserialize)]
struct Cursor {
    /// The key of its record; empty before the first.
    after: String,
    /// When, in seconds since 1970.
    at: u64,
}

/// Holds hashing to a number of bytes in a second.
struct Pace {
    bytes_per_second: Option<u64>,
    started: Option<Instant>,
    passed_bytes: u64,
}

impl AsyncPace for Pace {
    fn passed(&mut self, count: u64) -> BoxFuture<'_, ()> {
        self.passed_bytes += count;
        Box::pin(async {
            let Some(rate) = self.bytes_per_second else {
                return;
            };
            let started = *self.started.get_or_insert_with(Instant::now);
            let millis = self.passed_bytes.saturating_mul(1000) / rate.max(1);
            sleep_until(started + Duration::from_millis(millis)).await;
        })
    }
}

impl Scrubber<'_> {
    /// Compares the number of bytes of all contents.
    pub(super) async fn sizes(&mut self) -> Result<(), StorageError> {
        let mut contents = Pages::new(&*self.store.meta, key::CONTENTS);
        let mut unpaced = super::quarantine::Unpaced;
        while let Some(line) = contents.next().await? {
            self.report.contents += 1;
            self.content(&line.key, Look::Size, &mut unpaced).await?;
        }
        Ok(())
    }

    /// Hashes contents, those first that were hashed longest ago.
    pub(super) async fn bytes(&mut self) -> Result<(), StorageError> {
        let read = self.store.read::<Cursor>(key::SCRUBBED).await?;
        let start = read.map(|(cursor, _)| cursor.after).unwrap_or_default();
        let mut pace = Pace {
            bytes_per_second: self.policy.bytes_per_second,
            started: None,
            passed_bytes: 0,
        };
        let is_whole = self.bytes_between(&start, None, &mut pace).await?
            && self.bytes_between("", Some(&start), &mut pace).await?;
        self.report.verified_bytes = pace.passed_bytes;
        self.report.is_complete = is_whole;
        Ok(())
    }

    /// Hashes what lies behind `after` up to `last`; false if the policy's limit came before.
    async fn bytes_between(
        &mut self,
        after: &str,
        last: Option<&str>,
        pace: &mut Pace,
    ) -> Result<bool, StorageError> {
        let mut contents = Pages::new(&*self.store.meta, key::CONTENTS).from(after);
        let mut verified = String::new();
        while let Some(line) = contents.next().await? {
            if last.is_some_and(|last| line.key.as_str() > last) {
                break;
            }
            let is_spent = |max| pace.passed_bytes >= max;
            if self.policy.bytes_max.is_some_and(is_spent) {
                self.note(&verified).await?;
                return Ok(false);
            }
            self.content(&line.key, Look::Whole, pace).await?;
            self.report.verified += 1;
            verified = line.key;
            if self.report.verified.is_multiple_of(NOTE_EVERY) {
                self.note(&verified).await?;
            }
        }
        self.note(&verified).await?;
        Ok(true)
    }

    async fn note(&self, verified: &str) -> Result<(), StorageError> {
        if self.policy.dry_run || verified.is_empty() {
            return Ok(());
        }
        let cursor = record::encode(&Cursor {
            after: verified.to_owned(),
            at: self.store.now(),
        });
        let put = Write::Put(key::SCRUBBED.to_owned(), cursor, Condition::Any);
        self.store.meta.write(vec![put]).await
    }

    async fn content(
        &mut self,
        key: &str,
        look: Look,
        pace: &mut (dyn AsyncPace + Send),
    ) -> Result<(), StorageError> {
        let id = key.strip_prefix(key::CONTENTS).unwrap_or_default();
        let Some(digest) = key::digest_in(id, '/') else {
            return Ok(());
        };
        let content = match self.store.read::<Content>(key).await {
            Ok(Some((content, _))) => content,
            Ok(None) => return Ok(()),
            Err(StorageError::BadRecord { .. }) => {
                self.report.unreadable_records += u64::from(look == Look::Size);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        match content.state {
            State::Dead => Ok(()),
            State::Quarantined => self.quarantined(&digest, look).await,
            State::Live | State::Condemned => {
                let judged = self.store.judge(&digest, &content, look, pace).await?;
                match judged {
                    None => Ok(()),
                    Some(_) if !self.policy.dry_run => {
                        if let Some((damage, remedy)) = self.store.quarantine(&digest, look).await?
                        {
                            self.report.add(digest, damage, remedy);
                        }
                        Ok(())
                    }
                    Some(damage) => {
                        self.report.add(digest, damage, Remedy::None);
                        Ok(())
                    }
                }
            }
        }
    }

    /// Goes on where a scrub that found the damage was stopped, or tells of what is still waiting
    /// for a push.
    async fn quarantined(&mut self, digest: &Digest, look: Look) -> Result<(), StorageError> {
        if look != Look::Size {
            return Ok(());
        }
        let mut remedy = Remedy::Quarantined;
        if !self.policy.dry_run {
            if self.store.heal_from_manifest(digest).await? {
                remedy = Remedy::Healed;
            } else {
                self.store.quarantine_members(digest).await?;
            }
        }
        self.report
            .add(digest.clone(), super::Damage::Missing, remedy);
        Ok(())
    }
}
