// SPDX-License-Identifier: Apache-2.0
//! The graph: append-only, therefore acyclic; equal vertices are kept once.

use std::collections::HashMap;

use oci::Platform;

use crate::{Edge, Op, Vertex, VertexDigest, VertexId, VertexMeta, llb};

/// Vertices in an order in which every input comes before its user.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    vertices: Vec<Vertex>,
    by_digest: HashMap<VertexDigest, VertexId>,
}

impl Graph {
    /// Returns a graph without vertices.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends an operation over `inputs`, or finds the equal one that is already there (whose
    /// [`VertexMeta`] then stays as it is, but for `ignore_cache`, which is joined).
    ///
    /// # Panics
    ///
    /// If an input is not of this graph.
    pub fn add(
        &mut self,
        op: Op,
        inputs: Vec<Edge>,
        platform: Option<Platform>,
        meta: VertexMeta,
    ) -> VertexId {
        assert!(
            inputs
                .iter()
                .all(|edge| edge.vertex.0 < self.vertices.len()),
            "an input must be an earlier vertex of the same graph"
        );
        let input_digests: Vec<(&VertexDigest, u32)> = inputs
            .iter()
            .map(|edge| (&self.vertices[edge.vertex.0].digest, edge.output))
            .collect();
        let digest = llb::digest(&op, &input_digests, platform.as_ref());
        if let Some(&id) = self.by_digest.get(&digest) {
            self.vertices[id.0].meta.ignore_cache |= meta.ignore_cache;
            return id;
        }
        let id = VertexId(self.vertices.len());
        self.by_digest.insert(digest.clone(), id);
        self.vertices.push(Vertex {
            op,
            inputs,
            platform,
            meta,
            digest,
        });
        id
    }

    /// Returns a vertex.
    ///
    /// # Panics
    ///
    /// If `id` is not of this graph.
    pub fn vertex(&self, id: VertexId) -> &Vertex {
        &self.vertices[id.0]
    }

    /// Returns how many vertices there are.
    pub fn len(&self) -> usize {
        self.vertices.len()
    }

    /// Tells whether there are no vertices.
    pub fn is_empty(&self) -> bool {
        self.vertices.is_empty()
    }

    /// Returns all vertices, inputs first.
    pub fn iter(&self) -> impl Iterator<Item = (VertexId, &Vertex)> {
        self.vertices
            .iter()
            .enumerate()
            .map(|(index, vertex)| (VertexId(index), vertex))
    }

    /// Returns the vertices that the given edges need, themselves included, inputs first.
    pub fn reachable(&self, from: &[Edge]) -> Vec<VertexId> {
        let mut wanted = vec![false; self.vertices.len()];
        for edge in from {
            wanted[edge.vertex.0] = true;
        }
        for index in (0..self.vertices.len()).rev() {
            if wanted[index] {
                for edge in &self.vertices[index].inputs {
                    wanted[edge.vertex.0] = true;
                }
            }
        }
        (0..self.vertices.len())
            .filter(|&index| wanted[index])
            .map(VertexId)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SourceOp;

    fn source(identifier: &str) -> Op {
        Op::Source(SourceOp {
            identifier: identifier.into(),
            attrs: std::collections::BTreeMap::new(),
        })
    }

    #[test]
    fn equal_operations_are_one_vertex() {
        let mut graph = Graph::new();
        let a = graph.add(
            source("local://context"),
            vec![],
            None,
            VertexMeta::default(),
        );
        let again = graph.add(
            source("local://context"),
            vec![],
            None,
            VertexMeta::default(),
        );
        let other = graph.add(source("local://other"), vec![], None, VertexMeta::default());
        assert_eq!(a, again);
        assert_ne!(a, other);
        assert_eq!(graph.len(), 2);
    }

    #[test]
    fn inputs_and_platform_are_part_of_the_digest() {
        let mut graph = Graph::new();
        let a = graph.add(source("local://a"), vec![], None, VertexMeta::default());
        let b = graph.add(source("local://b"), vec![], None, VertexMeta::default());
        let on = |graph: &mut Graph, vertex, platform| {
            let id = graph.add(
                Op::Merge,
                vec![Edge::first(vertex)],
                platform,
                VertexMeta::default(),
            );
            graph.vertex(id).digest().clone()
        };
        let over_a = on(&mut graph, a, None);
        assert_ne!(over_a, on(&mut graph, b, None));
        assert_ne!(over_a, on(&mut graph, a, Some(Platform::host())));
    }

    #[test]
    fn reachable_leaves_out_what_nobody_needs() {
        let mut graph = Graph::new();
        let a = graph.add(source("local://a"), vec![], None, VertexMeta::default());
        let _unused = graph.add(source("local://b"), vec![], None, VertexMeta::default());
        let top = graph.add(Op::Merge, vec![Edge::first(a)], None, VertexMeta::default());
        assert_eq!(graph.reachable(&[Edge::first(top)]), [a, top]);
    }
}
