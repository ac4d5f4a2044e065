// SPDX-License-Identifier: Apache-2.0
//! COPY and ADD: files from a context or a snapshot into an active snapshot.
//!
//! The words of a request are those of LLB's `FileActionCopy`, with BuildKit's meanings, seen on
//! running builds (facts: §1.7 and rules 31–61 with their corrections). Deliberate differences: a block device
//! stays one, holes of sparse files stay holes.
//!
//! Files are copied by several threads; directories are made before what is in them and get their
//! time after. Nothing is mounted, nothing is synced.

mod chmod;
mod destination;
mod entry;
mod file;
mod node;
#[cfg(test)]
mod tests;
mod tree;

use std::path::{Path, PathBuf};

pub use chmod::{Chmod, ParseChmodError};

use crate::apply::{ApplyError, UnpackOptions, is_archive, unpack_archive};
use crate::file::{Attempt, FileError, Timestamp};
use crate::source::{Chosen, Place, Source, SourceError, choose};
use crate::upper::WriteError;
use crate::view::{Follow, ViewError};
use crate::{Owner, PathFilter, Upper};
use destination::Destination;

/// What to copy, and how.
#[expect(
    clippy::struct_excessive_bools,
    reason = "the independent flags of LLB's FileActionCopy"
)]
#[derive(Clone)]
pub struct CopyRequest<'a> {
    /// The path in the source, from its root whether it begins with a slash or not.
    pub source: &'a Path,
    /// The path in the target as written: a `/` or `/.` at its end means a directory.
    pub dest: &'a str,
    /// Owner of everything copied; `None` keeps the source's.
    pub owner: Option<Owner>,
    /// Mode of everything copied but symlinks; `None` keeps the source's.
    pub chmod: Option<&'a Chmod>,
    /// Time of everything copied; `None` keeps the source's.
    pub mtime: Option<Timestamp>,
    /// A symlink that is named is followed inside the source. Those met below are copied as links.
    pub follow_symlink: bool,
    /// Of a directory the content is copied, not the directory itself.
    pub contents_only: bool,
    /// `source` may be a pattern.
    pub allow_wildcard: bool,
    /// A pattern that matches nothing is no error.
    pub allow_empty_wildcard: bool,
    /// Missing parents of the destination are made.
    pub create_dest_path: bool,
    /// Archives are unpacked instead of copied (`ADD`).
    pub unpack_archives: bool,
    /// What is in the way at the destination is replaced, whatever it is.
    pub replace_existing: bool,
    /// Which entries below a copied directory count, by their path below it (`--exclude`,
    /// `--parents`).
    pub filter: Option<&'a dyn PathFilter>,
    /// Paths of the source that must exist.
    pub required: &'a [PathBuf],
}

impl<'a> CopyRequest<'a> {
    /// Returns the request of a plain `COPY source dest`.
    pub fn new(source: &'a Path, dest: &'a str) -> Self {
        Self {
            source,
            dest,
            owner: None,
            chmod: None,
            mtime: None,
            follow_symlink: true,
            contents_only: true,
            allow_wildcard: true,
            allow_empty_wildcard: true,
            create_dest_path: true,
            unpack_archives: false,
            replace_existing: false,
            filter: None,
            required: &[],
        }
    }
}

impl std::fmt::Debug for CopyRequest<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CopyRequest")
            .field("source", &self.source)
            .field("dest", &self.dest)
            .finish_non_exhaustive()
    }
}

/// What was copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CopyStats {
    /// Files, links and devices; not directories.
    pub files: u64,
    /// Bytes of regular files.
    pub bytes: u64,
}

/// Why a copy failed; the target is then half written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CopyError {
    /// The source does not exist, or its pattern is malformed.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The target cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// An archive cannot be unpacked.
    #[error("cannot unpack {}", path.display())]
    Unpack {
        /// The archive in the source.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<ApplyError>,
    },
    /// The parent of the destination does not exist and is not to be made.
    #[error("the directory of {0:?} does not exist")]
    NoDestination(String),
}

impl From<FileError> for CopyError {
    fn from(error: FileError) -> Self {
        Self::Write(WriteError::File(error))
    }
}

impl From<ViewError> for CopyError {
    fn from(error: ViewError) -> Self {
        Self::Source(SourceError::View(error))
    }
}

/// Copies from `source` into `target`.
///
/// # Errors
///
/// [`CopyError`]; the caller aborts the snapshot then.
pub fn copy(
    source: &Source<'_>,
    target: &Upper,
    request: &CopyRequest<'_>,
) -> Result<CopyStats, CopyError> {
    let follow = Follow::last(request.follow_symlink);
    for required in request.required {
        choose(source, required, (false, follow))?;
    }
    let chosen = choose(source, request.source, (request.allow_wildcard, follow))?;
    if chosen.is_empty() && !request.allow_empty_wildcard {
        return Err(SourceError::NotFound(request.source.to_owned()).into());
    }
    let mut stats = CopyStats::default();
    for chosen in chosen {
        if request.unpack_archives && unpack(&chosen, target, request)? {
            stats.files += 1;
            continue;
        }
        let destination = Destination::prepare(target, request, &chosen)?;
        let copied = tree::copy_chosen(source, target, request, &chosen, &destination)?;
        stats.files += copied.files;
        stats.bytes += copied.bytes;
    }
    Ok(stats)
}

/// Unpacks a named archive; `false` if it is none.
fn unpack(chosen: &Chosen, target: &Upper, request: &CopyRequest<'_>) -> Result<bool, CopyError> {
    let Place::Entry(parent, entry) = &chosen.place else {
        return Ok(false);
    };
    if entry.meta.kind != crate::Kind::File {
        return Ok(false);
    }
    let mut file = parent.open_file(entry)?;
    if !is_archive(&mut file).attempt("read", &chosen.named)? {
        return Ok(false);
    }
    let options = UnpackOptions {
        owner: request.owner,
        mtime: request.mtime,
    };
    let dest = Path::new("/").join(request.dest);
    match unpack_archive(file, target, &dest, options) {
        Ok(_) => Ok(true),
        Err(error) => Err(CopyError::Unpack {
            path: chosen.named.clone(),
            source: Box::new(error),
        }),
    }
}
