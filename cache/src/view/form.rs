// SPDX-License-Identifier: Apache-2.0
//! How whiteouts and opaque directories are written into a layer directory.
//!
//! Docs: kernel `filesystems/overlayfs.rst` §whiteouts and opaque directories, §User xattr.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{FileType, Mode};
use rustix::io::Errno;

use crate::file::{create_new, get_xattr, open_file, set_xattr, unlink};

/// Which extended attributes overlayfs uses: `userxattr` or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum XattrNamespace {
    /// `trusted.overlay.*`: mounted by root of the initial user namespace.
    Trusted,
    /// `user.overlay.*`: mounted in a user namespace, with the option `userxattr`.
    User,
}

/// What a whiteout is on disk. Both forms are always read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WhiteoutForm {
    /// A character device 0:0.
    Device,
    /// An empty file with the attribute `overlay.whiteout` in a directory whose `overlay.opaque`
    /// is `x`; for places where `mknod` is refused.
    Xattr,
}

/// How this store writes whiteouts and opaque directories.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OverlayForm {
    /// Where overlayfs keeps its attributes.
    pub namespace: XattrNamespace,
    /// How a whiteout is made.
    pub whiteout: WhiteoutForm,
}

/// What the attribute `overlay.opaque` of a directory says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opaque {
    /// Nothing: merges with what is below.
    No,
    /// `y`: hides what is below.
    Yes,
    /// `x`: merges, and may contain whiteouts in attribute form.
    XattrWhiteouts,
}

impl OverlayForm {
    fn attribute(self, name: &str) -> Vec<u8> {
        let prefix = match self.namespace {
            XattrNamespace::Trusted => "trusted",
            XattrNamespace::User => "user",
        };
        format!("{prefix}.overlay.{name}").into_bytes()
    }

    /// Tells whether the attribute belongs to overlayfs and not to the file's content.
    pub(crate) fn owns_attribute(name: &[u8]) -> bool {
        name.starts_with(b"trusted.overlay.") || name.starts_with(b"user.overlay.")
    }

    pub(crate) fn opaque(self, dir: impl AsFd) -> io::Result<Opaque> {
        Ok(
            match get_xattr(dir, &self.attribute("opaque"))?.as_deref() {
                Some(b"y") => Opaque::Yes,
                Some(b"x") => Opaque::XattrWhiteouts,
                _ => Opaque::No,
            },
        )
    }

    pub(crate) fn make_opaque(self, dir: impl AsFd) -> io::Result<()> {
        set_xattr(dir, &self.attribute("opaque"), b"y")
    }

    /// Tells whether the empty regular file `name` is a whiteout in attribute form.
    pub(crate) fn is_xattr_whiteout(self, dir: impl AsFd, name: &OsStr) -> io::Result<bool> {
        let file = open_file(dir, name)?;
        Ok(get_xattr(&file, &self.attribute("whiteout"))?.is_some())
    }

    /// Makes `name`, which must not exist in `dir`, a whiteout. Nothing is needed in an opaque
    /// directory.
    pub(crate) fn make_whiteout(self, dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
        let opaque = self.opaque(dir)?;
        if opaque == Opaque::Yes {
            return Ok(());
        }
        match self.whiteout {
            WhiteoutForm::Device => make_whiteout_device(dir, name),
            WhiteoutForm::Xattr => {
                if opaque == Opaque::No {
                    set_xattr(dir, &self.attribute("opaque"), b"x")?;
                }
                let file = create_new(dir, name)?;
                let marked = set_xattr(&file, &self.attribute("whiteout"), b"y");
                if marked.is_err() {
                    unlink(dir, name, false)?;
                }
                marked
            }
        }
    }

    /// Finds the form that works in `dir`, by trying in a scratch entry that is removed again.
    pub(crate) fn probe(dir: BorrowedFd<'_>) -> io::Result<Self> {
        let name = OsStr::new(".probe");
        match unlink(dir, name, false) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = create_new(dir, name)?;
        let namespace = match set_xattr(&file, b"trusted.overlay.probe", b"y") {
            Ok(()) => XattrNamespace::Trusted,
            Err(_) => XattrNamespace::User,
        };
        unlink(dir, name, false)?;
        let whiteout = match make_whiteout_device(dir, name) {
            Ok(()) => {
                unlink(dir, name, false)?;
                WhiteoutForm::Device
            }
            Err(_) => WhiteoutForm::Xattr,
        };
        Ok(Self {
            namespace,
            whiteout,
        })
    }
}

fn make_whiteout_device(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    let kind = FileType::CharacterDevice;
    match rustix::fs::mknodat(dir, name, kind, Mode::empty(), 0) {
        Ok(()) => Ok(()),
        Err(error) => Err(Errno::into(error)),
    }
}
