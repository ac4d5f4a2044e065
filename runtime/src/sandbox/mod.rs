// SPDX-License-Identifier: Apache-2.0
//! The sandbox, one kernel feature per file.
//!
//! Each file may have two sides: what the zygote prepares before the clone, where anything goes,
//! and what the new process does with it, which must neither allocate nor panic.

pub(crate) mod capabilities;
pub(crate) mod cgroup;
pub(crate) mod devices;
pub(crate) mod idmap;
pub(crate) mod masks;
pub(crate) mod mounts;
pub(crate) mod namespaces;
pub(crate) mod network;
pub(crate) mod rlimits;
pub(crate) mod seccomp;
