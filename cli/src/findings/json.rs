// SPDX-License-Identifier: Apache-2.0
//! The findings as BuildKit's JSON, so that whatever reads `docker build --call=check,format=json`
//! reads this too.
//!
//! `Observed:` BuildKit 73ed6825 `frontend/subrequests/lint`. Of `sources`, `definition` is left
//! out: it says how a build daemon got the file from its client.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use frontend_dockerfile::DockerfileError;
use frontend_dockerfile::lint::{Lines, Warning};
use serde::Serialize;

use super::Finding;

/// More lines of one instruction are told as one range. `Ours:` they would be repeated for every
/// warning.
const RANGES_MAX: usize = 1000;

#[derive(Serialize)]
struct Result<'a> {
    /// `null` if there are none, as BuildKit has it.
    warnings: Option<Vec<OneWarning<'a>>>,
    sources: Vec<Source<'a>>,
    #[serde(rename = "buildError", skip_serializing_if = "Option::is_none")]
    build_error: Option<BuildError>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OneWarning<'a> {
    rule_name: &'a str,
    description: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    detail: &'a str,
    location: Location,
}

#[derive(Serialize)]
struct Source<'a> {
    filename: &'a str,
    data: String,
    language: &'static str,
}

#[derive(Serialize)]
struct BuildError {
    message: String,
    location: Location,
}

/// A place in a file.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Location {
    #[serde(skip_serializing_if = "is_zero")]
    source_index: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ranges: Vec<Range>,
}

#[derive(Serialize)]
struct Range {
    start: Position,
    end: Position,
}

#[derive(Serialize)]
struct Position {
    line: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// Returns lines as BuildKit tells them: each on its own.
pub(crate) fn location(lines: Lines) -> Location {
    let range = |first: usize, last: usize| Range {
        start: Position { line: first },
        end: Position { line: last },
    };
    let ranges = if lines.last - lines.first < RANGES_MAX {
        (lines.first..=lines.last)
            .map(|line| range(line, line))
            .collect()
    } else {
        vec![range(lines.first, lines.last)]
    };
    Location {
        source_index: 0,
        ranges,
    }
}

/// Returns a document as JSON that people can read too.
pub(crate) fn pretty(document: &impl Serialize) -> String {
    let text = serde_json::to_string_pretty(document);
    text.expect("it holds only JSON values") + "\n"
}

/// Returns text in base 64.
pub(crate) fn base64_text(text: &str) -> String {
    STANDARD.encode(text)
}

pub(super) fn render(findings: &[Finding]) -> String {
    let mut warnings = Vec::new();
    let mut sources = Vec::new();
    let mut build_error = None;
    for (index, finding) in findings.iter().enumerate() {
        sources.push(Source {
            filename: finding.source.name(),
            data: base64_text(finding.source.text()),
            language: "Dockerfile",
        });
        let of_file = finding.lint.warnings.iter();
        warnings.extend(of_file.map(|warning| one(index, warning)));
        if let (None, Some(error)) = (&build_error, &finding.lint.error) {
            build_error = Some(failure(index, finding, error));
        }
    }
    pretty(&Result {
        warnings: (!warnings.is_empty()).then_some(warnings),
        sources,
        build_error,
    })
}

fn one(source_index: usize, warning: &Warning) -> OneWarning<'_> {
    OneWarning {
        rule_name: warning.rule.name,
        description: warning.rule.description,
        url: warning.rule.url(),
        detail: &warning.message,
        location: Location {
            source_index,
            ..location(warning.lines)
        },
    }
}

fn failure(source_index: usize, finding: &Finding, error: &DockerfileError) -> BuildError {
    let (message, lines) = match error {
        DockerfileError::Invalid(invalid) => match invalid.diagnostics.first() {
            Some(first) => (
                first.message.clone(),
                Some(Lines::of(&finding.source, first.span)),
            ),
            None => (error.to_string(), None),
        },
        error => (error.to_string(), None),
    };
    let ranges = lines.map(|lines| location(lines).ranges);
    BuildError {
        message,
        location: Location {
            source_index,
            ranges: ranges.unwrap_or_default(),
        },
    }
}
