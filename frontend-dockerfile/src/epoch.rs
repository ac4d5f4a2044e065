// SPDX-License-Identifier: Apache-2.0
//! `SOURCE_DATE_EPOCH`: a time, or the name of what has one.
//!
//! Rules
//! 1. A build argument goes before a global `ARG` with a default; an empty value is none.
//! 2. A whole number is seconds since 1970.
//! 3. `context` is the main context; then come named contexts; then stages, which must be
//!    `FROM scratch` with exactly one ADD from http or git, and may have ARGs besides.
//! 4. Anything else is an error. What is named but has no time of its own leaves times as they are.
//! 5. Stages see the time that was found, not the name.
//!
//! `Observed:` BuildKit 73ed6825 `dockerfile2llb/epoch.go`.

use graph::SourceOp;
use oci::{Digest, Platform};

use crate::context::{self, NamedContext};
use crate::diagnostic::Diagnostic;
use crate::download;
use crate::expand::{Expander, Variables};
use crate::git_url::GitUrl;
use crate::instruction::{Argument, Kind, Transfer};
use crate::lower::external::{self, External};
use crate::options::BuildOptions;
use crate::parse::{Dockerfile, Stage};
use crate::scope::Environment;
use crate::span::{Span, Word};

/// The build argument and global ARG that fixes all times.
pub(crate) const EPOCH_ARG: &str = "SOURCE_DATE_EPOCH";
/// The value that means the main context.
const MAIN: &str = "context";

/// What `SOURCE_DATE_EPOCH` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Epoch {
    /// Times stay as they are.
    Unset,
    /// Seconds since 1970.
    Time(i64),
    /// The time of this source.
    Of(SourceOp),
}

/// Why it says nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EpochProblem {
    /// Neither a number nor a name of something.
    Unknown(String),
    /// A stage or a context that cannot serve.
    Unfit(Diagnostic),
}

/// What the value is looked up in.
#[derive(Clone, Copy)]
pub(crate) struct EpochNames<'a> {
    pub(crate) dockerfile: &'a Dockerfile,
    pub(crate) options: &'a BuildOptions,
    pub(crate) scope: &'a Environment,
}

impl EpochNames<'_> {
    /// Returns the value that is in force, as it was written.
    pub(crate) fn value(&self) -> Option<&str> {
        let given = self.options.build_args.get(EPOCH_ARG).map(String::as_str);
        given.or_else(|| self.scope.get(EPOCH_ARG))
    }

    /// Finds out what the value means.
    pub(crate) fn read(&self) -> Result<Epoch, EpochProblem> {
        let Some(text) = self.value().filter(|text| !text.is_empty()) else {
            return Ok(Epoch::Unset);
        };
        if let Ok(seconds) = text.parse() {
            return Ok(Epoch::Time(seconds));
        }
        if text == MAIN {
            return Ok(match self.options.context.source(self.options) {
                Ok(Some((source, _))) => Epoch::Of(source),
                _ => Epoch::Unset,
            });
        }
        let mut stage_name = text;
        match context::find(text, &Platform::host(), &self.options.contexts) {
            Some((_, NamedContext::Target(stage))) => stage_name = stage,
            Some(_) => return self.of_context(text).map_err(EpochProblem::Unfit),
            None => {}
        }
        let named = |stage: &&Stage| {
            let name = stage.from.stage_name();
            name.is_some_and(|name| name.eq_ignore_ascii_case(stage_name))
        };
        match self.dockerfile.stages.iter().find(named) {
            Some(stage) => self.of_stage(stage).map_err(EpochProblem::Unfit),
            None => Err(EpochProblem::Unknown(text.to_owned())),
        }
    }

    fn of_context(&self, name: &str) -> Result<Epoch, Diagnostic> {
        let word = Word::new(name.to_owned(), Span::default());
        let external = external::classify(&word, self.options, &Platform::host())?;
        let External::Tree(tree) = external else {
            return Ok(Epoch::Unset);
        };
        if tree.is_local() {
            return Ok(Epoch::Unset);
        }
        Ok(Epoch::Of(tree.source(&std::collections::BTreeSet::new())))
    }

    fn of_stage(&self, stage: &Stage) -> Result<Epoch, Diagnostic> {
        let unfit = |span, message: &str| {
            let message = format!("this stage cannot give SOURCE_DATE_EPOCH: {message}");
            Diagnostic::error(span, message).help(
                "such a stage is FROM scratch, with exactly one ADD from http or git and \
                 perhaps ARGs",
            )
        };
        let expander = Expander::new(self.dockerfile.escape);
        // The name that led here says nothing inside of the stage.
        let mut env = self.scope.without(EPOCH_ARG);
        if expand(expander, &stage.from.base, &env)? != "scratch" {
            return Err(unfit(stage.from.base.span, "its base is not scratch"));
        }
        let mut found = None;
        for instruction in &stage.instructions {
            match &instruction.kind {
                Kind::Arg(arguments) => self.declare(expander, arguments, &mut env)?,
                Kind::Add(_) if found.is_some() => {
                    return Err(unfit(instruction.span, "it has more than one ADD"));
                }
                Kind::Add(transfer) => {
                    let source = add_source(expander, transfer, &env)?;
                    let source = source
                        .ok_or_else(|| unfit(instruction.span, "the source is not remote"))?;
                    found = Some(source);
                }
                _ => return Err(unfit(instruction.span, "it does something else")),
            }
        }
        let source = found.ok_or_else(|| unfit(stage.instruction.span, "it has no ADD"))?;
        Ok(Epoch::Of(source))
    }

    fn declare(
        &self,
        expander: Expander,
        arguments: &[Argument],
        env: &mut Environment,
    ) -> Result<(), Diagnostic> {
        for argument in arguments {
            let name = &argument.key.text;
            if let Some(given) = self.options.build_args.get(name) {
                env.set(name, given);
            } else if let Some(default) = &argument.default {
                let value = expand(expander, default, env)?;
                env.set(name, &value);
            }
        }
        Ok(())
    }
}

fn expand(expander: Expander, word: &Word, env: &Environment) -> Result<String, Diagnostic> {
    let result = expander.expand(&word.text, env);
    result
        .map(|result| result.text)
        .map_err(|error| Diagnostic::error(word.span, error.to_string()))
}

/// Returns the source of an ADD if it has a single one, which is remote.
fn add_source(
    expander: Expander,
    transfer: &Transfer,
    env: &Environment,
) -> Result<Option<SourceOp>, Diagnostic> {
    let [word] = transfer.sources.as_slice() else {
        return Ok(None);
    };
    if !transfer.inline.is_empty() {
        return Ok(None);
    }
    let text = expand(expander, word, env)?;
    let checksum = transfer
        .checksum
        .as_ref()
        .map(|word| Ok((expand(expander, word, env)?, word.span)))
        .transpose()?;
    if context::is_http(&text) && !matches!(GitUrl::parse(&text), Some(Ok(_))) {
        let digest = checksum.map(|(text, span)| {
            text.parse::<Digest>()
                .map_err(|error| Diagnostic::error(span, format!("invalid checksum: {error}")))
        });
        return Ok(Some(
            download::source(&text, digest.transpose()?.as_ref()).0,
        ));
    }
    let mut url = match GitUrl::parse(&text) {
        None => return Ok(None),
        Some(Ok(url)) => url,
        Some(Err(error)) => return Err(Diagnostic::error(word.span, error.to_string())),
    };
    url.keep_git_dir = url.keep_git_dir.or(transfer.keep_git_dir);
    if let Some((checksum, _)) = checksum {
        url.checksum = Some(checksum);
    }
    Ok(Some(url.source()))
}
