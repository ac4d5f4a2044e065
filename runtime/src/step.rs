// SPDX-License-Identifier: Apache-2.0
//! What to run: one process, its root file system, mounts, identity, network and limits.
//!
//! Plain values, made by the caller and sent to the zygote whole. Paths of the store (layers,
//! cache mounts) are trusted; everything that comes from an image or a Dockerfile (targets,
//! selectors, working directory, user) is resolved inside the root file system only.

use std::net::IpAddr;
use std::path::PathBuf;

/// One process to run in a sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Program and arguments. A program without `/` is looked up in `PATH` of `env`.
    pub args: Vec<String>,
    /// The whole environment; only `HOME` is added, from the image's passwd file, where absent.
    pub env: Vec<(String, String)>,
    /// Working directory inside the root, absolute. Created if missing, see [`CwdOwner`].
    pub cwd: String,
    /// Who owns a working directory that had to be created.
    pub cwd_owner: CwdOwner,
    /// The Dockerfile's USER: empty, `name`, `uid`, or either with `:group` or `:gid`.
    pub user: String,
    /// Groups that the user is in besides those of the image.
    pub extra_groups: Vec<u32>,
    /// The root file system.
    pub root: Overlay,
    /// Whether the root file system is read-only for the step.
    pub read_only_root: bool,
    /// Further mounts, in the order they are made.
    pub mounts: Vec<Mount>,
    /// What the step sees of the network.
    pub network: Network,
    /// The host name, also written to `/etc/hosts`.
    pub hostname: String,
    /// Further lines of `/etc/hosts`, in order.
    pub extra_hosts: Vec<(String, IpAddr)>,
    /// Resource limits.
    pub limits: Limits,
    /// Size of `/dev/shm`; `None` for 64 MiB, as Docker has it.
    pub shm_size_bytes: Option<u64>,
    /// How strictly the process is held.
    pub security: Security,
    /// Whether a tiny init is process 1, which reaps orphans and forwards signals.
    pub init: bool,
}

/// The host name of a build step.
///
/// Observed: BuildKit, so that tools which record it stay reproducible.
pub const BUILD_HOSTNAME: &str = "buildkitsandbox";

impl Step {
    /// Returns a step of `args` on `root` with the defaults of a RUN step: root user, `/` as
    /// working directory, host network, Docker's sandbox.
    pub fn new(args: Vec<String>, root: Overlay) -> Self {
        Self {
            args,
            env: Vec::new(),
            cwd: "/".to_owned(),
            cwd_owner: CwdOwner::Root,
            user: String::new(),
            extra_groups: Vec::new(),
            root,
            read_only_root: false,
            mounts: Vec::new(),
            network: Network::Host,
            hostname: BUILD_HOSTNAME.to_owned(),
            extra_hosts: Vec::new(),
            limits: Limits::default(),
            shm_size_bytes: None,
            security: Security::Sandbox,
            init: false,
        }
    }
}

/// Who owns a working directory that did not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CwdOwner {
    /// `root:root`. Docs: BuildKit's `runcexecutor`.
    Root,
    /// The user and the primary group of the step.
    ///
    /// Observed: BuildKit of 2026-08 makes it `4242:4242` for `USER 4242`; see [`Step::user`] for
    /// the group, which is 0 here for a bare number that the image does not know.
    User,
}

/// An overlay of the store's directories.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overlay {
    /// Layer directories, topmost first; may be empty.
    pub lower: Vec<PathBuf>,
    /// The directory that takes changes, and an empty one for the kernel on the same file system.
    /// Both must be fresh for each step. `None` makes a read-only view.
    pub upper: Option<(PathBuf, PathBuf)>,
}

/// One mount besides the built-in ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Where it appears in the root, absolute; links of the image are followed inside the root.
    pub target: String,
    /// What appears there.
    pub source: MountSource,
    /// Whether writes are refused.
    pub read_only: bool,
}

/// What a mount shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MountSource {
    /// A path inside an overlay, e.g. another stage. For a writable bind mount whose changes are
    /// dropped, give it an upper directory and delete that afterwards.
    Overlay {
        /// The file system.
        overlay: Overlay,
        /// The path inside it, resolved as in a chroot; empty for all of it.
        selector: String,
    },
    /// A path inside a directory of the store, e.g. a cache mount.
    Directory {
        /// The directory, trusted.
        path: PathBuf,
        /// The path inside it, resolved as in a chroot; empty for all of it.
        selector: String,
    },
    /// A file or directory of the host that its user named (`kiln run -v`), or a socket that the
    /// caller serves, with what is mounted
    /// below it.
    HostPath(PathBuf),
    /// A device node of the host that its user allowed.
    Device(PathBuf),
    /// An empty file system in memory.
    Tmpfs {
        /// Its size limit; `None` for the kernel's default, half of memory.
        size_bytes: Option<u64>,
        /// Permission bits of its root.
        mode: u32,
        /// Owner of its root.
        uid: u32,
        /// Group of its root.
        gid: u32,
    },
    /// One file held in memory, e.g. a secret. It never touches a disk of the store.
    File {
        /// What is in it.
        content: Vec<u8>,
        /// Permission bits.
        mode: u32,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
    },
}

/// What a step sees of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// The host's network. Abstract sockets of the host are cut off where the kernel can do it.
    Host,
    /// A network of its own that has only a loopback interface.
    None,
}

/// How strictly a step is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// Docker's default capabilities, system call filter, masked and read-only paths.
    Sandbox,
    /// All capabilities that kiln has, no filter, nothing masked, `/sys` writable. The caller has
    /// checked that its user granted this.
    Insecure,
}

/// Limits of a step. Those that the machine cannot enforce are named in the exit status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Memory, in bytes.
    pub memory_bytes: Option<u64>,
    /// Processes and threads.
    pub pids_max: Option<u64>,
    /// Processor time: microseconds in each period of 100 ms, times the number of processors.
    pub cpu_quota_us: Option<u64>,
    /// The control group that the step's own is made in, below the topmost one.
    pub cgroup_parent: Option<String>,
    /// Per-process limits.
    pub ulimits: Vec<Ulimit>,
}

/// One per-process limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ulimit {
    /// Of what.
    pub kind: UlimitKind,
    /// What the process starts with; `None` for no limit.
    pub soft: Option<u64>,
    /// How far the process may raise it; `None` for no limit.
    pub hard: Option<u64>,
}

/// The resource of a per-process limit. Docs: `getrlimit(2)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the manual page")]
pub enum UlimitKind {
    Core,
    Cpu,
    Data,
    Fsize,
    Locks,
    Memlock,
    Msgqueue,
    Nice,
    Nofile,
    Nproc,
    Rss,
    Rtprio,
    Rttime,
    Sigpending,
    Stack,
}

impl UlimitKind {
    /// Returns the kind that `--ulimit` calls `name`, e.g. `nofile`.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "core" => Self::Core,
            "cpu" => Self::Cpu,
            "data" => Self::Data,
            "fsize" => Self::Fsize,
            "locks" => Self::Locks,
            "memlock" => Self::Memlock,
            "msgqueue" => Self::Msgqueue,
            "nice" => Self::Nice,
            "nofile" => Self::Nofile,
            "nproc" => Self::Nproc,
            "rss" => Self::Rss,
            "rtprio" => Self::Rtprio,
            "rttime" => Self::Rttime,
            "sigpending" => Self::Sigpending,
            "stack" => Self::Stack,
            _ => return None,
        })
    }
}
