// SPDX-License-Identifier: Apache-2.0
//! Variables of the environment that override a distribution registry's file.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::PREFIX;

/// The longest path that a variable may name.
const PARTS_MAX: usize = 12;
/// The longest list that is made by index.
const LIST_MAX: usize = 100;

/// Sets in `root` what variables say; returns the variables by the path that they set.
pub(super) fn apply(root: &mut Value, variables: &[(String, String)]) -> BTreeMap<String, String> {
    let mut by_path = BTreeMap::new();
    let mut sorted: Vec<_> = variables.iter().collect();
    // A section that is named by one (`REGISTRY_STORAGE=s3`) comes before its keys.
    sorted.sort();
    for (name, text) in sorted {
        let Some(rest) = name.strip_prefix(PREFIX) else {
            continue;
        };
        let parts: Vec<String> = rest.split('_').map(str::to_ascii_lowercase).collect();
        if parts.len() > PARTS_MAX || parts.iter().any(String::is_empty) {
            continue;
        }
        let parsed = serde_saphyr::from_str::<Value>(text);
        let value = match parsed {
            Ok(value @ (Value::Bool(_) | Value::Number(_) | Value::Array(_))) => value,
            _ => Value::from(text.as_str()),
        };
        set(root, &parts, value);
        by_path.insert(parts.join("."), name.clone());
    }
    by_path
}

/// Makes the section `name` one of keys, if it is named by one alone.
pub(super) fn open_section(root: &mut Value, name: &str) {
    if let Some(section @ Value::String(_)) = root.get_mut(name) {
        *section = section_of(section);
    }
}

/// Returns the section that `value` stands for: `storage: s3` and `storage: {s3: {}}` are the same.
fn section_of(value: &Value) -> Value {
    let mut section = Map::new();
    if let Value::String(name) = value {
        section.insert(name.clone(), Value::Object(Map::new()));
    }
    Value::Object(section)
}

fn set(at: &mut Value, parts: &[String], value: Value) {
    let Some((first, rest)) = parts.split_first() else {
        *at = value;
        return;
    };
    if let (Value::Array(list), Ok(index)) = (&mut *at, first.parse::<usize>()) {
        if index < LIST_MAX {
            while list.len() <= index {
                list.push(Value::Null);
            }
            set(&mut list[index], rest, value);
        }
        return;
    }
    if !at.is_object() {
        *at = section_of(at);
    }
    if let Value::Object(section) = at {
        set(
            section.entry(first.as_str()).or_insert(Value::Null),
            rest,
            value,
        );
    }
}
