// SPDX-License-Identifier: Apache-2.0
//! Scrubs in turn with other replicas.

use super::{ScrubPolicy, ScrubReport};
use crate::storage::error::StorageError;
use crate::storage::key;
use crate::storage::store::Store;
use crate::storage::turn::Rota;

impl Store {
    /// Scrubs if the last one ended `every_seconds` ago and nobody else does it; none if not.
    ///
    /// # Errors
    ///
    /// As [`Self::scrub`].
    ///
    /// # Cancellation
    ///
    /// As [`Self::scrub`]; the turn is free after some minutes.
    pub async fn scrub_in_turn(
        &self,
        policy: &ScrubPolicy,
        every_seconds: u64,
    ) -> Result<Option<ScrubReport>, StorageError> {
        let rota = Rota {
            key: key::SCRUB_TURN,
            every_seconds,
        };
        self.in_turn(rota, |_| self.scrub(policy)).await
    }
}
