// SPDX-License-Identifier: Apache-2.0
//! Rules that need the text alone: continuations, names of stages, case of keywords, descriptions.

use std::collections::BTreeSet;

use super::rule;
use super::warning::{Linter, Place};
use crate::instruction::{Instruction, Kind};
use crate::parse::{Dockerfile, Stage};
use crate::span::Word;

/// Names of stages that mean something else in `--from`.
const RESERVED: [&str; 2] = ["context", "scratch"];

/// Checks line by line, as they are parsed.
pub(super) fn lines(linter: &mut Linter<'_>, dockerfile: &Dockerfile) {
    empty_continuations(linter, dockerfile);
    for argument in &dockerfile.global_args {
        description(linter, argument);
    }
    for stage in &dockerfile.stages {
        from(linter, stage);
        for instruction in &stage.instructions {
            match &instruction.kind {
                Kind::Maintainer(_) => {
                    let place = linter.place(instruction);
                    linter.warn(
                        &place,
                        rule::MAINTAINER_DEPRECATED,
                        instruction.keyword.span,
                        "Maintainer instruction is deprecated in favor of using label",
                    );
                }
                Kind::Arg(_) => description(linter, instruction),
                _ => {}
            }
        }
    }
}

/// Checks what only the whole file tells.
pub(super) fn whole(linter: &mut Linter<'_>, dockerfile: &Dockerfile) {
    stage_names(linter, dockerfile);
    keyword_case(linter, dockerfile);
}

/// Warns at the last line of each instruction that is continued over empty lines.
fn empty_continuations(linter: &mut Linter<'_>, dockerfile: &Dockerfile) {
    for warning in &dockerfile.warnings {
        let place = linter.line_place(linter.source.position(warning.span.start).line);
        linter.warn(
            &place,
            rule::NO_EMPTY_CONTINUATION,
            warning.span,
            "Empty continuation line",
        );
    }
}

fn from(linter: &mut Linter<'_>, stage: &Stage) {
    let place = linter.place(&stage.instruction);
    if let Some(name) = &stage.from.name {
        if !is_lower(&name.text) {
            let message = format!("Stage name '{}' should be lowercase", name.text);
            linter.warn(&place, rule::STAGE_NAME_CASING, name.span, message);
        }
        from_case(linter, stage, &place);
        let name = [Word::new(name.text.to_lowercase(), name.span)];
        describes(linter, &stage.instruction, &place, &name);
    }
}

fn is_lower(text: &str) -> bool {
    text.to_lowercase() == text
}

fn is_upper(text: &str) -> bool {
    text.to_uppercase() == text
}

fn from_case(linter: &mut Linter<'_>, stage: &Stage, place: &Place) {
    let keyword = &stage.instruction.keyword.text;
    let Some(as_word) = &stage.from.as_word else {
        return;
    };
    let fine = if is_lower(keyword) {
        is_lower(&as_word.text)
    } else {
        // A keyword in mixed case is the business of another rule.
        !is_upper(keyword) || is_upper(&as_word.text)
    };
    if !fine {
        let message = format!(
            "'{}' and '{keyword}' keywords' casing do not match",
            as_word.text
        );
        linter.warn(place, rule::FROM_AS_CASING, as_word.span, message);
    }
}

fn description(linter: &mut Linter<'_>, instruction: &Instruction) {
    let Kind::Arg(arguments) = &instruction.kind else {
        return;
    };
    let place = linter.place(instruction);
    let keys: Vec<Word> = arguments.iter().map(|one| one.key.clone()).collect();
    describes(linter, instruction, &place, &keys);
}

/// Warns if the last comment line above is not about one of `names`.
fn describes(linter: &mut Linter<'_>, instruction: &Instruction, place: &Place, names: &[Word]) {
    let (Some(last), Some(first)) = (instruction.comments.last(), names.first()) else {
        return;
    };
    let described = last.text.split(' ').next().unwrap_or_default();
    if names.iter().any(|name| name.text == described) {
        return;
    }
    let example = if names.len() > 1 {
        "<arg_key>"
    } else {
        &first.text
    };
    let message = format!(
        "Comment for {} should follow the format: `# {example} <description>`",
        instruction.kind.keyword()
    );
    let found = rule::INVALID_DEFINITION_DESCRIPTION;
    linter.warn(place, found, last.span, message);
}

fn stage_names(linter: &mut Linter<'_>, dockerfile: &Dockerfile) {
    let mut names = BTreeSet::new();
    for stage in &dockerfile.stages {
        let Some(word) = &stage.from.name else {
            continue;
        };
        let name = word.text.to_lowercase();
        let place = linter.file_place(&stage.instruction);
        if RESERVED.contains(&name.as_str()) {
            let message =
                format!("Stage name should not use the same name as reserved stage \"{name}\"");
            linter.warn(&place, rule::RESERVED_STAGE_NAME, word.span, message);
        }
        if names.contains(&name) {
            let message = format!("Duplicate stage name \"{name}\", stage names should be unique");
            linter.warn(&place, rule::DUPLICATE_STAGE_NAME, word.span, message);
        }
        names.insert(name);
    }
}

/// The majority decides; a keyword in mixed case has no vote, and a tie means upper case.
fn keyword_case(linter: &mut Linter<'_>, dockerfile: &Dockerfile) {
    let all = || {
        let stages = dockerfile.stages.iter();
        stages.flat_map(|stage| std::iter::once(&stage.instruction).chain(&stage.instructions))
    };
    let count = |same: fn(&str) -> bool| {
        all()
            .filter(|instruction| same(&instruction.keyword.text))
            .count()
    };
    let lower = count(is_lower) > count(is_upper);
    for instruction in all() {
        let keyword = &instruction.keyword;
        let (fine, wanted) = if lower {
            (is_lower(&keyword.text), "lowercase")
        } else {
            (is_upper(&keyword.text), "uppercase")
        };
        if !fine {
            let message = format!(
                "Command '{}' should match the case of the command majority ({wanted})",
                keyword.text
            );
            let place = linter.file_place(instruction);
            linter.warn(
                &place,
                rule::CONSISTENT_INSTRUCTION_CASING,
                keyword.span,
                message,
            );
        }
    }
}
