// SPDX-License-Identifier: Apache-2.0
//! The zygote's own file system in memory.
//!
//! ```text
//! stub/          lowest layer of every root: the built-in mount targets
//! empty/         lowest layer of every other overlay
//! anchor/        where old kernels need a place in the tree
//! masks/file, masks/dir   what hidden paths show; read-only
//! resolv.conf    the same for every step
//! steps/<n>/     stub/ and files of one step, gone after it
//! ```

use std::ffi::CString;
use std::fs::DirBuilder;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;

use crate::sandbox::masks::Masks;
use crate::sandbox::mounts::overlay::open_directory;
use crate::sandbox::mounts::place::{Leaf, attach};
use crate::sandbox::mounts::{clone_tree, filesystem, stub};
use crate::sandbox::network;
use crate::sys::{self, AttributeChange};

/// Mount targets that every root has.
pub(crate) const BUILT_IN_DIRECTORIES: [&str; 3] = ["/proc", "/sys", "/dev"];
/// See [`BUILT_IN_DIRECTORIES`].
pub(crate) const BUILT_IN_FILES: [&str; 2] = ["/etc/hosts", "/etc/resolv.conf"];

/// The file system, mounted.
#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
    steps: u64,
}

impl Scratch {
    /// Mounts it over `path`, in this process's mount namespace.
    pub(crate) fn mount(path: &Path) -> Result<Self, Errno> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        let path = std::fs::canonicalize(path)
            .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        let flags = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
        let tree = filesystem(c"tmpfs", &[("mode", "700")], flags)?;
        attach(tree.as_fd(), open_directory(&path)?.as_fd())?;
        let scratch = Self { path, steps: 0 };
        for name in ["stub", "empty", "anchor", "masks", "steps", "masks/dir"] {
            make_directory(&scratch.path.join(name))?;
        }
        for name in ["masks/file", "resolv.conf"] {
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
            let mode = Mode::from_raw_mode(0o644);
            let file = rustix::fs::openat(CWD, scratch.path.join(name), flags, mode)?;
            if name == "resolv.conf" {
                rustix::io::write(file, &network::resolv_conf())?;
            }
        }
        let stub_path = scratch.stub();
        for target in BUILT_IN_DIRECTORIES {
            stub::add(&stub_path, target, Leaf::Directory)?;
        }
        for target in BUILT_IN_FILES {
            stub::add(&stub_path, target, Leaf::File)?;
        }
        scratch.seal_masks()?;
        Ok(scratch)
    }

    /// Mounts `masks` over itself read-only, so that every copy of its parts is.
    fn seal_masks(&self) -> Result<(), Errno> {
        let masks = self.path.join("masks");
        let tree = clone_tree(open_directory(&masks)?.as_fd(), c"", false)?;
        let change = AttributeChange {
            set: libc::MOUNT_ATTR_RDONLY
                | libc::MOUNT_ATTR_NODEV
                | libc::MOUNT_ATTR_NOSUID
                | libc::MOUNT_ATTR_NOEXEC,
            ..AttributeChange::default()
        };
        sys::mount_setattr(tree.as_fd(), c"", false, change)?;
        attach(tree.as_fd(), open_directory(&masks)?.as_fd())
    }

    pub(crate) fn stub(&self) -> PathBuf {
        self.path.join("stub")
    }

    pub(crate) fn empty(&self) -> PathBuf {
        self.path.join("empty")
    }

    pub(crate) fn anchor(&self) -> PathBuf {
        self.path.join("anchor")
    }

    pub(crate) fn resolv_conf(&self) -> PathBuf {
        self.path.join("resolv.conf")
    }

    /// Looks up what is to be hidden on this machine.
    pub(crate) fn masks(&self) -> Result<Masks, Errno> {
        let name = |path: &str| {
            let path = self.path.join("masks").join(path);
            CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::INVAL)
        };
        Ok(Masks::find(name("file")?, name("dir")?))
    }

    /// Makes the directory of a new step, with an empty `stub` in it.
    pub(crate) fn new_step(&mut self) -> Result<PathBuf, Errno> {
        self.steps += 1;
        let path = self.path.join("steps").join(self.steps.to_string());
        make_directory(&path)?;
        make_directory(&path.join("stub"))?;
        Ok(path)
    }
}

fn make_directory(path: &Path) -> Result<(), Errno> {
    rustix::fs::mkdirat(CWD, path, Mode::from_raw_mode(0o755))
}
