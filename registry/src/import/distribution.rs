// SPDX-License-Identifier: Apache-2.0
//! The file layout of distribution, versions 2 and 3.
//!
//! ```text
//! blobs/<alg>/<2 hex>/<hex>/data
//! repositories/<name>/_layers/<alg>/<hex>/link
//! repositories/<name>/_manifests/revisions/<alg>/<hex>/link
//! repositories/<name>/_manifests/tags/<tag>/current/link
//! ```
//!
//! A link holds a digest as text; one that was deleted is gone while its directory stays.
//!
//! Observed: registries of distribution 2.8 and its path mapper.

use std::io;

use oci::{Digest, Tag};

use super::report::ImportReport;
use super::source::Found;
use super::tree::Tree;
use crate::endpoint::Name;

/// The longest link: a digest of sha512.
const LINK_MAX_BYTES: usize = 256;
/// How deep repositories may lie.
const DEPTH_MAX: usize = Name::MAX_BYTES / 2 + 1;

/// Returns where the bytes of `digest` are.
pub(super) fn path(digest: &Digest) -> String {
    let (algorithm, hex) = (digest.algorithm(), digest.hex());
    format!("blobs/{algorithm}/{}/{hex}/data", &hex[..2])
}

pub(super) fn names(tree: &Tree, report: &mut ImportReport) -> io::Result<Vec<Name>> {
    let mut names = Vec::new();
    let mut waiting = vec![(String::new(), 0)];
    while let Some((path, depth)) = waiting.pop() {
        let children = tree.list(&format!("repositories/{path}"))?;
        if children
            .iter()
            .any(|(name, _)| name == "_manifests" || name == "_layers")
        {
            match path.parse() {
                Ok(name) => names.push(name),
                Err(error) => report.skip(&path, error),
            }
        }
        for (child, is_folder) in children {
            if child.starts_with('_') {
                continue;
            }
            let child = if path.is_empty() {
                child
            } else {
                format!("{path}/{child}")
            };
            if !is_folder || depth >= DEPTH_MAX {
                report.skip(child, "it is no directory of a repository");
                continue;
            }
            waiting.push((child, depth + 1));
        }
    }
    names.sort_by(|one: &Name, other| one.as_str().cmp(other.as_str()));
    Ok(names)
}

pub(super) fn repository(tree: &Tree, name: &Name, report: &mut ImportReport) -> io::Result<Found> {
    let root = format!("repositories/{name}");
    let manifests = linked(tree, name, &format!("{root}/_manifests/revisions"), report)?;
    let mut tags = Vec::new();
    for (text, _) in tree.list(&format!("{root}/_manifests/tags"))? {
        let what = format!("{name}:{text}");
        let Ok(tag) = text.parse::<Tag>() else {
            report.skip(what, "it is no tag");
            continue;
        };
        match link(tree, &format!("{root}/_manifests/tags/{text}/current/link")) {
            Ok(digest) => tags.push((tag, digest)),
            // A deleted tag can leave its history behind.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => report.skip(what, error),
        }
    }
    Ok(Found {
        name: name.clone(),
        blobs: linked(tree, name, &format!("{root}/_layers"), report)?,
        manifests: manifests.into_iter().map(|digest| (digest, None)).collect(),
        tags,
    })
}

/// Returns the digests that have a link below `folder`.
fn linked(
    tree: &Tree,
    name: &Name,
    folder: &str,
    report: &mut ImportReport,
) -> io::Result<Vec<Digest>> {
    let mut digests = Vec::new();
    for (algorithm, _) in tree.list(folder)? {
        for (hex, _) in tree.list(&format!("{folder}/{algorithm}"))? {
            let what = format!("{name}@{algorithm}:{hex}");
            match link(tree, &format!("{folder}/{algorithm}/{hex}/link")) {
                Ok(digest) if digest.to_string() == format!("{algorithm}:{hex}") => {
                    digests.push(digest);
                }
                Ok(digest) => report.skip(what, format!("its link says {digest}")),
                // What was deleted has a directory and no link.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => report.skip(what, error),
            }
        }
    }
    Ok(digests)
}

fn link(tree: &Tree, path: &str) -> io::Result<Digest> {
    let bytes = tree.read(path, LINK_MAX_BYTES)?;
    let text = String::from_utf8_lossy(&bytes);
    text.trim().parse().map_err(io::Error::other)
}
