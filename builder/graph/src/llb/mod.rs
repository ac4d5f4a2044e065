// SPDX-License-Identifier: Apache-2.0
//! The wire form of the graph: BuildKit's LLB. The only place that knows protobuf.
//!
//! `digest` is what names vertices; [`definition`] is what a `buildkitd` would be sent.
//!
//! Spec: BuildKit `solver/pb/ops.proto`; serialization is protobuf's canonical order (fields by
//! number, map entries by key), which is what BuildKit's own marshalling emits.

mod encode;
mod message;

use oci::{Platform, sha256};
use prost::Message;

use crate::{Edge, Graph, Op, VertexDigest};

/// Returns the digest of an operation: sha256 over its canonical bytes.
///
/// `inputs` are the digests of the input vertices and the output index of each.
pub(crate) fn digest(
    op: &Op,
    inputs: &[(&VertexDigest, u32)],
    platform: Option<&Platform>,
) -> VertexDigest {
    VertexDigest(sha256(&op_bytes(op, inputs, platform)))
}

/// Returns the canonical bytes of an operation.
pub fn op_bytes(op: &Op, inputs: &[(&VertexDigest, u32)], platform: Option<&Platform>) -> Vec<u8> {
    encode::op(op, inputs, platform).encode_to_vec()
}

/// Returns the `pb.Definition` of everything that `result` needs, ending in the bare op that
/// points at it.
///
/// Spec: BuildKit `ops.proto`, message `Definition`.
pub fn definition(graph: &Graph, result: Edge) -> Vec<u8> {
    let mut definition = message::Definition::default();
    for id in graph.reachable(&[result]) {
        let vertex = graph.vertex(id);
        let inputs = input_digests(graph, &vertex.inputs);
        definition
            .def
            .push(op_bytes(&vertex.op, &inputs, vertex.platform.as_ref()));
        let mut metadata = message::OpMetadata {
            ignore_cache: vertex.meta.ignore_cache,
            ..message::OpMetadata::default()
        };
        if !vertex.meta.name.is_empty() {
            metadata
                .description
                .insert("llb.customname".into(), vertex.meta.name.clone());
        }
        definition
            .metadata
            .insert(vertex.digest().to_string(), metadata);
    }
    let end = message::Op {
        inputs: encode::inputs(&input_digests(graph, &[result])),
        ..message::Op::default()
    };
    definition.def.push(end.encode_to_vec());
    definition.encode_to_vec()
}

fn input_digests<'g>(graph: &'g Graph, inputs: &[Edge]) -> Vec<(&'g VertexDigest, u32)> {
    inputs
        .iter()
        .map(|edge| (graph.vertex(edge.vertex).digest(), edge.output))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{Mount, RunOp, SourceOp, VertexMeta};

    #[test]
    fn source_op_has_protobufs_canonical_bytes() {
        // Spec: ops.proto; written out by hand: Op.source (3) { identifier (1) "local://a" },
        // Op.constraints (11) {}.
        let op = Op::Source(SourceOp {
            identifier: "local://a".into(),
            attrs: BTreeMap::new(),
        });
        let mut expected = vec![0x1a, 11, 0x0a, 9];
        expected.extend_from_slice(b"local://a");
        expected.extend_from_slice(&[0x5a, 0]);
        assert_eq!(op_bytes(&op, &[], None), expected);
    }

    #[test]
    fn definition_lists_inputs_first_and_ends_in_a_pointer() {
        let mut graph = Graph::new();
        let source = graph.add(
            Op::Source(SourceOp {
                identifier: "docker-image://docker.io/library/busybox:latest".into(),
                attrs: BTreeMap::new(),
            }),
            vec![],
            None,
            VertexMeta::default(),
        );
        let run = graph.add(
            Op::Run(Box::new(RunOp {
                args: vec!["/bin/true".into()],
                cwd: "/".into(),
                mounts: vec![Mount::root()],
                ..RunOp::default()
            })),
            vec![Edge::first(source)],
            None,
            VertexMeta::default(),
        );
        let bytes = definition(&graph, Edge::first(run));
        let decoded = message::Definition::decode(bytes.as_slice()).unwrap();
        assert_eq!(decoded.def.len(), 3);
        assert_eq!(sha256(&decoded.def[1]), graph.vertex(run).digest().0);
        let end = message::Op::decode(decoded.def[2].as_slice()).unwrap();
        assert_eq!(end.inputs[0].digest, graph.vertex(run).digest().to_string());
    }
}
