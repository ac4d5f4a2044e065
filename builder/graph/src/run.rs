// SPDX-License-Identifier: Apache-2.0
//! The operation that runs a process.
//!
//! Spec: BuildKit `ops.proto`, messages `ExecOp`, `Meta`, `Mount` and their options.

/// A process, its root file system (the mount at `/`) and everything mounted into it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunOp {
    /// Program and arguments.
    pub args: Vec<String>,
    /// `NAME=value`, in order; complete but for what the executor adds (`HOME`, proxies, secrets).
    pub env: Vec<String>,
    /// Working directory, absolute.
    pub cwd: String,
    /// `user[:group]` as in the USER instruction; empty is root.
    pub user: String,
    /// Proxy variables; never part of the cache key.
    pub proxy_env: Option<ProxyEnv>,
    /// Additional lines of `/etc/hosts`.
    pub extra_hosts: Vec<ExtraHost>,
    /// Host name; empty means the default of the executor.
    pub hostname: String,
    /// Resource limits.
    pub ulimits: Vec<Ulimit>,
    /// Parent control group; empty for the executor's own.
    pub cgroup_parent: String,
    /// Exit codes that count as success; empty means only 0.
    pub valid_exit_codes: Vec<i32>,
    /// Mounts; the one with `dest` `/` is the root file system.
    pub mounts: Vec<Mount>,
    /// Network of the process.
    pub network: NetworkMode,
    /// Privileges of the process.
    pub security: SecurityMode,
    /// Secrets given as environment variables.
    pub secret_env: Vec<SecretEnv>,
    /// CDI device names.
    pub devices: Vec<(String, bool)>,
}

/// Proxy settings of a build. Empty strings are unset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxyEnv {
    /// `http_proxy`
    pub http_proxy: String,
    /// `https_proxy`
    pub https_proxy: String,
    /// `ftp_proxy`
    pub ftp_proxy: String,
    /// `no_proxy`
    pub no_proxy: String,
    /// `all_proxy`
    pub all_proxy: String,
}

/// One line of `/etc/hosts`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtraHost {
    /// The name.
    pub host: String,
    /// The address; not part of the cache key.
    pub ip: String,
}

/// One resource limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ulimit {
    /// Name as in Docker's `--ulimit`, e.g. `nofile`.
    pub name: String,
    /// Soft limit.
    pub soft: i64,
    /// Hard limit.
    pub hard: i64,
}

/// A secret in the environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretEnv {
    /// Which secret.
    pub id: String,
    /// Name of the variable.
    pub name: String,
    /// Whether the step runs without it.
    pub optional: bool,
}

/// Network of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NetworkMode {
    /// What the executor gives by default.
    #[default]
    Sandbox,
    /// The host's.
    Host,
    /// Loopback only.
    None,
}

/// Privileges of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SecurityMode {
    /// The sandbox.
    #[default]
    Sandbox,
    /// All capabilities, no filter; needs the user's consent.
    Insecure,
}

/// Something mounted into a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Index of the vertex input that is mounted; none is the empty tree.
    pub input: Option<usize>,
    /// Path within the input.
    pub selector: String,
    /// Where it is mounted, absolute.
    pub dest: String,
    /// Output index under which the changed tree is handed on; none discards changes.
    pub output: Option<u32>,
    /// Whether writes fail.
    pub readonly: bool,
    /// What is mounted.
    pub kind: MountKind,
}

impl Mount {
    /// Returns the root mount: input 0, changes handed on as output 0.
    pub fn root() -> Self {
        Self {
            input: Some(0),
            selector: String::new(),
            dest: "/".into(),
            output: Some(0),
            readonly: false,
            kind: MountKind::Bind,
        }
    }
}

/// What a mount holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MountKind {
    /// The input's tree.
    Bind,
    /// A directory that outlives the build; `input` is its first content.
    Cache {
        /// Name of the directory.
        id: String,
        /// What happens when two steps want it at once.
        sharing: CacheSharing,
    },
    /// Memory.
    Tmpfs {
        /// Upper bound; 0 is unlimited.
        size_bytes: i64,
    },
    /// A file with a secret.
    Secret {
        /// Which secret.
        id: String,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
        /// Permission bits.
        mode: u32,
        /// Whether the step runs without it.
        optional: bool,
    },
    /// A socket to an SSH agent.
    Ssh {
        /// Which agent.
        id: String,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
        /// Permission bits.
        mode: u32,
        /// Whether the step runs without it.
        optional: bool,
    },
}

/// Concurrent use of one cache mount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CacheSharing {
    /// All steps write to the same directory.
    #[default]
    Shared,
    /// A step that finds the directory busy gets another one.
    Private,
    /// A step that finds the directory busy waits.
    Locked,
}
