// SPDX-License-Identifier: Apache-2.0
//! Mount targets that the image does not have.
//!
//! They come from stub directories below the image's layers, so that the upper directory stays
//! untouched. Only where an image hides the stub (a whiteout or an opaque directory) is a target
//! made in the upper directory, and removed after the step: by descriptor, only if it is still
//! what was made, and with the parent's time put back.
//!
//! Runs in the zygote. Observed: BuildKit removes the stubs that its runtime leaves by path, which
//! was CVE-2024-23652.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, Timespec, Timestamps};
use rustix::io::Errno;

use super::place::{Leaf, make_one, open_inside};

/// Links followed on the way to a target that does not exist; as in the kernel.
const LINKS_MAX: usize = 40;

/// Something made in a root, to be removed after the step.
#[derive(Debug)]
pub(crate) struct Made {
    parent: OwnedFd,
    name: CString,
    leaf: Leaf,
    inode: u64,
    before: Timestamps,
    modified_by_us: Timespec,
}

/// Makes `target` and its parents below the plain directory `stub`. What is there already stays.
pub(crate) fn add(stub: &Path, target: &str, leaf: Leaf) -> Result<(), Errno> {
    let mut path = stub.to_owned();
    let mut parts = components(target).peekable();
    while let Some(part) = parts.next() {
        path.push(part);
        let made = if parts.peek().is_none() && leaf == Leaf::File {
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
            rustix::fs::openat(CWD, &path, flags, Mode::from_raw_mode(0o644)).map(drop)
        } else {
            rustix::fs::mkdirat(CWD, &path, Mode::from_raw_mode(0o755))
        };
        match made {
            Err(Errno::EXIST) => {}
            result => result?,
        }
    }
    Ok(())
}

/// The parts of a target, without empty ones and `.`; `..` goes up, not above the root.
pub(crate) fn components(target: &str) -> impl DoubleEndedIterator<Item = &str> {
    let mut parts = Vec::new();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.into_iter()
}

/// Whether `target` can be opened in the root.
pub(crate) fn is_there(root: BorrowedFd<'_>, target: &str) -> Result<bool, Errno> {
    let target = CString::new(target).map_err(|_| Errno::INVAL)?;
    match open_inside(root, &target) {
        Ok(_) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// Returns where `target`, which does not exist, would be: links of the root on the way replaced
/// by what they say.
pub(crate) fn follow_links(root: BorrowedFd<'_>, target: &str) -> Result<String, Errno> {
    let mut rest: Vec<String> = components(target).map(str::to_owned).rev().collect();
    let mut done = Vec::<String>::new();
    let mut links = 0;
    while let Some(part) = rest.pop() {
        if part == ".." {
            done.pop();
            continue;
        }
        done.push(part);
        let path = done.join("/");
        let Ok(link) = rustix::fs::readlinkat(root, path.as_str(), Vec::new()) else {
            continue;
        };
        links += 1;
        if links > LINKS_MAX {
            return Err(Errno::LOOP);
        }
        let link = link.into_string().map_err(|_| Errno::INVAL)?;
        done.pop();
        if link.starts_with('/') {
            done.clear();
        }
        let parts = link.split('/').filter(|part| !matches!(*part, "" | "."));
        rest.extend(parts.rev().map(str::to_owned));
    }
    Ok(format!("/{}", done.join("/")))
}

/// Makes `target`, whose way has no links, in the root itself; what was made is added to `made`.
pub(crate) fn make_in_root(
    root: BorrowedFd<'_>,
    target: &str,
    leaf: Leaf,
    made: &mut Vec<Made>,
) -> Result<(), Errno> {
    let parts: Vec<&str> = components(target).collect();
    let mut at = ".".to_owned();
    for (number, part) in parts.iter().enumerate() {
        let parent = at.clone();
        at = format!("{at}/{part}");
        if is_there(root, &at)? {
            continue;
        }
        let leaf = if number + 1 == parts.len() {
            leaf
        } else {
            Leaf::Directory
        };
        let name = CString::new(*part).map_err(|_| Errno::INVAL)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve = rustix::fs::ResolveFlags::IN_ROOT | rustix::fs::ResolveFlags::NO_MAGICLINKS;
        let parent = rustix::fs::openat2(root, parent, flags, Mode::empty(), resolve)?;
        let before = times(parent.as_fd())?;
        let inode = rustix::fs::fstat(make_one(parent.as_fd(), &name, leaf, None)?)?.st_ino;
        made.push(Made {
            modified_by_us: times(parent.as_fd())?.last_modification,
            parent,
            name,
            leaf,
            inode,
            before,
        });
    }
    Ok(())
}

fn times(fd: BorrowedFd<'_>) -> Result<Timestamps, Errno> {
    let stat = rustix::fs::fstat(fd)?;
    let nanoseconds = |value: u64| i64::try_from(value).unwrap_or(0);
    Ok(Timestamps {
        last_access: Timespec {
            tv_sec: stat.st_atime,
            tv_nsec: nanoseconds(stat.st_atime_nsec),
        },
        last_modification: Timespec {
            tv_sec: stat.st_mtime,
            tv_nsec: nanoseconds(stat.st_mtime_nsec),
        },
    })
}

/// Removes what [`make_in_root`] made, last first. What the step has replaced or filled stays.
pub(crate) fn remove(made: Vec<Made>) {
    for made in made.into_iter().rev() {
        // A failure leaves the stub in the layer: an empty entry, not a wrong one.
        remove_one(&made).ok();
    }
}

fn remove_one(made: &Made) -> Result<(), Errno> {
    let now = times(made.parent.as_fd())?;
    let found = rustix::fs::statat(&made.parent, &made.name, AtFlags::SYMLINK_NOFOLLOW)?;
    if found.st_ino != made.inode || (made.leaf == Leaf::File && found.st_size != 0) {
        return Ok(());
    }
    let flags = match made.leaf {
        Leaf::Directory => AtFlags::REMOVEDIR,
        Leaf::File => AtFlags::empty(),
    };
    rustix::fs::unlinkat(&made.parent, &made.name, flags)?;
    let untouched = now.last_modification == made.modified_by_us;
    let times = if untouched { &made.before } else { &now };
    rustix::fs::futimens(&made.parent, times)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::{add, components, follow_links, is_there, make_in_root, remove};
    use crate::sandbox::mounts::overlay::open_directory;
    use crate::sandbox::mounts::place::Leaf;

    #[test]
    fn targets_stay_inside() {
        for (target, expected) in [
            ("/a/b", "a/b"),
            ("a//./b/", "a/b"),
            ("/../../etc", "etc"),
            ("/a/../b", "b"),
            ("/", ""),
        ] {
            let parts: Vec<_> = components(target).collect();
            assert_eq!(parts.join("/"), expected, "{target}");
        }
    }

    #[test]
    fn links_that_lead_nowhere_are_followed_inside_the_root() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("etc")).unwrap();
        let link = |to: &str, name: &str| {
            std::os::unix::fs::symlink(to, root.path().join(name)).unwrap();
        };
        link("../run/x/resolv.conf", "etc/resolv.conf");
        link("/../../../var", "up");
        link("loop", "loop");
        let fd = open_directory(root.path()).unwrap();
        let follow = |target| follow_links(fd.as_fd(), target);
        assert_eq!(
            follow("/etc/resolv.conf"),
            Ok("/run/x/resolv.conf".to_owned())
        );
        assert_eq!(follow("/up/x"), Ok("/var/x".to_owned()));
        assert_eq!(follow("/loop/x"), Err(rustix::io::Errno::LOOP));
    }

    #[test]
    fn what_was_made_is_removed_and_the_time_put_back() {
        let root = tempfile::tempdir().unwrap();
        let fd = open_directory(root.path()).unwrap();
        let before = std::fs::metadata(root.path()).unwrap().modified().unwrap();
        let mut made = Vec::new();
        make_in_root(fd.as_fd(), "/a/b/c", Leaf::File, &mut made).unwrap();
        assert!(is_there(fd.as_fd(), "/a/b/c").unwrap());
        remove(made);
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0);
        let after = std::fs::metadata(root.path()).unwrap().modified().unwrap();
        assert_eq!(before, after);
    }

    #[test]
    fn what_the_step_wrote_stays() {
        let root = tempfile::tempdir().unwrap();
        let fd = open_directory(root.path()).unwrap();
        let mut made = Vec::new();
        make_in_root(fd.as_fd(), "/a/b", Leaf::Directory, &mut made).unwrap();
        std::fs::write(root.path().join("a/kept"), "").unwrap();
        remove(made);
        assert!(root.path().join("a/kept").exists());
        assert!(!root.path().join("a/b").exists());
    }

    #[test]
    fn stub_directories_take_files_and_directories() {
        let stub = tempfile::tempdir().unwrap();
        add(stub.path(), "/etc/hosts", Leaf::File).unwrap();
        add(stub.path(), "/etc/conf.d", Leaf::Directory).unwrap();
        add(stub.path(), "/etc/hosts", Leaf::File).unwrap();
        assert!(stub.path().join("etc/hosts").is_file());
        assert!(stub.path().join("etc/conf.d").is_dir());
    }
}
