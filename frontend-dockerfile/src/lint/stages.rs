// SPDX-License-Identifier: Apache-2.0
//! Rules about FROM lines and the case of keywords.

use std::collections::BTreeSet;

use oci::Platform;

use super::Linter;
use crate::instruction::Instruction;
use crate::parse::{Dockerfile, Stage};

const RESERVED: [&str; 2] = ["context", "scratch"];

pub(super) fn check(linter: &mut Linter<'_>, dockerfile: &Dockerfile) {
    let mut names = BTreeSet::new();
    for stage in &dockerfile.stages {
        from_case(linter, stage);
        platform(linter, stage);
        let Some(word) = &stage.from.name else {
            continue;
        };
        let name = word.text.to_lowercase();
        if name != word.text {
            let message = format!("Stage name '{}' should be lowercase", word.text);
            linter.warn(&stage.instruction, "StageNameCasing", word.span, &message);
        }
        if RESERVED.contains(&name.as_str()) {
            let message =
                format!("Stage name should not use the same name as reserved stage \"{name}\"");
            linter.warn(&stage.instruction, "ReservedStageName", word.span, &message);
        }
        if !names.insert(name.clone()) {
            let message = format!("Duplicate stage name \"{name}\", stage names should be unique");
            linter.warn(
                &stage.instruction,
                "DuplicateStageName",
                word.span,
                &message,
            );
        }
    }
    keyword_case(linter, dockerfile);
}

fn is_lower(text: &str) -> bool {
    text.to_lowercase() == text
}

fn is_upper(text: &str) -> bool {
    text.to_uppercase() == text
}

fn from_case(linter: &mut Linter<'_>, stage: &Stage) {
    let keyword = &stage.instruction.keyword.text;
    let Some(as_word) = &stage.from.as_word else {
        return;
    };
    if (is_lower(keyword) || is_upper(keyword)) && is_lower(keyword) != is_lower(&as_word.text) {
        let message = format!(
            "'{}' and '{keyword}' keywords' casing do not match",
            as_word.text
        );
        linter.warn(&stage.instruction, "FromAsCasing", as_word.span, &message);
    }
}

fn platform(linter: &mut Linter<'_>, stage: &Stage) {
    let Some(word) = &stage.from.platform else {
        return;
    };
    if ["$TARGETPLATFORM", "${TARGETPLATFORM}"].contains(&word.text.as_str()) {
        let message = format!(
            "Setting platform to predefined {} in FROM is redundant as this is the default behavior",
            word.text
        );
        linter.warn(
            &stage.instruction,
            "RedundantTargetPlatform",
            word.span,
            &message,
        );
        return;
    }
    if word.text.contains('$') {
        return;
    }
    let name = stage.from.stage_name().unwrap_or_default();
    let told = word.text.parse::<Platform>().is_ok_and(|platform| {
        let platform = platform.normalized();
        name.contains(&platform.os) || name.contains(&platform.architecture)
    });
    if !told {
        let message = format!(
            "FROM --platform flag should not use constant value \"{}\"",
            word.text
        );
        linter.warn(
            &stage.instruction,
            "FromPlatformFlagConstDisallowed",
            word.span,
            &message,
        );
    }
}

/// The majority decides; a keyword in mixed case has no vote.
fn keyword_case(linter: &mut Linter<'_>, dockerfile: &Dockerfile) {
    let all = || {
        let stages = dockerfile.stages.iter();
        stages.flat_map(|stage| std::iter::once(&stage.instruction).chain(&stage.instructions))
    };
    let count = |same: fn(&str) -> bool| {
        all()
            .filter(|i: &&Instruction| same(&i.keyword.text))
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
            linter.warn(
                instruction,
                "ConsistentInstructionCasing",
                keyword.span,
                &message,
            );
        }
    }
}
