// SPDX-License-Identifier: Apache-2.0
//! The configuration of a distribution registry, read as ours.
//!
//! What has a counterpart is taken over; what has none is told, by name and with what to do; what
//! would make the registry less safe if it were left out, or would make it another kind of registry,
//! is refused. `rule` has a line for every key.
//!
//! Docs: distribution 3, "Configuring a registry", also for the variables: `REGISTRY_` and the path
//! in capitals, joined by `_`, elements of lists by index, values in YAML.

mod apply;
mod rule;
#[cfg(test)]
mod tests;
mod variable;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::origin::Origin;
use super::problem::Problem;
use super::resolve::{File, Foreign};
use super::shape;
use apply::Target;
use rule::{Rule, rule_of};

/// What the names of its variables begin with.
pub const PREFIX: &str = "REGISTRY_";

/// The largest file, in bytes.
const FILE_MAX_BYTES: usize = 1 << 20;
/// How deep a file may be nested. Ours: real ones have six levels.
const DEPTH_MAX: usize = 24;

/// A configuration in our terms.
#[derive(Clone, Debug)]
pub struct Converted {
    /// The values.
    pub foreign: Foreign,
    /// What is not as it was.
    pub warnings: Vec<Problem>,
    /// The directory where that registry keeps its content, if it does in one.
    pub content: Option<PathBuf>,
}

/// Reads the file and the variables of a distribution registry.
///
/// # Errors
///
/// Everything that cannot be read or must not be left out.
pub fn convert(file: &File, variables: &[(String, String)]) -> Result<Converted, Vec<Problem>> {
    let mut root = parse(file).map_err(|problem| vec![problem])?;
    let by_variable = variable::apply(&mut root, variables);
    for section in ["storage", "auth"] {
        variable::open_section(&mut root, section);
    }
    let mut conversion = Conversion {
        file,
        by_variable,
        foreign: Foreign {
            values: Value::Object(Map::new()),
            origins: BTreeMap::new(),
        },
        warnings: Vec::new(),
        errors: Vec::new(),
    };
    conversion.assume(&root);
    conversion.walk("", &root);
    conversion.require_users(&root);
    if conversion.errors.is_empty() {
        let ours = shape::get(&conversion.foreign.values, "storage.directory");
        let content = ours.and_then(Value::as_str).map(Path::new);
        return Ok(Converted {
            content: content.and_then(Path::parent).map(Path::to_owned),
            foreign: conversion.foreign,
            warnings: conversion.warnings,
        });
    }
    Err(conversion.errors)
}

fn parse(file: &File) -> Result<Value, Problem> {
    let path = file.path.display();
    if file.text.len() > FILE_MAX_BYTES {
        let message = format!("{path} is larger than {FILE_MAX_BYTES} bytes");
        return Err(Problem::new(message));
    }
    // Aliases may repeat what they name, but not without end.
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: DEPTH_MAX,
            max_aliases: 100,
            max_nodes: 10_000,
        },
    };
    let parsed = serde_saphyr::from_str_with_options::<Value>(&file.text, options);
    let root = parsed.map_err(|error| {
        let error = error.to_string();
        let first = error.lines().next().unwrap_or_default();
        Problem::new(format!("{path} is not valid YAML: {first}"))
    })?;
    let version = root.get("version").map(plain);
    if version.as_deref() != Some("0.1") {
        let message = format!("{path} is not the configuration of a distribution registry");
        return Err(Problem::new(message).hint("it must say `version: 0.1`"));
    }
    Ok(root)
}

/// Returns a scalar as text.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

struct Conversion<'a> {
    file: &'a File,
    /// Variables by the path that they set.
    by_variable: BTreeMap<String, String>,
    foreign: Foreign,
    warnings: Vec<Problem>,
    errors: Vec<Problem>,
}

impl Conversion<'_> {
    /// Sets what distribution does if nothing is said, and we do otherwise.
    fn assume(&mut self, root: &Value) {
        let log = root.pointer("/log");
        let disabled = log.and_then(|log| log.pointer("/accesslog/disabled"));
        let is_json = log
            .and_then(|log| log.get("formatter"))
            .is_some_and(|formatter| formatter != "text");
        let access = match (disabled, is_json) {
            (Some(Value::Bool(true)), _) => "off",
            (_, true) => "json",
            (_, false) => "text",
        };
        self.set("log.access", Value::from(access), "log");
        self.set("storage.deletes", Value::from(false), "storage.delete");
        self.set("storage.sparse", Value::from("strict"), "validation");
        let redirects = root.pointer("/storage/redirect/disable") != Some(&Value::Bool(true));
        if root.pointer("/storage/s3").is_some() && redirects {
            let size = Value::from("1MiB");
            self.set("storage.s3.redirect_above", size, "storage.redirect");
        }
    }

    /// Refuses a registry that asked for credentials and no longer would.
    fn require_users(&mut self, root: &Value) {
        let wanted = match root.get("auth") {
            Some(Value::Object(section)) => section.keys().any(|name| name != "none"),
            Some(Value::Null) | None => false,
            Some(_) => true,
        };
        let has_users = self.foreign.origins.contains_key("auth.htpasswd");
        if wanted && !has_users && self.errors.is_empty() {
            let problem = Problem::new("`auth` names no file of users");
            self.errors.push(problem.hint("set `auth.htpasswd.path`"));
        }
    }

    fn set(&mut self, path: &str, value: Value, from: &str) {
        let origin = match self.by_variable.get(from) {
            Some(variable) => Origin::Variable(variable.clone()),
            None => Origin::File(self.file.path.clone(), None),
        };
        shape::set(&mut self.foreign.values, path, value);
        self.foreign.origins.insert(path.to_owned(), origin);
    }

    fn walk(&mut self, path: &str, value: &Value) {
        match (rule_of(path, value), value) {
            (Some(rule), _) => self.apply(path, value, rule),
            (None, Value::Object(section)) => {
                for (name, value) in section {
                    self.walk(&shape::join(path, name), value);
                }
            }
            // A section without keys says nothing.
            (None, Value::Null) => {}
            (None, _) => {
                let problem = Problem::new(format!("`{path}` is not known and has no effect"));
                self.warnings.push(problem);
            }
        }
    }

    fn apply(&mut self, path: &str, value: &Value, rule: Rule) {
        match rule {
            Rule::Silent => {}
            Rule::Warn(advice) => {
                let problem = Problem::new(format!("`{path}` has no effect"));
                self.warnings.push(problem.hint(advice));
            }
            Rule::Refuse(reason) => {
                let problem = Problem::new(format!("`{path}` is not supported"));
                self.errors.push(problem.hint(reason));
            }
            Rule::Map(key, target) => match apply::translate(target, value) {
                Ok(translated) => self.set(key, translated, path),
                Err(expected) => {
                    let shown = if matches!(target, Target::Secret) {
                        String::new()
                    } else {
                        format!(" `{}`", plain(value))
                    };
                    let message = format!("`{path}`:{shown} {expected}");
                    self.errors.push(Problem::new(message));
                }
            },
        }
    }
}
