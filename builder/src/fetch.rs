// SPDX-License-Identifier: Apache-2.0
//! One source by itself, before there is a plan: a git or http context, whose Dockerfile has to be
//! read first.
//!
//! It is solved as a graph of one vertex, so that it goes through the same cache as in the build
//! that follows.

use std::collections::BTreeMap;
use std::sync::Arc;

use cache::{SnapshotError, SnapshotId, Store, View};
use graph::{Edge, Graph, Op, SourceOp, VertexMeta};
use tokio_util::sync::CancellationToken;

use crate::open::Builder;
use crate::ops::git::{self, GitCommit};
use crate::ops::{Ops, Output, image};
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

/// A source that is in the cache.
#[derive(Debug)]
pub struct FetchedSource {
    /// Its files.
    pub snapshot: SnapshotId,
    /// Which commit it is, if it comes from git.
    pub commit: Option<GitCommit>,
    store: Store,
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
        let cancel = cancel.child_token();
        let report = StepReport::continuing(sink, request.pins.steps());
        let mut graph = Graph::new();
        let op = Op::Source(request.source.clone());
        let meta = VertexMeta {
            name: request.name.clone(),
            ..VertexMeta::default()
        };
        let id = graph.add(op, Vec::new(), None, meta);
        let graph = Arc::new(graph);
        let ops = Arc::new(self.ops_of_source(Arc::clone(&graph), &request, &report, &cancel));
        let targets = [Edge::first(id)];
        report.plan(&graph, &[id]);
        let executor = Arc::new(Arc::clone(&ops));
        let solved = driver::solve(&executor, &graph, &targets, &report, &cancel);
        let trees = solved.await.map_err(|failure| *failure.error)?;
        let Some(Output::Tree(Some(snapshot))) = trees.get(&id) else {
            return Err(StepError::BadSource(request.source.identifier));
        };
        let is_git = request.source.identifier.starts_with("git://");
        let commit = if is_git {
            Some(git::commit(&ops, id, &request.source).await?)
        } else {
            None
        };
        Ok(FetchedSource {
            snapshot: *snapshot,
            commit,
            store: self.store.clone(),
        })
    }

    fn ops_of_source(
        &self,
        graph: Arc<Graph>,
        request: &SourceRequest,
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
            secrets: request.secrets.clone(),
            git: self.git.clone(),
            pins: request.pins.clone(),
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
