// SPDX-License-Identifier: Apache-2.0
//! The walk over the stages: what every instruction does to the variables, and what the rules and
//! the outline find on the way.
//!
//! It follows BuildKit's order, so that warnings come in the order that its JSON has, and it stops
//! where BuildKit would: at the first word that cannot be expanded. Nothing is lowered here.
//!
//! `Observed:` BuildKit 73ed6825 `dockerfile2llb/convert.go` `dispatchStages`, `dispatch`.

use std::collections::{BTreeMap, BTreeSet};

use oci::{ImageConfig, Platform, Reference};

use super::Lines;
use super::rule;
use super::stage::{Check, Ignore, State};
use super::variables::{ImageEnv, Variables};
use super::warning::Linter;
use crate::diagnostic::Diagnostic;
use crate::expand::{Expander, Variables as _};
use crate::instruction::{Argument, Instruction, Kind, Mount, MountKind, Pair, Run, Transfer};
use crate::lower::DEFAULT_PATH;
use crate::lower::external::{self, External, Images};
use crate::options::BuildInput;
use crate::outline::Capture;
use crate::parse::Dockerfile;
use crate::scope::{Environment, NOT_IN_ENVIRONMENT};
use crate::span::{Span, Word};
use crate::stages::{Base, StageGraph};

/// Everything that a walk reads.
#[derive(Clone, Copy)]
pub(super) struct Ground<'a> {
    pub(super) input: &'a BuildInput,
    pub(super) dockerfile: &'a Dockerfile,
    pub(super) ignore: Ignore<'a>,
    pub(super) scope: &'a Environment,
    pub(super) stages: &'a StageGraph,
    pub(super) images: &'a Images,
    /// Images that nobody knows.
    pub(super) unknown: &'a BTreeSet<(Reference, Platform)>,
    pub(super) platform: &'a Platform,
    /// Which stages are walked.
    pub(super) reached: &'a [bool],
    /// Whether a stage that a named context replaces is walked all the same.
    pub(super) all_stages: bool,
}

/// A walk under way.
pub(super) struct Walk<'a, 'l, 's> {
    pub(super) ground: Ground<'a>,
    pub(super) linter: &'l mut Linter<'s>,
    /// By stage.
    pub(super) captures: &'l mut [Capture],
    done: Vec<Option<State>>,
}

/// The variable that every stage has.
const PATH: &str = "PATH";

/// What there is of an image.
enum Known<'a> {
    Image(&'a ImageConfig),
    /// No image: a directory, a repository, nothing at all.
    Nothing,
    Unknown,
}

/// Where an instruction that counts only once stood last, by keyword.
type Once = BTreeMap<&'static str, (Lines, Span)>;

impl<'a, 'l, 's> Walk<'a, 'l, 's> {
    pub(super) fn new(
        ground: Ground<'a>,
        linter: &'l mut Linter<'s>,
        captures: &'l mut [Capture],
    ) -> Self {
        Self {
            done: vec![None; ground.stages.stages.len()],
            ground,
            linter,
            captures,
        }
    }

    /// Walks the stages in the order of the file.
    ///
    /// # Errors
    ///
    /// The first word that cannot be expanded; what follows is not looked at.
    pub(super) fn run(&mut self) -> Result<(), Diagnostic> {
        self.platforms();
        for index in 0..self.done.len() {
            if !self.ground.reached[index] {
                continue;
            }
            let mut state = self.enter(index);
            let mut once = Once::new();
            let node = &self.ground.stages.stages[index];
            let is_replaced = self.is_replaced(index);
            // What a context puts in the place of a stage is not built, but `--check` looks at it.
            if !is_replaced || self.ground.all_stages {
                for step in &node.steps {
                    self.instruction(index, &mut state, &mut once, &step.instruction)?;
                }
            }
            if is_replaced && self.ground.all_stages {
                for instruction in &self.ground.dockerfile.stages[index].instructions {
                    self.instruction(index, &mut state, &mut once, instruction)?;
                }
            }
            self.done[index] = Some(state);
        }
        Ok(())
    }

    /// Returns whether a named context stands in for a stage.
    fn is_replaced(&self, index: usize) -> bool {
        let contexts = &self.ground.input.options.contexts;
        let name = self.ground.dockerfile.stages[index].from.stage_name();
        match (&self.ground.stages.stages[index].base, name) {
            (Base::External(base), Some(name)) => *base == name && contexts.contains_key(&name),
            _ => false,
        }
    }

    /// Warns about images that are for another platform than the one asked for.
    fn platforms(&mut self) {
        let Ground {
            stages, reached, ..
        } = self.ground;
        for (index, node) in stages
            .stages
            .iter()
            .enumerate()
            .filter(|(i, _)| reached[*i])
        {
            let platform = node.platform.as_ref().unwrap_or(self.ground.platform);
            if let Base::External(name) = &node.base {
                let word = Word::new(name.clone(), node.base_word.span);
                let instruction = &self.ground.dockerfile.stages[index].instruction;
                self.platform(&word, platform, instruction);
            }
        }
        for index in stages.reached_externals(reached) {
            let name = &stages.externals[index];
            let steps = stages.stages.iter().flat_map(|node| &node.steps);
            let step = steps
                .map(|step| &step.instruction)
                .find(|i| i.span.start <= name.span.start && name.span.end <= i.span.end);
            if let Some(instruction) = step {
                self.platform(name, self.ground.platform, instruction);
            }
        }
    }

    fn platform(&mut self, name: &Word, wanted: &Platform, instruction: &Instruction) {
        let Known::Image(config) = self.known(name, wanted) else {
            return;
        };
        // What a named context puts in the place of a name is the user's choice.
        let is_itself = !self.ground.input.options.contexts.contains_key(&name.text);
        let has_layers = !config.rootfs.diff_ids.is_empty()
            || config.history.iter().any(|entry| !entry.empty_layer);
        let found = config.platform();
        if !is_itself
            || !has_layers
            || (found.os == wanted.os && found.architecture == wanted.architecture)
        {
            return;
        }
        let message = format!(
            "Base image {} was pulled with platform \"{}\", expected \"{}\" for current build",
            name.text,
            found.normalized(),
            wanted.normalized()
        );
        let place = self.linter.file_place(instruction);
        self.linter.warn(
            &place,
            rule::INVALID_BASE_IMAGE_PLATFORM,
            name.span,
            message,
        );
    }

    fn known(&self, name: &Word, platform: &Platform) -> Known<'a> {
        let options = &self.ground.input.options;
        let Ok(External::Image(image)) = external::classify(name, options, platform) else {
            return Known::Nothing;
        };
        let key = (image.reference, platform.clone());
        if self.ground.unknown.contains(&key) {
            return Known::Unknown;
        }
        match self.ground.images.get(&key) {
            Some(image) => Known::Image(&image.config),
            None => Known::Unknown,
        }
    }

    /// Returns the state at the start of a stage.
    fn enter(&self, index: usize) -> State {
        let node = &self.ground.stages.stages[index];
        let platform = node.platform.as_ref().unwrap_or(self.ground.platform);
        let mut state = match &node.base {
            Base::Stage(base) => self.done[*base].clone().unwrap_or_else(|| fresh(true)),
            Base::Scratch => fresh(true),
            Base::External(name) => {
                let word = Word::new(name.clone(), node.base_word.span);
                match self.known(&word, platform) {
                    Known::Unknown => fresh(false),
                    Known::Nothing => fresh(true),
                    Known::Image(config) => of_image(config),
                }
            }
        };
        if platform.os != "windows" && !state.image_env.contains(PATH) {
            state.image_env.set(PATH, DEFAULT_PATH);
        }
        let State {
            image_env,
            variables,
            ..
        } = &mut state;
        for (name, value) in image_env.iter() {
            variables.set(name, value);
        }
        state
    }

    fn instruction(
        &mut self,
        index: usize,
        state: &mut State,
        once: &mut Once,
        instruction: &Instruction,
    ) -> Result<(), Diagnostic> {
        let escape = self.ground.dockerfile.escape;
        let mut check = Check::new(self.linter, instruction, self.ground.ignore, escape);
        match &instruction.kind {
            Kind::Arg(arguments) => self.arguments(index, state, instruction, arguments)?,
            Kind::Env(pairs) => {
                for (pair, name, value) in pairs_of(&mut check, state, pairs)? {
                    check.legacy(pair);
                    check.secret(&name, pair.key.span);
                    state.set_env(&name, &value);
                }
            }
            Kind::Label(pairs) => {
                for (pair, ..) in pairs_of(&mut check, state, pairs)? {
                    check.legacy(pair);
                }
            }
            Kind::Copy(transfer) | Kind::Add(transfer) => copy(&mut check, state, transfer)?,
            Kind::Run(run) => self.mounts(index, state, instruction, run)?,
            Kind::Workdir(word) => {
                let path = check.expand(state, word)?;
                check.workdir(state, word, &path);
            }
            Kind::User(word) | Kind::Stopsignal(word) => {
                check.expand(state, word)?;
            }
            Kind::Volume(words) => {
                for word in words {
                    check.expand(state, word)?;
                }
            }
            Kind::Expose(words) => expose(&mut check, state, words)?,
            Kind::Cmd(command) | Kind::Entrypoint(command) => {
                check.once(once);
                check.shell_form(state, command);
            }
            Kind::Healthcheck(_) => check.once(once),
            Kind::Shell(_) => state.has_shell = true,
            Kind::From(_) | Kind::Maintainer(_) | Kind::Onbuild(_) => {}
        }
        Ok(())
    }

    fn arguments(
        &mut self,
        index: usize,
        state: &mut State,
        instruction: &Instruction,
        arguments: &[Argument],
    ) -> Result<(), Diagnostic> {
        let escape = self.ground.dockerfile.escape;
        let mut check = Check::new(self.linter, instruction, self.ground.ignore, escape);
        let build_args = &self.ground.input.options.build_args;
        for argument in arguments {
            let name = &argument.key.text;
            check.secret(name, argument.key.span);
            let global = self.ground.scope.get(name);
            let (value, is_global) = match (build_args.get(name), &argument.default) {
                (Some(given), _) => (Some(given.clone()), false),
                (None, Some(default)) => (Some(check.expand(state, default)?), false),
                (None, None) => (global.map(str::to_owned), global.is_some()),
            };
            if let Some(value) = &value
                && !NOT_IN_ENVIRONMENT.contains(&name.as_str())
            {
                state.variables.set(name, value);
            }
            state.declared.insert(name.clone());
            let lines = check.place.lines;
            if !is_global {
                self.captures[index].defines((instruction, lines), name, value);
            }
            self.captures[index].uses_argument(name);
        }
        Ok(())
    }

    fn mounts(
        &mut self,
        index: usize,
        state: &State,
        instruction: &Instruction,
        run: &Run,
    ) -> Result<(), Diagnostic> {
        let escape = self.ground.dockerfile.escape;
        let mut check = Check::new(self.linter, instruction, self.ground.ignore, escape);
        for spec in &run.mounts {
            let expander = check.expander;
            let mount =
                spec.resolve(&mut |text| check.expand_text(state, expander, text, spec.span))?;
            let lines = check.place.lines;
            if let Some(id) = secret_id(&mount) {
                self.captures[index].secret(id, mount.required, lines);
            }
            if mount.kind == MountKind::Ssh {
                let id = mount.id.clone().unwrap_or_else(|| "default".to_owned());
                self.captures[index].agent(id, mount.required, lines);
            }
        }
        Ok(())
    }
}

/// Returns the name of the secret that a mount asks for.
fn secret_id(mount: &Mount) -> Option<String> {
    let from_target = || {
        let target = mount.target.as_deref()?;
        Some(crate::paths::base(target).to_owned())
    };
    let id = mount.source.clone().or_else(|| mount.id.clone());
    id.or_else(from_target)
        .filter(|_| mount.kind == MountKind::Secret)
}

fn fresh(is_base_known: bool) -> State {
    State {
        variables: Variables::default(),
        image_env: ImageEnv::default(),
        declared: BTreeSet::new(),
        is_base_known,
        has_shell: false,
        has_workdir: false,
    }
}

fn of_image(config: &ImageConfig) -> State {
    let mut state = fresh(true);
    for entry in &config.config.env {
        let (name, value) = entry.split_once('=').unwrap_or((entry, ""));
        state.image_env.set(name, value);
    }
    state.has_shell = !config.config.shell.is_empty();
    state
}

type ExpandedPair<'a> = (&'a Pair, String, String);

/// Expands a whole line against the variables before it.
fn pairs_of<'p>(
    check: &mut Check<'_, '_>,
    state: &State,
    pairs: &'p [Pair],
) -> Result<Vec<ExpandedPair<'p>>, Diagnostic> {
    let mut expanded = Vec::with_capacity(pairs.len());
    for pair in pairs {
        let name = check.expand(state, &pair.key)?;
        let value = check.expand(state, &pair.value)?;
        expanded.push((pair, name, value));
    }
    Ok(expanded)
}

fn copy(check: &mut Check<'_, '_>, state: &State, transfer: &Transfer) -> Result<(), Diagnostic> {
    let flags = [&transfer.chown, &transfer.chmod, &transfer.checksum];
    for word in flags.into_iter().flatten() {
        check.expand(state, word)?;
    }
    let mut sources = Vec::with_capacity(transfer.sources.len());
    for word in &transfer.sources {
        sources.push((check.expand(state, word)?, word.span));
    }
    check.expand(state, &transfer.destination)?;
    // Bodies know the backslash alone, and quotes are nothing special in them.
    let bodies = Expander {
        ignore_quotes: true,
        ..Expander::new('\\')
    };
    for inline in transfer.inline.iter().filter(|inline| inline.expand) {
        let body = Word::new(inline.content.clone(), inline.name.span);
        check.expand_with(state, bodies, &body)?;
    }
    for (source, span) in sources {
        check.ignored(transfer, &source, span);
    }
    Ok(())
}

/// Looks at the ports. Unset variables are no problem here. `Observed:` BuildKit 73ed6825.
fn expose(check: &mut Check<'_, '_>, state: &State, words: &[Word]) -> Result<(), Diagnostic> {
    let mut ports = Vec::new();
    let mut words: Vec<&Word> = words.iter().collect();
    words.sort_by(|a, b| a.text.cmp(&b.text));
    for word in words {
        let expanded = check.expander.expand(&word.text, &state.variables);
        let expanded = expanded.map_err(|error| Diagnostic::error(word.span, error.to_string()))?;
        ports.extend(expanded.words.into_iter().map(|port| (port, word.span)));
    }
    ports
        .iter()
        .try_for_each(|(port, span)| check.port(port, *span))
}
