// SPDX-License-Identifier: Apache-2.0
//! What a cycle did, in numbers.

use std::ops::Add;

use serde::Serialize;

/// What happened to the resources of one level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Level {
    /// Had no reference and were old enough.
    pub candidates: u64,
    /// Were found to be in use after all.
    pub rescued: u64,
    /// Are gone; in a dry run none.
    pub killed: u64,
}

/// What a cycle did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GcReport {
    /// Repositories there are.
    pub repositories: u64,
    /// Those in which nothing can have become garbage since the last cycle.
    pub repositories_unchanged: u64,
    /// Those left alone, because a manifest in them is of a form that this version cannot read.
    pub repositories_skipped: u64,
    /// Manifests without tag, index and subject.
    pub manifests: Level,
    /// Blobs that no manifest of their repository names.
    pub memberships: Level,
    /// Bytes that no repository has.
    pub contents: Level,
    /// Markers of pushes that never ended.
    pub stale_markers: u64,
    /// Records of things long gone that were removed.
    pub dead_records: u64,
    /// Bytes that no record names.
    pub orphans: u64,
    /// Bytes freed; in a dry run those of the candidates.
    pub bytes: u64,
}

impl Add for Level {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            candidates: self.candidates + other.candidates,
            rescued: self.rescued + other.rescued,
            killed: self.killed + other.killed,
        }
    }
}

impl Add for GcReport {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            repositories: self.repositories + other.repositories,
            repositories_unchanged: self.repositories_unchanged + other.repositories_unchanged,
            repositories_skipped: self.repositories_skipped + other.repositories_skipped,
            manifests: self.manifests + other.manifests,
            memberships: self.memberships + other.memberships,
            contents: self.contents + other.contents,
            stale_markers: self.stale_markers + other.stale_markers,
            dead_records: self.dead_records + other.dead_records,
            orphans: self.orphans + other.orphans,
            bytes: self.bytes + other.bytes,
        }
    }
}
