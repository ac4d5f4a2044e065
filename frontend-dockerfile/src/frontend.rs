// SPDX-License-Identifier: Apache-2.0
//! The frontend: text and options → plan, asking for base images on the way.
//!
//! Order: parse, global scope, stage graph; then for each platform resolve what is reached, add
//! ONBUILD triggers of what was found, again until nothing new is reached; then lower. Nothing is
//! asked for before the file and its stages have been checked.

use std::sync::Arc;

use futures_util::future::join_all;
use graph::{Frontend, Graph, ImageResolver, Plan, PlanTarget, ResolveError, SourceFile};
use oci::{Platform, Reference};

use crate::diagnostic::Diagnostic;
use crate::error::DockerfileError;
use crate::expand::Variables;
use crate::foresee;
use crate::instruction::mount::parse_bool;
use crate::lower::external::{self, External, Images};
use crate::lower::{Sources, lower};

use crate::options::BuildInput;
use crate::parse::{self, Dockerfile, Reading};
use crate::scope::{self, Environment};
use crate::span::{Span, Word};
use crate::stages::{self, Base, StageGraph};
use crate::suggest;
use graph::pattern::Patterns;

/// The build argument and global ARG that fixes all times.
const EPOCH_ARG: &str = "SOURCE_DATE_EPOCH";
/// The build argument that makes an index of one image too.
const MULTI_PLATFORM_ARG: &str = "BUILDKIT_MULTI_PLATFORM";

/// Lowers Dockerfiles.
#[derive(Clone, Copy, Debug, Default)]
pub struct DockerfileFrontend;

impl Frontend for DockerfileFrontend {
    type Input = BuildInput;
    type Error = DockerfileError;

    async fn lower<R: ImageResolver>(
        &self,
        input: &BuildInput,
        resolver: &R,
    ) -> Result<Plan, DockerfileError> {
        let Reading {
            dockerfile,
            problems,
            stages_known,
        } = parse::read(&input.source);
        if !stages_known {
            return Err(DockerfileError::invalid(&input.source, problems));
        }
        let ignore = read_ignore(input)?;
        let file = Arc::new(SourceFile {
            name: input.source.name().to_owned(),
            text: input.source.text().to_owned(),
        });
        let explicit = !input.options.platforms.is_empty();
        let platforms = if explicit {
            input.options.platforms.clone()
        } else {
            vec![input.options.build_platform.clone()]
        };
        let mut plan = Plan {
            graph: Graph::new(),
            targets: Vec::new(),
            multi_platform: multi_platform(input, platforms.len())?,
            source_date_epoch: None,
        };
        for platform in &platforms {
            let build = PlatformBuild {
                input,
                dockerfile: &dockerfile,
                problems: &problems,
                ignore: &ignore,
                file: &file,
                platform: &platform.normalized(),
                explicit,
                multi: plan.multi_platform,
            };
            let (target, epoch) = build.lower(resolver, &mut plan.graph).await?;
            plan.targets.push(target);
            plan.source_date_epoch = epoch;
        }
        Ok(plan)
    }
}

/// Tells whether the result is an index. Docs: BuildKit's `BUILDKIT_MULTI_PLATFORM`, read as Go
/// reads truth values.
fn multi_platform(input: &BuildInput, platforms: usize) -> Result<bool, DockerfileError> {
    let several = platforms > 1;
    let value = input.options.build_args.get(MULTI_PLATFORM_ARG);
    let Some(value) = value.filter(|value| !value.is_empty()) else {
        return Ok(several);
    };
    let refused = |platforms| DockerfileError::MultiPlatform {
        value: value.clone(),
        platforms,
    };
    match parse_bool(value) {
        Some(false) if several => Err(refused(platforms)),
        Some(wanted) => Ok(wanted),
        None => Err(refused(1)),
    }
}

fn read_ignore(input: &BuildInput) -> Result<Patterns, DockerfileError> {
    let Some(source) = &input.dockerignore else {
        return Ok(Patterns::default());
    };
    Patterns::parse(source.text()).map_err(|error| DockerfileError::Ignore {
        file: source.name().to_owned(),
        excerpt: error.line().map_or_else(String::new, |line| {
            Diagnostic::error(source.line_span(line), "").excerpt(source)
        }),
        source: error,
    })
}

/// The build for one platform.
struct PlatformBuild<'a> {
    input: &'a BuildInput,
    dockerfile: &'a Dockerfile,
    /// Those of the text itself: with any, nothing is built, but the rest is checked too.
    problems: &'a [Diagnostic],
    ignore: &'a Patterns,
    file: &'a Arc<SourceFile>,
    platform: &'a Platform,
    explicit: bool,
    multi: bool,
}

/// An image to ask for, and where its name stands.
struct Wanted {
    reference: Reference,
    platform: Platform,
    span: Span,
}

impl PlatformBuild<'_> {
    async fn lower<R: ImageResolver>(
        &self,
        resolver: &R,
        graph: &mut Graph,
    ) -> Result<(PlanTarget, Option<i64>), DockerfileError> {
        let mut problems = self.problems.to_vec();
        let scope = scope::global(
            self.dockerfile,
            &self.input.options,
            self.platform,
            &mut problems,
        );
        let mut stages = stages::build(self.dockerfile, &self.input.options, &scope, &mut problems);
        if stages.stages.is_empty() {
            return Err(self.invalid(problems));
        }
        let target = match self.target(&stages) {
            Err(_) if !problems.is_empty() => return Err(self.invalid(problems)),
            target => target?,
        };
        problems.extend(stages.check(target));
        problems.extend(self.foresee(&stages, target, &scope));
        if !problems.is_empty() {
            return Err(self.invalid(problems));
        }
        let epoch = self.epoch(&scope)?;
        let images = self.resolve(&mut stages, target, resolver).await?;
        let sources = Sources {
            input: self.input,
            file: self.file,
            ignore: self.ignore,
            escape: self.dockerfile.escape,
            scope: &scope,
            stages: &stages,
            images: &images,
            platform: self.platform,
            explicit_platform: self.explicit,
            multi_platform: self.multi,
            target,
            epoch,
        };
        let target = lower(sources, graph).map_err(|problems| self.invalid(problems))?;
        Ok((target, epoch))
    }

    /// Finds problems of steps before anything is asked: as far as they do not depend on what the
    /// base images say.
    fn foresee(&self, stages: &StageGraph, target: usize, scope: &Environment) -> Vec<Diagnostic> {
        let mut stages = stages.clone();
        let mut problems = foresee::names(&stages, &self.input.options, self.platform);
        if !problems.is_empty() {
            return problems;
        }
        foresee::add_triggers(&mut stages, target, &mut problems);
        problems.extend(stages.check(target));
        let Ok(wanted) = self.wanted(&stages, target, &Images::new()) else {
            return problems;
        };
        let images = wanted
            .into_iter()
            .map(|one| ((one.reference, one.platform), foresee::unknown_image()))
            .collect();
        let sources = Sources {
            input: self.input,
            file: self.file,
            ignore: self.ignore,
            escape: self.dockerfile.escape,
            scope,
            stages: &stages,
            images: &images,
            platform: self.platform,
            explicit_platform: self.explicit,
            multi_platform: self.multi,
            target,
            epoch: None,
        };
        let found = lower(sources, &mut Graph::new()).err().unwrap_or_default();
        problems.extend(foresee::certain(found, &self.input.source, &stages));
        problems
    }

    fn invalid(&self, problems: Vec<Diagnostic>) -> DockerfileError {
        DockerfileError::invalid(&self.input.source, problems)
    }

    fn target(&self, stages: &StageGraph) -> Result<usize, DockerfileError> {
        let name = self
            .input
            .options
            .target
            .as_deref()
            .filter(|name| !name.is_empty());
        stages
            .target(name)
            .map_err(|hint| DockerfileError::UnknownTarget {
                target: name.unwrap_or_default().to_owned(),
                file: self.input.source.name().to_owned(),
                hint,
            })
    }

    fn epoch(&self, scope: &Environment) -> Result<Option<i64>, DockerfileError> {
        let given = self
            .input
            .options
            .build_args
            .get(EPOCH_ARG)
            .map(String::as_str);
        match given.or_else(|| scope.get(EPOCH_ARG)) {
            None | Some("") => Ok(None),
            Some(text) => text
                .parse()
                .map(Some)
                .map_err(|_| DockerfileError::Epoch(text.to_owned())),
        }
    }

    /// Asks for every image that the target needs, and adds the triggers of those found.
    async fn resolve<R: ImageResolver>(
        &self,
        stages: &mut StageGraph,
        target: usize,
        resolver: &R,
    ) -> Result<Images, DockerfileError> {
        let mut images = Images::new();
        loop {
            let wanted = self.wanted(stages, target, &images)?;
            let mode = self.input.options.resolve_mode;
            let asked = wanted
                .iter()
                .map(|one| resolver.resolve(&one.reference, &one.platform, mode));
            let answers = join_all(asked).await;
            for (one, answer) in wanted.into_iter().zip(answers) {
                let image = answer.map_err(|error| self.base_image(one.span, error))?;
                images.insert((one.reference, one.platform), image);
            }
            if !self.add_triggers(stages, target, &images)? {
                return Ok(images);
            }
        }
    }

    fn base_image(&self, span: Span, error: ResolveError) -> DockerfileError {
        let source = &self.input.source;
        let problem = Diagnostic::error(span, "");
        DockerfileError::BaseImage {
            place: format!("{}:{}", source.name(), source.position(span.start)),
            excerpt: problem.excerpt(source),
            hint: self.meant_stage(&error),
            source: Box::new(error),
        }
    }

    /// Returns the hint that an image which does not exist was meant to be a stage.
    fn meant_stage(&self, error: &ResolveError) -> Option<String> {
        let (ResolveError::NotFound { reference, .. } | ResolveError::Failed { reference, .. }) =
            error
        else {
            return None;
        };
        let familiar = reference.familiar();
        let name = familiar.strip_suffix(":latest").unwrap_or(&familiar);
        let stages = self.dockerfile.stages.iter();
        let names: Vec<String> = stages.filter_map(|stage| stage.from.stage_name()).collect();
        if name.bytes().all(|b| b.is_ascii_digit()) {
            return Some("mounts know stages by their names only".to_owned());
        }
        let near = suggest::nearest(name, names.iter().map(String::as_str))?;
        Some(format!("did you mean the stage `{near}`?"))
    }

    /// Returns the images that reached stages need and that were not asked for yet.
    fn wanted(
        &self,
        stages: &StageGraph,
        target: usize,
        known: &Images,
    ) -> Result<Vec<Wanted>, DockerfileError> {
        let reached = stages.reachable(target);
        let mut names: Vec<(Word, Platform)> = Vec::new();
        for (stage, _) in stages
            .stages
            .iter()
            .zip(&reached)
            .filter(|(_, reached)| **reached)
        {
            if let Base::External(name) = &stage.base {
                let platform = stage.platform.as_ref().unwrap_or(self.platform);
                names.push((
                    Word::new(name.clone(), stage.base_word.span),
                    platform.clone(),
                ));
            }
        }
        for index in stages.reached_externals(&reached) {
            names.push((stages.externals[index].clone(), self.platform.clone()));
        }
        let mut wanted: Vec<Wanted> = Vec::new();
        let mut problems = Vec::new();
        for (name, platform) in names {
            match external::classify(&name, &self.input.options, &platform) {
                Ok(External::Image(reference)) => {
                    let key = (reference, platform);
                    let asked = wanted
                        .iter()
                        .any(|one| one.reference == key.0 && one.platform == key.1);
                    if !asked && !known.contains_key(&key) {
                        wanted.push(Wanted {
                            reference: key.0,
                            platform: key.1,
                            span: name.span,
                        });
                    }
                }
                Ok(_) => {}
                Err(problem) => problems.push(problem),
            }
        }
        if problems.is_empty() {
            Ok(wanted)
        } else {
            Err(self.invalid(problems))
        }
    }

    /// Adds the triggers of reached stages; returns whether something new may be needed now.
    fn add_triggers(
        &self,
        stages: &mut StageGraph,
        target: usize,
        images: &Images,
    ) -> Result<bool, DockerfileError> {
        let reached = stages.reachable(target);
        let mut problems = Vec::new();
        let mut any = false;
        for (index, _) in reached.iter().enumerate().filter(|(_, reached)| **reached) {
            let stage = &stages.stages[index];
            let mut triggers = Vec::new();
            if let Base::External(name) = &stage.base {
                let platform = stage.platform.as_ref().unwrap_or(self.platform).clone();
                let name = Word::new(name.clone(), stage.base_word.span);
                if let Ok(External::Image(reference)) =
                    external::classify(&name, &self.input.options, &platform)
                {
                    let image = images.get(&(reference, platform));
                    triggers = image
                        .map(|image| image.config.config.on_build.clone())
                        .unwrap_or_default();
                }
            }
            any |= stages.add_triggers(index, &triggers, &mut problems);
        }
        if any {
            problems.extend(stages.check(target));
        }
        if problems.is_empty() {
            Ok(any)
        } else {
            Err(self.invalid(problems))
        }
    }
}
