// SPDX-License-Identifier: Apache-2.0
//! `RUN --mount` → mounts of a run vertex.
//!
//! `Observed:` BuildKit 73ed6825 `dockerfile2llb/convert_runmount.go`, `convert_secrets.go`,
//! `convert_ssh.go`.

use graph::{
    ActionInput, CacheSharing, Chown, Edge, FileActionKind, MkdirAction, Mount as GraphMount,
    MountKind as GraphKind, Principal, SecretEnv, VertexMeta,
};

use super::files::FileBuilder;
use super::state::StageState;
use super::{Lowering, OriginTree};
use crate::diagnostic::Diagnostic;
use crate::instruction::{Mount, MountKind, Sharing};
use crate::paths;
use crate::span::Span;
use crate::stages::Step;

const SECRET_MODE: u32 = 0o400;
const SSH_MODE: u32 = 0o600;
/// The agent that is meant without an id.
const SSH_ID: &str = "default";
const CACHE_MODE: u32 = 0o755;
/// The build argument that keeps cache mounts of different projects apart.
const CACHE_NAMESPACE_ARG: &str = "BUILDKIT_CACHE_MOUNT_NS";

/// The mounts of one step in the making.
pub(super) struct MountBuilder {
    /// Mounts and the trees that they show.
    trees: Vec<(GraphMount, Option<Edge>)>,
    secrets: Vec<GraphMount>,
    agents: Vec<GraphMount>,
    secret_env: Vec<SecretEnv>,
}

/// The finished mounts.
pub(super) struct BuiltMounts {
    pub(super) inputs: Vec<Edge>,
    pub(super) mounts: Vec<GraphMount>,
    pub(super) secret_env: Vec<SecretEnv>,
}

impl MountBuilder {
    /// Returns the mounts of a step with the given root file system.
    pub(super) fn new(root: Option<Edge>) -> Self {
        Self {
            trees: vec![(GraphMount::root(), root)],
            secrets: Vec::new(),
            agents: Vec::new(),
            secret_env: Vec::new(),
        }
    }

    /// Mounts a tree; none is the empty one.
    pub(super) fn tree(&mut self, mount: GraphMount, tree: Option<Edge>) {
        self.trees.push((mount, tree));
    }

    /// Returns the names of the variables that hold secrets.
    pub(super) fn secret_names(&self) -> impl Iterator<Item = &str> {
        self.secret_env.iter().map(|secret| secret.name.as_str())
    }

    /// Returns the path of the first agent socket.
    pub(super) fn agent_socket(&self) -> Option<String> {
        self.agents.first().map(|mount| mount.dest.clone())
    }

    /// Returns the mounts: trees by target, so that outer ones come first, then secrets, then
    /// agents; inputs in the order in which mounts use them.
    pub(super) fn finish(mut self) -> BuiltMounts {
        self.trees.sort_by(|(a, _), (b, _)| a.dest.cmp(&b.dest));
        let mut inputs: Vec<Edge> = Vec::new();
        let mut mounts = Vec::with_capacity(self.trees.len());
        for (mount, tree) in self.trees {
            let input = tree.map(|tree| {
                let known = inputs.iter().position(|known| *known == tree);
                known.unwrap_or_else(|| {
                    inputs.push(tree);
                    inputs.len() - 1
                })
            });
            mounts.push(GraphMount { input, ..mount });
        }
        mounts.append(&mut self.secrets);
        mounts.append(&mut self.agents);
        BuiltMounts {
            inputs,
            mounts,
            secret_env: self.secret_env,
        }
    }
}

/// Which mount of which step is lowered.
pub(super) struct MountPlace<'a> {
    pub(super) step: &'a Step,
    /// Its number among the mounts of the step.
    pub(super) index: usize,
    pub(super) span: Span,
}

impl Lowering<'_> {
    pub(super) fn mount(
        &mut self,
        mounts: &mut MountBuilder,
        stage: &StageState,
        at: &MountPlace<'_>,
        mount: &Mount,
    ) -> Result<(), Diagnostic> {
        let MountPlace { step, index, span } = *at;
        let files = !matches!(mount.kind, MountKind::Secret | MountKind::Ssh);
        // Files without a target cover the working directory. `Observed:` BuildKit 73ed6825.
        let target = mount.target.as_deref().or(files.then_some("."));
        let target = target.map(|target| paths::directory(stage.directory(), target));
        if target.as_deref().map(paths::clean).as_deref() == Some("/") {
            let message = match &mount.target {
                Some(target) => format!("a mount cannot cover `/`, which is what `{target}` is"),
                None => "a mount needs a target".to_owned(),
            };
            return Err(Diagnostic::error(span, message).help("write `target=/PATH`"));
        }
        let mut built = GraphMount {
            input: None,
            selector: selector(mount),
            dest: target.unwrap_or_default(),
            output: None,
            readonly: mount.read_only,
            kind: GraphKind::Bind,
        };
        match mount.kind {
            MountKind::Secret => secret(mounts, mount),
            MountKind::Ssh => ssh(mounts, mount),
            MountKind::Tmpfs => {
                if step.origins.get(index).copied().flatten().is_none() {
                    self.use_context_path(mount.source.as_deref().unwrap_or("/"));
                }
                let size = mount.size_bytes.and_then(|size| i64::try_from(size).ok());
                let size_bytes = size.unwrap_or_default();
                built.kind = GraphKind::Tmpfs { size_bytes };
                mounts.tree(built, None);
            }
            MountKind::Bind => {
                let source = mount.source.as_deref().unwrap_or("/");
                let tree = match self.origin(step, index, [source])? {
                    OriginTree::Context => {
                        self.use_context_path(source);
                        Some(self.context())
                    }
                    OriginTree::Tree(tree) => tree,
                };
                mounts.tree(built, tree);
            }
            MountKind::Cache => {
                let source = mount.source.as_deref().unwrap_or("/");
                let tree = match self.origin(step, index, [source])? {
                    OriginTree::Tree(tree) => tree,
                    // Without `from` a cache starts empty, not with the context.
                    OriginTree::Context => None,
                };
                built.kind = self.cache_kind(mount);
                let owned = mount.uid.is_some() || mount.gid.is_some() || mount.mode.is_some();
                let tree = if built.selector.is_empty() && owned {
                    "/cache".clone_into(&mut built.selector);
                    Some(self.cache_base(tree, mount, stage.ignore_cache))
                } else {
                    tree
                };
                mounts.tree(built, tree);
            }
        }
        Ok(())
    }

    fn cache_kind(&self, mount: &Mount) -> GraphKind {
        let arguments = &self.options().build_args;
        let namespace = arguments.get(CACHE_NAMESPACE_ARG);
        let target = mount.target.as_deref().unwrap_or_default();
        let id = mount.id.clone().unwrap_or_else(|| paths::clean(target));
        GraphKind::Cache {
            id: format!("{}/{id}", namespace.map_or("", String::as_str)),
            sharing: match mount.sharing {
                Sharing::Shared => CacheSharing::Shared,
                Sharing::Private => CacheSharing::Private,
                Sharing::Locked => CacheSharing::Locked,
            },
        }
    }

    /// Returns the tree whose directory `/cache` has the owner and mode that a cache starts with.
    /// `--no-cache` makes it anew, and with it the cache.
    fn cache_base(&mut self, tree: Option<Edge>, mount: &Mount, ignore_cache: bool) -> Edge {
        let mut file = FileBuilder::new(tree);
        file.push(
            ActionInput::Scratch,
            FileActionKind::Mkdir(MkdirAction {
                path: "/cache".to_owned(),
                mode: mount.mode.unwrap_or(CACHE_MODE),
                make_parents: false,
                owner: Some(Chown {
                    user: Some(Principal::Id(mount.uid.unwrap_or_default())),
                    group: Some(Principal::Id(mount.gid.unwrap_or_default())),
                }),
                timestamp: None,
            }),
        );
        let meta = VertexMeta {
            name: "[internal] setting cache mount permissions".to_owned(),
            ignore_cache,
            ..VertexMeta::default()
        };
        file.finish(self.graph, meta)
    }
}

/// Returns the path in the mounted tree; empty is its root.
fn selector(mount: &Mount) -> String {
    match paths::resolve("/", mount.source.as_deref().unwrap_or("/")) {
        root if root == "/" => String::new(),
        path => path,
    }
}

fn secret(mounts: &mut MountBuilder, mount: &Mount) {
    let target = mount.target.clone();
    let base = target.as_deref().map(paths::base);
    let id = mount.source.as_deref().or(mount.id.as_deref()).or(base);
    let id = id.unwrap_or_default().to_owned();
    if let Some(name) = &mount.env {
        mounts.secret_env.push(SecretEnv {
            id: id.clone(),
            name: name.clone(),
            optional: !mount.required,
        });
        if target.is_none() {
            return;
        }
    }
    let default = format!("/run/secrets/{}", paths::base(&id));
    mounts.secrets.push(GraphMount {
        input: None,
        selector: String::new(),
        dest: target.unwrap_or(default),
        output: None,
        readonly: false,
        kind: GraphKind::Secret {
            id,
            uid: mount.uid.unwrap_or_default(),
            gid: mount.gid.unwrap_or_default(),
            mode: mount.mode.unwrap_or(SECRET_MODE),
            optional: !mount.required,
        },
    });
}

fn ssh(mounts: &mut MountBuilder, mount: &Mount) {
    let default = format!("/run/buildkit/ssh_agent.{}", mounts.agents.len());
    mounts.agents.push(GraphMount {
        input: None,
        selector: String::new(),
        dest: mount.target.clone().unwrap_or(default),
        output: None,
        readonly: false,
        kind: GraphKind::Ssh {
            id: mount.id.clone().unwrap_or_else(|| SSH_ID.to_owned()),
            uid: mount.uid.unwrap_or_default(),
            gid: mount.gid.unwrap_or_default(),
            mode: mount.mode.unwrap_or(SSH_MODE),
            optional: !mount.required,
        },
    });
}
