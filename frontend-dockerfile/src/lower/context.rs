// SPDX-License-Identifier: Apache-2.0
//! The main context as vertices: a directory of the caller, or what was fetched.
//!
//! An ignore file counts for a directory alone: what is fetched comes as it is.
//!
//! `Observed:` BuildKit 73ed6825 `frontend/dockerui/context.go`.

use std::collections::BTreeSet;

use graph::{CopyAction, Edge, FileActionKind, Graph, Op, VertexMeta};

use super::Lowering;
use super::external;
use super::files::FileBuilder;
use crate::context::{DOWNLOAD, MainContext};
use crate::options::BuildOptions;
use crate::paths;

impl MainContext {
    /// Adds the vertices of a context that is fetched, and returns the tree of its files; none for
    /// a directory. A build has the same vertices, so that what was made of them before is found.
    ///
    /// # Errors
    ///
    /// What is wrong with a git address.
    pub fn add(&self, graph: &mut Graph, options: &BuildOptions) -> Result<Option<Edge>, String> {
        let Some((source, name)) = self.source(options)? else {
            return Ok(None);
        };
        let meta = VertexMeta {
            name,
            ..VertexMeta::default()
        };
        let mut tree = Edge::first(graph.add(Op::Source(source), Vec::new(), None, meta));
        if let Self::Http {
            is_archive: true, ..
        } = self
        {
            let action = CopyAction {
                src: format!("/{DOWNLOAD}"),
                attempt_unpack: true,
                ..CopyAction::default()
            };
            tree = rearranged(graph, tree, action);
        }
        if !options.context_subdir.is_empty() {
            let action = CopyAction {
                src: paths::resolve("/", &options.context_subdir),
                dir_copy_contents: true,
                ..CopyAction::default()
            };
            tree = rearranged(graph, tree, action);
        }
        Ok(Some(tree))
    }
}

/// Returns a tree made of one copy into nothing.
fn rearranged(graph: &mut Graph, tree: Edge, action: CopyAction) -> Edge {
    let mut file = FileBuilder::new(None);
    let input = file.input(Some(tree));
    let meta = VertexMeta {
        name: format!("copy {} /", action.src),
        ..VertexMeta::default()
    };
    let action = CopyAction {
        dest: "/".to_owned(),
        ..action
    };
    file.push(input, FileActionKind::Copy(Box::new(action)));
    file.finish(graph, meta)
}

impl Lowering<'_> {
    /// Returns the main context.
    pub(super) fn context(&mut self) -> Edge {
        if let Some(edge) = self.context {
            return edge;
        }
        let options = self.options();
        let edge = match options.context.add(self.graph, options) {
            Ok(Some(tree)) => tree,
            // An address that cannot be used was refused before.
            Ok(None) | Err(_) => self.local_context(),
        };
        self.context = Some(edge);
        edge
    }

    fn local_context(&mut self) -> Edge {
        let excludes = self.sources.ignore.to_list();
        let source = external::local(
            "context",
            "context".to_owned(),
            &excludes,
            &self.context_paths,
        );
        let meta = VertexMeta {
            name: "[internal] load build context".to_owned(),
            ..VertexMeta::default()
        };
        Edge::first(self.graph.add(Op::Source(source), Vec::new(), None, meta))
    }

    /// Notes that steps use `path` of the main context.
    pub(super) fn use_context_path(&mut self, path: &str) {
        self.used_paths.insert(paths::resolve("/", path));
    }

    /// Returns the paths that were noted.
    pub(super) fn take_used_paths(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.used_paths)
    }
}
