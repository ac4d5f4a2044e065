// SPDX-License-Identifier: Apache-2.0
//! The small instructions: EXPOSE, MAINTAINER, ONBUILD, STOPSIGNAL, USER, VOLUME, WORKDIR.

use super::{KEYWORDS, Request};
use crate::diagnostic::Diagnostic;
use crate::span::Word;
use crate::suggest;
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
            return Err(Diagnostic::error(
                word.span,
                "a volume can not be an empty string",
            ));
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
    let name = match upper.as_str() {
        "ONBUILD" => {
            return Err(Diagnostic::error(
                keyword.span,
                "ONBUILD ONBUILD is not allowed",
            ));
        }
        "FROM" | "MAINTAINER" => {
            let message = format!("{upper} is not allowed as an ONBUILD trigger");
            return Err(Diagnostic::error(keyword.span, message));
        }
        other => KEYWORDS.into_iter().find(|known| *known == other),
    };
    let Some(name) = name else {
        let message = format!("unknown instruction `{}` in ONBUILD", keyword.text);
        return Err(Diagnostic::error(keyword.span, message)
            .maybe_help(suggest::hint(&keyword.text, KEYWORDS)));
    };
    // Ours: what can never be carried out is refused here, not in the builds on top of the image.
    super::kind(&mut Request {
        name,
        keyword: inner.keyword,
        flags: inner.flags,
        arguments: inner.arguments,
        escape: request.escape,
        problems: request.problems,
    })?;
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
