// SPDX-License-Identifier: Apache-2.0
//! Parser directives: `# syntax=`, `# escape=`, `# check=` at the top of the file.
//!
//! Rules
//! 1. The section ends at the first line that does not look like `# name=value`.
//! 2. A line of that look with an unknown name is a comment that does not end the section.
//! 3. Names ignore case; a second directive of one name is an error.
//!
//! `Observed:` BuildKit 73ed6825 `frontend/dockerfile/parser/directives.go`.

use serde::Deserialize;

use crate::diagnostic::Diagnostic;
use crate::span::{Span, Word};

const KNOWN: [&str; 3] = ["syntax", "escape", "check"];

/// One directive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directive {
    /// Its value, trimmed.
    pub value: Word,
}

/// The directives of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directives {
    /// `# syntax=`: which frontend the author wants. Other ways to write it: [`detect_syntax`].
    pub syntax: Option<Directive>,
    /// `# escape=`.
    pub escape: Option<Directive>,
    /// `# check=`: configuration of the lint rules.
    pub check: Option<Directive>,
}

/// Reads directives line by line until the section ends.
#[derive(Debug, Default)]
pub(crate) struct DirectiveReader {
    done: bool,
    pub(crate) directives: Directives,
}

impl DirectiveReader {
    /// Takes the next line, whose leading blanks are gone, and returns the problem it has, if any.
    pub(crate) fn take(&mut self, line: &str, offset: usize) -> Option<Diagnostic> {
        if self.done {
            return None;
        }
        let Some((name, value)) = match_directive(line, "#") else {
            self.done = true;
            return None;
        };
        let lower = name.to_ascii_lowercase();
        let start = offset + (value.as_ptr() as usize - line.as_ptr() as usize);
        let slot = match lower.as_str() {
            "syntax" => &mut self.directives.syntax,
            "escape" => &mut self.directives.escape,
            "check" => &mut self.directives.check,
            _ => return None,
        };
        let span = Span::new(offset, offset + line.trim_end().len());
        if slot.is_some() {
            return Some(
                Diagnostic::error(span, format!("only one `{lower}` directive can be used"))
                    .help("remove one of the two lines"),
            );
        }
        let value = Word::new(value, Span::new(start, start + value.len()));
        let bad_escape = lower == "escape" && value.text != "\\" && value.text != "`";
        let problem = bad_escape.then(|| {
            let message = format!("invalid escape token `{}`", value.text);
            Diagnostic::error(value.span, message).help("it must be ` or \\")
        });
        *slot = Some(Directive { value });
        problem
    }

    /// Returns the escape character in force.
    pub(crate) fn escape(&self) -> char {
        match &self.directives.escape {
            Some(directive) if directive.value.text == "`" => '`',
            _ => '\\',
        }
    }
}

/// Returns name and value of a line of the form `# name = value`.
fn match_directive<'a>(line: &'a str, comment: &str) -> Option<(&'a str, &'a str)> {
    let rest = line.strip_prefix(comment)?.trim_start();
    let (name, value) = rest.split_once('=')?;
    let name = name.trim_end();
    let value = value.trim();
    let mut letters = name.chars();
    let named = letters.next().is_some_and(|c| c.is_ascii_alphabetic())
        && letters.all(|c| c.is_ascii_alphanumeric());
    (named && !value.is_empty()).then_some((name, value))
}

/// Returns the frontend that a file asks for, in any of the ways there are to ask: the directive,
/// also below a `#!` line; the directive behind `//`; a JSON object with the key `syntax`.
///
/// The first word of the answer is the frontend's image, the rest is its command line.
///
/// `Observed:` BuildKit 73ed6825 `parser/directives.go` `DetectSyntax`.
pub fn detect_syntax(text: &str) -> Option<String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let body = match text.strip_prefix("#!") {
        Some(rest) => rest.split_once('\n').map_or("", |(_, body)| body),
        None => text,
    };
    ["#", "//"]
        .into_iter()
        .find_map(|comment| syntax_behind(body, comment))
        .or_else(|| json_syntax(body))
}

fn syntax_behind(text: &str, comment: &str) -> Option<String> {
    text.lines()
        .map_while(|line| match_directive(line.trim_start(), comment))
        .find(|(name, _)| name.eq_ignore_ascii_case(KNOWN[0]))
        .map(|(_, value)| value.to_owned())
}

#[derive(Deserialize)]
struct JsonSyntax {
    syntax: String,
}

fn json_syntax(text: &str) -> Option<String> {
    let document: JsonSyntax = serde_json::from_str(text).ok()?;
    (!document.syntax.is_empty()).then_some(document.syntax)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Directives, Vec<String>) {
        let mut reader = DirectiveReader::default();
        let mut problems = Vec::new();
        let mut offset = 0;
        for line in text.split_inclusive('\n') {
            problems.extend(reader.take(line.trim_end(), offset).map(|p| p.message));
            offset += line.len();
        }
        (reader.directives, problems)
    }

    #[test]
    fn directive_section_rules() {
        let value = |d: &Option<Directive>| d.as_ref().map(|d| d.value.text.clone());
        for (rule, text, syntax, escape) in [
            ("plain", "# syntax=a\n# escape=`\n", Some("a"), Some("`")),
            (
                "blanks and case are free",
                "#  SynTax  =  a b \n",
                Some("a b"),
                None,
            ),
            (
                "a comment ends the section",
                "# hello\n# syntax=a\n",
                None,
                None,
            ),
            (
                "a blank line ends the section",
                "\n# syntax=a\n",
                None,
                None,
            ),
            (
                "an unknown name does not",
                "# shell=x\n# syntax=a\n",
                Some("a"),
                None,
            ),
            (
                "an empty value is a comment",
                "# syntax=\n# escape=`\n",
                None,
                None,
            ),
        ] {
            let (directives, problems) = read(text);
            assert_eq!(value(&directives.syntax).as_deref(), syntax, "{rule}");
            assert_eq!(value(&directives.escape).as_deref(), escape, "{rule}");
            assert!(problems.is_empty(), "{rule}: {problems:?}");
        }
        assert_eq!(
            read("# escape=`\n# escape=`\n").1,
            ["only one `escape` directive can be used"]
        );
        assert_eq!(read("# escape=x\n").1, ["invalid escape token `x`"]);
    }

    #[test]
    fn syntax_is_found_in_all_its_forms() {
        for (form, text, expected) in [
            (
                "directive",
                "# syntax=docker/dockerfile:1\nFROM a\n",
                Some("docker/dockerfile:1"),
            ),
            (
                "after a shebang",
                "#!/usr/bin/env x\n# syntax=a\n",
                Some("a"),
            ),
            ("other comment sign", "//syntax=a b\n{}", Some("a b")),
            ("JSON key", "{\"syntax\": \"a\"}", Some("a")),
            ("none", "FROM a\n# syntax=a\n", None),
        ] {
            assert_eq!(detect_syntax(text).as_deref(), expected, "{form}");
        }
    }
}
