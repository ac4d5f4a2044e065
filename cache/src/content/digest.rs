// SPDX-License-Identifier: Apache-2.0
//! The bytes that are hashed. A change here changes every content key: raise [`VERSION`].

use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use crate::Owner;
use crate::file::{Kind, Meta, XattrMap};

/// Goes into every digest.
const VERSION: u8 = 1;

/// Appends a string with its length, so that no two sequences of strings are the same bytes.
fn text(hasher: &mut blake3::Hasher, bytes: &[u8]) {
    hasher.update(&(bytes.len() as u64).to_le_bytes());
    hasher.update(bytes);
}

/// Starts the digest of an entry; the bytes of a regular file follow.
///
/// Observed: BuildKit's tarsum header (facts: §1.14): symlinks have mode 0777 whatever the file
/// system says, a socket counts as the empty file that it is copied as.
pub(super) fn header(meta: &Meta, owner: Owner, link: &[u8], xattrs: &XattrMap) -> blake3::Hasher {
    let (kind, mode, size, rdev) = match meta.kind {
        Kind::File => (b'f', meta.mode, meta.size_bytes, 0),
        Kind::Dir => (b'd', meta.mode, 0, 0),
        Kind::Symlink => (b'l', 0o777, 0, 0),
        Kind::Fifo => (b'p', meta.mode, 0, 0),
        Kind::Socket => (b'f', meta.mode, 0, 0),
        Kind::CharDevice => (b'c', meta.mode, 0, meta.rdev),
        Kind::BlockDevice => (b'b', meta.mode, 0, meta.rdev),
    };
    let mut hasher = blake3::Hasher::new();
    hasher.update(&[VERSION, kind]);
    hasher.update(&mode.to_le_bytes());
    hasher.update(&owner.uid.to_le_bytes());
    hasher.update(&owner.gid.to_le_bytes());
    hasher.update(&size.to_le_bytes());
    hasher.update(&rdev.to_le_bytes());
    text(&mut hasher, link);
    hasher.update(&(xattrs.len() as u64).to_le_bytes());
    for (name, value) in xattrs {
        text(&mut hasher, name);
        text(&mut hasher, value);
    }
    hasher
}

/// The digest of a directory: its own header if it counts, then its entries by name.
pub(super) fn of_dir(own: Option<&[u8; 32]>, entries: &[(Vec<u8>, [u8; 32])]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&[VERSION, b'D']);
    match own {
        Some(own) => hasher.update(&[1]).update(own),
        None => hasher.update(&[0]),
    };
    for (name, digest) in entries {
        text(&mut hasher, name);
        hasher.update(digest);
    }
    *hasher.finalize().as_bytes()
}

/// The digest of what a pattern matches.
pub(super) fn of_matches(matches: &[(PathBuf, [u8; 32])]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&[VERSION, b'M']);
    for (path, digest) in matches {
        text(&mut hasher, path.as_os_str().as_bytes());
        hasher.update(digest);
    }
    *hasher.finalize().as_bytes()
}
