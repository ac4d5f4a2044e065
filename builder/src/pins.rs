// SPDX-License-Identifier: Apache-2.0
//! What the sources of one build were found to be: a branch that moves, or a file that changes,
//! while the build runs changes nothing.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex, PoisonError};

use cache::CacheKey;
use graph::SourceOp;
use tokio::sync::OnceCell;

use crate::git::resolve::Resolved;

/// What is found out about the sources of one build, and the numbers of its steps. Clones share.
///
/// Give the same one to every [`Builder::fetch_source`](crate::Builder::fetch_source) of a build
/// and to its [`BuildRequest`](crate::BuildRequest).
#[derive(Clone, Debug, Default)]
pub struct SourcePins(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// By address and what was asked of it.
    git: Mutex<BTreeMap<String, Arc<OnceCell<Resolved>>>>,
    /// Keys of downloads, by operation.
    downloads: Mutex<BTreeMap<String, CacheKey>>,
    steps: Arc<AtomicU32>,
}

impl SourcePins {
    /// Returns the place for what a reference of a remote is: empty until the first has asked, for
    /// whom the others wait.
    pub(crate) fn git(&self, what: &str) -> Arc<OnceCell<Resolved>> {
        let mut git = self.0.git.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(git.entry(what.to_owned()).or_default())
    }

    /// Returns the key of a download that was made before.
    pub(crate) fn download(&self, source: &SourceOp) -> Option<CacheKey> {
        let downloads = &self.0.downloads;
        let downloads = downloads.lock().unwrap_or_else(PoisonError::into_inner);
        downloads.get(&text(source)).copied()
    }

    /// Remembers the key of a download.
    pub(crate) fn pin_download(&self, source: &SourceOp, key: CacheKey) {
        let downloads = &self.0.downloads;
        let mut downloads = downloads.lock().unwrap_or_else(PoisonError::into_inner);
        downloads.insert(text(source), key);
    }

    /// Returns the counter of the build's steps.
    pub(crate) fn steps(&self) -> Arc<AtomicU32> {
        Arc::clone(&self.0.steps)
    }
}

/// Everything that a source operation says, so that equal texts are equal operations.
fn text(source: &SourceOp) -> String {
    format!("{source:?}")
}
