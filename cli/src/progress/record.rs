// SPDX-License-Identifier: Apache-2.0
//! What a report on a failed build needs: names and places of steps, and their last output.

use std::collections::{BTreeMap, VecDeque};

use builder::progress::{Event, Outcome, StepId, StepPlan};
use graph::SourceRange;

use super::escape;
use crate::report::step;

/// Lines of output that are kept of a running step. Docs: BuildKit shows about as many.
const LINES_MAX: usize = 20;
/// The longest part of a line that is kept, in bytes.
const LINE_MAX_BYTES: usize = 4096;

/// What is remembered.
#[derive(Debug, Default)]
pub(crate) struct Record {
    steps: BTreeMap<StepId, Step>,
    failed: Option<StepId>,
}

#[derive(Debug, Default)]
struct Step {
    name: String,
    location: Option<SourceRange>,
    lines: VecDeque<String>,
    left_out: usize,
    partial: Vec<u8>,
}

impl Step {
    fn log(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let room = LINE_MAX_BYTES.saturating_sub(self.partial.len());
            self.partial
                .extend_from_slice(&piece[..piece.len().min(room)]);
            if piece.ends_with(b"\n") {
                self.end_line();
            }
        }
    }

    fn end_line(&mut self) {
        let line = escape::line(&std::mem::take(&mut self.partial), false);
        if self.lines.len() == LINES_MAX {
            self.lines.pop_front();
            self.left_out += 1;
        }
        self.lines.push_back(line);
    }
}

impl Record {
    pub(super) fn event(&mut self, event: &Event) {
        match event {
            Event::Planned(plans) => plans.iter().for_each(|plan| self.add(plan)),
            Event::Added(plan) => self.add(plan),
            Event::Log { step, bytes, .. } => {
                if let Some(step) = self.steps.get_mut(step) {
                    step.log(bytes);
                }
            }
            Event::Finished { step, outcome, .. } => self.finished(*step, outcome),
            Event::Started(_) | Event::Amount { .. } | Event::Warning { .. } => {}
        }
    }

    fn add(&mut self, plan: &StepPlan) {
        let step = Step {
            name: escape::line(plan.name.as_bytes(), false),
            location: plan.location.clone(),
            ..Step::default()
        };
        self.steps.insert(plan.id, step);
    }

    fn finished(&mut self, id: StepId, outcome: &Outcome) {
        let Some(step) = self.steps.get_mut(&id) else {
            return;
        };
        if !step.partial.is_empty() {
            step.end_line();
        }
        match outcome {
            // The first failure is the reason; others follow from it.
            Outcome::Failed(_) => drop(self.failed.get_or_insert(id)),
            Outcome::Cached | Outcome::Done => step.lines = VecDeque::new(),
            Outcome::Cancelled => {}
        }
    }

    /// Returns the report on the step that failed first, or nothing.
    pub(crate) fn failure(&self) -> String {
        let Some(failed) = self.failed.and_then(|id| self.steps.get(&id)) else {
            return String::new();
        };
        let lines: Vec<String> = failed.lines.iter().cloned().collect();
        let mut out = step::output(&failed.name, &lines, failed.left_out);
        if let Some(location) = &failed.location {
            out.push_str(&step::excerpt(location));
        }
        out
    }
}
