// SPDX-License-Identifier: Apache-2.0
//! COPY, ADD, WORKDIR and the like: files changed without a process and without a mount.
//!
//! Actions of one operation write the same upper directory one after another. A tree that more
//! than one action builds on would need a copy of it; no frontend makes such an operation, and it
//! is refused.

use std::path::{Path, PathBuf};

use cache::{
    ActiveSnapshot, Attributes, Chmod, CopyError, CopyRequest, NewDir, Owner, PathFilter, Source,
    SourceError, SourceOwners, Timestamp, Upper, View,
};
use graph::{
    ActionInput, Chown, CopyAction, FileAction, FileActionKind, FileOp, MkdirAction, MkfileAction,
    Op, Principal, RemoveAction, SymlinkAction, VertexId,
};

use super::filter::Choosing;
use super::{Made, Ops, Output, context, similar};
use crate::result::Origin;
use crate::step_error::StepError;

/// Carries out the file operation of a vertex; its changes become a layer.
pub(crate) fn run(ops: &Ops, id: VertexId, inputs: &[Output]) -> Result<Made, StepError> {
    let Op::File(file) = &ops.graph.vertex(id).op else {
        return Err(StepError::BadSource(ops.graph.vertex(id).meta.name.clone()));
    };
    let work = Work {
        ops,
        inputs,
        base: base(file)?,
    };
    let active = work.prepare()?;
    let upper = active.upper()?;
    for action in &file.actions {
        if ops.cancel.is_cancelled() {
            return Err(StepError::Cancelled);
        }
        work.act(action, &upper)?;
    }
    drop(upper);
    let snapshot = ops.store.commit(active, None)?;
    Ok(Made {
        snapshot: Some(snapshot),
        origin: work.origin(file),
    })
}

/// Returns what the first action builds on, after checking that each next one builds on the one
/// before it and that only the last result is handed on.
fn base(file: &FileOp) -> Result<ActionInput, StepError> {
    const FORK: StepError = StepError::Unsupported("a file operation with several results");
    let Some(first) = file.actions.first() else {
        return Err(StepError::Unsupported("a file operation without actions"));
    };
    for (at, action) in file.actions.iter().enumerate() {
        let is_last = at + 1 == file.actions.len();
        let follows = at == 0 || action.input == ActionInput::Action(at - 1);
        if !follows || action.output.is_some() != is_last {
            return Err(FORK);
        }
        if let ActionInput::Action(_) = action.secondary {
            return Err(FORK);
        }
    }
    Ok(first.input)
}

/// One file operation under way.
struct Work<'w> {
    ops: &'w Ops,
    inputs: &'w [Output],
    base: ActionInput,
}

impl Work<'_> {
    fn input(&self, input: ActionInput) -> Option<&Output> {
        match input {
            ActionInput::Input(at) => self.inputs.get(at),
            ActionInput::Scratch | ActionInput::Action(_) => None,
        }
    }

    fn prepare(&self) -> Result<ActiveSnapshot, StepError> {
        let parent = match self.input(self.base) {
            None => None,
            Some(Output::Tree(tree)) => *tree,
            Some(Output::Local(name)) => {
                Some(context::get(self.ops, name)?.materialize(self.ops, "/")?)
            }
        };
        Ok(self.ops.store.prepare(parent)?)
    }

    /// Files are those of a checkout if all of them are copied from a local directory.
    fn origin(&self, file: &FileOp) -> Origin {
        let local = |action: &FileAction| match &action.kind {
            FileActionKind::Copy(copy) => {
                matches!(self.input(action.secondary), Some(Output::Local(_)))
                    && !copy.attempt_unpack
            }
            _ => true,
        };
        if file.actions.iter().all(local) {
            Origin::Context
        } else {
            Origin::Step
        }
    }

    fn act(&self, action: &FileAction, upper: &Upper) -> Result<(), StepError> {
        match &action.kind {
            FileActionKind::Copy(copy) => self.copy(copy, action.secondary, upper),
            FileActionKind::Mkfile(mkfile) => self.mkfile(mkfile, upper),
            FileActionKind::Mkdir(mkdir) => self.mkdir(mkdir, upper),
            FileActionKind::Remove(remove) => remove_path(remove, upper),
            FileActionKind::Symlink(symlink) => self.symlink(symlink, upper),
        }
    }

    fn copy(&self, copy: &CopyAction, from: ActionInput, upper: &Upper) -> Result<(), StepError> {
        let owner = self.owner(copy.owner.as_ref(), upper)?;
        match self.input(from) {
            Some(Output::Local(name)) => {
                let context = context::get(self.ops, name)?;
                let view = context.view()?;
                copy_from(&context.source(&view), copy, owner, upper).map_err(|error| match error {
                    StepError::SourceNotFound { path, .. } => context.not_found(path),
                    other => other,
                })
            }
            Some(Output::Tree(Some(tree))) => {
                let view = self.ops.store.view(*tree)?;
                copy_from(&tree_source(&view), copy, owner, upper)
                    .map_err(|error| similar::of_tree(error, &view))
            }
            Some(Output::Tree(None)) | None => {
                // A stage without files has a root all the same, and that can be copied.
                let empty = self.ops.store.prepare(None)?;
                let empty = self.ops.store.commit(empty, None)?;
                let view = self.ops.store.view(empty)?;
                copy_from(&tree_source(&view), copy, owner, upper)
                    .map_err(|error| similar::of_tree(error, &view))
            }
        }
    }

    /// Names are looked up in the tree that is being built, so that users made by earlier steps
    /// count.
    fn owner(&self, chown: Option<&Chown>, upper: &Upper) -> Result<Option<Owner>, StepError> {
        let Some(chown) = chown else {
            return Ok(None);
        };
        let text = |principal: &Principal| match principal {
            Principal::Id(id) => id.to_string(),
            Principal::Name { name, .. } => name.clone(),
        };
        let user = chown.user.as_ref().map_or_else(|| "0".to_owned(), text);
        let whole = match &chown.group {
            Some(group) => format!("{user}:{}", text(group)),
            None => user,
        };
        let known = name_input(chown);
        if known == Some(ActionInput::Scratch) {
            return Err(StepError::NoAccounts(whole));
        }
        match known.and_then(|input| self.input(input)) {
            Some(Output::Tree(Some(tree))) if known != Some(self.base) => Ok(Some(
                cache::resolve_owner(&self.ops.store.view(*tree)?, &whole)?,
            )),
            _ => Ok(Some(cache::resolve_owner(upper.view(), &whole)?)),
        }
    }

    fn mkfile(&self, mkfile: &MkfileAction, upper: &Upper) -> Result<(), StepError> {
        let attributes = Attributes {
            mode: Some(mkfile.mode),
            owner: Some(
                self.owner(mkfile.owner.as_ref(), upper)?
                    .unwrap_or(Owner::ROOT),
            ),
            mtime: mkfile.timestamp.map(timestamp),
            ..Attributes::default()
        };
        upper
            .write_file(Path::new(&mkfile.path), &mkfile.content, &attributes)
            .map_err(|source| write_failed(&mkfile.path, source))
    }

    fn mkdir(&self, mkdir: &MkdirAction, upper: &Upper) -> Result<(), StepError> {
        let new = NewDir {
            mode: mkdir.mode,
            owner: self
                .owner(mkdir.owner.as_ref(), upper)?
                .unwrap_or(Owner::ROOT),
            mtime: mkdir.timestamp.map(timestamp),
        };
        upper
            .make_dir(Path::new(&mkdir.path), &new, mkdir.make_parents)
            .map_err(|source| write_failed(&mkdir.path, source))
    }

    fn symlink(&self, symlink: &SymlinkAction, upper: &Upper) -> Result<(), StepError> {
        let attributes = Attributes {
            owner: Some(
                self.owner(symlink.owner.as_ref(), upper)?
                    .unwrap_or(Owner::ROOT),
            ),
            mtime: symlink.timestamp.map(timestamp),
            ..Attributes::default()
        };
        upper
            .symlink(
                Path::new(&symlink.path),
                Path::new(&symlink.target),
                &attributes,
            )
            .map_err(|source| write_failed(&symlink.path, source))
    }
}

/// Returns the tree in which a name is to be looked up, if there is a name.
fn name_input(chown: &Chown) -> Option<ActionInput> {
    let principals = [chown.user.as_ref(), chown.group.as_ref()];
    principals
        .into_iter()
        .flatten()
        .find_map(|principal| match principal {
            Principal::Name { input, .. } => Some(*input),
            Principal::Id(_) => None,
        })
}

fn remove_path(remove: &RemoveAction, upper: &Upper) -> Result<(), StepError> {
    if remove.allow_wildcard {
        return Err(StepError::Unsupported("removing by pattern"));
    }
    upper
        .remove(Path::new(&remove.path), remove.allow_not_found)
        .map_err(|source| write_failed(&remove.path, source))
}

fn write_failed(path: &str, source: cache::WriteError) -> StepError {
    StepError::Write {
        path: path.into(),
        source,
    }
}

fn timestamp(ns: i64) -> Timestamp {
    Timestamp {
        secs: ns.div_euclid(1_000_000_000),
        nanos: u32::try_from(ns.rem_euclid(1_000_000_000)).unwrap_or(0),
    }
}

fn tree_source(view: &View) -> Source<'_> {
    Source {
        view,
        filter: None,
        owners: SourceOwners::Kept,
    }
}

fn copy_from(
    source: &Source<'_>,
    copy: &CopyAction,
    owner: Option<Owner>,
    upper: &Upper,
) -> Result<(), StepError> {
    let filter = Choosing::new(&copy.include_patterns, &copy.exclude_patterns)?;
    let chmod = match (copy.mode, copy.mode_str.as_str()) {
        (Some(mode), _) => Some(Chmod::Octal(mode)),
        (None, "") => None,
        (None, text) => Some(text.parse()?),
    };
    let required: Vec<PathBuf> = copy.required_paths.iter().map(PathBuf::from).collect();
    let request = CopyRequest {
        source: Path::new(&copy.src),
        dest: &copy.dest,
        owner,
        chmod: chmod.as_ref(),
        mtime: copy.timestamp.map(timestamp),
        follow_symlink: copy.follow_symlink,
        contents_only: copy.dir_copy_contents,
        allow_wildcard: copy.allow_wildcard,
        allow_empty_wildcard: copy.allow_empty_wildcard,
        create_dest_path: copy.create_dest_path,
        unpack_archives: copy.attempt_unpack,
        replace_existing: copy.always_replace,
        filter: filter.as_ref().map(|filter| filter as &dyn PathFilter),
        required: &required,
    };
    cache::copy(source, upper, &request)
        .map(drop)
        .map_err(|error| copy_failed(&copy.src, error))
}

fn copy_failed(path: &str, error: CopyError) -> StepError {
    match error {
        CopyError::Source(SourceError::NotFound(path)) => StepError::SourceNotFound {
            path: path.to_string_lossy().into_owned(),
            ignored: None,
            similar: None,
        },
        source => StepError::Copy {
            path: path.into(),
            source,
        },
    }
}

/// Copies everything in `view` into a plain directory.
pub(crate) fn copy_tree(view: &View, directory: &Path) -> Result<(), CopyError> {
    let target = Upper::plain(directory)?;
    let request = CopyRequest {
        allow_wildcard: false,
        ..CopyRequest::new(Path::new("/"), "/")
    };
    cache::copy(&tree_source(view), &target, &request).map(drop)
}

/// Copies the content of the directory `path` of `view` into a plain directory.
pub(crate) fn copy_all(view: &View, path: &str, directory: &Path) -> Result<(), StepError> {
    let copy = || {
        let target = Upper::plain(directory)?;
        let request = CopyRequest {
            allow_wildcard: false,
            ..CopyRequest::new(Path::new(path), "/")
        };
        cache::copy(&tree_source(view), &target, &request).map(drop)
    };
    copy().map_err(|error| copy_failed(path, error))
}

/// Copies what is at `path` to the same path of `target`.
pub(crate) fn copy_same_place(
    source: &Source<'_>,
    path: &str,
    target: &Upper,
) -> Result<(), StepError> {
    let request = CopyRequest {
        allow_wildcard: false,
        follow_symlink: false,
        ..CopyRequest::new(Path::new(path), path)
    };
    cache::copy(source, target, &request)
        .map(drop)
        .map_err(|error| copy_failed(path, error))
}
