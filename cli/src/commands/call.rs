// SPDX-License-Identifier: Apache-2.0
//! `kiln build --call outline|targets`: what a Dockerfile offers to its callers.
//!
//! Docs: docker buildx build `--call`. The JSON has the keys of BuildKit's.

use builder::{BuildRequest, Builder};
use frontend_dockerfile::lint::Lines;
use frontend_dockerfile::outline::{self, Outline, OutlineMount, Target};
use frontend_dockerfile::{BuildInput, SourceText};
use serde_json::{Map, Value, json};

use super::build_result::frontend_failure;
use super::check::resolver;
use crate::args::call::CallFormat;
use crate::findings::{base64_text, location, pretty};
use crate::report::{self, Failure};
use crate::session;
use crate::text::{spaced, table};

/// Prints what the target takes.
pub(super) fn outline(
    builder: &Builder,
    request: &BuildRequest<BuildInput>,
    format: CallFormat,
) -> Result<(), Failure> {
    let input = &request.input;
    let outline = session::block_on_droppable(async {
        let resolver = resolver(builder, request);
        let outline = outline::outline(input, &resolver).await;
        outline.map_err(|error| frontend_failure(&error))
    })?;
    report::print(&match format {
        CallFormat::Json => pretty(&outline_json(&outline, &input.source)),
        CallFormat::Text => outline_text(&outline),
    })
}

/// Prints which targets there are.
pub(super) fn targets(source: &SourceText, format: CallFormat) -> Result<(), Failure> {
    let targets = outline::targets(source).map_err(|error| frontend_failure(&error))?;
    report::print(&match format {
        CallFormat::Json => pretty(&json!({
            "targets": targets.iter().map(target_json).collect::<Vec<Value>>(),
            "sources": [base64_text(source.text())],
        })),
        CallFormat::Text => targets_text(&targets),
    })
}

/// Puts a text in, unless it is empty.
fn put(map: &mut Map<String, Value>, key: &str, text: &str) {
    if !text.is_empty() {
        map.insert(key.to_owned(), json!(text));
    }
}

fn put_place(map: &mut Map<String, Value>, lines: Lines) {
    map.insert("location".to_owned(), json!(location(lines)));
}

fn outline_json(outline: &Outline, source: &SourceText) -> Value {
    let mut map = Map::new();
    put(&mut map, "name", &outline.name);
    put(&mut map, "description", &outline.description);
    let args = outline.args.iter().map(|arg| {
        let mut map = Map::new();
        map.insert("name".to_owned(), json!(arg.name));
        put(&mut map, "description", &arg.description);
        put(&mut map, "value", &arg.value);
        put_place(&mut map, arg.lines);
        Value::Object(map)
    });
    let lists = [
        ("args", args.collect()),
        ("secrets", mounts_json(&outline.secrets)),
        ("ssh", mounts_json(&outline.ssh)),
    ];
    for (key, list) in lists {
        let list: Vec<Value> = list;
        if !list.is_empty() {
            map.insert(key.to_owned(), Value::Array(list));
        }
    }
    map.insert("sources".to_owned(), json!([base64_text(source.text())]));
    Value::Object(map)
}

fn mounts_json(mounts: &[OutlineMount]) -> Vec<Value> {
    let mounts = mounts.iter().map(|mount| {
        let mut map = Map::new();
        map.insert("name".to_owned(), json!(mount.name));
        if mount.required {
            map.insert("required".to_owned(), json!(true));
        }
        put_place(&mut map, mount.lines);
        Value::Object(map)
    });
    mounts.collect()
}

fn target_json(target: &Target) -> Value {
    let mut map = Map::new();
    put(&mut map, "name", &target.name);
    if target.is_default {
        map.insert("default".to_owned(), json!(true));
    }
    put(&mut map, "description", &target.description);
    put(&mut map, "base", &target.base);
    put(&mut map, "platform", &target.platform);
    put_place(&mut map, target.lines);
    Value::Object(map)
}

fn outline_text(outline: &Outline) -> String {
    let mut out = String::new();
    if !outline.name.is_empty() || !outline.description.is_empty() {
        let name = match outline.name.as_str() {
            "" => "(default)",
            name => name,
        };
        let mut rows = Vec::new();
        if !outline.description.is_empty() {
            rows.push(vec!["DESCRIPTION:".to_owned(), clean(&outline.description)]);
        }
        out.push_str(&spaced(1, &["TARGET:", name], &rows));
        out.push('\n');
    }
    if !outline.args.is_empty() {
        let rows = outline.args.iter();
        let rows: Vec<Vec<String>> = rows
            .map(|arg| {
                [&arg.name, &arg.value, &arg.description]
                    .map(|text| clean(text))
                    .to_vec()
            })
            .collect();
        out.push_str(&table(&["BUILD ARG", "VALUE", "DESCRIPTION"], &rows));
        out.push('\n');
    }
    for (head, mounts) in [("SECRET", &outline.secrets), ("SSH", &outline.ssh)] {
        let rows: Vec<Vec<String>> = mounts
            .iter()
            .map(|mount| {
                let required = if mount.required { "true" } else { "" };
                vec![clean(&mount.name), required.to_owned()]
            })
            .collect();
        if !rows.is_empty() {
            out.push_str(&table(&[head, "REQUIRED"], &rows));
            out.push('\n');
        }
    }
    out
}

fn targets_text(targets: &[Target]) -> String {
    let rows = targets.iter().map(|target| {
        let name = match (target.name.as_str(), target.is_default) {
            ("", true) => "(default)".to_owned(),
            (name, true) => format!("{name} (default)"),
            (name, false) => name.to_owned(),
        };
        vec![name, clean(&target.description)]
    });
    let rows: Vec<Vec<String>> = rows.collect();
    spaced(1, &["TARGET", "DESCRIPTION"], &rows)
}

/// Returns text of a file as it may go to a terminal.
fn clean(text: &str) -> String {
    let shown = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    text.chars().map(shown).collect()
}
