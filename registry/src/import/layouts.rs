// SPDX-License-Identifier: Apache-2.0
//! One OCI image layout for each repository: what zot keeps, and what `skopeo copy … oci:` writes.
//!
//! ```text
//! <name>/oci-layout
//! <name>/index.json            manifests; a tag is an annotation
//! <name>/blobs/<alg>/<hex>     blobs and manifests; the same blob of two repositories is one file
//! ```
//!
//! Spec: image-spec `image-layout.md`. Observed: zot, whose own files begin with a dot or a `_`.

use std::collections::BTreeMap;
use std::io;

use oci::{Digest, Document, MediaType, Tag};

use super::report::ImportReport;
use super::source::Found;
use super::tree::Tree;
use crate::endpoint::Name;

/// The largest `index.json`: zot has one entry for each tag of a repository.
const INDEX_MAX_BYTES: usize = 256 << 20;
/// How deep repositories may lie.
const DEPTH_MAX: usize = Name::MAX_BYTES / 2 + 1;
/// The annotation that holds a tag. Spec: image-spec `annotations.md`.
const TAG: &str = "org.opencontainers.image.ref.name";

#[derive(serde::Deserialize)]
struct Index {
    #[serde(default)]
    manifests: Vec<Entry>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    #[serde(default)]
    media_type: Option<MediaType>,
    digest: Digest,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

/// Returns where the bytes of `digest` are.
pub(super) fn path(name: &Name, digest: &Digest) -> String {
    format!("{name}/blobs/{}/{}", digest.algorithm(), digest.hex())
}

pub(super) fn names(tree: &Tree, report: &mut ImportReport) -> io::Result<Vec<Name>> {
    let mut names = Vec::new();
    let mut waiting = vec![(String::new(), 0)];
    while let Some((path, depth)) = waiting.pop() {
        let children = tree.list(&path)?;
        let is_layout = children.iter().any(|(name, _)| name == "index.json");
        if is_layout {
            match path.parse() {
                Ok(name) => names.push(name),
                Err(error) => report.skip(&path, error),
            }
        }
        for (child, is_folder) in children {
            let is_own = child.starts_with(['.', '_']) || (is_layout && child == "blobs");
            if is_own || !is_folder || depth >= DEPTH_MAX {
                continue;
            }
            let child = if path.is_empty() {
                child
            } else {
                format!("{path}/{child}")
            };
            waiting.push((child, depth + 1));
        }
    }
    names.sort_by(|one: &Name, other| one.as_str().cmp(other.as_str()));
    Ok(names)
}

pub(super) fn repository(tree: &Tree, name: &Name, report: &mut ImportReport) -> io::Result<Found> {
    let bytes = tree.read(&format!("{name}/index.json"), INDEX_MAX_BYTES)?;
    let index: Index = serde_json::from_slice(&bytes)?;
    let mut manifests: BTreeMap<Digest, Option<MediaType>> = BTreeMap::new();
    let mut tags = Vec::new();
    let mut waiting = Vec::new();
    for entry in index.manifests {
        let text = entry.annotations.as_ref().and_then(|all| all.get(TAG));
        match text.map(|text| text.parse::<Tag>()) {
            Some(Ok(tag)) => tags.push((tag, entry.digest.clone())),
            Some(Err(error)) => report.skip(format!("{name}@{}", entry.digest), error),
            None => {}
        }
        waiting.push((entry.digest, entry.media_type));
    }
    while let Some((digest, media_type)) = waiting.pop() {
        if manifests.contains_key(&digest) {
            continue;
        }
        let bytes = tree.read(&path(name, &digest), Document::SIZE_MAX_BYTES);
        let document = bytes
            .ok()
            .map(|bytes| Document::parse(bytes, media_type.as_ref()));
        if let Some(Ok(Document::Index(index, _))) = document {
            let is_document = |one: &MediaType| one.is_manifest() || one.is_index();
            let children = index.manifests.into_iter();
            let children = children.filter(|child| is_document(&child.media_type));
            waiting.extend(children.map(|child| (child.digest, Some(child.media_type))));
        }
        manifests.insert(digest, media_type);
    }
    // An index may lack some of its manifests.
    manifests.retain(|digest, _| tree.has(&path(name, digest)));
    Ok(Found {
        name: name.clone(),
        blobs: blobs(tree, name, &manifests, report)?,
        manifests: manifests.into_iter().collect(),
        tags,
    })
}

fn blobs(
    tree: &Tree,
    name: &Name,
    manifests: &BTreeMap<Digest, Option<MediaType>>,
    report: &mut ImportReport,
) -> io::Result<Vec<Digest>> {
    let mut blobs = Vec::new();
    for (algorithm, _) in tree.list(&format!("{name}/blobs"))? {
        for (hex, _) in tree.list(&format!("{name}/blobs/{algorithm}"))? {
            match format!("{algorithm}:{hex}").parse::<Digest>() {
                Ok(digest) if !manifests.contains_key(&digest) => blobs.push(digest),
                Ok(_) => {}
                Err(error) => report.skip(format!("{name}/blobs/{algorithm}/{hex}"), error),
            }
        }
    }
    Ok(blobs)
}
