// SPDX-License-Identifier: Apache-2.0
//! Devices of this machine that steps may have, as the Container Device Interface describes them.
//!
//! A description is a file in `/etc/cdi` or `/var/run/cdi`; of two devices with one name the later
//! directory's counts. Only JSON is read: YAML would take a parser of its own for files whose makers
//! all write JSON too. What a description asks for and kiln does not do (hooks, network devices)
//! is an error of the step that wants the device, never left out.
//!
//! Spec: CDI 1.1.0 `SPEC.md`. Docs: BuildKit's `solver/llbsolver/cdidevices` for the names that a
//! step may use.

mod document;

use std::path::{Path, PathBuf};

pub(crate) use document::Edits;
use document::{Device, Document};

/// Where descriptions lie, in the order in which they override each other.
/// Spec: CDI `SPEC.md`, "CDI JSON Specification".
const DIRECTORIES: [&str; 2] = ["/etc/cdi", "/var/run/cdi"];
/// The largest description that is read.
const FILE_MAX_BYTES: u64 = 1 << 20;
/// The most descriptions that are read.
const FILES_MAX: usize = 1000;
/// Annotation: another name of a device. Docs: BuildKit.
const CLASS: &str = "org.mobyproject.buildkit.device.class";
/// Annotation: steps may have the device without `--allow`. Docs: BuildKit.
const AUTO_ALLOW: &str = "org.mobyproject.buildkit.device.autoallow";

/// Why a step does not get a device.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// No description names it.
    #[error("device {name:?} is required and not described in {}{}", DIRECTORIES.join(" or "), unread_note(.unread))]
    Missing {
        /// As the step names it.
        name: String,
        /// Descriptions in YAML or damaged, which might.
        unread: Vec<PathBuf>,
    },
    /// The user has not allowed it.
    #[error("device {0} is not allowed")]
    NotAllowed(String),
    /// It takes something that kiln does not do.
    #[error("device {device} needs {what}, which is not supported")]
    Unsupported {
        /// The device.
        device: String,
        /// What.
        what: &'static str,
    },
}

fn unread_note(unread: &[PathBuf]) -> String {
    match unread.first() {
        None => String::new(),
        Some(path) => format!(" ({} is not read: kiln reads JSON)", path.display()),
    }
}

/// What the user allows steps to have of the devices of this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceConsent {
    /// Every device that is described.
    pub all: bool,
    /// These, by name: `vendor/class=device`, `vendor/class`, or a class.
    pub names: Vec<String>,
    /// Other names for devices, which are allowed by that: what steps say → what is meant.
    pub aliases: Vec<(String, String)>,
}

/// The devices of this machine.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    devices: Vec<Described>,
    unread: Vec<PathBuf>,
}

#[derive(Debug)]
struct Described {
    /// `vendor/class`.
    kind: String,
    device: Device,
    /// Edits for whoever gets any device of the file.
    shared: Edits,
    path: PathBuf,
    class: Option<String>,
    auto_allow: bool,
}

impl Described {
    fn name(&self) -> String {
        format!("{}={}", self.kind, self.device.name)
    }
}

impl Registry {
    /// Reads all descriptions of this machine. One that cannot be read counts as not there unless
    /// a step wants a device that it may describe, which then is missing.
    pub(crate) fn read() -> Self {
        Self::read_in(&DIRECTORIES.map(Path::new))
    }

    fn read_in(directories: &[&Path]) -> Self {
        let mut registry = Self::default();
        for directory in directories {
            let Ok(entries) = std::fs::read_dir(directory) else {
                continue;
            };
            let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
            paths.sort();
            for path in paths.into_iter().take(FILES_MAX) {
                let extension = path.extension().and_then(|extension| extension.to_str());
                match extension {
                    Some("json") => registry.add(path),
                    Some("yaml" | "yml") => registry.unread.push(path),
                    _ => {}
                }
            }
        }
        registry
    }

    fn add(&mut self, path: PathBuf) {
        let Some(document) = Document::read(&path, FILE_MAX_BYTES) else {
            self.unread.push(path);
            return;
        };
        for device in document.devices {
            let annotation = |name: &str| {
                let own = device.annotations.get(name);
                own.or_else(|| document.annotations.get(name)).cloned()
            };
            let described = Described {
                kind: document.kind.clone(),
                class: annotation(CLASS),
                auto_allow: annotation(AUTO_ALLOW).is_some_and(|text| text == "true"),
                shared: document.edits.clone(),
                path: path.clone(),
                device,
            };
            let name = described.name();
            self.devices.retain(|known| known.name() != name);
            self.devices.push(described);
        }
        self.devices.sort_by_key(Described::name);
    }

    /// Returns the devices that a name means: one, the first of a kind, all of a kind (`=*`), or
    /// those of a class.
    fn find(&self, name: &str) -> Vec<&Described> {
        let (kind, device) = name.split_once('=').unwrap_or((name, ""));
        let of_kind = self.devices.iter().filter(|one| one.kind == kind);
        let found: Vec<&Described> = match device {
            "" => of_kind.take(1).collect(),
            "*" => of_kind.collect(),
            _ => of_kind.filter(|one| one.device.name == device).collect(),
        };
        if !found.is_empty() {
            return found;
        }
        let in_class = |one: &&Described| one.class.as_deref() == Some(name);
        self.devices.iter().filter(in_class).collect()
    }

    /// Returns the edits for a step that wants `wanted`: names, and whether it runs without.
    pub(crate) fn edits(
        &self,
        wanted: &[(String, bool)],
        consent: &DeviceConsent,
    ) -> Result<Vec<Edits>, DeviceError> {
        let mut chosen: Vec<(&Described, bool)> = Vec::new();
        for (name, optional) in wanted {
            let alias = consent.aliases.iter().find(|(alias, _)| alias == name);
            let meant = alias.map_or(name, |(_, meant)| meant);
            let found = self.find(meant);
            if found.is_empty() && !optional {
                return Err(DeviceError::Missing {
                    name: name.clone(),
                    unread: self.unread.clone(),
                });
            }
            chosen.extend(found.into_iter().map(|one| (one, alias.is_some())));
        }
        let granted: Vec<String> = consent
            .names
            .iter()
            .flat_map(|name| self.find(name))
            .map(Described::name)
            .collect();
        let mut names: Vec<String> = Vec::new();
        let mut files: Vec<&Path> = Vec::new();
        let mut edits = Vec::new();
        for (one, by_alias) in chosen {
            let name = one.name();
            if names.contains(&name) {
                continue;
            }
            if !(consent.all || by_alias || one.auto_allow || granted.contains(&name)) {
                return Err(DeviceError::NotAllowed(name));
            }
            if !files.contains(&one.path.as_path()) {
                files.push(&one.path);
                edits.push(checked(&name, &one.shared)?);
            }
            edits.push(checked(&name, &one.device.edits)?);
            names.push(name);
        }
        Ok(edits)
    }
}

fn checked(device: &str, edits: &Edits) -> Result<Edits, DeviceError> {
    match edits.unsupported() {
        None => Ok(edits.clone()),
        Some(what) => Err(DeviceError::Unsupported {
            device: device.to_owned(),
            what,
        }),
    }
}

#[cfg(test)]
mod tests;
