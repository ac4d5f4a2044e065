// SPDX-License-Identifier: Apache-2.0
//! What an import took over, and what not.

use serde::Serialize;

/// How many things that were left out are named; more are only counted.
const SKIPPED_MAX: usize = 1000;

/// Something that was left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Skipped {
    /// What, as `repository`, `repository:tag` or `repository@digest`.
    pub what: String,
    /// Why.
    pub why: String,
}

/// What an import did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ImportReport {
    /// Repositories that were gone through.
    pub repositories: u64,
    /// Blobs of repositories that were taken over.
    pub blobs: u64,
    /// How many bytes came that were not in the registry yet.
    pub bytes: u64,
    /// Manifests that were taken over.
    pub manifests: u64,
    /// Tags that were set.
    pub tags: u64,
    /// Blobs, manifests and tags that were there already.
    pub unchanged: u64,
    /// What was left out.
    pub skipped: Vec<Skipped>,
    /// How much more was left out.
    pub skipped_left_out: u64,
}

impl ImportReport {
    #[expect(
        clippy::needless_pass_by_value,
        reason = "callers hand over names and errors that they made for this alone"
    )]
    pub(super) fn skip(&mut self, what: impl ToString, why: impl ToString) {
        if self.skipped.len() >= SKIPPED_MAX {
            self.skipped_left_out += 1;
            return;
        }
        self.skipped.push(Skipped {
            what: what.to_string(),
            why: why.to_string(),
        });
    }
}
