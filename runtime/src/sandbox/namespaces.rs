// SPDX-License-Identifier: Apache-2.0
//! Namespaces of a step, and the way into its root.

use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{
    MountPropagationFlags, MoveMountFlags, UnmountFlags, mount_change, move_mount, unmount,
};
use rustix::process::{chdir, chroot, fchdir, pivot_root};

use crate::step::Network;

/// Returns the `CLONE_NEW*` bits for a step.
pub(crate) fn clone_flags(network: Network) -> i32 {
    let always = libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS;
    match network {
        Network::Host => always,
        Network::None => always | libc::CLONE_NEWNET,
    }
}

/// Cuts the mounts of this namespace off from all others.
pub(crate) fn make_mounts_private() -> Result<(), Errno> {
    let flags = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change(c"/", flags)
}

/// Lets mounts of the outer namespace come in, and none go out.
pub(crate) fn make_mounts_follow() -> Result<(), Errno> {
    let flags = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    mount_change(c"/", flags)
}

/// Mounts the new root over the old one, so that it belongs to this namespace. Targets inside it
/// can then be mounted on with any kernel; those before 6.15 refuse while it is detached.
pub(crate) fn attach_root(root: BorrowedFd<'_>) -> Result<(), Errno> {
    move_mount(
        root,
        c"",
        CWD,
        c"/",
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
    )
}

/// Makes the attached root the only file system that this process can reach.
pub(crate) fn enter_root(root: BorrowedFd<'_>) -> Result<(), Errno> {
    fchdir(root.as_fd())?;
    match pivot_root(c".", c".") {
        Ok(()) => unmount(c".", UnmountFlags::DETACH)?,
        // Docker's filter refuses it even to CAP_SYS_ADMIN, and an initial ramdisk cannot be left
        // that way. The new root lies over the old one, so a climb out of it ends in it.
        Err(Errno::PERM | Errno::INVAL | Errno::NOSYS) => chroot(c".")?,
        Err(errno) => return Err(errno),
    }
    chdir(c"/")
}
