// SPDX-License-Identifier: Apache-2.0
//! The zygote: a helper process that makes the processes of steps.
//!
//! It is forked first in `main`, while there is one thread. So it may allocate between its clones
//! and, unlike a process started for each step, it costs no exec, no new user namespace and no
//! compiling of filters per step. It has its own mount namespace: nothing that it or a step mounts
//! is ever seen by the host, and when it dies everything is gone.
//!
//! ```text
//! Runtime ── one socket for requests ──▶ zygote ──clone──▶ step
//!    └─────── one socket per step ─────────┘
//! ```
//!
//! Invariants
//! 1. One thread, ever.
//! 2. When the request socket closes, because its process ended in any way, every step is killed.
//! 3. When a step's socket closes, that step is killed.

pub(crate) mod prepare;
pub(crate) mod scratch;
pub(crate) mod serve;
pub(crate) mod socket;
pub(crate) mod wire;

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::io::Errno;
use rustix::thread::CapabilitySet;

use crate::run::Runtime;
use crate::sandbox::{capabilities, idmap};
use crate::sys;

/// How much this machine lets kiln do; each rung has the same features as the one before, less
/// what is said here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rung {
    /// Root with `CAP_SYS_ADMIN`: everything.
    Root,
    /// An ordinary user with subordinate ids, in a user namespace: no device nodes of its own.
    SubordinateIds,
    /// A user namespace with one id; owners are recorded instead of set. Not supported yet:
    /// [`enter`] answers [`EnterError::NoSubordinateIds`].
    SingleId,
    /// Root of a container that may only `chroot`: no namespaces. Not supported yet: [`enter`]
    /// answers [`EnterError::NoUserNamespace`].
    Chroot,
}

/// Where and how to start.
#[derive(Clone, Debug)]
pub struct EnterOptions {
    /// A directory, made if missing, over which the zygote mounts a file system in memory, in its
    /// own mount namespace: the host sees an empty directory. Stubs and secrets live there.
    pub scratch: PathBuf,
}

/// Why steps cannot run here.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnterError {
    /// `/etc/subuid` or `/etc/subgid` has no line for the user.
    #[error("user {user} has no subordinate ids")]
    NoSubordinateIds {
        /// The user's name, or its number if it has none.
        user: String,
    },
    /// The kernel or a container's policy refuses user namespaces.
    #[error("cannot create a user namespace")]
    NoUserNamespace(#[source] Errno),
    /// The helper program is missing or refused the map.
    #[error("{program} could not map the subordinate ids")]
    MapFailed {
        /// `newuidmap` or `newgidmap`.
        program: &'static str,
    },
    /// Root of the new namespace could not be taken on.
    #[error("cannot become root of the user namespace")]
    Identity(#[source] Errno),
    /// The mount namespace could not be set up.
    #[error("cannot set up a mount namespace")]
    Mounts(#[source] Errno),
    /// The scratch directory cannot be made or mounted on.
    #[error("cannot use the scratch directory {path}")]
    Scratch {
        /// The directory of [`EnterOptions::scratch`].
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: Errno,
    },
    /// The zygote could not be started.
    #[error("cannot start the zygote process")]
    Fork(#[source] Errno),
    /// The zygote ended before it was ready.
    #[error("the zygote process died while starting")]
    Died,
}

impl EnterError {
    pub(crate) fn fork(errno: Errno) -> Self {
        Self::Fork(errno)
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoSubordinateIds { .. } => Some(
                "let root run `usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER`",
            ),
            Self::NoUserNamespace(_) => Some(
                "run as root, or allow user namespaces (in a container: a seccomp profile that does)",
            ),
            Self::MapFailed { .. } => Some("install newuidmap and newgidmap (package uidmap)"),
            _ => None,
        }
    }
}

/// Prepares this process for running steps; see the crate's documentation for the order.
///
/// Without root's privileges the whole process moves into a user namespace where it is root, with
/// a mount namespace of its own. Then the zygote is forked.
///
/// # Errors
///
/// [`EnterError::NoSubordinateIds`] and [`EnterError::NoUserNamespace`] if no supported [`Rung`]
/// can be had; the others if something on the way failed. After an error the process may already
/// be in the new namespaces and should end.
///
/// # Panics
///
/// If this process has more than one thread.
pub fn enter(options: EnterOptions) -> Result<Runtime, EnterError> {
    assert!(
        std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count) <= 1,
        "runtime::enter must be called before any thread is started",
    );
    let rung = if is_root() {
        Rung::Root
    } else {
        idmap::enter()?;
        Rung::SubordinateIds
    };
    let (ours, theirs) = socket::pair().map_err(EnterError::Fork)?;
    if sys::fork().map_err(EnterError::Fork)?.is_none() {
        drop(ours);
        serve::run(theirs, &options.scratch, rung)
    }
    drop(theirs);
    wait_until_ready(&ours, options)?;
    Ok(Runtime::new(Arc::new(ours), rung))
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root() && capabilities::held().contains(CapabilitySet::SYS_ADMIN)
}

/// The zygote's first message: where it failed, or not at all, and the errno.
pub(crate) const READY: u8 = 0;
/// See [`READY`].
pub(crate) const MOUNTS_FAILED: u8 = 1;
/// See [`READY`].
pub(crate) const SCRATCH_FAILED: u8 = 2;

fn wait_until_ready(zygote: &OwnedFd, options: EnterOptions) -> Result<(), EnterError> {
    let (bytes, _) = socket::receive(zygote).map_err(EnterError::Fork)?;
    let Some((stage, errno)) = wire_pair(&bytes) else {
        return Err(EnterError::Died);
    };
    if stage == READY {
        return Ok(());
    }
    // Zero is no error number, and rustix insists on it.
    let source = Errno::from_raw_os_error(errno.max(1));
    match stage {
        MOUNTS_FAILED => Err(EnterError::Mounts(source)),
        _ => Err(EnterError::Scratch {
            path: options.scratch,
            source,
        }),
    }
}

fn wire_pair(bytes: &[u8]) -> Option<(u8, i32)> {
    wire::decode(bytes)
}
