// SPDX-License-Identifier: Apache-2.0
//! Who owns a file, and how the text `user:group` becomes an owner.
//!
//! The only place that gives files their owner ([`Owner::give`], [`Owner::give_at`]): a mode in
//! which owners are recorded instead of set changes this file and nothing else (`docs/ARCHITECTURE.md`,
//! "one identity for a whole process").

use std::ffi::OsStr;
use std::io;
use std::os::fd::AsFd;

use rustix::fs::{AtFlags, Gid, Uid};

use crate::file::chown_fd;
use crate::view::{View, ViewError};

/// A user and a group, as numbers in kiln's own user namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Owner {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
}

impl Owner {
    /// User 0 and group 0.
    pub const ROOT: Self = Self { uid: 0, gid: 0 };

    /// Makes this the owner of an open file. Clears set-user-id bits and file capabilities, as
    /// the kernel does: set mode and capabilities afterwards.
    pub(crate) fn give(self, fd: impl AsFd) -> io::Result<()> {
        chown_fd(fd, self)
    }

    /// Makes this the owner of the entry `name`; of a symlink itself, not of its target.
    pub(crate) fn give_at(self, dir: impl AsFd, name: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::chownat(
            dir,
            name,
            Some(Uid::from_raw(self.uid)),
            Some(Gid::from_raw(self.gid)),
            AtFlags::SYMLINK_NOFOLLOW,
        )?)
    }
}

/// The most bytes of `/etc/passwd` or `/etc/group` that are read.
///
/// Ours: the file comes from an image and may be anything; no real one is near this size.
pub const ACCOUNT_FILE_BYTES_MAX: usize = 16 << 20;

/// Resolves `user[:group]` in the root file system `view`, as `COPY --chown` does.
///
/// Numbers stand for themselves. A user name that is not found, or found in no readable
/// `/etc/passwd`, is silently 0. A user name brings its primary group, a user number the group of
/// that number, unless there is a group that is found.
///
/// Observed: BuildKit 73ed6825, `solver/llbsolver/ops/opsutils` (facts: rules 47, 48).
///
/// # Errors
///
/// [`ViewError`] if an account file exists and cannot be read.
pub fn resolve_owner(view: &View, text: &str) -> Result<Owner, ViewError> {
    let (user, group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (text, None),
    };
    let (uid, primary) = match user.parse::<u32>() {
        Ok(uid) => (uid, uid),
        Err(_) => account(view, "/etc/passwd", user)?
            .map_or((0, 0), |fields| (number(&fields, 2), number(&fields, 3))),
    };
    let gid = match group {
        None | Some("") => primary,
        Some(group) => match group.parse::<u32>() {
            Ok(gid) => gid,
            Err(_) => {
                account(view, "/etc/group", group)?.map_or(primary, |fields| number(&fields, 2))
            }
        },
    };
    Ok(Owner { uid, gid })
}

fn number(fields: &[String], index: usize) -> u32 {
    fields
        .get(index)
        .and_then(|field| field.parse().ok())
        .unwrap_or(0)
}

/// Returns the fields of the first line of an account file whose first field is `name`.
fn account(view: &View, path: &str, name: &str) -> Result<Option<Vec<String>>, ViewError> {
    let bytes = match view.read(path, ACCOUNT_FILE_BYTES_MAX) {
        Ok(Some(bytes)) => bytes,
        Ok(None) | Err(ViewError::NotAFile(_) | ViewError::NotADirectory(_)) => return Ok(None),
        Err(error) => return Err(error),
    };
    let text = String::from_utf8_lossy(&bytes);
    Ok(text
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|fields| !name.is_empty() && fields.first() == Some(&name))
        .map(|fields| fields.into_iter().map(str::to_owned).collect()))
}
