// SPDX-License-Identifier: Apache-2.0
//! The image view: one manifest with its config, which sources give and sinks take.
//!
//! An [`Image`] holds the two documents byte for byte, so that copying it never changes a digest;
//! layers are descriptors and stay where they are.
//!
//! Spec: image-spec `manifest.md`, `config.md`.

use crate::layout::{BlobError, Layout};
use crate::validate::{Violation, validate};
use crate::{
    Descriptor, DiffId, Digest, Document, ImageConfig, Manifest, MediaType, ParseDocumentError,
    Platform, sha256,
};

/// Why content is not an image that can be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// A document is not in the layout, or damaged.
    #[error("cannot read a document of the image")]
    Blob(#[from] BlobError),
    /// A document does not parse.
    #[error("{digest} is not a valid document")]
    Document {
        /// The manifest, index or config.
        digest: Digest,
        /// What is wrong with it.
        source: ParseDocumentError,
    },
    /// Documents that do not fit each other, or an artifact that is no image.
    #[error("{digest} is not a usable image: {}", join(violations))]
    Invalid {
        /// The manifest.
        digest: Digest,
        /// Every fatal violation.
        violations: Vec<Violation>,
    },
    /// The index has nothing for the platform.
    #[error(
        "no image for platform {platform} in index {digest} (it has {})",
        list(offered)
    )]
    NoPlatform {
        /// The index.
        digest: Digest,
        /// What was wanted.
        platform: Box<Platform>,
        /// What there is.
        offered: Vec<Platform>,
    },
    /// An index where a manifest is needed.
    #[error("{0} is an index of an index, which is not supported here")]
    NestedIndex(Digest),
}

fn join(violations: &[Violation]) -> String {
    let texts: Vec<String> = violations.iter().map(ToString::to_string).collect();
    texts.join("; ")
}

fn list(platforms: &[Platform]) -> String {
    if platforms.is_empty() {
        return "none".into();
    }
    let texts: Vec<String> = platforms.iter().map(ToString::to_string).collect();
    texts.join(", ")
}

/// An image for one platform.
///
/// Invariant: no fatal [`Violation`]; as many layers as diff IDs.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    descriptor: Descriptor,
    manifest: Manifest,
    manifest_bytes: Vec<u8>,
    config: ImageConfig,
    config_bytes: Vec<u8>,
}

impl Image {
    /// Joins the two documents, given as bytes.
    ///
    /// # Errors
    ///
    /// [`ImageError::Document`], [`ImageError::Invalid`]; [`ImageError::NestedIndex`] if the first
    /// is an index; [`ImageError::Blob`] if the config is not the one that the manifest names.
    pub fn new(manifest_bytes: Vec<u8>, config_bytes: Vec<u8>) -> Result<Self, ImageError> {
        let digest = sha256(&manifest_bytes);
        let document = Document::parse(manifest_bytes, None)
            .map_err(|source| ImageError::Document { digest, source })?;
        Self::from_document(document, config_bytes)
    }

    /// As [`Image::new`], with the first document parsed already.
    ///
    /// # Errors
    ///
    /// As [`Image::new`].
    pub fn from_document(document: Document, config_bytes: Vec<u8>) -> Result<Self, ImageError> {
        let descriptor = document.descriptor();
        let Document::Manifest(manifest, manifest_bytes) = document else {
            return Err(ImageError::NestedIndex(descriptor.digest));
        };
        check_config_digest(&manifest.config, &config_bytes)?;
        let digest = manifest.config.digest.clone();
        let parsed = ImageConfig::parse(&config_bytes);
        let config = parsed.map_err(|source| ImageError::Document { digest, source })?;
        let mut violations = validate(&manifest, &config);
        violations.retain(Violation::is_fatal);
        if !violations.is_empty() {
            return Err(ImageError::Invalid {
                digest: descriptor.digest,
                violations,
            });
        }
        Ok(Self {
            descriptor,
            manifest: *manifest,
            manifest_bytes,
            config,
            config_bytes,
        })
    }

    /// Reads the image at `descriptor`, a manifest or an index; of an index, the manifest that
    /// runs best on `platform`. Layers are not read and need not be there.
    ///
    /// # Errors
    ///
    /// See [`ImageError`].
    pub fn read(
        layout: &Layout,
        descriptor: &Descriptor,
        platform: &Platform,
    ) -> Result<Self, ImageError> {
        let document = match read_document(layout, descriptor)? {
            Document::Index(index, _) => {
                let Some(child) = index.select(platform) else {
                    return Err(ImageError::NoPlatform {
                        digest: descriptor.digest.clone(),
                        platform: Box::new(platform.clone()),
                        offered: index.platforms(),
                    });
                };
                read_document(layout, child)?
            }
            manifest @ Document::Manifest(..) => manifest,
        };
        let Document::Manifest(manifest, _) = &document else {
            return Err(ImageError::NestedIndex(descriptor.digest.clone()));
        };
        if !manifest.config.media_type.is_config() {
            return Err(ImageError::Invalid {
                digest: descriptor.digest.clone(),
                violations: vec![Violation::ConfigType(manifest.config.media_type.clone())],
            });
        }
        let config_bytes = layout.read_blob(&manifest.config, ImageConfig::SIZE_MAX_BYTES)?;
        Self::from_document(document, config_bytes)
    }

    /// Stores both documents (not layers) and returns the descriptor of the manifest, with its
    /// platform. Durable once it is tagged.
    ///
    /// # Errors
    ///
    /// [`BlobError::Io`].
    pub fn write(&self, layout: &Layout) -> Result<Descriptor, BlobError> {
        layout.put_bytes(self.manifest.config.media_type.clone(), &self.config_bytes)?;
        layout.put_bytes(self.descriptor.media_type.clone(), &self.manifest_bytes)?;
        let mut descriptor = self.descriptor.clone();
        descriptor.platform = Some(self.config.platform());
        Ok(descriptor)
    }

    /// Returns the descriptor of the manifest.
    pub fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// Returns the digest of the config, which docker shows as the image ID.
    pub fn id(&self) -> &Digest {
        &self.manifest.config.digest
    }

    /// Returns the manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Returns the exact bytes of the manifest.
    pub fn manifest_bytes(&self) -> &[u8] {
        &self.manifest_bytes
    }

    /// Returns the config.
    pub fn config(&self) -> &ImageConfig {
        &self.config
    }

    /// Returns the exact bytes of the config.
    pub fn config_bytes(&self) -> &[u8] {
        &self.config_bytes
    }

    /// Returns descriptor and diff ID of every layer, base first.
    pub fn layers(&self) -> impl ExactSizeIterator<Item = (&Descriptor, &DiffId)> {
        let diff_ids = &self.config.rootfs.diff_ids;
        self.manifest.layers.iter().zip(diff_ids)
    }

    /// Returns the media type of the manifest.
    pub fn media_type(&self) -> &MediaType {
        &self.descriptor.media_type
    }

    /// Returns the bytes of manifest, config and layers as stored, compressed layers as they are.
    pub fn size_bytes(&self) -> u64 {
        let layers = self.manifest.layers.iter().map(|layer| layer.size_bytes);
        let documents = self.descriptor.size_bytes + self.manifest.config.size_bytes;
        layers.fold(documents, u64::saturating_add)
    }
}

fn check_config_digest(descriptor: &Descriptor, bytes: &[u8]) -> Result<(), ImageError> {
    let mut hasher = crate::Hasher::new(descriptor.digest.algorithm());
    hasher.update(bytes);
    let actual = hasher.finish();
    if actual == descriptor.digest {
        return Ok(());
    }
    Err(ImageError::Blob(BlobError::Mismatch {
        digest: descriptor.digest.clone(),
        source: crate::VerifyError::WrongDigest {
            expected: descriptor.digest.clone(),
            actual,
        },
    }))
}

/// Reads and parses a manifest or index of a layout.
///
/// # Errors
///
/// [`ImageError::Blob`], [`ImageError::Document`].
pub fn read_document(layout: &Layout, descriptor: &Descriptor) -> Result<Document, ImageError> {
    let bytes = layout.read_blob(descriptor, Document::SIZE_MAX_BYTES)?;
    Document::parse(bytes, Some(&descriptor.media_type)).map_err(|source| ImageError::Document {
        digest: descriptor.digest.clone(),
        source,
    })
}
