// SPDX-License-Identifier: Apache-2.0
//! Which rules are on: `skip=A,B;error=true;experimental=all`.
//!
//! Rules
//! 1. At most three fields, separated by `;`; a repeated key replaces what stood before it.
//! 2. Names of rules are taken as written: `skip=stagenamecasing` skips nothing.
//! 3. `all` counts only as the whole value.
//! 4. An experimental rule is on if it is named, and `skip` does not switch it off again.
//!
//! `Observed:` BuildKit 73ed6825 `linter.go` `ParseLintOptions`, `Linter.Run`.

use std::collections::BTreeSet;
use std::str::FromStr;

use super::rule::Rule;
use crate::instruction::mount::parse_bool;

/// The fields of one configuration. `Observed:` what stands behind belongs to the third.
const FIELDS_MAX: usize = 3;
/// The value that stands for every rule.
const ALL: &str = "all";

/// What `# check=` and the build argument of the same grammar say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LintConfig {
    skip: Choice,
    experimental: Choice,
    /// Whether a warning fails the build.
    pub error: bool,
}

/// Some rules, or all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Choice {
    all: bool,
    names: BTreeSet<String>,
}

/// The text is not of the grammar.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseLintConfigError {
    /// A field without `=`, or with a key that there is not.
    #[error("invalid check option `{0}` (there are skip=, error= and experimental=)")]
    UnknownOption(String),
    /// `error=` with something else than a truth value.
    #[error("invalid value in check option `{0}`: it must be true or false")]
    NotABool(String),
}

impl LintConfig {
    /// Returns whether a rule is on.
    pub fn allows(&self, rule: &Rule) -> bool {
        if rule.experimental {
            self.experimental.has(rule.name)
        } else {
            !self.skip.has(rule.name)
        }
    }

    /// Returns the configuration with what another one switches on and off.
    pub(super) fn merged(mut self, other: Self) -> Self {
        self.skip.add(other.skip);
        self.experimental.add(other.experimental);
        self
    }
}

impl Choice {
    fn parse(value: &str) -> Self {
        let names = value.split(',').map(|name| name.trim().to_owned());
        Self {
            all: value == ALL,
            names: names.filter(|_| value != ALL).collect(),
        }
    }

    fn has(&self, name: &str) -> bool {
        self.all || self.names.contains(name)
    }

    fn add(&mut self, other: Self) {
        self.all |= other.all;
        self.names.extend(other.names);
    }
}

impl FromStr for LintConfig {
    type Err = ParseLintConfigError;

    fn from_str(text: &str) -> Result<Self, ParseLintConfigError> {
        let mut config = Self::default();
        let text = text.trim();
        if text.is_empty() {
            return Ok(config);
        }
        for field in text.splitn(FIELDS_MAX, ';') {
            let unknown = || ParseLintConfigError::UnknownOption(field.trim().to_owned());
            let (key, value) = field.split_once('=').ok_or_else(unknown)?;
            let value = value.trim();
            match key.trim() {
                "skip" => config.skip = Choice::parse(value),
                "experimental" => config.experimental = Choice::parse(value),
                "error" => {
                    config.error = parse_bool(value)
                        .ok_or_else(|| ParseLintConfigError::NotABool(field.trim().to_owned()))?;
                }
                _ => return Err(unknown()),
            }
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::super::rule::{INVALID_DEFINITION_DESCRIPTION, STAGE_NAME_CASING};
    use super::*;

    #[test]
    fn options_switch_rules_on_and_off() {
        for (text, casing, description) in [
            ("", true, false),
            ("skip=all", false, false),
            (" skip = StageNameCasing , X ", false, false),
            ("skip=stagenamecasing", true, false),
            ("skip=all,StageNameCasing", false, false),
            ("skip=all,X", true, false),
            ("experimental=all", true, true),
            (
                "experimental=InvalidDefinitionDescription;skip=all",
                false,
                true,
            ),
            ("skip=StageNameCasing;skip=X", true, false),
            ("error=T;skip=all", false, false),
        ] {
            let config: LintConfig = text.parse().unwrap();
            assert_eq!(config.allows(STAGE_NAME_CASING), casing, "{text}");
            assert_eq!(
                config.allows(INVALID_DEFINITION_DESCRIPTION),
                description,
                "{text}"
            );
        }
        assert!("error=1".parse::<LintConfig>().unwrap().error);
        assert!(!"error=FALSE".parse::<LintConfig>().unwrap().error);
    }

    #[test]
    fn what_is_no_option_is_refused() {
        for text in [
            "skip",
            "skip=A;nope=1",
            "error=yes",
            ";",
            "skip=A;;error=true",
        ] {
            assert!(text.parse::<LintConfig>().is_err(), "{text}");
        }
        // Rule 1: three fields, the rest belongs to the last.
        assert!(
            "skip=A;error=true;experimental=B;nope"
                .parse::<LintConfig>()
                .is_ok()
        );
    }
}
