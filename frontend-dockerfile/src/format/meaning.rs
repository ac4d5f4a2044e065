// SPDX-License-Identifier: Apache-2.0
//! Whether two instructions say the same, wherever they stand.

use std::fmt::{self, Write};

use crate::ast::KindText;
use crate::instruction::{Instruction, Kind, Pair};
use crate::parse::Dockerfile;

/// Returns whether the directives of both files are the same.
pub(super) fn same_head(one: &Dockerfile, other: &Dockerfile) -> bool {
    let head = |file: &Dockerfile| {
        let directives = &file.directives;
        [&directives.syntax, &directives.escape, &directives.check]
            .map(|directive| directive.as_ref().map(|found| found.value.text.clone()))
    };
    head(one) == head(other)
}

/// Returns whether both say the same: keyword, flags, arguments, heredocs, comments above.
pub(super) fn same(one: &Instruction, other: &Instruction) -> bool {
    let comments = |instruction: &Instruction| -> Vec<String> {
        let comments = instruction.comments.iter();
        comments.map(|comment| comment.text.clone()).collect()
    };
    let heredocs = |instruction: &Instruction| -> Vec<_> {
        let heredocs = instruction.heredocs.iter();
        heredocs
            .map(|h| (h.name.clone(), h.expand, h.strip_tabs, h.body.clone()))
            .collect()
    };
    text(one) == text(other) && comments(one) == comments(other) && heredocs(one) == heredocs(other)
}

fn text(instruction: &Instruction) -> String {
    let mut out = instruction.kind.keyword().to_owned();
    let written: fmt::Result = match &instruction.kind {
        Kind::Env(pairs) | Kind::Label(pairs) => pairs.iter().try_for_each(|pair| {
            let value = quoted(pair).unwrap_or_else(|| pair.value.text.clone());
            let legacy = pair.legacy && quoted(pair).is_none();
            write!(out, " {legacy} {:?}={value:?}", pair.key.text)
        }),
        kind => write!(out, "{}", KindText(kind)),
    };
    written.expect("a string takes all text");
    out
}

/// Returns the value of `NAME value` in double quotes, which is the same as long as it has no
/// character that means something else inside of them than outside.
pub(super) fn quoted(pair: &Pair) -> Option<String> {
    let name = &pair.key.text;
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    let special = ['"', '\'', '\\', '`'];
    (pair.legacy && name.chars().all(plain) && !pair.value.text.contains(special))
        .then(|| format!("\"{}\"", pair.value.text))
}
