// SPDX-License-Identifier: Apache-2.0
//! Parsed stages → stage graph: expands what FROM lines say and looks names up.

use oci::Platform;

use super::{Base, STAGES_MAX, StageGraph, StageNode, aliases};
use crate::context::{self, NamedContext};
use crate::diagnostic::Diagnostic;
use crate::expand::Expander;
use crate::instruction::Kind;
use crate::options::BuildOptions;
use crate::parse::{Dockerfile, Stage};
use crate::scope::Environment;
use crate::span::Word;
use crate::suggest;

/// Builds the graph. Problems are added to `problems`; without any the graph is complete.
pub(crate) fn build(
    dockerfile: &Dockerfile,
    options: &BuildOptions,
    scope: &Environment,
    target: &Platform,
    problems: &mut Vec<Diagnostic>,
) -> StageGraph {
    let mut graph = StageGraph {
        stages: Vec::with_capacity(dockerfile.stages.len()),
        externals: Vec::new(),
        external_indexes: std::collections::BTreeMap::new(),
        by_name: std::collections::BTreeMap::new(),
        aliases: aliases(options),
        alone: false,
    };
    if let Some(stage) = dockerfile.stages.get(STAGES_MAX) {
        let message = format!("more than {STAGES_MAX} stages");
        problems.push(Diagnostic::error(stage.instruction.span, message));
        return graph;
    }
    let reader = Reader {
        expander: Expander::new(dockerfile.escape),
        scope,
        options,
        target,
    };
    for stage in &dockerfile.stages {
        let node = reader.node(stage, &graph, problems);
        if let Some(name) = &node.name {
            graph.by_name.insert(name.clone(), graph.stages.len());
        }
        graph.stages.push(node);
    }
    for (index, stage) in dockerfile.stages.iter().enumerate() {
        if graph.stages[index].replaced {
            continue;
        }
        let steps = stage.instructions.iter();
        graph.stages[index].steps = steps
            .map(|i| graph.step(i.clone(), false, problems))
            .collect();
    }
    graph.alone = is_alone(&graph);
    graph
}

/// Tells whether the titles of steps need no stage. `Observed:` BuildKit 73ed6825 counts every mount
/// as something that is read from, whatever its type, and triggers not at all.
fn is_alone(graph: &StageGraph) -> bool {
    let [stage] = graph.stages.as_slice() else {
        return false;
    };
    let mounts = |kind: &Kind| matches!(kind, Kind::Run(run) if !run.mounts.is_empty());
    graph.externals.is_empty()
        && !stage
            .steps
            .iter()
            .any(|step| mounts(&step.instruction.kind))
}

struct Reader<'a> {
    expander: Expander,
    scope: &'a Environment,
    options: &'a BuildOptions,
    target: &'a Platform,
}

impl Reader<'_> {
    fn node(&self, stage: &Stage, graph: &StageGraph, problems: &mut Vec<Diagnostic>) -> StageNode {
        let platform = stage
            .from
            .platform
            .as_ref()
            .map(|word| self.platform(word))
            .transpose();
        let platform = keep(platform, problems).flatten();
        let replacement = self.replacement(stage, platform.as_ref());
        let base = match &replacement {
            Some(name) => Ok(Base::External(name.clone())),
            None => self.base(&stage.from.base, graph),
        };
        StageNode {
            name: stage.from.stage_name(),
            base: keep(base, problems).unwrap_or(Base::Scratch),
            platform,
            replaced: replacement.is_some(),
            steps: Vec::new(),
            span: stage.instruction.span,
            text: stage.instruction.text.clone(),
            base_word: stage.from.base.clone(),
            triggered: false,
        }
    }

    /// Returns the name of the context that stands in for a stage.
    fn replacement(&self, stage: &Stage, platform: Option<&Platform>) -> Option<String> {
        let name = stage.from.stage_name()?;
        let platform = platform.unwrap_or(self.target);
        let (_, context) = context::find(&name, platform, &self.options.contexts)?;
        (!matches!(context, NamedContext::Target(_))).then_some(name)
    }

    fn base(&self, word: &Word, graph: &StageGraph) -> Result<Base, Diagnostic> {
        let text = self.expand(word, "the base")?;
        if let Some(&index) = graph.by_name.get(graph.aliases.get(&text).unwrap_or(&text)) {
            return Ok(Base::Stage(index));
        }
        Ok(if text == "scratch" {
            Base::Scratch
        } else {
            Base::External(text)
        })
    }

    fn platform(&self, word: &Word) -> Result<Platform, Diagnostic> {
        let text = self.expand(word, "the platform")?;
        let platform: Platform = text.parse().map_err(|error: oci::ParsePlatformError| {
            Diagnostic::error(word.span, error.to_string())
                .help("write e.g. `linux/amd64` or `linux/arm/v7`")
        })?;
        Ok(platform.normalized())
    }

    fn expand(&self, word: &Word, what: &str) -> Result<String, Diagnostic> {
        let expanded = self
            .expander
            .expand(&word.text, self.scope)
            .map_err(|error| Diagnostic::expansion(word.span, &error))?;
        if !expanded.text.is_empty() {
            return Ok(expanded.text);
        }
        let message = format!("{what} `{}` is empty", word.text);
        let hint = expanded
            .unset
            .iter()
            .find_map(|name| suggest::nearest(name, self.scope.names()))
            .map(|near| format!("did you mean `${near}`?"));
        let general = "only ARGs before the first FROM and platform ARGs can be used here";
        Err(Diagnostic::error(word.span, message).help(hint.unwrap_or_else(|| general.to_owned())))
    }
}

fn keep<T>(result: Result<T, Diagnostic>, problems: &mut Vec<Diagnostic>) -> Option<T> {
    result.map_err(|problem| problems.push(problem)).ok()
}
