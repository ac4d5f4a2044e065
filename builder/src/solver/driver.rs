// SPDX-License-Identifier: Apache-2.0
//! The hands of the machine: carries actions out, all at once, and feeds back what they found.
//!
//! Owns the set of running steps. The first failure cancels the others and waits until they have
//! let go of their snapshots and processes; only then is it reported.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;

use cache::CacheKey;
use graph::{Edge, Graph, VertexId};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::key::{self, Selector};
use super::machine::{Action, Event, Machine};
use crate::progress::Outcome;
use crate::report::StepReport;
use crate::step_error::StepError;

/// How vertices are identified, looked up and run; `builder/ops` implements it.
pub(crate) trait Executor: Send + Sync + 'static {
    /// The result of a vertex.
    type Output: Clone + Send + Sync + 'static;

    /// Returns the key of what a source is now.
    fn identify(&self, id: VertexId) -> impl Future<Output = Result<CacheKey, StepError>> + Send;

    /// Returns the checksum of what `selectors` (empty: everything) choose from `source`.
    fn checksum(
        &self,
        source: VertexId,
        output: Option<(Self::Output, u32)>,
        selectors: &[Selector],
    ) -> impl Future<Output = Result<CacheKey, StepError>> + Send;

    /// Looks a record up; quick. Returns the key it was recorded under, and the result.
    ///
    /// # Errors
    ///
    /// [`StepError`] if the store is damaged.
    fn look_up(&self, key: CacheKey) -> Result<Option<(CacheKey, Self::Output)>, StepError>;

    /// Lets the record of `key` be found under `alias`.
    ///
    /// # Errors
    ///
    /// [`StepError`] if the store is damaged.
    fn alias(&self, alias: CacheKey, key: CacheKey) -> Result<(), StepError>;

    /// Runs a vertex over the results of its inputs and records the result.
    fn run(
        &self,
        id: VertexId,
        inputs: Vec<Self::Output>,
        keys: RecordKeys,
    ) -> impl Future<Output = Result<Ran<Self::Output>, StepError>> + Send;

    /// Returns the result of a local directory, which needs no run.
    fn local(&self, id: VertexId) -> Self::Output;
}

/// Under which keys a result is recorded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecordKeys {
    /// The key of the record.
    pub(crate) key: CacheKey,
    /// Another key that leads to it.
    pub(crate) alias: Option<CacheKey>,
    /// Whether a record that appeared meanwhile may be taken instead of running.
    pub(crate) may_share: bool,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub(crate) struct Ran<T> {
    /// The result.
    pub(crate) output: T,
    /// Whether it was there already: another process made it meanwhile, or an image was unpacked.
    pub(crate) cached: bool,
}

/// A step that failed.
#[derive(Debug)]
pub(crate) struct SolveFailure {
    /// Which.
    pub(crate) vertex: VertexId,
    /// Why.
    pub(crate) error: Box<StepError>,
}

impl SolveFailure {
    /// Returns the failure of `vertex`.
    pub(crate) fn new(vertex: VertexId, error: StepError) -> Self {
        Self {
            vertex,
            error: Box::new(error),
        }
    }
}

type Answered<T> = Result<Answer<T>, StepError>;

enum Answer<T> {
    Event(Event),
    Ran(VertexId, Ran<T>),
}

struct Driver<'b, E: Executor> {
    executor: &'b Arc<E>,
    graph: &'b Graph,
    keys: Vec<key::VertexKeys>,
    report: &'b StepReport,
    outputs: HashMap<VertexId, E::Output>,
    running: JoinSet<(VertexId, Answered<E::Output>)>,
}

/// Solves for `targets`. Returns the result of every vertex that has one.
///
/// # Errors
///
/// The first step that failed.
///
/// # Cancellation
///
/// Cancel `cancel` and go on awaiting: running steps are killed and waited for. Dropping the future
/// aborts their tasks.
pub(crate) async fn solve<E: Executor>(
    executor: &Arc<E>,
    graph: &Graph,
    targets: &[Edge],
    report: &StepReport,
    cancel: &CancellationToken,
) -> Result<HashMap<VertexId, E::Output>, SolveFailure> {
    let needed = graph.reachable(targets);
    let wanted: Vec<VertexId> = targets.iter().map(|edge| edge.vertex).collect();
    let keys = key::keys(graph);
    let mut machine = Machine::new(keys.clone());
    let mut driver = Driver {
        executor,
        graph,
        keys,
        report,
        outputs: HashMap::new(),
        running: JoinSet::new(),
    };
    for &id in &needed {
        if driver.keys[id.index()].is_local {
            driver.outputs.insert(id, executor.local(id));
        }
    }
    let actions = machine.start(&wanted, &needed);
    let mut failure = None;
    let mut outcome = driver.carry_out(&mut machine, actions);
    loop {
        if let Err(next) = outcome {
            driver.report_failure(&next, failure.is_some());
            cancel.cancel();
            failure.get_or_insert(next);
        }
        let Some(joined) = driver.running.join_next().await else {
            break;
        };
        let (vertex, answer) = joined.expect("a step does not panic, nor is it aborted alone");
        outcome = answer
            .map_err(|error| SolveFailure::new(vertex, error))
            .and_then(|answer| {
                let event = driver.take(answer);
                // After a failure what runs is waited for, and nothing new is begun.
                if failure.is_some() {
                    return Ok(());
                }
                let actions = machine.apply(event);
                driver.carry_out(&mut machine, actions)
            });
    }
    if let Some(failure) = failure {
        return Err(failure);
    }
    driver.report_unused(&needed);
    Ok(driver.outputs)
}

impl<E: Executor> Driver<'_, E> {
    /// Notes what came back.
    fn take(&mut self, answer: Answer<E::Output>) -> Event {
        match answer {
            Answer::Event(event) => {
                self.report_read(&event);
                event
            }
            Answer::Ran(id, ran) => {
                let outcome = if ran.cached {
                    Outcome::Cached
                } else {
                    Outcome::Done
                };
                self.report.finished(id, outcome);
                self.outputs.insert(id, ran.output);
                Event::Finished(id)
            }
        }
    }

    /// Starts what takes time; does look-ups at once, and what follows from them.
    fn carry_out(
        &mut self,
        machine: &mut Machine,
        actions: Vec<Action>,
    ) -> Result<(), SolveFailure> {
        let mut queue = std::collections::VecDeque::from(actions);
        while let Some(action) = queue.pop_front() {
            match action {
                Action::Identify(id) => self.identify(id),
                Action::Hash(id, input) => self.hash(id, input),
                Action::Run { vertex, key, alias } => self.run(vertex, key, alias),
                Action::Alias { alias, key } => {
                    // An alias only saves time; a build does not fail for want of one.
                    if self.executor.alias(alias, key).is_err() {
                        self.report
                            .warning(None, "the build cache cannot be written");
                    }
                }
                Action::LookUp(id, key) => {
                    let found = self
                        .executor
                        .look_up(key)
                        .map_err(|error| SolveFailure::new(id, error))?;
                    let event = match found {
                        None => Event::NotFound(id),
                        Some((canonical, output)) => {
                            self.outputs.insert(id, output);
                            self.report.finished(id, Outcome::Cached);
                            Event::Found(id, canonical)
                        }
                    };
                    queue.extend(machine.apply(event));
                }
            }
        }
        Ok(())
    }

    fn identify(&mut self, id: VertexId) {
        let executor = Arc::clone(self.executor);
        self.running.spawn(async move {
            let key = executor.identify(id).await;
            (id, key.map(|key| Answer::Event(Event::Identified(id, key))))
        });
    }

    fn hash(&mut self, id: VertexId, at: usize) {
        let input = self.keys[id.index()].inputs[at].clone();
        let source = input.edge.vertex;
        if self.keys[source.index()].is_local {
            self.report.started(source);
        }
        let output = self.outputs.get(&source).cloned();
        let output = output.map(|output| (output, input.edge.output));
        let executor = Arc::clone(self.executor);
        self.running.spawn(async move {
            let checksum = executor.checksum(source, output, &input.selectors).await;
            (
                id,
                checksum.map(|key| Answer::Event(Event::Hashed(id, at, key))),
            )
        });
    }

    fn run(&mut self, id: VertexId, key: CacheKey, alias: Option<CacheKey>) {
        self.report.started(id);
        let vertex = self.graph.vertex(id);
        let inputs: Vec<E::Output> = vertex
            .inputs
            .iter()
            .map(|edge| self.outputs[&edge.vertex].clone())
            .collect();
        let keys = RecordKeys {
            key,
            alias,
            may_share: !vertex.meta.ignore_cache,
        };
        let executor = Arc::clone(self.executor);
        self.running.spawn(async move {
            let ran = executor.run(id, inputs, keys).await;
            (id, ran.map(|ran| Answer::Ran(id, ran)))
        });
    }

    /// A local directory counts as loaded once somebody has read what he wants of it.
    fn report_read(&self, event: &Event) {
        if let Event::Hashed(id, at, _) = event {
            let source = self.keys[id.index()].inputs[*at].edge.vertex;
            if self.keys[source.index()].is_local {
                self.report.finished(source, Outcome::Done);
            }
        }
    }

    fn report_failure(&self, failure: &SolveFailure, is_later: bool) {
        let outcome = if is_later || failure.error.is_cancelled() {
            Outcome::Cancelled
        } else {
            Outcome::Failed(failure.error.to_string())
        };
        self.report.finished(failure.vertex, outcome);
    }

    /// Sources that only lent their key are shown as cached too.
    fn report_unused(&self, needed: &[VertexId]) {
        for &id in needed {
            self.report.finished(id, Outcome::Cached);
        }
    }
}
