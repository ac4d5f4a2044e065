// SPDX-License-Identifier: Apache-2.0
//! Reads the images of an archive into the store (`kiln load`).

use std::collections::BTreeMap;
use std::io::Read;

use oci::layout::{BlobError, IndexError, Layout};
use oci::{
    Descriptor, Digest, Document, Image, ImageConfig, ImageError, Index, Manifest, MediaType,
    Platform, Reference, read_document,
};

use super::contents::{Contents, ReadArchiveError, StoredFile};
use super::document::{DOCKER_FILE, DockerImage, INDEX_FILE, LAYOUT_FILE, name_of};
use super::reach::{Blobs, ReachError, reach};
use crate::layer::{LayerError, decompressed, recompress};

/// An image that was loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadedImage {
    /// Its manifest or index in the store.
    pub descriptor: Descriptor,
    /// The digest of its config; of an index, its own.
    pub id: Digest,
    /// The names it got, in the order of the archive.
    pub names: Vec<Reference>,
}

/// Why an archive was not loaded. No image of it has a name then, but those before the failure.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The file is damaged or no archive.
    #[error("cannot load the archive")]
    Read(#[from] ReadArchiveError),
    /// Neither `index.json` nor `manifest.json` is there.
    #[error("archive holds neither an OCI image layout nor a docker archive")]
    UnknownKind,
    /// A document of the archive is not what it should be.
    #[error("`{path}` in the archive is not valid")]
    Document {
        /// The document.
        path: &'static str,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// `manifest.json` names a file that is not there.
    #[error("archive has no `{0}`")]
    Missing(String),
    /// A name that is no reference.
    #[error("archive names an image `{name}`")]
    Name {
        /// The name.
        name: String,
        /// What is wrong with it.
        source: oci::ParseReferenceError,
    },
    /// The config of an image is not valid.
    #[error("config `{path}` in the archive is not valid")]
    Config {
        /// The config.
        path: String,
        /// What is wrong with it.
        source: oci::ParseDocumentError,
    },
    /// A config names another number of layers than `manifest.json`.
    #[error("config `{path}` in the archive has {diff_ids} layers, but {layers} are listed")]
    LayerCount {
        /// The config.
        path: String,
        /// Layers by the config.
        diff_ids: usize,
        /// Layers by `manifest.json`.
        layers: usize,
    },
    /// A layer cannot be stored, or is not the one that the config names.
    #[error("layer `{path}` of the archive cannot be used")]
    Layer {
        /// The layer.
        path: String,
        /// Why.
        source: LayerError,
    },
    /// An image of the layout is not complete.
    #[error("archive is not complete")]
    Incomplete(#[from] ReachError),
    /// Documents that don't make an image.
    #[error("archive holds an image that cannot be used")]
    Image(#[from] ImageError),
    /// The store refuses.
    #[error("cannot store the image")]
    Store(#[from] BlobError),
    /// The names cannot be written.
    #[error("cannot name the image")]
    Index(#[from] IndexError),
}

/// Reads all images of an archive into `layout` and names them; an image without a name in the
/// archive gets none. `platform` chooses among the manifests of an index of which only some are in
/// the archive. Returns at least one image.
///
/// # Errors
///
/// See [`LoadError`].
pub fn load(
    layout: &Layout,
    archive: impl Read + Send + 'static,
    platform: &Platform,
) -> Result<Vec<LoadedImage>, LoadError> {
    let archive = decompressed(archive).map_err(|source| ReadArchiveError::Read {
        entry: String::new(),
        source,
    })?;
    let contents = Contents::read(layout, archive)?;
    let docker = docker_images(&contents)?;
    let images = match index(&contents)? {
        Some(index) => from_layout(layout, &index, &docker, platform)?,
        None => docker
            .iter()
            .map(|image| from_docker(layout, &contents, image))
            .collect::<Result<Vec<_>, _>>()?,
    };
    if images.is_empty() {
        return Err(LoadError::UnknownKind);
    }
    for image in &images {
        if image.names.is_empty() {
            layout.add(&image.descriptor)?;
        }
        for name in &image.names {
            layout.tag(name, &image.descriptor)?;
        }
    }
    Ok(images)
}

fn docker_images(contents: &Contents) -> Result<Vec<DockerImage>, LoadError> {
    let Some(bytes) = contents.document(DOCKER_FILE) else {
        return Ok(Vec::new());
    };
    serde_json::from_slice(bytes).map_err(|source| LoadError::Document {
        path: DOCKER_FILE,
        source,
    })
}

/// Returns the index if the archive is a layout.
fn index(contents: &Contents) -> Result<Option<Index>, LoadError> {
    if contents.document(LAYOUT_FILE.0).is_none() {
        return Ok(None);
    }
    let parse = |bytes| {
        serde_json::from_slice(bytes).map_err(|source| LoadError::Document {
            path: INDEX_FILE,
            source,
        })
    };
    contents.document(INDEX_FILE).map(parse).transpose()
}

fn names(image: &DockerImage) -> Result<Vec<Reference>, LoadError> {
    let tags = image.repo_tags.iter().flatten();
    tags.map(|name| {
        name.parse().map_err(|source| LoadError::Name {
            name: name.clone(),
            source,
        })
    })
    .collect()
}

/// Takes the images of an image layout; entries of the same image are its names.
///
/// Where the index has no whole name for an image, the tags of `manifest.json` count.
fn from_layout(
    layout: &Layout,
    index: &Index,
    docker: &[DockerImage],
    platform: &Platform,
) -> Result<Vec<LoadedImage>, LoadError> {
    let mut by_digest: BTreeMap<Digest, usize> = BTreeMap::new();
    let mut images: Vec<LoadedImage> = Vec::new();
    for entry in &index.manifests {
        let name = name_of(entry);
        if let Some(&place) = by_digest.get(&entry.digest) {
            images[place].names.extend(name);
            continue;
        }
        by_digest.insert(entry.digest.clone(), images.len());
        let mut image = complete(layout, entry, platform)?;
        image.names.extend(name);
        images.push(image);
    }
    for image in images.iter_mut().filter(|image| image.names.is_empty()) {
        let config = format!("blobs/{}/{}", image.id.algorithm(), image.id.hex());
        if let Some(listed) = docker.iter().find(|listed| listed.config == config) {
            image.names = names(listed)?;
        }
    }
    Ok(images)
}

/// Checks that the image of an index entry is all there.
fn complete(
    layout: &Layout,
    entry: &Descriptor,
    platform: &Platform,
) -> Result<LoadedImage, LoadError> {
    let mut blobs = Blobs::new();
    let root = reach(layout, entry, platform, &mut blobs)?;
    for manifest in blobs.values().filter(|blob| blob.media_type.is_manifest()) {
        let Document::Manifest(parsed, _) = read_document(layout, manifest)? else {
            continue;
        };
        // Attestations and other artifacts travel along; only images must be images.
        if parsed.config.media_type.is_config() && parsed.artifact_type.is_none() {
            check_image(layout, manifest, &parsed)?;
        }
    }
    let id = match read_document(layout, &root)? {
        Document::Manifest(manifest, _) => manifest.config.digest,
        Document::Index(..) => root.digest.clone(),
    };
    let mut descriptor = root;
    descriptor.annotations.clear();
    Ok(LoadedImage {
        descriptor,
        id,
        names: Vec::new(),
    })
}

fn check_image(
    layout: &Layout,
    descriptor: &Descriptor,
    manifest: &Manifest,
) -> Result<(), LoadError> {
    let is_attestation = manifest
        .layers
        .iter()
        .any(|layer| !layer.media_type.is_layer());
    if is_attestation {
        return Ok(());
    }
    Image::read(layout, descriptor, &Platform::host())?;
    Ok(())
}

/// Makes an image of an entry of `manifest.json`: the archive has no manifest for it.
fn from_docker(
    layout: &Layout,
    contents: &Contents,
    image: &DockerImage,
) -> Result<LoadedImage, LoadError> {
    let missing = |path: &String| LoadError::Missing(path.escape_debug().collect());
    let file = contents
        .file(&image.config)
        .ok_or_else(|| missing(&image.config))?;
    let config_blob = descriptor(MediaType::OciConfig, file);
    let bytes = layout.read_blob(&config_blob, ImageConfig::SIZE_MAX_BYTES)?;
    let config = ImageConfig::parse(&bytes).map_err(|source| LoadError::Config {
        path: image.config.clone(),
        source,
    })?;
    let paths = image.layers.as_deref().unwrap_or_default();
    let diff_ids = &config.rootfs.diff_ids;
    if paths.len() != diff_ids.len() {
        return Err(LoadError::LayerCount {
            path: image.config.clone(),
            diff_ids: diff_ids.len(),
            layers: paths.len(),
        });
    }
    let mut layers = Vec::with_capacity(paths.len());
    for (path, diff_id) in paths.iter().zip(diff_ids) {
        let file = contents.file(path).ok_or_else(|| missing(path))?;
        let blob = descriptor(MediaType::OciLayer, file);
        let layer = recompress(layout, &blob, diff_id);
        layers.push(layer.map_err(|source| LoadError::Layer {
            path: path.clone(),
            source,
        })?);
    }
    let manifest = Manifest::new(config_blob, layers).to_bytes();
    let image_view = Image::new(manifest, bytes)?;
    Ok(LoadedImage {
        descriptor: image_view.write(layout)?,
        id: image_view.id().clone(),
        names: names(image)?,
    })
}

fn descriptor(media_type: MediaType, file: &StoredFile) -> Descriptor {
    Descriptor::new(media_type, file.digest.clone(), file.size_bytes)
}
