// SPDX-License-Identifier: Apache-2.0
//! FROM: `FROM [--platform=P] BASE [AS NAME]`.

use oci::Reference;

use super::Request;
use crate::diagnostic::Diagnostic;
use crate::flags::FlagKind;
use crate::span::Word;
use crate::words;

pub(super) const FLAGS: [(&str, FlagKind); 1] = [("platform", FlagKind::Text)];

/// The start of a stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct From {
    /// Image reference, earlier stage or `scratch`, as written.
    pub base: Word,
    /// The platform of the base, as written.
    pub platform: Option<Word>,
    /// The word `AS` as written.
    pub as_word: Option<Word>,
    /// The name of the stage as written; its meaning ignores case.
    pub name: Option<Word>,
}

impl From {
    /// Returns the name in lower case, which is how it is looked up.
    pub fn stage_name(&self) -> Option<String> {
        self.name.as_ref().map(|name| name.text.to_lowercase())
    }
}

pub(super) fn parse(request: &mut Request<'_, '_>) -> Result<From, Diagnostic> {
    let flags = request.flags(&FLAGS);
    let words = words::split_blanks(request.arguments);
    let (base, as_word, name) = match words.as_slice() {
        [base] => (base, None, None),
        [base, as_word, name] if as_word.text.eq_ignore_ascii_case("as") => {
            (base, Some(as_word), Some(name))
        }
        _ => {
            let span = if words.is_empty() {
                request.keyword.span()
            } else {
                request.arguments.span()
            };
            return Err(
                Diagnostic::error(span, "FROM requires either one or three arguments")
                    .help("write `FROM image` or `FROM image AS name`"),
            );
        }
    };
    if let Some(name) = name.filter(|name| !valid_stage_name(&name.text.to_lowercase())) {
        let message = format!("a stage cannot be called `{}`", name.text);
        return Err(Diagnostic::error(name.span, message).help(
            "a name starts with a letter and has only letters and digits, joined by `-`, `_` or `.`",
        ));
    }
    Ok(From {
        base: base.clone(),
        platform: flags.text("platform"),
        as_word: as_word.cloned(),
        name: name.cloned(),
    })
}

/// Returns whether a name in lower case may be that of a stage.
///
/// `Observed:` BuildKit looks every stage up among the named contexts, so the name must also be
/// that of a repository.
fn valid_stage_name(name: &str) -> bool {
    let allowed =
        |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.');
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(allowed)
        && name.parse::<Reference>().is_ok()
}
