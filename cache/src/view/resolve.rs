// SPDX-License-Identifier: Apache-2.0
//! Resolution of a path inside a view: symlinks stay inside the root, `..` stops at it.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Entry, MergedDir, View, ViewError};
use crate::file::Kind;

/// How many symlinks one path may have.
///
/// Observed: Go's `filepath.EvalSymlinks` and `containerd/continuity/fs.RootPath` stop at 255; the
/// kernel stops at 40.
pub(crate) const SYMLINKS_MAX: usize = 255;

/// Which symlinks are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follow {
    /// All, the last component too.
    All,
    /// All but the last component.
    Parents,
}

impl Follow {
    /// Returns the choice that follows the last symlink, or not.
    pub fn last(is_followed: bool) -> Self {
        if is_followed {
            Self::All
        } else {
            Self::Parents
        }
    }
}

/// Where a path leads. Paths are absolute in the view and have no symlink in their parents.
#[derive(Clone, Debug)]
pub enum Resolved {
    /// To the root itself.
    Root,
    /// To an entry.
    Entry {
        /// The directory it is in.
        parent: Arc<MergedDir>,
        /// The entry.
        entry: Entry,
        /// Its path.
        path: PathBuf,
    },
    /// To nothing; some of the last components do not exist.
    Missing {
        /// Where it would be.
        path: PathBuf,
    },
}

impl Resolved {
    /// Returns the resolved path.
    pub fn path(&self) -> &Path {
        match self {
            Self::Root => Path::new("/"),
            Self::Entry { path, .. } | Self::Missing { path } => path,
        }
    }
}

/// One directory on the way; `None` below a component that does not exist.
struct Step {
    name: OsString,
    dir: Option<Arc<MergedDir>>,
}

impl View {
    /// Resolves `path`, absolute or not, from the root.
    ///
    /// Components that do not exist are kept as they are, so that the result says where a new file
    /// would go.
    ///
    /// # Errors
    ///
    /// [`ViewError::NotADirectory`] if a component in the middle is a file,
    /// [`ViewError::TooManySymlinks`], or what the kernel said.
    pub fn resolve(&self, path: &Path, follow: Follow) -> Result<Resolved, ViewError> {
        let mut left: VecDeque<OsString> = components(path.as_os_str().as_bytes()).collect();
        let mut steps: Vec<Step> = Vec::new();
        let mut symlinks = 0;
        while let Some(name) = left.pop_front() {
            if name == ".." {
                steps.pop();
                continue;
            }
            let parent = match steps.last() {
                Some(step) => step.dir.clone(),
                None => Some(Arc::clone(self.root())),
            };
            let Some(parent) = parent else {
                steps.push(Step { name, dir: None });
                continue;
            };
            let Some(entry) = parent.lookup(&name)? else {
                steps.push(Step { name, dir: None });
                continue;
            };
            let is_last = left.is_empty();
            match entry.meta.kind {
                Kind::Symlink if !is_last || follow == Follow::All => {
                    symlinks += 1;
                    if symlinks > SYMLINKS_MAX {
                        return Err(ViewError::TooManySymlinks(path.to_owned()));
                    }
                    let target = parent.read_link(&entry)?;
                    if target.to_bytes().starts_with(b"/") {
                        steps.clear();
                    }
                    for part in components(target.to_bytes()).rev() {
                        left.push_front(part);
                    }
                }
                _ if is_last => {
                    let path = parent.path().join(&name);
                    return Ok(Resolved::Entry {
                        parent,
                        entry,
                        path,
                    });
                }
                Kind::Dir => {
                    let dir = Some(Arc::new(parent.open_dir(&name)?));
                    steps.push(Step { name, dir });
                }
                _ => return Err(ViewError::NotADirectory(parent.path().join(&name))),
            }
        }
        self.end(&steps)
    }

    /// The path ended in `..`, in a symlink to a directory on the way, or in nothing.
    fn end(&self, steps: &[Step]) -> Result<Resolved, ViewError> {
        let mut path = PathBuf::from("/");
        path.extend(steps.iter().map(|step| step.name.as_os_str()));
        let Some((last, before)) = steps.split_last() else {
            return Ok(Resolved::Root);
        };
        if last.dir.is_none() {
            return Ok(Resolved::Missing { path });
        }
        let parent = match before.last() {
            Some(step) => step.dir.clone(),
            None => Some(Arc::clone(self.root())),
        };
        let entry = match &parent {
            Some(parent) => parent.lookup(&last.name)?,
            None => None,
        };
        Ok(match (parent, entry) {
            (Some(parent), Some(entry)) => Resolved::Entry {
                parent,
                entry,
                path,
            },
            _ => Resolved::Missing { path },
        })
    }
}

/// Splits a path at slashes, dropping empty components and `.`.
fn components(path: &[u8]) -> impl DoubleEndedIterator<Item = OsString> + '_ {
    path.split(|byte| *byte == b'/')
        .filter(|part| !part.is_empty() && *part != b".")
        .map(|part| OsString::from_vec(OsStr::from_bytes(part).as_bytes().to_vec()))
}
