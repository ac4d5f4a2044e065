// SPDX-License-Identifier: Apache-2.0
//! The wire form of the graph: BuildKit's LLB. The only place that knows protobuf.
//!
//! `digest` is what names vertices; [`definition`] is what a `buildkitd` would be sent, and
//! [`definition_json`] is the same for people.
//!
//! Spec: BuildKit `solver/pb/ops.proto`; serialization is protobuf's canonical order (fields by
//! number, map entries by key), which is what BuildKit's own marshalling emits.

mod caps;
mod define;
mod encode;
mod json;
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
/// points at it. `language` is that of the source files, in the words of Linguist.
///
/// Spec: BuildKit `ops.proto`, message `Definition`.
pub fn definition(graph: &Graph, result: Option<Edge>, language: &str) -> Vec<u8> {
    define::definition(graph, result, language).encode_to_vec()
}

/// Returns the definition as JSON, in the form of BuildKit's `frontend.convertllb`: `def` and
/// `metadata` by digest, `source`.
///
/// Spec: protobuf's JSON mapping, fields that hold their default left out.
pub fn definition_json(graph: &Graph, result: Option<Edge>, language: &str) -> serde_json::Value {
    json::definition(&define::definition(graph, result, language))
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
        let bytes = definition(&graph, Some(Edge::first(run)), "");
        let decoded = message::Definition::decode(bytes.as_slice()).unwrap();
        assert_eq!(decoded.def.len(), 3);
        assert_eq!(sha256(&decoded.def[1]), graph.vertex(run).digest().0);
        let end = message::Op::decode(decoded.def[2].as_slice()).unwrap();
        assert_eq!(end.inputs[0].digest, graph.vertex(run).digest().to_string());
    }
}
