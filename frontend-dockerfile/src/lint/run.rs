// SPDX-License-Identifier: Apache-2.0
//! All rules over one file, in order.
//!
//! A file that cannot be built has warnings all the same: those found before the problem.

use std::sync::Arc;

use graph::{Frontend as _, ImageResolver, SourceFile, SourceTimes};
use oci::{Platform, Reference};

use super::bases::{BaseImages, Bases};
use super::comments;
use super::config::LintConfig;
use super::file;
use super::from::{self, FromLines, Used};
use super::rule::{RULES, Rule};
use super::stage::Ignore;
use super::walk::{Ground, Walk};
use super::warning::{Linter, Warning};
use crate::diagnostic::Diagnostic;
use crate::error::DockerfileError;
use crate::frontend::{DockerfileFrontend, FoundEpoch, PlatformBuild, read_ignore};
use crate::instruction::Instruction;
use crate::lines;
use crate::options::BuildInput;
use crate::outline::{Capture, Outline, gather};
use crate::parse::{self, Dockerfile};
use crate::scope;
use crate::stages;

/// The build argument that configures the rules, over the line in the file. Docs: BuildKit.
const CONFIG_ARG: &str = "BUILDKIT_DOCKERFILE_CHECK";

/// Which stages are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Those that the target needs; all of them if no target is named. The platform is the
    /// machine's, whatever is asked for. `Observed:` BuildKit's answer to `frontend.lint`.
    Check,
    /// Those that the target needs, for the first platform: the warnings of a build.
    Build,
}

/// What the rules found.
#[derive(Debug)]
pub struct Lint {
    /// The warnings, in the order in which BuildKit finds them.
    pub warnings: Vec<Warning>,
    /// Why the file cannot be built, as far as the rules had to know.
    pub error: Option<DockerfileError>,
    /// Whether warnings are errors.
    pub is_strict: bool,
    /// Base images that could not be looked up, in order of their names.
    pub unknown: Vec<Reference>,
}

/// Looks at a file with all rules that it leaves on.
///
/// # Cancellation
///
/// Nothing stays behind but what `resolver` already downloaded.
pub async fn lint<R: ImageResolver + SourceTimes>(
    input: &BuildInput,
    scope: Scope,
    images: BaseImages,
    resolver: &R,
) -> Lint {
    let mut found = Lint {
        warnings: Vec::new(),
        error: None,
        is_strict: false,
        unknown: Vec::new(),
    };
    let reading = parse::read(&input.source);
    let dockerfile = reading.dockerfile;
    let config = match config(input, &dockerfile) {
        Ok(config) => config,
        Err(error) => {
            found.error = Some(error);
            return found;
        }
    };
    found.is_strict = config.error;
    let mut linter = Linter::new(&input.source, config);
    if let Some(first) = reading.problems.first() {
        before_problem(&mut linter, dockerfile, first);
        found.warnings = linter.found;
        found.error = Some(DockerfileError::invalid(&input.source, reading.problems));
        return found;
    }
    let survey = Survey {
        input,
        dockerfile: &dockerfile,
        scope,
    };
    let bases = Bases::new(resolver, images);
    found.error = survey.run(&mut linter, &bases).await.err();
    found.warnings = linter.found;
    let unknown = bases.unknown().into_iter();
    found.unknown = unknown.map(|(reference, _)| reference).collect();
    if found.error.is_none() && scope == Scope::Check {
        found.error = rest(input, &bases).await.err();
    }
    if found.error.is_none() && found.is_strict && !found.warnings.is_empty() {
        found.error = Some(violations(&found.warnings));
    }
    found
}

/// Checks the lines of a broken file: all that stand before its first problem, none if it cannot
/// even be taken apart into lines.
fn before_problem(linter: &mut Linter<'_>, mut dockerfile: Dockerfile, first: &Diagnostic) {
    let mut of_lines = Vec::new();
    lines::split(linter.source, &mut of_lines);
    if !of_lines.is_empty() {
        return;
    }
    let is_before = |instruction: &Instruction| instruction.span.end <= first.span.start;
    dockerfile.global_args.retain(is_before);
    dockerfile
        .stages
        .retain(|stage| is_before(&stage.instruction));
    for stage in &mut dockerfile.stages {
        stage.instructions.retain(is_before);
    }
    file::lines(linter, &dockerfile);
}

/// Looks for what makes a build impossible and is no business of the rules.
async fn rest<R: ImageResolver + SourceTimes>(
    input: &BuildInput,
    bases: &Bases<'_, R>,
) -> Result<(), DockerfileError> {
    let mut input = input.clone();
    input.options.platforms.clear();
    DockerfileFrontend.lower(&input, bases).await.map(drop)
}

/// Returns the error of a file whose warnings are errors.
fn violations(warnings: &[Warning]) -> DockerfileError {
    let broken = |rule: &&Rule| warnings.iter().any(|warning| warning.rule == *rule);
    let rules = RULES.iter().filter(broken);
    DockerfileError::Violations(rules.map(|rule| rule.name).collect())
}

/// Returns what the target of a build takes.
pub(crate) async fn outline<R: ImageResolver>(
    input: &BuildInput,
    resolver: &R,
) -> Result<Outline, DockerfileError> {
    let parsed = parse::parse(&input.source);
    let dockerfile =
        parsed.map_err(|problems| DockerfileError::invalid(&input.source, problems))?;
    let survey = Survey {
        input,
        dockerfile: &dockerfile,
        scope: Scope::Build,
    };
    let mut linter = Linter::new(&input.source, LintConfig::default());
    let bases = Bases::new(resolver, BaseImages::Required);
    let (mut outline, target) = survey.run(&mut linter, &bases).await?;
    let stage = &dockerfile.stages[target];
    outline.name = stage.from.stage_name().unwrap_or_default();
    outline.description = comments::description(&stage.instruction, &outline.name);
    Ok(outline)
}

fn config(input: &BuildInput, dockerfile: &Dockerfile) -> Result<LintConfig, DockerfileError> {
    let in_file = dockerfile.directives.check.as_ref();
    let given = input.options.build_args.get(CONFIG_ARG);
    let written = in_file.map(|check| comments::first_word(&check.value.text));
    let Some(text) = given.map(String::as_str).or(written) else {
        return Ok(LintConfig::default());
    };
    text.parse().map_err(|error| match (given, in_file) {
        (None, Some(directive)) => DockerfileError::invalid(
            &input.source,
            vec![Diagnostic::error(directive.value.span, format!("{error}"))],
        ),
        _ => DockerfileError::CheckConfig(error),
    })
}

/// One file on its way through the rules.
struct Survey<'a> {
    input: &'a BuildInput,
    dockerfile: &'a Dockerfile,
    scope: Scope,
}

impl Survey<'_> {
    /// Returns the outline of the target, and which stage that is.
    async fn run<R: ImageResolver>(
        &self,
        linter: &mut Linter<'_>,
        bases: &Bases<'_, R>,
    ) -> Result<(Outline, usize), DockerfileError> {
        let (input, dockerfile) = (self.input, self.dockerfile);
        let options = &input.options;
        let platform = self.platform();
        let ignore = read_ignore(input)?;
        file::lines(linter, dockerfile);
        file::whole(linter, dockerfile);
        from::defaults(linter, dockerfile, options, &platform);
        let mut problems = Vec::new();
        let scope = scope::global(dockerfile, options, &platform, &mut problems);
        if !problems.is_empty() {
            return Err(self.invalid(problems));
        }
        let used = self.check_from(linter, &scope);
        let mut stages = stages::build(dockerfile, options, &scope, &platform, &mut problems);
        // A FROM line that is wrong for the rules alone does not exist: the graph saw it too.
        let used = match used {
            Ok(used) if problems.is_empty() => used,
            Ok(_) => return Err(self.invalid(problems)),
            Err(problem) => {
                if problems.is_empty() {
                    problems.push(problem);
                }
                return Err(self.invalid(problems));
            }
        };
        let file = Arc::new(SourceFile {
            name: input.source.name().to_owned(),
            text: input.source.text().to_owned(),
        });
        let build = PlatformBuild {
            input,
            dockerfile,
            problems: &[],
            ignore: &ignore,
            file: &file,
            platform: &platform,
            explicit: self.scope == Scope::Build && !options.platforms.is_empty(),
            multi: false,
            all_stages: self.all_stages(),
            found_epoch: FoundEpoch::NotAsked,
        };
        let target = build.target(&stages)?;
        problems.extend(stages.check(target));
        if !problems.is_empty() {
            return Err(self.invalid(problems));
        }
        let images = build.resolve(&mut stages, target, bases).await?;
        let mut captures = self.captures(&stages, used);
        let reached = build.reached(&stages, target);
        let ground = Ground {
            input,
            dockerfile,
            ignore: Ignore::new(&ignore),
            scope: &scope,
            stages: &stages,
            images: &images,
            unknown: &bases.unknown(),
            platform: &platform,
            reached: &reached,
            all_stages: self.all_stages(),
        };
        Walk::new(ground, linter, &mut captures)
            .run()
            .map_err(|problem| self.invalid(vec![problem]))?;
        Ok((gather(&stages, &captures, target), target))
    }

    /// Without a target, `--check` looks at everything.
    fn all_stages(&self) -> bool {
        let target = self.input.options.target.as_deref();
        self.scope == Scope::Check && target.is_none_or(str::is_empty)
    }

    fn platform(&self) -> Platform {
        let options = &self.input.options;
        let asked = options.platforms.first();
        let asked = asked.filter(|_| self.scope == Scope::Build);
        asked.unwrap_or(&options.build_platform).normalized()
    }

    fn check_from(
        &self,
        linter: &mut Linter<'_>,
        scope: &scope::Environment,
    ) -> Result<Vec<Used>, Diagnostic> {
        let lines = FromLines::new(self.dockerfile, scope);
        let stages = self.dockerfile.stages.iter();
        stages.map(|stage| lines.check(linter, stage)).collect()
    }

    /// Returns what is captured of every stage before its instructions are looked at.
    fn captures(&self, stages: &stages::StageGraph, used: Vec<Used>) -> Vec<Capture> {
        let options = &self.input.options;
        let platform = self.platform();
        let global = Capture::global(&self.input.source, self.dockerfile, options, &platform);
        let mut captures: Vec<Capture> = Vec::with_capacity(used.len());
        for (node, used) in stages.stages.iter().zip(used) {
            let mut capture = match node.base {
                stages::Base::Stage(base) => captures[base].clone(),
                _ => global.clone(),
            };
            capture.uses(used);
            captures.push(capture);
        }
        captures
    }

    fn invalid(&self, problems: Vec<Diagnostic>) -> DockerfileError {
        DockerfileError::invalid(&self.input.source, problems)
    }
}
