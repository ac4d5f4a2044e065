// SPDX-License-Identifier: Apache-2.0
//! The stage graph: what each stage is based on and copies from, and which stages are needed.
//!
//! Rules
//! 1. A base is an earlier stage if its text equals the lower-case name of one; later lookups
//!    (`--from`) ignore case and see the last definition of a name.
//! 2. A digit-only `COPY --from` is the index of a stage.
//! 3. A stage that the target does not need is neither resolved nor built, but a circle among
//!    stages is an error even then.
//! 4. A stage may only read from stages above it.
//! 5. A named context replaces the stage of its name.
//!
//! `Observed:` BuildKit 73ed6825 `dockerfile2llb/convert.go`.

mod build;
mod circle;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use oci::Platform;

use crate::context::NamedContext;
use crate::diagnostic::Diagnostic;
use crate::instruction::{Instruction, Kind};
use crate::options::BuildOptions;
use crate::parse;
use crate::span::{Span, Word};
use crate::suggest;

pub(crate) use build::build;

/// More stages are refused. `Ours:` far above any real file; bounds the search for circles.
pub const STAGES_MAX: usize = 1000;

/// A hint names at most this many stages.
const STAGES_LISTED_MAX: usize = 10;

/// The stages of a file for one target platform.
#[derive(Clone, Debug)]
pub(crate) struct StageGraph {
    pub(crate) stages: Vec<StageNode>,
    /// Images and contexts that steps read from.
    pub(crate) externals: Vec<Word>,
    external_indexes: BTreeMap<String, usize>,
    /// Last definition of every name, lower case.
    by_name: BTreeMap<String, usize>,
    /// Names that stand for stages: `--build-context name=target:stage`.
    aliases: BTreeMap<String, String>,
    /// Whether there is one stage and nothing else that steps read from, so that titles need not
    /// name it.
    alone: bool,
}

/// One stage.
#[derive(Clone, Debug)]
pub(crate) struct StageNode {
    /// Its name in lower case.
    pub(crate) name: Option<String>,
    pub(crate) base: Base,
    pub(crate) platform: Option<Platform>,
    pub(crate) steps: Vec<Step>,
    /// The FROM instruction.
    pub(crate) span: Span,
    /// The same as text.
    pub(crate) text: String,
    /// The base as written, for messages.
    pub(crate) base_word: Word,
    /// Whether a named context stands in for it: its own instructions do not count then.
    pub(crate) replaced: bool,
    triggered: bool,
}

/// What a stage starts from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Base {
    Scratch,
    Stage(usize),
    /// An image or a named context.
    External(String),
}

/// One instruction of a stage.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) instruction: Instruction,
    /// COPY: where `--from` points. RUN: where each mount's `from` points. In order.
    pub(crate) origins: Vec<Option<Origin>>,
    /// Whether the base asked for it.
    pub(crate) onbuild: bool,
}

/// Another place that a step reads from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Stage(usize),
    /// Index into [`StageGraph::externals`].
    External(usize),
    Scratch,
}

impl StageGraph {
    /// Returns the index of the target stage, or the hint for a name that is none.
    pub(crate) fn target(&self, name: Option<&str>) -> Result<usize, Option<String>> {
        match name {
            None => Ok(self.stages.len() - 1),
            Some(name) => self
                .find(name)
                .ok_or_else(|| self.hint(name).or_else(|| self.listed())),
        }
    }

    /// Returns the hint for a name that is that of a stage, but for a letter or two.
    pub(crate) fn hint(&self, name: &str) -> Option<String> {
        suggest::hint(name, self.names())
    }

    /// Returns the hint that lists the names of stages, if there are any.
    fn listed(&self) -> Option<String> {
        let names: Vec<&str> = self.names().take(STAGES_LISTED_MAX).collect();
        (!names.is_empty()).then(|| format!("stages with a name: {}", names.join(", ")))
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }

    fn find(&self, name: &str) -> Option<usize> {
        let lower = name.to_lowercase();
        let lower = self.aliases.get(&lower).unwrap_or(&lower);
        self.by_name.get(lower).copied()
    }

    /// Returns which stages `target` needs, itself included.
    pub(crate) fn reachable(&self, target: usize) -> Vec<bool> {
        let mut reached = vec![false; self.stages.len()];
        let mut open = vec![target];
        while let Some(index) = open.pop() {
            if !std::mem::replace(&mut reached[index], true) {
                open.extend(self.needs(index));
            }
        }
        reached
    }

    /// Returns the externals that the given stages read from, by index.
    pub(crate) fn reached_externals(&self, reached: &[bool]) -> Vec<usize> {
        let stages = self
            .stages
            .iter()
            .zip(reached)
            .filter(|(_, reached)| **reached);
        let origins =
            stages.flat_map(|(stage, _)| stage.steps.iter().flat_map(|step| &step.origins));
        let mut found: Vec<usize> = origins
            .filter_map(|origin| match origin {
                Some(Origin::External(index)) => Some(*index),
                _ => None,
            })
            .collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    fn needs(&self, index: usize) -> impl Iterator<Item = usize> {
        let stage = &self.stages[index];
        let base = match stage.base {
            Base::Stage(base) => Some(base),
            _ => None,
        };
        base.into_iter().chain(self.reads(index))
    }

    /// Returns the stages that steps of a stage read from.
    fn reads(&self, index: usize) -> impl Iterator<Item = usize> {
        let steps = self.stages[index].steps.iter();
        let origins = steps.flat_map(|step| &step.origins);
        origins.filter_map(|origin| match origin {
            Some(Origin::Stage(index)) => Some(*index),
            _ => None,
        })
    }

    /// Checks that stages only read from stages above them, and that there is no circle.
    pub(crate) fn check(&self, target: usize) -> Vec<Diagnostic> {
        let reached = self.reachable(target);
        // `Observed:` BuildKit does not follow bases here; they are always further up.
        let needs: Vec<Vec<usize>> = (0..self.stages.len())
            .map(|index| self.reads(index).collect())
            .collect();
        let component = circle::components(&needs);
        let mut problems = Vec::new();
        for (index, stage) in self.stages.iter().enumerate() {
            for step in &stage.steps {
                for origin in &step.origins {
                    let Some(Origin::Stage(from)) = *origin else {
                        continue;
                    };
                    if from < index {
                        continue;
                    }
                    let here = self.label(index);
                    let there = self.label(from);
                    let span = step.instruction.span;
                    if component[from] == component[index] {
                        let message = if from == index {
                            format!("circular dependency: stage {here} reads from itself")
                        } else {
                            format!(
                                "circular dependency: stage {here} needs {there}, which needs {here}"
                            )
                        };
                        let help = if from == index {
                            "name another stage, or leave `from` out to copy from the context"
                        } else {
                            "put what both need into a stage above them"
                        };
                        problems.push(Diagnostic::error(span, message).help(help));
                    } else if reached[index] {
                        let message = format!(
                            "stage {there} is defined below stage {here}, which reads from it"
                        );
                        problems.push(Diagnostic::error(span, message).help("move the stage up"));
                    }
                }
            }
        }
        problems
    }

    /// Returns how messages call a stage.
    fn label(&self, index: usize) -> String {
        match &self.stages[index].name {
            Some(name) => format!("`{name}`"),
            None => index.to_string(),
        }
    }

    /// Returns the name of a stage in the titles of its steps; empty if it is the only one.
    pub(crate) fn title(&self, index: usize) -> String {
        match &self.stages[index].name {
            _ if self.alone => String::new(),
            Some(name) => name.clone(),
            None => format!("stage-{index}"),
        }
    }

    /// Puts ONBUILD triggers at the start of a stage, once. Returns whether there were any.
    pub(crate) fn add_triggers(
        &mut self,
        index: usize,
        of_image: &[String],
        problems: &mut Vec<Diagnostic>,
    ) -> bool {
        if std::mem::replace(&mut self.stages[index].triggered, true) {
            return false;
        }
        let mut expressions = of_image.to_vec();
        if let Base::Stage(base) = self.stages[index].base {
            let steps = self.stages[base].steps.iter();
            expressions.extend(steps.filter_map(|step| match &step.instruction.kind {
                Kind::Onbuild(onbuild) => Some(onbuild.expression.clone()),
                _ => None,
            }));
        }
        let mut steps = Vec::new();
        for expression in &expressions {
            match parse::parse_trigger(expression, self.stages[index].span) {
                Ok(instruction) => steps.push(self.step(instruction, true, problems)),
                Err(found) => problems.extend(found),
            }
        }
        let any = !steps.is_empty();
        steps.append(&mut self.stages[index].steps);
        self.stages[index].steps = steps;
        any
    }

    fn step(
        &mut self,
        instruction: Instruction,
        onbuild: bool,
        problems: &mut Vec<Diagnostic>,
    ) -> Step {
        let origins = match &instruction.kind {
            Kind::Copy(transfer) => {
                let from = transfer.from.clone();
                vec![from.and_then(|from| self.copy_origin(&from, problems))]
            }
            Kind::Run(run) => {
                let mounts = run.mounts.iter().map(|mount| {
                    let word = mount.from().map(|from| Word::new(from, mount.span));
                    word.map(|word| self.named_origin(&word))
                });
                mounts.collect()
            }
            _ => Vec::new(),
        };
        Step {
            instruction,
            origins,
            onbuild,
        }
    }

    fn copy_origin(&mut self, from: &Word, problems: &mut Vec<Diagnostic>) -> Option<Origin> {
        if !from.text.bytes().all(|b| b.is_ascii_digit()) {
            return Some(self.named_origin(from));
        }
        match from.text.parse::<usize>() {
            Ok(index) if index < self.stages.len() => Some(Origin::Stage(index)),
            _ => {
                let message = format!("there is no stage {}", from.text);
                let help = match self.stages.len() - 1 {
                    0 => "stages are counted from 0, and this file has only that one".to_owned(),
                    last => format!("stages are counted from 0 to {last}"),
                };
                problems.push(Diagnostic::error(from.span, message).help(help));
                None
            }
        }
    }

    fn named_origin(&mut self, from: &Word) -> Origin {
        if let Some(index) = self.find(&from.text) {
            return Origin::Stage(index);
        }
        if from.text == "scratch" {
            return Origin::Scratch;
        }
        let next = self.externals.len();
        let index = *self
            .external_indexes
            .entry(from.text.clone())
            .or_insert(next);
        if index == next {
            self.externals.push(from.clone());
        }
        Origin::External(index)
    }
}

/// Returns the named contexts that stand for stages, both names in lower case.
fn aliases(options: &BuildOptions) -> BTreeMap<String, String> {
    let contexts = options.contexts.iter();
    contexts
        .filter_map(|(name, context)| match context {
            NamedContext::Target(stage) => Some((name.to_lowercase(), stage.to_lowercase())),
            _ => None,
        })
        .collect()
}
