// SPDX-License-Identifier: Apache-2.0
//! The small instructions: EXPOSE, MAINTAINER, ONBUILD, STOPSIGNAL, USER, VOLUME, WORKDIR.

use super::{Request, env};
use crate::diagnostic::Diagnostic;
use crate::lines::Slice;
use crate::span::Word;
use crate::words;

/// An instruction for a later build on top of the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Onbuild {
    /// The instruction as text, heredoc bodies included: what the image config stores.
    pub expression: String,
    /// Its keyword.
    pub keyword: Word,
}

/// Parses an instruction whose argument is the rest of the line, blanks included.
pub(super) fn parse_one(request: &mut Request<'_, '_>) -> Result<Word, Diagnostic> {
    request.flags(&[]);
    request.one()
}

/// Parses STOPSIGNAL. `Observed:` BuildKit drops words with `--` in front without looking at them.
pub(super) fn parse_stopsignal(request: &Request<'_, '_>) -> Result<Word, Diagnostic> {
    request.one()
}

pub(super) fn parse_expose(request: &mut Request<'_, '_>) -> Result<Vec<Word>, Diagnostic> {
    request.flags(&[]);
    let words = words::split_blanks(request.arguments);
    if words.is_empty() {
        return Err(request.missing("at least one argument"));
    }
    Ok(words)
}

pub(super) fn parse_volume(request: &mut Request<'_, '_>) -> Result<Vec<Word>, Diagnostic> {
    request.flags(&[]);
    let mut words = request.list()?;
    if words.is_empty() {
        return Err(request.missing("at least one argument"));
    }
    for word in &mut words {
        word.text = word.text.trim().to_owned();
        if word.text.is_empty() {
            return Err(
                Diagnostic::error(word.span, "the path of a volume is empty")
                    .help("name a directory, e.g. `VOLUME /data`"),
            );
        }
    }
    Ok(words)
}

pub(super) fn parse_onbuild(request: &mut Request<'_, '_>) -> Result<Onbuild, Diagnostic> {
    request.flags(&[]);
    if request.arguments.is_empty() {
        return Err(request.missing("at least one argument"));
    }
    let inner = words::parts(request.arguments, request.escape);
    let keyword = inner.keyword.word();
    let upper = keyword.text.to_uppercase();
    match upper.as_str() {
        "ONBUILD" => {
            let message = "ONBUILD cannot be the trigger of an ONBUILD";
            return Err(Diagnostic::error(keyword.span, message)
                .help("a trigger reaches one build on top, not the builds on top of that"));
        }
        "FROM" | "MAINTAINER" => {
            let message = format!("{upper} cannot be the trigger of an ONBUILD");
            return Err(Diagnostic::error(keyword.span, message)
                .help("every other instruction can, e.g. `ONBUILD COPY . /src`"));
        }
        known => check_form(request, known, inner.arguments)?,
    }
    // Observed: blanks at the end are stored too.
    let mut expression = request.arguments.to_line_end().text().to_owned();
    for heredoc in request.arguments.heredocs() {
        expression.push('\n');
        expression.push_str(&heredoc.body);
        expression.push_str(&heredoc.name);
    }
    Ok(Onbuild {
        expression,
        keyword,
    })
}

/// Checks what is checked of a trigger before it runs: that its arguments can be taken apart.
///
/// `Observed:` BuildKit reads keyword, flags and values of a trigger only in the build on top.
fn check_form(
    request: &Request<'_, '_>,
    keyword: &str,
    arguments: Slice<'_>,
) -> Result<(), Diagnostic> {
    match keyword {
        "ADD" | "CMD" | "COPY" | "ENTRYPOINT" | "RUN" | "SHELL" | "VOLUME" => {
            super::json_words(keyword, arguments).map(drop)
        }
        "HEALTHCHECK" => super::json_words(keyword, words::split_first(arguments).1).map(drop),
        "ENV" | "LABEL" => env::check_pairs(keyword, arguments, request.escape),
        _ => Ok(()),
    }
}
