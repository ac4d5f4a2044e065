// SPDX-License-Identifier: Apache-2.0
//! Operations → protobuf messages.
//!
//! Spec: BuildKit `ops.proto`; −1 stands for "none" in every index, mode and timestamp.
//! `Observed:` BuildKit 73ed6825 leaves the output of secrets and agents at 0, though they have none.

use oci::Platform;

use super::message as pb;
use crate::{
    ActionInput, CacheSharing, Chown, CopyAction, FileActionKind, FileOp, Mount, MountKind,
    NetworkMode, Op, Principal, RunOp, SecurityMode, VertexDigest,
};

/// The SSH agent that goes without a name on the wire. `Observed:` BuildKit 73ed6825.
const DEFAULT_AGENT: &str = "default";

pub(super) fn op(
    op: &Op,
    op_inputs: &[(&VertexDigest, u32)],
    platform: Option<&Platform>,
) -> pb::Op {
    let kind = match op {
        Op::Source(source) => pb::OpKind::Source(pb::SourceMessage {
            identifier: source.identifier.clone(),
            attrs: source.attrs.clone(),
        }),
        Op::Run(run) => pb::OpKind::Exec(exec(run)),
        Op::File(file) => pb::OpKind::File(file_op(file, op_inputs.len())),
        Op::Merge => pb::OpKind::Merge(pb::MergeMessage {
            inputs: (0..op_inputs.len())
                .map(|at| pb::InputIndex { input: index(at) })
                .collect(),
        }),
        Op::Diff { lower, upper } => {
            let side = |at: &Option<usize>| pb::InputIndex {
                input: optional_index(*at),
            };
            pb::OpKind::Diff(pb::DiffMessage {
                lower: Some(side(lower)),
                upper: Some(side(upper)),
            })
        }
    };
    pb::Op {
        inputs: inputs(op_inputs),
        op: Some(kind),
        platform: platform.map(platform_message),
        constraints: Some(pb::WorkerConstraints::default()),
    }
}

pub(super) fn inputs(inputs: &[(&VertexDigest, u32)]) -> Vec<pb::Input> {
    inputs
        .iter()
        .map(|(digest, output)| pb::Input {
            digest: digest.to_string(),
            index: i64::from(*output),
        })
        .collect()
}

fn platform_message(platform: &Platform) -> pb::PlatformMessage {
    pb::PlatformMessage {
        architecture: platform.architecture.clone(),
        os: platform.os.clone(),
        variant: platform.variant.clone().unwrap_or_default(),
        os_version: platform.os_version.clone().unwrap_or_default(),
        os_features: platform.os_features.clone(),
    }
}

fn index(at: usize) -> i64 {
    i64::try_from(at).expect("an index of a list in memory fits 63 bits")
}

fn optional_index(at: Option<usize>) -> i64 {
    at.map_or(-1, index)
}

fn exec(run: &RunOp) -> pb::ExecOp {
    let meta = pb::Meta {
        args: run.args.clone(),
        env: run.env.clone(),
        cwd: run.cwd.clone(),
        user: run.user.clone(),
        proxy_env: run.proxy_env.as_ref().map(|proxy| pb::ProxyEnvMessage {
            http_proxy: proxy.http_proxy.clone(),
            https_proxy: proxy.https_proxy.clone(),
            ftp_proxy: proxy.ftp_proxy.clone(),
            no_proxy: proxy.no_proxy.clone(),
            all_proxy: proxy.all_proxy.clone(),
        }),
        extra_hosts: run
            .extra_hosts
            .iter()
            .map(|extra| pb::HostIp {
                host: extra.host.clone(),
                ip: extra.ip.clone(),
            })
            .collect(),
        hostname: run.hostname.clone(),
        ulimit: run
            .ulimits
            .iter()
            .map(|limit| pb::UlimitMessage {
                name: limit.name.clone(),
                soft: limit.soft,
                hard: limit.hard,
            })
            .collect(),
        cgroup_parent: run.cgroup_parent.clone(),
        // What was made only to mount something never stays, whoever runs the graph.
        remove_mount_stubs_recursive: true,
        valid_exit_codes: run.valid_exit_codes.clone(),
    };
    pb::ExecOp {
        meta: Some(meta),
        mounts: run.mounts.iter().map(mount).collect(),
        network: match run.network {
            NetworkMode::Sandbox => 0,
            NetworkMode::Host => 1,
            NetworkMode::None => 2,
        },
        security: match run.security {
            SecurityMode::Sandbox => 0,
            SecurityMode::Insecure => 1,
        },
        secretenv: run
            .secret_env
            .iter()
            .map(|secret| pb::SecretEnvMessage {
                id: secret.id.clone(),
                name: secret.name.clone(),
                optional: secret.optional,
            })
            .collect(),
        cdi_devices: run
            .devices
            .iter()
            .map(|(name, optional)| pb::CdiDevice {
                name: name.clone(),
                optional: *optional,
            })
            .collect(),
    }
}

fn mount(mount: &Mount) -> pb::MountMessage {
    let mut message = pb::MountMessage {
        input: optional_index(mount.input),
        selector: mount.selector.clone(),
        dest: mount.dest.clone(),
        output: mount.output.map_or(-1, i64::from),
        readonly: mount.readonly,
        ..pb::MountMessage::default()
    };
    match &mount.kind {
        MountKind::Bind => {}
        MountKind::Secret {
            id,
            uid,
            gid,
            mode,
            optional,
        } => {
            message.mount_type = 1;
            message.output = 0;
            message.secret_opt = Some(secret(id, (*uid, *gid), *mode, *optional));
        }
        MountKind::Ssh {
            id,
            uid,
            gid,
            mode,
            optional,
        } => {
            message.mount_type = 2;
            message.output = 0;
            let id = if id == DEFAULT_AGENT { "" } else { id };
            message.ssh_opt = Some(secret(id, (*uid, *gid), *mode, *optional));
        }
        MountKind::Cache { id, sharing } => {
            message.mount_type = 3;
            message.cache_opt = Some(pb::CacheOpt {
                id: id.clone(),
                sharing: match sharing {
                    CacheSharing::Shared => 0,
                    CacheSharing::Private => 1,
                    CacheSharing::Locked => 2,
                },
            });
        }
        MountKind::Tmpfs { size_bytes } => {
            message.mount_type = 4;
            message.tmpfs_opt = Some(pb::TmpfsOpt { size: *size_bytes });
        }
    }
    message
}

fn secret(id: &str, (uid, gid): (u32, u32), mode: u32, optional: bool) -> pb::SecretOpt {
    pb::SecretOpt {
        id: id.into(),
        uid,
        gid,
        mode,
        optional,
    }
}

fn file_op(file: &FileOp, input_count: usize) -> pb::FileMessage {
    let actions = file
        .actions
        .iter()
        .map(|action| pb::FileActionMessage {
            input: action_input(action.input, input_count),
            secondary_input: action_input(action.secondary, input_count),
            output: action.output.map_or(-1, i64::from),
            action: Some(file_kind(&action.kind, input_count)),
        })
        .collect();
    pb::FileMessage { actions }
}

/// Indices from the number of inputs upwards mean results of earlier actions.
fn action_input(input: ActionInput, input_count: usize) -> i64 {
    match input {
        ActionInput::Scratch => -1,
        ActionInput::Input(at) => index(at),
        ActionInput::Action(at) => index(input_count + at),
    }
}

fn file_kind(kind: &FileActionKind, input_count: usize) -> pb::FileKind {
    match kind {
        FileActionKind::Copy(copy) => pb::FileKind::Copy(copy_message(copy, input_count)),
        FileActionKind::Mkfile(action) => pb::FileKind::Mkfile(pb::MkfileMessage {
            path: action.path.clone(),
            mode: mode(Some(action.mode)),
            content: action.content.clone(),
            owner: owner(action.owner.as_ref(), input_count),
            timestamp: action.timestamp.unwrap_or(-1),
        }),
        FileActionKind::Mkdir(action) => pb::FileKind::Mkdir(pb::MkdirMessage {
            path: action.path.clone(),
            mode: mode(Some(action.mode)),
            make_parents: action.make_parents,
            owner: owner(action.owner.as_ref(), input_count),
            timestamp: action.timestamp.unwrap_or(-1),
        }),
        FileActionKind::Remove(action) => pb::FileKind::Rm(pb::RmMessage {
            path: action.path.clone(),
            allow_not_found: action.allow_not_found,
            allow_wildcard: action.allow_wildcard,
        }),
        FileActionKind::Symlink(action) => pb::FileKind::Symlink(pb::SymlinkMessage {
            oldpath: action.target.clone(),
            newpath: action.path.clone(),
            owner: owner(action.owner.as_ref(), input_count),
            timestamp: action.timestamp.unwrap_or(-1),
        }),
    }
}

fn copy_message(copy: &CopyAction, input_count: usize) -> pb::CopyMessage {
    pb::CopyMessage {
        src: copy.src.clone(),
        dest: copy.dest.clone(),
        owner: owner(copy.owner.as_ref(), input_count),
        // Of two ways to say it only one may be used.
        mode: if copy.mode_str.is_empty() {
            mode(copy.mode)
        } else {
            0
        },
        follow_symlink: copy.follow_symlink,
        dir_copy_contents: copy.dir_copy_contents,
        attempt_unpack: copy.attempt_unpack,
        create_dest_path: copy.create_dest_path,
        allow_wildcard: copy.allow_wildcard,
        allow_empty_wildcard: copy.allow_empty_wildcard,
        timestamp: copy.timestamp.unwrap_or(-1),
        include_patterns: copy.include_patterns.clone(),
        exclude_patterns: copy.exclude_patterns.clone(),
        always_replace: copy.always_replace,
        mode_str: copy.mode_str.clone(),
        required_paths: copy.required_paths.clone(),
    }
}

fn mode(mode: Option<u32>) -> i32 {
    mode.map_or(-1, |bits| i32::try_from(bits & 0o7777).unwrap_or(-1))
}

fn owner(owner: Option<&Chown>, input_count: usize) -> Option<pb::ChownOpt> {
    let principal = |principal: &Principal| {
        let user = match principal {
            Principal::Id(id) => pb::UserKind::ById(*id),
            Principal::Name { name, input } => pb::UserKind::ByName(pb::NamedUserOpt {
                name: name.clone(),
                input: action_input(*input, input_count),
            }),
        };
        pb::UserOpt { user: Some(user) }
    };
    owner.map(|owner| pb::ChownOpt {
        user: owner.user.as_ref().map(principal),
        group: owner.group.as_ref().map(principal),
    })
}
