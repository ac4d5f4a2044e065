// SPDX-License-Identifier: Apache-2.0
//! ADD and COPY: where from, where to, and how.

use super::{Request, mount};
use crate::diagnostic::Diagnostic;
use crate::flags::{FlagKind, Flags};
use crate::lines::{Heredoc, heredoc};
use crate::span::Word;

pub(super) const ADD_FLAGS: [(&str, FlagKind); 7] = [
    ("chown", FlagKind::Text),
    ("chmod", FlagKind::Text),
    ("link", FlagKind::Bool),
    ("keep-git-dir", FlagKind::Bool),
    ("checksum", FlagKind::Text),
    ("unpack", FlagKind::Bool),
    ("exclude", FlagKind::List),
];

pub(super) const COPY_FLAGS: [(&str, FlagKind); 6] = [
    ("from", FlagKind::Text),
    ("chown", FlagKind::Text),
    ("chmod", FlagKind::Text),
    ("link", FlagKind::Bool),
    ("parents", FlagKind::Bool),
    ("exclude", FlagKind::List),
];

/// What ADD and COPY say. Words are as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// COPY: stage, named context or image that the sources are in.
    pub from: Option<Word>,
    /// Owner of what is written.
    pub chown: Option<Word>,
    /// Mode of what is written.
    pub chmod: Option<Word>,
    /// Whether the files form a layer that does not depend on those below.
    pub link: bool,
    /// COPY: whether parent directories of sources are kept.
    pub parents: bool,
    /// Patterns of what is left out.
    pub excludes: Vec<Word>,
    /// ADD: whether `.git` is kept.
    pub keep_git_dir: Option<bool>,
    /// ADD: what the source must hash to.
    pub checksum: Option<Word>,
    /// ADD: whether archives are unpacked.
    pub unpack: Option<bool>,
    /// Paths, patterns and addresses.
    pub sources: Vec<Word>,
    /// Files written in the Dockerfile itself; they come after `sources`.
    pub inline: Vec<InlineSource>,
    /// Where to.
    pub destination: Word,
}

/// A file whose content is a heredoc.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InlineSource {
    /// Its name, the word of the heredoc.
    pub name: Word,
    /// Its content before expansion.
    pub content: String,
    /// Whether variables in the content are expanded.
    pub expand: bool,
}

pub(super) fn parse_add(request: &mut Request<'_, '_>) -> Result<Transfer, Diagnostic> {
    parse(request, &ADD_FLAGS)
}

pub(super) fn parse_copy(request: &mut Request<'_, '_>) -> Result<Transfer, Diagnostic> {
    let transfer = parse(request, &COPY_FLAGS)?;
    if let Some(from) = transfer
        .from
        .as_ref()
        .filter(|from| from.text.contains('$'))
    {
        return Err(
            Diagnostic::error(from.span, "`--from` cannot contain variables")
                .help(mount::FROM_HELP),
        );
    }
    Ok(transfer)
}

fn parse(
    request: &mut Request<'_, '_>,
    known: &[(&'static str, FlagKind)],
) -> Result<Transfer, Diagnostic> {
    let flags = request.flags(known);
    let mut words = request.list()?;
    let name = request.name;
    let destination = match (words.pop(), words.is_empty()) {
        (Some(destination), false) => destination,
        (Some(only), true) => {
            let message =
                format!("{name} requires a source and a destination, and this is one of them");
            return Err(
                Diagnostic::error(only.span, message).help("add the destination at the end")
            );
        }
        (None, _) => return Err(request.missing("a source and a destination")),
    };
    if heredoc::opening(&destination.text).is_some() {
        let message = format!("{name} cannot use a heredoc as destination");
        return Err(
            Diagnostic::error(destination.span, message).help("add the destination at the end")
        );
    }
    let (inline, sources) = split_inline(words, request.arguments.heredocs());
    Ok(transfer(&flags, sources, inline, destination))
}

fn split_inline(words: Vec<Word>, heredocs: &[Heredoc]) -> (Vec<InlineSource>, Vec<Word>) {
    let mut inline = Vec::new();
    let mut sources = Vec::new();
    for word in words {
        let Some(opening) = heredoc::opening(&word.text) else {
            sources.push(word);
            continue;
        };
        // Observed: of several bodies under one name the last counts; a word that looks like an
        // opening but has no body, as in JSON form, is an empty file.
        let body = heredocs.iter().rev().find(|h| h.name == opening.name);
        inline.push(InlineSource {
            name: Word::new(opening.name, word.span),
            content: body.map_or_else(String::new, Heredoc::content),
            expand: opening.expand,
        });
    }
    (inline, sources)
}

fn transfer(
    flags: &Flags,
    sources: Vec<Word>,
    inline: Vec<InlineSource>,
    destination: Word,
) -> Transfer {
    Transfer {
        from: flags.text("from"),
        chown: flags.text("chown"),
        chmod: flags.text("chmod"),
        link: flags.bool("link").unwrap_or_default(),
        parents: flags.bool("parents").unwrap_or_default(),
        excludes: flags.list("exclude"),
        keep_git_dir: flags.bool("keep-git-dir"),
        checksum: flags.text("checksum"),
        unpack: flags.bool("unpack"),
        sources,
        inline,
        destination,
    }
}
