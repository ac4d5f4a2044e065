// SPDX-License-Identifier: Apache-2.0
//! What a builder made of a case, as lines: layers, config, history, warnings; or a refusal.
//!
//! Times are left out unless they lie before 2020: then somebody set them on purpose.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;

use serde_json::{Map, Value};

use super::base::BaseImages;
use super::case::Case;
use super::entry;
use super::words::on_one_line;

/// The heading of warnings, which are compared on their own.
const WARNINGS: &str = "warnings";

/// The headings of further requests.
const CALLS: [&str; 2] = ["outline", "targets"];

/// The heading of a refusal.
const REFUSED: &str = "refused";

/// What a builder answered, line by line; headings start in the first column.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    lines: Vec<String>,
}

impl Answer {
    pub(super) fn of_text(text: &str) -> Self {
        Self {
            lines: text.lines().map(str::to_owned).collect(),
        }
    }

    /// Returns the answer of a builder that refused with `message`.
    pub(super) fn refusal(message: &str) -> Self {
        let mut answer = Self::default();
        answer.section(
            REFUSED,
            message
                .lines()
                .map(|line| format!("  {}", on_one_line(line))),
        );
        answer
    }

    /// Reads the archive that a builder wrote (`type=oci`, uncompressed).
    pub(super) fn of_archive(archive: &[u8], bases: &BaseImages) -> Self {
        let files = Files::read(archive);
        let index = files.json("index.json");
        let mut answer = Self::default();
        let mut found = Vec::new();
        files.manifests(&index, &mut found);
        let several = found.len() > 1;
        for (platform, manifest) in found {
            if several {
                answer.lines.push(format!("platform {platform}"));
            }
            answer.image(&files, &manifest, bases);
        }
        answer
    }

    /// Says whether the builder refused.
    pub fn is_refusal(&self) -> bool {
        self.lines.first().is_some_and(|line| line == REFUSED)
    }

    /// Returns the lines about the image: all but calls, and of a refusal only that it is one.
    pub(super) fn image_lines(&self) -> Vec<&str> {
        if self.is_refusal() {
            return vec![REFUSED];
        }
        let end = self.lines.len() - self.call_lines().len();
        self.lines.iter().take(end).map(String::as_str).collect()
    }

    /// Returns the lines about the Dockerfile itself: warnings and what else was asked for.
    pub(super) fn call_lines(&self) -> Vec<&str> {
        let lines = self.lines.iter().map(String::as_str);
        let is_call = |line: &str| line == WARNINGS || CALLS.contains(&line);
        lines.skip_while(|line| !is_call(line)).collect()
    }

    /// Adds a section, unless it has no lines.
    pub(super) fn section(&mut self, heading: &str, lines: impl IntoIterator<Item = String>) {
        let before = self.lines.len();
        self.lines.push(heading.to_owned());
        self.lines.extend(lines);
        if self.lines.len() == before + 1 {
            self.lines.pop();
        }
    }

    /// Adds the warnings, and what `ask` answers to further requests of the case.
    pub(super) fn calls(&mut self, case: &Case, warnings: &[String], ask: impl Fn(&str) -> String) {
        self.section(
            WARNINGS,
            warnings.iter().map(|warning| format!("  {warning}")),
        );
        for call in &case.calls {
            assert!(CALLS.contains(&call.as_str()), "{}: {call}", case.name);
            let text = ask(call);
            let lines = text.lines().map(|line| format!("  {line}"));
            self.section(call, lines.map(|line| line.trim_end().to_owned()));
        }
    }

    /// Replaces what changes between runs, such as addresses, in every line.
    pub(super) fn replace(&mut self, replace: impl Fn(&str) -> String) {
        for line in &mut self.lines {
            *line = replace(line);
        }
    }

    fn image(&mut self, files: &Files, manifest: &Value, bases: &BaseImages) {
        let config = files.blob_json(&manifest["config"]);
        let layers = manifest["layers"].as_array().cloned().unwrap_or_default();
        let diff_ids = config["rootfs"]["diff_ids"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        assert_eq!(layers.len(), diff_ids.len(), "one diff ID per layer");
        for (layer, diff_id) in layers.iter().zip(&diff_ids) {
            if bases.is_base_layer(diff_id.as_str().unwrap_or_default()) {
                self.lines.push("layer of the base".to_owned());
            } else {
                self.lines.push("layer".to_owned());
                self.lines.extend(entry::lines(files.blob(layer)));
            }
        }
        self.section("config", config_lines(&config));
        let history = config["history"].as_array().cloned().unwrap_or_default();
        self.section("history", history.iter().map(history_line));
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.lines {
            writeln!(f, "{line}")?;
        }
        Ok(())
    }
}

/// Returns the config as JSON, one field per line where it has fields, keys in order.
fn config_lines(config: &Value) -> Vec<String> {
    let mut shown = Map::new();
    for (key, value) in config.as_object().into_iter().flatten() {
        let is_fixed = key != "created" || is_fixed_time(value);
        if is_fixed && !matches!(key.as_str(), "rootfs" | "history") {
            shown.insert(key.clone(), value.clone());
        }
    }
    let shown = sorted(&Value::Object(shown));
    let mut lines = Vec::new();
    for (key, value) in shown.as_object().into_iter().flatten() {
        match value.as_object() {
            Some(fields) if key == "config" => {
                lines.extend(
                    fields
                        .iter()
                        .map(|(name, value)| format!("  {name}: {value}")),
                );
            }
            _ => lines.push(format!("  ({key}: {value})")),
        }
    }
    lines
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields: BTreeMap<&String, &Value> = fields.iter().collect();
            Value::Object(
                fields
                    .into_iter()
                    .map(|(k, v)| (k.clone(), sorted(v)))
                    .collect(),
            )
        }
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        other => other.clone(),
    }
}

fn is_fixed_time(value: &Value) -> bool {
    value.as_str().is_some_and(|time| time < "2020")
}

/// Returns one entry of the history: whether it has a layer, its text, and what else it says.
fn history_line(entry: &Value) -> String {
    let mut line = String::from("  ");
    line.push_str(if entry["empty_layer"] == Value::Bool(true) {
        "empty  "
    } else {
        "layer  "
    });
    line.push_str(&on_one_line(
        entry["created_by"].as_str().unwrap_or("(no created_by)"),
    ));
    for (key, value) in entry.as_object().into_iter().flatten() {
        let is_usual = match key.as_str() {
            "created_by" | "empty_layer" => true,
            "comment" => value == "buildkit.dockerfile.v0",
            "created" => !is_fixed_time(value),
            _ => false,
        };
        if !is_usual {
            line.extend(["  (", key, ": ", &value.to_string(), ")"]);
        }
    }
    line
}

/// The files of an archive in memory.
struct Files(BTreeMap<String, Vec<u8>>);

impl Files {
    fn read(archive: &[u8]) -> Self {
        let mut files = BTreeMap::new();
        let mut archive = tar::Archive::new(archive);
        for entry in archive.entries().expect("the output is a tar archive") {
            let mut entry = entry.expect("the archive is whole");
            let path = entry.path().expect("paths are text").display().to_string();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).expect("the archive is whole");
            files.insert(path, bytes);
        }
        Self(files)
    }

    fn json(&self, path: &str) -> Value {
        let bytes = self
            .0
            .get(path)
            .unwrap_or_else(|| panic!("the archive has no {path}"));
        serde_json::from_slice(bytes).expect("documents of an image are JSON")
    }

    fn blob(&self, descriptor: &Value) -> &[u8] {
        let digest = descriptor["digest"]
            .as_str()
            .expect("a descriptor has a digest");
        let path = format!("blobs/{}", digest.replace(':', "/"));
        self.0
            .get(&path)
            .unwrap_or_else(|| panic!("the archive has no {path}"))
    }

    fn blob_json(&self, descriptor: &Value) -> Value {
        serde_json::from_slice(self.blob(descriptor)).expect("documents of an image are JSON")
    }

    /// Collects the manifests below an index, with their platforms.
    fn manifests(&self, index: &Value, found: &mut Vec<(String, Value)>) {
        for descriptor in index["manifests"].as_array().into_iter().flatten() {
            let document = self.blob_json(descriptor);
            if document["manifests"].is_array() {
                self.manifests(&document, found);
                continue;
            }
            let platform = &descriptor["platform"];
            let parts = ["os", "architecture", "variant"].map(|key| platform[key].as_str());
            let parts: Vec<&str> = parts.into_iter().flatten().collect();
            found.push((parts.join("/"), document));
        }
    }
}
