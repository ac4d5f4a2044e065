// SPDX-License-Identifier: Apache-2.0
//! A logical line → keyword, flags, arguments; and the two ways to split arguments into words.
//!
//! Blanks between words are tab, vertical tab, form feed, carriage return and space, also behind
//! flags; words of `NAME=value` lists are split at every Unicode blank, but not inside quotes.
//!
//! `Observed:` BuildKit 73ed6825 `parser/split_command.go`, `parser/line_parsers.go`.

use crate::json_form;
use crate::lines::Slice;
use crate::span::{Span, Word};

/// A line taken apart.
#[derive(Clone, Debug)]
pub(crate) struct Parts<'a> {
    pub(crate) keyword: Slice<'a>,
    /// Words that start with `--` directly after the keyword; quotes and escapes are resolved.
    pub(crate) flags: Vec<Word>,
    /// The rest, without blanks around it.
    pub(crate) arguments: Slice<'a>,
}

/// Takes a line apart.
pub(crate) fn parts(line: Slice<'_>, escape: char) -> Parts<'_> {
    let (keyword, rest) = split_keyword(line);
    let (flags, arguments) = split_flags(rest, escape);
    Parts {
        keyword,
        flags,
        arguments: arguments.trim(),
    }
}

/// Returns the first word and what follows it.
fn split_keyword(line: Slice<'_>) -> (Slice<'_>, Slice<'_>) {
    let line = line.trim();
    let text = line.text();
    let end = text.find(is_separator).unwrap_or(text.len());
    let rest = text[end..].trim_start_matches(is_separator);
    (line.sub(0, end), line.from(text.len() - rest.len()))
}

/// Returns whether an instruction line may open heredocs: RUN, COPY or ADD, also behind ONBUILD,
/// and not in JSON form.
pub(crate) fn may_open_heredoc(line: &str, escape: char) -> bool {
    let line = crate::lines::LogicalLine::synthetic(line, Span::default());
    let mut parts = parts(line.slice(), escape);
    if parts.keyword.text().eq_ignore_ascii_case("onbuild") {
        parts = self::parts(parts.arguments, escape);
    }
    ["run", "copy", "add"]
        .iter()
        .any(|keyword| parts.keyword.text().eq_ignore_ascii_case(keyword))
        && !json_form::is_strings(parts.arguments.text())
}

fn split_flags(rest: Slice<'_>, escape: char) -> (Vec<Word>, Slice<'_>) {
    let text = rest.text();
    let mut flags = Vec::new();
    let mut at = 0;
    loop {
        let start = text.len() - text[at..].trim_start_matches(is_separator).len();
        if !text[start..].starts_with("--") {
            return (flags, rest.from(start));
        }
        let (flag, length) = flag_word(&text[start..], escape);
        at = start + length;
        if flag == "--" {
            return (flags, rest.from(at));
        }
        flags.push(Word::new(flag, rest.sub(start, at).span()));
    }
}

/// Returns the word that `text` starts with, without quotes and escapes, and its length in `text`.
fn flag_word(text: &str, escape: char) -> (String, usize) {
    let mut word = String::new();
    let mut quote = None;
    let mut chars = text.char_indices();
    while let Some((at, character)) = chars.next() {
        match (character, quote) {
            (c, _) if c == escape => word.extend(chars.next().map(|(_, escaped)| escaped)),
            (c, Some(open)) if c == open => quote = None,
            (c, None) if is_separator(c) => return (word, at),
            (c @ ('\'' | '"'), None) => quote = Some(c),
            (c, _) => word.push(c),
        }
    }
    (word, text.len())
}

/// Splits at blanks; quotes mean nothing here.
pub(crate) fn split_blanks(arguments: Slice<'_>) -> Vec<Word> {
    let text = arguments.text();
    let mut words = Vec::new();
    let mut start = None;
    for (at, character) in text.char_indices().chain([(text.len(), ' ')]) {
        match (is_separator(character), start) {
            (true, Some(from)) => {
                words.push(arguments.sub(from, at).word());
                start = None;
            }
            (false, None) => start = Some(at),
            _ => {}
        }
    }
    words
}

/// Splits at blanks outside quotes; quotes and escapes stay in the words, for the expansion. An
/// escape character at the very end escapes nothing and is dropped.
pub(crate) fn split_quoted(arguments: Slice<'_>, escape: char) -> Vec<Slice<'_>> {
    let text = arguments.text();
    let mut words = Vec::new();
    let mut start: Option<usize> = None;
    let mut end = text.len();
    let mut quote = None;
    let mut chars = text.char_indices();
    while let Some((at, character)) = chars.next() {
        if quote.is_none() && character.is_whitespace() {
            words.extend(start.take().map(|from| arguments.sub(from, at)));
            continue;
        }
        start.get_or_insert(at);
        match (character, quote) {
            (c, None | Some('"')) if c == escape => {
                end = if chars.next().is_none() { at } else { end };
            }
            (c, Some(open)) if c == open => quote = None,
            (c @ ('\'' | '"'), None) => quote = Some(c),
            _ => {}
        }
    }
    let last = start.filter(|&from| from < end);
    words.extend(last.map(|from| arguments.sub(from, end)));
    words
}

/// Splits off the first word; the rest starts at the next word.
pub(crate) fn split_first(arguments: Slice<'_>) -> (Slice<'_>, Slice<'_>) {
    split_keyword(arguments)
}

fn is_separator(character: char) -> bool {
    matches!(character, '\t' | '\u{b}' | '\u{c}' | '\r' | ' ')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lines::LogicalLine;

    fn line(text: &str) -> LogicalLine {
        LogicalLine::synthetic(text, Span::default())
    }

    #[test]
    fn flag_lexing_flags_end_at_the_first_other_word() {
        for (text, escape, flags, arguments) in [
            (
                "RUN --a=b --c make --d",
                '\\',
                &["--a=b", "--c"][..],
                "make --d",
            ),
            ("RUN -- --a", '\\', &[], "--a"),
            ("RUN --a='b c' x", '\\', &["--a=b c"], "x"),
            ("RUN --a=\"b\\\"c\" x", '\\', &["--a=b\"c"], "x"),
            ("RUN --a=b\\ c x", '\\', &["--a=b c"], "x"),
            ("RUN --a=b\\c` d", '`', &["--a=b\\c d"], ""),
            ("RUN - a", '\\', &[], "- a"),
            ("RUN --a=é x", '\\', &["--a=é"], "x"),
            ("RUN --a='b", '\\', &["--a=b"], ""),
            ("RUN --a=b\\", '\\', &["--a=b"], ""),
            ("RUN --a --\"\" --b", '\\', &["--a"], "--b"),
            ("RUN \u{b}--a\u{c}b", '\\', &["--a"], "b"),
            ("RUN \"--a\" b", '\\', &[], "\"--a\" b"),
            ("RUN", '\\', &[], ""),
        ] {
            let line = line(text);
            let parts = parts(line.slice(), escape);
            let found: Vec<&str> = parts.flags.iter().map(|w| w.text.as_str()).collect();
            assert_eq!(found, flags, "{text}");
            assert_eq!(parts.arguments.text(), arguments, "{text}");
        }
    }

    #[test]
    fn quoted_words_keep_their_quotes() {
        for (text, escape, words) in [
            ("a=1 b='x y'", '\\', &["a=1", "b='x y'"][..]),
            ("a=\"x \\\" y\" b", '\\', &["a=\"x \\\" y\"", "b"]),
            ("a='x\\' b", '\\', &["a='x\\'", "b"]),
            ("a=x\\ y b", '\\', &["a=x\\ y", "b"]),
            ("a=x\\ y", '`', &["a=x\\", "y"]),
            ("a='open b", '\\', &["a='open b"]),
            ("a=b\\\\\\", '\\', &["a=b\\\\"]),
            ("a \\", '\\', &["a"]),
            ("a=1\u{a0}b=2", '\\', &["a=1", "b=2"]),
        ] {
            let line = line(text);
            let found: Vec<&str> = split_quoted(line.slice(), escape)
                .iter()
                .map(|w| w.text())
                .collect();
            assert_eq!(found, words, "{text}");
        }
    }
}
