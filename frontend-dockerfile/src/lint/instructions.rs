// SPDX-License-Identifier: Apache-2.0
//! Rules about the instructions of a stage.

use std::collections::BTreeMap;

use super::{Linter, expose};
use crate::git_url::GitUrl;
use crate::instruction::{CommandLine, Instruction, Kind, Pair, Transfer};
use crate::parse::Dockerfile;
use crate::paths;
use crate::span::{Span, Word};
use graph::pattern::Patterns;

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

/// What a stage hands on to the stages on top of it.
#[derive(Clone, Copy, Debug, Default)]
struct Inherited {
    shell: bool,
    workdir: bool,
}

pub(super) fn check(linter: &mut Linter<'_>, dockerfile: &Dockerfile, ignore: &Patterns) {
    for instruction in &dockerfile.global_args {
        secrets(linter, instruction);
    }
    let mut stages: BTreeMap<String, Inherited> = BTreeMap::new();
    for stage in &dockerfile.stages {
        let inherited = stages
            .get(&stage.from.base.text)
            .copied()
            .unwrap_or_default();
        let mut state = StageLint {
            inherited,
            used: BTreeMap::new(),
        };
        for instruction in &stage.instructions {
            state.instruction(linter, instruction, ignore);
        }
        if let Some(name) = stage.from.stage_name() {
            stages.insert(name, state.inherited);
        }
    }
}

struct StageLint {
    inherited: Inherited,
    /// Where an instruction that counts only once stood last.
    used: BTreeMap<&'static str, Span>,
}

impl StageLint {
    fn instruction(
        &mut self,
        linter: &mut Linter<'_>,
        instruction: &Instruction,
        ignore: &Patterns,
    ) {
        let keyword = instruction.kind.keyword();
        match &instruction.kind {
            Kind::Shell(_) => self.inherited.shell = true,
            Kind::Cmd(command) | Kind::Entrypoint(command) => {
                self.once(linter, instruction);
                if matches!(command, CommandLine::Shell(_)) && !self.inherited.shell {
                    let message = format!(
                        "JSON arguments recommended for {keyword} to prevent unintended behavior related to OS signals"
                    );
                    linter.warn(
                        instruction,
                        "JSONArgsRecommended",
                        instruction.span,
                        &message,
                    );
                }
            }
            Kind::Healthcheck(_) => self.once(linter, instruction),
            Kind::Maintainer(_) => {
                let message = "Maintainer instruction is deprecated in favor of using label";
                linter.warn(
                    instruction,
                    "MaintainerDeprecated",
                    instruction.span,
                    message,
                );
            }
            Kind::Workdir(path) => self.workdir(linter, instruction, path),
            Kind::Env(pairs) | Kind::Label(pairs) => {
                legacy(linter, instruction, pairs);
                secrets(linter, instruction);
            }
            Kind::Arg(_) => secrets(linter, instruction),
            Kind::Expose(words) => words
                .iter()
                .for_each(|word| expose::check(linter, instruction, word)),
            Kind::Copy(transfer) | Kind::Add(transfer) => {
                ignored(linter, instruction, transfer, ignore);
            }
            _ => {}
        }
    }

    /// Warns about the earlier of two, because that is the one without effect.
    fn once(&mut self, linter: &mut Linter<'_>, instruction: &Instruction) {
        let keyword = instruction.kind.keyword();
        if let Some(earlier) = self.used.insert(keyword, instruction.span) {
            let message = format!(
                "Multiple {keyword} instructions should not be used in the same stage because only the last one will be used"
            );
            linter.warn(
                instruction,
                "MultipleInstructionsDisallowed",
                earlier,
                &message,
            );
        }
    }

    fn workdir(&mut self, linter: &mut Linter<'_>, instruction: &Instruction, path: &Word) {
        let known = !path.text.contains('$');
        if known && !self.inherited.workdir && !path.text.trim_matches(['"', '\'']).starts_with('/')
        {
            let message = format!(
                "Relative workdir \"{}\" can have unexpected results if the base image changes",
                path.text
            );
            linter.warn(instruction, "WorkdirRelativePath", path.span, &message);
        }
        self.inherited.workdir = true;
    }
}

fn legacy(linter: &mut Linter<'_>, instruction: &Instruction, pairs: &[Pair]) {
    let keyword = instruction.kind.keyword();
    for pair in pairs.iter().filter(|pair| pair.legacy) {
        let message = format!(
            "\"{keyword} key=value\" should be used instead of legacy \"{keyword} key value\" format"
        );
        linter.warn(instruction, "LegacyKeyValueFormat", pair.key.span, &message);
    }
}

fn secrets(linter: &mut Linter<'_>, instruction: &Instruction) {
    let keys: Vec<&Word> = match &instruction.kind {
        Kind::Arg(arguments) => arguments.iter().map(|argument| &argument.key).collect(),
        Kind::Env(pairs) => pairs.iter().map(|pair| &pair.key).collect(),
        _ => return,
    };
    for key in keys {
        let lower = key.text.to_lowercase();
        let has = |parts: &[&str]| lower.split('_').any(|part| parts.contains(&part));
        if has(&SECRET) && !has(&NO_SECRET) {
            let message = format!(
                "Do not use ARG or ENV instructions for sensitive data ({} \"{}\")",
                instruction.kind.keyword(),
                key.text
            );
            linter.warn(instruction, "SecretsUsedInArgOrEnv", key.span, &message);
        }
    }
}

fn ignored(
    linter: &mut Linter<'_>,
    instruction: &Instruction,
    transfer: &Transfer,
    ignore: &Patterns,
) {
    if transfer.from.is_some() || ignore.is_empty() {
        return;
    }
    for source in &transfer.sources {
        let text = &source.text;
        let remote = text.starts_with("http://")
            || text.starts_with("https://")
            || GitUrl::parse(text).is_some();
        if remote || text.contains('$') {
            continue;
        }
        let path = paths::resolve("/", text);
        let decision = ignore.matches(&path);
        if let (true, Some(line)) = (decision.excluded, decision.by) {
            let verb = if instruction.kind.keyword() == "ADD" {
                "Add"
            } else {
                "Copy"
            };
            let file = path.trim_start_matches('/');
            let message =
                format!("Attempting to {verb} file \"{file}\" that is excluded by .dockerignore");
            let help = format!("line {line} of the ignore file excludes it");
            linter.warn_with_help(
                instruction,
                ("CopyIgnoredFile", source.span),
                &message,
                &help,
            );
        }
    }
}
