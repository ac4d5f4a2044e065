// SPDX-License-Identifier: Apache-2.0
//! What becomes of sessions that nobody goes on with.

use super::SESSION_SECONDS;
use crate::storage::error::StorageError;
use crate::storage::key;
use crate::storage::meta::{Condition, LIST_MAX, Listed, Write};
use crate::storage::record::{Content, Phase, SessionRecord};
use crate::storage::session::SessionId;
use crate::storage::store::Store;

/// How long the result of a session can be asked for again.
const ENDED_SECONDS: u64 = 3600;
/// How long after its end a session that was being published is left alone. Ours: a day, where a
/// publisher gives up after an hour.
const COMMITTED_SECONDS: u64 = 24 * 3600;

impl Store {
    /// Removes sessions that have expired, and the records of those that ended a while ago. Returns
    /// how many went. Run it now and again, on any replica.
    ///
    /// # Errors
    ///
    /// Whatever the traits report; the rest is removed next time.
    pub async fn purge_sessions(&self) -> Result<usize, StorageError> {
        let before = self.now().saturating_sub(SESSION_SECONDS);
        let mut purged = self.data.sweep(before).await?;
        let mut after = String::new();
        loop {
            let listed = self.meta.list(key::SESSIONS, &after, LIST_MAX).await?;
            let Some(last) = listed.last() else {
                return Ok(purged);
            };
            after.clone_from(&last.key);
            for line in listed {
                let text = line.key.strip_prefix(key::SESSIONS).unwrap_or_default();
                let Some(id) = SessionId::from_text(text) else {
                    continue;
                };
                purged += usize::from(self.purge(&id, line).await?);
            }
        }
    }

    /// Removes one session if it is time.
    ///
    /// Should a late piece come to one that ended, it opens the session anew, and that expires in
    /// turn.
    async fn purge(&self, id: &SessionId, line: Listed) -> Result<bool, StorageError> {
        let now = self.now();
        let is_expired = id.expires_at() <= now;
        if !is_expired && line.written_at.saturating_add(ENDED_SECONDS) > now {
            return Ok(false);
        }
        let Some((record, _)) = self.read::<SessionRecord>(&line.key).await? else {
            return Ok(false);
        };
        let digest = match &record.phase {
            Phase::Open if !is_expired => return Ok(false),
            Phase::Open | Phase::Cancelled => None,
            Phase::Committing(_) if id.expires_at().saturating_add(COMMITTED_SECONDS) > now => {
                return Ok(false);
            }
            Phase::Committing(digest) | Phase::Done(digest) => Some(digest),
        };
        let content = match digest {
            Some(digest) => self.read::<Content>(&key::content(digest)).await?,
            None => None,
        };
        // What no record names now, none will.
        let keep = content.map(|(content, _)| content.location);
        self.drop_slot(id);
        self.data.discard(id, keep.as_ref()).await?;
        let delete = Write::Delete(line.key, Condition::Any);
        self.meta.write(vec![delete]).await?;
        Ok(true)
    }

    /// Removes staged bytes that no record names: a crash came between the two. Run it before the
    /// first request, because on a disk a request makes bytes and record in this order too.
    ///
    /// # Errors
    ///
    /// Whatever the traits report.
    pub async fn sweep_sessions(&self) -> Result<usize, StorageError> {
        let mut swept = 0;
        for id in self.data.sessions().await? {
            let read = self.read::<SessionRecord>(&key::session(&id)).await?;
            let is_wanted = read.is_some_and(|(record, _)| {
                matches!(record.phase, Phase::Open | Phase::Committing(_))
            });
            if !is_wanted {
                self.data.discard(&id, None).await?;
                swept += 1;
            }
        }
        Ok(swept)
    }
}
