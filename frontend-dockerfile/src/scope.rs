// SPDX-License-Identifier: Apache-2.0
//! Variables: an ordered environment, and the global scope that FROM lines see.
//!
//! Rules
//! 1. The global scope holds the platform arguments and the ARGs before the first FROM.
//! 2. A build argument given by the user replaces the value of either.
//! 3. ARG lines are read left to right, each sees what stands before it.
//!
//! `Observed:` BuildKit 73ed6825 `dockerfile2llb/convert.go` `buildMetaArgs`, `platform.go`.

use std::collections::BTreeMap;

use oci::Platform;

use crate::diagnostic::Diagnostic;
use crate::expand::{Expander, Variables};
use crate::instruction::{Argument, Kind};
use crate::options::BuildOptions;
use crate::parse::Dockerfile;

/// ARGs that steer the builder and never reach a step. `Observed:` BuildKit 73ed6825.
pub(crate) const NOT_IN_ENVIRONMENT: [&str; 2] =
    ["BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE"];
/// The argument that is the name of the target.
const TARGET_STAGE: &str = "TARGETSTAGE";

/// Names and values in the order in which they were last set.
///
/// `Observed:` BuildKit 73ed6825: a step sees a variable that is set again behind the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Environment {
    values: BTreeMap<String, Variable>,
    /// Names by [`Variable::turn`].
    order: BTreeMap<usize, String>,
    /// How often a variable was set.
    turns: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Variable {
    value: String,
    /// When it was last set, counted in settings.
    turn: usize,
}

impl Environment {
    /// Sets a variable, which becomes the last.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        let variable = Variable {
            value: value.to_owned(),
            turn: self.turns,
        };
        if let Some(old) = self.values.insert(name.to_owned(), variable) {
            self.order.remove(&old.turn);
        }
        self.order.insert(self.turns, name.to_owned());
        self.turns += 1;
    }

    /// Sets a variable from `NAME=value`; without `=` the value is empty.
    pub(crate) fn set_entry(&mut self, entry: &str) {
        let (name, value) = entry.split_once('=').unwrap_or((entry, ""));
        self.set(name, value);
    }

    /// Returns the environment without a variable.
    pub(crate) fn without(&self, name: &str) -> Self {
        let mut left = self.clone();
        if let Some(old) = left.values.remove(name) {
            left.order.remove(&old.turn);
        }
        left
    }

    /// Returns `NAME=value` of every variable.
    pub(crate) fn to_entries(&self) -> Vec<String> {
        self.names()
            .map(|name| format!("{name}={}", self.values[name].value))
            .collect()
    }

    /// Returns the names.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.order.values().map(String::as_str)
    }
}

impl Variables for Environment {
    fn get(&self, name: &str) -> Option<&str> {
        self.values
            .get(name)
            .map(|variable| variable.value.as_str())
    }
}

/// Returns the global scope for one target platform. Problems are added to `problems`.
pub(crate) fn global(
    dockerfile: &Dockerfile,
    options: &BuildOptions,
    target: &Platform,
    problems: &mut Vec<Diagnostic>,
) -> Environment {
    let mut scope = platform_arguments(dockerfile, options, target);
    let expander = Expander::new(dockerfile.escape);
    for instruction in &dockerfile.global_args {
        let Kind::Arg(arguments) = &instruction.kind else {
            continue;
        };
        for argument in arguments {
            match value(argument, options, expander, &scope) {
                Ok(Some(value)) => scope.set(&argument.key.text, &value),
                Ok(None) => {}
                Err(problem) => problems.push(problem),
            }
        }
    }
    scope
}

fn value(
    argument: &Argument,
    options: &BuildOptions,
    expander: Expander,
    scope: &Environment,
) -> Result<Option<String>, Diagnostic> {
    if let Some(given) = options.build_args.get(&argument.key.text) {
        return Ok(Some(given.clone()));
    }
    let Some(default) = &argument.default else {
        return Ok(None);
    };
    match expander.expand(&default.text, scope) {
        Ok(result) => Ok(Some(result.text)),
        Err(error) => Err(Diagnostic::expansion(default.span, &error)),
    }
}

/// Returns whether a name is in the global scope without being declared.
pub(crate) fn is_predefined(name: &str) -> bool {
    let part = name
        .strip_prefix("BUILD")
        .or_else(|| name.strip_prefix("TARGET"));
    let parts = ["PLATFORM", "OS", "OSVERSION", "ARCH", "VARIANT"];
    name == TARGET_STAGE || part.is_some_and(|part| parts.contains(&part))
}

/// Returns what the global scope holds before any ARG.
pub(crate) fn platform_arguments(
    dockerfile: &Dockerfile,
    options: &BuildOptions,
    target: &Platform,
) -> Environment {
    let last = dockerfile
        .stages
        .last()
        .and_then(|stage| stage.from.stage_name());
    let stage = options
        .target
        .clone()
        .or(last)
        .unwrap_or_else(|| "default".to_owned());
    let mut scope = Environment::default();
    let mut set = |name: String, value: &str| {
        let value = options.build_args.get(&name).map_or(value, String::as_str);
        scope.set(&name, value);
    };
    for (prefix, platform) in [("BUILD", &options.build_platform), ("TARGET", target)] {
        set(format!("{prefix}PLATFORM"), &platform.to_string());
        set(format!("{prefix}OS"), &platform.os);
        set(
            format!("{prefix}OSVERSION"),
            platform.os_version.as_deref().unwrap_or_default(),
        );
        set(format!("{prefix}ARCH"), &platform.architecture);
        set(
            format!("{prefix}VARIANT"),
            platform.variant.as_deref().unwrap_or_default(),
        );
    }
    set(TARGET_STAGE.to_owned(), &stage);
    scope
}
