// SPDX-License-Identifier: Apache-2.0
//! One source by itself, before there is a plan: a git or http context, whose Dockerfile has to be
//! read first.
//!
//! It is solved as a graph of one vertex, so that it goes through the same cache as in the build
//! that follows.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use cache::{Follow, Resolved, SnapshotError, SnapshotId, Store, View, ViewError};
use graph::{Edge, Graph, Op, SourceOp, VertexMeta};
use tokio_util::sync::CancellationToken;

use crate::open::Builder;
use crate::ops::git::{self, GitCommit};
use crate::ops::{Ops, Output, http, image};
use crate::pins::SourcePins;
use crate::progress::Sink;
use crate::report::StepReport;
use crate::request::Entitlements;
use crate::secret::Secrets;
use crate::solver::driver;
use crate::step_error::StepError;

/// A source to fetch.
#[derive(Debug)]
pub struct SourceRequest {
    /// The operation, as the graph of the build will have it.
    pub source: SourceOp,
    /// What the step is called.
    pub name: String,
    /// Secrets that servers may be shown.
    pub secrets: Secrets,
    /// What the build's sources are; see there.
    pub pins: SourcePins,
}

/// What fetching before a build may use.
#[derive(Clone, Debug, Default)]
pub struct SourceAccess {
    /// Secrets that servers may be shown.
    pub secrets: Secrets,
    /// What the build's sources are; see there.
    pub pins: SourcePins,
}

/// A source that is in the cache.
#[derive(Debug)]
pub struct FetchedSource {
    /// Its files.
    pub snapshot: SnapshotId,
    /// Which commit it is, if it comes from git.
    pub commit: Option<GitCommit>,
    /// What the file is, if it is a download.
    pub download: Option<Download>,
    store: Store,
}

/// A downloaded file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Download {
    /// Its name in the tree.
    pub name: String,
    /// When it was last modified, as the server says, in seconds since 1970.
    pub modified: Option<i64>,
}

impl FetchedSource {
    /// Returns its files, to read them.
    ///
    /// # Errors
    ///
    /// What the cache said.
    pub fn view(&self) -> Result<View, SnapshotError> {
        self.store.view(self.snapshot)
    }

    /// Opens the regular file `path`, symlinks followed inside of the tree; none if it is not there.
    ///
    /// # Errors
    ///
    /// What the cache said; also if it is not a regular file.
    pub fn open(&self, path: &Path) -> Result<Option<File>, StepError> {
        let view = self.view()?;
        match view.resolve(path, Follow::All) {
            Ok(Resolved::Entry { parent, entry, .. }) => Ok(Some(parent.open_file(&entry)?)),
            Ok(_) | Err(ViewError::NotADirectory(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Returns its time in seconds since 1970: of the commit; of the last modification of a
    /// download, else of the newest file in it if it is an archive.
    ///
    /// # Errors
    ///
    /// What the cache said.
    pub fn time(&self) -> Result<Option<i64>, StepError> {
        let Some(download) = &self.download else {
            return Ok(self.commit.as_ref().map(|commit| commit.time));
        };
        if download.modified.is_some() {
            return Ok(download.modified);
        }
        let path = Path::new(&download.name);
        let Some(file) = self.open(path)? else {
            return Ok(None);
        };
        let newest = cache::newest_file_time(file).map_err(|source| StepError::ReadDownload {
            name: download.name.clone(),
            source,
        })?;
        Ok(newest.map(|time| time.secs))
    }
}

impl Builder {
    /// Fetches a source through the build cache, shown in `sink` as a step of its own.
    ///
    /// # Errors
    ///
    /// [`StepError`] if it cannot be had, [`StepError::BadSource`] if it is no source that can be
    /// fetched by itself.
    ///
    /// # Cancellation
    ///
    /// As [`Builder::build`].
    pub async fn fetch_source(
        &self,
        request: SourceRequest,
        sink: Arc<dyn Sink>,
        cancel: CancellationToken,
    ) -> Result<FetchedSource, StepError> {
        let mut graph = Graph::new();
        let op = Op::Source(request.source.clone());
        let meta = VertexMeta {
            name: request.name.clone(),
            ..VertexMeta::default()
        };
        let id = graph.add(op, Vec::new(), None, meta);
        let access = SourceAccess {
            secrets: request.secrets,
            pins: request.pins,
        };
        let solved = self.solve_sources(graph, Edge::first(id), &access, sink, cancel);
        let (ops, snapshot) = solved.await?;
        let is_git = request.source.identifier.starts_with("git://");
        let (commit, download) = if is_git {
            (Some(git::commit(&ops, id, &request.source).await?), None)
        } else {
            let download = Download {
                name: http::name(&ops, id)?,
                modified: http::modified(&ops, id)?,
            };
            (None, Some(download))
        };
        Ok(FetchedSource {
            snapshot,
            commit,
            download,
            store: self.store.clone(),
        })
    }

    /// Makes the tree of `result`, which needs sources and file operations alone, through the build
    /// cache.
    ///
    /// # Errors
    ///
    /// [`StepError`] if it cannot be made, [`StepError::BadSource`] if it is empty.
    ///
    /// # Cancellation
    ///
    /// As [`Builder::build`].
    pub async fn fetch_tree(
        &self,
        graph: Graph,
        result: Edge,
        access: &SourceAccess,
        sink: Arc<dyn Sink>,
        cancel: CancellationToken,
    ) -> Result<FetchedSource, StepError> {
        let solved = self.solve_sources(graph, result, access, sink, cancel);
        Ok(FetchedSource {
            snapshot: solved.await?.1,
            commit: None,
            download: None,
            store: self.store.clone(),
        })
    }

    async fn solve_sources(
        &self,
        graph: Graph,
        result: Edge,
        access: &SourceAccess,
        sink: Arc<dyn Sink>,
        cancel: CancellationToken,
    ) -> Result<(Arc<Ops>, SnapshotId), StepError> {
        let cancel = cancel.child_token();
        let report = StepReport::continuing(sink, access.pins.steps());
        let graph = Arc::new(graph);
        let ops = Arc::new(self.ops_of_source(Arc::clone(&graph), access, &report, &cancel));
        let targets = [result];
        report.plan(&graph, &graph.reachable(&targets));
        let executor = Arc::new(Arc::clone(&ops));
        let solved = driver::solve(&executor, &graph, &targets, &report, &cancel);
        let trees = solved.await.map_err(|failure| *failure.error)?;
        match trees.get(&result.vertex) {
            Some(Output::Tree(Some(snapshot))) => Ok((ops, *snapshot)),
            _ => Err(StepError::BadSource(
                graph.vertex(result.vertex).meta.name.clone(),
            )),
        }
    }

    fn ops_of_source(
        &self,
        graph: Arc<Graph>,
        access: &SourceAccess,
        report: &StepReport,
        cancel: &CancellationToken,
    ) -> Ops {
        Ops {
            graph,
            store: self.store.clone(),
            layout: self.layout.clone(),
            client: self.client.clone(),
            runtime: None,
            contexts: BTreeMap::new(),
            images: image::ImageSources::default(),
            secrets: access.secrets.clone(),
            git: self.git.clone(),
            pins: access.pins.clone(),
            ssh: crate::ssh::SshAgents::default(),
            entitlements: Entitlements::default(),
            host_ca: None,
            source_date_epoch: None,
            report: report.clone(),
            cancel: cancel.clone(),
            log_dir: self.new_log_dir(),
            slots: tokio::sync::Semaphore::new(1),
        }
    }
}
