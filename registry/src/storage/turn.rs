// SPDX-License-Identifier: Apache-2.0
//! Whose turn it is: of several replicas one does what must be done now and then, and all of them
//! together do it once a period, also across restarts.
//!
//! It only saves work. Two who do it at once, or one that went on after its lease was over, must
//! harm nothing, so the replicas' clocks may differ.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use super::error::StorageError;
use super::meta::{Condition, Write};
use super::record;
use super::store::{Store, nonce};

/// For how long a replica takes the turn; it takes it again before that is over.
const LEASE_SECONDS: u64 = 600;

/// Work that is done now and then.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rota {
    /// Where it says whose turn it is.
    pub(super) key: &'static str,
    /// How many seconds lie between the end of one turn and the next.
    pub(super) every_seconds: u64,
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
    /// Does `work`, which is told how many turns there were with this one, if it is due and nobody
    /// else does it; none if not. What failed stays due.
    ///
    /// # Errors
    ///
    /// Those of `work`, and whatever the traits report.
    ///
    /// # Cancellation
    ///
    /// As `work`; the turn is free after some minutes.
    pub(super) async fn in_turn<T, W>(
        &self,
        rota: Rota,
        work: impl FnOnce(u64) -> W,
    ) -> Result<Option<T>, StorageError>
    where
        W: Future<Output = Result<T, StorageError>>,
    {
        let read = self.read::<Turn>(rota.key).await?;
        let (last, version) = read.unzip();
        let mut turn = last.unwrap_or_default();
        let due_at = turn.ended_at.saturating_add(rota.every_seconds);
        if turn.until > self.now() || due_at > self.now() {
            return Ok(None);
        }
        let condition = Condition::unchanged(version);
        if !self.take_turn(rota.key, &mut turn, condition).await? {
            return Ok(None);
        }
        let cycle = turn.cycles + 1;
        let result = tokio::select! {
            result = work(cycle) => result,
            error = self.keep_turn(rota.key, &mut turn) => Err(error),
        };
        turn.until = 0;
        if result.is_ok() {
            turn.cycles = cycle;
            turn.ended_at = self.now();
        }
        turn.nonce = nonce();
        let put = Write::Put(rota.key.to_owned(), record::encode(&turn), Condition::Any);
        self.meta.write(vec![put]).await?;
        result.map(Some)
    }

    async fn take_turn(
        &self,
        key: &str,
        turn: &mut Turn,
        condition: Condition,
    ) -> Result<bool, StorageError> {
        turn.nonce = nonce();
        turn.until = self.now().saturating_add(LEASE_SECONDS);
        let put = Write::Put(key.to_owned(), record::encode(turn), condition);
        self.write_or_lose(vec![put]).await
    }

    /// Takes the turn again and again; ends with the error that made it impossible.
    async fn keep_turn(&self, key: &str, turn: &mut Turn) -> StorageError {
        loop {
            sleep(Duration::from_secs(LEASE_SECONDS / 3)).await;
            if let Err(error) = self.take_turn(key, turn, Condition::Any).await {
                return error;
            }
        }
    }
}
