// SPDX-License-Identifier: Apache-2.0
//! Places in a Dockerfile: the text itself, byte ranges in it, and lines and columns for people.
//!
//! Invariant: a [`Span`] made by this crate lies inside the text it was made from and starts and
//! ends on character borders.

use std::fmt;

/// A Dockerfile and the name shown for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceText {
    name: String,
    text: String,
    /// Offset of the first byte of every line.
    line_starts: Vec<usize>,
}

/// The bytes of a Dockerfile are not UTF-8.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}:{line} is not UTF-8 text")]
pub struct NotTextError {
    /// The name shown for the file.
    pub name: String,
    /// The first line with a byte that does not belong.
    pub line: usize,
}

impl SourceText {
    /// Returns the text under `name`, which is only shown.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        let text = text.into();
        let mut line_starts = vec![0];
        line_starts.extend(text.match_indices('\n').map(|(at, _)| at + 1));
        Self {
            name: name.into(),
            text,
            line_starts,
        }
    }

    /// Returns the text of `bytes`.
    ///
    /// In comments other encodings are let pass, their letters replaced: old files have such names
    /// of authors. `Observed:` BuildKit 73ed6825 reads them, and fails once such bytes reach a step.
    ///
    /// # Errors
    ///
    /// [`NotTextError`] if they are not UTF-8.
    pub fn from_bytes(name: impl Into<String>, bytes: Vec<u8>) -> Result<Self, NotTextError> {
        let name = name.into();
        let bytes = match String::from_utf8(bytes) {
            Ok(text) => return Ok(Self::new(name, text)),
            Err(error) => error.into_bytes(),
        };
        let mut text = String::with_capacity(bytes.len());
        for (index, line) in bytes.split_inclusive(|&byte| byte == b'\n').enumerate() {
            // Below a heredoc a line with `#` in front may be content.
            let comment = line.trim_ascii_start().starts_with(b"#") && !text.contains("<<");
            match std::str::from_utf8(line) {
                Ok(line) => text.push_str(line),
                Err(_) if comment => text.push_str(&String::from_utf8_lossy(line)),
                Err(_) => {
                    let line = index + 1;
                    return Err(NotTextError { name, line });
                }
            }
        }
        Ok(Self::new(name, text))
    }

    /// Returns the name shown for the file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the whole text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns line and column of a byte offset; an offset past the end is the end.
    pub fn position(&self, offset: usize) -> Position {
        let offset = self.floor(offset);
        let index = self.line_starts.partition_point(|&start| start <= offset) - 1;
        let before = &self.text[self.line_starts[index]..offset];
        Position {
            line: index + 1,
            column: before.chars().count() + 1,
        }
    }

    /// Returns the text of a line counted from 1, without its end; empty if there is no such line.
    pub fn line(&self, number: usize) -> &str {
        let Some(&start) = number.checked_sub(1).and_then(|i| self.line_starts.get(i)) else {
            return "";
        };
        let end = self.line_starts.get(number).copied();
        self.text[start..end.unwrap_or(self.text.len())].trim_end_matches(['\n', '\r'])
    }

    /// Returns where a line counted from 1 stands, without its end; no line stands at the end.
    pub fn line_span(&self, number: usize) -> Span {
        let start = number.checked_sub(1).and_then(|i| self.line_starts.get(i));
        let start = start.copied().unwrap_or(self.text.len());
        Span::new(start, start + self.line(number).len())
    }

    /// Returns the last character border at or before `offset`.
    fn floor(&self, offset: usize) -> usize {
        let mut offset = offset.min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        offset
    }
}

/// A range of bytes in a [`SourceText`], end exclusive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    /// Offset of the first byte.
    pub start: usize,
    /// Offset after the last byte.
    pub end: usize,
}

impl Span {
    /// Returns the span from `start` to before `end`.
    pub fn new(start: usize, end: usize) -> Self {
        Self {
            start,
            end: end.max(start),
        }
    }

    /// Returns the smallest span that covers both.
    #[must_use]
    pub fn to(self, other: Self) -> Self {
        Self {
            start: self.start.min(other.start),
            end: self.end.max(other.end),
        }
    }
}

/// A place as people count it: both numbers start at 1, columns are characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The character in the line.
    pub column: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// A piece of the file after quotes, escapes and continuations were taken away, and where it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// What the piece says.
    pub text: String,
    /// Where it stands.
    pub span: Span,
}

impl Word {
    /// Returns a word.
    pub fn new(text: impl Into<String>, span: Span) -> Self {
        Self {
            text: text.into(),
            span,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_encodings_are_let_pass_in_comments_only() {
        let read = |bytes: &[u8]| SourceText::from_bytes("f", bytes.to_vec());
        let lossy = read(b"FROM a\n # caf\xe9\n").unwrap();
        assert_eq!(lossy.text(), "FROM a\n # caf\u{fffd}\n");
        for (bytes, line) in [
            (&b"FROM a\nENV a=caf\xe9\n"[..], 2),
            (b"FROM a\nRUN <<E\n# caf\xe9\nE\n", 3),
            (b"\xff\xfeF\0R\0O\0M\0", 1),
        ] {
            let error = read(bytes).unwrap_err();
            assert_eq!(
                (error.line, error.to_string()),
                (line, format!("f:{line} is not UTF-8 text"))
            );
        }
    }

    #[test]
    fn positions_count_lines_and_characters_from_one() {
        let source = SourceText::new("Dockerfile", "aé\nb\r\n\nc");
        for (offset, line, column) in [
            (0, 1, 1),
            (3, 1, 3),
            (4, 2, 1),
            (7, 3, 1),
            (8, 4, 1),
            (99, 4, 2),
        ] {
            assert_eq!(
                source.position(offset),
                Position { line, column },
                "offset {offset}"
            );
        }
        assert_eq!(source.line(2), "b");
        assert_eq!(source.line(9), "");
        // Inside the two bytes of the letter: the border before it.
        assert_eq!(source.position(2), Position { line: 1, column: 2 });
    }
}
