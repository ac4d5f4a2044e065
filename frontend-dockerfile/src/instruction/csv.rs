// SPDX-License-Identifier: Apache-2.0
//! A flag whose value is a line of comma-separated fields: a field may be quoted, and in quotes a
//! doubled quote stands for one.
//!
//! `Observed:` BuildKit 73ed6825 `instructions/commands_runmount.go`; `Docs:` RFC 4180.

use crate::diagnostic::Diagnostic;
use crate::span::{Span, Word};

/// Returns the fields of the value of `--flag`, each with its place.
///
/// If quotes or escapes were taken away, the place of every field is that of the flag.
pub(super) fn fields(word: &Word, flag: &str) -> Result<Vec<Word>, Diagnostic> {
    if word.text.is_empty() {
        return Err(Diagnostic::error(word.span, format!("`--{flag}` is empty"))
            .help(format!("leave `--{flag}` out, or say what it is to do")));
    }
    let refused = || {
        let message = format!("a quote is out of place in `--{flag}`");
        Diagnostic::error(word.span, message)
            .help("a quote surrounds a whole field, e.g. `'\"target=/a,b\",readonly'`")
    };
    let ranges = split(&word.text).ok_or_else(refused)?;
    let verbatim = word.span.end - word.span.start == word.text.len() + flag.len() + "--=".len();
    let base = word.span.end - word.text.len().min(word.span.end);
    let place = |start: usize, end: usize| {
        if verbatim {
            Span::new(base + start, base + end)
        } else {
            word.span
        }
    };
    Ok(ranges
        .into_iter()
        .map(|field| Word::new(field.text, place(field.start, field.end)))
        .collect())
}

struct Field {
    text: String,
    start: usize,
    end: usize,
}

/// Returns the fields, or nothing if a quote is out of place.
fn split(line: &str) -> Option<Vec<Field>> {
    let mut fields = Vec::new();
    let mut rest = line;
    loop {
        let start = line.len() - rest.len();
        let (text, tail) = if let Some(quoted) = rest.strip_prefix('"') {
            quoted_field(quoted)?
        } else {
            let end = rest.find(',').unwrap_or(rest.len());
            let (field, tail) = rest.split_at(end);
            if field.contains('"') {
                return None;
            }
            (field.to_owned(), tail)
        };
        let end = line.len() - tail.len();
        fields.push(Field { text, start, end });
        match tail.strip_prefix(',') {
            Some(next) => rest = next,
            None if tail.is_empty() => return Some(fields),
            None => return None,
        }
    }
}

fn quoted_field(mut rest: &str) -> Option<(String, &str)> {
    let mut field = String::new();
    loop {
        let (text, tail) = rest.split_once('"')?;
        field.push_str(text);
        match tail.strip_prefix('"') {
            Some(next) => {
                field.push('"');
                rest = next;
            }
            None => return Some((field, tail)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_and_their_places() {
        let source = "RUN --mount=a=b,\"c,\"\"d\",e x";
        let value = &source[12..source.len() - 2];
        let word = Word::new(value, Span::new(4, source.len() - 2));
        let found = fields(&word, "mount").unwrap();
        let found: Vec<(&str, &str)> = found
            .iter()
            .map(|field| {
                (
                    field.text.as_str(),
                    &source[field.span.start..field.span.end],
                )
            })
            .collect();
        assert_eq!(
            found,
            [("a=b", "a=b"), ("c,\"d", "\"c,\"\"d\""), ("e", "e")]
        );
        let elsewhere = Word::new("a,b", Span::new(0, 50));
        assert_eq!(
            fields(&elsewhere, "mount").unwrap()[1].span,
            Span::new(0, 50)
        );
        for text in ["", "a\"b", "\"a", "\"a\"b"] {
            assert!(
                fields(&Word::new(text, Span::default()), "mount").is_err(),
                "{text}"
            );
        }
    }
}
