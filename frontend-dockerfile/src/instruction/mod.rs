// SPDX-License-Identifier: Apache-2.0
//! The 18 instructions: what each may say, and what it said.
//!
//! One file per family: `from`, `run` (RUN, CMD, ENTRYPOINT, SHELL) with `mount`, `copy` (ADD,
//! COPY), `env` (ENV, LABEL, ARG), `health`, `meta` (the rest). Values are kept as written:
//! expansion belongs to `lower`.
//!
//! `Docs:` Dockerfile reference. `Observed:` BuildKit 73ed6825 `instructions/parse.go`.

mod copy;
mod duration;
mod env;
mod from;
mod health;
mod meta;
pub(crate) mod mount;
mod run;

pub use copy::{InlineSource, Transfer};
pub(crate) use duration::go_duration;
pub use env::{Argument, Pair};
pub use from::From;
pub use health::{Healthcheck, HealthcheckTest};
pub use meta::Onbuild;
pub use mount::{Mount, MountKind, MountSpec, Sharing};
pub use run::{CommandLine, Device, Network, Run};

use crate::diagnostic::Diagnostic;
use crate::flags::{FlagKind, Flags};
use crate::json_form::{self, JsonForm};
use crate::lines::{Comment, Heredoc, LogicalLine, Slice};
use crate::span::{Span, Word};
use crate::suggest;
use crate::words;

/// Every keyword, in upper case.
pub const KEYWORDS: [&str; 18] = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// One instruction of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// The keyword as written.
    pub keyword: Word,
    /// What it says.
    pub kind: Kind,
    /// The whole instruction, heredoc bodies included.
    pub span: Span,
    /// The line with continuations joined and comments dropped.
    pub text: String,
    /// The bodies of its heredocs.
    pub heredocs: Vec<Heredoc>,
    /// The comment block glued above.
    pub comments: Vec<Comment>,
}

/// What an instruction says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "the variants are the keywords of the Dockerfile reference"
)]
pub enum Kind {
    Add(Transfer),
    Arg(Vec<Argument>),
    Cmd(CommandLine),
    Copy(Transfer),
    Entrypoint(CommandLine),
    Env(Vec<Pair>),
    Expose(Vec<Word>),
    From(From),
    Healthcheck(Healthcheck),
    Label(Vec<Pair>),
    Maintainer(Word),
    Onbuild(Onbuild),
    Run(Run),
    Shell(Vec<Word>),
    Stopsignal(Word),
    User(Word),
    Volume(Vec<Word>),
    Workdir(Word),
}

impl Kind {
    /// Returns the keyword in upper case.
    pub fn keyword(&self) -> &'static str {
        match self {
            Self::Add(_) => "ADD",
            Self::Arg(_) => "ARG",
            Self::Cmd(_) => "CMD",
            Self::Copy(_) => "COPY",
            Self::Entrypoint(_) => "ENTRYPOINT",
            Self::Env(_) => "ENV",
            Self::Expose(_) => "EXPOSE",
            Self::From(_) => "FROM",
            Self::Healthcheck(_) => "HEALTHCHECK",
            Self::Label(_) => "LABEL",
            Self::Maintainer(_) => "MAINTAINER",
            Self::Onbuild(_) => "ONBUILD",
            Self::Run(_) => "RUN",
            Self::Shell(_) => "SHELL",
            Self::Stopsignal(_) => "STOPSIGNAL",
            Self::User(_) => "USER",
            Self::Volume(_) => "VOLUME",
            Self::Workdir(_) => "WORKDIR",
        }
    }
}

/// One line on its way to an instruction.
pub(crate) struct Request<'a, 'p> {
    /// The keyword in upper case.
    pub(crate) name: &'static str,
    pub(crate) keyword: Slice<'a>,
    pub(crate) flags: Vec<Word>,
    pub(crate) arguments: Slice<'a>,
    pub(crate) escape: char,
    pub(crate) problems: &'p mut Vec<Diagnostic>,
}

impl<'a> Request<'a, '_> {
    /// Checks the flags against those the instruction knows.
    pub(crate) fn flags(&mut self, known: &[(&'static str, FlagKind)]) -> Flags {
        Flags::parse(&self.flags, known, self.problems)
    }

    /// Returns the error that the instruction lacks arguments.
    pub(crate) fn missing(&self, what: &str) -> Diagnostic {
        Diagnostic::error(
            self.keyword.span(),
            format!("{} requires {what}", self.name),
        )
    }

    /// Returns the whole argument text, which must not be empty.
    pub(crate) fn one(&self) -> Result<Word, Diagnostic> {
        if self.arguments.is_empty() {
            return Err(self.missing("exactly one argument"));
        }
        Ok(self.arguments.word())
    }

    /// Returns the strings of the JSON form, or nothing if this is the shell form.
    pub(crate) fn json(&self, arguments: Slice<'a>) -> Result<Option<Vec<Word>>, Diagnostic> {
        match json_form::read(arguments) {
            JsonForm::Strings(words) => Ok(Some(words)),
            JsonForm::No => Ok(None),
            JsonForm::NotStrings(span) => Err(Diagnostic::error(
                span,
                format!(
                    "the JSON form of {} takes an array of strings only",
                    self.name
                ),
            )
            .help("put this element in double quotes")),
        }
    }

    /// Returns the JSON strings, or the words between blanks.
    pub(crate) fn list(&self) -> Result<Vec<Word>, Diagnostic> {
        Ok(match self.json(self.arguments)? {
            Some(words) => words,
            None => words::split_blanks(self.arguments),
        })
    }
}

/// Parses one logical line. Problems are added to `problems`; nothing is returned if the line means
/// nothing.
pub(crate) fn parse(
    line: &LogicalLine,
    escape: char,
    problems: &mut Vec<Diagnostic>,
) -> Option<Instruction> {
    let parts = words::parts(line.slice(), escape);
    let keyword = parts.keyword;
    let upper = keyword.text().to_uppercase();
    let Some(&name) = KEYWORDS.iter().find(|known| **known == upper) else {
        let message = format!("unknown instruction `{}`", keyword.text());
        problems.push(
            Diagnostic::error(keyword.span(), message)
                .maybe_help(suggest::hint(keyword.text(), KEYWORDS)),
        );
        return None;
    };
    let mut request = Request {
        name,
        keyword,
        flags: parts.flags,
        arguments: parts.arguments,
        escape,
        problems,
    };
    let kind = match kind(&mut request) {
        Ok(kind) => kind,
        Err(problem) => {
            problems.push(problem);
            return None;
        }
    };
    Some(Instruction {
        keyword: keyword.word(),
        kind,
        span: line.span,
        text: line.text().trim().to_owned(),
        heredocs: line.heredocs.clone(),
        comments: line.comments.clone(),
    })
}

fn kind(request: &mut Request<'_, '_>) -> Result<Kind, Diagnostic> {
    Ok(match request.name {
        "ADD" => Kind::Add(copy::parse_add(request)?),
        "ARG" => Kind::Arg(env::parse_arg(request)?),
        "CMD" => Kind::Cmd(run::parse_command(request)?),
        "COPY" => Kind::Copy(copy::parse_copy(request)?),
        "ENTRYPOINT" => Kind::Entrypoint(run::parse_command(request)?),
        "ENV" => Kind::Env(env::parse_pairs(request)?),
        "EXPOSE" => Kind::Expose(meta::parse_expose(request)?),
        "FROM" => Kind::From(from::parse(request)?),
        "HEALTHCHECK" => Kind::Healthcheck(health::parse(request)?),
        "LABEL" => Kind::Label(env::parse_pairs(request)?),
        "MAINTAINER" => Kind::Maintainer(meta::parse_one(request)?),
        "ONBUILD" => Kind::Onbuild(meta::parse_onbuild(request)?),
        "RUN" => Kind::Run(run::parse(request)?),
        "SHELL" => Kind::Shell(run::parse_shell(request)?),
        "STOPSIGNAL" => Kind::Stopsignal(meta::parse_one(request)?),
        "USER" => Kind::User(meta::parse_one(request)?),
        "VOLUME" => Kind::Volume(meta::parse_volume(request)?),
        _ => Kind::Workdir(meta::parse_one(request)?),
    })
}
