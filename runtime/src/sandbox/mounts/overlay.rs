// SPDX-License-Identifier: Apache-2.0
//! Overlay file systems, assembled from descriptors of layer directories.
//!
//! Features that put hidden state into upper directories are off, so that a layer can be read off
//! the upper directory alone; `userxattr` in a user namespace, where `trusted.*` cannot be written
//! and an overlay without it breaks on the first removed directory; `volatile`, since an upper
//! directory that does not reach its commit is thrown away.
//!
//! Docs: kernel `Documentation/filesystems/overlayfs.rst`. Observed: Linux 6.18.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, UnmountFlags, fsconfig_create,
    fsconfig_set_fd, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, mount, unmount,
};

use super::clone_tree;

/// How this kernel takes layer directories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OverlayApi {
    /// By descriptor (Linux 6.13).
    Descriptors,
    /// One string per layer, naming our descriptor below `/proc/self/fd` (6.7).
    Strings,
    /// One `mount(2)` for all, at a scratch directory.
    Classic,
}

/// The directories of one overlay, opened.
#[derive(Debug)]
pub(crate) struct Layers {
    /// Topmost first; at least two if there is no upper directory.
    pub(crate) lower: Vec<OwnedFd>,
    pub(crate) upper: Option<(OwnedFd, OwnedFd)>,
}

/// Makes overlays; remembers what the kernel can do.
#[derive(Debug)]
pub(crate) struct OverlayMaker {
    pub(crate) api: OverlayApi,
    pub(crate) user_namespace: bool,
    /// An empty directory of the zygote's scratch file system, for [`OverlayApi::Classic`].
    pub(crate) anchor: std::path::PathBuf,
}

/// Opens a directory of the store as a mount source.
pub(crate) fn open_directory(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, path, flags, Mode::empty())
}

impl OverlayMaker {
    /// Returns a detached mount of `layers`. Device nodes on it cannot be opened.
    pub(crate) fn make(&mut self, layers: &Layers) -> Result<OwnedFd, Errno> {
        loop {
            if self.api == OverlayApi::Classic {
                return self.classic(layers);
            }
            let context = fsopen(c"overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
            // Only here does EINVAL mean that the kernel is too old, and not the layers wrong.
            match (self.add_lower(&context, layers), self.api) {
                (Err(Errno::INVAL), OverlayApi::Descriptors) => self.api = OverlayApi::Strings,
                (Err(Errno::INVAL), _) => self.api = OverlayApi::Classic,
                (added, _) => {
                    added?;
                    return self.finish(&context, layers);
                }
            }
        }
    }

    fn set(&self, context: &OwnedFd, key: &str, fd: &OwnedFd) -> Result<(), Errno> {
        match self.api {
            OverlayApi::Descriptors => fsconfig_set_fd(context, key, fd),
            _ => fsconfig_set_string(context, key, descriptor_path(fd)),
        }
    }

    fn add_lower(&self, context: &OwnedFd, layers: &Layers) -> Result<(), Errno> {
        for lower in &layers.lower {
            self.set(context, "lowerdir+", lower)?;
        }
        Ok(())
    }

    /// The options besides directories; those with an empty value are flags.
    fn options(&self, writable: bool) -> Vec<(&'static str, &'static str)> {
        let mut options = vec![("metacopy", "off"), ("index", "off"), ("xino", "off")];
        if self.user_namespace {
            options.push(("userxattr", ""));
        } else {
            options.push(("redirect_dir", "off"));
        }
        if writable {
            options.push(("volatile", ""));
        }
        options
    }

    fn finish(&self, context: &OwnedFd, layers: &Layers) -> Result<OwnedFd, Errno> {
        fsconfig_set_string(context, "source", "kiln")?;
        if let Some((upper, work)) = &layers.upper {
            self.set(context, "upperdir", upper)?;
            self.set(context, "workdir", work)?;
        }
        for (key, value) in self.options(layers.upper.is_some()) {
            match value {
                "" => fsconfig_set_flag(context, key)?,
                _ => fsconfig_set_string(context, key, value)?,
            }
        }
        fsconfig_create(context)?;
        let attributes = MountAttrFlags::MOUNT_ATTR_NODEV;
        fsmount(context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
    }

    fn classic(&self, layers: &Layers) -> Result<OwnedFd, Errno> {
        let lower: Vec<_> = layers.lower.iter().map(descriptor_path).collect();
        let mut options = format!("lowerdir={}", lower.join(":"));
        if let Some((upper, work)) = &layers.upper {
            options = format!("{options},upperdir={}", descriptor_path(upper));
            options = format!("{options},workdir={}", descriptor_path(work));
        }
        for (key, value) in self.options(layers.upper.is_some()) {
            options = match value {
                "" => format!("{options},{key}"),
                _ => format!("{options},{key}={value}"),
            };
        }
        // The kernel cuts the options off at a page without a word.
        if options.len() >= 4096 {
            return Err(Errno::TOOBIG);
        }
        let options = std::ffi::CString::new(options).map_err(|_| Errno::INVAL)?;
        let flags = MountFlags::NODEV;
        mount("kiln", &self.anchor, "overlay", flags, options.as_c_str())?;
        let tree = open_directory(&self.anchor).and_then(|fd| clone_tree(fd.as_fd(), c"", false));
        unmount(&self.anchor, UnmountFlags::DETACH)?;
        tree
    }
}

fn descriptor_path(fd: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

/// Removes the marker that a `volatile` overlay leaves in its work directory, so that the same
/// directories can be mounted again although nothing was written.
pub(crate) fn forget_volatile(work: &OwnedFd) {
    // What is absent the kernel did not make; what stays the next mount complains of.
    rustix::fs::unlinkat(work, "work/incompat/volatile/dirty", AtFlags::empty()).ok();
    for path in ["work/incompat/volatile", "work/incompat"] {
        rustix::fs::unlinkat(work, path, AtFlags::REMOVEDIR).ok();
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{Layers, OverlayApi, OverlayMaker, forget_volatile, open_directory};
    use crate::sandbox::namespaces::make_mounts_private;
    use crate::sys;

    /// Newer kernels take the older forms too, so all three can be tried on one.
    #[test]
    fn every_api_makes_the_same_overlay() {
        let namespace = sys::unshare(rustix::thread::UnshareFlags::NEWNS);
        if namespace.and_then(|()| make_mounts_private()).is_err() {
            println!("skipped: needs root");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        for name in ["top", "bottom", "upper", "work", "anchor"] {
            fs::create_dir(path(name)).unwrap();
        }
        fs::write(path("top/file"), "top").unwrap();
        fs::write(path("bottom/file"), "bottom").unwrap();
        fs::write(path("bottom/below"), "below").unwrap();
        for api in [
            OverlayApi::Descriptors,
            OverlayApi::Strings,
            OverlayApi::Classic,
        ] {
            let open = |name: &str| open_directory(&path(name)).unwrap();
            let layers = Layers {
                lower: vec![open("top"), open("bottom")],
                upper: Some((open("upper"), open("work"))),
            };
            let mut maker = OverlayMaker {
                api,
                user_namespace: false,
                anchor: path("anchor"),
            };
            let mount = maker.make(&layers).unwrap();
            assert_eq!(maker.api, api, "the kernel took it");
            let read = |name: &str| {
                let flags = rustix::fs::OFlags::RDONLY;
                let fd =
                    rustix::fs::openat(&mount, name, flags, rustix::fs::Mode::empty()).unwrap();
                std::io::read_to_string(fs::File::from(fd)).unwrap()
            };
            assert_eq!(
                (read("file"), read("below")),
                ("top".into(), "below".into()),
                "{api:?}"
            );
            drop(mount);
            let (_, work) = layers.upper.as_ref().unwrap();
            forget_volatile(work);
        }
        let mounts = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
        assert!(!mounts.contains("anchor"), "nothing stays mounted");
    }
}
