// SPDX-License-Identifier: Apache-2.0
//! What a store can do, as far as the registry cares.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How a registry may use its bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// The store checks every condition of a write: any number of replicas.
    MultiWriter,
    /// The store checks conditions of PUT but not of DELETE: any number of replicas, and a small
    /// record stays behind for everything that was deleted on a condition.
    WithoutConditionalDelete,
    /// The store ignores conditions: this process must be the only one that writes.
    SingleWriter,
}

impl Mode {
    /// Tells whether several replicas may share the bucket.
    pub fn allows_replicas(self) -> bool {
        self != Self::SingleWriter
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MultiWriter => "multi-writer",
            Self::WithoutConditionalDelete => "multi-writer, without conditional DELETE",
            Self::SingleWriter => "single-writer",
        })
    }
}
