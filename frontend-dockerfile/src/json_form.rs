// SPDX-License-Identifier: Apache-2.0
//! The JSON form of an instruction: `["a", "b"]`.
//!
//! Rules
//! 1. Text that is not a JSON array is no error: it is the shell form.
//! 2. A JSON array that holds something else than strings is an error.
//! 3. Lone surrogates decode to U+FFFD, as Go does.
//!
//! `Observed:` BuildKit 73ed6825 `parser/line_parsers.go` `parseJSON`.

use serde::de::IgnoredAny;

use crate::lines::Slice;
use crate::span::{Span, Word};

/// What the text after the keyword is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum JsonForm {
    /// An array of strings.
    Strings(Vec<Word>),
    /// Not JSON, or not an array.
    No,
    /// An array that holds something else, first at this place.
    NotStrings(Span),
}

/// Reads `slice` as a JSON array of strings.
pub(crate) fn read(slice: Slice<'_>) -> JsonForm {
    match scan(slice.text()) {
        Scan::Strings(strings) => JsonForm::Strings(
            strings
                .into_iter()
                .map(|(text, start, end)| Word::new(text, slice.sub(start, end).span()))
                .collect(),
        ),
        Scan::No => JsonForm::No,
        Scan::NotStrings(at) => {
            let length = slice.text()[at..].chars().next().map_or(0, char::len_utf8);
            JsonForm::NotStrings(slice.sub(at, at + length).span())
        }
    }
}

/// Returns whether the text is a JSON array of strings.
pub(crate) fn is_strings(text: &str) -> bool {
    matches!(scan(text), Scan::Strings(_))
}

enum Scan {
    /// Each with the range of its token, quotes included.
    Strings(Vec<(String, usize, usize)>),
    No,
    NotStrings(usize),
}

fn scan(text: &str) -> Scan {
    let mut reader = Reader { text, at: 0 };
    reader.blanks();
    if !reader.take('[') {
        return Scan::No;
    }
    let mut strings = Vec::new();
    reader.blanks();
    if reader.take(']') {
        return reader.end(strings);
    }
    loop {
        reader.blanks();
        let start = reader.at;
        if reader.peek() != Some('"') {
            let valid = serde_json::from_str::<Vec<IgnoredAny>>(text.trim_start()).is_ok();
            return if valid {
                Scan::NotStrings(start)
            } else {
                Scan::No
            };
        }
        let Some(string) = reader.string() else {
            return Scan::No;
        };
        strings.push((string, start, reader.at));
        reader.blanks();
        if reader.take(']') {
            return reader.end(strings);
        }
        if !reader.take(',') {
            return Scan::No;
        }
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        Some(next)
    }

    fn take(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.at += wanted.len_utf8();
        }
        found
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(' ' | '\t' | '\r' | '\n')) {
            self.at += 1;
        }
    }

    fn end(mut self, strings: Vec<(String, usize, usize)>) -> Scan {
        self.blanks();
        if self.at == self.text.len() {
            Scan::Strings(strings)
        } else {
            Scan::No
        }
    }

    fn string(&mut self) -> Option<String> {
        self.next();
        let mut out = String::new();
        loop {
            match self.next()? {
                '"' => return Some(out),
                '\\' => out.push(self.escape()?),
                c if u32::from(c) < 0x20 => return None,
                c => out.push(c),
            }
        }
    }

    fn escape(&mut self) -> Option<char> {
        Some(match self.next()? {
            c @ ('"' | '\\' | '/') => c,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => return self.unicode(),
            _ => return None,
        })
    }

    fn unicode(&mut self) -> Option<char> {
        let first = self.hex()?;
        if let Some(character) = char::from_u32(first) {
            return Some(character);
        }
        let before = self.at;
        if (0xd800..0xdc00).contains(&first) && self.text[self.at..].starts_with("\\u") {
            self.at += 2;
            let second = self.hex()?;
            if (0xdc00..0xe000).contains(&second) {
                return char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00));
            }
            self.at = before;
        }
        Some(char::REPLACEMENT_CHARACTER)
    }

    fn hex(&mut self) -> Option<u32> {
        let digits = self.text.get(self.at..self.at + 4)?;
        if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        self.at += 4;
        u32::from_str_radix(digits, 16).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lines::LogicalLine;

    #[test]
    fn json_or_shell_form() {
        for (text, expected) in [
            (r#"["a", "b c"]"#, Some(vec!["a", "b c"])),
            ("[]", Some(vec![])),
            (r#"["é\n\"\\"]"#, Some(vec!["é\n\"\\"])),
            (r#"["\ud83d\ude00\ud83d"]"#, Some(vec!["😀\u{fffd}"])),
            ("['a']", None),
            (r#"["a",]"#, None),
            (r#"["a"] b"#, None),
            (r#"["a\x"]"#, None),
            ("{}", None),
            ("[", None),
            ("", None),
        ] {
            let line = LogicalLine::synthetic(text, Span::default());
            let found = match read(line.slice()) {
                JsonForm::Strings(words) => {
                    Some(words.into_iter().map(|w| w.text).collect::<Vec<_>>())
                }
                JsonForm::No => None,
                JsonForm::NotStrings(_) => panic!("{text}"),
            };
            assert_eq!(
                found,
                expected.map(|e| e.into_iter().map(str::to_owned).collect()),
                "{text}"
            );
        }
    }

    #[test]
    fn an_array_of_other_things_is_an_error() {
        for text in [r#"["a", 1]"#, "[null]", "[[\"a\"]]"] {
            let line = LogicalLine::synthetic(text, Span::default());
            assert!(
                matches!(read(line.slice()), JsonForm::NotStrings(_)),
                "{text}"
            );
        }
    }
}
