// SPDX-License-Identifier: Apache-2.0
//! One warning, and what collects them.

use std::sync::Arc;

use super::comments;
use super::config::LintConfig;
use super::rule::Rule;
use crate::diagnostic::Diagnostic;
use crate::instruction::Instruction;
use crate::span::{SourceText, Span};

/// No more warnings of one file are kept. `Ours:` nobody reads on, and a hostile file could ask for
/// millions.
pub const WARNINGS_MAX: usize = 10_000;

/// Something that is allowed but rarely meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The rule that found it.
    pub rule: &'static Rule,
    /// What is wrong, in BuildKit's words.
    pub message: String,
    /// First and last line that it is about, counted from 1: those of the whole instruction.
    pub lines: Lines,
    /// The words that it is about.
    pub span: Span,
    /// What to do, or what else is known.
    pub help: Option<String>,
}

impl Warning {
    /// Returns the warning as a diagnostic.
    pub fn to_diagnostic(&self) -> Diagnostic {
        let warning = Diagnostic::warning(self.rule.name, self.span, self.message.clone());
        warning.maybe_help(self.help.clone())
    }
}

/// Lines of a file, counted from 1, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lines {
    /// The first.
    pub first: usize,
    /// The last.
    pub last: usize,
}

impl Lines {
    /// Returns the lines that a span touches.
    pub fn of(source: &SourceText, span: Span) -> Self {
        let last = span.end.saturating_sub(1).max(span.start);
        Self {
            first: source.position(span.start).line,
            last: source.position(last).line,
        }
    }
}

/// Collects warnings of the rules that are on.
#[derive(Debug)]
pub(crate) struct Linter<'a> {
    pub(super) source: &'a SourceText,
    pub(super) config: Arc<LintConfig>,
    pub(super) found: Vec<Warning>,
}

/// A place that warnings are about, and the rules that are on there.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) lines: Lines,
    config: Arc<LintConfig>,
}

impl Place {
    /// Returns other lines under the same configuration.
    pub(super) fn at(&self, lines: Lines) -> Self {
        Self {
            lines,
            config: Arc::clone(&self.config),
        }
    }
}

impl<'a> Linter<'a> {
    pub(crate) fn new(source: &'a SourceText, config: LintConfig) -> Self {
        Self {
            source,
            config: Arc::new(config),
            found: Vec::new(),
        }
    }

    /// Returns the place of an instruction under the configuration of the file alone.
    pub(super) fn file_place(&self, instruction: &Instruction) -> Place {
        Place {
            lines: Lines::of(self.source, instruction.span),
            config: Arc::clone(&self.config),
        }
    }

    /// Returns a place that no instruction is at.
    pub(super) fn line_place(&self, line: usize) -> Place {
        Place {
            lines: Lines {
                first: line,
                last: line,
            },
            config: Arc::clone(&self.config),
        }
    }

    /// Returns the place of an instruction, with what the comments above it say.
    pub(super) fn place(&self, instruction: &Instruction) -> Place {
        let config = match comments::config(instruction) {
            Some(local) => Arc::new((*self.config).clone().merged(local)),
            None => Arc::clone(&self.config),
        };
        Place {
            lines: Lines::of(self.source, instruction.span),
            config,
        }
    }

    /// Returns whether no more warnings are kept.
    pub(super) fn is_full(&self) -> bool {
        self.found.len() >= WARNINGS_MAX
    }

    /// Adds a warning, unless its rule is off there.
    pub(super) fn warn(
        &mut self,
        place: &Place,
        rule: &'static Rule,
        span: Span,
        message: impl Into<String>,
    ) {
        self.warn_with_help(place, rule, (span, None), message);
    }

    /// Adds a warning with a hint.
    pub(super) fn warn_with_help(
        &mut self,
        place: &Place,
        rule: &'static Rule,
        (span, help): (Span, Option<String>),
        message: impl Into<String>,
    ) {
        if place.config.allows(rule) && !self.is_full() {
            self.found.push(Warning {
                rule,
                message: message.into(),
                lines: place.lines,
                span,
                help,
            });
        }
    }
}
