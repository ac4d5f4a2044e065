// SPDX-License-Identifier: Apache-2.0
//! What was found in Dockerfiles, written for people and for tools.
//!
//! Docs: the JSON has the keys of BuildKit's lint result, the text the shape that buildx prints.

mod json;
mod sarif;
#[cfg(test)]
mod tests;
mod text;

pub(crate) use json::{base64_text, location, pretty};

use frontend_dockerfile::lint::{Lint, Warning};
use frontend_dockerfile::{DockerfileError, SourceText};

use crate::args::lint::LintFormat;
use crate::commands::frontend_failure;
use crate::report::{Exit, Failure};

/// The findings in one file.
#[derive(Debug)]
pub(crate) struct Finding {
    /// The file.
    pub(crate) source: SourceText,
    /// What was found.
    pub(crate) lint: Lint,
}

/// Returns the findings in a format.
pub(crate) fn render(findings: &[Finding], format: LintFormat) -> String {
    match format {
        LintFormat::Text => text::render(findings),
        LintFormat::Json => json::render(findings),
        LintFormat::Sarif => sarif::render(findings),
    }
}

/// Returns what the shell gets: an error of a file goes before warnings, and any warning is a
/// failure. Docs: buildx exits with 1 if there are warnings.
pub(crate) fn verdict(findings: &[Finding], ignore_warnings: bool) -> Result<(), Failure> {
    let mut errors = findings.iter().filter_map(|one| one.lint.error.as_ref());
    if let Some(error) = errors.next() {
        return Err(match error {
            // The warnings are the report.
            DockerfileError::Violations(_) => Failure::from_error(Exit::Failed, error)
                .hint("these are errors because of `check=error=true`"),
            error => frontend_failure(error),
        });
    }
    let has_warnings = findings.iter().any(|one| !one.lint.warnings.is_empty());
    if has_warnings && !ignore_warnings {
        return Err(Failure::silent(Exit::Failed));
    }
    Ok(())
}

/// Returns the warnings by line, as buildx prints them.
fn by_line(finding: &Finding) -> Vec<&Warning> {
    let mut warnings: Vec<&Warning> = finding.lint.warnings.iter().collect();
    warnings.sort_by_key(|warning| warning.lines.first);
    warnings
}
