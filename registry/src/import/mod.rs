// SPDX-License-Identifier: Apache-2.0
//! Taking over what another registry keeps: distribution's directory or bucket, or zot's directory.
//!
//! A file becomes ours by a second name where both lie on one file system, else by a copy, under
//! the same records that a push makes: what was accepted there is accepted here, in the same order
//! (blobs, images, indexes, tags). It can be stopped anywhere and run again; what is there already
//! is passed over. Nothing is changed in the source, which nobody should write to meanwhile.
//!
//! The source is not trusted: `tree` reads it, every byte is hashed unless the user says otherwise,
//! and whatever is odd is left out and told of.
//!
//! From a bucket every byte comes through this process, to be hashed on its way.
//!
//! Does not know HTTP.

mod bucket;
mod distribution;
mod layouts;
mod report;
mod source;
#[cfg(test)]
mod tests;
mod tree;

pub use bucket::Objects;
pub use report::{ImportReport, Skipped};

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use oci::{Digest, Document, MediaType, ParseDocumentError, Tag};

use crate::endpoint::Name;
use crate::storage::adopt;
use crate::storage::manifest::{digest_of, references};
use crate::storage::{Adopted, Condition, ManifestPut, PutManifestError, StorageError, Store};
use source::{Found, Opened, Source};

/// How many blobs are taken over at once.
const JOBS: usize = 8;
/// How many tags one write sets.
const TAGS_PER_WRITE: usize = 100;

/// Why an import stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportRegistryError {
    /// The source cannot be read.
    #[error("cannot read {0}")]
    Source(PathBuf, #[source] io::Error),
    /// Nothing in it looks like a registry.
    #[error("{0} is neither a directory of distribution nor one of OCI image layouts")]
    Unknown(PathBuf),
    /// The source is a bucket that cannot be read.
    #[error("cannot read {0}")]
    Bucket(String, #[source] StorageError),
    /// Nothing in the bucket looks like a registry.
    #[error("there is no registry of distribution at {0}")]
    UnknownBucket(String),
    /// Our own storage failed.
    #[error("cannot store what is imported")]
    Storage(#[from] StorageError),
}

/// What became of one blob.
enum Taken {
    Unchanged,
    /// With so many bytes that were not there yet.
    New(u64),
    Skipped(String),
}

/// An import under way.
struct Importer<'a> {
    store: &'a Store,
    source: Source,
    is_trusted: bool,
    report: ImportReport,
}

/// Takes over everything in the directory `path`. With `is_trusted`, blobs that need not be copied
/// are not read: their digest is believed.
///
/// # Errors
///
/// [`ImportRegistryError`]. What cannot be taken over for a reason of its own is in the report.
///
/// # Cancellation
///
/// What was taken over stays; the next import goes on.
pub async fn import(
    store: &Store,
    path: &Path,
    is_trusted: bool,
) -> Result<ImportReport, ImportRegistryError> {
    take_over(store, Source::open(path)?, is_trusted).await
}

/// Takes over everything in a bucket, like [`import`]. Every byte is copied and hashed.
///
/// # Errors
///
/// [`ImportRegistryError`]. What cannot be taken over for a reason of its own is in the report.
///
/// # Cancellation
///
/// As [`import`].
pub async fn import_bucket(
    store: &Store,
    objects: Box<dyn Objects>,
) -> Result<ImportReport, ImportRegistryError> {
    take_over(store, Source::open_bucket(objects).await?, false).await
}

async fn take_over(
    store: &Store,
    source: Source,
    is_trusted: bool,
) -> Result<ImportReport, ImportRegistryError> {
    let mut importer = Importer {
        store,
        source,
        is_trusted,
        report: ImportReport::default(),
    };
    let mut progress = importer.source.begin(&mut importer.report)?;
    loop {
        let next = importer.source.next(&mut progress, &mut importer.report);
        let Some(found) = next.await? else {
            return Ok(importer.report);
        };
        importer.repository(found).await?;
    }
}

impl Importer<'_> {
    async fn repository(&mut self, found: Found) -> Result<(), ImportRegistryError> {
        self.report.repositories += 1;
        let name = &found.name;
        let this = &*self;
        let blobs = stream::iter(found.blobs.iter().cloned());
        let taken = blobs.map(|digest| async move {
            let taken = this.blob(name, &digest).await?;
            Ok::<_, ImportRegistryError>((digest, taken))
        });
        let taken: Vec<_> = taken.buffer_unordered(JOBS).try_collect().await?;
        for (digest, taken) in taken {
            match taken {
                Taken::Unchanged => self.report.unchanged += 1,
                Taken::New(bytes) => {
                    self.report.blobs += 1;
                    self.report.bytes += bytes;
                }
                Taken::Skipped(why) => self.report.skip(format!("{name}@{digest}"), why),
            }
        }
        self.manifests(found).await
    }

    async fn blob(&self, name: &Name, digest: &Digest) -> Result<Taken, ImportRegistryError> {
        if self.store.blob(name, digest).await?.is_some() {
            return Ok(Taken::Unchanged);
        }
        let (size_bytes, opened) = match self.source.open_blob(name, digest).await? {
            Ok(opened) => opened,
            Err(why) => return Ok(Taken::Skipped(why)),
        };
        if self.store.share(name, digest).await? {
            return Ok(Taken::New(0));
        }
        let data = &*self.store.data;
        let published = match opened {
            Opened::File(file) => {
                let adopted = Adopted {
                    file,
                    digest: digest.clone(),
                    is_trusted: self.is_trusted,
                };
                data.adopt(adopted).await
            }
            Opened::Stream(stream) => adopt::copy_stream(data, digest, size_bytes, stream).await,
        };
        let publication = match published {
            Ok(publication) => publication,
            Err(error @ StorageError::WrongDigest { .. }) => {
                return Ok(Taken::Skipped(error.to_string()));
            }
            Err(error) => return Err(error.into()),
        };
        let added = self.store.add_blob(name, digest, size_bytes, publication);
        added.await?;
        Ok(Taken::New(size_bytes))
    }

    /// Puts images first and indexes after what they list, each with its tags.
    async fn manifests(&mut self, found: Found) -> Result<(), ImportRegistryError> {
        let name = &found.name;
        let mut tags: BTreeMap<Digest, Vec<Tag>> = BTreeMap::new();
        for (tag, digest) in found.tags {
            tags.entry(digest).or_default().push(tag);
        }
        let mut waiting: BTreeMap<Digest, Option<MediaType>> =
            found.manifests.into_iter().collect();
        let children = self.children(name, &waiting).await?;
        while !waiting.is_empty() {
            let is_ready = |digest: &Digest| {
                let listed = children.get(digest).into_iter().flatten();
                listed.into_iter().all(|child| !waiting.contains_key(child))
            };
            let ready: BTreeSet<Digest> =
                waiting.keys().filter(|it| is_ready(it)).cloned().collect();
            // Digests cannot form a circle; a lie about one can.
            let turn = if ready.is_empty() {
                std::mem::take(&mut waiting)
            } else {
                let (turn, rest) = waiting.into_iter().partition(|(it, _)| ready.contains(it));
                waiting = rest;
                turn
            };
            for (digest, media_type) in turn {
                let tags = tags.remove(&digest).unwrap_or_default();
                self.manifest(name, &digest, media_type, tags).await?;
            }
        }
        for (digest, tags) in tags {
            for tag in tags {
                let why = format!("its manifest {digest} is not there");
                self.report.skip(format!("{name}:{tag}"), why);
            }
        }
        Ok(())
    }

    /// Returns what each index of `manifests` lists.
    async fn children(
        &self,
        name: &Name,
        manifests: &BTreeMap<Digest, Option<MediaType>>,
    ) -> Result<BTreeMap<Digest, Vec<Digest>>, ImportRegistryError> {
        let manifests = stream::iter(manifests.clone());
        let looked = manifests.map(|(digest, media_type)| async move {
            let document = self.document(name, &digest, media_type.as_ref()).await?;
            // Only what is listed is kept: all documents of a repository may not fit in memory.
            let listed = match document {
                Ok(document @ Document::Index(..)) => {
                    let listed = references(&document).into_iter();
                    Some((digest, listed.map(|it| it.digest.clone()).collect()))
                }
                _ => None,
            };
            Ok::<_, ImportRegistryError>(listed)
        });
        let looked = looked.buffer_unordered(JOBS);
        let listed = looked.try_filter_map(|listed| async move { Ok(listed) });
        listed.try_collect().await
    }

    async fn manifest(
        &mut self,
        name: &Name,
        digest: &Digest,
        media_type: Option<MediaType>,
        tags: Vec<Tag>,
    ) -> Result<(), ImportRegistryError> {
        let document = match self.document(name, digest, media_type.as_ref()).await? {
            Ok(document) => document,
            Err(why) => {
                self.report.skip(format!("{name}@{digest}"), &why);
                for tag in tags {
                    self.report.skip(format!("{name}:{tag}"), &why);
                }
                return Ok(());
            }
        };
        let mut moving = Vec::new();
        for tag in tags {
            let stored = self.store.tag(name, &tag).await?;
            if stored.is_some_and(|stored| stored.digest == *digest) {
                self.report.unchanged += 1;
            } else {
                moving.push(tag);
            }
        }
        let is_there = self.store.manifest(name, digest).await?.is_some();
        self.report.unchanged += u64::from(is_there);
        if is_there && moving.is_empty() {
            return Ok(());
        }
        self.report.manifests += u64::from(!is_there);
        let media_type = served_as(&document, media_type);
        let mut tags = moving.chunks(TAGS_PER_WRITE);
        let first = tags.next().unwrap_or_default();
        for tags in std::iter::once(first).chain(tags) {
            let put = ManifestPut {
                name,
                digest: digest.clone(),
                document: document.clone(),
                media_type: media_type.clone(),
                tags: tags.to_vec(),
                tag_condition: Condition::Any,
            };
            match self.store.put_manifest(&put).await {
                Ok(_) => self.report.tags += tags.len() as u64,
                Err(PutManifestError::Storage(error)) => return Err(error.into()),
                Err(error) => {
                    self.report.manifests -= u64::from(!is_there);
                    self.report.skip(format!("{name}@{digest}"), error);
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Reads and checks a manifest; the reason why it cannot be taken over, else.
    async fn document(
        &self,
        name: &Name,
        digest: &Digest,
        media_type: Option<&MediaType>,
    ) -> Result<Result<Document, String>, ImportRegistryError> {
        let read = self.source.read(name, digest, Document::SIZE_MAX_BYTES);
        let checked = read
            .await?
            .and_then(|bytes| checked(bytes, digest, media_type));
        Ok(checked)
    }
}

/// Returns the document that `bytes` are; the reason why they are none, else.
fn checked(
    bytes: Vec<u8>,
    digest: &Digest,
    media_type: Option<&MediaType>,
) -> Result<Document, String> {
    let actual = digest_of(digest.algorithm(), &bytes);
    if actual != *digest {
        return Err(format!("its bytes have digest {actual}"));
    }
    Document::parse(bytes, media_type).map_err(|error| match error {
        ParseDocumentError::UnsupportedVersion(1) => {
            "it is of schema 1, which no client of today pulls".to_owned()
        }
        error => error.to_string(),
    })
}

/// Returns what `Content-Type` will say: what the document says, what was written beside it, or
/// what its shape says.
fn served_as(document: &Document, beside: Option<MediaType>) -> String {
    let own = match document {
        Document::Manifest(manifest, _) => &manifest.media_type,
        Document::Index(index, _) => &index.media_type,
    };
    let said = own.clone().or(beside);
    said.unwrap_or_else(|| document.media_type()).to_string()
}
