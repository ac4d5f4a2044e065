// SPDX-License-Identifier: Apache-2.0
//! System calls on one name in one directory. No call here follows a symlink as last component.
//!
//! Results are `io::Result`: the caller knows the path and names it ([`super::Attempt`]).

use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Gid, Mode, OFlags, RawDir, SeekFrom, Timespec, Timestamps, Uid};

use super::{Meta, Timestamp};
use crate::Owner;

/// How many bytes of directory entries one call may return.
const DIR_BUFFER_BYTES: usize = 32 * 1024;

const DIR: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC);

/// Opens a directory by path; the path comes from this process, not from a tree.
pub(crate) fn open_path_dir(path: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::openat(CWD, path, DIR, Mode::empty())?)
}

/// Opens the directory `name`; a symlink is `ENOTDIR` or `ELOOP`.
pub(crate) fn open_dir(dir: impl AsFd, name: &OsStr) -> io::Result<OwnedFd> {
    let flags = DIR | OFlags::NOFOLLOW;
    Ok(rustix::fs::openat(dir, name, flags, Mode::empty())?)
}

/// Opens the regular file `name` for reading; never blocks on a fifo.
pub(crate) fn open_file(dir: impl AsFd, name: &OsStr) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(dir, name, flags, Mode::empty())?.into())
}

/// Creates the regular file `name`, which must not exist, readable by its owner only.
pub(crate) fn create_new(dir: impl AsFd, name: &OsStr) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(dir, name, flags, Mode::from_raw_mode(0o600))?.into())
}

/// Creates the directory `name`, which must not exist, with mode 0700.
pub(crate) fn make_dir(dir: impl AsFd, name: &OsStr) -> io::Result<()> {
    Ok(rustix::fs::mkdirat(dir, name, Mode::from_raw_mode(0o700))?)
}

/// Returns the attributes of `name`, or `None` if there is no such entry.
pub(crate) fn lstat(dir: impl AsFd, name: &OsStr) -> io::Result<Option<Meta>> {
    match rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(Meta::from(&stat))),
        Err(rustix::io::Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Returns the attributes of an open file.
pub(crate) fn stat_fd(fd: impl AsFd) -> io::Result<Meta> {
    Ok(Meta::from(&rustix::fs::fstat(fd)?))
}

/// Returns the target of the symlink `name`.
pub(crate) fn read_link(dir: impl AsFd, name: &OsStr) -> io::Result<CString> {
    Ok(rustix::fs::readlinkat(dir, name, Vec::new())?)
}

/// Calls `each` with every name of the directory but `.` and `..`, in no order.
pub(crate) fn list(
    dir: BorrowedFd<'_>,
    mut each: impl FnMut(&OsStr) -> io::Result<()>,
) -> io::Result<()> {
    // Handles are shared, and reading moves the position.
    rustix::fs::seek(dir, SeekFrom::Start(0))?;
    let mut buffer = Vec::with_capacity(DIR_BUFFER_BYTES);
    let space: &mut [MaybeUninit<u8>] = buffer.spare_capacity_mut();
    let mut entries = RawDir::new(dir, space);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name: &CStr = entry.file_name();
        if name != c"." && name != c".." {
            each(OsStr::from_bytes(name.to_bytes()))?;
        }
    }
    Ok(())
}

/// Removes the entry `name`; a directory must be empty.
pub(crate) fn unlink(dir: impl AsFd, name: &OsStr, is_dir: bool) -> io::Result<()> {
    let flags = if is_dir {
        AtFlags::REMOVEDIR
    } else {
        AtFlags::empty()
    };
    Ok(rustix::fs::unlinkat(dir, name, flags)?)
}

/// Sets the permission bits of an open file, without the umask.
pub(crate) fn chmod_fd(fd: impl AsFd, mode: u32) -> io::Result<()> {
    Ok(rustix::fs::fchmod(fd, Mode::from_raw_mode(mode))?)
}

/// Sets the owner of an open file.
pub(crate) fn chown_fd(fd: impl AsFd, owner: Owner) -> io::Result<()> {
    Ok(rustix::fs::fchown(
        fd,
        Some(Uid::from_raw(owner.uid)),
        Some(Gid::from_raw(owner.gid)),
    )?)
}

fn times(mtime: Timestamp) -> Timestamps {
    let moment = Timespec {
        tv_sec: mtime.secs,
        tv_nsec: mtime.nanos.into(),
    };
    Timestamps {
        last_access: moment,
        last_modification: moment,
    }
}

/// Sets both times of an open file to `mtime`.
pub(crate) fn set_times(fd: impl AsFd, mtime: Timestamp) -> io::Result<()> {
    Ok(rustix::fs::futimens(fd, &times(mtime))?)
}

/// Sets both times of `name` to `mtime`.
pub(crate) fn set_times_at(dir: impl AsFd, name: &OsStr, mtime: Timestamp) -> io::Result<()> {
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    Ok(rustix::fs::utimensat(dir, name, &times(mtime), flags)?)
}
