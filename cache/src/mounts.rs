// SPDX-License-Identifier: Apache-2.0
//! Cache mounts: directories that outlive builds (`RUN --mount=type=cache`).
//!
//! ```text
//! mounts/<digest of the id>/<n>/fs      the directory, n = 0 first
//! mounts/<digest of the id>/<n>/lock    locked while in use
//! mounts/<digest of the id>/id          the id as written, for people
//! ```
//!
//! Docs: Dockerfile reference, `RUN --mount=type=cache`, `sharing`.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::file::{Attempt, FileError, open_path_dir};
use crate::record::CacheKey;
use crate::upper::Attributes;
use crate::{Owner, Store};

/// How often a locked mount is asked for.
const POLL: Duration = Duration::from_millis(20);

/// How many copies of one private mount may be in use at once.
const COPIES_MAX: u32 = 1024;

/// How several steps use one cache mount at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sharing {
    /// All write the same directory.
    Shared,
    /// Each gets a directory of its own; one that is free, or a new one.
    Private,
    /// One waits for the other.
    Locked,
}

/// Which cache mount a step wants.
#[derive(Clone, Debug)]
pub struct CacheMountRequest<'a> {
    /// Its name; equal names are the same mount.
    pub id: &'a str,
    /// What happens if it is in use.
    pub sharing: Sharing,
    /// The mode of the directory if it must be made.
    pub mode: u32,
    /// The owner of the directory if it must be made.
    pub owner: Owner,
}

/// A cache mount in use. Dropping it lets others in.
#[derive(Debug)]
pub struct CacheMount {
    dir: PathBuf,
    is_fresh: bool,
    _lock: File,
}

impl CacheMount {
    /// Returns the directory to mount.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Tells whether it was made just now: the caller fills it from the mount's `from`, if any.
    pub fn is_fresh(&self) -> bool {
        self.is_fresh
    }
}

/// Why a cache mount cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CacheMountError {
    /// A system call failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// Too many steps use it at once.
    #[error("cache mount {0:?} is in use {COPIES_MAX} times")]
    TooManyCopies(String),
    /// Waiting for it was given up.
    #[error("gave up waiting for cache mount {0:?}")]
    Cancelled(String),
}

impl Store {
    /// Takes a cache mount into use; a locked one is waited for, with a look at `is_cancelled`
    /// every few milliseconds.
    ///
    /// # Errors
    ///
    /// [`CacheMountError`].
    pub fn cache_mount(
        &self,
        request: &CacheMountRequest<'_>,
        is_cancelled: &dyn Fn() -> bool,
    ) -> Result<CacheMount, CacheMountError> {
        let key = CacheKey::of("cache mount", &[request.id.as_bytes()]);
        let home = self.path().join("mounts").join(key.to_string());
        fs::create_dir_all(&home).attempt("create", &home)?;
        let label = home.join("id");
        if !label.exists() {
            fs::write(&label, request.id).attempt("write", &label)?;
        }
        match request.sharing {
            Sharing::Shared | Sharing::Locked => {
                let operation = match request.sharing {
                    Sharing::Shared => FlockOperation::NonBlockingLockShared,
                    _ => FlockOperation::NonBlockingLockExclusive,
                };
                loop {
                    if let Some(mount) = try_copy(&home, 0, operation, request)? {
                        return Ok(mount);
                    }
                    if is_cancelled() {
                        return Err(CacheMountError::Cancelled(request.id.to_owned()));
                    }
                    std::thread::sleep(POLL);
                }
            }
            Sharing::Private => {
                let operation = FlockOperation::NonBlockingLockExclusive;
                for copy in 0..COPIES_MAX {
                    if let Some(mount) = try_copy(&home, copy, operation, request)? {
                        return Ok(mount);
                    }
                }
                Err(CacheMountError::TooManyCopies(request.id.to_owned()))
            }
        }
    }
}

fn try_copy(
    home: &Path,
    copy: u32,
    operation: FlockOperation,
    request: &CacheMountRequest<'_>,
) -> Result<Option<CacheMount>, FileError> {
    let slot = home.join(copy.to_string());
    fs::create_dir_all(&slot).attempt("create", &slot)?;
    let lock_path = slot.join("lock");
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(&lock_path)
        .attempt("open", &lock_path)?;
    match flock(&lock, operation) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Ok(None),
        Err(error) => return Err(FileError::new("lock", lock_path, error)),
    }
    let dir = slot.join("fs");
    let is_fresh = match fs::create_dir(&dir) {
        Ok(()) => true,
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => false,
        Err(error) => return Err(FileError::new("create", dir, error)),
    };
    if is_fresh {
        let handle = open_path_dir(&dir).attempt("open", &dir)?;
        let attributes = Attributes {
            mode: Some(request.mode),
            owner: Some(request.owner),
            ..Attributes::default()
        };
        attributes.set(&handle, &dir)?;
    }
    Ok(Some(CacheMount {
        dir,
        is_fresh,
        _lock: lock,
    }))
}
