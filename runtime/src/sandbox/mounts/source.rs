// SPDX-License-Identifier: Apache-2.0
//! What mounts show: detached trees, made by the zygote.
//!
//! A selector is resolved once, inside its directory, and the descriptor that comes out is what
//! is mounted: a link swapped in later changes nothing (CVE-2024-23651, CVE-2024-1753).

use std::ffi::CString;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{CWD, FileType, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;

use super::place::{Leaf, attach, open_inside};
use super::{clone_tree, filesystem};
use crate::failure::{Failure, Stage};
use crate::step::Overlay;
use crate::sys::{self, AttributeChange};

/// A detached tree and whether it is a directory or a file.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) fd: OwnedFd,
    pub(crate) leaf: Leaf,
}

impl Tree {
    pub(crate) fn of(fd: OwnedFd) -> Result<Self, Errno> {
        let mode = rustix::fs::fstat(&fd)?.st_mode;
        let leaf = if FileType::from_raw_mode(mode) == FileType::Directory {
            Leaf::Directory
        } else {
            Leaf::File
        };
        Ok(Self { fd, leaf })
    }
}

/// Opens the layer directories of `overlay`, with `floor` below the lowest.
pub(crate) fn open_layers(
    overlay: &Overlay,
    floor: &[&Path],
) -> Result<super::overlay::Layers, Failure> {
    let open = |path: &Path| {
        let subject = path.display().to_string();
        super::overlay::open_directory(path)
            .map_err(|errno| Failure::new(Stage::RootFilesystem, subject, errno))
    };
    let lower = overlay
        .lower
        .iter()
        .map(std::path::PathBuf::as_path)
        .chain(floor.iter().copied())
        .map(open)
        .collect::<Result<_, _>>()?;
    let upper = match &overlay.upper {
        Some((upper, work)) => Some((open(upper)?, open(work)?)),
        None => None,
    };
    Ok(super::overlay::Layers { lower, upper })
}

/// Returns a copy of what `selector` names inside the mounted or plain directory `at`.
pub(crate) fn select(at: BorrowedFd<'_>, selector: &str) -> Result<OwnedFd, Errno> {
    let selector = match selector.trim_matches('/') {
        "" => ".",
        path => path,
    };
    let selector = CString::new(selector).map_err(|_| Errno::INVAL)?;
    let selected = open_inside(at, &selector)?;
    clone_tree(selected.as_fd(), c"", false)
}

/// Like [`select`] for a detached tree, which kernels before 6.15 cannot copy a part of: there it
/// is mounted at `anchor`, in the zygote's own namespace, for the time of the copy.
pub(crate) fn select_detached(
    tree: OwnedFd,
    selector: &str,
    anchor: &Path,
) -> Result<OwnedFd, Errno> {
    if selector.trim_matches('/').is_empty() {
        return Ok(tree);
    }
    match select(tree.as_fd(), selector) {
        Err(Errno::INVAL) => {
            let at = super::overlay::open_directory(anchor)?;
            attach(tree.as_fd(), at.as_fd())?;
            let selected = select(tree.as_fd(), selector);
            rustix::mount::unmount(anchor, rustix::mount::UnmountFlags::DETACH)?;
            selected
        }
        result => result,
    }
}

/// Returns a copy of a path of the host, with the mounts below it.
pub(crate) fn host_path(path: &Path) -> Result<OwnedFd, Errno> {
    let path = CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::INVAL)?;
    clone_tree(CWD, &path, true)
}

/// Owner and permissions of a source that is made here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attributes {
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// Returns a new file system in memory.
pub(crate) fn tmpfs(size_bytes: Option<u64>, attributes: Attributes) -> Result<OwnedFd, Errno> {
    let Attributes { mode, uid, gid } = attributes;
    let (mode, uid, gid) = (format!("{mode:o}"), uid.to_string(), gid.to_string());
    let size = size_bytes.map(|size| size.to_string());
    let mut options = vec![("mode", &*mode), ("uid", &*uid), ("gid", &*gid)];
    options.extend(size.iter().map(|size| ("size", size.as_str())));
    let flags = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    filesystem(c"tmpfs", &options, flags)
}

/// Writes a file of the scratch file system and returns a copy of it as a mount.
pub(crate) fn file(path: &Path, content: &[u8], attributes: Attributes) -> Result<OwnedFd, Errno> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(CWD, path, flags, Mode::RUSR)?;
    let mut file = std::fs::File::from(fd);
    file.write_all(content)
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    let Attributes { mode, uid, gid } = attributes;
    if (uid, gid) != (0, 0) {
        rustix::fs::fchown(&file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
    }
    rustix::fs::fchmod(&file, Mode::from_raw_mode(mode & 0o7777))?;
    let name = CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::INVAL)?;
    clone_tree(CWD, &name, false)
}

/// Returns a copy of a device node of the host.
pub(crate) fn device(path: &Path) -> Result<OwnedFd, Errno> {
    let node = host_path(path)?;
    match FileType::from_raw_mode(rustix::fs::fstat(&node)?.st_mode) {
        FileType::CharacterDevice | FileType::BlockDevice => Ok(node),
        _ => Err(Errno::NODEV),
    }
}

/// What a mount of a step may be used for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Confinement {
    /// Writes are refused.
    pub(crate) read_only: bool,
    /// Mounts below it are treated the same.
    pub(crate) recursive: bool,
    /// Devices can be opened.
    pub(crate) devices: bool,
}

/// Gives a detached tree the attributes that every mount of a step has: no devices, read-only if
/// asked, and no events from or to other namespaces.
pub(crate) fn confine(tree: &Tree, confinement: Confinement) -> Result<(), Errno> {
    let read_only = if confinement.read_only {
        libc::MOUNT_ATTR_RDONLY
    } else {
        0
    };
    let no_devices = if confinement.devices {
        0
    } else {
        libc::MOUNT_ATTR_NODEV
    };
    let change = AttributeChange {
        set: no_devices | read_only,
        clear: 0,
        private: true,
    };
    sys::mount_setattr(tree.fd.as_fd(), c"", confinement.recursive, change)
}
