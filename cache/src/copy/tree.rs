// SPDX-License-Identifier: Apache-2.0
//! The walk: directories become tasks, files become batches of them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::destination::Destination;
use super::entry::Copier;
use super::node::{Node, Plan};
use super::{CopyError, CopyRequest, CopyStats};
use crate::pool::{self, Queue};
use crate::source::{Chosen, Place, Source, Verdict};
use crate::upper::{Attributes, NewDir, Upper};
use crate::view::{Entry, MergedDir};

/// How many files one task copies: few enough to share a flat directory among threads.
const BATCH: usize = 64;

enum Task {
    /// The entries of a directory, to be listed.
    Dir {
        /// The directory it is in, and its entry there; `None` for one that is open.
        from: From,
        node: Arc<Node>,
        /// Its path below the directory that is copied.
        relative: PathBuf,
    },
    /// Files of a directory.
    Files {
        dir: Arc<MergedDir>,
        entries: Vec<Entry>,
        node: Arc<Node>,
    },
}

enum From {
    Open(Arc<MergedDir>),
    /// Opened only when its turn comes: handles are few.
    Child(Arc<MergedDir>, Entry),
}

/// Copies one source to its destination.
pub(super) fn copy_chosen(
    source: &Source<'_>,
    target: &Upper,
    request: &CopyRequest<'_>,
    chosen: &Chosen,
    destination: &Destination,
) -> Result<CopyStats, CopyError> {
    let copier = Copier::new(source, target, request, destination.new_dir);
    match &chosen.place {
        Place::Entry(parent, entry) if !entry.meta.is_dir() => {
            copy_file(&copier, target, destination, (parent, entry))?;
        }
        place => {
            let dir = chosen.open_dir(source)?;
            let node = top(&copier, target, destination, (place, &dir))?;
            let first = Task::Dir {
                from: From::Open(dir),
                node,
                relative: PathBuf::new(),
            };
            pool::run(first, |task, queue| step(&copier, task, queue))?;
        }
    }
    Ok(copier.stats())
}

fn copy_file(
    copier: &Copier<'_>,
    target: &Upper,
    destination: &Destination,
    (parent, entry): (&MergedDir, &Entry),
) -> Result<(), CopyError> {
    let path = &destination.path;
    let above = path.parent().unwrap_or(Path::new("/"));
    let name = path.file_name().ok_or(crate::WriteError::Root)?;
    let dir = target.make_dirs(above, &destination.new_dir)?;
    copier.copy(parent, entry, (&dir, name))
}

/// The directory that a directory is copied to.
///
/// If it is there already, or made for the content of another, it keeps its own attributes but takes the
/// source's time (facts: rule 38).
fn top(
    copier: &Copier<'_>,
    target: &Upper,
    destination: &Destination,
    (place, dir): (&Place, &Arc<MergedDir>),
) -> Result<Arc<Node>, CopyError> {
    let meta = match place {
        Place::Root => dir.meta()?,
        Place::Entry(_, entry) => entry.meta,
    };
    let existed = target.view().lstat(&destination.path)?.is_some();
    let opened = if copier.request.replace_existing {
        match target.make_dirs(&destination.path, &destination.new_dir) {
            Err(crate::WriteError::IsNotADirectory(_)) => {
                target.remove(&destination.path, true)?;
                target.make_dirs(&destination.path, &destination.new_dir)?
            }
            other => other?,
        }
    } else {
        target.make_dirs(&destination.path, &destination.new_dir)?
    };
    if !existed && !copier.request.contents_only {
        let attributes = copier.attributes(&meta, dir.own_xattrs()?);
        let attributes = Attributes {
            mtime: None,
            ..attributes
        };
        attributes.set(opened.handle(), opened.path())?;
    }
    let plan = Plan {
        attributes: None,
        new_dir: destination.new_dir,
        mtime: Some(copier.mtime(&meta)),
        replaces: false,
    };
    Ok(Node::top(opened, plan))
}

fn step(copier: &Copier<'_>, task: Task, queue: &Queue<Task, CopyError>) -> Result<(), CopyError> {
    match task {
        Task::Dir {
            from,
            node,
            relative,
        } => {
            let dir = match from {
                From::Open(dir) => dir,
                From::Child(parent, entry) => Arc::new(parent.open_dir(&entry.name)?),
            };
            list(copier, &dir, (&node, &relative), queue)?;
            Ok(Node::release(node)?)
        }
        Task::Files { dir, entries, node } => {
            let target = node.dir()?;
            for entry in &entries {
                copier.copy(&dir, entry, (&target, &entry.name))?;
            }
            drop(target);
            Ok(Node::release(node)?)
        }
    }
}

fn list(
    copier: &Copier<'_>,
    dir: &Arc<MergedDir>,
    (node, relative): (&Arc<Node>, &Path),
    queue: &Queue<Task, CopyError>,
) -> Result<(), CopyError> {
    let mut batch = Vec::new();
    let mut dirs = Vec::new();
    let send = |entries: Vec<Entry>| {
        queue.push(Task::Files {
            dir: Arc::clone(dir),
            entries,
            node: Arc::clone(node),
        });
    };
    let has_filter = copier.has_filter();
    for entry in dir.entries()? {
        let is_dir = entry.meta.is_dir();
        let below = relative.join(&entry.name);
        let verdict = if has_filter {
            copier.verdict(&dir.path().join(&entry.name), &below, is_dir)
        } else {
            Verdict::Take
        };
        match verdict {
            Verdict::Skip => {}
            _ if is_dir => dirs.push((entry, below, verdict)),
            Verdict::Look => {}
            Verdict::Take => {
                batch.push(entry);
                if batch.len() == BATCH {
                    send(std::mem::take(&mut batch));
                }
            }
        }
    }
    // Directories first: the last pushed is the first done, and files are what frees handles.
    for (entry, relative, verdict) in dirs {
        let child = child(copier, node, dir, &entry)?;
        if verdict == Verdict::Take {
            child.dir()?;
        }
        queue.push(Task::Dir {
            from: From::Child(Arc::clone(dir), entry),
            node: child,
            relative,
        });
    }
    if !batch.is_empty() {
        send(batch);
    }
    Ok(())
}

/// A directory below the top takes the source's attributes, whether it is there already or not.
fn child(
    copier: &Copier<'_>,
    node: &Arc<Node>,
    dir: &MergedDir,
    entry: &Entry,
) -> Result<Arc<Node>, CopyError> {
    let attributes = copier.attributes(&entry.meta, dir.xattrs(entry)?);
    let plan = Plan {
        mtime: attributes.mtime,
        attributes: Some(Attributes {
            mtime: None,
            ..attributes
        }),
        new_dir: NewDir::default(),
        replaces: copier.request.replace_existing,
    };
    Ok(Node::child(node, entry.name.clone(), plan))
}
