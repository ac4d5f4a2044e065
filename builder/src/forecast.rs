// SPDX-License-Identifier: Apache-2.0
//! What a build would do: which results are recorded, and which steps would run. Runs nothing.
//!
//! The solver's own machine decides, over an executor that looks up and reads as a build does, but
//! answers "would run" instead of running. A step on top of such a result reads files that are not
//! made yet; its content key is unknown then and so is whether it would be found by it.

use std::collections::HashMap;
use std::sync::Arc;

use cache::CacheKey;
use graph::{Edge, Op, VertexId};
use tokio_util::sync::CancellationToken;

use crate::ops::{Ops, Output};
use crate::progress::Silent;
use crate::report::StepReport;
use crate::solver::driver::{self, Executor, Ran, RecordKeys, SolveFailure};
use crate::solver::key::Selector;
use crate::step_error::StepError;

/// What becomes of a vertex in a build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Its result is recorded, or something above it is.
    Cached,
    /// It is read or fetched.
    Fetched,
    /// It runs.
    Runs,
}

/// Returns what a build of `targets` would do with each vertex that they need.
///
/// # Errors
///
/// The step that cannot even be looked up, e.g. a COPY whose source does not exist.
pub(crate) async fn forecast(
    ops: &Arc<Ops>,
    targets: &[Edge],
) -> Result<HashMap<VertexId, Fate>, SolveFailure> {
    let forecaster = Arc::new(Forecaster {
        ops: Arc::clone(ops),
    });
    let report = StepReport::new(Arc::new(Silent));
    let cancel = CancellationToken::new();
    let graph = &ops.graph;
    let seen = driver::solve(&forecaster, graph, targets, &report, &cancel).await?;
    let fates = graph.reachable(targets).into_iter().map(|id| {
        let fate = match (seen.get(&id), &graph.vertex(id).op) {
            (Some(Foreseen::Unmade), Op::Source(_))
            | (Some(Foreseen::Made(Output::Local(_))), _) => Fate::Fetched,
            (Some(Foreseen::Unmade), _) => Fate::Runs,
            (Some(Foreseen::Made(_)) | None, _) => Fate::Cached,
        };
        (id, fate)
    });
    Ok(fates.collect())
}

/// A result as far as it is known without running.
#[derive(Clone, Debug)]
enum Foreseen {
    Made(Output),
    Unmade,
}

/// Looks and does not touch.
struct Forecaster {
    ops: Arc<Ops>,
}

impl Forecaster {
    /// Returns a key that no record has.
    fn unknown(&self, id: VertexId) -> CacheKey {
        let digest = self.ops.graph.vertex(id).digest().to_string();
        CacheKey::of("unknown", &[digest.as_bytes()])
    }
}

impl Executor for Forecaster {
    type Output = Foreseen;

    async fn identify(&self, id: VertexId) -> Result<CacheKey, StepError> {
        match &self.ops.graph.vertex(id).op {
            // Their keys are known once they were downloaded.
            Op::Source(source) if !source.identifier.starts_with("docker-image://") => {
                Ok(self.unknown(id))
            }
            _ => self.ops.identify(id).await,
        }
    }

    async fn checksum(
        &self,
        source: VertexId,
        output: Option<(Foreseen, u32)>,
        selectors: &[Selector],
    ) -> Result<CacheKey, StepError> {
        match output {
            Some((Foreseen::Unmade, _)) => Ok(self.unknown(source)),
            Some((Foreseen::Made(made), number)) => {
                let output = Some((made, number));
                self.ops.checksum(source, output, selectors).await
            }
            None => self.ops.checksum(source, None, selectors).await,
        }
    }

    fn look_up(&self, key: CacheKey) -> Result<Option<(CacheKey, Foreseen)>, StepError> {
        let found = self.ops.look_up(key)?;
        Ok(found.map(|(key, output)| (key, Foreseen::Made(output))))
    }

    fn alias(&self, _alias: CacheKey, _key: CacheKey) -> Result<(), StepError> {
        Ok(())
    }

    async fn run(
        &self,
        _id: VertexId,
        _inputs: Vec<Foreseen>,
        _keys: RecordKeys,
    ) -> Result<Ran<Foreseen>, StepError> {
        Ok(Ran {
            output: Foreseen::Unmade,
            cached: false,
        })
    }

    fn local(&self, id: VertexId) -> Foreseen {
        Foreseen::Made(self.ops.local(id))
    }
}
