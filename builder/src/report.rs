// SPDX-License-Identifier: Apache-2.0
//! Progress of one build: steps are numbered, started once and finished once.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use graph::{Graph, VertexId};
use oci::Digest;

use crate::progress::{Event, Outcome, Sink, StepId, StepPlan, Stream};
use crate::redact::without_credentials;

/// Turns what happens to vertices into [`Event`]s.
#[derive(Clone, Debug)]
pub(crate) struct StepReport {
    sink: Arc<dyn Sink>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    steps: HashMap<VertexId, StepId>,
    started: HashMap<StepId, Instant>,
    finished: Vec<StepId>,
    last: Arc<AtomicU32>,
}

impl StepReport {
    /// Returns a report to `sink` that has announced nothing.
    pub(crate) fn new(sink: Arc<dyn Sink>) -> Self {
        Self {
            sink,
            state: Arc::default(),
        }
    }

    /// Returns a report whose steps get the numbers after those that `last` has counted.
    pub(crate) fn continuing(sink: Arc<dyn Sink>, last: Arc<AtomicU32>) -> Self {
        let report = Self::new(sink);
        report.state().last = last;
        report
    }

    /// Announces `vertices` of `graph`, inputs first.
    pub(crate) fn plan(&self, graph: &Graph, vertices: &[VertexId]) {
        let mut plans = Vec::with_capacity(vertices.len());
        let mut state = self.state();
        for &id in vertices {
            let vertex = graph.vertex(id);
            let step = state.number();
            state.steps.insert(id, step);
            plans.push(StepPlan {
                id: step,
                name: without_credentials(&vertex.meta.name),
                digest: vertex.digest().0.clone(),
                inputs: vertex
                    .inputs
                    .iter()
                    .filter_map(|edge| state.steps.get(&edge.vertex).copied())
                    .collect(),
                location: vertex.meta.location.clone(),
            });
        }
        drop(state);
        self.sink.event(Event::Planned(plans));
    }

    /// Announces and starts work of the builder itself.
    pub(crate) fn begin(&self, name: &str, digest: Digest) -> StepId {
        let id = self.state().number();
        self.sink.event(Event::Added(StepPlan {
            id,
            name: without_credentials(name),
            digest,
            inputs: Vec::new(),
            location: None,
        }));
        self.start(id);
        id
    }

    /// Ends work of the builder itself.
    pub(crate) fn end(&self, step: StepId, outcome: Outcome) {
        self.finish(step, outcome);
    }

    /// Ends work of the builder itself as its result says.
    pub(crate) fn end_with<T, E: std::fmt::Display>(&self, step: StepId, result: &Result<T, E>) {
        self.end(
            step,
            match result {
                Ok(_) => Outcome::Done,
                Err(error) => Outcome::Failed(error.to_string()),
            },
        );
    }

    /// Tells that work on a vertex has begun; only the first time counts.
    pub(crate) fn started(&self, id: VertexId) {
        if let Some(step) = self.step(id) {
            self.start(step);
        }
    }

    /// Tells that a vertex has ended; only the first time counts.
    pub(crate) fn finished(&self, id: VertexId, outcome: Outcome) {
        if let Some(step) = self.step(id) {
            self.finish(step, outcome);
        }
    }

    /// Passes output of a vertex's process on.
    pub(crate) fn log(&self, id: VertexId, stream: Stream, bytes: &[u8]) {
        if let Some(step) = self.step(id) {
            self.sink.event(Event::Log {
                step,
                stream,
                bytes: bytes.to_vec(),
            });
        }
    }

    /// Tells how far a part of a step is.
    pub(crate) fn amount(
        &self,
        step: StepId,
        part: &str,
        (current, total): (u64, u64),
        done: bool,
    ) {
        self.sink.event(Event::Amount {
            step,
            part: part.into(),
            current,
            total,
            done,
        });
    }

    /// Tells the user something.
    pub(crate) fn warning(&self, id: Option<VertexId>, message: &str) {
        self.sink.event(Event::Warning {
            step: id.and_then(|id| self.step(id)),
            message: message.into(),
            location: None,
        });
    }

    /// Returns the step of a vertex, if it was announced.
    pub(crate) fn step(&self, id: VertexId) -> Option<StepId> {
        self.state().steps.get(&id).copied()
    }

    fn start(&self, step: StepId) {
        let first = {
            let mut state = self.state();
            let vacant = !state.started.contains_key(&step);
            if vacant {
                state.started.insert(step, Instant::now());
            }
            vacant
        };
        if first {
            self.sink.event(Event::Started(step));
        }
    }

    fn finish(&self, step: StepId, outcome: Outcome) {
        let took = {
            let mut state = self.state();
            if state.finished.contains(&step) {
                return;
            }
            state.finished.push(step);
            state.started.get(&step).map(Instant::elapsed)
        };
        self.sink.event(Event::Finished {
            step,
            outcome,
            took: took.unwrap_or_default(),
        });
    }

    /// A panic elsewhere leaves the numbers valid, so poisoning is passed over.
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn number(&mut self) -> StepId {
        StepId(self.last.fetch_add(1, Ordering::Relaxed) + 1)
    }
}
