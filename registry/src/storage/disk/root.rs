// SPDX-License-Identifier: Apache-2.0
//! The directory itself: its lock, its version, its subdirectories as handles.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use oci::{Algorithm, Digest};
use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use crate::storage::error::StorageError;

/// The layout that this program writes and reads.
const LAYOUT_VERSION: u32 = 1;
/// After how many failed syncs the storage stops. Docs: after a failed fsync Linux may drop the
/// pages and report success next time, so going on risks acknowledging what is not there.
const FAILED_SYNCS_MAX: u32 = 3;
const DIRECTORY: OFlags = OFlags::DIRECTORY
    .union(OFlags::RDONLY)
    .union(OFlags::CLOEXEC);

/// The directories of one algorithm, by the first byte of the digest.
type Shards = Vec<Arc<OwnedFd>>;

/// The open registry directory.
#[derive(Debug)]
pub(super) struct Root {
    /// Where it is, for messages and for SQLite.
    pub(super) path: PathBuf,
    pub(super) blobs: OwnedFd,
    pub(super) uploads: OwnedFd,
    pub(super) tmp: OwnedFd,
    /// Whether files can be unnamed until they are complete.
    pub(super) unnamed_files: bool,
    shards: Mutex<HashMap<Algorithm, Shards>>,
    failed_syncs: AtomicU32,
    stopped: AtomicBool,
    /// Unlocked when it is closed.
    _lock: File,
}

impl Root {
    pub(super) fn open(path: &Path) -> Result<Self, StorageError> {
        let io = |action, path: &Path| {
            let path = path.to_owned();
            move |source| StorageError::io(action, path, source)
        };
        create_durably(path).map_err(io("create", path))?;
        for folder in ["blobs", "uploads", "tmp", "journal"] {
            let folder = path.join(folder);
            fs::create_dir_all(&folder).map_err(io("create", &folder))?;
        }
        let lock = take_lock(path)?;
        check_version(path)?;
        sweep_tmp(path).map_err(io("clear", &path.join("tmp")))?;
        let open = |folder: &str| {
            let folder = path.join(folder);
            rustix::fs::open(&folder, DIRECTORY, Mode::empty())
                .map_err(|errno| io("open", &folder)(errno.into()))
        };
        let tmp = open("tmp")?;
        Ok(Self {
            blobs: open("blobs")?,
            uploads: open("uploads")?,
            unnamed_files: has_unnamed_files(&tmp),
            tmp,
            path: path.to_owned(),
            shards: Mutex::default(),
            failed_syncs: AtomicU32::new(0),
            stopped: AtomicBool::new(false),
            _lock: lock,
        })
    }

    /// Returns the directory that holds `digest`, durable.
    ///
    /// The first call for an algorithm makes all of its directories: one at a time, each would cost
    /// the first upload into it two syncs of its own.
    pub(super) fn shard(&self, digest: &Digest) -> Result<Arc<OwnedFd>, StorageError> {
        let algorithm = digest.algorithm();
        let number = usize::from_str_radix(&digest.hex()[..2], 16);
        let number = number.expect("a digest is hexadecimal");
        let mut families = self.shards.lock().expect("no code panics under this lock");
        if let Some(shards) = families.get(&algorithm) {
            return Ok(Arc::clone(&shards[number]));
        }
        let shards = self.make_shards(algorithm).map_err(|errno| {
            let path = self.path.join("blobs").join(algorithm.name());
            StorageError::io("create directories in", path, errno.into())
        })?;
        let shard = Arc::clone(&shards[number]);
        families.insert(algorithm, shards);
        Ok(shard)
    }

    fn make_shards(&self, algorithm: Algorithm) -> Result<Shards, Errno> {
        make_directory(&self.blobs, algorithm.name())?;
        // Also when they existed: the process that made them may have died before its sync.
        rustix::fs::fsync(&self.blobs)?;
        let flags = DIRECTORY | OFlags::NOFOLLOW;
        let family = rustix::fs::openat(&self.blobs, algorithm.name(), flags, Mode::empty())?;
        let names = (0..=u8::MAX).map(|byte| format!("{byte:02x}"));
        let names: Vec<String> = names.collect();
        for name in &names {
            make_directory(&family, name)?;
        }
        rustix::fs::fsync(&family)?;
        let open = |name: &String| {
            let opened = rustix::fs::openat(&family, name.as_str(), flags, Mode::empty());
            opened.map(Arc::new)
        };
        names.iter().map(open).collect()
    }

    /// Makes the entries of new files directly under the root and in `journal/` durable.
    pub(super) fn sync_folders(&self) -> Result<(), StorageError> {
        for folder in ["journal", ""] {
            let folder = self.path.join(folder);
            let synced = File::open(&folder).and_then(|folder| folder.sync_all());
            synced.map_err(|source| StorageError::io("sync", folder, source))?;
        }
        Ok(())
    }

    /// Refuses writes once the storage has stopped.
    pub(super) fn check_running(&self) -> Result<(), StorageError> {
        if self.stopped.load(Ordering::Relaxed) {
            return Err(StorageError::Stopped(self.path.clone()));
        }
        Ok(())
    }

    /// Turns the result of a sync into ours, and counts failures (a full disk is none).
    pub(super) fn synced(
        &self,
        place: &str,
        result: Result<(), Errno>,
    ) -> Result<(), StorageError> {
        let Err(errno) = result else { return Ok(()) };
        let error = StorageError::io("sync", self.path.join(place), errno.into());
        if !matches!(error, StorageError::Full(_)) {
            self.count_failure();
        }
        Err(error)
    }

    pub(super) fn count_failure(&self) {
        let before = self.failed_syncs.fetch_add(1, Ordering::Relaxed);
        if before + 1 >= FAILED_SYNCS_MAX {
            self.stopped.store(true, Ordering::Relaxed);
        }
    }
}

fn make_directory(parent: &OwnedFd, name: &str) -> Result<(), Errno> {
    match rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// Makes the root with its ancestors; each new one is durable when this returns.
fn create_durably(path: &Path) -> io::Result<()> {
    let path = std::path::absolute(path)?;
    let missing = path.ancestors().take_while(|ancestor| !ancestor.exists());
    let missing: Vec<_> = missing.collect();
    fs::create_dir_all(&path)?;
    for parent in missing.into_iter().filter_map(Path::parent) {
        File::open(parent)?.sync_all()?;
    }
    Ok(())
}

fn take_lock(path: &Path) -> Result<File, StorageError> {
    let file_path = path.join("lock");
    let options = fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&file_path);
    let file = options.map_err(|source| StorageError::io("open", &file_path, source))?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(Errno::WOULDBLOCK) => Err(StorageError::InUse(path.to_owned())),
        Err(errno) => Err(StorageError::io("lock", file_path, errno.into())),
    }
}

fn check_version(path: &Path) -> Result<(), StorageError> {
    let file_path = path.join("version");
    let io = |action, source| StorageError::io(action, &file_path, source);
    let mut found = String::new();
    match File::open(&file_path) {
        Ok(file) => {
            let mut limited = file.take(64);
            limited
                .read_to_string(&mut found)
                .map_err(|source| io("read", source))?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(io("open", error)),
    }
    // An empty file is one whose writer died; nothing else had been written by then.
    if found.is_empty() {
        let mut file = File::create(&file_path).map_err(|source| io("create", source))?;
        return writeln!(file, "{LAYOUT_VERSION}")
            .and_then(|()| file.sync_all())
            .map_err(|source| io("write", source));
    }
    if found.trim().parse() == Ok(LAYOUT_VERSION) {
        return Ok(());
    }
    Err(StorageError::UnknownLayout {
        path: path.to_owned(),
        found: found.trim().to_owned(),
        known: LAYOUT_VERSION,
    })
}

/// Removes what a dead process left: the lock is ours, so nobody is writing there.
fn sweep_tmp(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path.join("tmp"))? {
        fs::remove_file(entry?.path())?;
    }
    Ok(())
}

/// Finds out by trying, because file systems differ and names don't tell.
fn has_unnamed_files(tmp: &OwnedFd) -> bool {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let Ok(file) = rustix::fs::openat(tmp, c".", flags, Mode::from_raw_mode(0o644)) else {
        return false;
    };
    let linked = link_unnamed(&file, tmp, "probe");
    linked.is_ok() && rustix::fs::unlinkat(tmp, c"probe", AtFlags::empty()).is_ok()
}

/// Gives an unnamed file its name.
pub(super) fn link_unnamed(file: &OwnedFd, folder: &OwnedFd, name: &str) -> Result<(), Errno> {
    use std::os::fd::AsRawFd as _;
    let magic = format!("/proc/self/fd/{}", file.as_raw_fd());
    rustix::fs::linkat(
        rustix::fs::CWD,
        magic,
        folder,
        name,
        AtFlags::SYMLINK_FOLLOW,
    )
}
