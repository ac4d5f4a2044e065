// SPDX-License-Identifier: Apache-2.0
//! The findings as SARIF, which code hosts show beside the lines of a change.
//!
//! Spec: Static Analysis Results Interchange Format 2.1.0, OASIS; §3.27 results, §3.30 regions,
//! §3.49 rules. Columns count code points from 1, the end is exclusive.

use std::fmt::Write as _;

use frontend_dockerfile::lint::{RULES, Rule};
use frontend_dockerfile::span::Span;
use frontend_dockerfile::{DockerfileError, SourceText};
use serde_json::{Value, json};

use super::{Finding, json::pretty};

const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";
const VERSION: &str = "2.1.0";

pub(super) fn render(findings: &[Finding]) -> String {
    let results: Vec<Value> = findings.iter().flat_map(results).collect();
    pretty(&json!({
        "$schema": SCHEMA,
        "version": VERSION,
        "runs": [{
            "tool": {"driver": {
                "name": "kiln",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": RULES.iter().map(rule).collect::<Vec<Value>>(),
            }},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    }))
}

fn rule(rule: &Rule) -> Value {
    let mut value = json!({
        "id": rule.name,
        "name": rule.name,
        "shortDescription": {"text": rule.description},
        "defaultConfiguration": {"enabled": !rule.experimental, "level": "warning"},
    });
    if let Some(url) = rule.url() {
        value["helpUri"] = json!(url);
    }
    value
}

fn results(finding: &Finding) -> Vec<Value> {
    let mut results: Vec<Value> = super::by_line(finding)
        .into_iter()
        .map(|warning| {
            let index = RULES.iter().position(|rule| rule == warning.rule);
            json!({
                "ruleId": warning.rule.name,
                "ruleIndex": index,
                "level": "warning",
                "message": {"text": warning.message},
                "locations": [place(&finding.source, Some(warning.span))],
            })
        })
        .collect();
    let error = |message: String, span: Option<Span>| {
        json!({
            "level": "error",
            "message": {"text": message},
            "locations": [place(&finding.source, span)],
        })
    };
    match &finding.lint.error {
        // The warnings themselves say it.
        None | Some(DockerfileError::Violations(_)) => {}
        Some(DockerfileError::Invalid(invalid)) => {
            let problems = invalid.diagnostics.iter();
            results.extend(problems.map(|one| error(one.message.clone(), Some(one.span))));
        }
        Some(other) => results.push(error(other.to_string(), None)),
    }
    results
}

fn place(source: &SourceText, span: Option<Span>) -> Value {
    let mut physical = json!({"artifactLocation": {"uri": uri(source.name())}});
    if let Some(span) = span {
        let start = source.position(span.start);
        let end = source.position(span.end);
        physical["region"] = json!({
            "startLine": start.line,
            "startColumn": start.column,
            "endLine": end.line,
            "endColumn": end.column,
        });
    }
    json!({"physicalLocation": physical})
}

/// Returns a path as a URI reference: what RFC 3986 does not allow in a path is encoded.
fn uri(path: &str) -> String {
    let mut out = if path.starts_with('/') {
        "file://".to_owned()
    } else {
        String::new()
    };
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").ok();
        }
    }
    out
}
