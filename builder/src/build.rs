// SPDX-License-Identifier: Apache-2.0
//! The spine: from a description to a tagged, perhaps pushed, image. Each stage turns one value
//! into the next.

use std::collections::BTreeMap;
use std::sync::Arc;

use graph::{Edge, Frontend, Plan, PlanTarget, VertexId};
use oci::{Descriptor, Digest, Image, Index, MediaType, Reference};
use tokio_util::sync::CancellationToken;

use crate::assemble::assemble;
use crate::error::{BuildError, FailedStep, StoreImageError};
use crate::explain::check_possible;
use crate::export::{self, Exported, layers};
use crate::open::Builder;
use crate::ops::{Ops, Output as Tree, context, host_ca::HostCa, image, log, sources};
use crate::progress::Sink;
use crate::redact::without_credentials;
use crate::report::StepReport;
use crate::request::{BuildRequest, Output};
use crate::resolve::{Access, Resolver};
use crate::solver::driver::{self, SolveFailure};
use crate::step_error::StepError;
use crate::transfer;

/// What a build made.
#[derive(Clone, Debug)]
pub struct BuildOutcome {
    /// The manifest, or the index of a build for several platforms; none if no output was an image.
    pub descriptor: Option<Descriptor>,
    /// The digest of the config, which Docker calls image ID; of the first platform.
    pub config_digest: Option<Digest>,
}

/// The images of a build, one per platform.
struct Documents {
    images: Vec<Image>,
    /// Whether an index goes over them, even over one.
    as_index: bool,
}

/// The last state of a build, for `--print`.
#[derive(Debug)]
pub struct Solved {
    plan: Plan,
    trees: BTreeMap<VertexId, Tree>,
    ops: Arc<Ops>,
}

impl Builder {
    /// Builds.
    ///
    /// # Errors
    ///
    /// The error of the first stage that failed; later stages have not started.
    ///
    /// # Cancellation
    ///
    /// Cancel `cancel` and go on awaiting: running steps are killed. Committed snapshots and blobs
    /// stay and are found by the next build. A tag, local or remote, moves only after everything it
    /// names is in place.
    pub async fn build<F: Frontend>(
        &self,
        frontend: &F,
        request: &BuildRequest<F::Input>,
        sink: Arc<dyn Sink>,
        cancel: CancellationToken,
    ) -> Result<BuildOutcome, BuildError<F::Error>> {
        // A step that fails cancels the others, not what else the caller does under its token.
        let cancel = cancel.child_token();
        let result = self.build_with(frontend, request, sink, &cancel).await;
        self.clean_up().await;
        result
    }

    async fn build_with<F: Frontend>(
        &self,
        frontend: &F,
        request: &BuildRequest<F::Input>,
        sink: Arc<dyn Sink>,
        cancel: &CancellationToken,
    ) -> Result<BuildOutcome, BuildError<F::Error>> {
        let report = &StepReport::continuing(Arc::clone(&sink), request.pins.steps());
        let access = Access::of(request, cancel);
        let resolver = Resolver::new(self, sink, access);
        let plan = frontend
            .lower(&request.input, &resolver)
            .await
            .map_err(BuildError::Lower)?;
        let solved = self
            .solve(plan, request, resolver.into_sources(), report, cancel)
            .await?;
        let mut images = Vec::new();
        if request.outputs.iter().any(Output::needs_image) {
            for target in &solved.plan.targets {
                images.push(self.image(&solved, target, request, report).await?);
            }
        }
        if cancel.is_cancelled() {
            return Err(BuildError::Cancelled);
        }
        let documents = Documents {
            images,
            as_index: solved.plan.multi_platform,
        };
        let outcome = self.store_image(documents, request, report).await?;
        self.export(&solved, &outcome, request, report).await?;
        Ok(outcome)
    }

    /// Returns what the operations of one build share.
    pub(crate) fn ops<I, E: std::error::Error + 'static>(
        &self,
        plan: &Plan,
        request: &BuildRequest<I>,
        images: image::ImageSources,
        report: &StepReport,
        cancel: &CancellationToken,
    ) -> Result<Arc<Ops>, BuildError<E>> {
        let host_ca = request.host_ca.as_deref().map(HostCa::read).transpose();
        Ok(Arc::new(Ops {
            graph: Arc::new(plan.graph.clone()),
            store: self.store.clone(),
            layout: self.layout.clone(),
            client: self.client.clone(),
            runtime: self.runtime.clone(),
            contexts: context::all(&request.contexts),
            images,
            secrets: request.secrets.clone(),
            git: self.git_options(request.host_ca.as_deref()),
            pins: request.pins.clone(),
            ssh: request.ssh.clone(),
            entitlements: request.entitlements.clone(),
            host_ca: host_ca.map_err(BuildError::HostCa)?,
            source_date_epoch: request.source_date_epoch.or(plan.source_date_epoch),
            report: report.clone(),
            cancel: cancel.clone(),
            log_dir: self.new_log_dir(),
            slots: tokio::sync::Semaphore::new(request.parallel_max.unwrap_or(self.parallel_max)),
        }))
    }

    async fn solve<I, E: std::error::Error + 'static>(
        &self,
        plan: Plan,
        request: &BuildRequest<I>,
        images: image::ImageSources,
        report: &StepReport,
        cancel: &CancellationToken,
    ) -> Result<Solved, BuildError<E>> {
        let ops = self.ops(&plan, request, images, report, cancel)?;
        let targets = targets(&plan);
        let possible = check_possible(&ops, &targets).await;
        possible.map_err(|failure| failed_step(&ops, failure))?;
        let graph = &ops.graph;
        let needed = graph.reachable(&targets);
        report.plan(graph, &needed);
        sources::check(&ops, &needed).map_err(|failure| failed_step(&ops, failure))?;
        let trees = driver::solve(&Arc::new(Arc::clone(&ops)), graph, &targets, report, cancel)
            .await
            .map_err(|failure| failed_step(&ops, failure))?;
        Ok(Solved {
            plan,
            trees: trees.into_iter().collect(),
            ops,
        })
    }

    async fn image<I, E: std::error::Error + 'static>(
        &self,
        solved: &Solved,
        target: &PlanTarget,
        request: &BuildRequest<I>,
        report: &StepReport,
    ) -> Result<Image, BuildError<E>> {
        let step = report.begin("exporting layers", oci::sha256(b"exporting layers"));
        let form = layers::Form::new(request.compression, solved.ops.source_date_epoch);
        let made = layers::export(&solved.ops, solved.tree(target), form)
            .await
            .map_err(BuildError::Layers);
        report.end_with(step, &made);
        let epoch = solved.ops.source_date_epoch;
        let now_ns = solved.ops.now_ns();
        assemble(target.config.clone(), &made?, now_ns, epoch).map_err(BuildError::Assemble)
    }

    /// Writes the documents, makes everything durable, then moves the tags.
    async fn store_image<I, E: std::error::Error + 'static>(
        &self,
        documents: Documents,
        request: &BuildRequest<I>,
        report: &StepReport,
    ) -> Result<BuildOutcome, BuildError<E>> {
        let [first, ..] = documents.images.as_slice() else {
            return Ok(BuildOutcome {
                descriptor: None,
                config_digest: None,
            });
        };
        let to_store = request
            .outputs
            .iter()
            .any(|output| matches!(output, Output::Image { .. }));
        let step = to_store
            .then(|| report.begin("exporting to image", oci::sha256(b"exporting to image")));
        let (layout, store) = (self.layout.clone(), self.store.clone());
        let config_digest = first.id().clone();
        let tags = request.tags.clone();
        let stored = tokio::task::spawn_blocking(move || {
            write_image(&layout, &store, &documents, &tags, to_store)
        })
        .await
        .expect("writing an image does not panic");
        if let Some(step) = step {
            if stored.is_ok() {
                report.amount(
                    step,
                    &format!("writing image {config_digest}"),
                    (0, 0),
                    true,
                );
                for tag in &request.tags {
                    report.amount(step, &format!("naming to {tag}"), (0, 0), true);
                }
            }
            report.end_with(step, &stored);
        }
        Ok(BuildOutcome {
            descriptor: Some(stored.map_err(BuildError::Store)?),
            config_digest: Some(config_digest),
        })
    }

    async fn export<I, E: std::error::Error + 'static>(
        &self,
        solved: &Solved,
        outcome: &BuildOutcome,
        request: &BuildRequest<I>,
        report: &StepReport,
    ) -> Result<(), BuildError<E>> {
        for output in &request.outputs {
            if let Output::Image { push: true } = output {
                self.push_tags(outcome, &request.tags, report).await?;
                continue;
            }
            let trees = solved
                .plan
                .targets
                .iter()
                .map(|target| (target.platform.clone(), solved.tree(target)))
                .collect();
            let exported = Exported {
                trees,
                is_index: solved.plan.multi_platform,
                descriptor: outcome.descriptor.clone(),
                tags: request.tags.clone(),
                source_date_epoch: solved.ops.source_date_epoch,
            };
            export::export(&solved.ops, output, exported, report)
                .await
                .map_err(BuildError::Export)?;
        }
        Ok(())
    }

    async fn push_tags<E: std::error::Error + 'static>(
        &self,
        outcome: &BuildOutcome,
        tags: &[Reference],
        report: &StepReport,
    ) -> Result<(), BuildError<E>> {
        let Some(descriptor) = &outcome.descriptor else {
            return Ok(());
        };
        if tags.is_empty() {
            return Err(BuildError::PushWithoutTag);
        }
        for tag in tags {
            let name = format!("pushing {}", tag.familiar());
            let step = report.begin(&name, oci::sha256(name.as_bytes()));
            let progress = transfer::progress(report.clone(), step);
            let pushed = self
                .client
                .push(&self.layout, descriptor, tag, &progress)
                .await;
            report.end_with(step, &pushed);
            pushed.map_err(|source| BuildError::Push {
                reference: Box::new(tag.clone()),
                source,
            })?;
        }
        Ok(())
    }
}

impl Solved {
    fn tree(&self, target: &PlanTarget) -> Tree {
        let tree = target.result.and_then(|edge| self.trees.get(&edge.vertex));
        tree.cloned().unwrap_or(Tree::Tree(None))
    }
}

/// Blobs first, then everything is forced to disk, then the tags: whoever sees a tag sees it all.
fn write_image(
    layout: &oci::layout::Layout,
    store: &cache::Store,
    documents: &Documents,
    tags: &[Reference],
    to_store: bool,
) -> Result<Descriptor, StoreImageError> {
    let mut descriptors = Vec::with_capacity(documents.images.len());
    for image in &documents.images {
        let mut descriptor = image.write(layout)?;
        descriptor.platform = Some(image.config().platform());
        descriptors.push(descriptor);
    }
    let descriptor = if let ([only], false) = (descriptors.as_mut_slice(), documents.as_index) {
        only.platform = None;
        only.clone()
    } else {
        let index = Index::new(descriptors);
        layout.put_bytes(MediaType::OciIndex, &index.to_bytes())?
    };
    if is_in_place(layout, &descriptor, tags)? {
        return Ok(descriptor);
    }
    layout.sync()?;
    store.sync()?;
    if to_store {
        for tag in tags {
            layout.tag(tag, &descriptor)?;
        }
        if tags.is_empty() {
            layout.add(&descriptor)?;
        }
    }
    Ok(descriptor)
}

/// Tells whether an unchanged build has nothing to write: everything was made durable before the
/// tags that are there were set.
fn is_in_place(
    layout: &oci::layout::Layout,
    descriptor: &Descriptor,
    tags: &[Reference],
) -> Result<bool, StoreImageError> {
    for tag in tags {
        let current = layout.resolve(tag)?;
        if current.is_none_or(|current| current.digest != descriptor.digest) {
            return Ok(false);
        }
    }
    Ok(!tags.is_empty())
}

/// Returns the results that a plan asks for.
pub(crate) fn targets(plan: &Plan) -> Vec<Edge> {
    plan.targets
        .iter()
        .filter_map(|target| target.result)
        .collect()
}

pub(crate) fn failed_step<E: std::error::Error + 'static>(
    ops: &Ops,
    failure: SolveFailure,
) -> BuildError<E> {
    if failure.error.is_cancelled() {
        return BuildError::Cancelled;
    }
    let vertex = ops.graph.vertex(failure.vertex);
    let path = ops
        .report
        .step(failure.vertex)
        .map(|step| log::path(&ops.log_dir, step.0))
        .filter(|path| path.exists());
    let log_tail = match (&*failure.error, &path) {
        (StepError::Exit { .. }, Some(path)) => log::tail(path),
        _ => String::new(),
    };
    BuildError::Step(Box::new(FailedStep {
        name: without_credentials(&vertex.meta.name),
        location: vertex.meta.location.clone(),
        error: *failure.error,
        log: path,
        log_tail,
    }))
}
