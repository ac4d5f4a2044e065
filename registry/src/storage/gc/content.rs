// SPDX-License-Identifier: Apache-2.0
//! Level 1: bytes that no repository has. One sorted pass over contents and markers side by side.

use super::Collector;
use super::marker::Marker;
use super::pages::Pages;
use crate::storage::error::StorageError;
use crate::storage::key;
use crate::storage::meta::{Condition, Listed, Version, Write};
use crate::storage::record::{self, Content, State};
use crate::storage::store::nonce;

/// Returns `<alg>/<hex>` of a marker's key, the part that it shares with its content's.
fn digest_part(key: &str) -> &str {
    let rest = key.strip_prefix(key::MARKERS).unwrap_or(key);
    let mut slashes = rest.match_indices('/').map(|(at, _)| at);
    slashes.nth(1).map_or(rest, |end| &rest[..end])
}

impl Collector<'_> {
    /// Looks at the digests whose part of a key begins with `range`.
    pub(super) async fn contents(&mut self, range: &str) -> Result<(), StorageError> {
        let store = self.store;
        let mut contents = Pages::new(&*store.meta, format!("{}{range}", key::CONTENTS));
        let mut markers = Pages::new(&*store.meta, format!("{}{range}", key::MARKERS));
        while let Some(line) = contents.next().await? {
            let id = line.key.strip_prefix(key::CONTENTS).unwrap_or_default();
            let mut is_marked = false;
            while let Some(marker) = markers.peek().await? {
                match digest_part(&marker.key).cmp(id) {
                    std::cmp::Ordering::Greater => break,
                    std::cmp::Ordering::Equal => is_marked = true,
                    std::cmp::Ordering::Less => {}
                }
                if let Some(marker) = markers.next().await? {
                    self.marker(&marker).await?;
                }
            }
            if !is_marked {
                self.unmarked(&line).await?;
            }
        }
        while let Some(marker) = markers.next().await? {
            self.marker(&marker).await?;
        }
        Ok(())
    }

    async fn unmarked(&mut self, line: &Listed) -> Result<(), StorageError> {
        let key = &line.key;
        let Some((mut content, version)) = self.store.read::<Content>(key).await? else {
            return Ok(());
        };
        if content.state == State::Dead {
            return self.remove(key, &content).await;
        }
        if !self.is_old(line, self.policy.grace_seconds) {
            return Ok(());
        }
        self.report.contents.candidates += 1;
        if self.policy.dry_run {
            self.report.bytes += content.size_bytes;
            return Ok(());
        }
        match content.state {
            // Condemned by a collector that stopped, and not rescued since; or damaged, and only an
            // upload of its own bytes makes it live. Either changes this version.
            State::Condemned | State::Quarantined => self.decide(key, content, version).await,
            State::Live => {
                content.state = State::Condemned;
                content.nonce = nonce();
                if !self.replace(key, record::encode(&content), version).await? {
                    return Ok(());
                }
                match self.store.read::<Content>(key).await? {
                    Some((now, version)) if now.nonce == content.nonce => {
                        self.decide(key, content, version).await
                    }
                    _ => Ok(()),
                }
            }
            State::Dead => Ok(()),
        }
    }

    /// Looks for markers once more, now that `version` tells whether anybody else came.
    async fn decide(
        &mut self,
        key: &str,
        mut content: Content,
        version: Version,
    ) -> Result<(), StorageError> {
        let id = key.strip_prefix(key::CONTENTS).unwrap_or_default();
        let prefix = format!("{}{id}/", key::MARKERS);
        let is_marked = !self.store.meta.list(&prefix, "", 1).await?.is_empty();
        if is_marked && content.state == State::Quarantined {
            return Ok(());
        }
        content.state = if is_marked { State::Live } else { State::Dead };
        content.nonce = nonce();
        if !self.replace(key, record::encode(&content), version).await? || is_marked {
            self.report.contents.rescued += 1;
            return Ok(());
        }
        self.report.contents.killed += 1;
        self.remove(key, &content).await
    }

    /// Removes the bytes of `dead` content, then its record.
    async fn remove(&mut self, key: &str, dead: &Content) -> Result<(), StorageError> {
        if self.policy.dry_run {
            return Ok(());
        }
        self.give_way().await;
        let store = self.store;
        let guard = store.data.lock(&dead.location).await?;
        let found = store.read::<Content>(key).await?;
        let is_named_again =
            |found: &Content| found.location == dead.location && found.state != State::Dead;
        if found
            .as_ref()
            .is_some_and(|(found, _)| is_named_again(found))
        {
            return Ok(());
        }
        // Also when the digest was published anew meanwhile, at another place: nobody else knows
        // of this one any more.
        store.data.delete(&dead.location, &guard).await?;
        self.report.bytes += dead.size_bytes;
        if let Some((found, version)) = found
            && found.state == State::Dead
        {
            let delete = Write::Delete(key.to_owned(), Condition::Is(version));
            store.write_or_lose(vec![delete]).await?;
        }
        Ok(())
    }

    /// Removes a marker that supports nothing: its push stopped between two keys.
    async fn marker(&mut self, line: &Listed) -> Result<(), StorageError> {
        let thorough = self.policy.thorough && self.is_old(line, self.policy.grace_seconds);
        let Some(marker) = Marker::parse(&line.key).filter(|_| thorough) else {
            return Ok(());
        };
        if !self.store.forbid(&marker, self.policy.dry_run).await? {
            return Ok(());
        }
        self.report.stale_markers += 1;
        if self.policy.dry_run {
            return Ok(());
        }
        let delete = Write::Delete(line.key.clone(), Condition::Any);
        self.store.meta.write(vec![delete]).await
    }
}

#[cfg(test)]
mod tests {
    use oci::Digest;

    use super::*;
    use crate::endpoint::Name;

    #[test]
    fn markers_are_joined_with_contents_by_their_digest() {
        let digest: Digest = format!("sha256:{}", "ab".repeat(32)).parse().unwrap();
        let name: Name = "a/b".parse().unwrap();
        let key = key::marker(&digest, &name, 7, "b01");
        let content = key::content(&digest);
        assert_eq!(Some(digest_part(&key)), content.strip_prefix(key::CONTENTS));
        let marker = Marker::parse(&key).unwrap();
        assert_eq!((marker.digest, marker.name), (digest, name));
        assert_eq!(marker.incarnation, "b01");
        assert!(Marker::parse("k/sha256/zz/a/1-b").is_none());
    }
}
