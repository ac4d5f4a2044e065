// SPDX-License-Identifier: Apache-2.0
//! What happens during a build, as events: the back-call from the builder to whoever shows it.
//!
//! The builder knows neither terminals nor formats. Every event names a [`StepId`]; steps are
//! announced once by [`Event::Planned`] or [`Event::Added`], before anything else names them.

use std::fmt;
use std::time::Duration;

use graph::SourceRange;
use oci::Digest;

/// A step of one build, as shown: a vertex, or work of the builder itself (export, push).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StepId(pub u32);

/// A step as it is announced.
#[derive(Clone, Debug)]
pub struct StepPlan {
    /// Its id.
    pub id: StepId,
    /// Its name, e.g. `[build 2/5] RUN make`.
    pub name: String,
    /// The digest that names it in machine-readable output.
    pub digest: Digest,
    /// The steps whose results it uses.
    pub inputs: Vec<StepId>,
    /// Where it was written.
    pub location: Option<SourceRange>,
}

/// One of the two output streams of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// How a step ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The result was there already.
    Cached,
    /// The step ran.
    Done,
    /// The step failed; the text is the first line of the reason.
    Failed(String),
    /// The build was stopped before the step ended.
    Cancelled,
}

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// All steps of the graph, inputs first, as soon as the plan is known.
    Planned(Vec<StepPlan>),
    /// A step of the builder itself, e.g. `exporting to image`.
    Added(StepPlan),
    /// Work on a step has begun.
    Started(StepId),
    /// A line (or an unfinished last line) that the step's process wrote, as it wrote it.
    Log {
        /// The step.
        step: StepId,
        /// Which stream.
        stream: Stream,
        /// The bytes, line end included if there was one.
        bytes: Vec<u8>,
    },
    /// How far a part of a step is, e.g. the download of one layer.
    Amount {
        /// The step.
        step: StepId,
        /// Which part, e.g. a digest or `exporting layers`.
        part: String,
        /// Bytes done.
        current: u64,
        /// Bytes in all; 0 if unknown.
        total: u64,
        /// Whether this part is finished.
        done: bool,
    },
    /// A step has ended.
    Finished {
        /// The step.
        step: StepId,
        /// How.
        outcome: Outcome,
        /// How long it took.
        took: Duration,
    },
    /// Something the user should know that does not stop the build.
    Warning {
        /// The step it belongs to, if any.
        step: Option<StepId>,
        /// One line.
        message: String,
        /// Where it was written, if it was.
        location: Option<SourceRange>,
    },
}

/// Takes events, in order, from any thread, without blocking for long.
pub trait Sink: Send + Sync {
    /// Takes one event.
    fn event(&self, event: Event);
}

/// Drops every event.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Sink for Silent {
    fn event(&self, _event: Event) {}
}

impl fmt::Debug for dyn Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sink")
    }
}
