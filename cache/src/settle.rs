// SPDX-License-Identifier: Apache-2.0
//! A tree that an outside program wrote, made independent of who ran it and when.
//!
//! The owner becomes root. What the owner may read or execute, everybody may; only the owner may
//! write: as with umask 022, whatever the umask was. Ours: layers do not depend on the machine.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use crate::file::{
    Attempt, FileError, Kind, Meta, Timestamp, list, lstat, open_dir, open_file, set_times_at,
    unlink,
};
use crate::upper::{Attributes, remove_tree};
use crate::{Owner, Upper};

/// How deep directories may nest: each level holds a handle and a stack frame.
const DEPTH_MAX: usize = 512;
/// Who owns the files.
const ROOT: Owner = Owner { uid: 0, gid: 0 };

/// What becomes of a tree besides owners and modes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settlement<'a> {
    /// The time of everything in it; `None` leaves what it has.
    pub mtime: Option<Timestamp>,
    /// Entries of this name are removed, wherever they are.
    pub without: Option<&'a str>,
}

/// Settles everything in `upper`, which nobody writes any more, its root included.
///
/// # Errors
///
/// What the file system said, or a tree nested too deep.
pub fn settle(upper: &Upper, settlement: Settlement<'_>) -> Result<(), FileError> {
    let root = upper.root().handle();
    settle_dir(root, Path::new("/"), settlement, 0)?;
    let attributes = Attributes {
        mode: Some(0o755),
        mtime: settlement.mtime,
        ..Attributes::default()
    };
    attributes.set(root, Path::new("/"))
}

fn settle_dir(
    dir: BorrowedFd<'_>,
    path: &Path,
    settlement: Settlement<'_>,
    depth: usize,
) -> Result<(), FileError> {
    if depth > DEPTH_MAX {
        let error = std::io::Error::from(rustix::io::Errno::NAMETOOLONG);
        return Err(FileError::new("descend into", path, error));
    }
    let mut names = Vec::new();
    list(dir, |name| {
        names.push(name.to_owned());
        Ok(())
    })
    .attempt("list", path)?;
    for name in names {
        let path = path.join(&name);
        let Some(meta) = lstat(dir, &name).attempt("stat", &path)? else {
            continue;
        };
        if settlement.without.is_some_and(|without| name == without) {
            let removed = match meta.kind {
                Kind::Dir => remove_tree(dir, &name),
                _ => unlink(dir, &name, false),
            };
            removed.attempt("remove", &path)?;
            continue;
        }
        settle_entry(dir, (&name, &path), &meta, settlement, depth)?;
    }
    Ok(())
}

fn settle_entry(
    dir: BorrowedFd<'_>,
    (name, path): (&OsStr, &Path),
    meta: &Meta,
    settlement: Settlement<'_>,
    depth: usize,
) -> Result<(), FileError> {
    let attributes = Attributes {
        mode: Some(opened(meta.mode)),
        owner: (meta.owner != ROOT).then_some(ROOT),
        mtime: settlement.mtime,
        ..Attributes::default()
    };
    match meta.kind {
        Kind::Dir => {
            let child = open_dir(dir, name).attempt("open", path)?;
            settle_dir(child.as_fd(), path, settlement, depth + 1)?;
            attributes.set(&child, path)
        }
        Kind::File if needs(&attributes, meta) => {
            let file = open_file(dir, name).attempt("open", path)?;
            attributes.set(&file, path)
        }
        Kind::Symlink => match settlement.mtime {
            Some(mtime) => set_times_at(dir, name, mtime).attempt("set time of", path),
            None => Ok(()),
        },
        _ => Ok(()),
    }
}

fn needs(attributes: &Attributes, meta: &Meta) -> bool {
    attributes.mode != Some(meta.mode) || attributes.owner.is_some() || attributes.mtime.is_some()
}

/// Returns the mode that umask 022 would have left.
fn opened(mode: u32) -> u32 {
    let owner = mode & 0o700;
    let shared = mode & 0o500;
    owner | shared >> 3 | shared >> 6
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::testing::{exact_listing, plant, store};

    #[test]
    fn modes_are_those_of_umask_022() {
        for (before, after) in [
            (0o600, 0o644),
            (0o666, 0o644),
            (0o700, 0o755),
            (0o775, 0o755),
            (0o400, 0o444),
            (0o4755, 0o755),
        ] {
            assert_eq!(opened(before), after, "{before:o}");
        }
    }

    #[test]
    fn a_settled_tree_tells_nothing_of_its_writer() {
        let (_dir, store) = store();
        let active = store.prepare(None).unwrap();
        let root = active.upper_dir();
        plant(
            root,
            &[
                ("sub/.git", "gitdir: /somewhere"),
                ("sub/a", "a"),
                ("run", "#!"),
                ("link", "-> run"),
                ("empty/.git/config", "x"),
            ],
        );
        for (path, mode) in [("sub", 0o700), ("sub/a", 0o660), ("run", 0o700)] {
            fs::set_permissions(root.join(path), Permissions::from_mode(mode)).unwrap();
        }
        let settlement = Settlement {
            mtime: Some(Timestamp::from_secs(7)),
            without: Some(".git"),
        };
        let upper = active.upper().unwrap();
        settle(&upper, settlement).unwrap();
        let lines = exact_listing(&active.upper().unwrap().view().clone());
        let short: Vec<String> = lines
            .iter()
            .map(|line| line.split(" t7 ").next().unwrap().to_owned())
            .collect();
        assert_eq!(
            short,
            [
                "empty/ 755 0:0",
                "link -> run 777 0:0",
                "run=#! 755 0:0",
                "sub/ 755 0:0",
                "sub/a=a 644 0:0",
            ]
        );
        assert!(lines.iter().all(|line| line.contains(" t7 ")));
    }
}
