// SPDX-License-Identifier: Apache-2.0
//! Joint 2: stages → graph and image config, in one pass over the stages that the target needs.
//!
//! `config` holds the instructions that only change the config, `run` with `mounts` and `copy`
//! with `files` those that make vertices, `external` what is no stage, `state` a stage on its way.
//! All of this is pure; `crate::frontend` asks for base images before.
//!
//! The main context is one source vertex that names the paths which are used, so lowering runs
//! twice: once to learn the paths, once for good.

mod chmod;
mod config;
mod context;
mod copy;
pub(crate) mod external;
mod files;
mod mounts;
pub(crate) mod ports;
mod run;
mod signal;
mod state;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use graph::{Edge, Graph, Op, PlanTarget, ResolveMode, SourceFile, SourceRange, VertexMeta};
use oci::{Digest, ImageConfig, Platform};

use crate::diagnostic::Diagnostic;
use crate::expand::Expander;
use crate::instruction::Kind;
use crate::options::{BuildInput, BuildOptions};
use crate::paths;
use crate::scope::Environment;
use crate::span::Word;
use crate::stages::{Base, Origin, StageGraph, StageNode, Step};
use external::{External, ExternalImage, ExternalTree, Images};
use graph::pattern::Patterns;
pub(crate) use state::DEFAULT_PATH;
use state::{Counter, EnvPlaces, StageState};

/// Under this key of a description stands an instruction as written.
const COMMAND_KEY: &str = "com.docker.dockerfile.v1.command";

/// Everything that lowering reads.
#[derive(Clone, Copy)]
pub(crate) struct Sources<'a> {
    pub(crate) input: &'a BuildInput,
    pub(crate) file: &'a Arc<SourceFile>,
    pub(crate) ignore: &'a Patterns,
    pub(crate) escape: char,
    pub(crate) scope: &'a Environment,
    pub(crate) stages: &'a StageGraph,
    pub(crate) images: &'a Images,
    pub(crate) platform: &'a Platform,
    /// Whether `platform` was asked for, rather than being the machine's.
    pub(crate) explicit_platform: bool,
    pub(crate) multi_platform: bool,
    pub(crate) target: usize,
    /// `SOURCE_DATE_EPOCH` in seconds.
    pub(crate) epoch: Option<i64>,
}

/// Lowers one platform into `graph`.
///
/// # Errors
///
/// All problems of the stages that the target needs.
pub(crate) fn lower(
    sources: Sources<'_>,
    graph: &mut Graph,
) -> Result<PlanTarget, Vec<Diagnostic>> {
    let mut scratch = Graph::new();
    let mut probe = Lowering::new(sources, &mut scratch, BTreeSet::new());
    probe.stages();
    let paths = probe.take_used_paths();
    let mut lowering = Lowering::new(sources, graph, paths);
    let states = lowering.stages();
    if !lowering.problems.is_empty() {
        return Err(lowering.problems);
    }
    let state = states
        .into_iter()
        .nth(sources.target)
        .flatten()
        .expect("the target was lowered");
    Ok(finish(sources, state))
}

/// Puts on the last touches: labels and platform.
fn finish(sources: Sources<'_>, mut state: StageState) -> PlanTarget {
    let labels = sources.input.options.labels.iter();
    state
        .image
        .config
        .labels
        .extend(labels.map(|(name, value)| (name.clone(), value.clone())));
    let image = &mut state.image;
    if sources.explicit_platform {
        let target = sources.platform;
        let same = target.os == image.os && target.architecture == image.architecture;
        image.os.clone_from(&target.os);
        image.architecture.clone_from(&target.architecture);
        if target.variant.is_some() || !same {
            image.variant.clone_from(&target.variant);
        }
        if target.os_version.is_some() || !same {
            image.os_version.clone_from(&target.os_version);
        }
    }
    let platform = image.platform().normalized();
    image.os.clone_from(&platform.os);
    image.architecture.clone_from(&platform.architecture);
    image.variant.clone_from(&platform.variant);
    PlanTarget {
        platform,
        result: state.tree,
        config: state.image,
    }
}

/// Where the files of a step come from.
enum OriginTree {
    Context,
    Tree(Option<Edge>),
}

/// What steps copy from that is no stage.
enum ExternalOrigin {
    Tree(Option<Edge>),
    /// A directory of the caller: each step asks for the paths that it uses.
    Directory(ExternalTree),
}

struct Lowering<'a> {
    sources: Sources<'a>,
    graph: &'a mut Graph,
    expander: Expander,
    scope: &'a Environment,
    /// Paths of the main context that steps use, when they are known.
    context_paths: BTreeSet<String>,
    used_paths: BTreeSet<String>,
    /// The main context once it was asked for: its list of paths is long to write down again.
    context: Option<Edge>,
    externals: BTreeMap<usize, ExternalOrigin>,
    trees: Vec<Option<Edge>>,
    problems: Vec<Diagnostic>,
}

impl<'a> Lowering<'a> {
    fn new(sources: Sources<'a>, graph: &'a mut Graph, context_paths: BTreeSet<String>) -> Self {
        Self {
            sources,
            graph,
            expander: Expander::new(sources.escape),
            scope: sources.scope,
            context_paths,
            used_paths: BTreeSet::new(),
            context: None,
            externals: BTreeMap::new(),
            trees: vec![None; sources.stages.stages.len()],
            problems: Vec::new(),
        }
    }

    fn options(&self) -> &'a BuildOptions {
        &self.sources.input.options
    }

    /// Lowers every stage that the target needs, in the order of the file.
    fn stages(&mut self) -> Vec<Option<StageState>> {
        let stages = self.sources.stages;
        let reached = stages.reachable(self.sources.target);
        for index in stages.reached_externals(&reached) {
            match self.external(&stages.externals[index]) {
                Ok(tree) => {
                    self.externals.insert(index, tree);
                }
                Err(problem) => self.problems.push(problem),
            }
        }
        let mut done: Vec<Option<StageState>> = vec![None; stages.stages.len()];
        for index in (0..stages.stages.len()).filter(|&index| reached[index]) {
            let start = match stages.stages[index].base {
                Base::Stage(base) => done[base].clone(),
                _ => None,
            };
            let mut state = match self.start(index, start) {
                Ok(state) => state,
                Err(problem) => {
                    self.problems.push(problem);
                    continue;
                }
            };
            for step in &stages.stages[index].steps {
                if let Err(problem) = self.step(&mut state, step) {
                    self.problems.push(problem);
                }
            }
            self.trees[index] = state.tree;
            done[index] = Some(state);
        }
        done
    }

    /// Returns the state at the start of a stage.
    fn start(&mut self, index: usize, base: Option<StageState>) -> Result<StageState, Diagnostic> {
        let node = &self.sources.stages.stages[index];
        let platform = node.platform.as_ref().unwrap_or(self.sources.platform);
        let mut counter = self.counter(index, platform);
        let mut state = match (base, &node.base) {
            (Some(base), _) => StageState {
                cmd_set: false,
                ..base
            },
            (None, Base::External(name)) => {
                let word = Word::new(name.clone(), node.base_word.span);
                self.on_external(&word, platform, &mut counter, node)?
            }
            (None, _) => fresh(
                None,
                StageState::empty_image(self.sources.platform),
                self.sources.platform,
            ),
        };
        state.counter = counter;
        state.ignore_cache = self.options().no_cache.covers(node.name.as_deref());
        state.image.config.on_build.clear();
        // What stands in for a stage is taken as it is; stages on it make ready for themselves.
        if !node.replaced {
            state.enter();
        }
        Ok(state)
    }

    /// Numbers the steps of a stage: its base if it is pulled, and every instruction that makes a
    /// vertex.
    fn counter(&self, index: usize, platform: &Platform) -> Counter {
        let stage = &self.sources.stages.stages[index];
        let makes = |step: &&Step| {
            step.onbuild
                || matches!(
                    &step.instruction.kind,
                    Kind::Add(_) | Kind::Copy(_) | Kind::Run(_) | Kind::Workdir(_)
                )
        };
        let title = self.sources.stages.title(index);
        Counter {
            platform: self.sources.multi_platform.then(|| platform.to_string()),
            stage: if title.is_empty() {
                title
            } else {
                format!("{title} ")
            },
            step: 0,
            triggers: stage.steps.iter().filter(|step| step.onbuild).count(),
            total: stage.steps.iter().filter(makes).count()
                + usize::from(matches!(stage.base, Base::External(_))),
        }
    }

    /// Returns the state of a stage on an image or a named context.
    fn on_external(
        &mut self,
        name: &Word,
        platform: &Platform,
        counter: &mut Counter,
        node: &StageNode,
    ) -> Result<StageState, Diagnostic> {
        let image = match external::classify(name, self.options(), platform)? {
            External::Image(image) => image,
            External::Scratch => {
                return Ok(fresh(None, StageState::empty_image(platform), platform));
            }
            External::Tree(tree) => {
                let tree = tree.add(self.graph, &BTreeSet::new());
                return Ok(fresh(
                    Some(tree),
                    StageState::empty_image(platform),
                    platform,
                ));
            }
        };
        let resolved = &self.sources.images[&(image.reference.clone(), platform.clone())];
        let mut config = resolved.config.clone();
        // What BuildKit does not know of a base, it does not hand on: a cache record or a build
        // id of the base would be wrong in its child. Observed: BuildKit 73ed6825.
        config.extra.clear();
        config.config.extra.clear();
        config.created = None;
        if image.title.is_some() {
            let tree = self.image_source(&image, platform, name.span);
            return Ok(fresh(Some(tree), config, platform));
        }
        let platform = self.base_platform(&config, platform);
        let pinned = image.reference.pinned(resolved.digest.clone());
        let empty = config.rootfs.diff_ids.is_empty()
            && config.history.iter().all(|entry| entry.empty_layer);
        let tree = (!empty).then(|| {
            let meta = VertexMeta {
                name: counter.base_title(&format!("FROM {pinned}")),
                description: command(&node.text),
                location: Some(self.range(node.span)),
                ..VertexMeta::default()
            };
            self.add_image(&image, &resolved.digest, &platform, meta)
        });
        Ok(fresh(tree, config, &platform))
    }

    /// Returns the platform of a stage on a base image. If none was asked for, an image for another
    /// processor is taken as it is.
    fn base_platform(&self, image: &ImageConfig, wanted: &Platform) -> Platform {
        let found = image.platform().normalized();
        let same = found.os == wanted.os && found.architecture == wanted.architecture;
        if self.sources.explicit_platform
            || same
            || found.os.is_empty()
            || found.architecture.is_empty()
        {
            wanted.clone()
        } else {
            found
        }
    }

    /// Adds the source of an image.
    fn add_image(
        &mut self,
        image: &ExternalImage,
        digest: &Digest,
        platform: &Platform,
        meta: VertexMeta,
    ) -> Edge {
        let mut source = image.source(digest);
        if image.title.is_none() {
            source.attrs.extend(match self.options().resolve_mode {
                ResolveMode::Default => BTreeMap::new(),
                ResolveMode::Pull => resolve_mode("pull"),
                ResolveMode::Local => resolve_mode("local"),
            });
        }
        let op = Op::Source(source);
        Edge::first(self.graph.add(op, Vec::new(), Some(platform.clone()), meta))
    }

    /// Adds the source of an image that no FROM names, or a named context instead of it.
    fn image_source(
        &mut self,
        image: &ExternalImage,
        platform: &Platform,
        span: crate::span::Span,
    ) -> Edge {
        let digest = &self.sources.images[&(image.reference.clone(), platform.clone())].digest;
        let meta = match &image.title {
            Some(title) => VertexMeta {
                name: title.clone(),
                ..VertexMeta::default()
            },
            None => VertexMeta {
                name: format!("FROM {}", image.reference.pinned(digest.clone())),
                description: command(""),
                location: Some(self.range(span)),
                ..VertexMeta::default()
            },
        };
        self.add_image(image, digest, platform, meta)
    }

    /// Returns the tree of something that steps copy from.
    fn external(&mut self, name: &Word) -> Result<ExternalOrigin, Diagnostic> {
        let platform = self.sources.platform;
        Ok(match external::classify(name, self.options(), platform)? {
            External::Image(image) => {
                let tree = self.image_source(&image, platform, name.span);
                ExternalOrigin::Tree(Some(tree))
            }
            External::Scratch => ExternalOrigin::Tree(None),
            External::Tree(tree) if tree.is_local() => ExternalOrigin::Directory(tree),
            External::Tree(tree) => {
                ExternalOrigin::Tree(Some(tree.add(self.graph, &BTreeSet::new())))
            }
        })
    }

    fn step(&mut self, stage: &mut StageState, step: &Step) -> Result<(), Diagnostic> {
        match &step.instruction.kind {
            Kind::Add(transfer) => self.copy(stage, step, transfer, true)?,
            Kind::Copy(transfer) => self.copy(stage, step, transfer, false)?,
            Kind::Run(run) => self.run(stage, step, run)?,
            Kind::Workdir(path) => self.workdir(stage, step, path)?,
            Kind::Arg(arguments) => self.arg(stage, arguments)?,
            Kind::Env(pairs) => self.env(stage, pairs)?,
            Kind::Label(pairs) => self.label(stage, pairs)?,
            Kind::Expose(ports) => self.expose(stage, ports)?,
            Kind::Volume(volumes) => self.volume(stage, volumes)?,
            Kind::User(user) => self.user(stage, user)?,
            Kind::Stopsignal(signal) => self.stop_signal(stage, signal)?,
            Kind::Cmd(command) => config::cmd(stage, command),
            Kind::Entrypoint(command) => config::entrypoint(stage, command),
            Kind::Healthcheck(check) => config::healthcheck(stage, check),
            Kind::Maintainer(name) => config::maintainer(stage, name),
            Kind::Shell(words) => config::shell(stage, words),
            Kind::Onbuild(onbuild) => {
                config::onbuild(stage, &step.instruction, &onbuild.expression);
            }
            Kind::From(_) => {}
        }
        Ok(())
    }

    /// Returns where number `index` of the origins of a step is; `paths` are what the step uses of
    /// it.
    fn origin<'p>(
        &mut self,
        step: &Step,
        index: usize,
        paths: impl IntoIterator<Item = &'p str>,
    ) -> Result<OriginTree, Diagnostic> {
        Ok(match step.origins.get(index).copied().flatten() {
            None => OriginTree::Context,
            Some(Origin::Scratch) => OriginTree::Tree(None),
            Some(Origin::Stage(stage)) => OriginTree::Tree(self.trees[stage]),
            Some(Origin::External(external)) => match self.externals.get(&external) {
                Some(ExternalOrigin::Tree(tree)) => OriginTree::Tree(*tree),
                Some(ExternalOrigin::Directory(tree)) => {
                    let paths = paths.into_iter().map(|path| paths::resolve("/", path));
                    OriginTree::Tree(Some(tree.add(self.graph, &paths.collect())))
                }
                None => {
                    let name = &self.sources.stages.externals[external];
                    return Err(Diagnostic::error(
                        name.span,
                        format!("cannot use `{}`", name.text),
                    ));
                }
            },
        })
    }

    fn expand(&self, stage: &StageState, word: &Word) -> Result<String, Diagnostic> {
        let expanded = self.expander.expand(&word.text, &stage.env);
        expanded
            .map(|expanded| expanded.text)
            .map_err(|error| Diagnostic::expansion(word.span, &error))
    }

    fn expand_words(&self, stage: &StageState, word: &Word) -> Result<Vec<String>, Diagnostic> {
        let expanded = self.expander.expand(&word.text, &stage.env);
        expanded
            .map(|expanded| expanded.words)
            .map_err(|error| Diagnostic::expansion(word.span, &error))
    }

    /// Returns the title of a step that is no RUN: the instruction with its variables replaced.
    fn plain_title(&self, stage: &StageState, text: &str) -> String {
        let expanded = self.expander.expand(text, &stage.env);
        upper_keyword(&expanded.map_or_else(|_| text.to_owned(), |expanded| expanded.text))
    }

    fn meta(&self, stage: &mut StageState, step: &Step, title: &str) -> VertexMeta {
        let cross = stage.cross();
        VertexMeta {
            name: stage.counter.title(step.onbuild, &cross, title),
            location: Some(self.range(step.instruction.span)),
            ignore_cache: stage.ignore_cache,
            ..VertexMeta::default()
        }
    }

    fn range(&self, span: crate::span::Span) -> SourceRange {
        let source = &self.sources.input.source;
        let line = |offset: usize| u32::try_from(source.position(offset).line).unwrap_or(u32::MAX);
        SourceRange {
            file: Arc::clone(self.sources.file),
            start_line: line(span.start),
            end_line: line(span.end.saturating_sub(1).max(span.start)),
        }
    }

    /// Returns the time that files made by the build get, in nanoseconds.
    fn timestamp(&self) -> Option<i64> {
        self.sources
            .epoch
            .map(|seconds| seconds.saturating_mul(1_000_000_000))
    }
}

/// Returns a stage without instructions so far.
fn fresh(tree: Option<Edge>, image: ImageConfig, platform: &Platform) -> StageState {
    StageState {
        tree,
        image,
        env: Environment::default(),
        config_env: EnvPlaces::default(),
        platform: platform.clone(),
        build_args: Vec::new(),
        counter: Counter::default(),
        cmd_set: false,
        ignore_cache: false,
    }
}

/// Returns what tools are told about a step beside its name: the instruction as written.
///
/// `Observed:` BuildKit 73ed6825 tells it of some steps only.
fn command(text: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(COMMAND_KEY.to_owned(), text.to_owned())])
}

fn resolve_mode(mode: &str) -> BTreeMap<String, String> {
    BTreeMap::from([("image.resolvemode".to_owned(), mode.to_owned())])
}

/// Returns the text with its first word in upper case.
fn upper_keyword(text: &str) -> String {
    match text.split_once(' ') {
        Some((keyword, rest)) => format!("{} {rest}", keyword.to_uppercase()),
        None => text.to_uppercase(),
    }
}
