// SPDX-License-Identifier: Apache-2.0
//! Whose turn it is: of several replicas one runs the cycle, and all of them together run one per
//! period, also across restarts.
//!
//! It only saves work. Two collectors at once, or one that went on after its lease was over, harm
//! nothing, so the replicas' clocks may differ.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use super::{GcPolicy, GcReport};
use crate::storage::error::StorageError;
use crate::storage::key;
use crate::storage::meta::{Condition, Write};
use crate::storage::record;
use crate::storage::store::{Store, nonce};

/// For how long a replica takes the turn; it takes it again before that is over.
const LEASE_SECONDS: u64 = 600;

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

/// Who has the turn.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Turn {
    /// Fresh on every write: who wrote it last has it.
    nonce: String,
    /// Until when, in seconds since 1970.
    until: u64,
    /// When the last cycle ended.
    ended_at: u64,
    /// How many there were.
    cycles: u64,
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
        let read = self.read::<Turn>(key::TURN).await?;
        let (last, version) = read.unzip();
        let last = last.unwrap_or_default();
        // A period that is a little short, because cycles begin a little earlier now and then.
        let due_at = last.ended_at.saturating_add(turns.every_seconds / 10 * 9);
        if last.until > self.now() || due_at > self.now() {
            return Ok(None);
        }
        let mut turn = last;
        if !self
            .take_turn(&mut turn, Condition::unchanged(version))
            .await?
        {
            return Ok(None);
        }
        let cycle = turn.cycles + 1;
        let policy = GcPolicy {
            thorough: turns.policy.thorough || cycle.is_multiple_of(turns.thorough_every.max(1)),
            ..turns.policy
        };
        let report = tokio::select! {
            report = self.collect(&policy) => report,
            error = self.keep_turn(&mut turn) => Err(error),
        };
        turn.until = 0;
        if report.is_ok() {
            turn.cycles = cycle;
            turn.ended_at = self.now();
        }
        turn.nonce = nonce();
        let put = Write::Put(key::TURN.to_owned(), record::encode(&turn), Condition::Any);
        self.meta.write(vec![put]).await?;
        report.map(Some)
    }

    async fn take_turn(&self, turn: &mut Turn, condition: Condition) -> Result<bool, StorageError> {
        turn.nonce = nonce();
        turn.until = self.now().saturating_add(LEASE_SECONDS);
        let put = Write::Put(key::TURN.to_owned(), record::encode(turn), condition);
        self.write_or_lose(vec![put]).await
    }

    /// Takes the turn again and again; ends with the error that made it impossible.
    async fn keep_turn(&self, turn: &mut Turn) -> StorageError {
        loop {
            sleep(Duration::from_secs(LEASE_SECONDS / 3)).await;
            if let Err(error) = self.take_turn(turn, Condition::Any).await {
                return error;
            }
        }
    }
}
