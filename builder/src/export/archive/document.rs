// SPDX-License-Identifier: Apache-2.0
//! The small documents of an archive: names in `index.json`, and docker's `manifest.json`.

use std::str::FromStr;

use oci::{Descriptor, Index, Reference};
use serde::{Deserialize, Serialize};

/// The full name of an image. Docs: containerd `images` annotations, written by BuildKit.
pub(super) const ANNOTATION_IMAGE_NAME: &str = "io.containerd.image.name";
/// The tag of an image, or its name. Spec: image-spec `annotations.md`.
pub(super) const ANNOTATION_REF_NAME: &str = "org.opencontainers.image.ref.name";
/// Name and content of the file that marks a layout.
pub(super) const LAYOUT_FILE: (&str, &[u8]) = ("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#);
/// Name of the index of a layout.
pub(super) const INDEX_FILE: &str = "index.json";
/// Name of docker's list of images.
pub(super) const DOCKER_FILE: &str = "manifest.json";

/// One image of `manifest.json`.
///
/// Docs: moby `image/spec/v1.2.md`; the keys are as `docker save` writes them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DockerImage {
    /// Path of the config.
    pub(super) config: String,
    /// Names; `null` for an image without one.
    pub(super) repo_tags: Option<Vec<String>>,
    /// Paths of the layers, base first.
    pub(super) layers: Option<Vec<String>>,
}

/// Returns the index entries of one image: one per name, or one without a name.
pub(super) fn index_entries(root: &Descriptor, names: &[Reference]) -> Vec<Descriptor> {
    let mut bare = root.clone();
    // What our own store remembers about the entry is not for others.
    bare.annotations.clear();
    if names.is_empty() {
        return vec![bare];
    }
    let entry_of = |name: &Reference| {
        let mut entry = bare.clone();
        let short = name.tag().map_or_else(String::new, ToString::to_string);
        entry
            .annotations
            .insert(ANNOTATION_IMAGE_NAME.into(), name.to_string());
        if !short.is_empty() {
            entry.annotations.insert(ANNOTATION_REF_NAME.into(), short);
        }
        entry
    };
    names.iter().map(entry_of).collect()
}

/// Returns the name that an index entry carries, if it is a whole one.
///
/// `Observed:` skopeo 1.9 writes what the user typed after the path into the ref name, `app:1` or
/// only `1`; a bare tag names no repository.
pub(super) fn name_of(entry: &Descriptor) -> Option<Reference> {
    let parse = |text: &String| Reference::from_str(text).ok();
    if let Some(name) = entry.annotations.get(ANNOTATION_IMAGE_NAME).and_then(parse) {
        return Some(name);
    }
    let short = entry.annotations.get(ANNOTATION_REF_NAME)?;
    parse(short).filter(|_| short.contains([':', '/']))
}

/// Returns the text of `manifest.json`.
pub(super) fn docker_bytes(images: &[DockerImage]) -> Vec<u8> {
    serde_json::to_vec(images).expect("it holds only strings")
}

/// Returns the index document of an archive.
pub(super) fn index_bytes(entries: Vec<Descriptor>) -> Vec<u8> {
    Index::new(entries).to_bytes()
}
