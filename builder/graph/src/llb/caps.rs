// SPDX-License-Identifier: Apache-2.0
//! Capabilities: which abilities of a daemon an operation needs, by the names of the protocol.
//!
//! Spec: BuildKit `solver/pb/caps.go`. `Observed:` BuildKit 73ed6825 `client/llb` for which
//! operation names which.

use std::collections::BTreeMap;

use crate::{MountKind, NetworkMode, Op, RunOp, SecurityMode, SourceOp};

type Caps = BTreeMap<String, bool>;

/// Attributes of sources and the ability that each needs.
const SOURCE_ATTRS: [(&str, &str); 15] = [
    ("git.checksum", "source.git.checksum"),
    ("git.fetchbycommit", "source.git.fetchbycommit"),
    ("git.fullurl", "source.git.fullurl"),
    ("git.keepgitdir", "source.git.keepgitdir"),
    ("git.knownsshhosts", "source.git.knownsshhosts"),
    ("git.mountsshsock", "source.git.knownsshhosts"),
    ("git.mountsshsock", "source.git.mountsshsock"),
    ("git.mtime", "source.git.mtime"),
    ("git.skipsubmodules", "source.git.skipsubmodules"),
    ("http.checksum", "source.http.checksum"),
    ("image.resolvemode", "source.image.resolvemode"),
    ("local.excludepatterns", "source.local.excludepatterns"),
    ("local.followpaths", "source.local.followpaths"),
    ("local.session", "source.local.sessionid"),
    ("local.sharedkeyhint", "source.local.sharedkeyhint"),
];

/// Returns what `op` needs.
pub(super) fn of(op: &Op) -> Caps {
    match op {
        Op::Source(op) => source(op),
        Op::Run(op) => run(op),
        Op::File(_) => named(["file.base"]),
        Op::Merge => named(["mergeop"]),
        Op::Diff { .. } => named(["diffop"]),
    }
}

/// Returns what reading a definition needs.
pub(super) fn of_definition(described: bool, ignores_cache: bool) -> Caps {
    let mut caps = named(["constraints", "platform"]);
    if described {
        caps.insert("meta.description".into(), true);
    }
    if ignores_cache {
        caps.insert("meta.ignorecache".into(), true);
    }
    caps
}

fn named<const N: usize>(names: [&str; N]) -> Caps {
    names
        .iter()
        .map(|name| ((*name).to_owned(), true))
        .collect()
}

fn source(op: &SourceOp) -> Caps {
    let mut caps = match op.identifier.split("://").next().unwrap_or_default() {
        "docker-image" => named(["source.image"]),
        "oci-layout" => named(["source.ocilayout"]),
        "local" => named(["source.local"]),
        "git" => named(["source.git"]),
        _ => named(["source.http"]),
    };
    let needed = SOURCE_ATTRS
        .iter()
        .filter(|(attr, _)| op.attrs.contains_key(*attr));
    caps.extend(needed.map(|(_, cap)| ((*cap).to_owned(), true)));
    caps
}

fn run(op: &RunOp) -> Caps {
    let mut caps = named(["exec.meta.base", "exec.meta.setsdefaultpath"]);
    let mut add = |name: &str, wanted: bool| {
        if wanted {
            caps.insert(name.to_owned(), true);
        }
    };
    add("exec.meta.network", op.network != NetworkMode::Sandbox);
    add("exec.meta.security", op.security == SecurityMode::Insecure);
    add("exec.meta.proxyenv", op.proxy_env.is_some());
    add("exec.meta.ulimit", !op.ulimits.is_empty());
    add("exec.meta.cdi", !op.devices.is_empty());
    add("exec.validexitcode", !op.valid_exit_codes.is_empty());
    add("exec.secretenv", !op.secret_env.is_empty());
    add("exec.mount.secret", !op.secret_env.is_empty());
    for mount in &op.mounts {
        add("exec.mount.selector", !mount.selector.is_empty());
        match &mount.kind {
            MountKind::Bind => add("exec.mount.bind", mount.input.is_some()),
            MountKind::Cache { .. } => {
                add("exec.mount.cache", true);
                add("exec.mount.cache.sharing", true);
            }
            MountKind::Tmpfs { size_bytes } => {
                add("exec.mount.tmpfs", true);
                add("exec.mount.tmpfs.size", *size_bytes > 0);
            }
            MountKind::Secret { .. } => add("exec.mount.secret", true),
            MountKind::Ssh { .. } => add("exec.mount.ssh", true),
        }
    }
    caps
}
