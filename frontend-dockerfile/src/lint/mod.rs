// SPDX-License-Identifier: Apache-2.0
//! The lint rules: what is allowed but rarely meant.
//!
//! Names and texts are BuildKit's, so that `# check=skip=…` lines keep working. Rules that need
//! values of variables or the config of a base image (`UndefinedVar`, `UndefinedArgInFrom`,
//! `InvalidDefaultArgInFrom`, `InvalidBaseImagePlatform`) and the experimental
//! `InvalidDefinitionDescription` are named in the table but found by nobody yet.
//!
//! `Docs:` Docker build checks. `Observed:` BuildKit 73ed6825 `frontend/dockerfile/linter`.

mod config;
mod expose;
mod instructions;
mod stages;
#[cfg(test)]
mod tests;

pub use config::{LintConfig, ParseLintConfigError};

use crate::diagnostic::Diagnostic;
use crate::instruction::Instruction;
use crate::parse::Dockerfile;
use crate::span::Span;
use graph::pattern::Patterns;

/// A rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its name, as `# check=skip=` takes it.
    pub name: &'static str,
    /// What it is about, one sentence.
    pub summary: &'static str,
}

macro_rules! rules {
    ($($name:ident: $summary:literal,)*) => {
        /// Every rule, in BuildKit's order.
        pub const RULES: &[Rule] = &[$(Rule { name: stringify!($name), summary: $summary }),*];
    };
}

rules! {
    StageNameCasing: "stage names should be lower case",
    FromAsCasing: "the casing of `AS` should match that of `FROM`",
    NoEmptyContinuation: "a continued instruction should have no empty lines",
    ConsistentInstructionCasing: "all instructions should be written in the same case",
    DuplicateStageName: "stage names should be unique",
    ReservedStageName: "a stage should not be called `context` or `scratch`",
    JSONArgsRecommended: "CMD and ENTRYPOINT should use the JSON form",
    MaintainerDeprecated: "MAINTAINER is deprecated, a label says it",
    UndefinedArgInFrom: "FROM should use declared arguments",
    WorkdirRelativePath: "the first WORKDIR should be absolute",
    UndefinedVar: "variables should be declared before they are used",
    MultipleInstructionsDisallowed: "only the last CMD, ENTRYPOINT or HEALTHCHECK counts",
    LegacyKeyValueFormat: "ENV and LABEL should be written with `=`",
    InvalidBaseImagePlatform: "the base image should be for the platform asked for",
    RedundantTargetPlatform: "`--platform=$TARGETPLATFORM` is the default",
    SecretsUsedInArgOrEnv: "ARG and ENV should hold no secrets",
    InvalidDefaultArgInFrom: "global arguments should have usable defaults",
    FromPlatformFlagConstDisallowed: "`FROM --platform` should not be constant",
    CopyIgnoredFile: "COPY and ADD should not name what the ignore file leaves out",
    InvalidDefinitionDescription: "a comment above ARG or FROM should describe it",
    ExposeProtoCasing: "the protocol in EXPOSE should be lower case",
    ExposeInvalidFormat: "EXPOSE should name no addresses and host ports",
}

/// Checks a file against the rules that `config` leaves on; in the order of the file.
///
/// `ignore` are the patterns of the main context.
pub fn check(dockerfile: &Dockerfile, ignore: &Patterns, config: &LintConfig) -> Vec<Diagnostic> {
    let mut linter = Linter {
        config,
        found: Vec::new(),
    };
    for warning in &dockerfile.warnings {
        if let Some(rule) = warning.rule {
            linter.report(&[], rule, warning.span, &warning.message);
        }
    }
    stages::check(&mut linter, dockerfile);
    instructions::check(&mut linter, dockerfile, ignore);
    linter.found.sort_by_key(|warning| warning.span);
    linter.found
}

/// Collects warnings of rules that are on.
struct Linter<'a> {
    config: &'a LintConfig,
    found: Vec<Diagnostic>,
}

impl Linter<'_> {
    /// Adds a warning about an instruction, unless it or the file switches the rule off.
    fn warn(&mut self, instruction: &Instruction, rule: &'static str, span: Span, message: &str) {
        let local: Vec<LintConfig> = instruction
            .comments
            .iter()
            .filter_map(|comment| comment.text.strip_prefix("check=")?.parse().ok())
            .collect();
        self.report(&local, rule, span, message);
    }

    /// Adds a warning with a hint.
    fn warn_with_help(
        &mut self,
        instruction: &Instruction,
        (rule, span): (&'static str, Span),
        message: &str,
        help: &str,
    ) {
        let before = self.found.len();
        self.warn(instruction, rule, span, message);
        for warning in &mut self.found[before..] {
            warning.help = Some(help.to_owned());
        }
    }

    fn report(&mut self, local: &[LintConfig], rule: &'static str, span: Span, message: &str) {
        debug_assert!(
            RULES.iter().any(|known| known.name == rule),
            "{rule} is in the table"
        );
        let skipped = self.config.skips(rule) || local.iter().any(|config| config.skips(rule));
        if !skipped {
            self.found.push(Diagnostic::warning(rule, span, message));
        }
    }
}
