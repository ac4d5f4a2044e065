// SPDX-License-Identifier: Apache-2.0
//! The settings in force as a configuration file, with where each value comes from.

use std::fmt::Write as _;

use serde_json::Value;

use super::resolve::Effective;
use super::{secret, shape, variables};

/// The column at which origins are written.
const ORIGIN_COLUMN: usize = 48;

impl Effective {
    /// Returns the settings in TOML: a comment behind each value says where it comes from, keys
    /// without a value are comments. In the place of a secret is a comment that says how to give
    /// it: what is printed can be served once it is given, and is refused before.
    pub fn render(&self) -> String {
        let values = shape::tree(&self.settings);
        let mut out = String::new();
        self.section(&mut out, "", &values);
        out
    }

    fn section(&self, out: &mut String, path: &str, values: &Value) {
        let Some(section) = values.as_object() else {
            return;
        };
        if !path.is_empty() {
            let gap = if out.is_empty() { "" } else { "\n" };
            writeln!(out, "{gap}[{path}]").ok();
        }
        for (name, value) in section.iter().filter(|(_, value)| !value.is_object()) {
            let key = shape::join(path, name);
            let line = match value {
                Value::String(_) if secret::KEYS.contains(&key.as_str()) => {
                    let variable = variables::name(&key);
                    format!("# {name} is not shown: set it here, in {variable} or as {name}_file")
                }
                Value::Null => format!("# {name} is not set"),
                value => format!("{name} = {}", toml_text(value)),
            };
            match self.origins.get(&key) {
                Some(origin) => writeln!(out, "{line:ORIGIN_COLUMN$} # {origin}").ok(),
                None => writeln!(out, "{line}").ok(),
            };
        }
        for (name, value) in section.iter().filter(|(_, value)| value.is_object()) {
            self.section(out, &shape::join(path, name), value);
        }
    }
}

/// Returns `value` as TOML writes it. Lists of tables are written inline.
fn toml_text(value: &Value) -> String {
    match value {
        Value::Array(list) => {
            let items: Vec<String> = list.iter().map(toml_text).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(table) => {
            let set = table.iter().filter(|(_, value)| !value.is_null());
            let pairs = set.map(|(name, value)| format!("{name} = {}", toml_text(value)));
            format!("{{ {} }}", pairs.collect::<Vec<_>>().join(", "))
        }
        // The escapes of JSON are those of TOML, which alone wants DEL escaped.
        Value::String(_) => value.to_string().replace('\u{7f}', "\\u007F"),
        other => other.to_string(),
    }
}
