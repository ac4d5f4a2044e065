// SPDX-License-Identifier: Apache-2.0
//! Which stages a build needs, and why: for `kiln build --explain`.
//!
//! Asks for no image, so what ONBUILD triggers of a base image refer to is not known here.

use oci::Platform;

use crate::error::DockerfileError;
use crate::options::BuildInput;
use crate::parse;
use crate::scope;
use crate::stages::{self, Base, Origin, StageGraph};

/// A stage, and what it is needed for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageUse {
    /// Its name as in titles of steps: that of the file, or `stage-N`.
    pub name: String,
    /// What it starts from, as it was written.
    pub base: String,
    /// The platform that FROM names.
    pub platform: Option<Platform>,
    /// The line of its FROM, counted from 1.
    pub line: usize,
    /// Why it is built, if it is.
    pub need: Need,
}

/// Why a stage is built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Need {
    /// It is what was asked for.
    Target,
    /// A stage that is needed starts from it.
    Base {
        /// The name of that stage.
        of: String,
        /// The line of its FROM.
        line: usize,
    },
    /// A step of a stage that is needed reads from it.
    Source {
        /// The name of that stage.
        of: String,
        /// The line of the step.
        line: usize,
    },
    /// It is not.
    None,
}

/// Returns the stages of a Dockerfile in its order.
///
/// # Errors
///
/// All problems of the file that are known before a base image is asked for.
pub fn stages(input: &BuildInput) -> Result<Vec<StageUse>, DockerfileError> {
    let invalid = |problems| DockerfileError::invalid(&input.source, problems);
    let dockerfile = parse::parse(&input.source).map_err(invalid)?;
    let platform = input.options.platforms.first();
    let platform = platform.unwrap_or(&input.options.build_platform);
    let mut problems = Vec::new();
    let scope = scope::global(&dockerfile, &input.options, platform, &mut problems);
    let graph = stages::build(&dockerfile, &input.options, &scope, platform, &mut problems);
    if !problems.is_empty() || graph.stages.is_empty() {
        return Err(invalid(problems));
    }
    let name = input.options.target.as_deref();
    let target = graph.target(name.filter(|name| !name.is_empty()));
    let target = target.map_err(|hint| DockerfileError::UnknownTarget {
        target: name.unwrap_or_default().to_owned(),
        file: input.source.name().to_owned(),
        hint,
    })?;
    let line = |offset: usize| input.source.position(offset).line;
    let reached = graph.reachable(target);
    let uses = graph.stages.iter().enumerate().map(|(index, stage)| {
        let need = match reached[index] {
            true if index == target => Need::Target,
            true => need(&graph, &reached, index, &line),
            false => Need::None,
        };
        StageUse {
            name: label(&graph, index),
            base: stage.base_word.text.clone(),
            platform: stage.platform.clone(),
            line: line(stage.span.start),
            need,
        }
    });
    Ok(uses.collect())
}

fn label(graph: &StageGraph, index: usize) -> String {
    let name = graph.stages[index].name.clone();
    name.unwrap_or_else(|| format!("stage-{index}"))
}

/// Returns the first use of a stage by one that is needed.
fn need(graph: &StageGraph, reached: &[bool], index: usize, line: &dyn Fn(usize) -> usize) -> Need {
    let users = graph.stages.iter().enumerate();
    for (user, stage) in users.filter(|(user, _)| reached[*user]) {
        let of = label(graph, user);
        if stage.base == Base::Stage(index) {
            let line = line(stage.span.start);
            return Need::Base { of, line };
        }
        let reads = |origin: &Option<Origin>| *origin == Some(Origin::Stage(index));
        if let Some(step) = stage
            .steps
            .iter()
            .find(|step| step.origins.iter().any(reads))
        {
            let line = line(step.instruction.span.start);
            return Need::Source { of, line };
        }
    }
    Need::None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::BuildOptions;
    use crate::span::SourceText;

    fn needs(text: &str, target: Option<&str>) -> Vec<(String, Need)> {
        let mut input = BuildInput {
            source: SourceText::new("Dockerfile", text),
            dockerignore: None,
            options: BuildOptions::new(Platform::new("linux", "amd64", None)),
        };
        input.options.target = target.map(str::to_owned);
        let found = stages(&input).unwrap().into_iter();
        found.map(|stage| (stage.name, stage.need)).collect()
    }

    #[test]
    fn every_stage_has_a_reason_or_none() {
        let text = "FROM a AS base\nFROM base AS build\nFROM b AS docs\nFROM base AS test\n\
                    FROM scratch\nRUN --mount=from=docs,target=/d true\nCOPY --from=build /x /\n";
        let of = |of: &str, line| (of.to_owned(), line);
        let base = |name, line| {
            let (of, line) = of(name, line);
            Need::Base { of, line }
        };
        let source = |name, line| {
            let (of, line) = of(name, line);
            Need::Source { of, line }
        };
        let named = |list: Vec<(&str, Need)>| -> Vec<(String, Need)> {
            let list = list.into_iter();
            list.map(|(name, need)| (name.to_owned(), need)).collect()
        };
        assert_eq!(
            needs(text, None),
            named(vec![
                ("base", base("build", 2)),
                ("build", source("stage-4", 7)),
                ("docs", source("stage-4", 6)),
                ("test", Need::None),
                ("stage-4", Need::Target),
            ])
        );
        assert_eq!(
            needs(text, Some("test")),
            named(vec![
                ("base", base("test", 4)),
                ("build", Need::None),
                ("docs", Need::None),
                ("test", Need::Target),
                ("stage-4", Need::None),
            ])
        );
    }
}
