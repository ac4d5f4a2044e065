// SPDX-License-Identifier: Apache-2.0
//! Scrubbing: finds what is damaged while everybody goes on, mends what has another copy, and takes
//! the rest out of sight so that the next push brings it back.
//!
//! Names first (`names`: every record against the ones it hangs together with), then sizes, then
//! bytes (`contents`), then bytes that nothing names (`orphan`). What was found is traced to the
//! tags that suffer (`affected`).
//!
//! *Quarantine.* Bytes are judged bad only after a second look with every publisher of that digest
//! kept out. They are taken out of the way first, then the content record becomes quarantined by a
//! conditional write, then the memberships under its markers: a stop in between leaves a live
//! record without bytes, which the next scrub finds, and never bytes that a publisher could take
//! for good ones. A manifest's bytes are in its record too, so content that is one heals at once.
//! Who pushes the digest again makes the content live, and the memberships of all repositories come
//! back when they are read: their markers were there all the time, so no collector took what they
//! need.
//!
//! What it writes keeps the order of [`super::gc`]: a missing marker or entry is written first and
//! the record that it supports looked at after that; a stale one is removed after nobody can come
//! who needs it (`Store::forbid`).
//!
//! Ours: `docs/registry-repair.md`.

mod affected;
mod contents;
mod names;
mod orphan;
mod quarantine;
mod report;
#[cfg(test)]
mod tests;
mod turn;

pub use report::{Damage, Finding, Remedy, ScrubReport};

use serde::{Deserialize, Serialize};

use super::error::StorageError;
use super::gc::Pages;
use super::key;
use super::meta::Listed;
use super::store::Store;

/// How closely to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ScrubLevel {
    /// At the records alone.
    Names,
    /// Also whether all bytes are there, by their number.
    Sizes,
    /// Also whether they are the right ones.
    Bytes,
}

/// How closely to look, how fast, and whether to change anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScrubPolicy {
    /// How closely to look.
    pub level: ScrubLevel,
    /// How many bytes to hash in a second at most; none for as many as possible.
    pub bytes_per_second: Option<u64>,
    /// After how many hashed bytes to stop; the next scrub goes on there. None goes once through
    /// everything.
    pub bytes_max: Option<u64>,
    /// How old, in seconds, something must be that belongs to nothing before it is removed.
    pub grace_seconds: u64,
    /// Whether to look only.
    pub dry_run: bool,
}

impl Default for ScrubPolicy {
    /// Returns the policy that looks at sizes and removes leftovers of the day before.
    fn default() -> Self {
        Self {
            level: ScrubLevel::Sizes,
            bytes_per_second: None,
            bytes_max: None,
            grace_seconds: 24 * 3600,
            dry_run: false,
        }
    }
}

/// One scrub.
struct Scrubber<'a> {
    store: &'a Store,
    policy: &'a ScrubPolicy,
    report: ScrubReport,
}

impl Store {
    /// Looks through the whole registry once.
    ///
    /// # Errors
    ///
    /// Whatever the traits report; what was done is done. Damage is no error.
    ///
    /// # Cancellation
    ///
    /// What was mended stays so. The next scrub goes on hashing near where this one was.
    pub async fn scrub(&self, policy: &ScrubPolicy) -> Result<ScrubReport, StorageError> {
        let mut scrubber = Scrubber {
            store: self,
            policy,
            report: ScrubReport::default(),
        };
        let mut repositories = Pages::new(&*self.meta, key::REPOSITORIES);
        while let Some(line) = repositories.next().await? {
            let name = line.key.strip_prefix(key::REPOSITORIES).map(str::parse);
            if let Some(Ok(name)) = name {
                scrubber.repository(&name).await?;
            }
        }
        scrubber.markers().await?;
        if policy.level >= ScrubLevel::Sizes {
            scrubber.sizes().await?;
            scrubber.orphans().await?;
        }
        if policy.level >= ScrubLevel::Bytes {
            scrubber.bytes().await?;
        }
        scrubber.trace().await?;
        Ok(scrubber.report)
    }
}

impl Scrubber<'_> {
    /// Tells whether a record is old enough to go, by the store's own clock.
    fn is_old(&self, line: &Listed) -> bool {
        let old_at = line.written_at.saturating_add(self.policy.grace_seconds);
        old_at <= self.store.now()
    }
}
