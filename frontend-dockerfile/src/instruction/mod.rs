// SPDX-License-Identifier: Apache-2.0
//! The 18 instructions: what each may say, and what it said.
//!
//! One file per family: `from`, `run` (RUN, CMD, ENTRYPOINT, SHELL) with `mount`, `copy` (ADD,
//! COPY), `env` (ENV, LABEL, ARG), `health`, `meta` (the rest). Values are kept as written:
//! expansion belongs to `lower`.
//!
//! `Docs:` Dockerfile reference. `Observed:` BuildKit 73ed6825 `instructions/parse.go`.

mod copy;
mod csv;
mod device;
mod duration;
mod env;
mod from;
mod health;
mod meta;
pub(crate) mod mount;
mod run;

pub use copy::{InlineSource, Transfer};
pub use device::Device;
pub(crate) use duration::go_duration;
pub use env::{Argument, Pair};
pub use from::From;
pub use health::{Healthcheck, HealthcheckTest};
pub use meta::Onbuild;
pub use mount::{KEYS as MOUNT_KEYS, Mount, MountKind, MountSpec, Sharing};
pub use run::{CommandLine, Network, Run};

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

/// Returns the names of the flags that an instruction takes, by its keyword in upper case.
pub fn flags_of(keyword: &str) -> impl Iterator<Item = &'static str> {
    let flags: &'static [(&'static str, FlagKind)] = match keyword {
        "ADD" => &copy::ADD_FLAGS,
        "COPY" => &copy::COPY_FLAGS,
        "FROM" => &from::FLAGS,
        "HEALTHCHECK" => &health::FLAGS,
        "RUN" => &run::FLAGS,
        _ => &[],
    };
    flags.iter().map(|(name, _)| *name)
}

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
        Flags::parse(self.name, &self.flags, known, self.problems)
    }

    /// Returns the error that the instruction lacks arguments.
    pub(crate) fn missing(&self, what: &str) -> Diagnostic {
        let message = format!("{} requires {what}", self.name);
        let problem = Diagnostic::error(self.keyword.span(), message);
        match example(self.name) {
            Some(example) => problem.help(format!("write e.g. `{example}`")),
            None => problem,
        }
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
        json_words(self.name, arguments)
    }

    /// Returns the JSON strings, or the words between blanks.
    pub(crate) fn list(&self) -> Result<Vec<Word>, Diagnostic> {
        Ok(match self.json(self.arguments)? {
            Some(words) => words,
            None => words::split_blanks(self.arguments),
        })
    }
}

/// Returns what an instruction looks like that stands without arguments.
fn example(name: &str) -> Option<&'static str> {
    Some(match name {
        "ADD" => "ADD https://example.com/app.tar.gz /src/",
        "ARG" => "ARG name=default",
        "COPY" => "COPY file /directory/",
        "ENV" => "ENV name=value",
        "EXPOSE" => "EXPOSE 8080/tcp",
        "HEALTHCHECK" => "HEALTHCHECK CMD curl -f http://localhost/",
        "LABEL" => "LABEL name=value",
        "MAINTAINER" => "LABEL org.opencontainers.image.authors=\"name <address>\"",
        "ONBUILD" => "ONBUILD COPY . /src",
        "SHELL" => "SHELL [\"/bin/bash\", \"-c\"]",
        "STOPSIGNAL" => "STOPSIGNAL SIGTERM",
        "USER" => "USER name:group",
        "VOLUME" => "VOLUME /data",
        "WORKDIR" => "WORKDIR /app",
        _ => return None,
    })
}

/// Returns the strings of the JSON form of an instruction, or nothing if this is the shell form.
fn json_words(name: &str, arguments: Slice<'_>) -> Result<Option<Vec<Word>>, Diagnostic> {
    match json_form::read(arguments) {
        JsonForm::Strings(words) => Ok(Some(words)),
        JsonForm::No => Ok(None),
        JsonForm::NotStrings(span) => {
            let message = format!("the list of {name} holds something other than a string");
            Err(Diagnostic::error(span, message).help("put it in double quotes"))
        }
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
        let all = || format!("there are {}", KEYWORDS.join(", "));
        let hint = suggest::hint(keyword.text(), KEYWORDS).unwrap_or_else(all);
        problems.push(Diagnostic::error(keyword.span(), message).help(hint));
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

/// Returns whether a line that could not be read was meant to start a stage.
pub(crate) fn may_be_from(line: &str) -> bool {
    let keyword = line.split_whitespace().next().unwrap_or_default();
    suggest::nearest(keyword, KEYWORDS) == Some("FROM")
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
        "STOPSIGNAL" => Kind::Stopsignal(meta::parse_stopsignal(request)?),
        "USER" => Kind::User(meta::parse_one(request)?),
        "VOLUME" => Kind::Volume(meta::parse_volume(request)?),
        _ => Kind::Workdir(meta::parse_one(request)?),
    })
}
