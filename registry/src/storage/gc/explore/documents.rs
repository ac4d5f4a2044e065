// SPDX-License-Identifier: Apache-2.0
//! What participants push.

use oci::{Algorithm, Document, MediaType};

use crate::storage::manifest::digest_of;

/// Returns an image manifest with the given config and layer.
pub(super) fn image(config: &[u8], layer: &[u8], subject: Option<&Document>) -> Document {
    let descriptor = |media_type: &str, bytes: &[u8]| {
        let digest = digest_of(Algorithm::Sha256, bytes);
        serde_json::json!({ "mediaType": media_type, "digest": digest.to_string(), "size": bytes.len() })
    };
    let mut manifest = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("application/vnd.oci.image.config.v1+json", config),
        "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", layer)],
    });
    if let Some(subject) = subject {
        manifest["subject"] = descriptor(&subject.media_type().to_string(), subject.bytes());
    }
    Document::parse(
        manifest.to_string().into_bytes(),
        Some(&MediaType::OciManifest),
    )
    .unwrap()
}

/// Returns an index of one manifest.
pub(super) fn index(child: &Document) -> Document {
    let index = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [{
            "mediaType": child.media_type().to_string(),
            "digest": child.digest().to_string(),
            "size": child.bytes().len(),
        }],
    });
    Document::parse(index.to_string().into_bytes(), Some(&MediaType::OciIndex)).unwrap()
}
