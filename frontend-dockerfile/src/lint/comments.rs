// SPDX-License-Identifier: Apache-2.0
//! The comments above an instruction, as the rules and the descriptions read them.
//!
//! Rules
//! 1. The first `check=` that there is counts, up to its first blank.
//! 2. One that cannot be read changes nothing.
//!
//! `Observed:` BuildKit 73ed6825 `linter.go` `WithMergedConfigFromComments`.

use super::config::LintConfig;
use crate::instruction::Instruction;
use crate::lines::directive::match_directive;

/// Returns the configuration that the comments above an instruction ask for.
pub(super) fn config(instruction: &Instruction) -> Option<LintConfig> {
    let value = instruction.comments.iter().find_map(|comment| {
        let (name, value) = match_directive(comment.text.trim_start(), "")?;
        name.eq_ignore_ascii_case("check").then_some(value)
    })?;
    first_word(value).parse().ok()
}

/// Returns what of the value of a `check` is read.
pub(super) fn first_word(value: &str) -> &str {
    value.split(' ').next().unwrap_or_default()
}

/// Returns what the comments above an instruction say about `name`.
pub(crate) fn description(instruction: &Instruction, name: &str) -> String {
    let found = instruction.comments.iter().find_map(|comment| {
        let rest = comment.text.strip_prefix(name)?;
        rest.strip_prefix(' ').filter(|_| !name.is_empty())
    });
    found.unwrap_or_default().to_owned()
}
