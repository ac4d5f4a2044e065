// SPDX-License-Identifier: Apache-2.0
//! Parser directives: `# syntax=`, `# escape=`, `# check=` at the top of the file.
//!
//! Rules
//! 1. The section ends at the first line that is not `# name=value` with one of the three names.
//! 2. Names ignore case; a second directive of one name is an error.
//! 3. `escape` may be indented and cannot follow a `#!` line; `syntax` and `check` are looked for
//!    in the raw text, where it is the other way round.
//!
//! `Observed:` BuildKit 73ed6825 `frontend/dockerfile/parser/directives.go`.

use crate::diagnostic::Diagnostic;
use crate::span::{Span, Word};

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

impl Directives {
    fn slot(&mut self, name: &str) -> Option<&mut Option<Directive>> {
        match name {
            "syntax" => Some(&mut self.syntax),
            "escape" => Some(&mut self.escape),
            "check" => Some(&mut self.check),
            _ => None,
        }
    }

    /// Returns the escape character in force.
    pub(crate) fn escape(&self) -> char {
        match &self.escape {
            Some(directive) if directive.value.text == "`" => '`',
            _ => '\\',
        }
    }
}

/// What a line of the head of a file is.
#[derive(Debug)]
pub(crate) enum Head {
    /// A directive.
    Directive,
    /// A directive that cannot be used.
    Broken(Diagnostic),
    /// Something else: directives are over.
    Other,
}

/// Reads directives line by line until the section ends.
#[derive(Debug)]
pub(crate) struct DirectiveReader {
    comment: &'static str,
    done: bool,
    pub(crate) directives: Directives,
}

impl DirectiveReader {
    /// Returns a reader of directives behind the comment sign `comment`.
    pub(crate) fn new(comment: &'static str) -> Self {
        Self {
            comment,
            done: false,
            directives: Directives::default(),
        }
    }

    /// Takes the next line, which starts at `offset`, without its end.
    pub(crate) fn take(&mut self, line: &str, offset: usize) -> Head {
        let found = match_directive(line, self.comment).filter(|_| !self.done);
        let Some((name, value)) = found else {
            self.done = true;
            return Head::Other;
        };
        let lower = name.to_ascii_lowercase();
        let Some(slot) = self.directives.slot(&lower) else {
            self.done = true;
            return Head::Other;
        };
        if slot.is_some() {
            let span = Span::new(offset, offset + line.trim_end().len());
            let message = format!("only one `{lower}` directive can be used");
            return Head::Broken(
                Diagnostic::error(span, message).help("remove one of the two lines"),
            );
        }
        let start = offset + (value.as_ptr() as usize - line.as_ptr() as usize);
        let value = Word::new(value, Span::new(start, start + value.len()));
        let bad_escape = lower == "escape" && value.text != "\\" && value.text != "`";
        let problem = bad_escape.then(|| {
            let message = format!("invalid escape token `{}`", value.text);
            Diagnostic::error(value.span, message).help("it must be ` or \\")
        });
        *slot = Some(Directive { value });
        problem.map_or(Head::Directive, Head::Broken)
    }
}

/// Returns name and value of a line of the form `# name = value`.
pub(crate) fn match_directive<'a>(line: &'a str, comment: &str) -> Option<(&'a str, &'a str)> {
    const BLANKS: [char; 5] = ['\t', '\n', '\u{c}', '\r', ' '];
    let rest = line.strip_prefix(comment)?.trim_start();
    let (name, value) = rest.split_once('=')?;
    let name = name.trim_end_matches(BLANKS);
    let value = value.trim_matches(BLANKS);
    let mut letters = name.chars();
    let named = letters.next().is_some_and(|c| c.is_ascii_alphabetic())
        && letters.all(|c| c.is_ascii_alphanumeric());
    (named && !value.is_empty()).then_some((name, value))
}

/// Returns the directives that stand in the raw text, `escape` not among them.
pub(super) fn raw_directives(text: &str) -> Directives {
    Directives {
        escape: None,
        ..directives_behind(text, "#")
    }
}

fn directives_behind(text: &str, comment: &'static str) -> Directives {
    let mut reader = DirectiveReader::new(comment);
    let body = without_shebang(text);
    let mut offset = text.len() - body.len();
    for line in body.split_inclusive('\n') {
        let bare = line.strip_suffix('\n').unwrap_or(line);
        let bare = bare.strip_suffix('\r').unwrap_or(bare);
        if !matches!(reader.take(bare, offset), Head::Directive) {
            break;
        }
        offset += line.len();
    }
    reader.directives
}

fn without_shebang(text: &str) -> &str {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    match text.strip_prefix("#!") {
        Some(rest) => rest.split_once('\n').map_or("", |(_, body)| body),
        None => text,
    }
}

/// Returns the frontend that a file asks for, in any of the ways there are to ask: the directive,
/// also below a `#!` line; the directive behind `//`; a JSON object with the key `syntax`.
///
/// The first word of the answer is the frontend's image, the rest is its command line.
///
/// `Observed:` BuildKit 73ed6825 `parser/directives.go` `DetectSyntax`.
pub fn detect_syntax(text: &str) -> Option<String> {
    ["#", "//"]
        .into_iter()
        .find_map(|comment| directives_behind(text, comment).syntax)
        .map(|directive| directive.value.text)
        .or_else(|| json_syntax(without_shebang(text)))
}

fn json_syntax(text: &str) -> Option<String> {
    let document: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text).ok()?;
    let syntax = document.get("syntax")?.as_str()?;
    (!syntax.is_empty()).then(|| syntax.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Directives, Vec<String>) {
        let mut reader = DirectiveReader::new("#");
        let mut problems = Vec::new();
        let mut offset = 0;
        for line in text.split_inclusive('\n') {
            if let Head::Broken(problem) = reader.take(line.trim_end(), offset) {
                problems.push(problem.message);
            }
            offset += line.len();
        }
        (reader.directives, problems)
    }

    #[test]
    fn rule_05_directives_stand_before_anything_else() {
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
                "an unknown name is a comment",
                "# shell=x\n# syntax=a\n",
                None,
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
    fn lexical_row_syntax_detection() {
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
            (
                "other sign after a shebang",
                "#!x\n// syntax = a\n",
                Some("a"),
            ),
            ("byte order mark", "\u{feff}# syntax=a\r\n", Some("a")),
            ("JSON key", "{\"syntax\": \"a\"}", Some("a")),
            (
                "JSON, last of two keys",
                "{\"syntax\":1,\"syntax\":\"b\"}",
                Some("b"),
            ),
            ("JSON, other type", "{\"syntax\": 1}", None),
            (
                "another directive first",
                "# escape=`\n# syntax=a\n",
                Some("a"),
            ),
            ("the first of two", "# syntax=a\n# syntax=b\n", Some("a")),
            ("not indented", " # syntax=a\n", None),
            ("not below a comment", "# x\n# syntax=a\n", None),
            ("none", "FROM a\n# syntax=a\n", None),
        ] {
            assert_eq!(detect_syntax(text).as_deref(), expected, "{form}");
        }
    }
}
