// SPDX-License-Identifier: Apache-2.0
//! Shell-like expansion of a word: quotes, escapes and `$variables`.
//!
//! Forms: `$v`, `${v}`, `${v-w}` `${v:-w}` `${v+w}` `${v:+w}` `${v?m}` `${v:?m}`, `${v#p}`
//! `${v##p}` `${v%p}` `${v%%p}`, `${v/p/r}` `${v//p/r}`. Patterns know only `*` and `?`.
//! Where expansion applies is the business of `lower`.
//!
//! `Observed:` BuildKit 73ed6825 `frontend/dockerfile/shell/lex.go`.

mod name;
mod pattern;
#[cfg(test)]
mod tests;
mod word;

use std::collections::{BTreeMap, BTreeSet};

pub use word::Expander;

/// The deepest nesting of braces and quotes in one word. `Ours:` the expansion recurses.
pub const NESTING_MAX: usize = 64;
/// The longest result of one expansion. `Ours:` doubling a variable line by line must end somewhere.
pub const EXPANDED_BYTES_MAX: usize = 1 << 20;

/// Where variables come from.
pub trait Variables {
    /// Returns the value of a variable, `None` if it is unset.
    fn get(&self, name: &str) -> Option<&str>;
}

/// No variable is set.
#[derive(Clone, Copy, Debug)]
pub struct NoVariables;

impl Variables for NoVariables {
    fn get(&self, _name: &str) -> Option<&str> {
        None
    }
}

impl Variables for BTreeMap<String, String> {
    fn get(&self, name: &str) -> Option<&str> {
        BTreeMap::get(self, name).map(String::as_str)
    }
}

/// What a word became.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expanded {
    /// The whole text.
    pub text: String,
    /// The text split at blanks that were neither quoted nor escaped.
    pub words: Vec<String>,
    /// Names that were set.
    pub used: BTreeSet<String>,
    /// Names that were not.
    pub unset: BTreeSet<String>,
}

/// Why a word cannot be expanded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExpandError {
    /// A single or double quote has no end.
    #[error("unexpected end of statement while looking for matching {0}")]
    UnmatchedQuote(&'static str),
    /// `${v` without an end.
    #[error("syntax error: missing '}}'")]
    MissingBrace,
    /// `${}`, `${{` or `${:`.
    #[error("syntax error: bad substitution")]
    BadSubstitution,
    /// `${v/p` without the second slash.
    #[error("syntax error: missing '/' in ${{}}")]
    MissingSlash,
    /// A form that there is not.
    #[error("unsupported modifier ({0}) in substitution")]
    UnsupportedModifier(String),
    /// A backslash before something that needs none.
    #[error("invalid pattern ({pattern}) in substitution: invalid escape '\\{character}'")]
    BadPattern {
        /// The whole pattern.
        pattern: String,
        /// What stands behind the backslash; empty at the end of the pattern.
        character: String,
    },
    /// `${v?message}` of an unset variable.
    #[error("{name}: {message}")]
    Required {
        /// The variable.
        name: String,
        /// The message that the author wrote, or ours.
        message: String,
    },
    /// Braces and quotes in braces and quotes.
    #[error("more than {NESTING_MAX} nested substitutions")]
    TooDeep,
    /// The result does not fit.
    #[error("expansion is longer than {EXPANDED_BYTES_MAX} bytes")]
    TooLong,
    /// Patterns and values are long, many, or both.
    #[error("the patterns of this word are too long for the values that they are matched with")]
    PatternsTooLong,
}
