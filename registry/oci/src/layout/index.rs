// SPDX-License-Identifier: Apache-2.0
//! Names of a layout: tags, and images without one, in `index.json`.
//!
//! An entry's name is the annotation `org.opencontainers.image.ref.name` and holds the *full*
//! reference, `docker.io/library/ubuntu:latest`: one layout holds many repositories, and
//! `skopeo copy oci:DIR:docker.io/library/ubuntu:latest …` finds it, since everything after the
//! first colon is the name there. The specification's grammar for it allows such names, except for
//! hosts in brackets and paths with `__`, which skopeo therefore cannot address.
//!
//! An image that loses its last tag keeps an entry without a name ("dangling"), as in docker,
//! until it is removed.
//!
//! Spec: image-spec `image-layout.md` §index.json, `annotations.md` §Pre-Defined Annotation Keys.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;

use super::{INDEX_FILE, Layout, disk};
use crate::{
    BlobError, Descriptor, Digest, Document, ImageError, Index, ParseReferenceError, Reference,
    image,
};

/// Names an entry. Spec: image-spec `annotations.md`.
pub const ANNOTATION_REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The digest of the index from which the entry's one manifest was chosen, so that the image is
/// found under `NAME@INDEX-DIGEST` too. Ours.
pub const ANNOTATION_INDEX_DIGEST: &str = "kiln.index.digest";
/// The largest `index.json` that is read, in bytes: some hundred thousand images.
const INDEX_FILE_MAX_BYTES: u64 = 64 << 20;

/// One image of a layout under one of its names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageEntry {
    /// The name as it is written, none for a dangling image. Other tools write a bare tag here.
    pub name: Option<String>,
    /// The manifest or index.
    pub descriptor: Descriptor,
}

impl ImageEntry {
    /// Returns the name as a reference, if there is one and it is one.
    pub fn reference(&self) -> Option<Reference> {
        self.name.as_ref()?.parse().ok()
    }
}

/// Why the names of a layout cannot be read or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IndexError {
    /// `index.json` is not an index.
    #[error("{path} is not an image index")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The operating system refused.
    #[error("cannot {action} {path}")]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What was to be named is not complete in the layout.
    #[error("cannot name an image that is not in the store")]
    Blob(#[from] BlobError),
}

/// Why text does not lead to one image.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FindError {
    /// No name and no ID starts like this.
    #[error("no image `{0}` in the image store")]
    NotFound(String),
    /// Several IDs start like this.
    #[error("`{prefix}` is the start of {count} image IDs")]
    Ambiguous {
        /// What was looked for.
        prefix: String,
        /// How many images match.
        count: usize,
    },
    /// It is neither a reference nor the start of an ID.
    #[error("`{text}` is not an image name")]
    BadReference {
        /// What was looked for.
        text: String,
        /// What is wrong with it.
        source: ParseReferenceError,
    },
    /// The names cannot be read.
    #[error("cannot look up `{text}`")]
    Index {
        /// What was looked for.
        text: String,
        /// Why.
        source: IndexError,
    },
    /// An image that must be compared cannot be read.
    #[error("cannot look up `{text}` among image IDs")]
    Image {
        /// What was looked for.
        text: String,
        /// Why.
        source: Box<ImageError>,
    },
}

/// Returns the name under which `reference` is kept: with a digest the tag is dropped, as in docker.
fn name_of(reference: &Reference) -> String {
    match reference.digest() {
        Some(digest) => {
            Reference::with_digest(reference.repository().clone(), digest.clone()).to_string()
        }
        None => reference.to_string(),
    }
}

fn name(entry: &Descriptor) -> Option<&String> {
    entry.annotations.get(ANNOTATION_REF_NAME)
}

impl Layout {
    /// Gives the manifest or index `descriptor` the name `reference`, durably, after everything
    /// stored so far was made durable. Returns what had the name before; if that has no other
    /// name it stays as a dangling image.
    ///
    /// # Errors
    ///
    /// [`IndexError::Blob`] if the manifest itself is not in the layout.
    pub fn tag(
        &self,
        reference: &Reference,
        descriptor: &Descriptor,
    ) -> Result<Option<Descriptor>, IndexError> {
        self.put_entry(Some(name_of(reference)), descriptor)
    }

    /// Lists the manifest or index without a name, unless it has one. Durable like
    /// [`Layout::tag`].
    ///
    /// # Errors
    ///
    /// As [`Layout::tag`].
    pub fn add(&self, descriptor: &Descriptor) -> Result<(), IndexError> {
        self.put_entry(None, descriptor).map(|_| ())
    }

    fn put_entry(
        &self,
        wanted: Option<String>,
        descriptor: &Descriptor,
    ) -> Result<Option<Descriptor>, IndexError> {
        if !self.has_blob(&descriptor.digest, descriptor.size_bytes)? {
            return Err(BlobError::NotFound(descriptor.digest.clone()).into());
        }
        self.sync()?;
        self.update(|entries| {
            let Some(wanted) = wanted else {
                if !entries.iter().any(|e| e.digest == descriptor.digest) {
                    entries.push(descriptor.clone());
                }
                return None;
            };
            let mut entry = descriptor.clone();
            let annotation = (ANNOTATION_REF_NAME.to_owned(), wanted.clone());
            entry.annotations.extend([annotation]);
            // The new name makes a nameless entry of the same image superfluous.
            entries.retain(|e| e.digest != entry.digest || name(e).is_some());
            let place = entries.iter().position(|e| name(e) == Some(&wanted));
            let Some(place) = place else {
                entries.push(entry);
                return None;
            };
            let previous = std::mem::replace(&mut entries[place], entry);
            leave_dangling(entries, &previous);
            Some(previous)
        })
    }

    /// Takes the name `reference` away and returns what had it. An image without another name
    /// stays as a dangling one; see [`Layout::remove`].
    ///
    /// # Errors
    ///
    /// See [`IndexError`].
    pub fn untag(&self, reference: &Reference) -> Result<Option<Descriptor>, IndexError> {
        let wanted = name_of(reference);
        self.update(|entries| {
            let place = entries.iter().position(|e| name(e) == Some(&wanted))?;
            let previous = entries.remove(place);
            leave_dangling(entries, &previous);
            Some(previous)
        })
    }

    /// Removes an image under all its names; returns how many entries went. Its blobs stay until
    /// [`Layout::collect`].
    ///
    /// # Errors
    ///
    /// See [`IndexError`].
    pub fn remove(&self, digest: &Digest) -> Result<usize, IndexError> {
        self.update(|entries| {
            let before = entries.len();
            entries.retain(|entry| entry.digest != *digest);
            before - entries.len()
        })
    }

    /// Returns what `reference` names here, or none.
    ///
    /// A reference with a digest also finds an image that has that digest, or was chosen from an
    /// index of that digest, under another tag of the same repository.
    ///
    /// # Errors
    ///
    /// See [`IndexError`].
    pub fn resolve(&self, reference: &Reference) -> Result<Option<Descriptor>, IndexError> {
        let wanted = name_of(reference);
        let entries = self.read_index()?.manifests;
        if let Some(entry) = entries.iter().find(|e| name(e) == Some(&wanted)) {
            return Ok(Some(entry.clone()));
        }
        let Some(digest) = reference.digest() else {
            return Ok(None);
        };
        let text = digest.to_string();
        let has_digest = |entry: &&Descriptor| {
            entry.digest == *digest || entry.annotations.get(ANNOTATION_INDEX_DIGEST) == Some(&text)
        };
        let same_repository = |entry: &&Descriptor| {
            let named = name(entry).and_then(|name| name.parse::<Reference>().ok());
            named.is_some_and(|named| named.repository() == reference.repository())
        };
        let found = entries.iter().filter(has_digest).find(same_repository);
        Ok(found.cloned())
    }

    /// Returns every entry in the order of the index: oldest name first.
    ///
    /// # Errors
    ///
    /// See [`IndexError`].
    pub fn entries(&self) -> Result<Vec<ImageEntry>, IndexError> {
        let to_entry = |descriptor: Descriptor| ImageEntry {
            name: name(&descriptor).cloned(),
            descriptor,
        };
        let manifests = self.read_index()?.manifests;
        Ok(manifests.into_iter().map(to_entry).collect())
    }

    /// Returns the image that a person means by `text`: a full ID, a name, or the start of an ID,
    /// in this order as in docker. An ID is the digest of the index, manifest or config.
    ///
    /// # Errors
    ///
    /// See [`FindError`].
    pub fn find(&self, text: &str) -> Result<ImageEntry, FindError> {
        let index_error = |source| FindError::Index {
            text: text.to_owned(),
            source,
        };
        let bare = text.strip_prefix("sha256:").unwrap_or(text);
        let is_full_id = bare.len() == 64;
        let parsed = text.parse::<Reference>();
        if !is_full_id
            && let Ok(reference) = &parsed
            && let Some(descriptor) = self.resolve(reference).map_err(index_error)?
        {
            let name = Some(name_of(reference));
            return Ok(ImageEntry { name, descriptor });
        }
        let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if bare.is_empty() || !bare.bytes().all(is_hex) {
            return Err(match parsed {
                Ok(_) => FindError::NotFound(text.to_owned()),
                Err(source) => FindError::BadReference {
                    text: text.to_owned(),
                    source,
                },
            });
        }
        self.find_by_id(text, bare)
    }

    fn find_by_id(&self, text: &str, prefix: &str) -> Result<ImageEntry, FindError> {
        let entries = self.entries().map_err(|source| FindError::Index {
            text: text.to_owned(),
            source,
        })?;
        let mut found: Option<ImageEntry> = None;
        let mut digests = BTreeSet::new();
        for entry in entries {
            let ids = self.ids_of(&entry.descriptor);
            let ids = ids.map_err(|source| FindError::Image {
                text: text.to_owned(),
                source: Box::new(source),
            })?;
            if ids.iter().any(|id| id.hex().starts_with(prefix)) {
                digests.insert(entry.descriptor.digest.clone());
                found.get_or_insert(entry);
            }
        }
        match (found, digests.len()) {
            (Some(entry), 1) => Ok(entry),
            (Some(_), count) => Err(FindError::Ambiguous {
                prefix: text.to_owned(),
                count,
            }),
            (None, _) => Err(FindError::NotFound(text.to_owned())),
        }
    }

    /// Returns the digests that identify an image: its own, its config's, and for an index those
    /// of each manifest that is here.
    fn ids_of(&self, descriptor: &Descriptor) -> Result<Vec<Digest>, ImageError> {
        let mut ids = vec![descriptor.digest.clone()];
        match image::read_document(self, descriptor)? {
            Document::Manifest(manifest, _) => ids.push(manifest.config.digest),
            Document::Index(index, _) => {
                for child in index.manifests {
                    let present = self.stat_blob(&child.digest)? == Some(child.size_bytes);
                    if !present || !child.media_type.is_manifest() {
                        continue;
                    }
                    if let Document::Manifest(manifest, _) = image::read_document(self, &child)? {
                        ids.extend([child.digest, manifest.config.digest]);
                    }
                }
            }
        }
        Ok(ids)
    }

    /// Reads `index.json`. Never locked: the file is only ever replaced whole.
    pub(super) fn read_index(&self) -> Result<Index, IndexError> {
        let path = self.root().join(INDEX_FILE);
        let bytes = match disk::read_small(&path, INDEX_FILE_MAX_BYTES) {
            Ok(bytes) => bytes,
            Err(source) => {
                let action = "read";
                return Err(IndexError::Io {
                    action,
                    path,
                    source,
                });
            }
        };
        serde_json::from_slice(&bytes).map_err(|source| IndexError::Malformed { path, source })
    }

    /// Replaces the entries by what `change` makes of them, alone among all processes.
    fn update<T>(&self, change: impl FnOnce(&mut Vec<Descriptor>) -> T) -> Result<T, IndexError> {
        let path = self.root().join(INDEX_FILE);
        let io = |action| {
            let path = path.clone();
            move |source| IndexError::Io {
                action,
                path,
                source,
            }
        };
        let _lock = self.disk.lock_index().map_err(io("lock"))?;
        let mut index = self.read_index()?;
        let before = index.manifests.clone();
        let result = change(&mut index.manifests);
        if index.manifests != before {
            let bytes = index.to_bytes();
            self.disk
                .replace_file(&path, &bytes)
                .map_err(io("replace"))?;
        }
        Ok(result)
    }
}

/// Lists an image that just lost a name without one, unless it has another.
fn leave_dangling(entries: &mut Vec<Descriptor>, previous: &Descriptor) {
    if !entries.iter().any(|entry| entry.digest == previous.digest) {
        let mut dangling = previous.clone();
        dangling.annotations.remove(ANNOTATION_REF_NAME);
        entries.push(dangling);
    }
}
