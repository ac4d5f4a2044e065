// SPDX-License-Identifier: Apache-2.0
//! The protobuf messages of LLB, field by field.
//!
//! Spec: BuildKit `solver/pb/ops.proto`, package `pb`; names and numbers are the wire contract.

#![expect(
    clippy::struct_field_names,
    clippy::large_enum_variant,
    clippy::struct_excessive_bools,
    reason = "names and shapes are those of ops.proto"
)]

use std::collections::BTreeMap;

use prost::{Message, Oneof};

#[derive(Clone, PartialEq, Message)]
pub(super) struct Definition {
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub(super) def: Vec<Vec<u8>>,
    #[prost(btree_map = "string, message", tag = "2")]
    pub(super) metadata: BTreeMap<String, OpMetadata>,
    #[prost(message, optional, tag = "3")]
    pub(super) source: Option<Source>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Source {
    #[prost(btree_map = "string, message", tag = "1")]
    pub(super) locations: BTreeMap<String, Locations>,
    #[prost(message, repeated, tag = "2")]
    pub(super) infos: Vec<SourceInfo>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Locations {
    #[prost(message, repeated, tag = "1")]
    pub(super) locations: Vec<Location>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SourceInfo {
    #[prost(string, tag = "1")]
    pub(super) filename: String,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) content: Vec<u8>,
    #[prost(string, tag = "4")]
    pub(super) language: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Location {
    #[prost(int32, tag = "1")]
    pub(super) source_index: i32,
    #[prost(message, repeated, tag = "2")]
    pub(super) ranges: Vec<Range>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Range {
    #[prost(message, optional, tag = "1")]
    pub(super) start: Option<Position>,
    #[prost(message, optional, tag = "2")]
    pub(super) end: Option<Position>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Position {
    #[prost(int32, tag = "1")]
    pub(super) line: i32,
    #[prost(int32, tag = "2")]
    pub(super) character: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct OpMetadata {
    #[prost(bool, tag = "1")]
    pub(super) ignore_cache: bool,
    #[prost(btree_map = "string, string", tag = "2")]
    pub(super) description: BTreeMap<String, String>,
    #[prost(btree_map = "string, bool", tag = "5")]
    pub(super) caps: BTreeMap<String, bool>,
    #[prost(message, optional, tag = "6")]
    pub(super) progress_group: Option<ProgressGroupMessage>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ProgressGroupMessage {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(string, tag = "2")]
    pub(super) name: String,
    #[prost(bool, tag = "3")]
    pub(super) weak: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Op {
    #[prost(message, repeated, tag = "1")]
    pub(super) inputs: Vec<Input>,
    #[prost(oneof = "OpKind", tags = "2, 3, 4, 6, 7")]
    pub(super) op: Option<OpKind>,
    #[prost(message, optional, tag = "10")]
    pub(super) platform: Option<PlatformMessage>,
    #[prost(message, optional, tag = "11")]
    pub(super) constraints: Option<WorkerConstraints>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum OpKind {
    #[prost(message, tag = "2")]
    Exec(ExecOp),
    #[prost(message, tag = "3")]
    Source(SourceMessage),
    #[prost(message, tag = "4")]
    File(FileMessage),
    #[prost(message, tag = "6")]
    Merge(MergeMessage),
    #[prost(message, tag = "7")]
    Diff(DiffMessage),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct PlatformMessage {
    #[prost(string, tag = "1")]
    pub(super) architecture: String,
    #[prost(string, tag = "2")]
    pub(super) os: String,
    #[prost(string, tag = "3")]
    pub(super) variant: String,
    #[prost(string, tag = "4")]
    pub(super) os_version: String,
    #[prost(string, repeated, tag = "5")]
    pub(super) os_features: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct WorkerConstraints {
    #[prost(string, repeated, tag = "1")]
    pub(super) filter: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Input {
    #[prost(string, tag = "1")]
    pub(super) digest: String,
    #[prost(int64, tag = "2")]
    pub(super) index: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SourceMessage {
    #[prost(string, tag = "1")]
    pub(super) identifier: String,
    #[prost(btree_map = "string, string", tag = "2")]
    pub(super) attrs: BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ExecOp {
    #[prost(message, optional, tag = "1")]
    pub(super) meta: Option<Meta>,
    #[prost(message, repeated, tag = "2")]
    pub(super) mounts: Vec<MountMessage>,
    #[prost(int32, tag = "3")]
    pub(super) network: i32,
    #[prost(int32, tag = "4")]
    pub(super) security: i32,
    #[prost(message, repeated, tag = "5")]
    pub(super) secretenv: Vec<SecretEnvMessage>,
    #[prost(message, repeated, tag = "6")]
    pub(super) cdi_devices: Vec<CdiDevice>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Meta {
    #[prost(string, repeated, tag = "1")]
    pub(super) args: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    pub(super) env: Vec<String>,
    #[prost(string, tag = "3")]
    pub(super) cwd: String,
    #[prost(string, tag = "4")]
    pub(super) user: String,
    #[prost(message, optional, tag = "5")]
    pub(super) proxy_env: Option<ProxyEnvMessage>,
    #[prost(message, repeated, tag = "6")]
    pub(super) extra_hosts: Vec<HostIp>,
    #[prost(string, tag = "7")]
    pub(super) hostname: String,
    #[prost(message, repeated, tag = "9")]
    pub(super) ulimit: Vec<UlimitMessage>,
    #[prost(string, tag = "10")]
    pub(super) cgroup_parent: String,
    #[prost(bool, tag = "11")]
    pub(super) remove_mount_stubs_recursive: bool,
    #[prost(int32, repeated, tag = "12")]
    pub(super) valid_exit_codes: Vec<i32>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ProxyEnvMessage {
    #[prost(string, tag = "1")]
    pub(super) http_proxy: String,
    #[prost(string, tag = "2")]
    pub(super) https_proxy: String,
    #[prost(string, tag = "3")]
    pub(super) ftp_proxy: String,
    #[prost(string, tag = "4")]
    pub(super) no_proxy: String,
    #[prost(string, tag = "5")]
    pub(super) all_proxy: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct HostIp {
    #[prost(string, tag = "1")]
    pub(super) host: String,
    #[prost(string, tag = "2")]
    pub(super) ip: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct UlimitMessage {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(int64, tag = "2")]
    pub(super) soft: i64,
    #[prost(int64, tag = "3")]
    pub(super) hard: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SecretEnvMessage {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(string, tag = "2")]
    pub(super) name: String,
    #[prost(bool, tag = "3")]
    pub(super) optional: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct CdiDevice {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(bool, tag = "2")]
    pub(super) optional: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct MountMessage {
    #[prost(int64, tag = "1")]
    pub(super) input: i64,
    #[prost(string, tag = "2")]
    pub(super) selector: String,
    #[prost(string, tag = "3")]
    pub(super) dest: String,
    #[prost(int64, tag = "4")]
    pub(super) output: i64,
    #[prost(bool, tag = "5")]
    pub(super) readonly: bool,
    #[prost(int32, tag = "6")]
    pub(super) mount_type: i32,
    #[prost(message, optional, tag = "19")]
    pub(super) tmpfs_opt: Option<TmpfsOpt>,
    #[prost(message, optional, tag = "20")]
    pub(super) cache_opt: Option<CacheOpt>,
    #[prost(message, optional, tag = "21")]
    pub(super) secret_opt: Option<SecretOpt>,
    #[prost(message, optional, tag = "22")]
    pub(super) ssh_opt: Option<SecretOpt>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TmpfsOpt {
    #[prost(int64, tag = "1")]
    pub(super) size: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct CacheOpt {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(int32, tag = "2")]
    pub(super) sharing: i32,
}

/// `SecretOpt` and `SSHOpt`, which have the same fields under the same numbers.
#[derive(Clone, PartialEq, Message)]
pub(super) struct SecretOpt {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(uint32, tag = "2")]
    pub(super) uid: u32,
    #[prost(uint32, tag = "3")]
    pub(super) gid: u32,
    #[prost(uint32, tag = "4")]
    pub(super) mode: u32,
    #[prost(bool, tag = "5")]
    pub(super) optional: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct FileMessage {
    #[prost(message, repeated, tag = "2")]
    pub(super) actions: Vec<FileActionMessage>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct FileActionMessage {
    #[prost(int64, tag = "1")]
    pub(super) input: i64,
    #[prost(int64, tag = "2")]
    pub(super) secondary_input: i64,
    #[prost(int64, tag = "3")]
    pub(super) output: i64,
    #[prost(oneof = "FileKind", tags = "4, 5, 6, 7, 8")]
    pub(super) action: Option<FileKind>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum FileKind {
    #[prost(message, tag = "4")]
    Copy(CopyMessage),
    #[prost(message, tag = "5")]
    Mkfile(MkfileMessage),
    #[prost(message, tag = "6")]
    Mkdir(MkdirMessage),
    #[prost(message, tag = "7")]
    Rm(RmMessage),
    #[prost(message, tag = "8")]
    Symlink(SymlinkMessage),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct CopyMessage {
    #[prost(string, tag = "1")]
    pub(super) src: String,
    #[prost(string, tag = "2")]
    pub(super) dest: String,
    #[prost(message, optional, tag = "3")]
    pub(super) owner: Option<ChownOpt>,
    #[prost(int32, tag = "4")]
    pub(super) mode: i32,
    #[prost(bool, tag = "5")]
    pub(super) follow_symlink: bool,
    #[prost(bool, tag = "6")]
    pub(super) dir_copy_contents: bool,
    #[prost(bool, tag = "7")]
    pub(super) attempt_unpack: bool,
    #[prost(bool, tag = "8")]
    pub(super) create_dest_path: bool,
    #[prost(bool, tag = "9")]
    pub(super) allow_wildcard: bool,
    #[prost(bool, tag = "10")]
    pub(super) allow_empty_wildcard: bool,
    #[prost(int64, tag = "11")]
    pub(super) timestamp: i64,
    #[prost(string, repeated, tag = "12")]
    pub(super) include_patterns: Vec<String>,
    #[prost(string, repeated, tag = "13")]
    pub(super) exclude_patterns: Vec<String>,
    #[prost(bool, tag = "14")]
    pub(super) always_replace: bool,
    #[prost(string, tag = "15")]
    pub(super) mode_str: String,
    #[prost(string, repeated, tag = "16")]
    pub(super) required_paths: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct MkfileMessage {
    #[prost(string, tag = "1")]
    pub(super) path: String,
    #[prost(int32, tag = "2")]
    pub(super) mode: i32,
    #[prost(bytes = "vec", tag = "3")]
    pub(super) content: Vec<u8>,
    #[prost(message, optional, tag = "4")]
    pub(super) owner: Option<ChownOpt>,
    #[prost(int64, tag = "5")]
    pub(super) timestamp: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct MkdirMessage {
    #[prost(string, tag = "1")]
    pub(super) path: String,
    #[prost(int32, tag = "2")]
    pub(super) mode: i32,
    #[prost(bool, tag = "3")]
    pub(super) make_parents: bool,
    #[prost(message, optional, tag = "4")]
    pub(super) owner: Option<ChownOpt>,
    #[prost(int64, tag = "5")]
    pub(super) timestamp: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct RmMessage {
    #[prost(string, tag = "1")]
    pub(super) path: String,
    #[prost(bool, tag = "2")]
    pub(super) allow_not_found: bool,
    #[prost(bool, tag = "3")]
    pub(super) allow_wildcard: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SymlinkMessage {
    #[prost(string, tag = "1")]
    pub(super) oldpath: String,
    #[prost(string, tag = "2")]
    pub(super) newpath: String,
    #[prost(message, optional, tag = "3")]
    pub(super) owner: Option<ChownOpt>,
    #[prost(int64, tag = "4")]
    pub(super) timestamp: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ChownOpt {
    #[prost(message, optional, tag = "1")]
    pub(super) user: Option<UserOpt>,
    #[prost(message, optional, tag = "2")]
    pub(super) group: Option<UserOpt>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct UserOpt {
    #[prost(oneof = "UserKind", tags = "1, 2")]
    pub(super) user: Option<UserKind>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum UserKind {
    #[prost(message, tag = "1")]
    ByName(NamedUserOpt),
    #[prost(uint32, tag = "2")]
    ById(u32),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct NamedUserOpt {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(int64, tag = "2")]
    pub(super) input: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct MergeMessage {
    #[prost(message, repeated, tag = "1")]
    pub(super) inputs: Vec<InputIndex>,
}

/// `MergeInput`, `LowerDiffInput` and `UpperDiffInput`, which have the same shape.
#[derive(Clone, PartialEq, Message)]
pub(super) struct InputIndex {
    #[prost(int64, tag = "1")]
    pub(super) input: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct DiffMessage {
    #[prost(message, optional, tag = "1")]
    pub(super) lower: Option<InputIndex>,
    #[prost(message, optional, tag = "2")]
    pub(super) upper: Option<InputIndex>,
}
