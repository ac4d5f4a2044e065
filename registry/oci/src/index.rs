// SPDX-License-Identifier: Apache-2.0
//! The image index: one name, several platforms.
//!
//! Spec: image-spec `image-index.md`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::descriptor::null_is_empty;
use crate::{Descriptor, MediaType, Platform};

/// A list of manifests.
///
/// Spec: image-spec `image-index.md` §Image Index Property Descriptions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Always 2.
    pub schema_version: u32,
    /// The type of this document itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<MediaType>,
    /// The kind of artifact, when it is not a container image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The manifests, best match first for clients that take the first.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub manifests: Vec<Descriptor>,
    /// The manifest that this index refers to.
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

impl Index {
    /// Returns an OCI index over `manifests`.
    pub fn new(manifests: Vec<Descriptor>) -> Self {
        Self {
            schema_version: 2,
            media_type: Some(MediaType::OciIndex),
            artifact_type: None,
            manifests,
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
        serde_json::to_vec(self).expect("an index holds only strings and integers")
    }

    /// Returns the manifest that runs best on `wanted`, or none.
    ///
    /// Attestation entries (`unknown/unknown`) never match. Among several matches the closest
    /// variant wins ([`Platform::match_rank`]), then the order of the list.
    pub fn select(&self, wanted: &Platform) -> Option<&Descriptor> {
        self.manifests
            .iter()
            .filter_map(|descriptor| {
                let rank = wanted.match_rank(descriptor.platform.as_ref()?)?;
                Some((rank, descriptor))
            })
            .min_by_key(|(rank, _)| *rank)
            .map(|(_, descriptor)| descriptor)
    }

    /// Returns the platforms that the list offers, attestations left out.
    pub fn platforms(&self) -> Vec<Platform> {
        let named = self.manifests.iter().filter_map(|m| m.platform.clone());
        named.filter(|platform| platform.os != "unknown").collect()
    }
}
