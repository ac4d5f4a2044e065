// SPDX-License-Identifier: Apache-2.0
//! Where an import reads from: two layouts of directories and one of a bucket, one question.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::vec;

use oci::{Digest, MediaType, Tag};

use super::bucket::{Bucket, Walk};
use super::report::ImportReport;
use super::tree::Tree;
use super::{ImportRegistryError, Objects, distribution, layouts};
use crate::endpoint::Name;
use crate::storage::{StorageError, Stream};

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

/// The bytes of a blob, opened.
pub(super) enum Opened {
    /// In a file, which may get a second name.
    File(File),
    /// From elsewhere.
    Stream(Stream),
}

/// The storage of another registry.
#[derive(Debug)]
pub(super) enum Source {
    /// Of distribution: `blobs/` and `repositories/`.
    Distribution(PathBuf, Tree),
    /// One OCI image layout for each repository, as zot has it.
    Layouts(PathBuf, Tree),
    /// Of distribution, in a bucket.
    Bucket(Bucket),
}

/// How far an import has come.
#[derive(Debug)]
pub(super) enum Progress {
    Names(vec::IntoIter<Name>),
    Walk(Walk),
}

impl Source {
    /// Opens `path` and finds out whose it is.
    pub(super) fn open(path: &Path) -> Result<Self, ImportRegistryError> {
        let failed = |error| ImportRegistryError::Source(path.to_owned(), error);
        let found = Self::find(path).map_err(failed)?;
        found.ok_or_else(|| ImportRegistryError::Unknown(path.to_owned()))
    }

    fn find(path: &Path) -> io::Result<Option<Self>> {
        let tree = Tree::open(path)?;
        let path = path.to_owned();
        let is_distribution =
            |tree: &Tree| tree.has("repositories") && tree.has("blobs") && !tree.has("index.json");
        if tree.has("docker/registry/v2/repositories") {
            let tree = tree.below("docker/registry/v2")?;
            return Ok(Some(Self::Distribution(path, tree)));
        }
        if is_distribution(&tree) {
            return Ok(Some(Self::Distribution(path, tree)));
        }
        let has_layout = !layouts::names(&tree, &mut ImportReport::default())?.is_empty();
        Ok(has_layout.then_some(Self::Layouts(path, tree)))
    }

    /// Opens the storage in a bucket.
    pub(super) async fn open_bucket(
        objects: Box<dyn Objects>,
    ) -> Result<Self, ImportRegistryError> {
        let shown = objects.shown();
        match Bucket::open(objects).await {
            Ok(Some(bucket)) => Ok(Self::Bucket(bucket)),
            Ok(None) => Err(ImportRegistryError::UnknownBucket(shown)),
            Err(error) => Err(ImportRegistryError::Bucket(shown, error)),
        }
    }

    /// Begins to go through the repositories.
    pub(super) fn begin(&self, report: &mut ImportReport) -> Result<Progress, ImportRegistryError> {
        let (path, names) = match self {
            Self::Distribution(path, tree) => (path, distribution::names(tree, report)),
            Self::Layouts(path, tree) => (path, layouts::names(tree, report)),
            Self::Bucket(_) => return Ok(Progress::Walk(Walk::default())),
        };
        let names = names.map_err(|error| ImportRegistryError::Source(path.clone(), error))?;
        Ok(Progress::Names(names.into_iter()))
    }

    /// Returns the next repository; none at the end.
    pub(super) async fn next(
        &self,
        progress: &mut Progress,
        report: &mut ImportReport,
    ) -> Result<Option<Found>, ImportRegistryError> {
        match (self, progress) {
            (Self::Bucket(bucket), Progress::Walk(walk)) => {
                let found = bucket.next(walk, report).await;
                found.map_err(|error| self.failed(error))
            }
            (_, Progress::Names(names)) => {
                for name in names {
                    match self.repository(&name, report) {
                        Ok(found) => return Ok(Some(found)),
                        Err(error) => report.skip(&name, error),
                    }
                }
                Ok(None)
            }
            (_, Progress::Walk(_)) => Ok(None),
        }
    }

    /// Reads what a repository in a directory has.
    fn repository(&self, name: &Name, report: &mut ImportReport) -> io::Result<Found> {
        match self {
            Self::Distribution(_, tree) => distribution::repository(tree, name, report),
            Self::Layouts(_, tree) => layouts::repository(tree, name, report),
            Self::Bucket(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Opens the bytes of `digest` and says how many they are; the reason why not, else.
    pub(super) async fn open_blob(
        &self,
        name: &Name,
        digest: &Digest,
    ) -> Result<Result<(u64, Opened), String>, ImportRegistryError> {
        let (tree, path) = match self {
            Self::Distribution(_, tree) => (tree, distribution::path(digest)),
            Self::Layouts(_, tree) => (tree, layouts::path(name, digest)),
            Self::Bucket(bucket) => {
                return match bucket.open_blob(digest).await {
                    Ok((size_bytes, stream)) => Ok(Ok((size_bytes, Opened::Stream(stream)))),
                    Err(error @ StorageError::Missing(_)) => Ok(Err(error.to_string())),
                    Err(error) => Err(self.failed(error)),
                };
            }
        };
        let opened = tree.file(&path);
        let opened = opened.and_then(|file| Ok((file.metadata()?.len(), Opened::File(file))));
        Ok(opened.map_err(|error| error.to_string()))
    }

    /// Returns the bytes of `digest`, at most `limit`; the reason why not, else.
    pub(super) async fn read(
        &self,
        name: &Name,
        digest: &Digest,
        limit: usize,
    ) -> Result<Result<Vec<u8>, String>, ImportRegistryError> {
        let read = match self {
            Self::Distribution(_, tree) => tree.read(&distribution::path(digest), limit),
            Self::Layouts(_, tree) => tree.read(&layouts::path(name, digest), limit),
            Self::Bucket(bucket) => {
                let read = bucket.read(digest, limit).await;
                return read.map_err(|error| self.failed(error));
            }
        };
        Ok(read.map_err(|error| error.to_string()))
    }

    /// Returns the failure to read a bucket.
    fn failed(&self, error: StorageError) -> ImportRegistryError {
        let shown = match self {
            Self::Bucket(bucket) => bucket.shown(),
            Self::Distribution(path, _) | Self::Layouts(path, _) => path.display().to_string(),
        };
        ImportRegistryError::Bucket(shown, error)
    }
}
