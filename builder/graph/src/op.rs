// SPDX-License-Identifier: Apache-2.0
//! The operation of a vertex.
//!
//! Spec: BuildKit `ops.proto`, messages `Op`, `SourceOp`, `MergeOp`, `DiffOp`.

use std::collections::BTreeMap;

use crate::{FileOp, RunOp};

/// What a vertex does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Brings content in; no inputs.
    Source(SourceOp),
    /// Runs a process; inputs are what its mounts name.
    Run(Box<RunOp>),
    /// Changes files without a process.
    File(FileOp),
    /// Lays its inputs over each other in order, later ones on top.
    Merge,
    /// The changes that lead from input 0 to input 1; a missing side is the empty tree.
    Diff {
        /// Index of the older side among the inputs, or none for the empty tree.
        lower: Option<usize>,
        /// Index of the newer side among the inputs, or none for the empty tree.
        upper: Option<usize>,
    },
}

/// Content from outside, by identifier.
///
/// | Scheme | Content |
/// |---|---|
/// | `docker-image://host/path:tag@digest` | root file system of an image |
/// | `oci-layout://…` | the same from a layout directory |
/// | `local://name` | a directory of the caller: `context` or a named context |
/// | `http://`, `https://` | one file |
/// | `git://` | a checkout |
///
/// Spec: BuildKit `ops.proto`, message `SourceOp`; attribute names as in `solver/pb/attr.go`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceOp {
    /// Scheme and name.
    pub identifier: String,
    /// Attributes that change what the content is, sorted by name.
    pub attrs: BTreeMap<String, String>,
}
