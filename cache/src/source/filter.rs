// SPDX-License-Identifier: Apache-2.0
//! Which paths of a tree count; patterns are the caller's business.

use std::path::Path;

/// What to do with a path. Ordered: of two verdicts the smaller holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It does not exist, nor anything below it.
    Skip,
    /// A directory that does not exist by itself, but may contain something that does: it is made
    /// when that is found.
    Look,
    /// It exists.
    Take,
}

/// Decides which paths of a tree count.
///
/// Called from several threads. The paths of a directory's entries are asked for after the
/// directory's own, but not in any order.
pub trait PathFilter: Sync {
    /// Returns the verdict on `path`, which is relative and clean (`a/b`), taking the patterns that
    /// match its parents into account: a file in an excluded directory is excluded.
    fn verdict(&self, path: &Path, is_dir: bool) -> Verdict;
}

impl<F: Fn(&Path, bool) -> Verdict + Sync> PathFilter for F {
    fn verdict(&self, path: &Path, is_dir: bool) -> Verdict {
        self(path, is_dir)
    }
}
