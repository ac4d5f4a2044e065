// SPDX-License-Identifier: Apache-2.0
//! One instruction as one line of text, which remembers where every piece of it stood.

use super::heredoc::Heredoc;
use crate::span::{Span, Word};

/// A comment line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comment {
    /// The text after the first byte of the line, trimmed: what is behind `#`, or with it if blanks
    /// stand before it. `Observed:` descriptions are looked up in this text.
    pub text: String,
    /// The line from `#` on.
    pub span: Span,
}

/// One instruction: joined text, origin of every byte, heredoc bodies.
#[derive(Clone, Debug)]
pub(crate) struct LogicalLine {
    text: String,
    pieces: Vec<Piece>,
    /// From the keyword to the end of the last physical line, heredoc bodies included.
    pub(crate) span: Span,
    /// The block of comment lines glued above.
    pub(crate) comments: Vec<Comment>,
    /// Bodies in the order of their openings.
    pub(crate) heredocs: Vec<Heredoc>,
}

/// A run of bytes that were neighbours in the file.
#[derive(Clone, Copy, Debug)]
struct Piece {
    in_text: usize,
    in_source: usize,
}

impl LogicalLine {
    /// Returns an empty line that would begin at `offset`.
    pub(crate) fn new(offset: usize, comments: Vec<Comment>) -> Self {
        Self {
            text: String::new(),
            pieces: Vec::new(),
            span: Span::new(offset, offset),
            comments,
            heredocs: Vec::new(),
        }
    }

    /// Returns a line whose text stands in no file: every place in it is `span`.
    pub(crate) fn synthetic(text: &str, span: Span) -> Self {
        Self {
            text: text.to_owned(),
            pieces: Vec::new(),
            span,
            comments: Vec::new(),
            heredocs: Vec::new(),
        }
    }

    /// Appends text that stood at `offset`.
    pub(crate) fn push(&mut self, text: &str, offset: usize) {
        if text.is_empty() {
            return;
        }
        self.pieces.push(Piece {
            in_text: self.text.len(),
            in_source: offset,
        });
        self.text.push_str(text);
    }

    /// Returns the joined text.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Returns the whole line as a slice.
    pub(crate) fn slice(&self) -> Slice<'_> {
        Slice {
            line: self,
            start: 0,
            end: self.text.len(),
        }
    }

    fn span_of(&self, start: usize, end: usize) -> Span {
        if self.pieces.is_empty() {
            return self.span;
        }
        let from = self.locate(start);
        if end <= start {
            return Span::new(from, from);
        }
        Span::new(from, self.locate(end - 1) + 1)
    }

    fn locate(&self, offset: usize) -> usize {
        let index = self.pieces.partition_point(|piece| piece.in_text <= offset);
        let piece = self.pieces[index.saturating_sub(1)];
        piece.in_source + offset.saturating_sub(piece.in_text)
    }
}

/// A part of a logical line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slice<'a> {
    line: &'a LogicalLine,
    start: usize,
    end: usize,
}

impl<'a> Slice<'a> {
    /// Returns the text of the part.
    pub(crate) fn text(self) -> &'a str {
        &self.line.text[self.start..self.end]
    }

    /// Returns where it stood.
    pub(crate) fn span(self) -> Span {
        self.line.span_of(self.start, self.end)
    }

    /// Returns the part from `start` to before `end`, counted in bytes of this one.
    pub(crate) fn sub(self, start: usize, end: usize) -> Self {
        debug_assert!(
            start <= end && end <= self.end - self.start,
            "a slice grows"
        );
        Self {
            line: self.line,
            start: self.start + start,
            end: self.start + end,
        }
    }

    /// Returns the part from byte `start` on.
    pub(crate) fn from(self, start: usize) -> Self {
        self.sub(start, self.end - self.start)
    }

    /// Returns the part from here to the end of the line.
    pub(crate) fn to_line_end(self) -> Self {
        Self {
            end: self.line.text.len(),
            ..self
        }
    }

    /// Returns the part without blanks around it.
    pub(crate) fn trim(self) -> Self {
        let text = self.text();
        let start = text.len() - text.trim_start().len();
        let end = text.trim_end().len();
        self.sub(start.min(end), end)
    }

    /// Returns text and place.
    pub(crate) fn word(self) -> Word {
        Word::new(self.text(), self.span())
    }

    /// Returns whether there is nothing in it.
    pub(crate) fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// Returns the heredocs of the line.
    pub(crate) fn heredocs(self) -> &'a [Heredoc] {
        &self.line.heredocs
    }
}
