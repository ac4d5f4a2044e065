// SPDX-License-Identifier: Apache-2.0
//! What a walk over the stages writes down for the outline.
//!
//! Rules
//! 1. An argument counts if its stage declares it or its FROM line uses it, together with the
//!    global arguments that its default is made of.
//! 2. A stage starts with what its base knew before its own instructions; those of the base are
//!    added by going to the base.
//! 3. Of several places that name the same thing the nearest to the target counts.
//!
//! `Observed:` BuildKit 73ed6825 `dockerfile2llb/outline.go`, `convert.go` `buildMetaArgs`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use oci::Platform;

use super::{Outline, OutlineArg, OutlineMount};
use crate::expand::Expander;
use crate::instruction::{Instruction, Kind};
use crate::lint::{self, Lines};
use crate::options::BuildOptions;
use crate::parse::Dockerfile;
use crate::scope;
use crate::span::SourceText;
use crate::stages::{Base, Origin, StageGraph};

/// What one stage uses.
#[derive(Clone, Debug, Default)]
pub(crate) struct Capture {
    /// What stands before the first FROM.
    global: Arc<BTreeMap<String, Known>>,
    /// What FROM lines use: of the bases, then its own.
    from: Vec<Arc<BTreeSet<String>>>,
    known: BTreeMap<String, Known>,
    used: BTreeSet<String>,
    secrets: BTreeMap<String, Mounted>,
    agents: BTreeMap<String, Mounted>,
}

#[derive(Clone, Debug)]
struct Known {
    value: String,
    description: String,
    lines: Lines,
    /// Arguments that its default was made of.
    needs: BTreeSet<String>,
}

#[derive(Clone, Copy, Debug)]
struct Mounted {
    required: bool,
    lines: Lines,
}

impl Capture {
    /// Returns what the arguments before the first FROM are.
    pub(crate) fn global(
        source: &SourceText,
        dockerfile: &Dockerfile,
        options: &BuildOptions,
        platform: &Platform,
    ) -> Self {
        let mut global: BTreeMap<String, Known> = BTreeMap::new();
        let mut scope = scope::platform_arguments(dockerfile, options, platform);
        let reader = Expander::new(dockerfile.escape);
        for instruction in &dockerfile.global_args {
            let Kind::Arg(arguments) = &instruction.kind else {
                continue;
            };
            let lines = Lines::of(source, instruction.span);
            for argument in arguments {
                let name = &argument.key.text;
                let given = options.build_args.get(name).cloned();
                let default = argument.default.as_ref().filter(|_| given.is_none());
                let expanded = default.and_then(|word| reader.expand(&word.text, &scope).ok());
                let (value, mut needs) = match expanded {
                    Some(expanded) => (Some(expanded.text), expanded.used),
                    None => (given, BTreeSet::new()),
                };
                if needs.remove(name)
                    && let Some(old) = global.get(name)
                {
                    needs.extend(old.needs.iter().cloned());
                }
                if let Some(value) = &value {
                    scope.set(name, value);
                }
                let known = Known {
                    value: value.unwrap_or_default(),
                    description: lint::description(instruction, name),
                    lines,
                    needs,
                };
                global.insert(name.clone(), known);
            }
        }
        Self {
            global: Arc::new(global),
            ..Self::default()
        }
    }

    /// Marks arguments that a FROM line uses.
    pub(crate) fn uses(&mut self, names: BTreeSet<String>) {
        self.from.push(Arc::new(names));
    }

    fn known(&self, name: &str) -> Option<&Known> {
        self.known.get(name).or_else(|| self.global.get(name))
    }

    /// Marks an argument that the stage declares.
    pub(crate) fn uses_argument(&mut self, name: &str) {
        self.used.insert(name.to_owned());
    }

    /// Replaces what is known of an argument.
    pub(crate) fn defines(
        &mut self,
        (instruction, lines): (&Instruction, Lines),
        name: &str,
        value: Option<String>,
    ) {
        let known = Known {
            value: value.unwrap_or_default(),
            description: lint::description(instruction, name),
            lines,
            needs: BTreeSet::new(),
        };
        self.known.insert(name.to_owned(), known);
    }

    pub(crate) fn secret(&mut self, id: String, required: bool, lines: Lines) {
        let mounted = Mounted { required, lines };
        self.secrets.entry(id).or_insert(mounted);
    }

    pub(crate) fn agent(&mut self, id: String, required: bool, lines: Lines) {
        let mounted = Mounted { required, lines };
        self.agents.entry(id).or_insert(mounted);
    }

    /// Returns the used arguments and all that their defaults are made of.
    fn closure(&self) -> BTreeSet<&str> {
        let mut found: BTreeSet<&str> = BTreeSet::new();
        let from = self.from.iter().flat_map(|names| names.iter());
        let mut open: Vec<&str> = self.used.iter().chain(from).map(String::as_str).collect();
        while let Some(name) = open.pop() {
            if found.insert(name)
                && let Some(known) = self.known(name)
            {
                open.extend(known.needs.iter().map(String::as_str));
            }
        }
        found
    }
}

/// Puts together what `target` and the stages that it needs use.
pub(crate) fn gather(stages: &StageGraph, captures: &[Capture], target: usize) -> Outline {
    let mut args: BTreeMap<&str, &Known> = BTreeMap::new();
    let mut secrets: BTreeMap<&str, Mounted> = BTreeMap::new();
    let mut agents: BTreeMap<&str, Mounted> = BTreeMap::new();
    let mut seen = vec![false; captures.len()];
    let mut open = vec![target];
    while let Some(index) = open.pop() {
        if std::mem::replace(&mut seen[index], true) {
            continue;
        }
        let capture = &captures[index];
        for name in capture.closure() {
            if let Some(known) = capture.known(name) {
                args.entry(name).or_insert(known);
            }
        }
        for (all, own) in [
            (&mut secrets, &capture.secrets),
            (&mut agents, &capture.agents),
        ] {
            for (id, mounted) in own {
                all.entry(id).or_insert(*mounted);
            }
        }
        // The base comes before the others.
        let node = &stages.stages[index];
        let origins = node.steps.iter().flat_map(|step| &step.origins);
        open.extend(origins.filter_map(|origin| match origin {
            Some(Origin::Stage(index)) => Some(*index),
            _ => None,
        }));
        if let Base::Stage(base) = node.base {
            open.push(base);
        }
    }
    let mut args: Vec<OutlineArg> = args
        .into_iter()
        .map(|(name, known)| OutlineArg {
            name: name.to_owned(),
            description: known.description.clone(),
            value: known.value.clone(),
            lines: known.lines,
        })
        .collect();
    args.sort_by_key(|arg| arg.lines.first);
    Outline {
        args,
        secrets: mounts(secrets),
        ssh: mounts(agents),
        ..Outline::default()
    }
}

fn mounts(found: BTreeMap<&str, Mounted>) -> Vec<OutlineMount> {
    let mut mounts: Vec<OutlineMount> = found
        .into_iter()
        .map(|(name, mounted)| OutlineMount {
            name: name.to_owned(),
            required: mounted.required,
            lines: mounted.lines,
        })
        .collect();
    mounts.sort_by_key(|mount| mount.lines.first);
    mounts
}
