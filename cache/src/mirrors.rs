// SPDX-License-Identifier: Apache-2.0
//! Mirrors: copies of remote repositories that outlive builds, so that the next fetch brings only
//! what is new.
//!
//! ```text
//! git/<digest of the name>/name    the name as given, for people
//! git/<digest of the name>/repo/   the caller's
//! git/<digest of the name>/lock    locked while in use; its time is that of the last use
//! ```
//!
//! Knows no git: what is in `repo/` is the caller's business. A mirror that a crash left damaged is
//! [`Mirror::reset`] by whoever finds out.
//!
//! Ours: `docs/cache-format.md`.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::file::{Attempt, FileError, set_times};
use crate::record::CacheKey;
use crate::root::for_each_name;
use crate::{Store, Timestamp};

/// The directory of all mirrors.
const DIR: &str = "git";
/// How often a locked mirror is asked for.
const POLL: Duration = Duration::from_millis(20);

/// A mirror that this process has to itself. Dropping it lets others in.
#[derive(Debug)]
pub struct Mirror {
    store: Store,
    repo: PathBuf,
    is_fresh: bool,
    _lock: File,
}

impl Mirror {
    /// Returns the directory of the repository.
    pub fn dir(&self) -> &Path {
        &self.repo
    }

    /// Tells whether the directory was made just now and is empty.
    pub fn is_fresh(&self) -> bool {
        self.is_fresh
    }

    /// Begins anew with an empty directory.
    ///
    /// # Errors
    ///
    /// What the file system said.
    pub fn reset(&mut self) -> Result<(), FileError> {
        self.store.move_to_trash(&self.repo)?;
        fs::create_dir(&self.repo).attempt("create", &self.repo)?;
        self.is_fresh = true;
        Ok(())
    }
}

/// Why a mirror cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MirrorError {
    /// A system call failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// Waiting for it was given up.
    #[error("gave up waiting for the mirror of {0:?}")]
    Cancelled(String),
}

impl Store {
    /// Takes the mirror called `name` into use, made if missing; one that is in use is waited for,
    /// with a look at `is_cancelled` every few milliseconds. `name` is stored: no credentials.
    ///
    /// # Errors
    ///
    /// [`MirrorError`].
    pub fn mirror(
        &self,
        name: &str,
        is_cancelled: &dyn Fn() -> bool,
    ) -> Result<Mirror, MirrorError> {
        let key = CacheKey::of("git mirror", &[name.as_bytes()]);
        let home = self.path().join(DIR).join(key.to_string());
        loop {
            if let Some(lock) = try_lock(&home)? {
                set_times(&lock, self.now()).attempt("touch", &home)?;
                return Ok(self.locked_mirror(&home, name, lock)?);
            }
            if is_cancelled() {
                return Err(MirrorError::Cancelled(name.to_owned()));
            }
            std::thread::sleep(POLL);
        }
    }

    fn locked_mirror(&self, home: &Path, name: &str, lock: File) -> Result<Mirror, FileError> {
        let label = home.join("name");
        if !label.exists() {
            fs::write(&label, name).attempt("write", &label)?;
        }
        let repo = home.join("repo");
        let is_fresh = match fs::create_dir(&repo) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
            Err(error) => return Err(FileError::new("create", repo, error)),
        };
        Ok(Mirror {
            store: self.clone(),
            repo,
            is_fresh,
            _lock: lock,
        })
    }

    /// Takes mirrors out of existence that nobody uses and nobody has used since `since` (`None`:
    /// whenever).
    pub(crate) fn prune_mirrors(&self, since: Option<Timestamp>) -> Result<(), FileError> {
        let dir = self.path().join(DIR);
        let mut names = Vec::new();
        match fs::symlink_metadata(&dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other.attempt("stat", &dir)?,
        };
        for_each_name(&dir, |name| names.push(name.to_owned()))?;
        for home in names.iter().filter(|name| is_mirror(name)) {
            let home = dir.join(home);
            let Some(lock) = try_lock(&home)? else {
                continue;
            };
            let used = lock.metadata().attempt("stat", &home)?.mtime();
            if since.is_none_or(|since| used < since.secs) {
                self.move_to_trash(&home)?;
            }
        }
        Ok(())
    }
}

/// Other files of the caller may lie beside the mirrors.
fn is_mirror(name: &OsStr) -> bool {
    name.to_str()
        .is_some_and(|name| name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Locks a mirror unless somebody has it. Prune may move the directory away meanwhile: then the
/// lock is that of something that no longer exists, and counts as not taken.
fn try_lock(home: &Path) -> Result<Option<File>, FileError> {
    fs::create_dir_all(home).attempt("create", home)?;
    let path = home.join("lock");
    let opened = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(&path);
    let lock = match opened {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.attempt("open", &path)?,
    };
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Ok(None),
        Err(error) => return Err(FileError::new("lock", path, error)),
    }
    let id = |meta: &fs::Metadata| (meta.dev(), meta.ino());
    let ours = lock.metadata().attempt("stat", &path)?;
    match fs::symlink_metadata(&path) {
        Ok(there) if id(&there) == id(&ours) => Ok(Some(lock)),
        Ok(_) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(FileError::new("stat", path, error)),
    }
}

#[cfg(test)]
mod tests {
    use crate::testing;
    use crate::{MirrorError, PruneRequest, Timestamp};

    #[test]
    fn a_mirror_is_kept_and_one_process_has_it() {
        let (_dir, store) = testing::store();
        let mirror = store.mirror("https://h/a.git", &|| true).unwrap();
        assert!(mirror.is_fresh());
        std::fs::write(mirror.dir().join("HEAD"), "x").unwrap();
        let busy = store.mirror("https://h/a.git", &|| true);
        assert!(matches!(busy, Err(MirrorError::Cancelled(_))));
        assert!(store.mirror("https://h/b.git", &|| true).is_ok());
        drop(mirror);
        let mut again = store.mirror("https://h/a.git", &|| true).unwrap();
        assert!(!again.is_fresh());
        assert!(again.dir().join("HEAD").exists());
        again.reset().unwrap();
        assert!(again.is_fresh());
        assert!(!again.dir().join("HEAD").exists());
    }

    #[test]
    fn prune_takes_mirrors_that_are_old_and_not_in_use() {
        let (_dir, store) = testing::store();
        let used = store.mirror("https://h/used.git", &|| true).unwrap();
        let old = store.mirror("https://h/old.git", &|| true).unwrap();
        let old_dir = old.dir().to_owned();
        drop(old);
        let since = |secs| PruneRequest {
            keep_chains: &[],
            keep_records_since: Some(Timestamp::from_secs(secs)),
        };
        store.prune(&since(0)).unwrap();
        assert!(old_dir.exists(), "used since");
        store.prune(&PruneRequest::default()).unwrap();
        assert!(!old_dir.exists());
        assert!(used.dir().exists(), "in use");
    }
}
