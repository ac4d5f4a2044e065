// SPDX-License-Identifier: Apache-2.0
//! Which rules are on: `skip=A,B;error=true;experimental=all`.

use std::collections::BTreeSet;
use std::str::FromStr;

/// What `# check=` and the build argument of the same grammar say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LintConfig {
    /// Rules that are off, in lower case.
    skip: BTreeSet<String>,
    /// Whether all rules are off.
    skip_all: bool,
    /// Whether a warning fails the build.
    pub error: bool,
}

/// The text is not of the grammar.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid check option `{0}`")]
pub struct ParseLintConfigError(String);

impl LintConfig {
    /// Returns whether a rule is off. Names ignore case.
    pub fn skips(&self, rule: &str) -> bool {
        self.skip_all || self.skip.contains(&rule.to_lowercase())
    }
}

impl FromStr for LintConfig {
    type Err = ParseLintConfigError;

    fn from_str(text: &str) -> Result<Self, ParseLintConfigError> {
        let mut config = Self::default();
        for part in text.split(';') {
            let part = part.trim();
            let invalid = || ParseLintConfigError(part.to_owned());
            let (key, value) = part.split_once('=').ok_or_else(invalid)?;
            match (key.trim().to_lowercase().as_str(), value.trim()) {
                ("skip", "all") => config.skip_all = true,
                ("skip", names) => {
                    config.skip = names
                        .split(',')
                        .map(|name| name.trim().to_lowercase())
                        .collect();
                }
                ("error", value) => {
                    config.error = value.to_lowercase().parse().map_err(|_| invalid())?;
                }
                // There is no experimental rule that is found, so nothing can be switched on.
                ("experimental", _) => {}
                _ => return Err(invalid()),
            }
        }
        Ok(config)
    }
}
