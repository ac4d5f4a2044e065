// SPDX-License-Identifier: Apache-2.0
//! The walk over an upper directory, in the order of the tar.
//!
//! Iterative: how deep a tree is must not decide about the stack.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::DiffError;
use super::compare::{self, is_same_dir};
use super::emit::Emitter;
use crate::apply::looks_like_whiteout;
use crate::file::{Attempt, Kind, Meta, list, lstat, open_dir};
use crate::tar::PATH_BYTES_MAX;
use crate::view::{MergedDir, Opaque, OverlayForm};

/// What stands under a name.
enum Item {
    /// An entry of the upper directory.
    Entry(Meta),
    /// A whiteout there.
    Whiteout,
    /// Nothing there, in a directory that hides all that is below.
    Hidden,
}

/// One directory on the way down.
struct Level {
    handle: OwnedFd,
    /// The same directory in the layers below.
    below: Option<Arc<MergedDir>>,
    /// Everything below is hidden: whatever the upper directory has is new.
    is_replaced: bool,
    items: std::collections::btree_map::IntoIter<OsString, Item>,
    path: PathBuf,
    /// The directory's own entry, as long as nothing in it was written: it may be no change.
    pending: Option<Meta>,
}

pub(super) fn walk<W: Write>(
    root: OwnedFd,
    below: &Arc<MergedDir>,
    form: OverlayForm,
    emitter: &mut Emitter<'_, W>,
) -> Result<(), DiffError> {
    let below = Some(Arc::clone(below)).filter(|below| !below.is_nowhere());
    let mut levels = vec![level(root, below, form, (PathBuf::new(), false, None))?];
    while let Some(current) = levels.last_mut() {
        let Some((name, item)) = current.items.next() else {
            levels.pop();
            continue;
        };
        let path = current.path.join(&name);
        check_name(&path, &name)?;
        match item {
            Item::Whiteout | Item::Hidden => {
                let is_below = match &current.below {
                    Some(below) => below.lookup(&name)?.is_some(),
                    None => false,
                };
                if is_below {
                    write_parents(&mut levels, emitter)?;
                    emitter.whiteout(&path)?;
                }
            }
            Item::Entry(meta) if meta.is_dir() => {
                let next = enter(current, &name, &meta, path, form)?;
                let is_change = next.pending.is_none();
                if is_change {
                    write_parents(&mut levels, emitter)?;
                    emitter.dir(&next.path, &meta)?;
                }
                levels.push(next);
            }
            Item::Entry(meta) if meta.kind == Kind::Socket => emitter.skip_socket(),
            Item::Entry(meta) => {
                if is_change(current, &name, &meta)? {
                    write_parents(&mut levels, emitter)?;
                    if let Some(current) = levels.last() {
                        emitter.entry(current.handle.as_fd(), &path, &meta)?;
                    }
                }
            }
        }
    }
    Ok(())
}

/// Writes the entries of all directories on the way that are not written yet.
fn write_parents<W: Write>(
    levels: &mut [Level],
    emitter: &mut Emitter<'_, W>,
) -> Result<(), DiffError> {
    for level in levels {
        if let Some(meta) = level.pending.take() {
            emitter.dir(&level.path, &meta)?;
        }
    }
    Ok(())
}

fn check_name(path: &Path, name: &OsStr) -> Result<(), DiffError> {
    if looks_like_whiteout(name) {
        return Err(DiffError::ReservedName(path.to_owned()));
    }
    // A directory's name gets a slash, a whiteout's a prefix.
    if path.as_os_str().len() + ".wh.".len() > PATH_BYTES_MAX {
        return Err(DiffError::PathTooLong(path.to_owned()));
    }
    Ok(())
}

fn is_change(level: &Level, name: &OsStr, meta: &Meta) -> Result<bool, DiffError> {
    let Some(below) = level.below.as_ref().filter(|_| !level.is_replaced) else {
        return Ok(true);
    };
    compare::is_change(level.handle.as_fd(), name, meta, below)
}

/// Opens the next directory. Its entry is pending if the layers below have the same.
fn enter(
    parent: &Level,
    name: &OsStr,
    meta: &Meta,
    path: PathBuf,
    form: OverlayForm,
) -> Result<Level, DiffError> {
    let handle = open_dir(&parent.handle, name).attempt("open", &path)?;
    let below = match &parent.below {
        Some(below) => below.open_dir_if_any(name)?.map(Arc::new),
        None => None,
    };
    let is_opaque = form.opaque(&handle).attempt("read attributes of", &path)? == Opaque::Yes;
    let is_replaced = parent.is_replaced || is_opaque;
    let pending = match &below {
        Some(below) if !is_replaced && is_same_dir(meta, &below.meta()?) => Some(*meta),
        _ => None,
    };
    level(handle, below, form, (path, is_replaced, pending))
}

fn level(
    handle: OwnedFd,
    below: Option<Arc<MergedDir>>,
    form: OverlayForm,
    (path, is_replaced, pending): (PathBuf, bool, Option<Meta>),
) -> Result<Level, DiffError> {
    let has_xattr_whiteouts =
        form.opaque(&handle).attempt("read attributes of", &path)? == Opaque::XattrWhiteouts;
    let mut items = BTreeMap::new();
    if is_replaced && let Some(below) = &below {
        for entry in below.entries()? {
            items.insert(entry.name, Item::Hidden);
        }
    }
    let mut names = Vec::new();
    list(handle.as_fd(), |name| {
        names.push(name.to_owned());
        Ok(())
    })
    .attempt("list", &path)?;
    for name in names {
        let found = lstat(&handle, &name).attempt("stat", path.join(&name))?;
        let Some(meta) = found else { continue };
        let is_whiteout = meta.is_device_whiteout()
            || (has_xattr_whiteouts
                && meta.kind == Kind::File
                && meta.size_bytes == 0
                && form
                    .is_xattr_whiteout(&handle, &name)
                    .attempt("read attributes of", path.join(&name))?);
        let item = if is_whiteout {
            Item::Whiteout
        } else {
            Item::Entry(meta)
        };
        items.insert(name, item);
    }
    Ok(Level {
        handle,
        below,
        is_replaced,
        items: items.into_iter(),
        path,
        pending,
    })
}
