// SPDX-License-Identifier: Apache-2.0
//! ENV, LABEL and ARG: names and values.

use super::Request;
use crate::diagnostic::Diagnostic;
use crate::lines::Slice;
use crate::span::Word;
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
    let words = words::split_quoted(request.arguments, request.escape);
    let Some(first) = words.first() else {
        return Err(request.missing("at least one argument"));
    };
    if !first.text().contains('=') {
        return Ok(vec![legacy_pair(request)?]);
    }
    let mut pairs = Vec::with_capacity(words.len());
    for word in words {
        let Some((key, value)) = split_pair(word) else {
            let message = format!(
                "can't find `=` in `{}`: it must be of the form name=value",
                word.text()
            );
            return Err(Diagnostic::error(word.span(), message)
                .help("put a value that contains blanks in quotes"));
        };
        if key.text.is_empty() {
            return Err(blank_name(request.name, word));
        }
        pairs.push(Pair {
            key,
            value,
            legacy: false,
        });
    }
    Ok(pairs)
}

fn legacy_pair(request: &Request<'_, '_>) -> Result<Pair, Diagnostic> {
    let (key, value) = words::split_first(request.arguments);
    if value.is_empty() {
        let message = format!("{} must have two arguments", request.name);
        return Err(
            Diagnostic::error(request.arguments.span(), message).help(format!(
                "write `{} {}=value`",
                request.name,
                key.text()
            )),
        );
    }
    Ok(Pair {
        key: key.word(),
        value: value.word(),
        legacy: true,
    })
}

pub(super) fn parse_arg(request: &mut Request<'_, '_>) -> Result<Vec<Argument>, Diagnostic> {
    request.flags(&[]);
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
            return Err(blank_name(request.name, word));
        }
        arguments.push(Argument { key, default });
    }
    Ok(arguments)
}

fn split_pair(word: Slice<'_>) -> Option<(Word, Word)> {
    let at = word.text().find('=')?;
    Some((word.sub(0, at).word(), word.from(at + 1).word()))
}

fn blank_name(name: &str, word: Slice<'_>) -> Diagnostic {
    Diagnostic::error(word.span(), format!("{name} names can not be blank"))
}
