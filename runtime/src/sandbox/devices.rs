// SPDX-License-Identifier: Apache-2.0
//! `/dev`: a file system in memory with six nodes, their links, `pts`, `shm` and `mqueue`.
//!
//! Ours: Docker's `CAP_MKNOD` is kept without a device control group. Every mount of a step is
//! `nodev`, `/dev` too; only the six nodes are mounts of their own on which devices open. So
//! `mknod` works as packages expect, and what it makes cannot be opened. That needs no control
//! group, and leaves none behind. In a user namespace, where the kernel refuses `mknod`, the six
//! are the host's. Only a step without a sandbox may open what it makes in `/dev`.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{CWD, FileType, Gid, Mode, OFlags, Uid, makedev};
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;

use super::mounts::place::{attach, attach_below};
use super::mounts::{clone_tree, filesystem};
use crate::step::Security;
use crate::sys::{self, AttributeChange};

struct Node {
    name: &'static CStr,
    host_path: &'static CStr,
    major: u32,
    minor: u32,
}

const fn node(name: &'static CStr, host_path: &'static CStr, major: u32, minor: u32) -> Node {
    Node {
        name,
        host_path,
        major,
        minor,
    }
}

/// Spec: runtime-spec `config-linux.md` §Default Devices.
const NODES: [Node; 6] = [
    node(c"null", c"/dev/null", 1, 3),
    node(c"zero", c"/dev/zero", 1, 5),
    node(c"full", c"/dev/full", 1, 7),
    node(c"random", c"/dev/random", 1, 8),
    node(c"urandom", c"/dev/urandom", 1, 9),
    node(c"tty", c"/dev/tty", 5, 0),
];

/// Spec: runtime-spec `runtime-linux.md` §Dev symbolic links.
const LINKS: [(&CStr, &CStr); 6] = [
    (c"fd", c"/proc/self/fd"),
    (c"stdin", c"/proc/self/fd/0"),
    (c"stdout", c"/proc/self/fd/1"),
    (c"stderr", c"/proc/self/fd/2"),
    (c"core", c"/proc/kcore"),
    (c"ptmx", c"pts/ptmx"),
];

/// Docs: Docker's default.
const SHM_BYTES: u64 = 64 << 20;
/// Group `tty` of Linux distributions, which may write to terminals.
const TTY_GROUP: &str = "5";

/// The detached parts of a new `/dev`.
#[derive(Debug)]
pub(crate) struct Devices {
    dev: OwnedFd,
    pts: OwnedFd,
    shm: OwnedFd,
    /// Whether `dev` holds nodes; otherwise the host's are mounted over empty files.
    own_nodes: bool,
}

impl Devices {
    /// Makes the parts, in the zygote.
    pub(crate) fn prepare(shm_size_bytes: Option<u64>, console: bool) -> Result<Self, Errno> {
        let options = [("mode", "755"), ("size", "65536k")];
        let dev = filesystem(c"tmpfs", &options, MountAttrFlags::MOUNT_ATTR_NOSUID)?;
        let own_nodes = make_nodes(dev.as_fd())?;
        for (name, to) in LINKS {
            rustix::fs::symlinkat(to, &dev, name)?;
        }
        for name in [c"pts", c"shm", c"mqueue"] {
            rustix::fs::mkdirat(&dev, name, Mode::from_raw_mode(0o755))?;
        }
        if console {
            make_file(dev.as_fd(), c"console")?;
        }
        let shm_size = shm_size_bytes.unwrap_or(SHM_BYTES).to_string();
        let closed = MountAttrFlags::MOUNT_ATTR_NOSUID
            | MountAttrFlags::MOUNT_ATTR_NODEV
            | MountAttrFlags::MOUNT_ATTR_NOEXEC;
        let shm = {
            let options = [("source", "shm"), ("mode", "1777"), ("size", &*shm_size)];
            filesystem(c"tmpfs", &options, closed)?
        };
        Ok(Self {
            dev,
            pts: devpts()?,
            shm,
            own_nodes,
        })
    }

    /// Opens a new terminal: the side of its user, and that of the step.
    pub(crate) fn open_terminal(&self) -> Result<(OwnedFd, OwnedFd), Errno> {
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let user = rustix::fs::openat(&self.pts, c"ptmx", flags, Mode::empty())?;
        rustix::pty::unlockpt(&user)?;
        let flags = rustix::pty::OpenptFlags::RDWR
            | rustix::pty::OpenptFlags::NOCTTY
            | rustix::pty::OpenptFlags::CLOEXEC;
        let step = rustix::pty::ioctl_tiocgptpeer(&user, flags)?;
        Ok((user, step))
    }

    /// Puts the parts in place at `target`, in the new process.
    pub(crate) fn mount(
        &self,
        target: BorrowedFd<'_>,
        terminal: Option<BorrowedFd<'_>>,
        security: Security,
    ) -> Result<(), Errno> {
        let dev = self.dev.as_fd();
        attach(dev, target)?;
        for node in &NODES {
            let tree = if self.own_nodes {
                clone_tree(dev, node.name, false)
            } else {
                clone_tree(CWD, node.host_path, false)
            };
            match tree {
                // A container may have fewer.
                Err(Errno::NOENT) => {}
                tree => attach_below(tree?.as_fd(), dev, node.name)?,
            }
        }
        if security == Security::Sandbox {
            let change = AttributeChange {
                set: libc::MOUNT_ATTR_NODEV,
                clear: 0,
                private: false,
            };
            sys::mount_setattr(dev, c"", false, change)?;
        }
        attach_below(self.pts.as_fd(), dev, c"pts")?;
        attach_below(self.shm.as_fd(), dev, c"shm")?;
        if let Some(terminal) = terminal {
            // By descriptor: `/dev/pts/0` could be anything by now (CVE-2025-52565).
            let tree = clone_tree(terminal, c"", false)?;
            attach_below(tree.as_fd(), dev, c"console")?;
        }
        let closed = MountAttrFlags::MOUNT_ATTR_NOSUID
            | MountAttrFlags::MOUNT_ATTR_NODEV
            | MountAttrFlags::MOUNT_ATTR_NOEXEC;
        // Kernels without POSIX message queues exist; programs cope.
        if let Ok(mqueue) = filesystem(c"mqueue", &[], closed) {
            attach_below(mqueue.as_fd(), dev, c"mqueue")?;
        }
        Ok(())
    }
}

/// Makes the six nodes; where that is refused, empty files to mount on, and returns false.
fn make_nodes(dev: BorrowedFd<'_>) -> Result<bool, Errno> {
    // The zygote's mask is 0, so the mode is exact.
    let mode = Mode::from_raw_mode(0o666);
    for (number, node) in NODES.iter().enumerate() {
        let device = makedev(node.major, node.minor);
        match rustix::fs::mknodat(dev, node.name, FileType::CharacterDevice, mode, device) {
            Err(Errno::PERM) if number == 0 => {
                for node in &NODES {
                    make_file(dev, node.name)?;
                }
                return Ok(false);
            }
            result => result?,
        }
    }
    // Group tty may be missing from a user namespace; then root's group has to do.
    let tty = Gid::from_raw(5);
    rustix::fs::chownat(
        dev,
        c"tty",
        None::<Uid>,
        Some(tty),
        rustix::fs::AtFlags::SYMLINK_NOFOLLOW,
    )
    .ok();
    Ok(true)
}

fn make_file(dev: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    rustix::fs::openat(dev, name, flags, Mode::from_raw_mode(0o644)).map(drop)
}

fn devpts() -> Result<OwnedFd, Errno> {
    let options = [("mode", "0620"), ("ptmxmode", "0666"), ("gid", TTY_GROUP)];
    let flags = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    match filesystem(c"devpts", &options, flags) {
        // The group has no number in this user namespace.
        Err(Errno::INVAL) => filesystem(c"devpts", options.get(..2).unwrap_or_default(), flags),
        result => result,
    }
}
