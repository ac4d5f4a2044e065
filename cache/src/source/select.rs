// SPDX-License-Identifier: Apache-2.0
//! From the words of a COPY to entries of a tree.
//!
//! Observed: BuildKit's `fsutil/copy` `ResolveWildcards` (facts: rules 34, 35, 41): patterns match
//! component by component, do not follow symlinks on the way, and come in lexical order.

use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::{Source, SourceError, Verdict, Wildcard};
use crate::view::{Entry, Follow, MergedDir, Resolved, ViewError};

/// An entry that was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Chosen {
    /// As named: absolute, clean, symlinks as they are. Its last component names the copy.
    pub(crate) named: PathBuf,
    /// What it is, after following.
    pub(crate) place: Place,
}

#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// The root of the tree.
    Root,
    /// An entry, and the directory it is in.
    Entry(Arc<MergedDir>, Entry),
}

impl Chosen {
    pub(crate) fn is_dir(&self) -> bool {
        match &self.place {
            Place::Root => true,
            Place::Entry(_, entry) => entry.meta.is_dir(),
        }
    }

    /// Opens it as a directory.
    pub(crate) fn open_dir(&self, source: &Source<'_>) -> Result<Arc<MergedDir>, ViewError> {
        match &self.place {
            Place::Root => Ok(Arc::clone(source.view.root())),
            Place::Entry(parent, entry) => Ok(Arc::new(parent.open_dir(&entry.name)?)),
        }
    }
}

/// Returns what `path` names, with `is_wildcard` as a pattern. A named symlink is followed inside the
/// tree if `follow` says so.
pub(crate) fn choose(
    source: &Source<'_>,
    path: &Path,
    (is_wildcard, follow): (bool, Follow),
) -> Result<Vec<Chosen>, SourceError> {
    let clean = clean(path);
    let has_pattern = clean
        .to_str()
        .is_some_and(|text| is_wildcard && Wildcard::is_pattern(text));
    let named = if has_pattern {
        expand(source, &clean, follow)?
    } else {
        vec![clean]
    };
    let mut chosen = Vec::new();
    for named in named {
        match locate(source, &named, follow)? {
            Some(place) => chosen.push(Chosen { named, place }),
            // A dangling link that a pattern matched is no file.
            None if has_pattern => {}
            None => return Err(SourceError::NotFound(named)),
        }
    }
    Ok(chosen)
}

/// Makes the path absolute; `..` stops at the root.
fn clean(path: &Path) -> PathBuf {
    let mut clean = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => {
                clean.pop();
            }
            _ => {}
        }
    }
    clean
}

fn locate(source: &Source<'_>, named: &Path, follow: Follow) -> Result<Option<Place>, SourceError> {
    let resolved = match source.view.resolve(named, follow) {
        Err(ViewError::NotADirectory(_)) => return Ok(None),
        other => other?,
    };
    Ok(match resolved {
        Resolved::Root => Some(Place::Root),
        Resolved::Missing { .. } => None,
        Resolved::Entry {
            parent,
            entry,
            path,
        } => {
            let verdict = source.verdict(&path, entry.meta.is_dir());
            let exists =
                verdict == Verdict::Take || (verdict == Verdict::Look && entry.meta.is_dir());
            exists.then_some(Place::Entry(parent, entry))
        }
    })
}

/// Returns the paths that a pattern matches, sorted.
fn expand(
    source: &Source<'_>,
    pattern: &Path,
    follow: Follow,
) -> Result<Vec<PathBuf>, SourceError> {
    let is_pattern = |name: &OsStr| name.to_str().is_some_and(Wildcard::is_pattern);
    let names: Vec<&OsStr> = pattern.iter().skip(1).collect();
    let literal = names
        .iter()
        .position(|name| is_pattern(name))
        .unwrap_or(names.len());
    let mut base = PathBuf::from("/");
    base.extend(&names[..literal]);
    // Links before the first pattern are followed, if links are followed at all.
    if follow == Follow::All {
        base = match source.view.resolve(&base, Follow::All) {
            Err(ViewError::NotADirectory(_)) => return Ok(Vec::new()),
            other => other?.path().to_owned(),
        };
    }
    let mut found = vec![base];
    for (index, name) in names.iter().enumerate().skip(literal) {
        let is_last = index + 1 == names.len();
        found = expand_one(source, &found, name, is_last).map_err(|error| match error {
            ExpandError::Wildcard(error) => SourceError::Wildcard(pattern.to_owned(), error),
            ExpandError::View(error) => error.into(),
        })?;
    }
    Ok(found)
}

enum ExpandError {
    Wildcard(super::WildcardError),
    View(ViewError),
}

fn expand_one(
    source: &Source<'_>,
    dirs: &[PathBuf],
    name: &OsStr,
    is_last: bool,
) -> Result<Vec<PathBuf>, ExpandError> {
    // Names that are not text are matched by nothing: patterns are text.
    let pattern =
        Wildcard::parse(name.to_str().unwrap_or_default()).map_err(ExpandError::Wildcard)?;
    let mut found = Vec::new();
    for dir in dirs {
        let entries = match source.view.read_dir(dir) {
            Err(ViewError::NotADirectory(_)) => None,
            other => other.map_err(ExpandError::View)?,
        };
        for entry in entries.into_iter().flatten() {
            let path = dir.join(&entry.name);
            let is_match = entry
                .name
                .to_str()
                .is_some_and(|name| pattern.matches(name));
            let is_visible = source.verdict(&path, entry.meta.is_dir()) != Verdict::Skip;
            if is_match && is_visible && (is_last || entry.meta.is_dir()) {
                found.push(path);
            }
        }
    }
    Ok(found)
}
