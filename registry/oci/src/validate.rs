// SPDX-License-Identifier: Apache-2.0
//! What must hold between a manifest and its config; every violation, not the first.
//!
//! Spec: image-spec `manifest.md`, `config.md` §Properties.

use crate::{ImageConfig, Manifest, MediaType};

/// One broken rule of an image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// `schemaVersion` is not 2. Spec: `manifest.md`, property `schemaVersion`.
    #[error("schema version is {0}, not 2")]
    SchemaVersion(u32),
    /// The config is of no image: this is an artifact.
    #[error("config has media type {0}, which is not an image config")]
    ConfigType(MediaType),
    /// A layer that is not a file system layer.
    #[error("layer {position} has media type {media_type}, which is not a layer")]
    LayerType {
        /// Counted from the base, which is 0.
        position: usize,
        /// What it says it is.
        media_type: MediaType,
    },
    /// Spec: `config.md`, property `rootfs`: one diff ID for each layer.
    #[error("manifest has {layers} layers, config has {diff_ids} diff IDs")]
    LayerCount {
        /// In the manifest.
        layers: usize,
        /// In the config.
        diff_ids: usize,
    },
    /// Spec: `config.md`, property `rootfs.type`.
    #[error("config has a root file system of type `{0}`, not `layers`")]
    RootFsType(String),
    /// Spec: `config.md`, property `history`: an entry for each layer, and others marked empty.
    #[error("history has {entries} entries with a layer, manifest has {layers} layers")]
    HistoryCount {
        /// Entries that are not marked empty.
        entries: usize,
        /// In the manifest.
        layers: usize,
    },
    /// Spec: `config.md`, properties `os` and `architecture`, both required.
    #[error("config does not say its {0}")]
    PlatformMissing(&'static str),
}

impl Violation {
    /// Tells whether the image cannot be used at all. Others are flaws that other tools wrote into
    /// images that work: docker runs them.
    pub fn is_fatal(&self) -> bool {
        !matches!(self, Self::HistoryCount { .. } | Self::PlatformMissing(_))
    }
}

/// Returns every rule that `manifest` and `config` break together, in the order of the manifest.
pub fn validate(manifest: &Manifest, config: &ImageConfig) -> Vec<Violation> {
    let mut violations = Vec::new();
    if manifest.schema_version != 2 {
        violations.push(Violation::SchemaVersion(manifest.schema_version));
    }
    if !manifest.config.media_type.is_config() {
        violations.push(Violation::ConfigType(manifest.config.media_type.clone()));
    }
    for (position, layer) in manifest.layers.iter().enumerate() {
        let media_type = &layer.media_type;
        if !media_type.is_layer() && !media_type.is_foreign_layer() {
            violations.push(Violation::LayerType {
                position,
                media_type: media_type.clone(),
            });
        }
    }
    if config.rootfs.kind != "layers" {
        violations.push(Violation::RootFsType(config.rootfs.kind.clone()));
    }
    let (layers, diff_ids) = (manifest.layers.len(), config.rootfs.diff_ids.len());
    if layers != diff_ids {
        violations.push(Violation::LayerCount { layers, diff_ids });
    }
    let with_layer = config.history.iter().filter(|entry| !entry.empty_layer);
    let entries = with_layer.count();
    if !config.history.is_empty() && entries != layers {
        violations.push(Violation::HistoryCount { entries, layers });
    }
    for (name, value) in [
        ("operating system", &config.os),
        ("architecture", &config.architecture),
    ] {
        if value.is_empty() {
            violations.push(Violation::PlatformMissing(name));
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Descriptor, DiffId, sha256};

    #[test]
    fn every_violation_is_reported_not_the_first() {
        let descriptor =
            |media_type: &str| Descriptor::new(MediaType::parse(media_type), sha256(b""), 0);
        let manifest = Manifest::new(
            descriptor("application/x"),
            vec![descriptor("text/plain"), descriptor("text/plain")],
        );
        let mut config = ImageConfig::default();
        config.rootfs.kind = "tree".into();
        config.rootfs.diff_ids = vec![DiffId(sha256(b"x"))];
        config.history = vec![crate::History::default()];
        let violations = validate(&manifest, &config);
        assert_eq!(violations.len(), 8, "{violations:#?}");
        assert_eq!(violations.iter().filter(|v| v.is_fatal()).count(), 5);
    }

    #[test]
    fn a_regular_image_breaks_no_rule() {
        let config_descriptor = Descriptor::new(MediaType::OciConfig, sha256(b"c"), 1);
        let layer = Descriptor::new(MediaType::DockerLayerGzip, sha256(b"l"), 1);
        let config = ImageConfig {
            os: "linux".into(),
            architecture: "amd64".into(),
            rootfs: crate::RootFs {
                diff_ids: vec![DiffId(sha256(b"d"))],
                ..Default::default()
            },
            ..Default::default()
        };
        let manifest = Manifest::new(config_descriptor, vec![layer]);
        assert_eq!(validate(&manifest, &config), []);
    }
}
