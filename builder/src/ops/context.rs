// SPDX-License-Identifier: Apache-2.0
//! Local contexts: directories of the caller, read in place, seen through their ignore file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cache::{SnapshotId, Source, SourceOwners, View};
use graph::pattern::Patterns;

use super::filter::Excluding;
use super::{Ops, file};
use crate::request::LocalContext;
use crate::result::{self, LayerNote, Origin};
use crate::step_error::{IgnoredBy, StepError};

/// A directory of the caller.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) directory: PathBuf,
    ignore: Option<(Excluding, String)>,
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
        let ignore = context.ignore.as_ref().and_then(|text| {
            let patterns = Patterns::parse(text).ok()?;
            (!patterns.is_empty()).then(|| (Excluding(patterns), text.clone()))
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

    /// Returns the line of the ignore file that hides `path`, if one does and the path is there.
    pub(crate) fn ignored_by(&self, path: &Path) -> Option<IgnoredBy> {
        let (filter, text) = self.ignore.as_ref()?;
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
            pattern: text.lines().nth(line - 1)?.trim().to_owned(),
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
