// SPDX-License-Identifier: Apache-2.0
//! The language between frontends and the solver: a content-addressed graph of build operations.
//!
//! A frontend appends [`Vertex`]es to a [`Graph`]; each is an [`Op`] over [`Edge`]s to earlier
//! vertices and is named by its [`VertexDigest`]. The graph is BuildKit's LLB: same operations,
//! same fields, same bytes, so its digests are BuildKit's and either side can run the other's
//! graphs. [`llb`] is the only file that knows the wire form.
//!
//! Knows neither Dockerfiles nor how an operation is carried out.
//!
//! Invariants
//! 1. An edge points to an earlier vertex, so a graph has no cycles.
//! 2. Equal operations over equal inputs are one vertex.
//! 3. What only informs people (names, source locations) is in [`VertexMeta`], never in a digest.
//!
//! Spec: ours, and BuildKit's `solver/pb/ops.proto` for the wire form.

pub mod contract;
mod file;
mod frontend;
mod graph;
pub mod llb;
mod op;
pub mod path;
pub mod pattern;
mod render;
mod run;
pub mod suggest;
mod vertex;

pub use file::{
    ActionInput, Chown, CopyAction, FileAction, FileActionKind, FileOp, MkdirAction, MkfileAction,
    Principal, RemoveAction, SymlinkAction,
};
pub use frontend::{
    Frontend, ImageResolver, Plan, PlanTarget, ResolveError, ResolveMode, ResolvedImage,
    SourceTimeError, SourceTimes,
};
pub use graph::Graph;
pub use op::{Op, SourceOp};
pub use run::{
    CacheSharing, ExtraHost, Mount, MountKind, NetworkMode, ProxyEnv, RunOp, SecretEnv,
    SecurityMode, Ulimit,
};
pub use vertex::{
    Edge, ProgressGroup, SourceFile, SourceRange, Vertex, VertexDigest, VertexId, VertexMeta,
};
