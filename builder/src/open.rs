// SPDX-License-Identifier: Apache-2.0
//! The builder over one state directory.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use cache::{Store, StoreError, StoreOptions};
use oci::layout::{Layout, OpenLayoutError};
use registry::client::Client;
use runtime::Runtime;

use crate::git::GitOptions;

/// What a builder works with.
#[derive(Debug)]
pub struct BuilderOptions {
    /// The state directory; see `docs/cache-format.md`. Made if missing.
    pub root: PathBuf,
    /// The way to registries.
    pub client: Client,
    /// The way to processes; none if nothing is going to be run.
    pub runtime: Option<Runtime>,
    /// What fetching from git may use.
    pub git: GitOptions,
}

/// Why a state directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenBuilderError {
    /// The state directory cannot be made.
    #[error("cannot make the state directory {}", path.display())]
    Root {
        /// The state directory.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The cache cannot be opened.
    #[error("cannot open the state directory {}", path.display())]
    Store {
        /// The state directory.
        path: PathBuf,
        /// Why.
        source: StoreError,
    },
    /// The image store cannot be opened.
    #[error("cannot open the image store {}", path.display())]
    Layout {
        /// The image store.
        path: PathBuf,
        /// Why.
        source: OpenLayoutError,
    },
}

/// Builds and runs images over one state directory. Any number of processes may have one over the
/// same directory.
#[derive(Clone, Debug)]
pub struct Builder {
    pub(crate) root: PathBuf,
    pub(crate) store: Store,
    pub(crate) layout: Layout,
    pub(crate) client: Client,
    pub(crate) runtime: Option<Runtime>,
    pub(crate) git: GitOptions,
    pub(crate) parallel_max: usize,
}

impl Builder {
    /// Opens the state directory, made if missing.
    ///
    /// # Errors
    ///
    /// [`OpenBuilderError`].
    pub fn open(options: BuilderOptions) -> Result<Self, OpenBuilderError> {
        let BuilderOptions {
            root,
            client,
            runtime,
            git,
        } = options;
        let store =
            Store::open(StoreOptions::new(&root)).map_err(|source| OpenBuilderError::Store {
                path: root.clone(),
                source,
            })?;
        let layout = open_layout(&root)?;
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self {
            root,
            store,
            layout,
            client,
            runtime,
            git,
            parallel_max: processors.max(2),
        })
    }

    /// Returns the local image store.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Returns the build cache.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Returns the way to registries.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Returns what fetching from git may use in a build that trusts `host_ca`.
    pub(crate) fn git_options(&self, host_ca: Option<&Path>) -> GitOptions {
        let mut options = self.git.clone();
        if let Some(bundle) = host_ca {
            options.ca_bundle = Some(bundle.to_owned());
        }
        options
    }

    /// Deletes what steps left behind: only now, because file systems make new files slowly right
    /// after old ones were deleted. What cannot be deleted waits for the next time.
    pub(crate) async fn clean_up(&self) {
        let store = self.store.clone();
        let emptied = tokio::task::spawn_blocking(move || store.empty_trash()).await;
        drop(emptied);
    }

    /// Returns a directory for the logs of one build. It is made by the first step that says
    /// something.
    pub(crate) fn new_log_dir(&self) -> PathBuf {
        /// Tells builds of one process apart.
        static BUILDS: AtomicU64 = AtomicU64::new(0);
        let now = self.store.now();
        let build = BUILDS.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}-{}-{build}", now.secs, std::process::id());
        self.root.join("logs").join(name)
    }
}

/// Opens the image store of a state directory, made if missing: all that commands need which
/// neither build nor run.
///
/// # Errors
///
/// [`OpenBuilderError::Layout`].
pub fn open_layout(root: &Path) -> Result<Layout, OpenBuilderError> {
    make_root(root)?;
    let path = root.join("images");
    Layout::create(&path).map_err(|source| OpenBuilderError::Layout { path, source })
}

/// Makes the state directory, closed to other users: the layers in it hold setuid programs and
/// whatever else an image has (containerd's CVE-2021-41103).
///
/// # Errors
///
/// [`OpenBuilderError::Root`].
pub fn make_root(root: &Path) -> Result<(), OpenBuilderError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(root)
        .map_err(|source| OpenBuilderError::Root {
            path: root.into(),
            source,
        })
}
