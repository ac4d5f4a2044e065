// SPDX-License-Identifier: Apache-2.0
//! One platform of a build in the form of the golden files, out of the JSON of a definition.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// One platform in the form of the golden files.
pub(crate) struct Target {
    /// Inputs first, in the order in which the result reaches them; inputs by position.
    pub(crate) vertices: Vec<Value>,
    pub(crate) config: Value,
}

impl Target {
    pub(crate) fn new(definition: &Value, config: &Value) -> Self {
        let mut walk = Walk {
            definition,
            positions: BTreeMap::new(),
            groups: BTreeMap::new(),
            vertices: Vec::new(),
        };
        let ops = definition["def"].as_object().expect("an object");
        let end = ops.iter().find(|(_, op)| is_end(op));
        if let Some((digest, _)) = end {
            walk.visit(digest);
        }
        Self {
            vertices: walk.vertices,
            config: pruned(config),
        }
    }

    pub(crate) fn parse(value: &Value) -> Self {
        Self {
            vertices: value["vertices"].as_array().expect("a list").clone(),
            config: value["config"].clone(),
        }
    }

    /// Returns the target as `theirs` tells of it, where both are right.
    ///
    /// 1. Equal operations are one vertex. kiln names it after the first instruction that asks for
    ///    it, BuildKit after the one that it came across last, and lists all their places.
    /// 2. BuildKit knows no place of an image that a mount names; kiln says the instruction's.
    pub(crate) fn told_as(&self, theirs: &Self) -> Self {
        let vertices = self.vertices.iter().enumerate().map(|(at, our)| {
            let mut our = our.clone();
            let Some(their) = theirs.vertices.get(at) else {
                return our;
            };
            let places = their["lines"].as_array().map_or(&[][..], Vec::as_slice);
            let merged = places.len() > 1 && places.contains(&our["lines"][0]);
            if merged || places.contains(&json!({})) {
                our["metadata"]["description"] = their["metadata"]["description"].clone();
                our["lines"] = their["lines"].clone();
            }
            our
        });
        Self {
            vertices: vertices.collect(),
            config: self.config.clone(),
        }
    }

    /// Returns one line for each vertex and one for the config.
    pub(crate) fn lines(&self) -> Vec<String> {
        let vertices = self.vertices.iter();
        let config = format!("config {}", sorted(&self.config));
        vertices
            .map(|vertex| sorted(vertex).to_string())
            .chain([config])
            .collect()
    }
}

fn is_end(op: &Value) -> bool {
    let fields = op.as_object().expect("an object");
    fields.keys().all(|key| key == "inputs")
}

struct Walk<'a> {
    definition: &'a Value,
    positions: BTreeMap<String, usize>,
    groups: BTreeMap<String, usize>,
    vertices: Vec<Value>,
}

impl Walk<'_> {
    fn visit(&mut self, digest: &str) -> String {
        if let Some(position) = self.positions.get(digest) {
            return format!("#{position}");
        }
        let mut op = self.definition["def"][digest].clone();
        let inputs = op.get_mut("inputs").and_then(Value::as_array_mut);
        for input in inputs.into_iter().flatten() {
            let below = input["digest"].as_str().expect("text").to_owned();
            input["digest"] = json!(self.visit(&below));
        }
        // What names a session is of one build only; keys of hosts are what the recorder was told.
        if let Some(Value::Object(attrs)) = op.pointer_mut("/source/attrs") {
            let of_one_build = ["local.session", "local.unique", "git.knownsshhosts"];
            attrs.retain(|name, _| !of_one_build.contains(&name.as_str()));
        }
        let mut metadata = self.definition["metadata"][digest].clone();
        if let Some(Value::Object(caps)) = metadata.pointer_mut("/caps") {
            caps.retain(|name, _| name != "source.local.sessionid");
        }
        if let Some(id) = metadata.pointer_mut("/progress_group/id") {
            let next = self.groups.len();
            *id = json!(*self.groups.entry(id.to_string()).or_insert(next));
        }
        let lines = &self.definition["source"]["locations"][digest]["locations"];
        let vertex = json!({ "op": op, "metadata": metadata, "lines": lines });
        let position = self.vertices.len();
        self.vertices.push(pruned(&vertex));
        self.positions.insert(digest.to_owned(), position);
        format!("#{position}")
    }
}

/// Returns the value without what is null or an empty root file system; a range of lines as a pair.
fn pruned(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            if let (Some(start), Some(end)) = (fields.get("start"), fields.get("end")) {
                return json!([start["line"], end["line"]]);
            }
            let kept = fields.iter().filter(|(_, value)| !value.is_null());
            let kept = kept.filter(|(key, value)| *key != "diff_ids" || **value != json!([]));
            // kiln fills the times of new entries when layers are made.
            let is_new = fields.get("comment") == Some(&json!("buildkit.dockerfile.v0"));
            let kept = kept.filter(|(key, _)| !is_new || *key != "created");
            Value::Object(
                kept.map(|(key, value)| (key.clone(), pruned(value)))
                    .collect(),
            )
        }
        Value::Array(list) => list.iter().map(pruned).collect(),
        other => other.clone(),
    }
}

/// Returns the value with the fields of every object sorted.
pub(crate) fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields: BTreeMap<&String, Value> = fields
                .iter()
                .map(|(key, value)| (key, sorted(value)))
                .collect();
            json!(fields)
        }
        Value::Array(list) => list.iter().map(sorted).collect(),
        other => other.clone(),
    }
}
