// SPDX-License-Identifier: Apache-2.0
//! Cycles of garbage collection in turn with other replicas.

use super::{GcPolicy, GcReport};
use crate::storage::error::StorageError;
use crate::storage::key;
use crate::storage::store::Store;
use crate::storage::turn::Rota;

/// When cycles run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turns {
    /// What goes.
    pub policy: GcPolicy,
    /// How many seconds lie between two cycles.
    pub every_seconds: u64,
    /// Every so many cycles one is thorough.
    pub thorough_every: u64,
}

impl Store {
    /// Runs a cycle if it is due and nobody else runs one; none if not.
    ///
    /// # Errors
    ///
    /// As [`Self::collect`].
    ///
    /// # Cancellation
    ///
    /// As [`Self::collect`]; the turn is free after some minutes.
    pub async fn collect_in_turn(&self, turns: &Turns) -> Result<Option<GcReport>, StorageError> {
        let rota = Rota {
            key: key::TURN,
            every_seconds: turns.every_seconds,
        };
        let collect = |cycle: u64| async move {
            let is_due = cycle.is_multiple_of(turns.thorough_every.max(1));
            let policy = GcPolicy {
                thorough: turns.policy.thorough || is_due,
                ..turns.policy
            };
            self.collect(&policy).await
        };
        self.in_turn(rota, collect).await
    }
}
