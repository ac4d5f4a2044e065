// SPDX-License-Identifier: Apache-2.0
//! What scrubbing and importing ask of the files: how long they are, which there are, taking
//! damaged ones away and foreign ones over.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;

use oci::{Algorithm, Digest, Hasher};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::data::place;
use super::root::{Root, link_unnamed};
use crate::storage::data::{Location, Placed};
use crate::storage::error::StorageError;

/// Where damaged files are kept until somebody removes them by hand.
pub(super) const QUARANTINE: &str = "quarantine";
/// How much of a foreign file is read at once.
const READ_BYTES: usize = 1 << 20;
const ALGORITHMS: [Algorithm; 2] = [Algorithm::Sha256, Algorithm::Sha512];

/// Returns how many bytes the file of `digest` has.
pub(super) fn size(root: &Root, digest: &Digest) -> Result<u64, StorageError> {
    let shard = root.shard(digest)?;
    match rustix::fs::statat(&*shard, digest.hex(), AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(u64::try_from(stat.st_size).unwrap_or_default()),
        Err(Errno::NOENT) => Err(StorageError::Missing(place(digest))),
        Err(errno) => Err(failed(root, "look at", &place(digest))(errno)),
    }
}

/// Moves the file of `digest` to the quarantine, where it is called `<algorithm>-<hex>`.
pub(super) fn set_aside(root: &Root, digest: &Digest) -> Result<(), StorageError> {
    let failed_to_move = failed(root, "move", &place(digest));
    let folder = quarantine(root).map_err(failed(root, "open", QUARANTINE))?;
    let shard = root.shard(digest)?;
    let name = format!("{}-{}", digest.algorithm(), digest.hex());
    match rustix::fs::renameat(&*shard, digest.hex(), &folder, &*name) {
        Ok(()) => {}
        Err(Errno::NOENT) => return Ok(()),
        Err(errno) => return Err(failed_to_move(errno)),
    }
    root.synced(QUARANTINE, rustix::fs::fsync(&folder))?;
    root.synced(&place(digest), rustix::fs::fsync(&*shard))
}

fn quarantine(root: &Root) -> Result<OwnedFd, Errno> {
    let path = root.path.join(QUARANTINE);
    match rustix::fs::mkdir(&path, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(errno),
    }
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    rustix::fs::open(&path, flags, Mode::empty())
}

/// Returns the files of the first directory after the one that `after` lies in which has any,
/// sorted.
pub(super) fn published(root: &Root, after: &str) -> Result<Vec<Placed>, StorageError> {
    for algorithm in ALGORITHMS {
        for number in 0..=u8::MAX {
            let prefix = format!("blobs/{algorithm}/{number:02x}/");
            // Longer than the prefix, if it lies in that directory.
            if prefix.as_str() <= after {
                continue;
            }
            let files =
                in_shard(root, algorithm, &prefix).map_err(failed(root, "list", &prefix))?;
            if !files.is_empty() {
                return Ok(files);
            }
        }
    }
    Ok(Vec::new())
}

fn in_shard(root: &Root, algorithm: Algorithm, prefix: &str) -> Result<Vec<Placed>, Errno> {
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let below = prefix.trim_start_matches("blobs/");
    let shard = match rustix::fs::openat(&root.blobs, below, flags, Mode::empty()) {
        Ok(shard) => shard,
        Err(Errno::NOENT) => return Ok(Vec::new()),
        Err(errno) => return Err(errno),
    };
    let mut files = Vec::new();
    for entry in Dir::read_from(&shard)? {
        let entry = entry?;
        let hex = entry.file_name().to_str().unwrap_or_default();
        let Ok(digest) = format!("{algorithm}:{hex}").parse::<Digest>() else {
            continue;
        };
        let stat = match rustix::fs::statat(&shard, hex, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => continue,
            Err(errno) => return Err(errno),
        };
        // The time of the entry, not of the bytes: an imported file may be years old.
        files.push(Placed {
            location: Location(place(&digest).into()),
            digest,
            size_bytes: u64::try_from(stat.st_size).unwrap_or_default(),
            written_at: u64::try_from(stat.st_ctime).unwrap_or_default(),
        });
    }
    files.sort_by(|one, other| one.location.0.cmp(&other.location.0));
    Ok(files)
}

/// Removes files in `tmp/` that nobody has written to since `before`.
pub(super) fn sweep(root: &Root, before: u64) -> Result<usize, StorageError> {
    let failed = failed(root, "clear", "tmp");
    let mut removed = 0;
    for entry in Dir::read_from(&root.tmp).map_err(&failed)? {
        let entry = entry.map_err(&failed)?;
        let name = entry.file_name();
        let Ok(stat) = rustix::fs::statat(&root.tmp, name, AtFlags::SYMLINK_NOFOLLOW) else {
            continue;
        };
        let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        let is_old = u64::try_from(stat.st_mtime).unwrap_or_default() <= before;
        if is_file && is_old && rustix::fs::unlinkat(&root.tmp, name, AtFlags::empty()).is_ok() {
            removed += 1;
        }
    }
    Ok(removed)
}

/// Returns the digest of a whole file, in the algorithm of `digest`.
pub(super) fn digest_of_file(file: &File, digest: &Digest) -> io::Result<Digest> {
    let mut hasher = Hasher::new(digest.algorithm());
    let mut buffer = vec![0; READ_BYTES];
    let mut offset = 0;
    loop {
        let read = file.read_at(&mut buffer, offset)?;
        if read == 0 {
            return Ok(hasher.finish());
        }
        hasher.update(&buffer[..read]);
        offset += read as u64;
    }
}

/// Gives a foreign file its name under `digest` too, durably; false if its bytes must be copied
/// because it lies on another file system or may not be linked.
pub(super) fn link(root: &Root, file: &OwnedFd, digest: &Digest) -> Result<bool, StorageError> {
    let stat = rustix::fs::fstat(file).map_err(failed(root, "look at", &place(digest)))?;
    let shard = root.shard(digest)?;
    match rustix::fs::statat(&*shard, digest.hex(), AtFlags::SYMLINK_NOFOLLOW) {
        Ok(found) if found.st_size == stat.st_size => return Ok(true),
        // A file of another length is damaged; publishing a copy replaces it.
        Ok(_) => return Ok(false),
        Err(_) => {}
    }
    // Its writer may never have asked for it to be on the disk.
    root.synced(&place(digest), rustix::fs::fdatasync(file))?;
    match link_unnamed(file, &shard, digest.hex()) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(Errno::XDEV | Errno::PERM | Errno::MLINK | Errno::OPNOTSUPP | Errno::ACCESS) => {
            return Ok(false);
        }
        Err(errno) => return Err(failed(root, "link", &place(digest))(errno)),
    }
    root.synced(&place(digest), rustix::fs::fsync(&*shard))?;
    Ok(true)
}

fn failed(
    root: &Root,
    action: &'static str,
    below: &str,
) -> impl Fn(Errno) -> StorageError + use<> {
    let path = root.path.join(below);
    move |errno| StorageError::io(action, path.clone(), errno.into())
}
