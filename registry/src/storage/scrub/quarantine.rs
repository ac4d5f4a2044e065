// SPDX-License-Identifier: Apache-2.0
//! Damaged content: judged, taken out of sight, healed if a copy is at hand.

use std::io;

use futures_util::StreamExt as _;
use oci::{Digest, Hasher};
use rustix::io::Errno;

use super::report::{Damage, Remedy};
use crate::storage::data::{Bytes, Location, Stage};
use crate::storage::error::StorageError;
use crate::storage::gc::{Marker, Pages};
use crate::storage::key;
use crate::storage::manifest::digest_of;
use crate::storage::meta::{Condition, Write};
use crate::storage::record::{self, Content, Membership, State};
use crate::storage::repository::{Found, claim_content};
use crate::storage::store::{RACES_MAX, Store, nonce};

/// How closely bytes are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// How many there are.
    Size,
    /// All of them.
    Whole,
}

impl Store {
    /// Returns what is wrong with the bytes of `content`, if anything. `pace` is told of every
    /// piece that was read.
    pub(super) async fn judge(
        &self,
        digest: &Digest,
        content: &Content,
        look: Look,
        pace: &mut (dyn AsyncPace + Send),
    ) -> Result<Option<Damage>, StorageError> {
        match self.data.size(&content.location).await {
            Ok(Some(found)) if found != content.size_bytes => {
                return Ok(Some(Damage::WrongSize(found)));
            }
            Ok(_) if look == Look::Size => return Ok(None),
            Ok(_) => {}
            Err(StorageError::Missing(_)) => return Ok(Some(Damage::Missing)),
            Err(error) => return Err(error),
        }
        let read = self.data.read(&content.location, 0..content.size_bytes);
        let mut hasher = Hasher::new(digest.algorithm());
        match read.await {
            Ok(Bytes::Whole(bytes)) => {
                hasher.update(&bytes);
                pace.passed(bytes.len() as u64).await;
            }
            Ok(Bytes::Stream(mut pieces)) => {
                while let Some(piece) = pieces.next().await {
                    match piece {
                        Ok(piece) => {
                            hasher.update(&piece);
                            pace.passed(piece.len() as u64).await;
                        }
                        Err(error) => return unreadable(&content.location, error),
                    }
                }
            }
            Err(StorageError::Missing(_)) => return Ok(Some(Damage::Missing)),
            Err(StorageError::Io { source, .. }) if is_damage(&source) => {
                return Ok(Some(Damage::Unreadable));
            }
            Err(error) => return Err(error),
        }
        let actual = hasher.finish();
        let is_right = actual == *digest;
        Ok((!is_right).then(|| Damage::WrongBytes(actual.to_string())))
    }

    /// Looks at content once more while nobody can publish it, and takes it out of sight if it is
    /// damaged; none if it is not, or not any more.
    pub(super) async fn quarantine(
        &self,
        digest: &Digest,
        look: Look,
    ) -> Result<Option<(Damage, Remedy)>, StorageError> {
        let key = key::content(digest);
        let mut first = None;
        for _ in 0..RACES_MAX {
            let Some((seen, _)) = self.read::<Content>(&key).await? else {
                return Ok(None);
            };
            let guard = self.data.lock(&seen.location).await?;
            let Some((mut content, version)) = self.read::<Content>(&key).await? else {
                return Ok(None);
            };
            if !content.state.is_readable() {
                return Ok(None);
            }
            if content.location != seen.location {
                continue;
            }
            let Some(damage) = self.judge(digest, &content, look, &mut Unpaced).await? else {
                return Ok(None);
            };
            // Before the record: see the header of the module.
            if damage != Damage::Missing {
                self.data.set_aside(&content.location, &guard).await?;
            }
            let damage = first.get_or_insert(damage).clone();
            content.state = State::Quarantined;
            content.nonce = nonce();
            let put = Write::Put(
                key.clone(),
                record::encode(&content),
                Condition::Is(version),
            );
            if !self.write_or_lose(vec![put]).await? {
                continue;
            }
            drop(guard);
            if self.heal_from_manifest(digest).await? {
                return Ok(Some((damage, Remedy::Healed)));
            }
            self.quarantine_members(digest).await?;
            return Ok(Some((damage, Remedy::Quarantined)));
        }
        Err(StorageError::Contended(key))
    }

    /// Publishes content again from the record of a manifest that consists of it.
    pub(super) async fn heal_from_manifest(&self, digest: &Digest) -> Result<bool, StorageError> {
        let mut markers = Pages::new(&*self.meta, key::markers(digest));
        while let Some(line) = markers.next().await? {
            let marker = Marker::parse(&line.key).filter(Marker::is_of_manifest);
            let Some(marker) = marker else { continue };
            let key = key::manifest(&marker.name, digest);
            let Some((header, bytes, _)) = self.manifest_record(&key).await? else {
                continue;
            };
            let is_whole = digest_of(digest.algorithm(), &bytes) == *digest;
            if header.state.is_readable() && is_whole {
                self.publish_copy(digest, bytes).await?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn publish_copy(&self, digest: &Digest, bytes: bytes::Bytes) -> Result<(), StorageError> {
        let size_bytes = bytes.len() as u64;
        for _ in 0..RACES_MAX {
            let stage = Stage::whole(digest, Some(size_bytes));
            let mut staged = self.data.stage(stage).await?;
            staged.append(vec![bytes.clone()]).await?;
            let publication = staged.publish(digest).await?;
            let fresh = Found {
                size_bytes,
                location: publication.location.clone(),
            };
            let read = self.read::<Content>(&key::content(digest)).await?;
            let (claim, used) =
                claim_content(digest, read, Some(&fresh)).expect("there are fresh bytes");
            let is_written = self.write_or_lose(vec![claim]).await?;
            let used = Some(used).filter(|_| is_written);
            // Not used, its bytes are nobody's; where a guard is held the place may be somebody's.
            if is_written || !publication.guard.is_held() {
                let used = used.unwrap_or(Location("".into()));
                self.drop_unused(publication, &used).await?;
            }
            if is_written {
                return Ok(());
            }
        }
        Err(StorageError::Contended(key::content(digest)))
    }

    /// Takes the blob `digest` out of sight in every repository that has it.
    pub(super) async fn quarantine_members(&self, digest: &Digest) -> Result<(), StorageError> {
        let mut markers = Pages::new(&*self.meta, key::markers(digest));
        while let Some(line) = markers.next().await? {
            let marker = Marker::parse(&line.key).filter(|marker| !marker.is_of_manifest());
            if let Some(marker) = marker {
                let key = key::membership(&marker.name, digest);
                self.quarantine_member(&key).await?;
            }
        }
        Ok(())
    }

    /// Takes one membership out of sight; it comes back by itself when its content does.
    pub(super) async fn quarantine_member(&self, key: &str) -> Result<(), StorageError> {
        for _ in 0..RACES_MAX {
            let Some((mut membership, version)) = self.read::<Membership>(key).await? else {
                return Ok(());
            };
            if !membership.state.is_readable() {
                return Ok(());
            }
            membership.state = State::Quarantined;
            membership.nonce = nonce();
            let bytes = record::encode(&membership);
            let put = Write::Put(key.to_owned(), bytes, Condition::Is(version));
            if self.write_or_lose(vec![put]).await? {
                return Ok(());
            }
        }
        Err(StorageError::Contended(key.to_owned()))
    }
}

/// Is told how many bytes went by, and may wait.
pub(super) trait AsyncPace {
    /// `count` bytes were read.
    fn passed(&mut self, count: u64) -> futures_util::future::BoxFuture<'_, ()>;
}

/// Does not wait.
pub(super) struct Unpaced;

impl AsyncPace for Unpaced {
    fn passed(&mut self, _: u64) -> futures_util::future::BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}

fn unreadable(location: &Location, error: io::Error) -> Result<Option<Damage>, StorageError> {
    if error.kind() == io::ErrorKind::UnexpectedEof || is_damage(&error) {
        return Ok(Some(Damage::Unreadable));
    }
    Err(StorageError::io("read", location.to_string(), error))
}

/// Tells whether the disk says so of this file, and not of everything.
fn is_damage(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::IO.raw_os_error())
        || error.kind() == io::ErrorKind::UnexpectedEof
}
