// SPDX-License-Identifier: Apache-2.0
//! Vertex, edge, and the digest that names a vertex.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use oci::{Digest, Platform};

use crate::Op;

/// The name of a vertex: sha256 over the canonical bytes of its operation, which hold the digests
/// of its inputs.
///
/// Spec: BuildKit `ops.proto`, `Definition` and `Input.digest`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VertexDigest(pub Digest);

impl fmt::Display for VertexDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The place of a vertex in its [`crate::Graph`]; smaller ones are earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VertexId(pub(crate) usize);

impl VertexId {
    /// Returns the position, counted from 0.
    pub fn index(self) -> usize {
        self.0
    }
}

/// One output of a vertex.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Edge {
    /// The vertex.
    pub vertex: VertexId,
    /// Which of its outputs.
    pub output: u32,
}

impl Edge {
    /// Returns output 0 of `vertex`.
    pub fn first(vertex: VertexId) -> Self {
        Self { vertex, output: 0 }
    }
}

/// An operation over inputs.
#[derive(Clone, Debug)]
pub struct Vertex {
    /// What is done.
    pub op: Op,
    /// What it is done to.
    pub inputs: Vec<Edge>,
    /// What the operation runs on; part of the digest.
    pub platform: Option<Platform>,
    /// What people see; not part of the digest.
    pub meta: VertexMeta,
    pub(crate) digest: VertexDigest,
}

impl Vertex {
    /// Returns the digest.
    pub fn digest(&self) -> &VertexDigest {
        &self.digest
    }
}

/// What informs people and steers the solver without changing the result.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VertexMeta {
    /// Name of the step, e.g. `[build 2/5] RUN make`.
    pub name: String,
    /// What else tools are told, by key; the name is not among it.
    pub description: BTreeMap<String, String>,
    /// Where the step was written.
    pub location: Option<SourceRange>,
    /// Whether a recorded result is not looked up (`--no-cache`).
    pub ignore_cache: bool,
    /// The one line under which several vertices are shown.
    pub progress_group: Option<ProgressGroup>,
}

/// Vertices that people see as one step.
///
/// Spec: BuildKit `ops.proto`, message `ProgressGroup`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgressGroup {
    /// Equal for the vertices of a group, different for others.
    pub id: String,
    /// Name of the step.
    pub name: String,
    /// Whether the group is shown only while another of its vertices is.
    pub weak: bool,
}

/// A source file that vertices point into.
#[derive(Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// Name as shown to people, e.g. `Dockerfile`.
    pub name: String,
    /// The whole text.
    pub text: String,
}

/// Lines of a source file, counted from 1, `end_line` included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceRange {
    /// The file.
    pub file: Arc<SourceFile>,
    /// First line.
    pub start_line: u32,
    /// Last line.
    pub end_line: u32,
}
