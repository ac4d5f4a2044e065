// SPDX-License-Identifier: Apache-2.0
//! What a build is asked for beside the Dockerfile: the input of the frontend.

use std::collections::BTreeMap;

use graph::{ExtraHost, NetworkMode, ResolveMode, Ulimit};
use oci::Platform;

use crate::context::{MainContext, NamedContext};
use crate::span::SourceText;

/// Everything that [`crate::DockerfileFrontend`] lowers.
#[derive(Clone, Debug)]
pub struct BuildInput {
    /// The Dockerfile and the name shown for it.
    pub source: SourceText,
    /// The ignore file of the main context, if there is one.
    pub dockerignore: Option<SourceText>,
    /// What the user asked for.
    pub options: BuildOptions,
}

/// Options of a build, with docker buildx's meanings.
#[derive(Clone, Debug)]
pub struct BuildOptions {
    /// `--target`: the stage to build; none is the last.
    pub target: Option<String>,
    /// `--build-arg`.
    pub build_args: BTreeMap<String, String>,
    /// `--platform`, in order; empty builds for `build_platform` or what the base image is for.
    pub platforms: Vec<Platform>,
    /// The machine that builds.
    pub build_platform: Platform,
    /// `--label`.
    pub labels: BTreeMap<String, String>,
    /// Where the files of the build come from.
    pub context: MainContext,
    /// The directory of a remote `context` that is the context; empty is all of it.
    pub context_subdir: String,
    /// `--build-context`, by [`crate::context_name`], or by name and platform (`name::linux/arm64`).
    pub contexts: BTreeMap<String, NamedContext>,
    /// `--no-cache`, `--no-cache-filter`.
    pub no_cache: NoCache,
    /// `--pull`.
    pub resolve_mode: ResolveMode,
    /// `--add-host`.
    pub add_hosts: Vec<ExtraHost>,
    /// `--network`.
    pub network: NetworkMode,
    /// `--shm-size` in bytes; 0 leaves it to the executor.
    pub shm_size_bytes: i64,
    /// `--ulimit`.
    pub ulimits: Vec<Ulimit>,
    /// `--cgroup-parent`.
    pub cgroup_parent: String,
}

impl BuildOptions {
    /// Returns the options of a plain build on `build_platform`.
    pub fn new(build_platform: Platform) -> Self {
        Self {
            target: None,
            build_args: BTreeMap::new(),
            platforms: Vec::new(),
            build_platform,
            labels: BTreeMap::new(),
            context: MainContext::Local,
            context_subdir: String::new(),
            contexts: BTreeMap::new(),
            no_cache: NoCache::No,
            resolve_mode: ResolveMode::Default,
            add_hosts: Vec::new(),
            network: NetworkMode::default(),
            shm_size_bytes: 0,
            ulimits: Vec::new(),
            cgroup_parent: String::new(),
        }
    }
}

/// Which steps do not look for recorded results.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum NoCache {
    /// None: everything may be reused.
    #[default]
    No,
    /// All.
    All,
    /// Those of the named stages; names ignore case.
    Stages(Vec<String>),
}

impl NoCache {
    /// Returns whether the steps of a stage run anew.
    pub(crate) fn covers(&self, stage: Option<&str>) -> bool {
        match (self, stage) {
            (Self::No, _) | (Self::Stages(_), None) => false,
            (Self::All, _) => true,
            (Self::Stages(names), Some(stage)) => {
                names.iter().any(|name| name.eq_ignore_ascii_case(stage))
            }
        }
    }
}
