// SPDX-License-Identifier: Apache-2.0
//! Messages → JSON for people and tools.
//!
//! Spec: protobuf's JSON mapping: 64-bit numbers are strings, bytes base64, enums their names,
//! what holds its default is left out. `Observed:` BuildKit 73ed6825 `frontend.convertllb`, whose
//! `metadata` has snake-case names.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oci::sha256;
use prost::Message;
use serde_json::{Map, Value, json};

use super::message as pb;

/// Returns the JSON of a definition.
pub(super) fn definition(definition: &pb::Definition) -> Value {
    let mut def = BTreeMap::new();
    for bytes in &definition.def {
        let op = pb::Op::decode(bytes.as_slice()).expect("the bytes were encoded here");
        def.insert(sha256(bytes).to_string(), op.object());
    }
    let metadata = definition.metadata.iter();
    let metadata: BTreeMap<_, _> = metadata
        .map(|(digest, metadata)| (digest.clone(), metadata.object()))
        .collect();
    let source = definition.source.as_ref().map(Fields::object);
    json!({ "def": def, "metadata": metadata, "source": source })
}

/// A message, field by field.
trait Fields {
    fn fields(&self, out: &mut Object);

    fn object(&self) -> Value {
        let mut out = Object(Map::new());
        self.fields(&mut out);
        Value::Object(out.0)
    }
}

/// An object in the making.
struct Object(Map<String, Value>);

impl Object {
    fn field(&mut self, name: &str, value: &dyn Field) {
        if let Some(value) = value.value() {
            self.always(name, value);
        }
    }

    /// Adds a field of which even the default means something.
    fn always(&mut self, name: &str, value: Value) {
        self.0.insert(name.to_owned(), value);
    }

    fn name_of(&mut self, name: &str, names: &[&str], value: i32) {
        let known = usize::try_from(value).ok().and_then(|at| names.get(at));
        if value != 0 {
            self.always(
                name,
                known.map_or_else(|| json!(value), |known| json!(known)),
            );
        }
    }
}

/// The value of a field; nothing if it is the default.
trait Field {
    fn value(&self) -> Option<Value>;
}

impl Field for String {
    fn value(&self) -> Option<Value> {
        (!self.is_empty()).then(|| json!(self))
    }
}

impl Field for bool {
    fn value(&self) -> Option<Value> {
        self.then_some(Value::Bool(true))
    }
}

impl Field for i64 {
    fn value(&self) -> Option<Value> {
        (*self != 0).then(|| json!(self.to_string()))
    }
}

impl Field for i32 {
    fn value(&self) -> Option<Value> {
        (*self != 0).then(|| json!(self))
    }
}

impl Field for u32 {
    fn value(&self) -> Option<Value> {
        (*self != 0).then(|| json!(self))
    }
}

impl Field for Vec<u8> {
    fn value(&self) -> Option<Value> {
        (!self.is_empty()).then(|| json!(STANDARD.encode(self)))
    }
}

impl Field for Vec<String> {
    fn value(&self) -> Option<Value> {
        (!self.is_empty()).then(|| json!(self))
    }
}

impl Field for Vec<i32> {
    fn value(&self) -> Option<Value> {
        (!self.is_empty()).then(|| json!(self))
    }
}

impl Field for BTreeMap<String, String> {
    fn value(&self) -> Option<Value> {
        (!self.is_empty()).then(|| json!(self))
    }
}

impl Field for BTreeMap<String, bool> {
    fn value(&self) -> Option<Value> {
        (!self.is_empty()).then(|| json!(self))
    }
}

impl<M: Fields> Field for Option<M> {
    fn value(&self) -> Option<Value> {
        self.as_ref().map(Fields::object)
    }
}

impl<M: Fields> Field for Vec<M> {
    fn value(&self) -> Option<Value> {
        (!self.is_empty()).then(|| self.iter().map(Fields::object).collect())
    }
}

impl<M: Fields> Field for BTreeMap<String, M> {
    fn value(&self) -> Option<Value> {
        let entries = self.iter();
        let object = entries.map(|(key, one)| (key.clone(), one.object()));
        (!self.is_empty()).then(|| Value::Object(object.collect()))
    }
}

/// Writes the fields of messages that have nothing special.
macro_rules! messages {
    ($($message:ident { $($name:literal: $field:ident),* $(,)? })*) => {
        $(impl Fields for pb::$message {
            fn fields(&self, out: &mut Object) {
                $(out.field($name, &self.$field);)*
            }
        })*
    };
}

messages! {
    Input { "digest": digest, "index": index }
    PlatformMessage {
        "Architecture": architecture, "OS": os, "Variant": variant, "OSVersion": os_version,
        "OSFeatures": os_features,
    }
    WorkerConstraints { "filter": filter }
    SourceMessage { "identifier": identifier, "attrs": attrs }
    Meta {
        "args": args, "env": env, "cwd": cwd, "user": user, "proxyEnv": proxy_env,
        "extraHosts": extra_hosts, "hostname": hostname, "ulimit": ulimit,
        "cgroupParent": cgroup_parent, "removeMountStubsRecursive": remove_mount_stubs_recursive,
        "validExitCodes": valid_exit_codes,
    }
    ProxyEnvMessage {
        "httpProxy": http_proxy, "httpsProxy": https_proxy, "ftpProxy": ftp_proxy,
        "noProxy": no_proxy, "allProxy": all_proxy,
    }
    HostIp { "Host": host, "IP": ip }
    UlimitMessage { "Name": name, "Soft": soft, "Hard": hard }
    SecretEnvMessage { "ID": id, "name": name, "optional": optional }
    CdiDevice { "name": name, "optional": optional }
    TmpfsOpt { "size": size }
    SecretOpt { "ID": id, "uid": uid, "gid": gid, "mode": mode, "optional": optional }
    FileMessage { "actions": actions }
    CopyMessage {
        "src": src, "dest": dest, "owner": owner, "mode": mode, "followSymlink": follow_symlink,
        "dirCopyContents": dir_copy_contents, "attemptUnpackDockerCompatibility": attempt_unpack,
        "createDestPath": create_dest_path, "allowWildcard": allow_wildcard,
        "allowEmptyWildcard": allow_empty_wildcard, "timestamp": timestamp,
        "includePatterns": include_patterns, "excludePatterns": exclude_patterns,
        "alwaysReplaceExistingDestPaths": always_replace, "modeStr": mode_str,
        "requiredPaths": required_paths,
    }
    MkfileMessage {
        "path": path, "mode": mode, "data": content, "owner": owner, "timestamp": timestamp,
    }
    MkdirMessage {
        "path": path, "mode": mode, "makeParents": make_parents, "owner": owner,
        "timestamp": timestamp,
    }
    RmMessage { "path": path, "allowNotFound": allow_not_found, "allowWildcard": allow_wildcard }
    SymlinkMessage {
        "oldpath": oldpath, "newpath": newpath, "owner": owner, "timestamp": timestamp,
    }
    ChownOpt { "user": user, "group": group }
    NamedUserOpt { "name": name, "input": input }
    MergeMessage { "inputs": inputs }
    InputIndex { "input": input }
    DiffMessage { "lower": lower, "upper": upper }
    OpMetadata {
        "ignore_cache": ignore_cache, "description": description, "caps": caps,
        "progress_group": progress_group,
    }
    ProgressGroupMessage { "id": id, "name": name, "weak": weak }
    Source { "locations": locations, "infos": infos }
    Locations { "locations": locations }
    Location { "sourceIndex": source_index, "ranges": ranges }
    Range { "start": start, "end": end }
    Position { "line": line, "character": character }
    SourceInfo { "filename": filename, "data": content, "language": language }
}

impl Fields for pb::Op {
    fn fields(&self, out: &mut Object) {
        out.field("inputs", &self.inputs);
        match &self.op {
            Some(pb::OpKind::Exec(op)) => out.always("exec", op.object()),
            Some(pb::OpKind::Source(op)) => out.always("source", op.object()),
            Some(pb::OpKind::File(op)) => out.always("file", op.object()),
            Some(pb::OpKind::Merge(op)) => out.always("merge", op.object()),
            Some(pb::OpKind::Diff(op)) => out.always("diff", op.object()),
            None => {}
        }
        out.field("platform", &self.platform);
        out.field("constraints", &self.constraints);
    }
}

impl Fields for pb::ExecOp {
    fn fields(&self, out: &mut Object) {
        out.field("meta", &self.meta);
        out.field("mounts", &self.mounts);
        out.name_of("network", &["UNSET", "HOST", "NONE"], self.network);
        out.name_of("security", &["SANDBOX", "INSECURE"], self.security);
        out.field("secretenv", &self.secretenv);
        out.field("cdiDevices", &self.cdi_devices);
    }
}

impl Fields for pb::MountMessage {
    fn fields(&self, out: &mut Object) {
        out.field("input", &self.input);
        out.field("selector", &self.selector);
        out.field("dest", &self.dest);
        out.field("output", &self.output);
        out.field("readonly", &self.readonly);
        let kinds = ["BIND", "SECRET", "SSH", "CACHE", "TMPFS"];
        out.name_of("mountType", &kinds, self.mount_type);
        out.field("TmpfsOpt", &self.tmpfs_opt);
        out.field("cacheOpt", &self.cache_opt);
        out.field("secretOpt", &self.secret_opt);
        out.field("SSHOpt", &self.ssh_opt);
    }
}

impl Fields for pb::CacheOpt {
    fn fields(&self, out: &mut Object) {
        out.field("ID", &self.id);
        out.name_of("sharing", &["SHARED", "PRIVATE", "LOCKED"], self.sharing);
    }
}

impl Fields for pb::FileActionMessage {
    fn fields(&self, out: &mut Object) {
        out.field("input", &self.input);
        out.field("secondaryInput", &self.secondary_input);
        out.field("output", &self.output);
        match &self.action {
            Some(pb::FileKind::Copy(action)) => out.always("copy", action.object()),
            Some(pb::FileKind::Mkfile(action)) => out.always("mkfile", action.object()),
            Some(pb::FileKind::Mkdir(action)) => out.always("mkdir", action.object()),
            Some(pb::FileKind::Rm(action)) => out.always("rm", action.object()),
            Some(pb::FileKind::Symlink(action)) => out.always("symlink", action.object()),
            None => {}
        }
    }
}

impl Fields for pb::UserOpt {
    fn fields(&self, out: &mut Object) {
        match &self.user {
            Some(pb::UserKind::ByName(named)) => out.always("byName", named.object()),
            Some(pb::UserKind::ById(id)) => out.always("byID", json!(id)),
            None => {}
        }
    }
}
