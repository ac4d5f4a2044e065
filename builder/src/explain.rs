// SPDX-License-Identifier: Apache-2.0
//! `kiln build --explain`: a plan with what a build would do about it. Nothing is run or fetched
//! but the documents of base images.

use std::collections::BTreeMap;
use std::sync::Arc;

use graph::{Edge, Frontend, Op, Plan, VertexId};
use oci::{Platform, chain_ids};
use tokio_util::sync::CancellationToken;

use crate::build::{failed_step, targets};
use crate::emulation::{self, StepPlatform};
use crate::error::BuildError;
use crate::forecast::{Fate, forecast};
use crate::open::Builder;
use crate::ops::Ops;
use crate::progress::Silent;
use crate::report::StepReport;
use crate::request::BuildRequest;
use crate::resolve::{Access, Resolver};
use crate::solver::driver::SolveFailure;

/// What a build would do.
#[derive(Debug)]
pub struct Explanation {
    /// What it would build.
    pub plan: Plan,
    /// The vertices that its targets need, inputs first, with what becomes of each.
    pub fates: Vec<(VertexId, Fate)>,
    /// The images among them.
    pub images: BTreeMap<VertexId, ImageUse>,
    /// The RUN steps that another processor than this machine's is needed for.
    pub foreign: BTreeMap<VertexId, StepPlatform>,
}

/// An image that a build starts from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageUse {
    /// How many layers it has.
    pub layers: usize,
    /// The size of them all, compressed.
    pub size_bytes: u64,
    /// How many of them would be downloaded if a step ran on it.
    pub missing_layers: usize,
    /// The size of those.
    pub missing_bytes: u64,
}

impl Builder {
    /// Lowers and looks up as [`Builder::build`] does, and stops.
    ///
    /// # Errors
    ///
    /// The frontend's, and those of steps that fail before anything runs, e.g. a COPY whose source
    /// does not exist.
    ///
    /// # Cancellation
    ///
    /// Nothing stays behind but documents of images that were already downloaded.
    pub async fn explain<F: Frontend>(
        &self,
        frontend: &F,
        request: &BuildRequest<F::Input>,
    ) -> Result<Explanation, BuildError<F::Error>> {
        let report = StepReport::new(Arc::new(Silent));
        let cancel = CancellationToken::new();
        let access = Access::of(request, &cancel);
        let resolver = Resolver::new(self, Arc::new(Silent), access);
        let plan = frontend.lower(&request.input, &resolver).await;
        let plan = plan.map_err(BuildError::Lower)?;
        let sources = resolver.into_sources();
        let ops = self.ops(&plan, request, sources, &report, &cancel)?;
        let fates = forecast(&ops, &targets(&plan)).await;
        let fates = fates.map_err(|failure| failed_step(&ops, failure))?;
        let needed = ops.graph.reachable(&targets(&plan));
        let images = needed.iter().map(|&id| (id, image_use(&ops, id)));
        let images = images
            .filter_map(|(id, image)| Some((id, image?)))
            .collect();
        let foreign = foreign_steps(&ops, &targets(&plan)).into_iter().collect();
        let fates = needed.iter().map(|id| (*id, fates[id])).collect();
        Ok(Explanation {
            plan,
            fates,
            images,
            foreign,
        })
    }
}

fn foreign_steps(ops: &Ops, targets: &[Edge]) -> Vec<(VertexId, StepPlatform)> {
    let steps = ops.graph.reachable(targets).into_iter();
    let steps = steps.filter(|id| matches!(ops.graph.vertex(*id).op, Op::Run(_)));
    steps
        .map(|id| (id, emulation::of_step(&ops.graph, &ops.images, id)))
        .filter(|(_, step)| step.emulation != runtime::binfmt::Emulation::Native)
        .collect()
}

/// Fails if a step would run and cannot: it is for another processor, and nothing here emulates
/// that.
///
/// # Errors
///
/// That step, or one that cannot even be looked up.
pub(crate) async fn check_possible(ops: &Arc<Ops>, targets: &[Edge]) -> Result<(), SolveFailure> {
    let refused = foreign_steps(ops, targets).into_iter();
    let refused: Vec<_> = refused
        .filter_map(|(id, step)| Some((id, step.refusal()?)))
        .collect();
    if refused.is_empty() {
        return Ok(());
    }
    // Recorded results serve without any emulation.
    let fates = forecast(ops, targets).await?;
    let mut refused = refused.into_iter();
    match refused.find(|(id, _)| fates.get(id) == Some(&Fate::Runs)) {
        None => Ok(()),
        Some((vertex, error)) => Err(SolveFailure {
            vertex,
            error: Box::new(error),
        }),
    }
}

fn image_use(ops: &Ops, id: VertexId) -> Option<ImageUse> {
    let vertex = ops.graph.vertex(id);
    let Op::Source(source) = &vertex.op else {
        return None;
    };
    let platform = vertex.platform.clone().unwrap_or_else(Platform::host);
    let found = ops.images.get(source, &platform)?;
    let chain = chain_ids(&found.image.config().rootfs.diff_ids);
    let is_unpacked = |chain_id| matches!(ops.store.by_chain_id(chain_id), Ok(Some(_)));
    let unpacked = chain.iter().rposition(is_unpacked).map_or(0, |at| at + 1);
    let layers: Vec<_> = found.image.layers().map(|(layer, _)| layer).collect();
    let is_here = |digest, size| ops.layout.has_blob(digest, size).unwrap_or(false);
    let missing = layers.iter().skip(unpacked);
    let missing: Vec<u64> = missing
        .filter(|layer| !is_here(&layer.digest, layer.size_bytes))
        .map(|layer| layer.size_bytes)
        .collect();
    Some(ImageUse {
        layers: layers.len(),
        size_bytes: layers.iter().map(|layer| layer.size_bytes).sum(),
        missing_layers: missing.len(),
        missing_bytes: missing.iter().sum(),
    })
}
