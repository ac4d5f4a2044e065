// SPDX-License-Identifier: Apache-2.0
//! The two names of a layer: by its own content, and by its place on top of others.
//!
//! Spec: image-spec `config.md` §Layer DiffID, §Layer ChainID.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Digest, sha256};

/// The digest of a layer's uncompressed tar.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DiffId(pub Digest);

/// The name of a whole stack of layers.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ChainId(pub Digest);

impl fmt::Display for DiffId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for ChainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Returns the chain ID of every prefix of `diff_ids`, base layer first.
///
/// The first is the first diff ID itself; each next one is `sha256(previous + " " + diff_id)` over
/// the textual forms. The result has as many elements as the input.
///
/// Spec: image-spec `config.md` §Layer ChainID.
pub fn chain_ids(diff_ids: &[DiffId]) -> Vec<ChainId> {
    let mut chain: Vec<ChainId> = Vec::with_capacity(diff_ids.len());
    for DiffId(diff_id) in diff_ids {
        let next = match chain.last() {
            None => diff_id.clone(),
            Some(ChainId(parent)) => sha256(format!("{parent} {diff_id}").as_bytes()),
        };
        chain.push(ChainId(next));
    }
    chain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chain_id_of_one_layer_is_its_diff_id() {
        let base = DiffId(sha256(b"base"));
        let next = DiffId(sha256(b"next"));
        let chain = chain_ids(&[base.clone(), next.clone()]);
        assert_eq!(chain[0].0, base.0);
        assert_eq!(chain[1].0, sha256(format!("{base} {next}").as_bytes()));
        assert!(chain_ids(&[]).is_empty());
    }
}
