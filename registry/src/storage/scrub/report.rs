// SPDX-License-Identifier: Apache-2.0
//! What a scrub looked at, mended, and could not mend.

use std::fmt;

use oci::Digest;
use serde::Serialize;

/// How many pieces of damage a report names; more are only counted.
const FINDINGS_MAX: usize = 1000;

/// What is wrong with a piece of content or a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Damage {
    /// There are no bytes.
    Missing,
    /// There are this many bytes, not as many as recorded.
    WrongSize(u64),
    /// The bytes have this digest.
    WrongBytes(String),
    /// The disk does not give the bytes back.
    Unreadable,
    /// A repository has a blob or manifest whose content nobody recorded.
    NoContent,
    /// A tag points at a manifest that is not there.
    DanglingTag,
    /// A manifest names what its repository once had and has no more.
    MissingReference,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("its bytes are missing"),
            Self::WrongSize(found) => write!(f, "it has {found} bytes, not as many as recorded"),
            Self::WrongBytes(found) => write!(f, "its bytes have digest {found}"),
            Self::Unreadable => f.write_str("its bytes cannot be read"),
            Self::NoContent => f.write_str("no content is recorded for it"),
            Self::DanglingTag => f.write_str("its manifest is not there"),
            Self::MissingReference => f.write_str("a manifest names it, but it was removed"),
        }
    }
}

/// What was done about damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Remedy {
    /// Nothing: it was only to be found, or there is nothing safe to do.
    None,
    /// Readers find nothing any more; the next push of the digest brings it back.
    Quarantined,
    /// It is whole again, from another copy in the registry.
    Healed,
    /// The tag is gone, as its manifest is.
    Removed,
}

/// One piece of damage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// What is damaged.
    pub digest: Digest,
    /// How.
    pub damage: Damage,
    /// What was done.
    pub remedy: Remedy,
    /// The repositories that have it; at most a few hundred.
    pub repositories: Vec<String>,
    /// The tags, as `repository:tag`, that cannot be pulled whole because of it; at most a few
    /// hundred.
    pub tags: Vec<String>,
}

impl Finding {
    /// Tells whether something is lost. What somebody deleted although a manifest names it, and a
    /// tag that a delete did not come to before the process was killed (readers find nothing
    /// there), are worth telling, but no damage.
    pub fn is_damage(&self) -> bool {
        !matches!(self.damage, Damage::MissingReference | Damage::DanglingTag)
    }
}

/// What a scrub did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ScrubReport {
    /// Repositories looked at.
    pub repositories: u64,
    /// Tags looked at.
    pub tags: u64,
    /// Manifests looked at.
    pub manifests: u64,
    /// Blobs of repositories looked at.
    pub memberships: u64,
    /// Contents whose size was compared.
    pub contents: u64,
    /// Contents whose bytes were hashed.
    pub verified: u64,
    /// How many bytes those had.
    pub verified_bytes: u64,
    /// Whether hashing came to the end of what there is, or stopped at the policy's limit.
    pub is_complete: bool,
    /// Entries that were missing beside a tag, a manifest or a blob and were written again.
    pub entries_restored: u64,
    /// Entries that belonged to nothing and were removed.
    pub entries_removed: u64,
    /// Published bytes without a record that were removed.
    pub orphans: u64,
    /// How many bytes those had.
    pub orphan_bytes: u64,
    /// Files of stopped uploads that were removed.
    pub leftovers: u64,
    /// Records that this version cannot read.
    pub unreadable_records: u64,
    /// The damage.
    pub findings: Vec<Finding>,
    /// How much more damage there was.
    pub findings_left_out: u64,
}

impl ScrubReport {
    /// Tells whether anything is damaged that was not mended.
    pub fn has_damage(&self) -> bool {
        let is_mended = |remedy| matches!(remedy, Remedy::Healed | Remedy::Removed);
        let is_open = |finding: &Finding| !is_mended(finding.remedy) && finding.is_damage();
        self.findings_left_out > 0
            || self.unreadable_records > 0
            || self.findings.iter().any(is_open)
    }

    pub(super) fn add(&mut self, digest: Digest, damage: Damage, remedy: Remedy) {
        // Once for a digest, whatever names it: the report has all repositories and tags.
        let is_told = damage == Damage::MissingReference
            && self
                .findings
                .iter()
                .any(|finding| finding.digest == digest && finding.damage == damage);
        if is_told {
            return;
        }
        if self.findings.len() >= FINDINGS_MAX {
            self.findings_left_out += 1;
            return;
        }
        self.findings.push(Finding {
            digest,
            damage,
            remedy,
            repositories: Vec::new(),
            tags: Vec::new(),
        });
    }

    /// Adds a tag that points at nothing.
    pub(super) fn add_tag(&mut self, digest: Digest, tag: String, remedy: Remedy) {
        let before = self.findings.len();
        self.add(digest, Damage::DanglingTag, remedy);
        if let Some(finding) = self.findings.get_mut(before) {
            finding.tags.push(tag);
        }
    }
}
