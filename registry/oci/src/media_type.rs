// SPDX-License-Identifier: Apache-2.0
//! The media types that kiln understands, OCI's and Docker's, and room for all others.
//!
//! Spec: image-spec `media-types.md` (with its table of Docker equivalents).

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What some bytes are.
///
/// Artifacts may carry any type, so an unknown one is kept as it is and never an error.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MediaType {
    /// `application/vnd.oci.image.manifest.v1+json`
    OciManifest,
    /// `application/vnd.oci.image.index.v1+json`
    OciIndex,
    /// `application/vnd.oci.image.config.v1+json`
    OciConfig,
    /// `application/vnd.oci.image.layer.v1.tar`
    OciLayer,
    /// `application/vnd.oci.image.layer.v1.tar+gzip`
    OciLayerGzip,
    /// `application/vnd.oci.image.layer.v1.tar+zstd`
    OciLayerZstd,
    /// `application/vnd.oci.empty.v1+json`
    OciEmpty,
    /// `application/vnd.docker.distribution.manifest.v2+json`
    DockerManifest,
    /// `application/vnd.docker.distribution.manifest.list.v2+json`
    DockerManifestList,
    /// `application/vnd.docker.container.image.v1+json`
    DockerConfig,
    /// `application/vnd.docker.image.rootfs.diff.tar`
    DockerLayer,
    /// `application/vnd.docker.image.rootfs.diff.tar.gzip`
    DockerLayerGzip,
    /// `application/vnd.docker.image.rootfs.diff.tar.zstd`
    DockerLayerZstd,
    /// Any other.
    Other(Box<str>),
}

/// Every known type with its text; the one table behind parsing and printing.
const KNOWN: &[(MediaType, &str)] = &[
    (
        MediaType::OciManifest,
        "application/vnd.oci.image.manifest.v1+json",
    ),
    (
        MediaType::OciIndex,
        "application/vnd.oci.image.index.v1+json",
    ),
    (
        MediaType::OciConfig,
        "application/vnd.oci.image.config.v1+json",
    ),
    (
        MediaType::OciLayer,
        "application/vnd.oci.image.layer.v1.tar",
    ),
    (
        MediaType::OciLayerGzip,
        "application/vnd.oci.image.layer.v1.tar+gzip",
    ),
    (
        MediaType::OciLayerZstd,
        "application/vnd.oci.image.layer.v1.tar+zstd",
    ),
    (MediaType::OciEmpty, "application/vnd.oci.empty.v1+json"),
    (
        MediaType::DockerManifest,
        "application/vnd.docker.distribution.manifest.v2+json",
    ),
    (
        MediaType::DockerManifestList,
        "application/vnd.docker.distribution.manifest.list.v2+json",
    ),
    (
        MediaType::DockerConfig,
        "application/vnd.docker.container.image.v1+json",
    ),
    (
        MediaType::DockerLayer,
        "application/vnd.docker.image.rootfs.diff.tar",
    ),
    (
        MediaType::DockerLayerGzip,
        "application/vnd.docker.image.rootfs.diff.tar.gzip",
    ),
    (
        MediaType::DockerLayerZstd,
        "application/vnd.docker.image.rootfs.diff.tar.zstd",
    ),
];

impl MediaType {
    /// Returns the type written as `text`, without parameters.
    pub fn parse(text: &str) -> Self {
        KNOWN.iter().find(|(_, known)| *known == text).map_or_else(
            || Self::Other(text.into()),
            |(media_type, _)| media_type.clone(),
        )
    }

    /// Returns the textual form.
    pub fn as_str(&self) -> &str {
        if let Self::Other(text) = self {
            return text;
        }
        KNOWN
            .iter()
            .find(|(media_type, _)| media_type == self)
            .map_or("", |(_, text)| text)
    }

    /// Tells whether this is an image manifest, OCI's or Docker's.
    pub fn is_manifest(&self) -> bool {
        matches!(self, Self::OciManifest | Self::DockerManifest)
    }

    /// Tells whether this is an index or a manifest list.
    pub fn is_index(&self) -> bool {
        matches!(self, Self::OciIndex | Self::DockerManifestList)
    }

    /// Tells whether this is an image config.
    pub fn is_config(&self) -> bool {
        matches!(self, Self::OciConfig | Self::DockerConfig)
    }

    /// Tells whether this is a file system layer in any compression.
    pub fn is_layer(&self) -> bool {
        matches!(
            self,
            Self::OciLayer
                | Self::OciLayerGzip
                | Self::OciLayerZstd
                | Self::DockerLayer
                | Self::DockerLayerGzip
                | Self::DockerLayerZstd
        )
    }

    /// Tells whether this is a layer that is to be had elsewhere only and is never pushed.
    ///
    /// Spec: image-spec `layer.md` §Non-Distributable Layers; Docker's "foreign" layers.
    pub fn is_foreign_layer(&self) -> bool {
        let Self::Other(text) = self else {
            return false;
        };
        text.starts_with("application/vnd.oci.image.layer.nondistributable.v1.tar")
            || text.starts_with("application/vnd.docker.image.rootfs.foreign.diff.tar")
    }

    /// Returns Docker's name for an OCI type that has one, else the type itself.
    #[must_use]
    pub fn to_docker(&self) -> Self {
        match self {
            Self::OciManifest => Self::DockerManifest,
            Self::OciIndex => Self::DockerManifestList,
            Self::OciConfig => Self::DockerConfig,
            Self::OciLayer => Self::DockerLayer,
            Self::OciLayerGzip => Self::DockerLayerGzip,
            Self::OciLayerZstd => Self::DockerLayerZstd,
            other => other.clone(),
        }
    }

    /// Returns OCI's name for a Docker type that has one, else the type itself.
    #[must_use]
    pub fn to_oci(&self) -> Self {
        match self {
            Self::DockerManifest => Self::OciManifest,
            Self::DockerManifestList => Self::OciIndex,
            Self::DockerConfig => Self::OciConfig,
            Self::DockerLayer => Self::OciLayer,
            Self::DockerLayerGzip => Self::OciLayerGzip,
            Self::DockerLayerZstd => Self::OciLayerZstd,
            other => other.clone(),
        }
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for MediaType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for MediaType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::parse(&String::deserialize(deserializer)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_type_agree_both_ways() {
        for (media_type, text) in KNOWN {
            assert_eq!(&MediaType::parse(text), media_type);
            assert_eq!(media_type.as_str(), *text);
            assert_eq!(media_type.to_docker().to_oci(), media_type.to_oci());
        }
        let other = MediaType::parse("application/x.y");
        assert_eq!(other.as_str(), "application/x.y");
    }
}
