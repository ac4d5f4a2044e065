// SPDX-License-Identifier: Apache-2.0
//! Joint 1: Dockerfile text → instructions in stages.
//!
//! Pure: no I/O, no environment, no panic on any input. All problems are returned, not the first.
//! What needs values of variables or the graph of stages is checked later, by `stages` and `lower`.

use crate::diagnostic::{Diagnostic, Level};
use crate::instruction::{self, From, Instruction, Kind};
use crate::lines::{self, Directives, LogicalLine};
use crate::span::{SourceText, Span};

/// A parsed Dockerfile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dockerfile {
    /// What the head of the file asks for.
    pub directives: Directives,
    /// The escape character in force.
    pub escape: char,
    /// The ARG instructions before the first FROM.
    pub global_args: Vec<Instruction>,
    /// The stages in the order of the file; there is at least one.
    pub stages: Vec<Stage>,
    /// Problems that do not stop a build.
    pub warnings: Vec<Diagnostic>,
}

/// A stage: a FROM and what follows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// What FROM says.
    pub from: From,
    /// The FROM instruction itself.
    pub instruction: Instruction,
    /// What follows it.
    pub instructions: Vec<Instruction>,
}

/// What could be read of a file, and what is wrong with the rest.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    /// What could be read. Instructions with problems are left out.
    pub(crate) dockerfile: Dockerfile,
    /// Every problem that makes a build impossible, in the order of the file.
    pub(crate) problems: Vec<Diagnostic>,
    /// Whether the stages are those of the file, so that it makes sense to check them.
    pub(crate) stages_known: bool,
}

/// Parses a Dockerfile.
///
/// # Errors
///
/// Every problem that makes a build impossible, in the order of the file.
pub fn parse(source: &SourceText) -> Result<Dockerfile, Vec<Diagnostic>> {
    let reading = read(source);
    if reading.problems.is_empty() {
        Ok(reading.dockerfile)
    } else {
        Err(reading.problems)
    }
}

/// Reads as much of a Dockerfile as can be read.
pub(crate) fn read(source: &SourceText) -> Reading {
    let mut problems = Vec::new();
    let lines = lines::split(source, &mut problems);
    let mut stages_known = problems.is_empty();
    let mut instructions = Vec::with_capacity(lines.logical.len());
    for line in lines.logical {
        match instruction::parse(&line, lines.escape, &mut problems) {
            Some(instruction) => instructions.push(instruction),
            None => stages_known &= !instruction::may_be_from(line.text()),
        }
    }
    let mut dockerfile = Dockerfile {
        directives: lines.directives,
        escape: lines.escape,
        global_args: Vec::new(),
        stages: Vec::new(),
        warnings: Vec::new(),
    };
    // A FROM that could not be read still starts a stage: what follows it is not out of place.
    let broken_from = problems.iter().any(|problem| problem.level == Level::Error);
    sort_into_stages(&mut dockerfile, instructions, broken_from, &mut problems);
    if dockerfile.stages.is_empty() && problems.is_empty() {
        problems.push(nothing_to_build(&dockerfile));
    }
    for span in lines.empty_continuations {
        let message = "empty continuation line";
        let warning = Diagnostic::warning("NoEmptyContinuation", span, message);
        dockerfile
            .warnings
            .push(warning.help("remove the line: it will become an error in a future syntax"));
    }
    problems.sort_by_key(|problem| problem.span);
    stages_known &= !dockerfile.stages.is_empty();
    Reading {
        dockerfile,
        problems,
        stages_known,
    }
}

fn sort_into_stages(
    dockerfile: &mut Dockerfile,
    instructions: Vec<Instruction>,
    broken_from: bool,
    problems: &mut Vec<Diagnostic>,
) {
    for instruction in instructions {
        match (&instruction.kind, dockerfile.stages.last_mut()) {
            (Kind::From(from), _) => dockerfile.stages.push(Stage {
                from: from.clone(),
                instruction,
                instructions: Vec::new(),
            }),
            (_, Some(stage)) => stage.instructions.push(instruction),
            (Kind::Arg(_), None) => dockerfile.global_args.push(instruction),
            (_, None) if broken_from => {}
            (kind, None) => {
                let message = format!("{} before the first FROM", kind.keyword());
                problems.push(
                    Diagnostic::error(instruction.keyword.span, message)
                        .help("only ARG may stand before FROM"),
                );
            }
        }
    }
}

fn nothing_to_build(dockerfile: &Dockerfile) -> Diagnostic {
    match dockerfile.global_args.last() {
        None => Diagnostic::error(Span::default(), "file with no instructions")
            .help("start with `FROM image`"),
        Some(last) => Diagnostic::error(last.span, "the file contains no stages to build")
            .help("add `FROM image` below"),
    }
}

/// Parses the text of an ONBUILD trigger; every place in it is `span`.
///
/// # Errors
///
/// The problems of the text, or that it is not exactly one instruction.
pub(crate) fn parse_trigger(text: &str, span: Span) -> Result<Instruction, Vec<Diagnostic>> {
    let mut problems = Vec::new();
    let source = SourceText::new("ONBUILD", text);
    let lines = lines::split(&source, &mut problems);
    let mut instruction = None;
    if let [line] = lines.logical.as_slice() {
        let mut here = LogicalLine::synthetic(line.text(), span);
        here.heredocs.clone_from(&line.heredocs);
        instruction = instruction::parse(&here, lines.escape, &mut problems);
    } else if problems.is_empty() {
        let message = format!("ONBUILD trigger `{text}` is not a single instruction");
        problems.push(Diagnostic::error(span, message));
    }
    for problem in &mut problems {
        problem.span = span;
        let trigger = text.lines().next().unwrap_or_default();
        problem.message = format!("{}, in `ONBUILD {trigger}` of the base", problem.message);
    }
    match instruction {
        Some(instruction) if problems.is_empty() => Ok(instruction),
        _ => Err(problems),
    }
}
