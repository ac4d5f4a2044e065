// SPDX-License-Identifier: Apache-2.0
//! Was an entry changed, or only copied up?
//!
//! Observed: BuildKit `util/overlay/overlay_linux.go`, `sameDirent` (facts: rule 94).

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::BorrowedFd;
use std::path::Path;

use super::DiffError;
use super::emit::CAPABILITY;
use crate::file::{Attempt, Kind, Meta, get_xattr, open_file, read_link};
use crate::view::{Entry, MergedDir};

/// Tells whether a directory is the same but for its time.
pub(super) fn is_same_dir(upper: &Meta, below: &Meta) -> bool {
    upper.mode == below.mode && upper.owner == below.owner
}

/// Tells whether the entry `name` of the upper directory differs from what is below.
pub(super) fn is_change(
    upper: BorrowedFd<'_>,
    name: &OsStr,
    meta: &Meta,
    below: &MergedDir,
) -> Result<bool, DiffError> {
    // With more than one name, whether a link is new cannot be told from one of them.
    if meta.links > 1 {
        return Ok(true);
    }
    let Some(entry) = below.lookup(name)? else {
        return Ok(true);
    };
    let old = &entry.meta;
    let is_alike = meta.kind == old.kind
        && meta.mode == old.mode
        && meta.owner == old.owner
        && meta.rdev == old.rdev
        && meta.size_bytes == old.size_bytes
        && meta.mtime == old.mtime;
    if !is_alike {
        return Ok(true);
    }
    let path = below.path().join(name);
    match meta.kind {
        Kind::Symlink => {
            let target = read_link(upper, name).attempt("read link", &path)?;
            Ok(target != below.read_link(&entry)?)
        }
        Kind::File => is_file_change(upper, name, (meta, &entry), below),
        _ => Ok(false),
    }
}

fn is_file_change(
    upper: BorrowedFd<'_>,
    name: &OsStr,
    (meta, entry): (&Meta, &Entry),
    below: &MergedDir,
) -> Result<bool, DiffError> {
    let path = below.path().join(name);
    let new = open_file(upper, name).attempt("open", &path)?;
    let old = below.open_file(entry)?;
    let capability = |file: &File| get_xattr(file, CAPABILITY).attempt("read attributes of", &path);
    if capability(&new)? != capability(&old)? {
        return Ok(true);
    }
    // Times of whole seconds come from archives, and two versions may have the same.
    if meta.mtime.nanos != 0 {
        return Ok(false);
    }
    Ok(!has_same_content(new, old, &path)?)
}

fn has_same_content(new: File, old: File, path: &Path) -> Result<bool, DiffError> {
    let mut new = io::BufReader::with_capacity(64 << 10, new);
    let mut old = io::BufReader::with_capacity(64 << 10, old);
    let (mut left, mut right) = (vec![0; 32 << 10], vec![0; 32 << 10]);
    loop {
        let count = new.read(&mut left).attempt("read", path)?;
        if count == 0 {
            return Ok(old.read(&mut right).attempt("read", path)? == 0);
        }
        match old.read_exact(&mut right[..count]) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            Err(error) => return Err(crate::FileError::new("read", path, error).into()),
        }
        if left[..count] != right[..count] {
            return Ok(false);
        }
    }
}
