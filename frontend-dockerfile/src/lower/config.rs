// SPDX-License-Identifier: Apache-2.0
//! Instructions that change the image config: ENV, ARG, LABEL, CMD, EXPOSE and the like; WORKDIR
//! with the directory it makes.
//!
//! `Observed:` BuildKit 73ed6825 `dockerfile2llb/convert.go`, for every history text.

use graph::{ActionInput, FileActionKind, MkdirAction};
use oci::Healthcheck as HealthcheckConfig;
use serde_json::Value;

use super::state::{Layer, StageState};
use super::{Lowering, files, ports, signal};
use crate::diagnostic::Diagnostic;
use crate::expand::Variables;
use crate::go_format::{plain_list, quoted_list};
use crate::instruction::{Argument, CommandLine, Healthcheck, Instruction, Pair, go_duration};
use crate::scope::NOT_IN_ENVIRONMENT;
use crate::span::Word;
use crate::stages::Step;
use crate::{paths, suggest};

type Outcome = Result<(), Diagnostic>;

impl Lowering<'_> {
    /// Expands keys and values of a line against the variables before it.
    fn pairs(
        &self,
        stage: &StageState,
        pairs: &[Pair],
    ) -> Result<Vec<(String, String)>, Diagnostic> {
        let mut expanded = Vec::with_capacity(pairs.len());
        for pair in pairs {
            // Only a name that is written empty is refused, by the parser. `Observed:` BuildKit
            // 73ed6825.
            let key = self.expand(stage, &pair.key)?;
            expanded.push((key, self.expand(stage, &pair.value)?));
        }
        Ok(expanded)
    }

    pub(super) fn env(&self, stage: &mut StageState, pairs: &[Pair]) -> Outcome {
        let mut history = "ENV".to_owned();
        for (name, value) in self.pairs(stage, pairs)? {
            history.extend([" ", &name, "=", &value]);
            stage.env.set(&name, &value);
            stage.set_config_env(&name, &value);
        }
        stage.commit(history, Layer::Empty);
        Ok(())
    }

    pub(super) fn label(&self, stage: &mut StageState, pairs: &[Pair]) -> Outcome {
        let mut history = "LABEL".to_owned();
        for (name, value) in self.pairs(stage, pairs)? {
            history.extend([" ", &name, "=", &value]);
            stage.image.config.labels.insert(name, value);
        }
        stage.commit(history, Layer::Empty);
        Ok(())
    }

    pub(super) fn arg(&self, stage: &mut StageState, arguments: &[Argument]) -> Outcome {
        let mut history = "ARG".to_owned();
        for argument in arguments {
            let name = &argument.key.text;
            let value = match (self.options().build_args.get(name), &argument.default) {
                (Some(given), _) => Some(given.clone()),
                (None, Some(default)) => Some(self.expand(stage, default)?),
                // A global value was expanded where it was declared.
                (None, None) => self.scope.get(name).map(str::to_owned),
            };
            history.extend([" ", name]);
            if let Some(value) = &value {
                history.extend(["=", value]);
                if !NOT_IN_ENVIRONMENT.contains(&name.as_str()) {
                    stage.env.set(name, value);
                }
            }
            stage.build_args.push((name.clone(), value));
        }
        stage.commit(history, Layer::Empty);
        Ok(())
    }

    pub(super) fn expose(&self, stage: &mut StageState, words: &[Word]) -> Outcome {
        let mut sorted: Vec<&Word> = words.iter().collect();
        sorted.sort_by(|a, b| a.text.cmp(&b.text));
        let mut all = Vec::new();
        for word in sorted {
            for text in self.expand_words(stage, word)? {
                let found = ports::parse(&text).map_err(|message| {
                    Diagnostic::error(word.span, message).help(
                        "write a port or a range with or without a protocol: `80`, `53/udp`, `8000-8010/tcp`",
                    )
                })?;
                all.extend(found);
            }
        }
        for port in &all {
            stage
                .image
                .config
                .exposed_ports
                .insert(port.clone(), Value::Object(serde_json::Map::new()));
        }
        stage.commit(format!("EXPOSE {}", plain_list(&all)), Layer::Empty);
        Ok(())
    }

    pub(super) fn volume(&self, stage: &mut StageState, words: &[Word]) -> Outcome {
        let mut volumes = Vec::with_capacity(words.len());
        for word in words {
            let volume = self.expand(stage, word)?;
            if volume.is_empty() {
                return Err(
                    Diagnostic::error(word.span, "the path of a volume is empty")
                        .help("name a directory, e.g. `VOLUME /data`"),
                );
            }
            stage
                .image
                .config
                .volumes
                .insert(volume.clone(), Value::Object(serde_json::Map::new()));
            volumes.push(volume);
        }
        stage.commit(format!("VOLUME {}", plain_list(&volumes)), Layer::Empty);
        Ok(())
    }

    pub(super) fn user(&self, stage: &mut StageState, word: &Word) -> Outcome {
        let user = self.expand(stage, word)?;
        stage.commit(format!("USER {user}"), Layer::Empty);
        stage.image.config.user = user;
        Ok(())
    }

    pub(super) fn stop_signal(&self, stage: &mut StageState, word: &Word) -> Outcome {
        let text = self.expand(stage, word)?;
        if !signal::is_signal(&text) {
            let names: Vec<String> = signal::names().collect();
            let hint = suggest::hint(&text, names.iter().map(String::as_str));
            let general = "write a name like `SIGTERM`, or a number other than 0";
            return Err(
                Diagnostic::error(word.span, format!("`{text}` is not a signal"))
                    .help(hint.unwrap_or_else(|| general.to_owned())),
            );
        }
        stage.commit(format!("STOPSIGNAL {text}"), Layer::Empty);
        stage.image.config.stop_signal = text;
        Ok(())
    }

    /// Sets the working directory, and makes it owned by the user in force.
    pub(super) fn workdir(&mut self, stage: &mut StageState, step: &Step, word: &Word) -> Outcome {
        let path = self.expand(stage, word)?;
        let directory = paths::directory(stage.directory(), &path);
        stage.image.config.working_dir.clone_from(&directory);
        let history = format!("WORKDIR {directory}");
        if directory == "/" {
            stage.commit(history, Layer::Empty);
            return Ok(());
        }
        let mut meta = self.meta(
            stage,
            step,
            &self.plain_title(stage, &step.instruction.text),
        );
        // A directory is made the same way every time. `Observed:` BuildKit does not mark it either.
        meta.ignore_cache = false;
        let mut file = files::FileBuilder::new(stage.tree);
        let user = &stage.image.config.user;
        let owner = (!user.is_empty()).then(|| file.owner(user)).transpose();
        let owner = owner.map_err(|problem| {
            Diagnostic::error(step.instruction.span, problem).help("name the user by a number")
        })?;
        file.push(
            ActionInput::Scratch,
            FileActionKind::Mkdir(MkdirAction {
                path: paths::clean(&directory),
                mode: 0o755,
                make_parents: true,
                owner,
                timestamp: self.timestamp(),
            }),
        );
        stage.tree = Some(file.finish(self.graph, meta));
        stage.commit(history, Layer::Made);
        Ok(())
    }
}

pub(super) fn maintainer(stage: &mut StageState, word: &Word) {
    stage.image.author = Some(word.text.clone());
    stage.commit(format!("MAINTAINER {}", word.text), Layer::Empty);
}

pub(super) fn shell(stage: &mut StageState, words: &[Word]) {
    let words: Vec<String> = words.iter().map(|word| word.text.clone()).collect();
    stage.commit(format!("SHELL {}", plain_list(&words)), Layer::Empty);
    stage.image.config.shell = words;
}

fn command_words(stage: &StageState, command: &CommandLine) -> Vec<String> {
    match command {
        CommandLine::Exec(words) => words.iter().map(|word| word.text.clone()).collect(),
        CommandLine::Shell(line) => stage.with_shell(line.text.clone()),
    }
}

pub(super) fn cmd(stage: &mut StageState, command: &CommandLine) {
    let words = command_words(stage, command);
    stage.commit(format!("CMD {}", quoted_list(&words)), Layer::Empty);
    stage.image.config.cmd = (!words.is_empty()).then_some(words);
    stage.image.config.args_escaped = true;
    stage.cmd_set = true;
}

/// Sets the entrypoint. A CMD that came with the base made sense with the old one only.
pub(super) fn entrypoint(stage: &mut StageState, command: &CommandLine) {
    let words = command_words(stage, command);
    stage.commit(format!("ENTRYPOINT {}", quoted_list(&words)), Layer::Empty);
    stage.image.config.entrypoint = (!words.is_empty()).then_some(words);
    if !stage.cmd_set {
        stage.image.config.cmd = None;
    }
}

pub(super) fn healthcheck(stage: &mut StageState, check: &Healthcheck) {
    let test = check.test_words();
    let history = format!(
        "HEALTHCHECK {{Test:{} Interval:{} Timeout:{} StartPeriod:{} StartInterval:{} Retries:{}}}",
        plain_list(&test),
        go_duration(check.interval),
        go_duration(check.timeout),
        go_duration(check.start_period),
        go_duration(check.start_interval),
        check.retries
    );
    stage.commit(history, Layer::Empty);
    stage.image.config.healthcheck = Some(HealthcheckConfig {
        test,
        interval: check.interval,
        timeout: check.timeout,
        start_period: check.start_period,
        start_interval: check.start_interval,
        retries: check.retries,
    });
}

/// Stores a trigger; its instruction runs in builds on top, so there is no history here.
pub(super) fn onbuild(stage: &mut StageState, instruction: &Instruction, expression: &str) {
    debug_assert!(
        instruction.keyword.text.eq_ignore_ascii_case("onbuild"),
        "only ONBUILD comes here"
    );
    stage.image.config.on_build.push(expression.to_owned());
}
