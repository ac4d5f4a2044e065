// SPDX-License-Identifier: Apache-2.0
//! The variables of a stage while it is walked: values, and names in the order they were last set,
//! which is the order in which misspelled names are compared.

use std::collections::BTreeMap;

use crate::expand;

/// Of more variables none is offered instead of a misspelled name. `Ours:` every name would be
/// compared with every other.
const COMPARED_MAX: usize = 1000;

/// Names and values.
#[derive(Clone, Debug, Default)]
pub(super) struct Variables {
    values: BTreeMap<String, Value>,
    set_count: u64,
}

#[derive(Clone, Debug)]
struct Value {
    text: String,
    /// Which setting of a variable this was.
    set_at: u64,
}

impl Variables {
    /// Sets a variable, which becomes the last.
    pub(super) fn set(&mut self, name: &str, text: &str) {
        self.set_count += 1;
        let value = Value {
            text: text.to_owned(),
            set_at: self.set_count,
        };
        self.values.insert(name.to_owned(), value);
    }

    /// Returns the names in the order they were last set, none if there are too many to compare.
    pub(super) fn names(&self) -> Vec<&str> {
        if self.values.len() > COMPARED_MAX {
            return Vec::new();
        }
        let mut names: Vec<(&str, u64)> = self
            .values
            .iter()
            .map(|(name, value)| (name.as_str(), value.set_at))
            .collect();
        names.sort_by_key(|(_, set_at)| *set_at);
        names.into_iter().map(|(name, _)| name).collect()
    }
}

/// The variables of an image: one that is set again keeps its place.
#[derive(Clone, Debug, Default)]
pub(super) struct ImageEnv {
    values: BTreeMap<String, String>,
    order: Vec<String>,
}

impl ImageEnv {
    /// Sets a variable.
    pub(super) fn set(&mut self, name: &str, value: &str) {
        if self
            .values
            .insert(name.to_owned(), value.to_owned())
            .is_none()
        {
            self.order.push(name.to_owned());
        }
    }

    /// Returns whether a variable is set.
    pub(super) fn contains(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// Returns names and values in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let entry = |name: &String| self.values.get_key_value(name);
        let entries = self.order.iter().filter_map(entry);
        entries.map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl expand::Variables for Variables {
    fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(|value| value.text.as_str())
    }
}
