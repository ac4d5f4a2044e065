// SPDX-License-Identifier: Apache-2.0
//! Which keys there are, read off the defaults, and which value fits under which.

use serde_json::{Map, Value};

use super::sections::Settings;

/// One key that can be set.
#[derive(Clone, Debug)]
pub(super) struct Key {
    /// Sections and key, with dots.
    pub(super) path: String,
    /// Its default; null for none.
    pub(super) default: Value,
}

/// Returns the defaults as a tree.
pub(super) fn defaults() -> Value {
    tree(&Settings::default())
}

/// Returns settings as a tree.
pub(super) fn tree(settings: &Settings) -> Value {
    serde_json::to_value(settings).expect("settings are plain values")
}

/// Returns all keys, in the order of the sections.
pub(super) fn keys() -> Vec<Key> {
    let mut keys = Vec::new();
    collect(&defaults(), "", &mut keys);
    keys
}

fn collect(value: &Value, path: &str, keys: &mut Vec<Key>) {
    match value {
        Value::Object(section) => {
            for (name, value) in section {
                collect(value, &join(path, name), keys);
            }
        }
        leaf => keys.push(Key {
            path: path.to_owned(),
            default: leaf.clone(),
        }),
    }
}

/// Returns the path of `name` in the section `path`.
pub(super) fn join(path: &str, name: &str) -> String {
    match path {
        "" => name.to_owned(),
        path => format!("{path}.{name}"),
    }
}

/// Puts `value` at `path`, making the sections on the way.
pub(super) fn set(root: &mut Value, path: &str, value: Value) {
    let mut at = root;
    for name in path.split('.') {
        if !at.is_object() {
            *at = Value::Object(Map::new());
        }
        let section = at.as_object_mut().expect("it was just made one");
        at = section.entry(name).or_insert(Value::Null);
    }
    *at = value;
}

/// Returns the value at `path`.
pub(super) fn get<'a>(root: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(root, |at, name| at.get(name))
}

/// Checks that `value` may stand at `path`.
///
/// # Errors
///
/// What is expected there.
pub(super) fn accept(path: &str, value: &Value) -> Result<(), String> {
    let mut alone = Value::Object(Map::new());
    set(&mut alone, path, value.clone());
    match serde_json::from_value::<Settings>(alone) {
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

/// Returns the value of `text` that fits at `path`: text, number, switch, or a list with commas.
///
/// # Errors
///
/// What is expected there.
pub(super) fn fit(path: &str, default: &Value, text: &str) -> Result<Value, String> {
    if default.is_array() {
        let parts = text.split(',').map(str::trim);
        let parts = parts.filter(|part| !part.is_empty());
        let list = Value::Array(parts.map(Value::from).collect());
        return accept(path, &list).map(|()| list);
    }
    let text_value = Value::from(text);
    let Err(expected) = accept(path, &text_value) else {
        return Ok(text_value);
    };
    let number = text.parse::<u64>().map(Value::from).ok();
    let switch = text.parse::<bool>().map(Value::from).ok();
    let mut others = number.into_iter().chain(switch);
    others
        .find(|value| accept(path, value).is_ok())
        .ok_or(expected)
}

/// Returns the candidate that `word` was probably meant to be.
pub(super) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let near = candidates
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate));
    let nearest = near.min_by_key(|(distance, _)| *distance);
    let (distance, candidate) = nearest?;
    (distance <= (word.len() / 3).max(1)).then_some(candidate)
}

/// Returns how many letters must be changed, added or left out.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.iter().enumerate() {
            let changed = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}
