// SPDX-License-Identifier: Apache-2.0
//! Variables of the environment that set keys: `KILN_REGISTRY_HTTP_ADDRESS` for `http.address`.
//!
//! Lists are written with commas, or element by element: `…_TRUSTED_PROXIES_0`. A variable that is
//! empty counts as not set. One that names no key is a problem, unless Kubernetes makes it for a
//! service of the same name.

use std::collections::BTreeMap;

use serde_json::Value;

use super::origin::Origin;
use super::problem::Problem;
use super::shape::{self, Key};

/// What the names of variables begin with.
pub const PREFIX: &str = "KILN_REGISTRY_";

/// The longest list that is set element by element.
const LIST_MAX: usize = 1000;

/// Returns the variable that sets the key at `path`.
pub(super) fn name(path: &str) -> String {
    format!("{PREFIX}{}", path.replace('.', "_").to_ascii_uppercase())
}

/// What variables set.
#[derive(Debug, Default)]
pub(super) struct Set {
    /// By path.
    pub(super) values: Vec<(String, Value, Origin)>,
    /// What is wrong with them.
    pub(super) problems: Vec<Problem>,
}

/// Reads those of `pairs` that begin with [`PREFIX`].
pub(super) fn read(pairs: &[(String, String)]) -> Set {
    let keys = shape::keys();
    let by_name: BTreeMap<String, &Key> = keys.iter().map(|key| (name(&key.path), key)).collect();
    let mut set = Set::default();
    let mut elements: BTreeMap<&str, BTreeMap<usize, (&str, &str)>> = BTreeMap::new();
    for (variable, text) in pairs {
        if !variable.starts_with(PREFIX) || text.is_empty() {
            continue;
        }
        if let Some(key) = by_name.get(variable) {
            add(&mut set, key, variable, text);
        } else if let Some((key, index)) = element(variable, &by_name) {
            let list = elements.entry(&key.path).or_default();
            list.insert(index, (variable, text));
        } else if !is_of_kubernetes(variable) {
            set.problems.push(unknown(variable, &by_name));
        }
    }
    for (path, list) in elements {
        let first = list.values().next().map_or("", |(variable, _)| variable);
        let texts = list.values().map(|(_, text)| Value::from(*text));
        let value = Value::Array(texts.collect());
        match shape::accept(path, &value) {
            Ok(()) => {
                let origin = Origin::Variable(first.to_owned());
                set.values.push((path.to_owned(), value, origin));
            }
            Err(expected) => set.problems.push(misfit(first, &expected)),
        }
    }
    set
}

fn add(set: &mut Set, key: &Key, variable: &str, text: &str) {
    match shape::fit(&key.path, &key.default, text) {
        Ok(value) => {
            let origin = Origin::Variable(variable.to_owned());
            set.values.push((key.path.clone(), value, origin));
        }
        Err(expected) => set.problems.push(misfit(variable, &expected)),
    }
}

fn misfit(variable: &str, expected: &str) -> Problem {
    Problem::new(format!("variable {variable}: {expected}"))
}

/// Returns the list and the index of `NAME_0`.
fn element<'a>(variable: &str, by_name: &BTreeMap<String, &'a Key>) -> Option<(&'a Key, usize)> {
    let (list, index) = variable.rsplit_once('_')?;
    let index = index.parse().ok().filter(|index| *index < LIST_MAX)?;
    let key = by_name.get(list).filter(|key| key.default.is_array())?;
    Some((key, index))
}

/// Tells whether Kubernetes made the variable for a service called `kiln-registry` or
/// `kiln-registry-…`. Docs: Kubernetes, "Discovering services", environment variables.
fn is_of_kubernetes(variable: &str) -> bool {
    let rest = &variable[PREFIX.len() - 1..];
    let is_port = |text: &str| {
        let parts: Vec<&str> = text.split('_').collect();
        match parts.as_slice() {
            [""] => true,
            ["", number, "TCP" | "UDP" | "SCTP"]
            | [
                "",
                number,
                "TCP" | "UDP" | "SCTP",
                "PROTO" | "PORT" | "ADDR",
            ] => number.parse::<u16>().is_ok(),
            _ => false,
        }
    };
    let mut ports = rest.match_indices("_PORT");
    rest.ends_with("_SERVICE_HOST")
        || rest.contains("_SERVICE_PORT")
        || ports.any(|(at, word)| is_port(&rest[at + word.len()..]))
}

fn unknown(variable: &str, by_name: &BTreeMap<String, &Key>) -> Problem {
    let problem = Problem::new(format!("variable {variable} sets no key"));
    match shape::nearest(variable, by_name.keys().map(String::as_str)) {
        Some(near) => problem.hint(format!("did you mean {near}?")),
        None => problem,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_of_kubernetes_are_no_settings() {
        for (variable, is_theirs) in [
            ("KILN_REGISTRY_SERVICE_HOST", true),
            ("KILN_REGISTRY_SERVICE_PORT", true),
            ("KILN_REGISTRY_SERVICE_PORT_HTTP", true),
            ("KILN_REGISTRY_PORT", true),
            ("KILN_REGISTRY_PORT_5000_TCP", true),
            ("KILN_REGISTRY_PORT_5000_TCP_ADDR", true),
            ("KILN_REGISTRY_METRICS_PORT_9000_TCP_PROTO", true),
            ("KILN_REGISTRY_HTTP_PORTS", false),
            ("KILN_REGISTRY_HTTP_ADRESS", false),
            ("KILN_REGISTRY_PORT_X_TCP", false),
        ] {
            assert_eq!(is_of_kubernetes(variable), is_theirs, "{variable}");
        }
    }

    #[test]
    fn every_key_has_a_variable_of_its_own() {
        let keys = shape::keys();
        let names: std::collections::BTreeSet<String> =
            keys.iter().map(|key| name(&key.path)).collect();
        assert_eq!(names.len(), keys.len());
        assert!(names.iter().all(|name| !is_of_kubernetes(name)));
    }
}
