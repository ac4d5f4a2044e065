// SPDX-License-Identifier: Apache-2.0
//! A file on its way in: written and hashed in one go on the blocking pool, then linked under its
//! digest.
//!
//! Small anonymous bytes wait in memory and become a file only when they are published: one trip to
//! the pool for all of it, and no file for a digest that turns out wrong.

use std::fs::File;
use std::io::{self, IoSlice, Read, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use bytes::Bytes;
use oci::{Algorithm, Digest, Hasher};
use rustix::fs::{AtFlags, FallocateFlags, Mode, OFlags};
use rustix::io::Errno;

use super::data::Stripes;
use super::root::{Root, link_unnamed};
use crate::storage::data::{Answer, Guard, Location, Publication, Resume, Stage, Staged};
use crate::storage::error::StorageError;
use crate::storage::session::SessionId;
use crate::storage::store::nonce;

/// From which size on space is reserved before the first byte is written.
const RESERVE_FROM_BYTES: u64 = 1 << 20;
/// How much is reserved at most: the length is a claim of the client.
const RESERVE_MAX_BYTES: u64 = 1 << 30;
/// Up to which size anonymous bytes wait in memory. Ours: less than a connection's read buffer, so
/// that what is held has mostly been allocated anyway.
const HELD_MAX_BYTES: u64 = 64 << 10;
/// How much is read at once when a prefix is hashed again.
const REHASH_BYTES: usize = 1 << 20;

/// How the file is named until it is published.
#[derive(Debug)]
enum Named {
    /// Not at all: it vanishes with its last descriptor.
    No,
    /// In `tmp/`, where unnamed files are not to be had; removed on drop.
    Temporary(String),
    /// In `uploads/`, where a session finds it again.
    Session(SessionId),
}

#[derive(Debug)]
struct Open {
    root: Arc<Root>,
    file: File,
    named: Named,
    hasher: Hasher,
    algorithm: Algorithm,
    /// Whether bytes were written since the last sync.
    is_dirty: bool,
    /// Whether the directory entry may not be durable yet.
    is_new: bool,
    offset: u64,
}

/// Where staged bytes are.
#[derive(Debug)]
enum State {
    /// In memory: few, and of no session.
    Held(Stage, Vec<Bytes>),
    /// In a file.
    Open(Open),
    /// With a blocking task; for good after that task failed.
    Gone,
}

/// Staged bytes.
#[derive(Debug)]
pub(super) struct DiskStaged {
    state: State,
    offset: u64,
    root: Arc<Root>,
    stripes: Arc<Stripes>,
}

impl DiskStaged {
    /// Returns the bytes of `stage`, which come soon: nothing is opened before they are many.
    /// None if they may become many, or have a session.
    pub(super) fn held(root: &Arc<Root>, stripes: &Arc<Stripes>, stage: &Stage) -> Option<Self> {
        let may_be_large = stage
            .expected_bytes
            .is_some_and(|count| count > HELD_MAX_BYTES);
        if stage.session.is_some() || may_be_large {
            return None;
        }
        Some(Self {
            state: State::Held(stage.clone(), Vec::new()),
            offset: 0,
            root: Arc::clone(root),
            stripes: Arc::clone(stripes),
        })
    }

    /// Opens the file of `stage`. Blocking.
    pub(super) fn open(
        root: Arc<Root>,
        stripes: Arc<Stripes>,
        stage: &Stage,
    ) -> Result<Self, StorageError> {
        let open = match &stage.session {
            None => Open::unnamed(&root, stage)?,
            Some(id) => Open::session(&root, id, stage)?,
        };
        Ok(Self {
            offset: open.offset,
            state: State::Open(open),
            root,
            stripes,
        })
    }

    /// Runs `work` on the blocking pool, with the bytes in a file.
    async fn on_pool<T, F>(&mut self, work: F) -> Result<T, StorageError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Open) -> Result<T, StorageError> + Send + 'static,
    {
        let gone = || StorageError::Missing("staged bytes after an error".into());
        let before = std::mem::replace(&mut self.state, State::Gone);
        let root = Arc::clone(&self.root);
        let task = tokio::task::spawn_blocking(move || {
            let mut open = match before {
                State::Open(open) => open,
                State::Held(stage, pieces) => {
                    let mut open = Open::unnamed(&root, &stage)?;
                    open.append(&pieces)?;
                    open
                }
                State::Gone => return Err(gone()),
            };
            work(&mut open).map(|value| (open, value))
        });
        let (open, value) = task.await.map_err(|_| gone())??;
        self.offset = open.offset;
        self.state = State::Open(open);
        Ok(value)
    }
}

impl Staged for DiskStaged {
    fn offset(&self) -> u64 {
        self.offset
    }

    fn append(&mut self, pieces: Vec<Bytes>) -> Answer<'_, ()> {
        Box::pin(async move {
            let count: usize = pieces.iter().map(Bytes::len).sum();
            if let State::Held(_, held) = &mut self.state
                && self.offset.saturating_add(count as u64) <= HELD_MAX_BYTES
            {
                self.offset += count as u64;
                held.extend(pieces);
                return Ok(());
            }
            self.on_pool(move |open| open.append(&pieces)).await
        })
    }

    fn checkpoint(&mut self) -> Answer<'_, Resume> {
        // The file tells everything; after a restart it is hashed again.
        Box::pin(async move {
            self.on_pool(Open::sync).await?;
            Ok(Resume::default())
        })
    }

    fn publish<'a>(&'a mut self, digest: &'a Digest) -> Answer<'a, Publication> {
        Box::pin(async move {
            self.root.check_running()?;
            let stripe = self.stripes.lock(digest).await;
            let digest = digest.clone();
            let location = self.on_pool(move |open| open.publish(&digest)).await?;
            Ok(Publication {
                location,
                guard: Guard::of(stripe),
            })
        })
    }
}

impl Open {
    fn unnamed(root: &Arc<Root>, stage: &Stage) -> Result<Self, StorageError> {
        let mode = Mode::from_raw_mode(0o644);
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        let (file, named) = if root.unnamed_files {
            let file = rustix::fs::openat(&root.tmp, c".", flags | OFlags::TMPFILE, mode);
            (file, Named::No)
        } else {
            let name = nonce();
            let flags = flags | OFlags::CREATE | OFlags::EXCL;
            let file = rustix::fs::openat(&root.tmp, &*name, flags, mode);
            (file, Named::Temporary(name))
        };
        let failed = |errno: Errno| StorageError::io("create", root.path.join("tmp"), errno.into());
        let file = file.map_err(failed)?;
        if let Some(expected) = stage
            .expected_bytes
            .filter(|size| *size >= RESERVE_FROM_BYTES)
        {
            reserve(&file, expected.min(RESERVE_MAX_BYTES)).map_err(failed)?;
        }
        Ok(Self::new(root, file, named, stage.algorithm))
    }

    fn session(root: &Arc<Root>, id: &SessionId, stage: &Stage) -> Result<Self, StorageError> {
        let path = || root.path.join("uploads").join(id.as_str());
        let failed = |errno: Errno| StorageError::io("open", path(), errno.into());
        let mut flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        if stage.offset == 0 {
            flags |= OFlags::CREATE;
        }
        let mode = Mode::from_raw_mode(0o644);
        let file = match rustix::fs::openat(&root.uploads, id.as_str(), flags, mode) {
            Err(Errno::NOENT) => return Err(StorageError::Missing(id.to_string())),
            other => other.map_err(failed)?,
        };
        let mut open = Self::new(root, file, Named::Session(id.clone()), stage.algorithm);
        open.is_new = stage.offset == 0;
        open.rewind_to(stage.offset)?;
        Ok(open)
    }

    fn new(root: &Arc<Root>, file: OwnedFd, named: Named, algorithm: Algorithm) -> Self {
        Self {
            root: Arc::clone(root),
            file: File::from(file),
            named,
            hasher: Hasher::new(algorithm),
            algorithm,
            is_dirty: false,
            is_new: false,
            offset: 0,
        }
    }

    /// Forgets what lies beyond `offset` and hashes what lies before it.
    fn rewind_to(&mut self, offset: u64) -> Result<(), StorageError> {
        let place = self.root.path.join("uploads");
        let io = |action| {
            let place = place.clone();
            move |source| StorageError::io(action, place, source)
        };
        let size = self.file.metadata().map_err(io("stat"))?.len();
        if size < offset {
            return Err(StorageError::Missing(format!(
                "{} of an upload",
                offset - size
            )));
        }
        self.file.set_len(offset).map_err(io("truncate"))?;
        self.hasher = self.rehash(self.algorithm, offset)?;
        self.file
            .seek(SeekFrom::Start(offset))
            .map_err(io("seek"))?;
        self.offset = offset;
        Ok(())
    }

    fn append(&mut self, pieces: &[Bytes]) -> Result<(), StorageError> {
        for piece in pieces {
            self.hasher.update(piece);
        }
        self.is_dirty = true;
        write_pieces(&mut self.file, pieces)
            .map_err(|source| StorageError::io("write to", &self.root.path, source))?;
        self.offset += pieces.iter().map(|piece| piece.len() as u64).sum::<u64>();
        Ok(())
    }

    fn sync(&mut self) -> Result<(), StorageError> {
        if self.is_dirty {
            let result = rustix::fs::fdatasync(&self.file);
            self.root.synced("uploads", result)?;
            self.is_dirty = false;
        }
        if self.is_new {
            let result = rustix::fs::fsync(&self.root.uploads);
            self.root.synced("uploads", result)?;
            self.is_new = false;
        }
        Ok(())
    }

    /// Hashes the first `count` bytes of the file; leaves the position anywhere.
    fn rehash(&mut self, algorithm: Algorithm, count: u64) -> Result<Hasher, StorageError> {
        let mut hasher = Hasher::new(algorithm);
        if count == 0 {
            return Ok(hasher);
        }
        let failed = |source| StorageError::io("read", self.root.path.clone(), source);
        self.file.seek(SeekFrom::Start(0)).map_err(failed)?;
        let mut limited = (&self.file).take(count);
        let mut buffer = vec![0; REHASH_BYTES];
        loop {
            let read = limited.read(&mut buffer).map_err(failed)?;
            if read == 0 {
                return Ok(hasher);
            }
            hasher.update(&buffer[..read]);
        }
    }

    fn publish(&mut self, digest: &Digest) -> Result<Location, StorageError> {
        let actual = if digest.algorithm() == self.algorithm {
            self.hasher.clone().finish()
        } else {
            self.rehash(digest.algorithm(), self.offset)?.finish()
        };
        if actual != *digest {
            return Err(StorageError::WrongDigest {
                expected: digest.clone(),
                actual,
            });
        }
        let shard = self.root.shard(digest)?;
        let place = super::data::place(digest);
        match rustix::fs::statat(&*shard, digest.hex(), AtFlags::SYMLINK_NOFOLLOW) {
            // It was synced before it was linked; only its entry may still be on its way.
            Ok(stat) if u64::try_from(stat.st_size) == Ok(self.offset) => {}
            Ok(_) => self.place(&shard, digest, true)?,
            Err(_) => self.place(&shard, digest, false)?,
        }
        self.root.synced(&place, rustix::fs::fsync(&*shard))?;
        Ok(Location(place.into()))
    }

    /// Syncs the file and links it under its digest. `replace` heals a file of another length,
    /// which cannot have the digest of its name.
    fn place(
        &mut self,
        shard: &OwnedFd,
        digest: &Digest,
        replace: bool,
    ) -> Result<(), StorageError> {
        let result = rustix::fs::fdatasync(&self.file);
        self.root.synced("blobs", result)?;
        self.is_dirty = false;
        let linked = if replace {
            let name = nonce();
            self.link(&self.root.tmp, &name)
                .and_then(|()| rustix::fs::renameat(&self.root.tmp, &*name, shard, digest.hex()))
        } else {
            self.link(shard, digest.hex())
        };
        match linked {
            // Somebody else was faster, with the same bytes.
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(errno) => {
                let path = self.root.path.join(super::data::place(digest));
                Err(StorageError::io("link", path, errno.into()))
            }
        }
    }

    fn link(&self, folder: &OwnedFd, name: &str) -> Result<(), Errno> {
        let (from, own) = match &self.named {
            Named::No => {
                let file = self.file.try_clone().map_err(|_| Errno::MFILE)?;
                return link_unnamed(&file.into(), folder, name);
            }
            Named::Temporary(own) => (&self.root.tmp, own.as_str()),
            Named::Session(id) => (&self.root.uploads, id.as_str()),
        };
        match rustix::fs::linkat(from, own, folder, name, AtFlags::empty()) {
            // No hard links here (some network and FUSE file systems): the name itself moves.
            Err(Errno::PERM | Errno::OPNOTSUPP | Errno::MLINK) => {
                rustix::fs::renameat(from, own, folder, name)
            }
            other => other,
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Named::Temporary(name) = &self.named {
            // It may have moved to its place; whatever else stays is swept at the next start.
            rustix::fs::unlinkat(&self.root.tmp, &**name, AtFlags::empty()).unwrap_or_default();
        }
    }
}

/// Reserves space; file systems that cannot are let off.
fn reserve(file: &OwnedFd, count: u64) -> Result<(), Errno> {
    match rustix::fs::fallocate(file, FallocateFlags::KEEP_SIZE, 0, count) {
        Err(errno @ (Errno::NOSPC | Errno::DQUOT)) => Err(errno),
        _ => Ok(()),
    }
}

/// Writes all of `pieces`, as many as possible at once: HTTP/2 brings them in 16 KiB each, and a
/// call to the kernel for every one takes longer than the writing.
fn write_pieces(file: &mut impl Write, pieces: &[Bytes]) -> io::Result<()> {
    let mut slices: Vec<_> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
    let mut rest = &mut slices[..];
    // Empty ones in front would look like a file that takes nothing.
    IoSlice::advance_slices(&mut rest, 0);
    while !rest.is_empty() {
        match file.write_vectored(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => IoSlice::advance_slices(&mut rest, count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes at most `most` bytes at once, after an interruption, and counts the calls.
    struct Narrow {
        most: usize,
        calls: usize,
        taken: Vec<u8>,
    }

    impl Write for Narrow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.write_vectored(&[IoSlice::new(bytes)])
        }

        fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
            self.calls += 1;
            if self.calls == 1 {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.to_vec()).collect();
            let count = bytes.len().min(self.most);
            self.taken.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn pieces_are_written_together_and_whole() {
        let texts: &[&'static [u8]] = &[b"", b"abc", b"", b"defgh", b"i", b""];
        let pieces: Vec<_> = texts.iter().map(|text| Bytes::from_static(text)).collect();
        for (most, calls) in [(100, 2), (4, 4), (1, 10)] {
            let mut narrow = Narrow {
                most,
                calls: 0,
                taken: Vec::new(),
            };
            write_pieces(&mut narrow, &pieces).unwrap();
            assert_eq!(narrow.taken, b"abcdefghi");
            assert_eq!(narrow.calls, calls, "{most} bytes at once");
        }
        let mut full = Narrow {
            most: 0,
            calls: 0,
            taken: Vec::new(),
        };
        let error = write_pieces(&mut full, &pieces).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WriteZero);
        write_pieces(&mut full, &[Bytes::new()]).unwrap();
    }
}
