// SPDX-License-Identifier: Apache-2.0
//! The frontend: text and options → plan, asking for base images on the way.
//!
//! Order: parse, global scope, stage graph; then for each platform resolve what is reached, add
//! ONBUILD triggers of what was found, again until nothing new is reached; then lower. Nothing is
//! asked for before the file and its stages have been checked.

use std::sync::Arc;

use futures_util::future::join_all;
use graph::{
    Frontend, Graph, ImageResolver, Plan, PlanTarget, ResolveError, SourceFile, SourceTimes,
};
use oci::Platform;

use crate::diagnostic::Diagnostic;
use crate::epoch::{EPOCH_ARG, Epoch, EpochNames, EpochProblem};
use crate::error::DockerfileError;
use crate::expand::Variables;
use crate::foresee;
use crate::instruction::mount::parse_bool;
use crate::lower::external::{self, External, ExternalImage, Images};
use crate::lower::{Sources, lower};

use crate::options::BuildInput;
use crate::parse::{self, Dockerfile, Reading};
use crate::scope::{self, Environment};
use crate::span::{Span, Word};
use crate::stages::{self, Base, StageGraph};
use crate::suggest;
use graph::pattern::Patterns;

/// The build argument that makes an index of one image too.
const MULTI_PLATFORM_ARG: &str = "BUILDKIT_MULTI_PLATFORM";

/// Lowers Dockerfiles.
#[derive(Clone, Copy, Debug, Default)]
pub struct DockerfileFrontend;

impl Frontend for DockerfileFrontend {
    type Input = BuildInput;
    type Error = DockerfileError;

    async fn lower<R: ImageResolver + SourceTimes>(
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
        if let Err(message) = input.options.context.source(&input.options) {
            return Err(DockerfileError::Context(message));
        }
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
                all_stages: false,
                found_epoch: FoundEpoch::NotAsked,
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

pub(crate) fn read_ignore(input: &BuildInput) -> Result<Patterns, DockerfileError> {
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
#[derive(Clone, Copy)]
pub(crate) struct PlatformBuild<'a> {
    pub(crate) input: &'a BuildInput,
    pub(crate) dockerfile: &'a Dockerfile,
    /// Those of the text itself: with any, nothing is built, but the rest is checked too.
    pub(crate) problems: &'a [Diagnostic],
    pub(crate) ignore: &'a Patterns,
    pub(crate) file: &'a Arc<SourceFile>,
    pub(crate) platform: &'a Platform,
    pub(crate) explicit: bool,
    pub(crate) multi: bool,
    /// Whether the bases of stages that the target does not need are asked for too.
    pub(crate) all_stages: bool,
    /// The time of what `SOURCE_DATE_EPOCH` names, once it was asked for.
    pub(crate) found_epoch: FoundEpoch,
}

/// The answer to what time the source has that `SOURCE_DATE_EPOCH` names.
#[derive(Clone, Copy)]
pub(crate) enum FoundEpoch {
    NotAsked,
    Timeless,
    Time(i64),
}

/// What a file says before anything is asked.
struct Checked {
    scope: Environment,
    stages: StageGraph,
    target: usize,
}

/// An image to ask for, and where its name stands.
struct Wanted {
    image: ExternalImage,
    platform: Platform,
    span: Span,
}

impl PlatformBuild<'_> {
    async fn lower<R: ImageResolver + SourceTimes>(
        &self,
        resolver: &R,
        graph: &mut Graph,
    ) -> Result<(PlanTarget, Option<i64>), DockerfileError> {
        let checked = self.check()?;
        let epoch = match self.epoch(&checked.scope)? {
            Epoch::Unset => None,
            Epoch::Time(seconds) => Some(seconds),
            Epoch::Of(source) => resolver.time(&source).await?,
        };
        let text = checked.scope.get(EPOCH_ARG);
        let given = self.input.options.build_args.get(EPOCH_ARG);
        let is_name = |text: &str| text.parse::<i64>().is_err();
        if !text.is_some_and(is_name) && !given.is_some_and(|text| is_name(text)) {
            return self.lower_checked(checked, epoch, resolver, graph).await;
        }
        // From here on the file sees the time in place of the name.
        let mut input = self.input.clone();
        let args = &mut input.options.build_args;
        match (args.contains_key(EPOCH_ARG), epoch) {
            (true, Some(time)) => drop(args.insert(EPOCH_ARG.to_owned(), time.to_string())),
            (true, None) => drop(args.remove(EPOCH_ARG)),
            (false, _) => {}
        }
        let build = PlatformBuild {
            input: &input,
            found_epoch: epoch.map_or(FoundEpoch::Timeless, FoundEpoch::Time),
            ..*self
        };
        let checked = build.check()?;
        build.lower_checked(checked, epoch, resolver, graph).await
    }

    async fn lower_checked<R: ImageResolver>(
        &self,
        mut checked: Checked,
        epoch: Option<i64>,
        resolver: &R,
        graph: &mut Graph,
    ) -> Result<(PlanTarget, Option<i64>), DockerfileError> {
        let target = checked.target;
        let images = self.resolve(&mut checked.stages, target, resolver).await?;
        let sources = Sources {
            input: self.input,
            file: self.file,
            ignore: self.ignore,
            escape: self.dockerfile.escape,
            scope: &checked.scope,
            stages: &checked.stages,
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

    /// Reads the global scope and the stages, and reports what is wrong with them.
    fn check(&self) -> Result<Checked, DockerfileError> {
        let mut problems = self.problems.to_vec();
        let options = &self.input.options;
        let mut scope = scope::global(self.dockerfile, options, self.platform, &mut problems);
        match self.found_epoch {
            FoundEpoch::Time(time) if scope.get(EPOCH_ARG).is_some() => {
                scope.set(EPOCH_ARG, &time.to_string());
            }
            FoundEpoch::Timeless => scope = scope.without(EPOCH_ARG),
            _ => {}
        }
        let stages = stages::build(
            self.dockerfile,
            options,
            &scope,
            self.platform,
            &mut problems,
        );
        if stages.stages.is_empty() {
            return Err(self.invalid(problems));
        }
        let target = match self.target(&stages) {
            Err(_) if !problems.is_empty() => return Err(self.invalid(problems)),
            target => target?,
        };
        problems.extend(stages.check(target));
        problems.extend(self.foresee(&stages, target, &scope));
        if problems.is_empty() {
            Ok(Checked {
                scope,
                stages,
                target,
            })
        } else {
            Err(self.invalid(problems))
        }
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
            .map(|one| {
                (
                    (one.image.reference, one.platform),
                    foresee::unknown_image(),
                )
            })
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

    pub(crate) fn target(&self, stages: &StageGraph) -> Result<usize, DockerfileError> {
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

    fn epoch(&self, scope: &Environment) -> Result<Epoch, DockerfileError> {
        let names = EpochNames {
            dockerfile: self.dockerfile,
            options: &self.input.options,
            scope,
        };
        names.read().map_err(|problem| match problem {
            EpochProblem::Unknown(text) => DockerfileError::Epoch(text),
            EpochProblem::Unfit(problem) => self.invalid(vec![problem]),
        })
    }

    /// Asks for every image that the target needs, and adds the triggers of those found.
    pub(crate) async fn resolve<R: ImageResolver>(
        &self,
        stages: &mut StageGraph,
        target: usize,
        resolver: &R,
    ) -> Result<Images, DockerfileError> {
        let mut images = Images::new();
        loop {
            let wanted = self.wanted(stages, target, &images)?;
            let mode = self.input.options.resolve_mode;
            let asked = wanted.iter().map(|one| async move {
                let reference = &one.image.reference;
                match &one.image.layout {
                    Some(store) => {
                        let layout = resolver.resolve_layout(store, reference, &one.platform);
                        layout.await
                    }
                    None => resolver.resolve(reference, &one.platform, mode).await,
                }
            });
            let answers = join_all(asked).await;
            for (one, answer) in wanted.into_iter().zip(answers) {
                let image = answer.map_err(|error| self.base_image(one.span, error))?;
                images.insert((one.image.reference, one.platform), image);
            }
            if !self.add_triggers(stages, target, &images)? {
                return Ok(images);
            }
        }
    }

    /// Returns the stages whose bases are asked for.
    pub(crate) fn reached(&self, stages: &StageGraph, target: usize) -> Vec<bool> {
        let mut reached = stages.reachable(target);
        if self.all_stages {
            reached.fill(true);
        }
        reached
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
        let reached = self.reached(stages, target);
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
                Ok(External::Image(image)) => {
                    let key = (image.reference.clone(), platform.clone());
                    let asked = wanted
                        .iter()
                        .any(|one| one.image.reference == key.0 && one.platform == platform);
                    if !asked && !known.contains_key(&key) {
                        wanted.push(Wanted {
                            image,
                            platform,
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
            // Observed: BuildKit 73ed6825 runs no triggers of an image in the place of a stage, but
            // looks at them when it looks at every stage.
            let is_passive = stage.replaced && !self.all_stages;
            if let (Base::External(name), false) = (&stage.base, is_passive) {
                let platform = stage.platform.as_ref().unwrap_or(self.platform).clone();
                let name = Word::new(name.clone(), stage.base_word.span);
                if let Ok(External::Image(image)) =
                    external::classify(&name, &self.input.options, &platform)
                {
                    let image = images.get(&(image.reference, platform));
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
