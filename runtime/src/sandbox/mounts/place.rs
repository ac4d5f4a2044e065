// SPDX-License-Identifier: Apache-2.0
//! Where mounts go: targets resolved inside the root, made if missing, mounted on by descriptor.
//!
//! Runs in the new process: paths are cut into components on the stack.
//!
//! Invariants
//! 1. A target is only ever opened below the root's descriptor, with `RESOLVE_IN_ROOT`, so links
//!    of the image lead to places inside it.
//! 2. No magic link is followed: `/proc/self/fd/9` leads nowhere.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Gid, Mode, OFlags, ResolveFlags, Uid};
use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, move_mount};

/// Longest path taken, as in the kernel.
const PATH_BYTES_MAX: usize = 4095;
const PROC_SUPER_MAGIC: i64 = 0x9fa0;
const SYSFS_MAGIC: i64 = 0x6265_6572;

/// What to make where a path ends and nothing is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leaf {
    Directory,
    File,
}

/// Mode and owner of what is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Making {
    pub(crate) leaf: Leaf,
    pub(crate) owner: Option<(u32, u32)>,
}

/// Opens a path inside `root` without using it.
pub(crate) fn open_inside(root: BorrowedFd<'_>, path: &CStr) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    retry(|| rustix::fs::openat2(root, path, flags, Mode::empty(), resolve))
}

/// Opens a directory that must be the image's own: no link, no other mount on the way.
pub(crate) fn open_plain_directory(root: BorrowedFd<'_>, path: &CStr) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    retry(|| rustix::fs::openat2(root, path, flags, Mode::empty(), resolve))
}

/// `openat2` answers `EAGAIN` when a rename elsewhere raced with a `..` of the path.
fn retry<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    for _ in 0..64 {
        match call() {
            Err(Errno::AGAIN) => {}
            result => return result,
        }
    }
    call()
}

/// Mounts `tree` at the directory or file `target` points at.
pub(crate) fn attach(tree: BorrowedFd<'_>, target: BorrowedFd<'_>) -> Result<(), Errno> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(tree, c"", target, c"", flags)
}

/// Mounts `tree` at `path` below the directory `at`, which is a mount of ours.
pub(crate) fn attach_below(
    tree: BorrowedFd<'_>,
    at: BorrowedFd<'_>,
    path: &CStr,
) -> Result<(), Errno> {
    move_mount(tree, c"", at, path, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
}

/// Opens `path` inside `root`; makes what is missing of it, directories as 0755.
pub(crate) fn open_or_make(
    root: BorrowedFd<'_>,
    path: &CStr,
    making: Making,
) -> Result<OwnedFd, Errno> {
    match open_inside(root, path) {
        Err(Errno::NOENT) => make(root, path, making),
        result => result,
    }
}

/// Refuses targets inside `/proc` and `/sys`, however they are reached: a mount there could turn
/// a write of ours into another (CVE-2019-19921).
pub(crate) fn refuse_kernel_filesystems(target: BorrowedFd<'_>) -> Result<(), Errno> {
    let kind = rustix::fs::fstatfs(target)?.f_type;
    if kind == PROC_SUPER_MAGIC || kind == SYSFS_MAGIC {
        return Err(Errno::PERM);
    }
    Ok(())
}

fn make(root: BorrowedFd<'_>, path: &CStr, making: Making) -> Result<OwnedFd, Errno> {
    let bytes = path.to_bytes();
    let mut buffer = [0_u8; PATH_BYTES_MAX + 1];
    if bytes.len() > PATH_BYTES_MAX {
        return Err(Errno::NAMETOOLONG);
    }
    let mut at = open_inside(root, c".")?;
    let mut start = 0;
    while start < bytes.len() {
        let component = bytes.get(start..).unwrap_or_default();
        let length = component.iter().position(|&byte| byte == b'/');
        let end = length.map_or(bytes.len(), |length| start + length);
        if end > start {
            let is_last = bytes
                .get(end..)
                .is_none_or(|rest| rest.iter().all(|&b| b == b'/'));
            let prefix = terminated(&mut buffer, bytes.get(..end))?;
            at = match open_inside(root, prefix) {
                Err(Errno::NOENT) => {
                    let name = terminated(&mut buffer, bytes.get(start..end))?;
                    let leaf = if is_last {
                        making.leaf
                    } else {
                        Leaf::Directory
                    };
                    make_one(at.as_fd(), name, leaf, making.owner)?
                }
                result => result?,
            };
        }
        start = end + 1;
    }
    Ok(at)
}

fn terminated<'buffer>(
    buffer: &'buffer mut [u8],
    bytes: Option<&[u8]>,
) -> Result<&'buffer CStr, Errno> {
    let bytes = bytes.ok_or(Errno::INVAL)?;
    let room = buffer.get_mut(..=bytes.len()).ok_or(Errno::NAMETOOLONG)?;
    let (last, content) = room.split_last_mut().ok_or(Errno::INVAL)?;
    content.copy_from_slice(bytes);
    *last = 0;
    CStr::from_bytes_with_nul(room).map_err(|_| Errno::INVAL)
}

/// Makes one entry of the directory `at` and opens it. An entry that exists, e.g. a link that
/// leads nowhere, is left alone.
pub(crate) fn make_one(
    at: BorrowedFd<'_>,
    name: &CStr,
    leaf: Leaf,
    owner: Option<(u32, u32)>,
) -> Result<OwnedFd, Errno> {
    let made = match leaf {
        Leaf::Directory => {
            rustix::fs::mkdirat(at, name, Mode::from_raw_mode(0o755))?;
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            rustix::fs::openat(at, name, flags, Mode::empty())?
        }
        Leaf::File => {
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDONLY | OFlags::CLOEXEC;
            rustix::fs::openat(at, name, flags, Mode::from_raw_mode(0o644))?
        }
    };
    if let Some((uid, gid)) = owner {
        let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        rustix::fs::chownat(&made, c"", uid, gid, rustix::fs::AtFlags::EMPTY_PATH)?;
    }
    Ok(made)
}
