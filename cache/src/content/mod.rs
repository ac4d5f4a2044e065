// SPDX-License-Identifier: Apache-2.0
//! Content checksums: what a step takes from a tree, as 32 bytes that change if and only if the
//! result could.
//!
//! Of every entry count kind, permission bits, owner (not in a build context), size, link target,
//! device, extended attributes and bytes; never the time, nor the names of a single chosen file.
//! Directories count by their own attributes and by the names and digests of their entries.
//!
//! A [`ContentIndex`] is one tree with a memory: files whose device, inode, size, modification and change
//! time are those of last time are not read again.
//!
//! Observed: BuildKit `cache/contenthash` (facts: §1.14). The digests are ours, BLAKE3, and never
//! leave the machine.

mod digest;
mod stat_cache;
#[cfg(test)]
mod tests;
mod tree;

use std::fmt;
use std::path::Path;
use std::sync::Mutex;

pub(crate) use stat_cache::StatCache;

use crate::file::FileError;
use crate::root::DatabaseError;
use crate::source::{Chosen, Place, Source, SourceError, choose};
use crate::view::{Follow, ViewError};
use crate::{PathFilter, Store};
use tree::Walk;

/// The checksum of chosen content.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContentDigest([u8; 32]);

impl ContentDigest {
    /// Returns the bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for ContentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ContentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContentDigest({self})")
    }
}

/// What of a tree is chosen. The same words as in a [`crate::CopyRequest`].
#[derive(Clone, Copy)]
pub struct ContentSelector<'a> {
    /// The path, from the root of the tree.
    pub path: &'a Path,
    /// It may be a pattern.
    pub allow_wildcard: bool,
    /// A symlink that is named is followed.
    pub follow_symlink: bool,
    /// A directory's own attributes do not count.
    pub contents_only: bool,
    /// Which entries below a chosen directory count, by their path below it.
    pub filter: Option<&'a dyn PathFilter>,
}

impl<'a> ContentSelector<'a> {
    /// Returns the selector of a plain `COPY path …`.
    pub fn new(path: &'a Path) -> Self {
        Self {
            path,
            allow_wildcard: true,
            follow_symlink: true,
            contents_only: true,
            filter: None,
        }
    }
}

impl fmt::Debug for ContentSelector<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContentSelector")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// Why a checksum cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ContentError {
    /// The selector finds nothing.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl From<ViewError> for ContentError {
    fn from(error: ViewError) -> Self {
        Self::Source(SourceError::View(error))
    }
}

/// Content checksums of one tree.
#[derive(Debug)]
pub struct ContentIndex<'a> {
    source: Source<'a>,
    cache: Mutex<StatCache>,
    saved: Option<(Store, String)>,
}

impl<'a> ContentIndex<'a> {
    /// Returns an index without a memory.
    pub fn new(source: Source<'a>) -> Self {
        Self {
            source,
            cache: Mutex::default(),
            saved: None,
        }
    }

    /// Returns an index that remembers in `store` what it has read, under the name `tree` (the
    /// absolute path of a context, the id of a snapshot).
    ///
    /// # Errors
    ///
    /// What the database said.
    pub fn remembered(store: &Store, tree: &str, source: Source<'a>) -> Result<Self, ContentError> {
        let cache = store.load_stat_cache(tree, source.owners)?;
        Ok(Self {
            source,
            cache: Mutex::new(cache),
            saved: Some((store.clone(), tree.to_owned())),
        })
    }

    /// Returns the checksum of what `selector` chooses.
    ///
    /// Of one literal path it is the digest of the entry, whatever its name. Of a pattern it covers
    /// the names that match, and may be that of nothing.
    ///
    /// # Errors
    ///
    /// [`SourceError::NotFound`] for a literal path that does not exist, otherwise what reading
    /// gave.
    pub fn checksum(&self, selector: &ContentSelector<'_>) -> Result<ContentDigest, ContentError> {
        let follow = Follow::last(selector.follow_symlink);
        let mode = (selector.allow_wildcard, follow);
        let chosen = choose(&self.source, selector.path, mode)?;
        let is_literal = !(selector.allow_wildcard
            && selector
                .path
                .to_str()
                .is_some_and(crate::Wildcard::is_pattern));
        let mut digests = Vec::new();
        for chosen in &chosen {
            if let Some(digest) = self.one(chosen, selector)? {
                digests.push((chosen.named.clone(), digest));
            }
        }
        if is_literal && let [(_, digest)] = digests.as_slice() {
            return Ok(ContentDigest(*digest));
        }
        Ok(ContentDigest(digest::of_matches(&digests)))
    }

    fn one(
        &self,
        chosen: &Chosen,
        selector: &ContentSelector<'_>,
    ) -> Result<Option<[u8; 32]>, ContentError> {
        let walk = Walk::new(&self.source, selector.filter, &self.cache);
        match &chosen.place {
            Place::Entry(parent, entry) if !entry.meta.is_dir() => {
                Ok(Some(walk.entry(parent, entry)?))
            }
            place => {
                let dir = chosen.open_dir(&self.source)?;
                let meta = match place {
                    Place::Root => dir.meta()?,
                    Place::Entry(_, entry) => entry.meta,
                };
                let own = if selector.contents_only {
                    None
                } else {
                    Some(walk.dir_header(&meta, &dir.own_xattrs()?))
                };
                walk.tree(dir, own)
            }
        }
    }

    /// Writes down what was read, if this index has a memory and anything is new.
    ///
    /// # Errors
    ///
    /// What the database said.
    pub fn save(&self) -> Result<(), ContentError> {
        let Some((store, tree)) = &self.saved else {
            return Ok(());
        };
        let mut cache = self
            .cache
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        store.save_stat_cache(tree, self.source.owners, &mut cache)?;
        Ok(())
    }
}
