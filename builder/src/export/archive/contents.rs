// SPDX-License-Identifier: Apache-2.0
//! The files of an archive that is being read: large ones stored as blobs, small ones kept.
//!
//! Paths of the archive are only keys of a map here.

use std::collections::BTreeMap;
use std::io::{self, Read};

use oci::layout::{BlobError, BlobWriter, Layout};
use oci::{Algorithm, Digest};

use super::document::{DOCKER_FILE, INDEX_FILE, LAYOUT_FILE};

/// The most entries of an archive.
const ENTRIES_MAX: usize = 200_000;
/// The longest path in an archive, in bytes.
const PATH_MAX_BYTES: usize = 4096;
/// The largest of the small documents, in bytes.
const DOCUMENT_MAX_BYTES: u64 = 8 << 20;
/// The most links that lead from one to another.
const LINKS_MAX: usize = 16;
/// How much is copied at once, in bytes.
const BUFFER_BYTES: usize = 256 << 10;

/// Why an archive cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadArchiveError {
    /// It is no tar file, is cut off, or cannot be read.
    #[error("cannot read the archive{}", after(entry))]
    Read {
        /// The entry being read, or the last one that was read; empty at the start.
        entry: String,
        /// Why.
        source: io::Error,
    },
    /// More entries than any image has.
    #[error("archive has more than {ENTRIES_MAX} entries")]
    TooManyEntries,
    /// A path that leads out of the archive, is too long, or is not text.
    #[error("archive has an entry with a bad path: `{0}`")]
    BadPath(String),
    /// A document that is larger than any real one.
    #[error(
        "`{path}` in the archive has {size_bytes} bytes; at most {DOCUMENT_MAX_BYTES} are read"
    )]
    DocumentTooLarge {
        /// The entry.
        path: String,
        /// Its size.
        size_bytes: u64,
    },
    /// A blob cannot be stored, or is not what its path says.
    #[error("cannot store `{entry}` of the archive")]
    Store {
        /// The entry.
        entry: String,
        /// Why.
        source: BlobError,
    },
}

fn after(entry: &str) -> String {
    if entry.is_empty() {
        return String::new();
    }
    format!(" at entry `{entry}`")
}

/// A file of the archive, stored as a blob.
#[derive(Clone, Debug)]
pub(super) struct StoredFile {
    pub(super) digest: Digest,
    pub(super) size_bytes: u64,
}

/// The files of an archive by path.
#[derive(Debug, Default)]
pub(super) struct Contents {
    files: BTreeMap<String, StoredFile>,
    documents: BTreeMap<String, Vec<u8>>,
    links: BTreeMap<String, String>,
}

impl Contents {
    /// Reads a whole tar file, storing its files in `layout`. Files that lie where a layout keeps
    /// blobs must hash to their name.
    pub(super) fn read(layout: &Layout, archive: impl Read) -> Result<Self, ReadArchiveError> {
        let mut contents = Self::default();
        let mut last = String::new();
        let mut tar = tar::Archive::new(archive);
        let failed = |last: &str| {
            let entry = last.to_owned();
            |source| ReadArchiveError::Read { entry, source }
        };
        for (count, entry) in tar.entries().map_err(failed(""))?.enumerate() {
            if count >= ENTRIES_MAX {
                return Err(ReadArchiveError::TooManyEntries);
            }
            let mut entry = entry.map_err(failed(&last))?;
            last = normalized(&entry.path_bytes())?;
            contents.take(layout, &mut entry, last.clone())?;
        }
        Ok(contents)
    }

    fn take(
        &mut self,
        layout: &Layout,
        entry: &mut tar::Entry<'_, impl Read>,
        path: String,
    ) -> Result<(), ReadArchiveError> {
        let kind = entry.header().entry_type();
        if kind.is_symlink() || kind.is_hard_link() {
            let target = entry.link_name_bytes().unwrap_or_default();
            let parent = if kind.is_symlink() {
                path.rsplit_once('/').map_or("", |(parent, _)| parent)
            } else {
                ""
            };
            self.links.insert(path.clone(), joined(parent, &target)?);
            return Ok(());
        }
        if !kind.is_file() {
            return Ok(());
        }
        if [LAYOUT_FILE.0, INDEX_FILE, DOCKER_FILE].contains(&path.as_str()) {
            let bytes = read_document(entry, &path)?;
            self.documents.insert(path, bytes);
            return Ok(());
        }
        let stored = store(layout, entry, &path)?;
        self.files.insert(path, stored);
        Ok(())
    }

    /// Returns one of the small documents at the top of the archive.
    pub(super) fn document(&self, path: &str) -> Option<&[u8]> {
        self.documents.get(path).map(Vec::as_slice)
    }

    /// Returns the file at `path`, following links, or none.
    pub(super) fn file(&self, path: &str) -> Option<&StoredFile> {
        let mut path = normalized(path.as_bytes()).ok()?;
        for _ in 0..LINKS_MAX {
            if let Some(file) = self.files.get(&path) {
                return Some(file);
            }
            path.clone_from(self.links.get(&path)?);
        }
        None
    }
}

/// Returns `path` without empty and `.` components.
fn normalized(path: &[u8]) -> Result<String, ReadArchiveError> {
    joined("", path)
}

/// Returns where `path`, seen from the directory `parent`, leads.
fn joined(parent: &str, path: &[u8]) -> Result<String, ReadArchiveError> {
    let bad = || ReadArchiveError::BadPath(String::from_utf8_lossy(path).escape_debug().collect());
    let text = std::str::from_utf8(path).map_err(|_| bad())?;
    if text.len() > PATH_MAX_BYTES || text.starts_with('/') || text.contains('\0') {
        return Err(bad());
    }
    let mut parts: Vec<&str> = parent.split('/').filter(|part| !part.is_empty()).collect();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            // Old `docker save` links `../<id>/layer.tar`.
            ".." => drop(parts.pop().ok_or_else(bad)?),
            part => parts.push(part),
        }
    }
    Ok(parts.join("/"))
}

fn read_document(entry: &mut impl Read, path: &str) -> Result<Vec<u8>, ReadArchiveError> {
    let mut bytes = Vec::new();
    let size_bytes = entry
        .take(DOCUMENT_MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|source| ReadArchiveError::Read {
            entry: path.to_owned(),
            source,
        })? as u64;
    if size_bytes > DOCUMENT_MAX_BYTES {
        return Err(ReadArchiveError::DocumentTooLarge {
            path: path.to_owned(),
            size_bytes,
        });
    }
    Ok(bytes)
}

/// Returns the digest that a path of an image layout promises.
fn promised(path: &str) -> Option<Digest> {
    let (algorithm, hex) = path.strip_prefix("blobs/")?.split_once('/')?;
    format!("{algorithm}:{hex}").parse().ok()
}

fn store(
    layout: &Layout,
    entry: &mut tar::Entry<'_, impl Read>,
    path: &str,
) -> Result<StoredFile, ReadArchiveError> {
    let failed = |source| ReadArchiveError::Store {
        entry: path.to_owned(),
        source,
    };
    let promised = promised(path);
    let algorithm = promised
        .as_ref()
        .map_or(Algorithm::Sha256, Digest::algorithm);
    let size_bytes = entry.size();
    let mut writer = layout.create_blob_with(algorithm).map_err(failed)?;
    copy(entry, path, &mut writer)?;
    if writer.written_bytes() != size_bytes {
        return Err(ReadArchiveError::Read {
            entry: path.to_owned(),
            source: io::ErrorKind::UnexpectedEof.into(),
        });
    }
    let expected = promised.as_ref().map(|digest| (digest, size_bytes));
    let stored = writer.finish_unsynced(expected).map_err(failed)?;
    Ok(StoredFile {
        digest: stored.digest,
        size_bytes: stored.size_bytes,
    })
}

fn copy(
    entry: &mut impl Read,
    path: &str,
    writer: &mut BlobWriter,
) -> Result<(), ReadArchiveError> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let read = entry.read(&mut buffer);
        let count = read.map_err(|source| ReadArchiveError::Read {
            entry: path.to_owned(),
            source,
        })?;
        if count == 0 {
            return Ok(());
        }
        let written = writer.write_bytes(&buffer[..count]);
        written.map_err(|source| ReadArchiveError::Store {
            entry: path.to_owned(),
            source,
        })?;
    }
}
