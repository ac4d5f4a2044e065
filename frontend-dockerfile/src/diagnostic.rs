// SPDX-License-Identifier: Apache-2.0
//! Problems in a Dockerfile, and the report that shows them with their place.
//!
//! A report looks like this, one block per problem, in the order of the file:
//!
//! ```text
//! error: unknown instruction `RUNN`
//!   --> Dockerfile:2:1
//!    |
//!  2 | RUNN make
//!    | ^^^^
//!    hint: did you mean `RUN`?
//! ```
//!
//! `Ours:` problems are collected and all shown, because fixing one at a time costs a build each.

use std::fmt;

use crate::expand::ExpandError;
use crate::span::{SourceText, Span};

/// An excerpt shows at most this many characters of a line.
const EXCERPT_CHARS_MAX: usize = 120;
/// Characters shown before the caret when a long line is cut.
const EXCERPT_LEAD_CHARS: usize = 40;

/// More problems of one file are not kept. `Ours:` nobody reads so many, and a hostile file has as
/// many as lines.
pub const DIAGNOSTICS_MAX: usize = 1000;

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Nothing is built.
    Error,
    /// The build goes on.
    Warning,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// One problem of a Dockerfile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub level: Level,
    /// The lint rule that found it; `None` for what makes a build impossible.
    pub rule: Option<&'static str>,
    /// Where it is.
    pub span: Span,
    /// What is wrong: lower case, no full stop, names the thing.
    pub message: String,
    /// What to do about it, if we know.
    pub help: Option<String>,
    /// Whether the words are wrong as they stand, whatever the values of variables in them.
    pub syntax: bool,
}

impl Diagnostic {
    /// Returns an error at `span`.
    pub fn error(span: Span, message: impl Into<String>) -> Self {
        Self {
            level: Level::Error,
            rule: None,
            span,
            message: message.into(),
            help: None,
            syntax: false,
        }
    }

    /// Returns the error that a word at `span` cannot be expanded.
    pub(crate) fn expansion(span: Span, error: &ExpandError) -> Self {
        use ExpandError as E;
        let literal = "a `$` that means itself is written `\\$`";
        let (message, help) = match error {
            E::UnmatchedQuote(quote) => (
                format!("no closing {quote}"),
                "close it, or write `\\` in front of a quote that means itself".to_owned(),
            ),
            // What stands where a modifier would shows that the brace was forgotten.
            E::UnsupportedModifier(found) if found.trim_matches(['"', '\'']).trim().is_empty() => (
                "`${` without its `}`".to_owned(),
                format!("add the `}}`; {literal}"),
            ),
            E::MissingBrace => (
                "`${` without its `}`".to_owned(),
                format!("add the `}}`; {literal}"),
            ),
            E::BadSubstitution => (
                "`${` without the name of a variable".to_owned(),
                format!("write `${{NAME}}`; {literal}"),
            ),
            E::MissingSlash => (
                "a replacement without its second `/`".to_owned(),
                "write `${NAME/pattern/replacement}`, or add the `}` behind the name".to_owned(),
            ),
            E::UnsupportedModifier(modifier) => (
                format!("`{modifier}` cannot follow the name of a variable"),
                "known are `:-` `-` `:+` `+` `:?` `?` `#` `##` `%` `%%` `/` `//`".to_owned(),
            ),
            E::BadPattern { pattern, .. } => (
                format!("bad pattern `{pattern}`"),
                "a backslash is for `*`, `?`, `}`, `/` and the backslash itself".to_owned(),
            ),
            E::Required { name, message } => (
                match message.strip_prefix("is not allowed to be ") {
                    Some(state) => format!("`{name}` must not be {state}"),
                    None => format!("`{name}` is required: {message}"),
                },
                format!(
                    "give it a value above, or declare `ARG {name}` and build with `--build-arg {name}=VALUE`"
                ),
            ),
            other => return Self::error(span, other.to_string()),
        };
        Self {
            syntax: !matches!(error, E::Required { .. }),
            ..Self::error(span, message).help(help)
        }
    }

    /// Returns a warning of the lint rule `rule` at `span`.
    pub fn warning(rule: &'static str, span: Span, message: impl Into<String>) -> Self {
        Self {
            level: Level::Warning,
            rule: Some(rule),
            ..Self::error(span, message)
        }
    }

    /// Returns the problem with a hint.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Returns the problem with a hint if there is one.
    #[must_use]
    pub fn maybe_help(mut self, help: Option<String>) -> Self {
        self.help = help.or(self.help);
        self
    }

    /// Returns the text of the problem with its place in `source`, ending in a line break.
    pub fn render(&self, source: &SourceText) -> String {
        let rule = self
            .rule
            .map_or_else(String::new, |rule| format!("[{rule}]"));
        let excerpt = self.excerpt(source);
        let mut out = format!("{}{rule}: {}\n{excerpt}", self.level, self.message);
        if let Some(help) = &self.help {
            let blank = gutter(source, self.span);
            out.extend([" ", &blank, " hint: ", help, "\n"]);
        }
        out
    }

    /// Returns the place of the problem in `source`, the line there, and carets below the words.
    pub fn excerpt(&self, source: &SourceText) -> String {
        let position = source.position(self.span.start);
        let blank = gutter(source, self.span);
        let excerpt = Excerpt::new(source, self.span);
        format!(
            " {blank}--> {}:{position}\n {blank} |\n {} | {}\n {blank} | {}\n",
            source.name(),
            position.line,
            excerpt.text,
            excerpt.carets,
        )
    }
}

/// Returns blanks as wide as the number of the line.
fn gutter(source: &SourceText, span: Span) -> String {
    " ".repeat(source.position(span.start).line.to_string().len())
}

/// One line of the file, made fit to print, and the carets under it.
struct Excerpt {
    text: String,
    carets: String,
}

impl Excerpt {
    fn new(source: &SourceText, span: Span) -> Self {
        let start = source.position(span.start);
        let end = source.position(span.end.max(span.start));
        let line: Vec<char> = source.line(start.line).chars().map(printable).collect();
        let from = (start.column - 1).min(line.len());
        let to = if end.line == start.line {
            (end.column - 1).min(line.len())
        } else {
            line.len()
        };
        let cut = if line.len() > EXCERPT_CHARS_MAX {
            from.saturating_sub(EXCERPT_LEAD_CHARS)
        } else {
            0
        };
        let shown = EXCERPT_CHARS_MAX.min(line.len() - cut);
        let mut text: String = line[cut..cut + shown].iter().collect();
        let mut indent = from - cut;
        if cut > 0 {
            text.insert(0, '…');
            indent += 1;
        }
        if cut + shown < line.len() {
            text.push('…');
        }
        let width = to.saturating_sub(from).clamp(1, EXCERPT_CHARS_MAX);
        let carets = format!("{}{}", " ".repeat(indent), "^".repeat(width));
        Self {
            text: text.trim_end().to_owned(),
            carets,
        }
    }
}

/// Returns what stands for a character in an excerpt: tabs and control characters would move the
/// carets or the terminal.
fn printable(character: char) -> char {
    match character {
        '\t' => ' ',
        c if c.is_control() => '\u{fffd}',
        c => c,
    }
}

/// All problems of one file, shown in the order of the file.
#[derive(Clone, Debug)]
pub struct Report<'a> {
    source: &'a SourceText,
    diagnostics: Vec<&'a Diagnostic>,
}

impl<'a> Report<'a> {
    /// Returns the report on `diagnostics`, sorted by place.
    pub fn new(source: &'a SourceText, diagnostics: &'a [Diagnostic]) -> Self {
        let mut diagnostics: Vec<&Diagnostic> = diagnostics.iter().collect();
        diagnostics.sort_by_key(|diagnostic| (diagnostic.span, diagnostic.level));
        Self {
            source,
            diagnostics,
        }
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.diagnostics.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            f.write_str(&diagnostic.render(self.source))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_shows_file_line_excerpt_caret_and_hint() {
        let source = SourceText::new("typo.dockerfile", "FROM a\nRUNN make\n");
        let problem = Diagnostic::error(Span::new(7, 11), "unknown instruction `RUNN`")
            .help("did you mean `RUN`?");
        assert_eq!(
            problem.render(&source),
            "error: unknown instruction `RUNN`\n  --> typo.dockerfile:2:1\n   |\n 2 | RUNN make\n   | ^^^^\n   hint: did you mean `RUN`?\n"
        );
    }

    #[test]
    fn long_lines_are_cut_around_the_caret() {
        let text = format!("FROM {}!{}", "a".repeat(500), "b".repeat(500));
        let source = SourceText::new("f", text);
        let shown = Diagnostic::error(Span::new(505, 506), "bad").render(&source);
        assert!(
            shown.lines().all(|line| line.chars().count() < 140),
            "{shown}"
        );
        let lines: Vec<&str> = shown.lines().collect();
        let caret = lines[4].chars().position(|c| c == '^').unwrap();
        assert_eq!(lines[3].chars().nth(caret), Some('!'));
    }

    #[test]
    fn a_span_over_several_lines_marks_the_first() {
        let source = SourceText::new("f", "RUN a \\\n b\n");
        let shown = Diagnostic::error(Span::new(4, 10), "bad").render(&source);
        assert!(shown.contains(" 1 | RUN a \\\n   |     ^^^\n"), "{shown}");
    }
}
