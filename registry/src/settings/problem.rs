// SPDX-License-Identifier: Apache-2.0
//! What is wrong with a configuration, shown with its line.
//!
//! ```text
//! unknown key `adress`
//!   --> registry.toml:2:1
//!    |
//!  2 | adress = "127.0.0.1:5000"
//!    | ^^^^^^
//!    hint: did you mean `address`?
//! ```

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// The longest line of an excerpt, in characters.
const EXCERPT_MAX: usize = 120;

/// Something that is wrong, or will not be as the file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What, in one line.
    pub message: String,
    /// Where.
    pub excerpt: Option<Excerpt>,
    /// What to do.
    pub hint: Option<String>,
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt {
    path: PathBuf,
    line: usize,
    column: usize,
    text: String,
    length: usize,
}

impl Problem {
    /// Returns a problem that is told by `message`.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            excerpt: None,
            hint: None,
        }
    }

    /// Adds what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Returns line and column, for sorting.
    pub(super) fn place(&self) -> (usize, usize) {
        let excerpt = self.excerpt.as_ref();
        excerpt.map_or((0, 0), |excerpt| (excerpt.line, excerpt.column))
    }

    /// Adds the place: bytes `span` of the file `path`, which holds `text`.
    #[must_use]
    pub(super) fn at(mut self, path: &Path, text: &str, span: Range<usize>) -> Self {
        self.excerpt = Some(Excerpt::of(path, text, span));
        self
    }
}

impl Excerpt {
    fn of(path: &Path, text: &str, span: Range<usize>) -> Self {
        let start = floor(text, span.start);
        let before = &text[..start];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = text[line_start..].lines().next().unwrap_or_default();
        let end = floor(text, span.end.min(line_start + line.len())).max(start);
        Self {
            path: path.to_owned(),
            line: before.matches('\n').count() + 1,
            column: text[line_start..start].chars().count() + 1,
            text: shown(line),
            length: text[start..end].chars().count().max(1),
        }
    }
}

/// Returns the line number of byte `at`.
pub(super) fn line_of(text: &str, at: usize) -> usize {
    text[..floor(text, at)].matches('\n').count() + 1
}

/// Returns the last boundary between characters up to `at`.
fn floor(text: &str, at: usize) -> usize {
    text.floor_char_boundary(at.min(text.len()))
}

/// Returns a line as it may be shown: without control characters, not endless, and without the
/// value if it may be a secret.
fn shown(line: &str) -> String {
    let lower = line.to_ascii_lowercase();
    let is_secret = ["secret", "password", "token", "passwd"]
        .iter()
        .any(|word| lower.contains(word));
    let visible = match line.find(['=', ':']) {
        Some(at) if is_secret => &line[..=at],
        _ => line,
    };
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    visible.chars().take(EXCERPT_MAX).map(plain).collect()
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.message)?;
        if let Some(excerpt) = &self.excerpt {
            let margin = " ".repeat(excerpt.line.to_string().len());
            let (path, line, column) = (excerpt.path.display(), excerpt.line, excerpt.column);
            let indent = " ".repeat(column.saturating_sub(1).min(EXCERPT_MAX));
            let room = EXCERPT_MAX.saturating_sub(column.saturating_sub(1)).max(1);
            let marks = "^".repeat(excerpt.length.min(room));
            writeln!(f, " {margin}--> {path}:{line}:{column}")?;
            writeln!(f, " {margin} |")?;
            writeln!(f, " {line} | {}", excerpt.text)?;
            writeln!(f, " {margin} | {indent}{marks}")?;
        }
        if let Some(hint) = &self.hint {
            writeln!(f, "   hint: {hint}")?;
        }
        Ok(())
    }
}
