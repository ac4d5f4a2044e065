// SPDX-License-Identifier: Apache-2.0
//! The report on a step that failed: its last output, and the lines that it was written in.
//!
//! ```text
//! ------
//!  > [2/3] RUN make:
//! 0.123 make: *** No targets.  Stop.
//! ------
//! Dockerfile:3
//! --------------------
//!    1 |     FROM gcc
//!    2 |
//!    3 | >>> RUN make
//! --------------------
//! ```
//!
//! Docs: BuildKit prints the same shape, which users and editors know.

use std::fmt::Write as _;

use graph::SourceRange;

/// Lines shown before and after those of the step.
const AROUND_LINES: usize = 2;
/// The most lines of the step itself that are shown.
const STEP_LINES_MAX: usize = 30;
const RULE: &str = "--------------------";

/// Returns the last output of the step `name`.
pub(crate) fn output(name: &str, lines: &[String], left_out: usize) -> String {
    if lines.is_empty() {
        return String::new();
    }
    let mut out = format!("------\n > {name}:\n");
    if left_out > 0 {
        writeln!(out, "[… {left_out} lines before]").ok();
    }
    for line in lines {
        writeln!(out, "{line}").ok();
    }
    out.push_str("------\n");
    out
}

/// Words of a line to underline, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Caret {
    /// The line in the file.
    pub(crate) line: usize,
    /// Its first character.
    pub(crate) column: usize,
    /// How many characters.
    pub(crate) width: usize,
}

/// Returns the lines of the Dockerfile around `range`, those of the step marked.
pub(crate) fn excerpt(range: &SourceRange) -> String {
    marked(range, None)
}

/// Returns the same, with carets under some words.
pub(crate) fn marked(range: &SourceRange, caret: Option<Caret>) -> String {
    let lines: Vec<&str> = range.file.text.lines().collect();
    let start = (range.start_line as usize).clamp(1, lines.len().max(1));
    let end = (range.end_line as usize).clamp(start, lines.len().max(start));
    let shown_end = end.min(start + STEP_LINES_MAX - 1);
    let mut out = format!("{}:{start}\n{RULE}\n", range.file.name);
    let first = start.saturating_sub(AROUND_LINES).max(1);
    let last = if shown_end < end {
        shown_end
    } else {
        (end + AROUND_LINES).min(lines.len())
    };
    for number in first..=last {
        let Some(line) = lines.get(number - 1) else {
            break;
        };
        let mark = if (start..=end).contains(&number) {
            ">>>"
        } else {
            "   "
        };
        let line: String = line
            .chars()
            .filter(|c| !c.is_control() || *c == '\t')
            .collect();
        writeln!(out, "{}", format!("{number:>4} | {mark} {line}").trim_end()).ok();
        if let Some(caret) = caret.filter(|caret| caret.line == number) {
            let before = line.chars().take(caret.column - 1);
            let indent: String = before.map(|c| if c == '\t' { c } else { ' ' }).collect();
            writeln!(out, "     |     {indent}{}", "^".repeat(caret.width)).ok();
        }
    }
    if shown_end < end {
        writeln!(out, "     | >>> [… {} more lines]", end - shown_end).ok();
    }
    out.push_str(RULE);
    out.push('\n');
    out
}
