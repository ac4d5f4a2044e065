// SPDX-License-Identifier: Apache-2.0
//! Where files are copied from, and which of them: shared by [`crate::copy`] and
//! [`crate::ContentIndex`], so that what is hashed is what is copied.

mod filter;
mod select;
mod wildcard;

use std::path::{Path, PathBuf};

pub use filter::{PathFilter, Verdict};
pub(crate) use select::{Chosen, Place, choose};
pub use wildcard::{Wildcard, WildcardError};

use crate::view::{View, ViewError};
use crate::{Meta, Owner};

/// Whose files these are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SourceOwners {
    /// Owners count and are copied: another snapshot.
    Kept,
    /// All is root's: a build context, where owners are an accident of the machine.
    Root,
}

/// A tree that files are taken from.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    /// The tree.
    pub view: &'a View,
    /// Which of its files exist at all, by their path from the root (`.dockerignore`).
    pub filter: Option<&'a dyn PathFilter>,
    /// Whether owners count.
    pub owners: SourceOwners,
}

impl std::fmt::Debug for Source<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source")
            .field("view", &self.view)
            .field("owners", &self.owners)
            .finish_non_exhaustive()
    }
}

impl Source<'_> {
    pub(crate) fn owner_of(&self, meta: &Meta) -> Owner {
        match self.owners {
            SourceOwners::Kept => meta.owner,
            SourceOwners::Root => Owner::ROOT,
        }
    }

    /// What the tree's own filter says about an absolute path of the view.
    pub(crate) fn verdict(&self, path: &Path, is_dir: bool) -> Verdict {
        let Some(filter) = self.filter else {
            return Verdict::Take;
        };
        let relative = path.strip_prefix("/").unwrap_or(path);
        if relative.as_os_str().is_empty() {
            return Verdict::Take;
        }
        filter.verdict(relative, is_dir)
    }

    /// What both filters say: the tree's about the path in the view, and the request's about the
    /// path below the directory that is copied.
    pub(crate) fn verdict_of(
        &self,
        path: &Path,
        own: (Option<&dyn PathFilter>, &Path),
        is_dir: bool,
    ) -> Verdict {
        let outer = self.verdict(path, is_dir);
        let inner = match own {
            (Some(filter), relative) if outer != Verdict::Skip => filter.verdict(relative, is_dir),
            _ => Verdict::Take,
        };
        outer.min(inner)
    }
}

/// Why sources cannot be found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// There is nothing of that name, or a filter leaves it out.
    #[error("\"{}\": not found", .0.display())]
    NotFound(PathBuf),
    /// The pattern is malformed.
    #[error("cannot match {0:?}")]
    Wildcard(PathBuf, #[source] WildcardError),
    /// The tree cannot be read.
    #[error(transparent)]
    View(#[from] ViewError),
}
