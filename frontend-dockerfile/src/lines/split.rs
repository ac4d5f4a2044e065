// SPDX-License-Identifier: Apache-2.0
//! Physical lines → logical lines.
//!
//! Rules
//! 1. Only a line whose first non-blank is `#` is a comment; inside a continued instruction such
//!    lines, and blank ones, vanish.
//! 2. Blanks before an instruction are dropped, on continuation lines they stay.
//! 3. A line continues if its last non-blank is the escape character, unless another one stands
//!    before it.
//! 4. Comments above an instruction belong to it, also across blank lines; an empty comment ends
//!    the block.
//!
//! `Observed:` BuildKit 73ed6825 `parser/parser.go` `Parse`.

use super::directive::{self, DirectiveReader, Directives, Head};
use super::heredoc::{self, Heredoc};
use super::logical::{Comment, LogicalLine};
use super::{FILE_BYTES_MAX, LINE_BYTES_MAX};
use crate::diagnostic::Diagnostic;
use crate::span::{SourceText, Span};
use crate::words;

/// A file as logical lines.
#[derive(Debug)]
pub(crate) struct Lines {
    pub(crate) directives: Directives,
    pub(crate) escape: char,
    pub(crate) logical: Vec<LogicalLine>,
    /// The last line of every instruction that has blank lines inside. `Observed:` that is the line
    /// BuildKit names.
    pub(crate) empty_continuations: Vec<Span>,
}

/// Splits a file. Problems are added to `problems`; what can be read is returned all the same.
pub(crate) fn split(source: &SourceText, problems: &mut Vec<Diagnostic>) -> Lines {
    if source.text().len() > FILE_BYTES_MAX {
        let message = format!("the file is larger than {FILE_BYTES_MAX} bytes");
        problems.push(Diagnostic::error(Span::new(0, 0), message));
        return Splitter::new("", problems).run();
    }
    Splitter::new(source.text(), problems).run()
}

/// One physical line: text without its end, and where it starts.
#[derive(Clone, Copy)]
struct Physical<'a> {
    text: &'a str,
    offset: usize,
}

struct Splitter<'a, 'p> {
    text: &'a str,
    rest: &'a str,
    offset: usize,
    reader: DirectiveReader,
    problems: &'p mut Vec<Diagnostic>,
    comments: Vec<Comment>,
    empty_continuations: Vec<Span>,
}

impl<'a, 'p> Splitter<'a, 'p> {
    fn new(text: &'a str, problems: &'p mut Vec<Diagnostic>) -> Self {
        let rest = text.strip_prefix('\u{feff}').unwrap_or(text);
        Self {
            text,
            rest,
            offset: text.len() - rest.len(),
            reader: DirectiveReader::new("#"),
            problems,
            comments: Vec::new(),
            empty_continuations: Vec::new(),
        }
    }

    fn run(mut self) -> Lines {
        let mut lines = Vec::new();
        while let Some(line) = self.next() {
            let text = line.text.trim_start();
            let offset = line.offset + line.text.len() - text.len();
            match self.reader.take(text, offset) {
                Head::Directive => continue,
                Head::Broken(problem) => {
                    self.problems.push(problem);
                    continue;
                }
                Head::Other if text.starts_with('#') => {
                    self.comment(line, offset);
                    continue;
                }
                Head::Other if text.is_empty() => continue,
                Head::Other => {}
            }
            let comments = std::mem::take(&mut self.comments);
            let mut logical = LogicalLine::new(offset, comments);
            self.join(&mut logical, line, offset);
            if logical.text().trim().is_empty() {
                self.problems.push(
                    Diagnostic::error(logical.span, "no instruction in continued lines")
                        .help("remove the escape character at the end of the line"),
                );
                continue;
            }
            self.read_heredocs(&mut logical);
            lines.push(logical);
        }
        let escape = self.reader.directives.escape();
        Lines {
            escape,
            directives: Directives {
                escape: self.reader.directives.escape,
                ..directive::raw_directives(self.text)
            },
            logical: lines,
            empty_continuations: self.empty_continuations,
        }
    }

    fn comment(&mut self, line: Physical<'_>, offset: usize) {
        let mut rest = line.text.chars();
        rest.next();
        let text = rest.as_str().trim().to_owned();
        if text.is_empty() {
            self.comments.clear();
            return;
        }
        let span = Span::new(offset, line.offset + line.text.len());
        self.comments.push(Comment { text, span });
    }

    /// Adds the first line of an instruction, from `offset` on, and all that continue it.
    fn join(&mut self, logical: &mut LogicalLine, first: Physical<'_>, offset: usize) {
        let escape = self.reader.directives.escape();
        let text = &first.text[offset - first.offset..];
        let (text, mut continues) = trim_continuation(text, escape);
        logical.push(text, offset);
        let mut last = first;
        let mut blank = false;
        while continues {
            let Some(line) = self.next() else {
                break;
            };
            last = line;
            let trimmed = line.text.trim_start();
            if trimmed.is_empty() {
                blank = true;
            } else if !trimmed.starts_with('#') {
                let text;
                (text, continues) = trim_continuation(line.text, escape);
                logical.push(text, line.offset);
            }
        }
        logical.span.end = last.offset + last.text.len();
        if blank {
            self.empty_continuations
                .push(Span::new(last.offset, logical.span.end));
        }
    }

    fn read_heredocs(&mut self, logical: &mut LogicalLine) {
        let escape = self.reader.directives.escape();
        if !logical.text().contains("<<") || !words::may_open_heredoc(logical.text(), escape) {
            return;
        }
        let openings = match heredoc::openings(logical.text()) {
            Ok(openings) => openings,
            Err(error) => {
                let span = logical.slice().span();
                self.problems.push(
                    Diagnostic::error(span, error.to_string())
                        .help("the word behind `<<` is read as the shell would"),
                );
                return;
            }
        };
        for opening in openings {
            let start = self.offset;
            let mut end = None;
            while let Some(line) = self.next() {
                let candidate = if opening.strip_tabs {
                    line.text.trim_start_matches('\t')
                } else {
                    line.text
                };
                if candidate == opening.name {
                    end = Some(line.offset);
                    break;
                }
            }
            let Some(end) = end else {
                let message = format!("unterminated heredoc `{}`", opening.name);
                self.problems.push(
                    Diagnostic::error(logical.slice().span(), message)
                        .help(format!("a line that is only `{}` ends it", opening.name)),
                );
                return;
            };
            logical.heredocs.push(Heredoc {
                name: opening.name,
                expand: opening.expand,
                strip_tabs: opening.strip_tabs,
                body: self.body(start, end),
                span: Span::new(start, end),
            });
            logical.span.end = self.offset;
        }
    }

    /// Returns the text between two offsets already passed.
    fn body(&self, start: usize, end: usize) -> String {
        self.text[start..end].to_owned()
    }

    fn next(&mut self) -> Option<Physical<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        let length = self.rest.find('\n').map_or(self.rest.len(), |at| at + 1);
        let (whole, rest) = self.rest.split_at(length);
        let line = Physical {
            text: whole.trim_end_matches(['\n', '\r']),
            offset: self.offset,
        };
        if whole.strip_suffix('\n').unwrap_or(whole).len() > LINE_BYTES_MAX {
            let message = format!("line is longer than {LINE_BYTES_MAX} bytes");
            let span = Span::new(self.offset, self.offset + line.text.len());
            self.problems.push(Diagnostic::error(span, message));
        }
        self.rest = rest;
        self.offset += length;
        Some(line)
    }
}

/// Returns the line without the escape character that continues it, and whether there was one.
pub(crate) fn trim_continuation(line: &str, escape: char) -> (&str, bool) {
    let trimmed = line.trim_end_matches([' ', '\t']);
    match trimmed.strip_suffix(escape) {
        Some(before) if !before.ends_with(escape) => (before, true),
        _ => (line, false),
    }
}
