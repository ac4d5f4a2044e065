// SPDX-License-Identifier: Apache-2.0
//! Mounts by descriptor: overlays, sources of mounts, and the places they go.
//!
//! Nothing is ever mounted by a path that an image can influence. Trees are made detached in the
//! zygote (`overlay`, `source`), and put in place by the new process (`place`) in its own mount
//! namespace, at targets resolved below the root's descriptor. `stub` makes targets exist without
//! touching the upper directory.
//!
//! Docs: `fsopen(2)`, `fsmount(2)`, `move_mount(2)`, `open_tree(2)`, `openat2(2)`.

pub(crate) mod overlay;
pub(crate) mod place;
pub(crate) mod source;
pub(crate) mod stub;

use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, OpenTreeFlags, fsconfig_create, fsconfig_set_string,
    fsmount, fsopen, open_tree,
};

/// Makes a detached file system of `kind` with string options. Does not allocate when the options
/// are short.
pub(crate) fn filesystem(
    kind: &std::ffi::CStr,
    options: &[(&str, &str)],
    attributes: MountAttrFlags,
) -> Result<OwnedFd, Errno> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    // What `df` and `/proc/mounts` call it, as runc has it.
    if !options.iter().any(|(key, _)| *key == "source") {
        fsconfig_set_string(&context, "source", kind)?;
    }
    for (key, value) in options {
        fsconfig_set_string(&context, *key, *value)?;
    }
    fsconfig_create(&context)?;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

/// Returns a detached copy of the mount at `path` below `fd` (empty for `fd` itself).
pub(crate) fn clone_tree(
    fd: BorrowedFd<'_>,
    path: &std::ffi::CStr,
    recursive: bool,
) -> Result<OwnedFd, Errno> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    open_tree(fd, path, flags)
}
