// SPDX-License-Identifier: Apache-2.0
//! `RUN --mount`: what a step sees besides its root.
//!
//! | Kind | Shows | Changes |
//! |---|---|---|
//! | bind | a tree, or a path in it | fail, or (`rw`) are dropped with the step |
//! | cache | a directory that outlives the build | stay |
//! | tmpfs | memory | are dropped |
//! | secret | one file in memory | are dropped |
//! | ssh | a socket of kiln's own that passes on requests to an agent | — |

use std::path::Path;

use cache::{ActiveSnapshot, CacheMount, CacheMountRequest, Owner, SnapshotId};
use graph::{CacheSharing, Mount, MountKind, RunOp};
use runtime::{MountSource, Overlay, Step};

use super::{Ops, Output, context, file};
use crate::cdi::Edits;
use crate::ssh::{AgentSocket, SocketOwner};
use crate::step_error::StepError;

/// What must live until the step has ended.
#[derive(Debug, Default)]
pub(crate) struct Held {
    scratch: Vec<ActiveSnapshot>,
    caches: Vec<CacheMount>,
    agents: Vec<AgentSocket>,
}

/// Adds all mounts of a process but the root to `step`.
pub(crate) fn add(
    ops: &Ops,
    run: &RunOp,
    inputs: &[Output],
    step: &mut Step,
    held: &mut Held,
) -> Result<(), StepError> {
    for mount in run.mounts.iter().filter(|mount| mount.dest != "/") {
        if mount.dest == "/dev/shm"
            && let MountKind::Tmpfs { size_bytes } = mount.kind
        {
            step.shm_size_bytes = u64::try_from(size_bytes).ok().filter(|size| *size > 0);
            continue;
        }
        if let Some(source) = source(ops, mount, inputs, held)? {
            step.mounts.push(runtime::Mount {
                target: target(run, &mount.dest),
                source,
                read_only: mount.readonly,
            });
        }
    }
    if let Some(host_ca) = &ops.host_ca {
        step.mounts.extend(host_ca.mounts());
    }
    Ok(())
}

/// Returns where a mount goes. A relative target is one in the working directory.
fn target(run: &RunOp, dest: &str) -> String {
    match dest.strip_prefix('/') {
        Some(_) => graph::path::clean(dest),
        None => graph::path::clean(&format!("{}/{dest}", run.cwd)),
    }
}

/// Returns the mount of an interpreter that the kernel looks for in the root of a step.
pub(crate) fn interpreter(path: &Path) -> runtime::Mount {
    runtime::Mount {
        target: path.display().to_string(),
        source: MountSource::HostPath(path.to_owned()),
        read_only: true,
    }
}

/// Returns the mounts that come with a device.
pub(crate) fn of_device(edits: &Edits) -> Vec<runtime::Mount> {
    let nodes = edits.device_nodes.iter().map(|node| runtime::Mount {
        target: node.path.clone(),
        source: MountSource::Device(node.host_path()),
        read_only: false,
    });
    let files = edits.mounts.iter().map(|mount| runtime::Mount {
        target: mount.container_path.clone(),
        source: MountSource::HostPath(mount.host_path.clone()),
        read_only: mount.is_read_only(),
    });
    nodes.chain(files).collect()
}

fn memory_file(content: Vec<u8>, mode: u32, (uid, gid): (u32, u32)) -> MountSource {
    MountSource::File {
        content,
        mode,
        uid,
        gid,
    }
}

fn source(
    ops: &Ops,
    mount: &Mount,
    inputs: &[Output],
    held: &mut Held,
) -> Result<Option<MountSource>, StepError> {
    if mount.output.is_some() {
        return Err(StepError::Unsupported(
            "keeping the changes of a mount other than the root",
        ));
    }
    match &mount.kind {
        MountKind::Bind => bind(ops, mount, inputs, held).map(Some),
        MountKind::Cache { id, sharing } => {
            cache_mount(ops, mount, (id, *sharing), inputs, held).map(Some)
        }
        MountKind::Tmpfs { size_bytes } => Ok(Some(MountSource::Tmpfs {
            size_bytes: u64::try_from(*size_bytes).ok().filter(|size| *size > 0),
            mode: 0o1777,
            uid: 0,
            gid: 0,
        })),
        MountKind::Secret {
            id,
            uid,
            gid,
            mode,
            optional,
        } => match ops.secrets.get(id) {
            Some(value) => Ok(Some(memory_file(value.to_vec(), *mode, (*uid, *gid)))),
            None if *optional => Ok(None),
            None => Err(StepError::SecretMissing(id.clone())),
        },
        &MountKind::Ssh {
            ref id,
            uid,
            gid,
            mode,
            optional,
        } => {
            let owner = SocketOwner { mode, uid, gid };
            ssh(ops, id, owner, optional, held)
        }
    }
}

/// Makes the socket of a step to an agent. It is served until the step has ended.
fn ssh(
    ops: &Ops,
    id: &str,
    owner: SocketOwner,
    optional: bool,
    held: &mut Held,
) -> Result<Option<MountSource>, StepError> {
    let Some(agent) = ops.ssh.get(id) else {
        if optional {
            return Ok(None);
        }
        return Err(StepError::SshMissing(id.into()));
    };
    let parent = ops.store.path().join("tmp");
    let socket = AgentSocket::listen(&parent, agent, owner);
    let socket = socket.map_err(|source| StepError::SshSocket {
        id: id.into(),
        source,
    })?;
    let path = socket.path();
    held.agents.push(socket);
    Ok(Some(MountSource::HostPath(path)))
}

/// Returns the tree of an input; a local directory is copied, so that the step sees neither what
/// the ignore file hides nor the owners of this machine.
fn tree_of(ops: &Ops, mount: &Mount, inputs: &[Output]) -> Result<Option<SnapshotId>, StepError> {
    match mount.input.map(|at| &inputs[at]) {
        None => Ok(None),
        Some(Output::Tree(tree)) => Ok(*tree),
        Some(Output::Local(name)) => materialize(ops, name, &mount.selector),
    }
}

fn bind(
    ops: &Ops,
    mount: &Mount,
    inputs: &[Output],
    held: &mut Held,
) -> Result<MountSource, StepError> {
    let tree = tree_of(ops, mount, inputs)?;
    let overlay = if mount.readonly {
        Overlay {
            lower: lowers(ops, tree)?,
            upper: None,
        }
    } else {
        let scratch = ops.store.prepare(tree)?;
        let overlay = Overlay {
            lower: scratch.lowers().to_vec(),
            upper: Some((scratch.upper_dir().into(), scratch.work_dir().into())),
        };
        held.scratch.push(scratch);
        overlay
    };
    Ok(MountSource::Overlay {
        overlay,
        selector: mount.selector.clone(),
    })
}

fn lowers(ops: &Ops, tree: Option<SnapshotId>) -> Result<Vec<std::path::PathBuf>, StepError> {
    match tree {
        None => Ok(Vec::new()),
        Some(id) => Ok(ops.store.snapshot(id)?.lowers),
    }
}

fn cache_mount(
    ops: &Ops,
    mount: &Mount,
    (id, sharing): (&str, CacheSharing),
    inputs: &[Output],
    held: &mut Held,
) -> Result<MountSource, StepError> {
    let sharing = match sharing {
        CacheSharing::Shared => cache::Sharing::Shared,
        CacheSharing::Private => cache::Sharing::Private,
        CacheSharing::Locked => cache::Sharing::Locked,
    };
    let base = tree_of(ops, mount, inputs)?;
    let selector = format!("/{}", mount.selector.trim_start_matches('/'));
    // Docs: BuildKit, a cache that starts from a tree belongs to that tree: with another one, or with
    // the same one made anew, it starts again. A local directory is copied for every build.
    let is_local = matches!(mount.input.map(|at| &inputs[at]), Some(Output::Local(_)));
    let name = match base {
        Some(tree) if !is_local => format!("{id}:{tree}"),
        _ => id.to_owned(),
    };
    let base = match base {
        None => None,
        Some(tree) => Some(ops.store.view(tree)?),
    };
    let attributes = match &base {
        None => None,
        Some(view) => view.stat(&selector)?,
    };
    let request = CacheMountRequest {
        id: &name,
        sharing,
        mode: attributes.as_ref().map_or(0o755, |meta| meta.mode),
        owner: attributes.as_ref().map_or(Owner::ROOT, |meta| meta.owner),
    };
    let opened = ops
        .store
        .cache_mount(&request, &|| ops.cancel.is_cancelled())
        .map_err(|source| StepError::CacheMount {
            id: id.into(),
            source,
        })?;
    if opened.is_fresh()
        && let Some(view) = &base
    {
        file::copy_all(view, &selector, opened.dir())?;
    }
    let path = opened.dir().to_path_buf();
    held.caches.push(opened);
    Ok(MountSource::Directory {
        path,
        selector: String::new(),
    })
}

/// Copies what a local directory shows at `selector` into a snapshot, at the same path.
pub(crate) fn materialize(
    ops: &Ops,
    name: &str,
    selector: &str,
) -> Result<Option<SnapshotId>, StepError> {
    let context = context::get(ops, name)?;
    context.materialize(ops, selector).map(Some)
}
