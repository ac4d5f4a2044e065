// SPDX-License-Identifier: Apache-2.0
//! One device description, as far as kiln acts on it.
//!
//! Spec: CDI 1.1.0 `SPEC.md` §Specification.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// A file of descriptions: devices of one kind.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Document {
    pub(super) kind: String,
    #[serde(default)]
    pub(super) annotations: BTreeMap<String, String>,
    pub(super) devices: Vec<Device>,
    #[serde(default, rename = "containerEdits")]
    pub(super) edits: Edits,
}

/// One device.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Device {
    pub(super) name: String,
    #[serde(default)]
    pub(super) annotations: BTreeMap<String, String>,
    #[serde(default, rename = "containerEdits")]
    pub(super) edits: Edits,
}

/// What a step gets with a device.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Edits {
    /// `NAME=value`.
    pub(crate) env: Vec<String>,
    /// Nodes in `/dev`.
    pub(crate) device_nodes: Vec<DeviceNode>,
    /// Files of this machine.
    pub(crate) mounts: Vec<HostMount>,
    /// Groups that the step's user is in.
    pub(crate) additional_gids: Vec<u32>,
    net_devices: Vec<serde_json::Value>,
    hooks: Vec<serde_json::Value>,
    intel_rdt: Option<serde_json::Value>,
}

/// A node in `/dev`. Type and numbers are those of the node on this machine; which operations on it
/// are permitted is not limited further, since it is the machine's own node.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct DeviceNode {
    pub(crate) path: String,
    host_path: Option<PathBuf>,
    file_mode: Option<u32>,
    uid: Option<u32>,
    gid: Option<u32>,
}

impl DeviceNode {
    /// Returns the node on this machine.
    pub(crate) fn host_path(&self) -> PathBuf {
        let same = || PathBuf::from(&self.path);
        self.host_path.clone().unwrap_or_else(same)
    }
}

/// A file or directory of this machine.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct HostMount {
    pub(crate) host_path: PathBuf,
    pub(crate) container_path: String,
    options: Vec<String>,
    #[serde(rename = "type")]
    kind: String,
}

impl HostMount {
    /// Tells whether writes fail.
    pub(crate) fn is_read_only(&self) -> bool {
        self.options.iter().any(|option| option == "ro")
    }
}

impl Document {
    /// Reads a file; none if it is no description or too large.
    pub(super) fn read(path: &Path, max_bytes: u64) -> Option<Self> {
        let mut text = Vec::new();
        let file = File::open(path).ok()?;
        file.take(max_bytes + 1).read_to_end(&mut text).ok()?;
        if text.len() as u64 > max_bytes {
            return None;
        }
        serde_json::from_slice(&text).ok()
    }
}

impl Edits {
    /// Returns what kiln would have to leave out, if anything.
    pub(super) fn unsupported(&self) -> Option<&'static str> {
        let is_absolute = |path: &str| path.starts_with('/') && path.len() > 1;
        let node_owner = |node: &DeviceNode| {
            node.uid.is_some() || node.gid.is_some() || node.file_mode.is_some()
        };
        let checks = [
            (
                !self.hooks.is_empty(),
                "hooks (programs that run outside the step)",
            ),
            (!self.net_devices.is_empty(), "a network device"),
            (self.intel_rdt.is_some(), "Intel RDT"),
            (
                self.device_nodes.iter().any(node_owner),
                "a device node with another owner or mode than this machine's",
            ),
            (
                self.mounts
                    .iter()
                    .any(|mount| !matches!(mount.kind.as_str(), "" | "bind" | "none")),
                "a mount that is no bind mount",
            ),
            (
                !self.device_nodes.iter().all(|node| is_absolute(&node.path))
                    || !self
                        .mounts
                        .iter()
                        .all(|mount| is_absolute(&mount.container_path)),
                "a path that is not absolute",
            ),
        ];
        let found = checks.into_iter().find(|(asked, _)| *asked);
        found.map(|(_, what)| what)
    }
}
