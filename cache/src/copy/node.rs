// SPDX-License-Identifier: Apache-2.0
//! A directory of the copy, from when it is needed until nothing in it is left to do.
//!
//! Several threads share a node. The one that lets go of it last gives the directory its time:
//! making an entry would change it.

use std::ffi::OsString;
use std::sync::{Arc, Mutex, PoisonError};

use super::CopyError;
use crate::file::{Attempt, FileError, Timestamp, set_times};
use crate::upper::{Attributes, NewDir, UpperDir};

pub(super) struct Node {
    /// `None` for the top.
    parent: Option<Arc<Node>>,
    name: OsString,
    opened: Mutex<Option<Arc<UpperDir>>>,
    plan: Plan,
}

/// How the directory is to look.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// Attributes for the directory, whether it is made or found; without the time.
    pub(super) attributes: Option<Attributes>,
    /// How it is made without attributes.
    pub(super) new_dir: NewDir,
    /// Its time, set last.
    pub(super) mtime: Option<Timestamp>,
    /// A file in its place gives way.
    pub(super) replaces: bool,
}

impl Node {
    /// The top: a directory that is open already.
    pub(super) fn top(dir: Arc<UpperDir>, plan: Plan) -> Arc<Self> {
        Arc::new(Self {
            parent: None,
            name: OsString::new(),
            opened: Mutex::new(Some(dir)),
            plan,
        })
    }

    /// A directory that is made when [`Self::dir`] is called.
    pub(super) fn child(parent: &Arc<Self>, name: OsString, plan: Plan) -> Arc<Self> {
        Arc::new(Self {
            parent: Some(Arc::clone(parent)),
            name,
            opened: Mutex::new(None),
            plan,
        })
    }

    /// Returns the handle; makes the directory, and those above it, if that did not happen yet.
    pub(super) fn dir(&self) -> Result<Arc<UpperDir>, CopyError> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(dir) = &*opened {
            return Ok(Arc::clone(dir));
        }
        let Some(parent) = &self.parent else {
            unreachable!("the top is open from the start");
        };
        let above = parent.dir()?;
        let (dir, _) = if self.plan.replaces {
            above.child_replacing(&self.name, &self.plan.new_dir)?
        } else {
            above.child(&self.name, &self.plan.new_dir)?
        };
        if let Some(attributes) = &self.plan.attributes {
            attributes.set(dir.handle(), dir.path())?;
        }
        let dir = Arc::new(dir);
        *opened = Some(Arc::clone(&dir));
        Ok(dir)
    }

    /// Lets go of a node; the last one to do so sets its time, and then lets go of its parent.
    pub(super) fn release(node: Arc<Self>) -> Result<(), FileError> {
        let mut next = Some(node);
        while let Some(node) = next.and_then(Arc::into_inner) {
            let opened = node
                .opened
                .into_inner()
                .unwrap_or_else(PoisonError::into_inner);
            if let (Some(dir), Some(mtime)) = (opened, node.plan.mtime) {
                set_times(dir.handle(), mtime).attempt("set time of", dir.path())?;
            }
            next = node.parent;
        }
        Ok(())
    }
}
