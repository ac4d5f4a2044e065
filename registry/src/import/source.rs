// SPDX-License-Identifier: Apache-2.0
//! Where an import reads from: two layouts, one question.

use std::fs::File;
use std::io;
use std::path::Path;

use oci::{Digest, MediaType, Tag};

use super::report::ImportReport;
use super::tree::Tree;
use super::{distribution, layouts};
use crate::endpoint::Name;

/// A repository as the other registry has it.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) name: Name,
    /// What it may serve as a blob.
    pub(super) blobs: Vec<Digest>,
    /// Its manifests, with the media type if it is written beside them.
    pub(super) manifests: Vec<(Digest, Option<MediaType>)>,
    /// Its tags.
    pub(super) tags: Vec<(Tag, Digest)>,
}

/// The storage of another registry.
#[derive(Debug)]
pub(super) enum Source {
    /// Of distribution: `blobs/` and `repositories/`.
    Distribution(Tree),
    /// One OCI image layout for each repository, as zot has it.
    Layouts(Tree),
}

impl Source {
    /// Opens `path` and finds out whose it is.
    pub(super) fn open(path: &Path) -> io::Result<Option<Self>> {
        let tree = Tree::open(path)?;
        let is_distribution =
            |tree: &Tree| tree.has("repositories") && tree.has("blobs") && !tree.has("index.json");
        if tree.has("docker/registry/v2/repositories") {
            return Ok(Some(Self::Distribution(tree.below("docker/registry/v2")?)));
        }
        if is_distribution(&tree) {
            return Ok(Some(Self::Distribution(tree)));
        }
        let has_layout = !layouts::names(&tree, &mut ImportReport::default())?.is_empty();
        Ok(has_layout.then_some(Self::Layouts(tree)))
    }

    /// Returns the repositories, sorted.
    pub(super) fn names(&self, report: &mut ImportReport) -> io::Result<Vec<Name>> {
        match self {
            Self::Distribution(tree) => distribution::names(tree, report),
            Self::Layouts(tree) => layouts::names(tree, report),
        }
    }

    /// Reads what the repository has.
    pub(super) fn repository(&self, name: &Name, report: &mut ImportReport) -> io::Result<Found> {
        match self {
            Self::Distribution(tree) => distribution::repository(tree, name, report),
            Self::Layouts(tree) => layouts::repository(tree, name, report),
        }
    }

    /// Returns where the bytes of `digest` are.
    fn path(&self, name: &Name, digest: &Digest) -> String {
        match self {
            Self::Distribution(_) => distribution::path(digest),
            Self::Layouts(_) => layouts::path(name, digest),
        }
    }

    /// Opens the bytes of `digest`.
    pub(super) fn file(&self, name: &Name, digest: &Digest) -> io::Result<File> {
        self.tree().file(&self.path(name, digest))
    }

    /// Returns the bytes of `digest`, at most `limit`.
    pub(super) fn read(&self, name: &Name, digest: &Digest, limit: usize) -> io::Result<Vec<u8>> {
        self.tree().read(&self.path(name, digest), limit)
    }

    fn tree(&self) -> &Tree {
        match self {
            Self::Distribution(tree) | Self::Layouts(tree) => tree,
        }
    }
}
