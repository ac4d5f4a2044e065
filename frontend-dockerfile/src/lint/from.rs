// SPDX-License-Identifier: Apache-2.0
//! Rules about FROM lines that need the global scope: arguments and platforms.

use std::collections::{BTreeMap, BTreeSet};

use oci::{Platform, Reference};

use super::rule;
use super::spelling;
use super::warning::{Linter, Place};
use crate::diagnostic::Diagnostic;
use crate::expand::{Expanded, Expander, Variables as _};
use crate::instruction::Kind;
use crate::options::BuildOptions;
use crate::parse::{Dockerfile, Stage};
use crate::scope::{self, Environment};
use crate::span::Word;

/// The platform that is the default.
const TARGET_PLATFORM: &str = "TARGETPLATFORM";

/// Not more names are compared with a misspelled one. `Ours:` every name would be compared with
/// every other.
const COMPARED_MAX: usize = 1000;

/// Checks what the bases are if nobody gives build arguments.
pub(super) fn defaults(
    linter: &mut Linter<'_>,
    dockerfile: &Dockerfile,
    options: &BuildOptions,
    target: &Platform,
) {
    let scope = default_scope(dockerfile, options, target);
    let reader = Expander::new(dockerfile.escape);
    for stage in &dockerfile.stages {
        let base = &stage.from.base;
        let Ok(expanded) = reader.expand(&base.text, &scope) else {
            return;
        };
        if expanded.text.parse::<Reference>().is_err() {
            let message = format!(
                "Default value for ARG {} results in empty or invalid base image name",
                base.text
            );
            let place = linter.file_place(&stage.instruction);
            linter.warn(
                &place,
                rule::INVALID_DEFAULT_ARG_IN_FROM,
                base.span,
                message,
            );
        }
    }
}

/// Returns the global scope as it is without build arguments: only those that replace a platform
/// argument count here too.
fn default_scope(
    dockerfile: &Dockerfile,
    options: &BuildOptions,
    target: &Platform,
) -> Environment {
    let with_default: BTreeSet<&str> = arguments(dockerfile)
        .filter(|(_, has_default)| *has_default)
        .map(|(name, _)| name)
        .collect();
    let declared: BTreeSet<&str> = arguments(dockerfile).map(|(name, _)| name).collect();
    let given = options.build_args.iter().filter(|(name, _)| {
        !declared.contains(name.as_str())
            || (scope::is_predefined(name) && !with_default.contains(name.as_str()))
    });
    let options = BuildOptions {
        target: options.target.clone(),
        build_args: given
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect::<BTreeMap<_, _>>(),
        ..BuildOptions::new(options.build_platform.clone())
    };
    scope::global(dockerfile, &options, target, &mut Vec::new())
}

fn arguments(dockerfile: &Dockerfile) -> impl Iterator<Item = (&str, bool)> {
    let arguments = dockerfile.global_args.iter();
    arguments
        .filter_map(|instruction| match &instruction.kind {
            Kind::Arg(arguments) => Some(arguments),
            _ => None,
        })
        .flatten()
        .map(|argument| (argument.key.text.as_str(), argument.default.is_some()))
}

/// The FROM lines of a file, and what they may refer to.
pub(super) struct FromLines<'a> {
    expander: Expander,
    scope: &'a Environment,
    /// Every name that is declared, with a value or without.
    known: BTreeSet<&'a str>,
}

/// The names that a FROM line uses.
pub(crate) type Used = BTreeSet<String>;

impl<'a> FromLines<'a> {
    pub(super) fn new(dockerfile: &'a Dockerfile, scope: &'a Environment) -> Self {
        let declared = arguments(dockerfile).map(|(name, _)| name);
        let known = scope.names().chain(declared).collect();
        Self {
            expander: Expander::new(dockerfile.escape),
            scope,
            known,
        }
    }

    /// Checks one FROM line and returns the arguments that it uses.
    ///
    /// # Errors
    ///
    /// The line cannot be expanded: what follows it is not looked at.
    pub(super) fn check(&self, linter: &mut Linter<'_>, stage: &Stage) -> Result<Used, Diagnostic> {
        let place = linter.place(&stage.instruction);
        let base = self.expand(linter, &place, &stage.from.base)?;
        let mut used = base.used;
        if base.text.is_empty() {
            let message = format!("the base `{}` is empty", stage.from.base.text);
            return Err(Diagnostic::error(stage.from.base.span, message));
        }
        if let Some(word) = &stage.from.platform {
            let platform = self.expand(linter, &place, word)?;
            self.redundant(linter, &place, word, &platform);
            constant(linter, &place, stage, &platform);
            if platform.text.parse::<Platform>().is_err() {
                let message = format!("`{}` is not a platform", platform.text);
                return Err(Diagnostic::error(word.span, message));
            }
            used.extend(platform.used);
        }
        Ok(used)
    }

    /// Expands a word and warns about names that are nowhere declared.
    fn expand(
        &self,
        linter: &mut Linter<'_>,
        place: &Place,
        word: &Word,
    ) -> Result<Expanded, Diagnostic> {
        let mut unset = BTreeSet::new();
        let expanded = self
            .expander
            .expand_noting(&word.text, self.scope, &mut unset);
        for name in &unset {
            if self.known.contains(name.as_str()) || linter.is_full() {
                continue;
            }
            let hint = spelling::nearest(name, self.known.iter().copied().take(COMPARED_MAX));
            let hint = hint.map_or_else(String::new, |near| format!(" (did you mean {near}?)"));
            let message = format!("FROM argument '{name}' is not declared{hint}");
            linter.warn(place, rule::UNDEFINED_ARG_IN_FROM, word.span, message);
        }
        expanded.map_err(|error| Diagnostic::error(word.span, error.to_string()))
    }

    /// Warns if the platform is `$TARGETPLATFORM` and nothing else.
    fn redundant(&self, linter: &mut Linter<'_>, place: &Place, word: &Word, found: &Expanded) {
        let only = found.used.len() == 1 && found.unset.is_empty();
        if only
            && found.used.contains(TARGET_PLATFORM)
            && self.scope.get(TARGET_PLATFORM) == Some(&found.text)
        {
            let message = format!(
                "Setting platform to predefined {} in FROM is redundant as this is the default behavior",
                word.text
            );
            linter.warn(place, rule::REDUNDANT_TARGET_PLATFORM, word.span, message);
        }
    }
}

/// Warns about a platform without any variable, unless the name of the stage says what it is for.
fn constant(linter: &mut Linter<'_>, place: &Place, stage: &Stage, found: &Expanded) {
    let Some(word) = &stage.from.platform else {
        return;
    };
    if !found.used.is_empty() || !found.unset.is_empty() {
        return;
    }
    let Ok(platform) = found.text.parse::<Platform>() else {
        return;
    };
    let platform = platform.normalized();
    let name = stage.from.stage_name().unwrap_or_default();
    if !name.contains(&platform.os) && !name.contains(&platform.architecture) {
        let message = format!(
            "FROM --platform flag should not use constant value \"{}\"",
            found.text
        );
        linter.warn(
            place,
            rule::FROM_PLATFORM_FLAG_CONST_DISALLOWED,
            word.span,
            message,
        );
    }
}
