// SPDX-License-Identifier: Apache-2.0
//! ENV, LABEL and ARG: names and values.

use super::Request;
use crate::diagnostic::Diagnostic;
use crate::lines::Slice;
use crate::span::{Span, Word};
use crate::words;

/// One `name=value` of ENV or LABEL, quotes and variables still in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The name.
    pub key: Word,
    /// The value.
    pub value: Word,
    /// Whether it was written `NAME value`, where the value is the rest of the line.
    pub legacy: bool,
}

/// One name of ARG.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argument {
    /// The name.
    pub key: Word,
    /// What it is if nobody sets it, quotes and variables still in place.
    pub default: Option<Word>,
}

pub(super) fn parse_pairs(request: &mut Request<'_, '_>) -> Result<Vec<Pair>, Diagnostic> {
    request.flags(&[]);
    let pairs = pairs(request.name, request.arguments, request.escape)?;
    if pairs.is_empty() {
        return Err(request.missing("at least one argument"));
    }
    match pairs.iter().find(|pair| pair.key.text.is_empty()) {
        Some(pair) => Err(blank_name(request.name, pair.key.span.to(pair.value.span))),
        None => Ok(pairs),
    }
}

/// Checks that the arguments of the instruction `name` are pairs at all; there may be none.
pub(super) fn check_pairs(
    name: &str,
    arguments: Slice<'_>,
    escape: char,
) -> Result<(), Diagnostic> {
    pairs(name, arguments, escape).map(drop)
}

fn pairs(name: &str, arguments: Slice<'_>, escape: char) -> Result<Vec<Pair>, Diagnostic> {
    let words = words::split_quoted(arguments, escape);
    if words
        .first()
        .is_some_and(|first| !first.text().contains('='))
    {
        return Ok(vec![legacy_pair(name, arguments)?]);
    }
    let pair = |word: Slice<'_>| {
        let (key, value) = split_pair(word).ok_or_else(|| {
            let message = format!("no `=` in `{}`", word.text());
            Diagnostic::error(word.span(), message).help(format!(
                "write `{name} name=value`, and put a value that contains blanks in quotes"
            ))
        })?;
        Ok(Pair {
            key,
            value,
            legacy: false,
        })
    };
    words.into_iter().map(pair).collect()
}

fn legacy_pair(name: &str, arguments: Slice<'_>) -> Result<Pair, Diagnostic> {
    let (key, value) = words::split_first(arguments);
    if value.is_empty() {
        let message = format!("{name} `{}` has no value", key.text());
        return Err(Diagnostic::error(key.span(), message)
            .help(format!("write `{name} {}=value`", key.text())));
    }
    Ok(Pair {
        key: key.word(),
        value: value.word(),
        legacy: true,
    })
}

/// Parses ARG. `Observed:` BuildKit drops words with `--` in front without looking at them.
pub(super) fn parse_arg(request: &Request<'_, '_>) -> Result<Vec<Argument>, Diagnostic> {
    let words = words::split_quoted(request.arguments, request.escape);
    if words.is_empty() {
        return Err(request.missing("at least one argument"));
    }
    let mut arguments = Vec::with_capacity(words.len());
    for word in words {
        let (key, default) = match split_pair(word) {
            Some((key, value)) => (key, Some(value)),
            None => (word.word(), None),
        };
        if key.text.is_empty() {
            return Err(blank_name(request.name, word.span()));
        }
        arguments.push(Argument { key, default });
    }
    Ok(arguments)
}

fn split_pair(word: Slice<'_>) -> Option<(Word, Word)> {
    let at = word.text().find('=')?;
    Some((word.sub(0, at).word(), word.from(at + 1).word()))
}

fn blank_name(name: &str, span: Span) -> Diagnostic {
    Diagnostic::error(span, format!("{name} with nothing before the `=`"))
        .help(format!("write `{name} name=value`"))
}
