// SPDX-License-Identifier: Apache-2.0
//! The images that cases build on: an image layout that no builder had a hand in.
//!
//! `busybox` is there always; a case describes others in `-- @base NAME --` sections, which hold
//! the image's config. Names are those of all cases together. A name with several sections is an
//! index of several platforms.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use oci::sha256;
use serde_json::{Value, json};

use super::case::Case;
use crate::busybox_rootfs;

const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";
const LAYER_TYPE: &str = "application/vnd.oci.image.layer.v1.tar";

/// The config of the image that every case may use.
const BUSYBOX: &str =
    r#"{"config": {"Cmd": ["sh"], "Env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"]}}"#;

/// The base images of all cases, as one image layout.
#[derive(Debug)]
pub struct BaseImages {
    directory: PathBuf,
    digests: BTreeMap<String, String>,
    layer: String,
}

impl BaseImages {
    /// Makes the base images of `cases` below the new directory `directory`.
    pub fn make(cases: &[Case], directory: &Path) -> Self {
        let blobs = directory.join("blobs/sha256");
        fs::create_dir_all(&blobs).expect("the directory is new");
        let mut writer = Writer { blobs };
        let rootfs = rootfs();
        let layer = writer.blob(LAYER_TYPE, &rootfs);
        let mut documents: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        let described = cases
            .iter()
            .flat_map(|case| &case.files)
            .filter_map(|section| Some((section.name.strip_prefix("@base ")?, section)));
        documents.insert(
            "busybox".to_owned(),
            vec![writer.image(BUSYBOX, Some(&layer), true)],
        );
        for (name, section) in described {
            let layer = section.attribute("empty").is_none().then_some(&layer);
            let image = writer.image(
                &section.text,
                layer,
                section.attribute("nohistory").is_none(),
            );
            documents.entry(name.to_owned()).or_default().push(image);
        }
        let (index, digests) = writer.named(documents);
        fs::write(directory.join("index.json"), index.to_string()).expect("there is room");
        let layout = r#"{"imageLayoutVersion":"1.0.0"}"#;
        fs::write(directory.join("oci-layout"), layout).expect("there is room");
        Self {
            directory: directory.to_owned(),
            digests,
            layer: sha256(&rootfs).to_string(),
        }
    }

    /// Returns the image layout.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Returns the layout as an archive, for `kiln load`.
    pub fn archive(&self) -> Vec<u8> {
        let mut archive = tar::Builder::new(Vec::new());
        archive
            .append_dir_all("", &self.directory)
            .expect("the layout was just written");
        archive.into_inner().expect("memory does not fail")
    }

    /// Returns each image's name and digest, by name.
    pub fn digests(&self) -> &BTreeMap<String, String> {
        &self.digests
    }

    /// Says whether a diff ID is the layer of the base images.
    pub(super) fn is_base_layer(&self, diff_id: &str) -> bool {
        self.layer == diff_id
    }
}

/// Returns busybox with the directories that a step mounts on: every real base image has them.
fn rootfs() -> Vec<u8> {
    /// Two empty blocks end an archive.
    const END_BYTES: usize = 1024;
    let mut rootfs = busybox_rootfs().expect("Debian's busybox-static is installed");
    rootfs.truncate(rootfs.len() - END_BYTES);
    let mut archive = tar::Builder::new(rootfs);
    for name in ["dev/", "proc/", "sys/"] {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Directory);
        header.set_mode(0o755);
        header.set_size(0);
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        let added = archive.append_data(&mut header, name, std::io::empty());
        added.expect("an archive in memory takes everything");
    }
    archive.into_inner().expect("memory does not fail")
}

struct Writer {
    blobs: PathBuf,
}

impl Writer {
    fn blob(&mut self, media_type: &str, bytes: &[u8]) -> Value {
        let digest = sha256(bytes);
        fs::write(self.blobs.join(digest.hex()), bytes).expect("there is room");
        json!({"mediaType": media_type, "digest": digest.to_string(), "size": bytes.len()})
    }

    /// Writes the image with this config, and returns a descriptor with its platform.
    fn image(&mut self, config: &str, layer: Option<&Value>, has_history: bool) -> Value {
        let mut config: Value = serde_json::from_str(config).expect("a base is described in JSON");
        let default = json!({"architecture": "amd64", "os": "linux"});
        for (key, value) in default.as_object().into_iter().flatten() {
            if config.get(key).is_none() {
                config[key.as_str()] = value.clone();
            }
        }
        let layers: Vec<&Value> = layer.into_iter().collect();
        let diff_ids: Vec<&Value> = layers.iter().map(|layer| &layer["digest"]).collect();
        config["rootfs"] = json!({"type": "layers", "diff_ids": diff_ids});
        if has_history && !layers.is_empty() {
            config["created"] = json!("1970-01-01T00:00:00Z");
            config["history"] = json!([{"created": "1970-01-01T00:00:00Z", "created_by": "base"}]);
        }
        let config_descriptor = self.blob(CONFIG_TYPE, config.to_string().as_bytes());
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": config_descriptor,
            "layers": layers,
        });
        let mut descriptor = self.blob(MANIFEST_TYPE, manifest.to_string().as_bytes());
        let mut platform = json!({"architecture": config["architecture"], "os": config["os"]});
        if let Some(variant) = config.get("variant") {
            platform["variant"] = variant.clone();
        }
        descriptor["platform"] = platform;
        descriptor
    }

    /// Returns the index of all images with their names, and each name's digest.
    fn named(
        &mut self,
        documents: BTreeMap<String, Vec<Value>>,
    ) -> (Value, BTreeMap<String, String>) {
        let mut manifests = Vec::new();
        let mut digests = BTreeMap::new();
        for (name, mut images) in documents {
            let mut descriptor = if images.len() == 1 {
                images.remove(0)
            } else {
                let index = json!({
                    "schemaVersion": 2,
                    "mediaType": INDEX_TYPE,
                    "manifests": images,
                });
                self.blob(INDEX_TYPE, index.to_string().as_bytes())
            };
            let digest = descriptor["digest"]
                .as_str()
                .expect("a descriptor has a digest");
            digests.insert(name.clone(), digest.to_owned());
            descriptor["annotations"] = json!({
                "io.containerd.image.name": format!("docker.io/library/{name}:latest"),
                "org.opencontainers.image.ref.name": "latest",
            });
            manifests.push(descriptor);
        }
        (json!({"schemaVersion": 2, "manifests": manifests}), digests)
    }
}
