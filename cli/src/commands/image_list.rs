// SPDX-License-Identifier: Apache-2.0
//! The images of the local store, as the commands that show them see them.

use std::time::SystemTime;

use oci::layout::{ANNOTATION_INDEX_DIGEST, ImageEntry, Layout};
use oci::{Digest, Document, Image, ImageError, Platform, Reference, read_document};

use crate::report::{self, Failure};

/// One entry of the store with its documents.
#[derive(Clone, Debug)]
pub(crate) struct ListedImage {
    /// The entry.
    pub(crate) entry: ImageEntry,
    /// The image; of an index, the one for this machine if there is one.
    pub(crate) image: Image,
}

impl ListedImage {
    /// Returns the name as a reference, unless the image is dangling.
    pub(crate) fn reference(&self) -> Option<Reference> {
        self.entry.reference()
    }

    /// Returns the digest under which a registry knows the image.
    pub(crate) fn registry_digest(&self) -> Digest {
        let annotations = &self.entry.descriptor.annotations;
        let index = annotations
            .get(ANNOTATION_INDEX_DIGEST)
            .and_then(|text| text.parse().ok());
        index.unwrap_or_else(|| self.entry.descriptor.digest.clone())
    }

    /// Returns the name with that digest instead of the tag.
    pub(crate) fn repo_digest(&self) -> Option<String> {
        let repository = self.reference()?.repository().clone();
        Some(Reference::with_digest(repository, self.registry_digest()).familiar())
    }

    /// Returns when the image was made, if it says so.
    pub(crate) fn created(&self) -> Option<SystemTime> {
        time(self.image.config().created.as_deref()?)
    }
}

/// Returns the time that RFC 3339 text names.
pub(crate) fn time(text: &str) -> Option<SystemTime> {
    text.parse::<jiff::Timestamp>().ok().map(SystemTime::from)
}

/// Returns name without tag, as shown.
pub(crate) fn repository_name(reference: &Reference) -> String {
    match reference.repository().familiar() {
        "" => reference.repository().to_string(),
        short => short.to_owned(),
    }
}

/// Returns all images, newest first, each as often as it has names. One that cannot be read is
/// named on standard error and left out.
pub(crate) fn all(layout: &Layout) -> Result<Vec<ListedImage>, Failure> {
    let mut images = Vec::new();
    for entry in layout.entries()? {
        match read(layout, &entry, &Platform::host()) {
            Ok(image) => images.push(ListedImage { entry, image }),
            Err(error) => {
                let name = entry
                    .name
                    .unwrap_or_else(|| entry.descriptor.digest.to_string());
                report::remark(&format!("warning: image {name} is left out: {error}\n"));
            }
        }
    }
    images.sort_by_key(|image| std::cmp::Reverse(image.created()));
    Ok(images)
}

/// Reads the image of an entry: of an index the one for `platform`, else the first that is here.
pub(crate) fn read(
    layout: &Layout,
    entry: &ImageEntry,
    platform: &Platform,
) -> Result<Image, ImageError> {
    let error = match Image::read(layout, &entry.descriptor, platform) {
        Err(error @ (ImageError::NoPlatform { .. } | ImageError::Blob(_))) => error,
        other => return other,
    };
    if let Ok(Document::Index(index, _)) = read_document(layout, &entry.descriptor) {
        let found = index.manifests.iter().find_map(|child| {
            let platform = child.platform.as_ref()?;
            Image::read(layout, child, platform).ok()
        });
        return found.ok_or(error);
    }
    Err(error)
}

/// Returns the ID as docker shows it: twelve characters, or all with the algorithm.
pub(crate) fn id(digest: &Digest, whole: bool) -> String {
    if whole {
        return digest.to_string();
    }
    digest.short().to_owned()
}
