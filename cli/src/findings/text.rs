// SPDX-License-Identifier: Apache-2.0
//! The findings for people: as buildx prints them, with carets under the words that are meant.

use std::fmt::Write as _;
use std::sync::Arc;

use frontend_dockerfile::SourceText;
use frontend_dockerfile::lint::Warning;
use graph::{SourceFile, SourceRange};

use super::{Finding, by_line};
use crate::report::step::{self, Caret};

pub(super) fn render(findings: &[Finding]) -> String {
    let count: usize = findings.iter().map(|one| one.lint.warnings.len()).sum();
    let has_error = findings.iter().any(|one| one.lint.error.is_some());
    let mut out = match count {
        0 if has_error => String::new(),
        0 => "Check complete, no warnings found.\n".to_owned(),
        1 => "Check complete, 1 warning has been found!\n".to_owned(),
        count => format!("Check complete, {count} warnings have been found!\n"),
    };
    for finding in findings {
        let file = Arc::new(SourceFile {
            name: finding.source.name().to_owned(),
            text: finding.source.text().to_owned(),
        });
        for warning in by_line(finding) {
            one(&mut out, &finding.source, &file, warning);
        }
    }
    if count > 0 && has_error {
        out.push('\n');
    }
    out
}

fn one(out: &mut String, source: &SourceText, file: &Arc<SourceFile>, warning: &Warning) {
    let url = warning.rule.url();
    let url = url.map_or_else(String::new, |url| format!(" - {url}"));
    let message: String = warning
        .message
        .chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect();
    writeln!(out, "\nWARNING: {}{url}\n{message}", warning.rule.name).ok();
    let line = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let range = SourceRange {
        file: Arc::clone(file),
        start_line: line(warning.lines.first),
        end_line: line(warning.lines.last),
    };
    out.push_str(&step::marked(&range, caret(source, warning)));
    if let Some(help) = &warning.help {
        writeln!(out, "hint: {help}").ok();
    }
}

/// Returns where the words stand, as far as they are on one line.
fn caret(source: &SourceText, warning: &Warning) -> Option<Caret> {
    let start = source.position(warning.span.start);
    let end = source.position(warning.span.end);
    let line_end = source.line(start.line).chars().count() + 1;
    let end_column = if end.line == start.line {
        end.column
    } else {
        line_end
    };
    (end_column > start.column).then_some(Caret {
        line: start.line,
        column: start.column,
        width: end_column - start.column,
    })
}
