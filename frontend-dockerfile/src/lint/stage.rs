// SPDX-License-Identifier: Apache-2.0
//! A stage while it is walked: what it has come to, and the rules about its instructions.

use std::collections::{BTreeMap, BTreeSet};

use graph::pattern::Patterns;

use super::rule;
use super::spelling;
use super::variables::{ImageEnv, Variables};
use super::warning::{Linter, Place};
use crate::diagnostic::Diagnostic;
use crate::expand::{ExpandError, Expander};
use crate::git_url::GitUrl;
use crate::go_format::quoted;
use crate::instruction::{CommandLine, Instruction, Pair, Transfer};
use crate::lower::ports;
use crate::paths;
use crate::scope::NOT_IN_ENVIRONMENT;
use crate::span::{Span, Word};

/// Parts of a name that tell of a secret.
const SECRET: [&str; 10] = [
    "apikey",
    "auth",
    "credential",
    "credentials",
    "key",
    "password",
    "pword",
    "passwd",
    "secret",
    "token",
];
/// Parts that take it back.
const NO_SECRET: [&str; 3] = ["public", "file", "version"];
/// What may stand behind a port.
const PROTOCOLS: [&str; 4] = ["", "tcp", "udp", "sctp"];
/// Patterns that leave nothing of a context. `Observed:` BuildKit 73ed6825 `validations.go`.
const EVERYTHING: [&str; 3] = ["*", "**", "**/*"];

/// What a stage hands on to stages on top of it.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) variables: Variables,
    /// Variables of the image, in order: a stage on top sets them again.
    pub(super) image_env: ImageEnv,
    /// ARGs declared, with a value or without.
    pub(super) declared: BTreeSet<String>,
    /// Whether the variables of the base are known.
    pub(super) is_base_known: bool,
    pub(super) has_shell: bool,
    pub(super) has_workdir: bool,
}

impl State {
    /// Sets a variable of the image.
    pub(super) fn set_env(&mut self, name: &str, value: &str) {
        self.variables.set(name, value);
        self.image_env.set(name, value);
    }
}

/// What is left out of the main context.
#[derive(Clone, Copy)]
pub(super) struct Ignore<'a> {
    patterns: &'a Patterns,
    /// Whether something is taken back: what is left of a directory cannot be told then.
    has_exceptions: bool,
    leaves_nothing: bool,
}

impl<'a> Ignore<'a> {
    pub(super) fn new(patterns: &'a Patterns) -> Self {
        let list = patterns.to_list();
        Self {
            patterns,
            has_exceptions: list.iter().any(|text| text.starts_with('!')),
            leaves_nothing: list.iter().any(|text| EVERYTHING.contains(&text.as_str())),
        }
    }
}

/// One instruction under the rules.
pub(super) struct Check<'c, 's> {
    pub(super) linter: &'c mut Linter<'s>,
    pub(super) place: Place,
    pub(super) expander: Expander,
    pub(super) ignore: Ignore<'c>,
    pub(super) instruction: &'c Instruction,
}

impl<'c, 's> Check<'c, 's> {
    pub(super) fn new(
        linter: &'c mut Linter<'s>,
        instruction: &'c Instruction,
        ignore: Ignore<'c>,
        escape: char,
    ) -> Self {
        Self {
            place: linter.place(instruction),
            linter,
            expander: Expander::new(escape),
            ignore,
            instruction,
        }
    }

    /// Expands a word and warns about variables that nobody set.
    pub(super) fn expand(&mut self, state: &State, word: &Word) -> Result<String, Diagnostic> {
        let expander = self.expander;
        self.expand_with(state, expander, word)
    }

    pub(super) fn expand_with(
        &mut self,
        state: &State,
        expander: Expander,
        word: &Word,
    ) -> Result<String, Diagnostic> {
        self.expand_text(state, expander, &word.text, word.span)
            .map_err(|error| Diagnostic::error(word.span, error.to_string()))
    }

    pub(super) fn expand_text(
        &mut self,
        state: &State,
        expander: Expander,
        text: &str,
        span: Span,
    ) -> Result<String, ExpandError> {
        let mut unset = BTreeSet::new();
        let found = expander.expand_noting(text, &state.variables, &mut unset);
        self.unset(state, &unset, span);
        Ok(found?.text)
    }

    fn unset(&mut self, state: &State, unset: &BTreeSet<String>, span: Span) {
        if !state.is_base_known {
            return;
        }
        let unset = unset.iter().filter(|name| {
            !state.declared.contains(*name) && !NOT_IN_ENVIRONMENT.contains(&name.as_str())
        });
        for name in unset {
            if self.linter.is_full() {
                return;
            }
            let near = spelling::nearest(name, state.variables.names());
            let hint = near.map_or_else(String::new, |near| format!(" (did you mean ${near}?)"));
            let message = format!("Usage of undefined variable '${name}'{hint}");
            self.linter
                .warn(&self.place, rule::UNDEFINED_VAR, span, message);
        }
    }

    /// Warns about the earlier of two, because that is the one without effect.
    pub(super) fn once(&mut self, used: &mut BTreeMap<&'static str, (super::Lines, Span)>) {
        let keyword = self.instruction.kind.keyword();
        let here = (self.place.lines, self.instruction.span);
        if let Some((lines, span)) = used.insert(keyword, here) {
            let message = format!(
                "Multiple {} instructions should not be used in the same stage because only the last one will be used",
                self.instruction.keyword.text
            );
            let earlier = self.place.at(lines);
            self.linter.warn(
                &earlier,
                rule::MULTIPLE_INSTRUCTIONS_DISALLOWED,
                span,
                message,
            );
        }
    }

    /// Warns about a command that a shell runs, unless the author chose the shell.
    pub(super) fn shell_form(&mut self, state: &State, command: &CommandLine) {
        if let CommandLine::Shell(line) = command
            && !state.has_shell
        {
            let message = format!(
                "JSON arguments recommended for {} to prevent unintended behavior related to OS signals",
                self.instruction.keyword.text
            );
            self.linter
                .warn(&self.place, rule::JSON_ARGS_RECOMMENDED, line.span, message);
        }
    }

    pub(super) fn workdir(&mut self, state: &mut State, word: &Word, path: &str) {
        if !state.has_workdir && !path.starts_with('/') {
            let message = format!(
                "Relative workdir {} can have unexpected results if the base image changes",
                quoted(path)
            );
            self.linter
                .warn(&self.place, rule::WORKDIR_RELATIVE_PATH, word.span, message);
        }
        state.has_workdir = true;
    }

    pub(super) fn legacy(&mut self, pair: &Pair) {
        if pair.legacy {
            let keyword = &self.instruction.keyword.text;
            let message = format!(
                "\"{keyword} key=value\" should be used instead of legacy \"{keyword} key value\" format"
            );
            self.linter.warn(
                &self.place,
                rule::LEGACY_KEY_VALUE_FORMAT,
                pair.key.span.to(pair.value.span),
                message,
            );
        }
    }

    pub(super) fn secret(&mut self, name: &str, span: Span) {
        let lower = name.to_lowercase();
        let has = |parts: &[&str]| lower.split('_').any(|part| parts.contains(&part));
        if has(&SECRET) && !has(&NO_SECRET) {
            let message = format!(
                "Do not use ARG or ENV instructions for sensitive data ({} {})",
                self.instruction.kind.keyword(),
                quoted(name)
            );
            self.linter
                .warn(&self.place, rule::SECRETS_USED_IN_ARG_OR_ENV, span, message);
        }
    }

    /// Looks at an expanded word of EXPOSE.
    pub(super) fn port(&mut self, port: &str, span: Span) -> Result<(), Diagnostic> {
        let (addresses, container) = port.rsplit_once(':').unwrap_or(("", port));
        let (number, protocol) = container.split_once('/').unwrap_or((container, ""));
        let invalid = ports::parse(port).map(drop);
        let invalid = invalid.map_err(|message| Diagnostic::error(span, message));
        // Without these two there is no port that a rule could be about.
        if number.is_empty() || !PROTOCOLS.contains(&protocol.to_lowercase().as_str()) {
            return invalid;
        }
        if protocol != protocol.to_lowercase() {
            let message =
                format!("Defined protocol '{port}' in EXPOSE instruction should be lowercase");
            self.linter
                .warn(&self.place, rule::EXPOSE_PROTO_CASING, span, message);
        }
        if addresses.split(':').any(|part| !part.is_empty()) {
            let message = format!(
                "EXPOSE instruction should not define an IP address or host-port mapping, found '{port}'"
            );
            self.linter
                .warn(&self.place, rule::EXPOSE_INVALID_FORMAT, span, message);
        }
        invalid
    }

    /// Warns about a source that the ignore file leaves out.
    pub(super) fn ignored(&mut self, transfer: &Transfer, source: &str, span: Span) {
        let is_http = source.starts_with("http://") || source.starts_with("https://");
        if transfer.from.is_some()
            || self.ignore.patterns.is_empty()
            || self.ignore.has_exceptions
            || is_http
            || matches!(GitUrl::parse(source), Some(Ok(_)))
        {
            return;
        }
        let path = paths::clean(source);
        if [".", "/"].contains(&path.as_str()) && !self.ignore.leaves_nothing {
            return;
        }
        let decision = self.ignore.patterns.matches_as_written(&path);
        if let (true, Some(line)) = (decision.excluded, decision.by) {
            let verb = if self.instruction.kind.keyword() == "ADD" {
                "Add"
            } else {
                "Copy"
            };
            let message = format!(
                "Attempting to {verb} file {} that is excluded by .dockerignore",
                quoted(&path)
            );
            let help = format!("line {line} of the ignore file excludes it");
            self.linter.warn_with_help(
                &self.place,
                rule::COPY_IGNORED_FILE,
                (span, Some(help)),
                message,
            );
        }
    }
}
