// SPDX-License-Identifier: Apache-2.0
//! How each operation is carried out: the only place that knows both the cache and the runtime.
//!
//! One file per operation. [`Ops`] holds what they share for one build and is what the solver
//! drives.

mod checksum;
pub(crate) mod context;
pub(crate) mod file;
mod filter;
pub(crate) mod git;
pub(crate) mod host_ca;
pub(crate) mod http;
pub(crate) mod image;
pub(crate) mod log;
pub(crate) mod mounts;
pub(crate) mod run;
mod similar;
pub(crate) mod sources;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use cache::{CacheKey, Claim, SnapshotId, Store};
use graph::{Graph, Op, SourceOp, VertexId};
use oci::layout::Layout;
use tokio_util::sync::CancellationToken;

use crate::git::GitOptions;
use crate::pins::SourcePins;
use crate::report::StepReport;
use crate::request::Entitlements;
use crate::result::{self, LayerNote, Origin};
use crate::secret::Secrets;
use crate::solver::driver::{Executor, Ran, RecordKeys};
use crate::solver::key::Selector;
use crate::ssh::SshAgents;
use crate::step_error::StepError;

/// The result of a vertex.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// A root file system; none is the empty tree.
    Tree(Option<SnapshotId>),
    /// A directory of the caller, read in place.
    Local(String),
}

/// What the operations of one build share.
#[derive(Debug)]
pub(crate) struct Ops {
    pub(crate) graph: Arc<Graph>,
    pub(crate) store: Store,
    pub(crate) layout: Layout,
    pub(crate) client: registry::client::Client,
    pub(crate) runtime: Option<runtime::Runtime>,
    pub(crate) contexts: BTreeMap<String, context::Context>,
    pub(crate) images: image::ImageSources,
    pub(crate) secrets: Secrets,
    pub(crate) git: GitOptions,
    pub(crate) pins: SourcePins,
    pub(crate) ssh: SshAgents,
    pub(crate) entitlements: Entitlements,
    pub(crate) host_ca: Option<host_ca::HostCa>,
    pub(crate) source_date_epoch: Option<i64>,
    pub(crate) report: StepReport,
    pub(crate) cancel: CancellationToken,
    pub(crate) log_dir: PathBuf,
    /// Permits of steps that may run at the same time.
    pub(crate) slots: tokio::sync::Semaphore,
}

/// A result, and where its new files come from.
pub(crate) struct Made {
    pub(crate) snapshot: Option<SnapshotId>,
    pub(crate) origin: Origin,
}

impl Ops {
    pub(crate) fn source(&self, id: VertexId) -> Option<&SourceOp> {
        match &self.graph.vertex(id).op {
            Op::Source(source) => Some(source),
            _ => None,
        }
    }

    /// Runs blocking `work` off the reactor.
    pub(crate) async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> T {
        let ops = Arc::clone(self);
        let joined = tokio::task::spawn_blocking(move || work(&ops)).await;
        joined.expect("blocking work does not panic")
    }

    /// Makes the result of a vertex that is no image or download, without regard to the cache.
    async fn make(self: &Arc<Self>, id: VertexId, inputs: Vec<Output>) -> Result<Made, StepError> {
        let _slot = self
            .slots
            .acquire()
            .await
            .map_err(|_| StepError::Cancelled)?;
        if self.cancel.is_cancelled() {
            return Err(StepError::Cancelled);
        }
        match &self.graph.vertex(id).op {
            Op::Run(_) => run::run(self, id, inputs).await,
            Op::File(_) => self.blocking(move |ops| file::run(ops, id, &inputs)).await,
            Op::Merge => self.blocking(move |ops| merge(ops, &inputs)).await,
            Op::Diff { .. } => Err(StepError::Unsupported(
                "an operation that compares two trees",
            )),
            Op::Source(source) if scheme(source) == "git" => git::make(self, id, source).await,
            Op::Source(source) => Err(StepError::BadSource(source.identifier.clone())),
        }
    }

    /// Waits for the right to run the step of `keys`, or for the result of whoever has it.
    async fn claim(self: &Arc<Self>, keys: RecordKeys) -> Result<Claim, StepError> {
        self.blocking(move |ops| {
            let mut claim = if keys.may_share {
                ops.store.claim(&keys.key)?
            } else {
                ops.store.claim_anew(&keys.key)?
            };
            while let Claim::Busy(waiter) = claim {
                claim = waiter.wait(&|| ops.cancel.is_cancelled())?;
            }
            Ok(claim)
        })
        .await
    }
}

impl Executor for Arc<Ops> {
    type Output = Output;

    async fn identify(&self, id: VertexId) -> Result<CacheKey, StepError> {
        let Some(source) = self.source(id) else {
            return Err(StepError::BadSource(
                self.graph.vertex(id).meta.name.clone(),
            ));
        };
        match scheme(source) {
            "docker-image" | "oci-layout" => image::identify(self, id, source),
            "http" | "https" => {
                if let Some(key) = self.pins.download(source) {
                    return Ok(key);
                }
                let key = http::identify(self, id).await?;
                self.pins.pin_download(source, key);
                Ok(key)
            }
            "git" => git::identify(self, id, source).await,
            _ => Err(StepError::BadSource(source.identifier.clone())),
        }
    }

    async fn checksum(
        &self,
        source: VertexId,
        output: Option<(Output, u32)>,
        selectors: &[Selector],
    ) -> Result<CacheKey, StepError> {
        let selectors = selectors.to_vec();
        let output = output.map(|(output, _)| output);
        self.blocking(move |ops| checksum::checksum(ops, source, output, &selectors))
            .await
    }

    fn look_up(&self, key: CacheKey) -> Result<Option<(CacheKey, Output)>, StepError> {
        let Some(record) = self.store.get(&key)? else {
            return Ok(None);
        };
        Ok(result::step_key(&record).map(|key| (key, Output::Tree(record.snapshot))))
    }

    fn alias(&self, alias: CacheKey, key: CacheKey) -> Result<(), StepError> {
        if let Some(record) = self.store.get(&key)? {
            self.store.put(&alias, &record)?;
        }
        Ok(())
    }

    async fn run(
        &self,
        id: VertexId,
        inputs: Vec<Output>,
        keys: RecordKeys,
    ) -> Result<Ran<Output>, StepError> {
        match self.source(id).map(scheme) {
            Some("docker-image" | "oci-layout") => return image::fetch(self, id).await,
            Some("http" | "https") => return http::run(self, id, keys.key).await,
            _ => {}
        }
        let guard = match self.claim(keys).await? {
            Claim::Found(record) => {
                return Ok(Ran {
                    output: Output::Tree(record.snapshot),
                    cached: true,
                });
            }
            Claim::Owned(guard) => guard,
            Claim::Busy(_) => return Err(StepError::Cancelled),
        };
        let made = self.make(id, inputs).await?;
        self.blocking(move |ops| {
            let record = result::step_record(made.snapshot, keys.key);
            let mut further = Vec::new();
            if let Some(id) = made.snapshot {
                let created_ns = ops.now_ns();
                let origin = made.origin;
                further.push(result::note_record(id, LayerNote { created_ns, origin }));
            }
            if let Some(alias) = keys.alias {
                further.push((alias, record.clone()));
            }
            guard.finish_with(&record, further)?;
            Ok(Ran {
                output: Output::Tree(made.snapshot),
                cached: false,
            })
        })
        .await
    }

    fn local(&self, id: VertexId) -> Output {
        let name = self.source(id).map_or("", |source| &source.identifier);
        Output::Local(name.trim_start_matches("local://").to_owned())
    }
}

impl Ops {
    /// Returns the time of what is made now, in nanoseconds since 1970.
    pub(crate) fn now_ns(&self) -> i64 {
        let now = self.store.now();
        now.secs
            .saturating_mul(1_000_000_000)
            .saturating_add(i64::from(now.nanos))
    }
}

fn scheme(source: &SourceOp) -> &str {
    source
        .identifier
        .split_once("://")
        .map_or("", |(scheme, _)| scheme)
}

fn merge(ops: &Ops, inputs: &[Output]) -> Result<Made, StepError> {
    let mut trees = Vec::with_capacity(inputs.len());
    for input in inputs {
        match input {
            Output::Tree(tree) => trees.extend(*tree),
            Output::Local(_) => return Err(StepError::Unsupported("merging a local directory")),
        }
    }
    let snapshot = match trees.as_slice() {
        [] => None,
        [only] => Some(*only),
        several => Some(ops.store.merge(several)?),
    };
    Ok(Made {
        snapshot,
        origin: Origin::Step,
    })
}
