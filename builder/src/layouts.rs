// SPDX-License-Identifier: Apache-2.0
//! Image layouts of the caller: images that a build takes from a directory instead of a registry.
//!
//! Everything read is verified against its digest: a layout may come from anywhere.
//!
//! Spec: image-spec `image-layout.md`. Docs: `docker buildx build --build-context`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use oci::layout::{BlobError, IndexError, Layout, OpenLayoutError};
use oci::{Descriptor, Digest, Document, Image, ImageError, MediaType, Platform, Reference};

/// The annotation that names an image in full. Docs: containerd `images/annotations.go`.
const ANNOTATION_IMAGE_NAME: &str = "io.containerd.image.name";

/// Why there is no image in a layout.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LayoutImageError {
    /// The directory is no layout.
    #[error("cannot open the image layout {}", path.display())]
    Open {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: OpenLayoutError,
    },
    /// Its index cannot be read.
    #[error("cannot read the index of the image layout {}", path.display())]
    Index {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: IndexError,
    },
    /// No image has the tag, and there is not exactly one.
    #[error("the image layout {} has no tag {tag:?} (it has: {})", path.display(), list(tags))]
    NoTag {
        /// The directory.
        path: PathBuf,
        /// What was wanted.
        tag: String,
        /// What there is.
        tags: Vec<String>,
    },
}

fn list(tags: &[String]) -> String {
    if tags.is_empty() {
        "none".to_owned()
    } else {
        tags.join(", ")
    }
}

/// Returns the digest of the image that has `tag` in the layout at `path`, or of the only image
/// there is.
///
/// # Errors
///
/// [`LayoutImageError`].
pub fn find_in_layout(path: &Path, tag: &str) -> Result<Digest, LayoutImageError> {
    let layout = Layout::open(path).map_err(|source| LayoutImageError::Open {
        path: path.to_owned(),
        source,
    })?;
    let entries = layout.entries().map_err(|source| LayoutImageError::Index {
        path: path.to_owned(),
        source,
    })?;
    let has_tag = |descriptor: &Descriptor, name: Option<&str>| {
        let full = descriptor.annotations.get(ANNOTATION_IMAGE_NAME);
        name == Some(tag) || full.is_some_and(|full| is_same(full, tag))
    };
    let found = entries
        .iter()
        .find(|entry| has_tag(&entry.descriptor, entry.name.as_deref()));
    match (found, entries.as_slice()) {
        (Some(entry), _) | (None, [entry]) => Ok(entry.descriptor.digest.clone()),
        _ => Err(LayoutImageError::NoTag {
            path: path.to_owned(),
            tag: tag.to_owned(),
            tags: entries.into_iter().filter_map(|entry| entry.name).collect(),
        }),
    }
}

fn is_same(full: &str, tag: &str) -> bool {
    match (full.parse::<Reference>(), tag.parse::<Reference>()) {
        (Ok(full), Ok(tag)) => full == tag,
        _ => false,
    }
}

/// The layouts of one build by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Layouts(BTreeMap<String, PathBuf>);

impl Layouts {
    pub(crate) fn new(paths: &BTreeMap<String, PathBuf>) -> Self {
        Self(paths.clone())
    }

    /// Opens a layout, if there is one of that name.
    pub(crate) fn open(&self, store: &str) -> Option<Result<Layout, OpenLayoutError>> {
        self.0.get(store).map(Layout::open)
    }
}

/// Reads the image at `digest`, a manifest or an index.
pub(crate) fn read_image(
    layout: &Layout,
    digest: &Digest,
    platform: &Platform,
) -> Result<Image, ImageError> {
    let size_bytes = layout.stat_blob(digest)?;
    let size_bytes = size_bytes.ok_or_else(|| BlobError::NotFound(digest.clone()))?;
    let unknown = Descriptor::new(MediaType::OciManifest, digest.clone(), size_bytes);
    let bytes = layout.read_blob(&unknown, Document::SIZE_MAX_BYTES)?;
    // The document says what it is; nothing else does for a bare digest.
    let document = Document::parse(bytes, None).map_err(|source| ImageError::Document {
        digest: digest.clone(),
        source,
    })?;
    Image::read(layout, &document.descriptor(), platform)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_found_by_tag_or_because_they_are_alone() {
        let directory = tempfile::tempdir().unwrap();
        let layout = Layout::create(directory.path()).unwrap();
        let add = |text: &str, key: &str, name: &str| {
            let descriptor = layout
                .put_bytes(MediaType::OciManifest, text.as_bytes())
                .unwrap();
            let mut descriptor = descriptor;
            descriptor.annotations.insert(key.into(), name.into());
            layout.add(&descriptor).unwrap();
            descriptor.digest
        };
        let one = add("1", oci::layout::ANNOTATION_REF_NAME, "v1");
        let find = |tag: &str| find_in_layout(directory.path(), tag);
        assert_eq!(find("v1").unwrap(), one);
        assert_eq!(find("latest").unwrap(), one, "the only one");
        let two = add("2", ANNOTATION_IMAGE_NAME, "docker.io/library/app:v2");
        assert_eq!(find("app:v2").unwrap(), two);
        assert_eq!(find("v1").unwrap(), one);
        let error = find("latest").unwrap_err().to_string();
        assert!(
            error.ends_with("has no tag \"latest\" (it has: v1)"),
            "{error}"
        );
        let nowhere = find_in_layout(&directory.path().join("nope"), "v1");
        assert!(matches!(nowhere, Err(LayoutImageError::Open { .. })));
    }
}
