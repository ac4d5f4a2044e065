// SPDX-License-Identifier: Apache-2.0
//! [`Data`] on files.
//!
//! A path is made of the digest, so it is used again after a delete: publishing and deleting one
//! digest therefore exclude each other through a striped lock, held by the publisher until its
//! records are committed.

use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

use oci::{Algorithm, Digest};
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::reading::Readers;
use super::repair;
use super::root::Root;
use super::staged::DiskStaged;
use crate::storage::data::{
    self, Adopted, Answer, Data, Guard, Location, Placed, Publication, Stage, Staged,
};
use crate::storage::error::StorageError;
use crate::storage::session::SessionId;

/// How many locks there are; two digests that share one wait for each other.
const STRIPES: usize = 1024;

/// Returns where the bytes of `digest` lie, below the root.
pub(super) fn place(digest: &Digest) -> String {
    let (algorithm, hex) = (digest.algorithm(), digest.hex());
    format!("blobs/{algorithm}/{}/{hex}", &hex[..2])
}

/// Returns the digest in a location of ours.
fn digest_at(location: &Location) -> Option<Digest> {
    let mut parts = location.0.split('/').skip(1);
    let algorithm = Algorithm::from_name(parts.next()?)?;
    let hex = parts.nth(1)?;
    let digest = format!("{algorithm}:{hex}").parse().ok()?;
    (place(&digest) == *location.0).then_some(digest)
}

/// Locks by digest.
#[derive(Debug)]
pub(super) struct Stripes(Vec<Arc<Mutex<()>>>);

impl Stripes {
    fn new() -> Self {
        Self((0..STRIPES).map(|_| Arc::default()).collect())
    }

    pub(super) async fn lock(&self, digest: &Digest) -> OwnedMutexGuard<()> {
        // The hexadecimal part is random already.
        let head = usize::from_str_radix(&digest.hex()[..8], 16).unwrap_or_default();
        Arc::clone(&self.0[head % STRIPES]).lock_owned().await
    }
}

/// Bytes in files.
#[derive(Debug)]
pub(super) struct DiskData {
    root: Arc<Root>,
    stripes: Arc<Stripes>,
    readers: Readers,
}

impl DiskData {
    pub(super) fn new(root: Arc<Root>) -> Self {
        Self {
            root,
            stripes: Arc::new(Stripes::new()),
            readers: Readers::default(),
        }
    }
}

/// Runs `work` on the blocking pool.
async fn on_pool<T, F>(work: F) -> Result<T, StorageError>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T, StorageError> + Send + 'static,
{
    let task = tokio::task::spawn_blocking(work);
    task.await
        .unwrap_or_else(|_| Err(StorageError::Missing("blocking pool".into())))
}

impl Data for DiskData {
    fn stage(&self, stage: Stage) -> Answer<'_, Box<dyn Staged>> {
        let (root, stripes) = (Arc::clone(&self.root), Arc::clone(&self.stripes));
        Box::pin(async move {
            root.check_running()?;
            if let Some(staged) = DiskStaged::held(&root, &stripes, &stage) {
                return Ok(Box::new(staged) as Box<dyn Staged>);
            }
            on_pool(move || {
                let staged = DiskStaged::open(root, stripes, &stage)?;
                Ok(Box::new(staged) as Box<dyn Staged>)
            })
            .await
        })
    }

    fn discard<'a>(&'a self, session: &'a SessionId, _: Option<&'a Location>) -> Answer<'a, ()> {
        let (root, session) = (Arc::clone(&self.root), session.clone());
        Box::pin(on_pool(move || {
            match rustix::fs::unlinkat(&root.uploads, session.as_str(), AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => Ok(()),
                Err(errno) => {
                    let path = root.path.join("uploads").join(session.as_str());
                    Err(StorageError::io("remove", path, errno.into()))
                }
            }
        }))
    }

    fn read<'a>(&'a self, location: &'a Location, range: Range<u64>) -> Answer<'a, data::Bytes> {
        let (root, location) = (Arc::clone(&self.root), location.clone());
        let readers = self.readers.clone();
        Box::pin(on_pool(move || {
            let file = open_blob(&root, &location)?;
            let failed = |source| StorageError::io("read", root.path.join(&*location.0), source);
            readers.read(file, range).map_err(failed)
        }))
    }

    fn lock<'a>(&'a self, location: &'a Location) -> Answer<'a, Guard> {
        Box::pin(async move {
            let digest = digest_at(location);
            let digest = digest.ok_or_else(|| StorageError::Missing(location.to_string()))?;
            Ok(Guard::of(self.stripes.lock(&digest).await))
        })
    }

    fn delete<'a>(&'a self, location: &'a Location, _: &'a Guard) -> Answer<'a, ()> {
        Box::pin(async move {
            let Some(digest) = digest_at(location) else {
                return Err(StorageError::Missing(location.to_string()));
            };
            let root = Arc::clone(&self.root);
            on_pool(move || {
                let shard = root.shard(&digest)?;
                match rustix::fs::unlinkat(&*shard, digest.hex(), AtFlags::empty()) {
                    Ok(()) | Err(Errno::NOENT) => Ok(()),
                    Err(errno) => {
                        let path = root.path.join(place(&digest));
                        Err(StorageError::io("remove", path, errno.into()))
                    }
                }
            })
            .await
        })
    }

    fn size<'a>(&'a self, location: &'a Location) -> Answer<'a, Option<u64>> {
        Box::pin(async move {
            let missing = || StorageError::Missing(location.to_string());
            let digest = digest_at(location).ok_or_else(missing)?;
            let root = Arc::clone(&self.root);
            on_pool(move || repair::size(&root, &digest).map(Some)).await
        })
    }

    fn set_aside<'a>(&'a self, location: &'a Location, _: &'a Guard) -> Answer<'a, ()> {
        Box::pin(async move {
            let missing = || StorageError::Missing(location.to_string());
            let digest = digest_at(location).ok_or_else(missing)?;
            let root = Arc::clone(&self.root);
            on_pool(move || repair::set_aside(&root, &digest)).await
        })
    }

    fn published<'a>(&'a self, after: &'a str) -> Answer<'a, Vec<Placed>> {
        let (root, after) = (Arc::clone(&self.root), after.to_owned());
        Box::pin(on_pool(move || repair::published(&root, &after)))
    }

    fn sweep(&self, before: u64) -> Answer<'_, usize> {
        let root = Arc::clone(&self.root);
        Box::pin(on_pool(move || repair::sweep(&root, before)))
    }

    fn adopt(&self, adopted: Adopted) -> Answer<'_, Publication> {
        Box::pin(async move {
            match adopt_linked(self, &adopted).await? {
                Some(publication) => Ok(publication),
                None => crate::storage::adopt::copy(self, adopted).await,
            }
        })
    }

    fn sessions(&self) -> Answer<'_, Vec<SessionId>> {
        let root = Arc::clone(&self.root);
        Box::pin(on_pool(move || {
            let path = root.path.join("uploads");
            let failed = |errno: Errno| StorageError::io("list", path.clone(), errno.into());
            let mut sessions = Vec::new();
            for entry in rustix::fs::Dir::read_from(&root.uploads).map_err(failed)? {
                let entry = entry.map_err(failed)?;
                let id = entry.file_name().to_str().ok();
                sessions.extend(id.and_then(SessionId::from_text));
            }
            Ok(sessions)
        }))
    }
}

/// Publishes a foreign file under the lock of its digest; none if it must be copied.
async fn adopt_linked(
    disk: &DiskData,
    adopted: &Adopted,
) -> Result<Option<Publication>, StorageError> {
    let root = Arc::clone(&disk.root);
    let digest = adopted.digest.clone();
    let failed = |source| StorageError::io("open", place(&adopted.digest), source);
    let file = adopted.file.try_clone().map_err(failed)?;
    let is_trusted = adopted.is_trusted;
    let stripe = disk.stripes.lock(&digest).await;
    let location = Location(place(&digest).into());
    let work = move || {
        root.check_running()?;
        if !is_trusted {
            let actual = repair::digest_of_file(&file, &digest)
                .map_err(|source| StorageError::io("read", place(&digest), source))?;
            if actual != digest {
                let expected = digest;
                return Err(StorageError::WrongDigest { expected, actual });
            }
        }
        repair::link(&root, &file.into(), &digest)
    };
    let is_linked = on_pool(work).await?;
    Ok(is_linked.then(|| Publication {
        location,
        guard: Guard::of(stripe),
    }))
}

fn open_blob(root: &Root, location: &Location) -> Result<File, StorageError> {
    let missing = || StorageError::Missing(location.to_string());
    let digest = digest_at(location).ok_or_else(missing)?;
    let shard = root.shard(&digest)?;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    match rustix::fs::openat(&*shard, digest.hex(), flags, Mode::empty()) {
        Ok(fd) => Ok(File::from(fd)),
        Err(Errno::NOENT) => Err(missing()),
        Err(errno) => {
            let path = root.path.join(place(&digest));
            Err(StorageError::io("open", path, errno.into()))
        }
    }
}
