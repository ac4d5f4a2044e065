// SPDX-License-Identifier: Apache-2.0
//! Local contexts: directories of the caller, read in place, seen through their ignore file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cache::{SnapshotId, Source, SourceOwners, View};
use graph::SourceFile;
use graph::pattern::Patterns;

use super::filter::Excluding;
use super::{Ops, file, similar};
use crate::request::LocalContext;
use crate::result::{self, LayerNote, Origin};
use crate::step_error::{IgnoredBy, StepError};

/// A directory of the caller.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) directory: PathBuf,
    ignore: Option<(Excluding, Arc<SourceFile>)>,
}

/// Returns the contexts of a request by name.
pub(crate) fn all(contexts: &BTreeMap<String, LocalContext>) -> BTreeMap<String, Context> {
    contexts
        .iter()
        .map(|(name, context)| (name.clone(), Context::new(context)))
        .collect()
}

/// Returns the context `name`.
pub(crate) fn get<'o>(ops: &'o Ops, name: &str) -> Result<&'o Context, StepError> {
    let found = ops.contexts.get(name);
    found.ok_or_else(|| StepError::ContextMissing(name.to_owned()))
}

impl Context {
    fn new(context: &LocalContext) -> Self {
        // The frontend has reported a malformed pattern as an error of the build by now.
        let ignore = context.ignore.as_ref().and_then(|file| {
            let patterns = Patterns::parse(&file.text).ok()?;
            (!patterns.is_empty()).then(|| (Excluding(patterns), Arc::clone(file)))
        });
        Self {
            directory: context.directory.clone(),
            ignore,
        }
    }

    /// Opens the directory.
    pub(crate) fn view(&self) -> Result<View, StepError> {
        View::directory(&self.directory).map_err(|source| StepError::Context {
            path: self.directory.clone(),
            source,
        })
    }

    /// Returns what a build sees of `view`.
    pub(crate) fn source<'c>(&'c self, view: &'c View) -> Source<'c> {
        Source {
            view,
            filter: self
                .ignore
                .as_ref()
                .map(|(filter, _)| filter as &dyn cache::PathFilter),
            owners: SourceOwners::Root,
        }
    }

    /// Returns the error that `path` is not part of the context, with what is known about why.
    pub(crate) fn not_found(&self, path: String) -> StepError {
        let ignored = self.ignored_by(Path::new(&path));
        let similar = match &ignored {
            Some(_) => None,
            None => self.view().ok().and_then(|view| {
                similar::path(&view, Path::new(&path), &|path| self.is_excluded(path))
            }),
        };
        StepError::SourceNotFound {
            path,
            ignored,
            similar,
        }
    }

    /// Returns whether a build sees nothing at `path`, as far as one look tells.
    pub(crate) fn lacks(&self, view: &View, path: &Path) -> bool {
        let relative = path.strip_prefix("/").unwrap_or(path);
        if relative.as_os_str().is_empty() {
            return false;
        }
        let ignore = self.ignore.as_ref().zip(relative.to_str());
        let hidden = ignore.is_some_and(|((filter, _), relative)| {
            let entry = filter.0.look(relative);
            entry.decision.excluded && !entry.descend
        });
        hidden || matches!(view.lstat(Path::new("/").join(relative)), Ok(None))
    }

    fn is_excluded(&self, path: &str) -> bool {
        let ignore = self.ignore.as_ref();
        ignore.is_some_and(|(filter, _)| filter.0.matches(path).excluded)
    }

    /// Returns the line of the ignore file that hides `path`, if one does and the path is there.
    fn ignored_by(&self, path: &Path) -> Option<IgnoredBy> {
        let (filter, file) = self.ignore.as_ref()?;
        let relative = path.strip_prefix("/").unwrap_or(path);
        let decision = filter.0.matches(relative.to_str()?);
        let line = decision.by.filter(|_| decision.excluded)?;
        let there = self
            .view()
            .ok()?
            .lstat(Path::new("/").join(relative))
            .ok()?;
        there?;
        Some(IgnoredBy {
            file: Arc::clone(file),
            pattern: file.text.lines().nth(line - 1)?.trim().to_owned(),
            line,
        })
    }

    /// Copies what a build sees at `selector` into a snapshot, at the same path.
    pub(crate) fn materialize(&self, ops: &Ops, selector: &str) -> Result<SnapshotId, StepError> {
        let view = self.view()?;
        let active = ops.store.prepare(None)?;
        let path = format!("/{}", selector.trim_matches('/'));
        file::copy_same_place(&self.source(&view), &path, &active.upper()?)?;
        let snapshot = ops.store.commit(active, None)?;
        let note = LayerNote {
            created_ns: ops.now_ns(),
            origin: Origin::Context,
        };
        ops.store.put_all(&[result::note_record(snapshot, note)])?;
        Ok(snapshot)
    }
}
