// SPDX-License-Identifier: Apache-2.0
//! Physical lines → logical lines.
//!
//! Rules
//! 1. Only a line whose first non-blank is `#` is a comment; inside a continued instruction such
//!    lines, and blank ones, vanish.
//! 2. Blanks before an instruction are dropped, on continuation lines they stay.
//! 3. A line continues if its last non-blank is the escape character, unless another one stands
//!    before it.
//!
//! `Observed:` BuildKit 73ed6825 `parser/parser.go` `Parse`.

use super::directive::{DirectiveReader, Directives};
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
    /// Blank lines inside a continued instruction.
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
    /// With its end.
    whole: &'a str,
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
            reader: DirectiveReader::default(),
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
            self.problems.extend(self.reader.take(text, offset));
            if let Some(comment) = text.strip_prefix('#') {
                self.comments.push(Comment {
                    text: comment.trim().to_owned(),
                    span: Span::new(offset, offset + text.len()),
                });
                continue;
            }
            let comments = std::mem::take(&mut self.comments);
            let mut logical = LogicalLine::new(offset, comments);
            self.join(&mut logical, text, offset);
            if logical.text().trim().is_empty() {
                continue;
            }
            self.read_heredocs(&mut logical);
            lines.push(logical);
        }
        Lines {
            escape: self.reader.escape(),
            directives: self.reader.directives,
            logical: lines,
            empty_continuations: self.empty_continuations,
        }
    }

    /// Adds the first line of an instruction and all that continue it.
    fn join(&mut self, logical: &mut LogicalLine, text: &str, offset: usize) {
        let (text, mut continues) = trim_continuation(text, self.reader.escape());
        logical.push(text, offset);
        while continues {
            let Some(line) = self.next() else {
                break;
            };
            let trimmed = line.text.trim_start();
            if trimmed.starts_with('#') {
                continue;
            }
            if trimmed.is_empty() {
                let end = line.offset + line.whole.len();
                self.empty_continuations.push(Span::new(line.offset, end));
                continue;
            }
            let text;
            (text, continues) = trim_continuation(line.text, self.reader.escape());
            logical.push(text, line.offset);
        }
    }

    fn read_heredocs(&mut self, logical: &mut LogicalLine) {
        if !logical.text().contains("<<")
            || !words::may_open_heredoc(logical.text(), self.reader.escape())
        {
            return;
        }
        let openings = match heredoc::openings(logical.text()) {
            Ok(openings) => openings,
            Err(error) => {
                let span = logical.slice().span();
                self.problems.push(
                    Diagnostic::error(span, error.to_string())
                        .help("the line contains `<<`, so its words are read as the shell would"),
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
            whole,
            offset: self.offset,
        };
        if whole.len() > LINE_BYTES_MAX {
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
fn trim_continuation(line: &str, escape: char) -> (&str, bool) {
    let trimmed = line.trim_end_matches([' ', '\t']);
    match trimmed.strip_suffix(escape) {
        Some(before) if !before.ends_with(escape) => (before, true),
        _ => (line, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<String> {
        let source = SourceText::new("f", text);
        let mut problems = Vec::new();
        let lines = split(&source, &mut problems);
        assert!(problems.is_empty(), "{problems:?}");
        lines
            .logical
            .iter()
            .map(|line| line.text().to_owned())
            .collect()
    }

    #[test]
    fn lines_are_joined_as_the_rules_say() {
        for (rule, text, expected) in [
            (
                "comments only at line start",
                "RUN a # b\n",
                &["RUN a # b"][..],
            ),
            (
                "comment lines inside vanish",
                "RUN a \\\n  # no\n  b\n",
                &["RUN a   b"],
            ),
            (
                "blank lines inside vanish",
                "RUN a \\\n\n \n b\n",
                &["RUN a  b"],
            ),
            (
                "blanks after the escape",
                "RUN a \\ \t\n b\n",
                &["RUN a  b"],
            ),
            (
                "two escapes do not continue",
                "RUN a \\\\\nRUN b\n",
                &["RUN a \\\\", "RUN b"],
            ),
            ("blanks at the start go", "  RUN a\n", &["RUN a"]),
            (
                "CRLF",
                "RUN a \\\r\n b\r\nRUN c\r\n",
                &["RUN a  b", "RUN c"],
            ),
            ("byte order mark", "\u{feff}RUN a\n", &["RUN a"]),
            ("no line break at the end", "RUN a", &["RUN a"]),
            ("end of file after an escape", "RUN a \\", &["RUN a "]),
            (
                "other escape",
                "# escape=`\nRUN a `\n b\\\nRUN c",
                &["RUN a  b\\", "RUN c"],
            ),
            ("first line only an escape", "\\\nRUN a\n", &["RUN a"]),
        ] {
            assert_eq!(texts(text), expected, "{rule}");
        }
    }

    #[test]
    fn heredoc_bodies_hang_on_their_line() {
        let text = "COPY <<a <<-b /x\n1\na\n\t2\n\tb\nRUN c\n";
        let source = SourceText::new("f", text);
        let lines = split(&source, &mut Vec::new());
        let bodies: Vec<String> = lines.logical[0]
            .heredocs
            .iter()
            .map(Heredoc::content)
            .collect();
        assert_eq!(bodies, ["1\n", "2\n"]);
        assert_eq!(lines.logical[1].text(), "RUN c");
        let span = lines.logical[0].span;
        assert_eq!(
            &text[span.start..span.end],
            "COPY <<a <<-b /x\n1\na\n\t2\n\tb\n"
        );
    }

    #[test]
    fn no_heredoc_in_json_form_or_other_instructions() {
        let text = "RUN [\"a\", \"<<b\"]\nENV a=<<b\nONBUILD RUN cat <<c\nx\nc\n";
        assert_eq!(texts(text).len(), 3);
    }

    #[test]
    fn limits_and_missing_ends_are_reported() {
        let long = format!("RUN {}", "a".repeat(LINE_BYTES_MAX));
        for (text, message) in [
            (long.as_str(), "line is longer than 65535 bytes"),
            ("RUN cat <<EOF\nx\n", "unterminated heredoc `EOF`"),
        ] {
            let mut problems = Vec::new();
            split(&SourceText::new("f", text), &mut problems);
            assert_eq!(problems.len(), 1);
            assert_eq!(problems[0].message, message);
        }
    }

    #[test]
    fn places_survive_joining() {
        let text = "RUN a \\\n# c\n  bc d\n";
        let source = SourceText::new("f", text);
        let lines = split(&source, &mut Vec::new());
        let line = &lines.logical[0];
        let at = line.text().find("bc").unwrap();
        let span = line.slice().sub(at, at + 2).span();
        assert_eq!(&text[span.start..span.end], "bc");
    }
}
