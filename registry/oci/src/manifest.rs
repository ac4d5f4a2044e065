// SPDX-License-Identifier: Apache-2.0
//! The image manifest, and the document that a registry answers with: a manifest or an index.
//!
//! Received bytes are what a digest names, so they are kept beside the parsed form ([`Document`])
//! and never serialized again.
//!
//! Spec: image-spec `manifest.md`; Docker's schema 2 is the same shape under other media types.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::descriptor::null_is_empty;
use crate::{Descriptor, Digest, Index, MediaType, sha256};

/// Config and layers of one image for one platform.
///
/// Spec: image-spec `manifest.md` §Image Manifest Property Descriptions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always 2.
    pub schema_version: u32,
    /// The type of this document itself; optional in OCI, required by Docker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<MediaType>,
    /// The kind of artifact, when it is not a container image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The image config.
    pub config: Descriptor,
    /// The layers, base first.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub layers: Vec<Descriptor>,
    /// The manifest that this one refers to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Free key-value pairs, sorted by key.
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "null_is_empty"
    )]
    pub annotations: BTreeMap<String, String>,
}

impl Manifest {
    /// Returns an OCI image manifest over `config` and `layers` (base first).
    pub fn new(config: Descriptor, layers: Vec<Descriptor>) -> Self {
        Self {
            schema_version: 2,
            media_type: Some(MediaType::OciManifest),
            artifact_type: None,
            config,
            layers,
            subject: None,
            annotations: BTreeMap::new(),
        }
    }

    /// Returns the canonical bytes: compact JSON in field order.
    ///
    /// # Panics
    ///
    /// Never: every field serializes.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a manifest holds only strings and integers")
    }
}

/// Why bytes are not a manifest or an index.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ParseDocumentError {
    /// Larger than [`Document::SIZE_MAX_BYTES`].
    #[error("manifest is larger than {} bytes", Document::SIZE_MAX_BYTES)]
    TooLarge,
    /// Not JSON of the expected shape.
    #[error("manifest is not valid JSON of its type")]
    Json(#[from] serde_json::Error),
    /// Schema 1, or a type that is neither manifest nor index.
    #[error("manifest type {0} is not supported")]
    UnsupportedType(MediaType),
    /// `schemaVersion` is not 2.
    #[error("manifest schema version {0} is not supported (2 is)")]
    UnsupportedVersion(u32),
    /// One document that claims to be both: `layers` and `manifests`.
    #[error("manifest has both `layers` and `manifests`")]
    Ambiguous,
}

/// A manifest or an index, parsed, with the exact bytes it was parsed from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Document {
    /// One image for one platform.
    Manifest(Box<Manifest>, Vec<u8>),
    /// Manifests for several platforms.
    Index(Box<Index>, Vec<u8>),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Probe {
    #[serde(default)]
    schema_version: u32,
    media_type: Option<MediaType>,
    #[serde(default)]
    layers: Option<serde::de::IgnoredAny>,
    #[serde(default)]
    manifests: Option<serde::de::IgnoredAny>,
}

impl Document {
    /// The largest document that is read, in bytes. Spec: distribution-spec §Pushing Manifests
    /// asks for at least 4 MiB; peers stop there too.
    pub const SIZE_MAX_BYTES: usize = 8 << 20;

    /// Parses `bytes`; `content_type` is what the transport said, if anything.
    ///
    /// A `mediaType` inside the document wins over `content_type`; with neither, the shape decides.
    ///
    /// # Errors
    ///
    /// See [`ParseDocumentError`].
    pub fn parse(
        bytes: Vec<u8>,
        content_type: Option<&MediaType>,
    ) -> Result<Self, ParseDocumentError> {
        if bytes.len() > Self::SIZE_MAX_BYTES {
            return Err(ParseDocumentError::TooLarge);
        }
        let probe: Probe = serde_json::from_slice(&bytes)?;
        if probe.layers.is_some() && probe.manifests.is_some() {
            return Err(ParseDocumentError::Ambiguous);
        }
        if probe.schema_version != 2 {
            return Err(ParseDocumentError::UnsupportedVersion(probe.schema_version));
        }
        let by_shape = if probe.manifests.is_some() {
            MediaType::OciIndex
        } else {
            MediaType::OciManifest
        };
        let known = |media_type: &&MediaType| media_type.is_manifest() || media_type.is_index();
        let media_type = match &probe.media_type {
            Some(own) => own,
            None => content_type.filter(known).unwrap_or(&by_shape),
        };
        if media_type.is_manifest() {
            return Ok(Self::Manifest(serde_json::from_slice(&bytes)?, bytes));
        }
        if media_type.is_index() {
            return Ok(Self::Index(serde_json::from_slice(&bytes)?, bytes));
        }
        Err(ParseDocumentError::UnsupportedType(media_type.clone()))
    }

    /// Returns the exact bytes.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Manifest(_, bytes) | Self::Index(_, bytes) => bytes,
        }
    }

    /// Returns the sha256 digest of the exact bytes.
    pub fn digest(&self) -> Digest {
        sha256(self.bytes())
    }

    /// Returns the media type: the document's own, else OCI's for its shape.
    pub fn media_type(&self) -> MediaType {
        match self {
            Self::Manifest(manifest, _) => manifest
                .media_type
                .clone()
                .unwrap_or(MediaType::OciManifest),
            Self::Index(index, _) => index.media_type.clone().unwrap_or(MediaType::OciIndex),
        }
    }

    /// Returns a descriptor of the document (sha256).
    pub fn descriptor(&self) -> Descriptor {
        Descriptor::new(self.media_type(), self.digest(), self.bytes().len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Descriptor {
        Descriptor::new(MediaType::OciConfig, sha256(b"{}"), 2)
    }

    #[test]
    fn a_document_keeps_its_bytes() {
        let mut bytes = Manifest::new(config(), vec![]).to_bytes();
        bytes.push(b'\n');
        let document = Document::parse(bytes.clone(), None).unwrap();
        assert_eq!(document.bytes(), bytes);
        assert_eq!(document.digest(), sha256(&bytes));
    }

    #[test]
    fn what_is_not_a_document_is_refused() {
        for (rule, text) in [
            ("not JSON", "{"),
            ("schema 1", r#"{"schemaVersion":1,"name":"x"}"#),
            (
                "both shapes",
                r#"{"schemaVersion":2,"layers":[],"manifests":[]}"#,
            ),
            (
                "foreign type",
                r#"{"schemaVersion":2,"mediaType":"text/plain"}"#,
            ),
            ("no config", r#"{"schemaVersion":2,"layers":[]}"#),
        ] {
            assert!(Document::parse(text.into(), None).is_err(), "{rule}");
        }
    }
}
