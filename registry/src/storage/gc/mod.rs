// SPDX-License-Identifier: Apache-2.0
//! The garbage collector: removes what nothing refers to, while everybody goes on pushing.
//!
//! Three kinds of *resource* are kept alive by *references*, and each is collected by the same
//! protocol:
//!
//! | Level | Resource | What keeps it alive |
//! |---|---|---|
//! | 1, `content` | `c/`: bytes | `k/`: a repository has them |
//! | 2, `membership` | `@b`: a repository may serve a blob | a manifest of the repository names it |
//! | 3, `manifest` | `@m`: a manifest | a tag, an index, or (for a referrer) its subject |
//!
//! A publisher writes the reference first and looks at the resource *after* that: live, it
//! acknowledges; condemned, it makes it live again by a conditional write; dead, it begins anew.
//! The collector condemns a resource without references by a conditional write, looks for
//! references *after* that, and then kills by a conditional write on the version that it condemned,
//! or makes it live again. Suppose somebody acknowledged a reference to what was killed. It looked
//! before the condemning: then its reference was there for the second look. Or between condemning
//! and killing: then it changed the version and the killing failed. Or after the killing: then it
//! did not acknowledge. No lock, no clock and no read-only mode is part of that; ages only spare
//! pushes under way from having to begin anew. Any number of collectors may run, and stop anywhere.
//!
//! Invariants, at every moment (`explore` runs the code against them in every order of its store
//! operations):
//!
//! - I1. What an acknowledged manifest refers to is readable in its repository, unless it never was
//!   there (sparse) or somebody deleted it.
//! - I2. A readable membership or manifest has the marker of its incarnation, and the content under
//!   a marked readable record is not dead.
//! - I3. Live content has its bytes.
//! - I4. A location belongs to at most one content record, for good (where locations are never used
//!   twice; elsewhere publishing and removing exclude each other, see [`super::data::Guard`]).
//! - I5. A readable manifest with a subject is among the subject's referrers.
//!
//! A cycle runs in several *lanes*, each over repositories or digests of its own. To the argument
//! above they are several collectors; they exist because a step waits for the store, and a store
//! that makes many steps durable at once (or answers slowly) does so for all lanes in the same time.
//!
//! Ours: `docs/registry-gc.md` has the argument at length, and what was checked.

mod content;
#[cfg(test)]
mod explore;
mod manifest;
mod marker;
mod membership;
mod orphan;
mod pages;
mod report;
#[cfg(test)]
mod tests;
mod turn;
mod view;

#[cfg(test)]
pub(in crate::storage) use explore::numbers;
pub(in crate::storage) use marker::Marker;
pub(in crate::storage) use pages::Pages;
pub use report::{GcReport, Level};
pub use turn::Turns;

use futures_util::stream::{self, Stream, StreamExt as _, TryStreamExt as _};
use oci::Algorithm;
use serde::{Deserialize, Serialize};

use super::error::StorageError;
use super::key;
use super::meta::{Condition, Listed, Version, Write};
use super::record;
use super::store::Store;
use crate::endpoint::Name;

/// How many lanes a cycle has. Ours: the store commits what waits in one go, so 16 lanes collect
/// about 16 times as fast as one; more would only make the groups larger that a push waits behind.
const LANES: usize = 16;

/// What goes, and how far a cycle looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GcPolicy {
    /// How old, in seconds, something without references must be. A push that takes longer than
    /// this from its first blob to its manifest may have to send blobs again.
    pub grace_seconds: u64,
    /// After how many seconds a manifest goes that has no tag, no index and no live subject; none
    /// keeps it.
    pub untagged_seconds: Option<u64>,
    /// Whether every repository is looked at, not only those that changed, and markers that
    /// a stopped push left are removed.
    pub thorough: bool,
    /// Whether to count only.
    pub dry_run: bool,
}

impl Default for GcPolicy {
    /// Returns the policy that loses nothing anybody could miss: a day of grace, untagged manifests
    /// stay.
    fn default() -> Self {
        Self {
            grace_seconds: 24 * 3600,
            untagged_seconds: None,
            thorough: false,
            dry_run: false,
        }
    }
}

/// How far a repository was looked through: nothing is left to do until one of the two changes.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Settled {
    /// The version of its change marker.
    changes: String,
    grace_seconds: u64,
    untagged_seconds: Option<u64>,
}

/// One cycle.
struct Collector<'a> {
    store: &'a Store,
    policy: &'a GcPolicy,
    report: GcReport,
    /// Whether something in the repository at hand must be looked at again next time.
    pending: bool,
    /// Whether each step lets clients go first.
    gives_way: bool,
}

impl Store {
    /// Runs one cycle over all repositories.
    ///
    /// # Errors
    ///
    /// Whatever the traits report; what was done is done, and the next cycle goes on.
    ///
    /// # Cancellation
    ///
    /// At most condemned records stay behind: everybody reads them, publishers make them live, the
    /// next cycle decides about them.
    pub async fn collect(&self, policy: &GcPolicy) -> Result<GcReport, StorageError> {
        self.collect_in(LANES, policy).await
    }

    /// Runs one cycle in `lanes` lanes. One lane does one thing after the other.
    async fn collect_in(&self, lanes: usize, policy: &GcPolicy) -> Result<GcReport, StorageError> {
        let lane = || Collector {
            store: self,
            policy,
            report: GcReport::default(),
            pending: false,
            // One lane is how `explore` runs it, where time does not pass. Without grace somebody
            // wants the space now, and the histories of the tests want to be met everywhere.
            gives_way: lanes > 1 && policy.grace_seconds > 0,
        };
        let names = lane().repositories();
        let repositories = names.map_ok(|(name, version)| async move {
            let mut collector = lane();
            collector.repository(&name, &version).await?;
            Ok(collector.report)
        });
        let first = repositories.try_buffer_unordered(lanes);
        let ranges = stream::iter(ranges(lanes)).map(|range| async move {
            let mut collector = lane();
            collector.contents(&range).await?;
            Ok(collector.report)
        });
        // What a repository loses is garbage for the contents, so they come behind all of them.
        let reports = first.chain(ranges.buffer_unordered(lanes));
        let report = reports
            .try_fold(GcReport::default(), |sum, one| async move { Ok(sum + one) })
            .await?;
        let mut last = lane();
        last.orphans().await?;
        Ok(report + last.report)
    }
}

/// Divides all digests, as parts of keys, among lanes.
fn ranges(lanes: usize) -> Vec<String> {
    if lanes <= 1 {
        return vec![String::new()];
    }
    let of = |algorithm: Algorithm| {
        let digits = "0123456789abcdef".chars();
        digits.map(move |digit| format!("{algorithm}/{digit}"))
    };
    let algorithms = [Algorithm::Sha256, Algorithm::Sha512];
    algorithms.into_iter().flat_map(of).collect()
}

impl<'a> Collector<'a> {
    /// Returns every repository with the version of its change marker.
    fn repositories(self) -> impl Stream<Item = Result<(Name, Version), StorageError>> + 'a {
        let pages = Pages::new(&*self.store.meta, key::REPOSITORIES);
        let lines = stream::try_unfold(pages, |mut pages| async move {
            let line = pages.next().await?;
            Ok(line.map(|line| (line, pages)))
        });
        lines.try_filter_map(|line| async move {
            let name = line.key.strip_prefix(key::REPOSITORIES).map(str::parse);
            Ok(name.and_then(Result::ok).map(|name| (name, line.version)))
        })
    }
}

impl Collector<'_> {
    async fn repository(&mut self, name: &Name, changes: &Version) -> Result<(), StorageError> {
        self.report.repositories += 1;
        let settled = Settled {
            changes: changes.to_string(),
            grace_seconds: self.policy.grace_seconds,
            untagged_seconds: self.policy.untagged_seconds,
        };
        let key = key::settled(name);
        let before = self.store.read::<Settled>(&key).await?;
        if !self.policy.thorough && before.is_some_and(|(before, _)| before == settled) {
            self.report.repositories_unchanged += 1;
            return Ok(());
        }
        self.pending = false;
        if self.policy.untagged_seconds.is_some() {
            self.manifests(name).await?;
        }
        self.memberships(name).await?;
        if !self.pending && !self.policy.dry_run {
            // Whoever changes the repository later changes its marker, and this no longer holds.
            let put = Write::Put(key, record::encode(&settled), Condition::Any);
            self.store.meta.write(vec![put]).await?;
        }
        Ok(())
    }

    /// Tells whether a record is old enough to go, by the store's own clock.
    fn is_old(&self, line: &Listed, seconds: u64) -> bool {
        line.written_at.saturating_add(seconds) <= self.store.now()
    }

    /// Writes one record on a condition; false if it has changed meanwhile.
    async fn replace(
        &self,
        key: &str,
        bytes: Vec<u8>,
        version: Version,
    ) -> Result<bool, StorageError> {
        self.give_way().await;
        let put = Write::Put(key.to_owned(), bytes, Condition::Is(version));
        self.store.write_or_lose(vec![put]).await
    }

    async fn give_way(&self) {
        if self.gives_way {
            self.store.precedence.give_way().await;
        }
    }
}
