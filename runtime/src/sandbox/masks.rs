// SPDX-License-Identifier: Apache-2.0
//! Paths below `/proc` and `/sys` that a step must not see or not write.
//!
//! Hidden files show an empty read-only file, hidden directories an empty read-only directory,
//! both of the zygote's own scratch file system, so that no image or neighbour can put anything
//! else in their place (CVE-2025-31133).
//!
//! Docs: containerd's default masked and read-only paths, moby's list of 2026 for `interrupts`
//! and `thermal_throttle`.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rustix::fs::CWD;
use rustix::io::Errno;

use super::mounts::clone_tree;
use super::mounts::place::attach_below;
use crate::sys::{self, AttributeChange};

const HIDDEN_IN_PROC: &[&str] = &[
    "acpi",
    "asound",
    "interrupts",
    "kcore",
    "keys",
    "latency_stats",
    "sched_debug",
    "scsi",
    "timer_list",
    "timer_stats",
];
const HIDDEN_IN_SYS: &[&str] = &["devices/virtual/powercap", "firmware"];
const READ_ONLY_IN_PROC: &[&CStr] = &[c"bus", c"fs", c"irq", c"sys", c"sysrq-trigger"];

/// One hidden path.
#[derive(Debug)]
struct Hidden {
    path: CString,
    is_directory: bool,
}

/// What to hide on this machine, looked up once.
#[derive(Debug)]
pub(crate) struct Masks {
    in_proc: Vec<Hidden>,
    in_sys: Vec<Hidden>,
    empty_file: CString,
    empty_directory: CString,
}

/// Paths of `names` that exist below `base`: a step skips the rest without asking.
fn existing(base: &str, names: impl IntoIterator<Item = String>) -> Vec<Hidden> {
    names
        .into_iter()
        .filter_map(|name| {
            let metadata = std::fs::symlink_metadata(Path::new(base).join(&name)).ok()?;
            Some(Hidden {
                path: CString::new(name).ok()?,
                is_directory: metadata.is_dir(),
            })
        })
        .collect()
}

fn thermal_throttles() -> impl Iterator<Item = String> {
    std::fs::read_dir("/sys/devices/system/cpu")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| {
            name.strip_prefix("cpu")
                .is_some_and(|number| number.parse::<u32>().is_ok())
        })
        .map(|name| format!("devices/system/cpu/{name}/thermal_throttle"))
}

impl Masks {
    /// Looks up what this machine has. The two paths name an empty file and directory on a
    /// read-only mount of the zygote.
    pub(crate) fn find(empty_file: CString, empty_directory: CString) -> Self {
        let owned = |names: &[&str]| {
            names
                .iter()
                .map(|&name| name.to_owned())
                .collect::<Vec<_>>()
        };
        Self {
            in_proc: existing("/proc", owned(HIDDEN_IN_PROC)),
            in_sys: existing(
                "/sys",
                owned(HIDDEN_IN_SYS).into_iter().chain(thermal_throttles()),
            ),
            empty_file,
            empty_directory,
        }
    }

    /// Hides paths of the new `/proc`. In the new process, before the old root is gone.
    pub(crate) fn hide_in_proc(&self, proc: BorrowedFd<'_>) -> Result<(), Errno> {
        self.hide(proc, &self.in_proc)
    }

    /// Hides paths of the new `/sys`.
    pub(crate) fn hide_in_sys(&self, sys: BorrowedFd<'_>) -> Result<(), Errno> {
        self.hide(sys, &self.in_sys)
    }

    /// Hides one directory, e.g. the host's control groups.
    pub(crate) fn hide_directory(&self, at: BorrowedFd<'_>, path: &CStr) -> Result<(), Errno> {
        let tree = clone_tree(CWD, &self.empty_directory, false)?;
        ignore_missing(attach_below(tree.as_fd(), at, path))
    }

    fn hide(&self, at: BorrowedFd<'_>, hidden: &[Hidden]) -> Result<(), Errno> {
        for Hidden { path, is_directory } in hidden {
            let cover = if *is_directory {
                &self.empty_directory
            } else {
                &self.empty_file
            };
            let tree = clone_tree(CWD, cover, false)?;
            ignore_missing(attach_below(tree.as_fd(), at, path))?;
        }
        Ok(())
    }
}

/// Makes paths of the new `/proc` read-only. In the new process.
pub(crate) fn protect_proc(proc: BorrowedFd<'_>) -> Result<(), Errno> {
    let change = AttributeChange {
        set: libc::MOUNT_ATTR_RDONLY,
        clear: 0,
        private: false,
    };
    for path in READ_ONLY_IN_PROC {
        let tree = match clone_tree(proc, path, false) {
            Err(Errno::NOENT) => continue,
            tree => tree?,
        };
        sys::mount_setattr(tree.as_fd(), c"", false, change)?;
        attach_below(tree.as_fd(), proc, path)?;
    }
    Ok(())
}

fn ignore_missing(result: Result<(), Errno>) -> Result<(), Errno> {
    match result {
        Err(Errno::NOENT) => Ok(()),
        result => result,
    }
}
