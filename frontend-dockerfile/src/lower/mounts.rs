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
use crate::stages::Step;

const SECRET_MODE: u32 = 0o400;
const SSH_MODE: u32 = 0o600;
const CACHE_MODE: u32 = 0o755;
/// The build argument that keeps cache mounts of different projects apart.
const CACHE_NAMESPACE_ARG: &str = "BUILDKIT_CACHE_MOUNT_NS";

/// The mounts of one step in the making.
pub(super) struct MountBuilder {
    inputs: Vec<Edge>,
    mounts: Vec<GraphMount>,
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
        let mount = GraphMount {
            input: root.map(|_| 0),
            ..GraphMount::root()
        };
        Self {
            inputs: root.into_iter().collect(),
            mounts: vec![mount],
            secret_env: Vec::new(),
        }
    }

    fn input(&mut self, tree: Option<Edge>) -> Option<usize> {
        let tree = tree?;
        let known = self.inputs.iter().position(|known| *known == tree);
        Some(known.unwrap_or_else(|| {
            self.inputs.push(tree);
            self.inputs.len() - 1
        }))
    }

    /// Mounts a tree that cannot be written to.
    pub(super) fn bind(&mut self, dest: &str, tree: Option<Edge>) {
        let input = self.input(tree);
        self.push(GraphMount {
            input,
            selector: String::new(),
            dest: dest.to_owned(),
            output: None,
            readonly: true,
            kind: GraphKind::Bind,
        });
    }

    pub(super) fn push(&mut self, mount: GraphMount) {
        self.mounts.push(mount);
    }

    /// Returns the path of the first agent socket.
    pub(super) fn agent_socket(&self) -> Option<String> {
        let agent = self
            .mounts
            .iter()
            .find(|mount| matches!(mount.kind, GraphKind::Ssh { .. }));
        agent.map(|mount| mount.dest.clone())
    }

    fn agents(&self) -> usize {
        self.mounts
            .iter()
            .filter(|mount| matches!(mount.kind, GraphKind::Ssh { .. }))
            .count()
    }

    /// Returns the mounts, outer ones first.
    pub(super) fn finish(mut self) -> BuiltMounts {
        self.mounts.sort_by(|a, b| a.dest.cmp(&b.dest));
        BuiltMounts {
            inputs: self.inputs,
            mounts: self.mounts,
            secret_env: self.secret_env,
        }
    }
}

impl Lowering<'_> {
    pub(super) fn mount(
        &mut self,
        mounts: &mut MountBuilder,
        stage: &StageState,
        step: &Step,
        index: usize,
        mount: &Mount,
    ) -> Result<(), Diagnostic> {
        let target = mount
            .target
            .as_ref()
            .map(|target| paths::resolve(stage.directory(), target));
        if let Some("/") = target.as_deref() {
            return Err(Diagnostic::error(
                step.instruction.span,
                "a mount cannot have the target `/`",
            ));
        }
        match mount.kind {
            MountKind::Secret => secret(mounts, mount, target),
            MountKind::Ssh => ssh(mounts, mount, target),
            MountKind::Tmpfs => mounts.push(GraphMount {
                input: None,
                selector: String::new(),
                dest: target.unwrap_or_default(),
                output: None,
                readonly: mount.read_only,
                kind: GraphKind::Tmpfs {
                    size_bytes: mount
                        .size_bytes
                        .and_then(|size| i64::try_from(size).ok())
                        .unwrap_or_default(),
                },
            }),
            MountKind::Bind => {
                let tree = match self.origin(step, index)? {
                    OriginTree::Context => {
                        self.use_context_path(mount.source.as_deref().unwrap_or("/"));
                        Some(self.context())
                    }
                    OriginTree::Tree(tree) => tree,
                };
                let input = mounts.input(tree);
                mounts.push(GraphMount {
                    input,
                    selector: selector(mount),
                    dest: target.unwrap_or_default(),
                    output: None,
                    readonly: mount.read_only,
                    kind: GraphKind::Bind,
                });
            }
            MountKind::Cache => {
                self.cache(mounts, step, index, mount)?.dest = target.unwrap_or_default();
            }
        }
        Ok(())
    }

    /// Adds a cache mount and returns it, so that the caller can say where it goes.
    fn cache<'m>(
        &mut self,
        mounts: &'m mut MountBuilder,
        step: &Step,
        index: usize,
        mount: &Mount,
    ) -> Result<&'m mut GraphMount, Diagnostic> {
        // Without `from` a cache starts empty, not with the context.
        let tree = match self.origin(step, index)? {
            OriginTree::Tree(tree) => tree,
            OriginTree::Context => None,
        };
        let mut selector = selector(mount);
        let owned = mount.uid.is_some() || mount.gid.is_some() || mount.mode.is_some();
        let tree = if selector.is_empty() && owned {
            "/cache".clone_into(&mut selector);
            Some(self.cache_base(tree, mount))
        } else {
            tree
        };
        let namespace = self
            .options()
            .build_args
            .get(CACHE_NAMESPACE_ARG)
            .map_or("", String::as_str);
        let target = mount.target.as_deref().unwrap_or_default();
        let id = mount.id.clone().unwrap_or_else(|| paths::clean(target));
        let input = mounts.input(tree);
        mounts.push(GraphMount {
            input,
            selector,
            dest: String::new(),
            output: None,
            readonly: mount.read_only,
            kind: GraphKind::Cache {
                id: format!("{namespace}/{id}"),
                sharing: match mount.sharing {
                    Sharing::Shared => CacheSharing::Shared,
                    Sharing::Private => CacheSharing::Private,
                    Sharing::Locked => CacheSharing::Locked,
                },
            },
        });
        Ok(mounts.mounts.last_mut().expect("a mount was just added"))
    }

    /// Returns the tree whose directory `/cache` has the owner and mode that a cache starts with.
    fn cache_base(&mut self, tree: Option<Edge>, mount: &Mount) -> Edge {
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

fn secret(mounts: &mut MountBuilder, mount: &Mount, target: Option<String>) {
    let base = target
        .as_deref()
        .map(|target| paths::base(target).to_owned());
    let id = mount
        .source
        .clone()
        .or_else(|| mount.id.clone())
        .or(base)
        .unwrap_or_default();
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
    mounts.push(GraphMount {
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

fn ssh(mounts: &mut MountBuilder, mount: &Mount, target: Option<String>) {
    let default = format!("/run/buildkit/ssh_agent.{}", mounts.agents());
    let id = mount.source.clone().or_else(|| mount.id.clone());
    mounts.push(GraphMount {
        input: None,
        selector: String::new(),
        dest: target.unwrap_or(default),
        output: None,
        readonly: false,
        kind: GraphKind::Ssh {
            id: id.unwrap_or_else(|| "default".to_owned()),
            uid: mount.uid.unwrap_or_default(),
            gid: mount.gid.unwrap_or_default(),
            mode: mount.mode.unwrap_or(SSH_MODE),
            optional: !mount.required,
        },
    });
}
