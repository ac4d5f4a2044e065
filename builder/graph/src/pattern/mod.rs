// SPDX-License-Identifier: Apache-2.0
//! Path patterns of `.dockerignore` and `--exclude`: which files of a tree exist for the build.
//!
//! In this crate because frontends check sources against them and builders read trees through
//! them.
//!
//! Rules
//! 1. The last pattern that matches decides; `!` includes again.
//! 2. A pattern that matches a directory matches all below it.
//! 3. A directory that is excluded is entered all the same if a later `!` pattern may match below.
//! 4. `#` starts a comment only in the first column.
//!
//! `Docs:` Docker build context. `Observed:` moby/patternmatcher 0.6.1 and its `ignorefile`.

mod glob;
mod set;
#[cfg(test)]
mod tests;

use glob::Pattern;

use crate::path;

/// More patterns than this in one file are refused. `Ours:` every path is compared with each.
pub const PATTERNS_MAX: usize = 10_000;

/// The patterns of a `.dockerignore`, or of `--exclude` flags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patterns {
    rules: Vec<Rule>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    /// As it is handed on: cleaned, with `!`.
    text: String,
    negated: bool,
    pattern: Pattern,
    line: usize,
}

/// A pattern that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParsePatternError {
    /// `!` with nothing behind it.
    #[error("line {line}: `!` excludes nothing")]
    LoneNegation {
        /// Its line, counted from 1.
        line: usize,
    },
    /// A set without an end, or a backslash at the end.
    #[error("line {line}: `{pattern}` is not a valid pattern")]
    Malformed {
        /// Its line, counted from 1.
        line: usize,
        /// The pattern.
        pattern: String,
    },
    /// Too much to compare every path with.
    #[error("more than {PATTERNS_MAX} patterns")]
    TooMany,
}

impl ParsePatternError {
    /// Returns the line of the pattern, counted from 1.
    pub fn line(&self) -> Option<usize> {
        match self {
            Self::LoneNegation { line } | Self::Malformed { line, .. } => Some(*line),
            Self::TooMany => None,
        }
    }
}

/// What the patterns say about a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// Whether the path is left out.
    pub excluded: bool,
    /// The line of the pattern that decided; none if no pattern matched.
    pub by: Option<usize>,
}

/// What a walk knows about a directory: which patterns matched it or a parent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directory {
    matched: Vec<bool>,
}

/// What a walk learns about an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Whether the entry itself is left out.
    pub decision: Decision,
    /// Whether anything below the entry may exist; meaningless for files.
    pub descend: bool,
    /// To be passed when its own entries are asked for.
    pub directory: Directory,
}

impl Patterns {
    /// Parses the text of a `.dockerignore`.
    ///
    /// # Errors
    ///
    /// [`ParsePatternError`] for the first pattern that cannot be used.
    pub fn parse(text: &str) -> Result<Self, ParsePatternError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut patterns = Self::default();
        for (index, line) in text.lines().enumerate() {
            let trimmed = line.trim();
            if line.starts_with('#') || trimmed.is_empty() {
                continue;
            }
            let (negated, pattern) = match trimmed.strip_prefix('!') {
                Some(pattern) => (true, pattern.trim()),
                None => (false, trimmed),
            };
            let cleaned = if pattern.is_empty() {
                String::new()
            } else {
                path::clean(pattern)
            };
            let relative = match cleaned.strip_prefix('/') {
                Some(rest) if !rest.is_empty() => rest,
                _ => &cleaned,
            };
            let sign = if negated { "!" } else { "" };
            patterns.push(format!("{sign}{relative}"), index + 1)?;
        }
        Ok(patterns)
    }

    /// Parses patterns given one by one, as `--exclude` does; lines count from 1.
    ///
    /// # Errors
    ///
    /// As [`Patterns::parse`].
    pub fn from_list<'a>(
        list: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, ParsePatternError> {
        let mut patterns = Self::default();
        for (index, text) in list.into_iter().enumerate() {
            patterns.push(text.trim().to_owned(), index + 1)?;
        }
        Ok(patterns)
    }

    /// Adds a pattern. `Observed:` what was already trimmed and cleaned is so once more, which
    /// shows if a blank stands beside a slash: `/ a` and `a /` are `a`.
    fn push(&mut self, text: String, line: usize) -> Result<(), ParsePatternError> {
        let trimmed = text.trim();
        if trimmed.is_empty() {
            return Ok(());
        }
        let cleaned = path::clean(trimmed);
        let (negated, pattern) = match cleaned.strip_prefix('!') {
            Some("") => return Err(ParsePatternError::LoneNegation { line }),
            Some(pattern) => (true, pattern),
            None => (false, cleaned.as_str()),
        };
        if self.rules.len() == PATTERNS_MAX {
            return Err(ParsePatternError::TooMany);
        }
        let pattern = Pattern::compile(pattern).ok_or_else(|| ParsePatternError::Malformed {
            line,
            pattern: pattern.to_owned(),
        })?;
        self.rules.push(Rule {
            text,
            negated,
            pattern,
            line,
        });
        Ok(())
    }

    /// Returns whether there are no patterns.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Returns the cleaned patterns in their order, `!` included.
    pub fn to_list(&self) -> Vec<String> {
        self.rules.iter().map(|rule| rule.text.clone()).collect()
    }

    /// Returns what the patterns say about one path, relative to the root of the context, without a
    /// slash at either end. For many paths of a tree [`Patterns::enter`] is cheaper.
    pub fn matches(&self, path: &str) -> Decision {
        self.matches_as_written(path.trim_matches('/'))
    }

    /// Returns what the patterns say about a text as it is: before a rooted one there is an empty
    /// name, which most patterns do not match.
    pub fn matches_as_written(&self, path: &str) -> Decision {
        let mut decision = Decision::default();
        for rule in &self.rules {
            if rule.negated != decision.excluded {
                continue;
            }
            let hit = rule.pattern.matches(path)
                || parents(path).any(|parent| rule.pattern.matches(parent));
            if hit {
                decision = rule.decides();
            }
        }
        decision
    }

    /// Returns what the patterns say about one path and about what is below it; as a walk from the
    /// root that goes straight there.
    pub fn look(&self, path: &str) -> Entry {
        let path = path.trim_matches('/');
        let mut directory = self.root();
        for parent in parents(path) {
            directory = self.enter(&directory, parent).directory;
        }
        self.enter(&directory, path)
    }

    /// Returns whether a path below the directory `path` may match a pattern without `!`. For
    /// patterns that choose rather than exclude.
    pub fn may_match_below(&self, path: &str) -> bool {
        let path = path.trim_matches('/');
        self.rules
            .iter()
            .any(|rule| !rule.negated && rule.pattern.may_match_below(path))
    }

    /// Returns the state of a walk at the root of the context.
    pub fn root(&self) -> Directory {
        Directory {
            matched: vec![false; self.rules.len()],
        }
    }

    /// Returns what the patterns say about an entry of `parent`. `path` is the whole path, relative
    /// to the root of the context.
    pub fn enter(&self, parent: &Directory, path: &str) -> Entry {
        let mut decision = Decision::default();
        let mut decided_at = 0;
        let mut directory = self.root();
        for (index, rule) in self.rules.iter().enumerate() {
            let inherited = parent.matched.get(index).copied().unwrap_or_default();
            if !inherited && rule.negated != decision.excluded {
                continue;
            }
            if inherited || rule.pattern.matches(path) {
                directory.matched[index] = true;
                decision = rule.decides();
                decided_at = index;
            }
        }
        let later = &self.rules[decided_at.min(self.rules.len())..];
        let descend = !decision.excluded
            || later
                .iter()
                .any(|rule| rule.negated && rule.pattern.may_match_below(path));
        Entry {
            decision,
            descend,
            directory,
        }
    }
}

impl Rule {
    fn decides(&self) -> Decision {
        Decision {
            excluded: !self.negated,
            by: Some(self.line),
        }
    }
}

/// Returns the parent directories of a path, shortest first.
fn parents(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(at, _)| &path[..at])
}
