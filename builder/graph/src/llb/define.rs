// SPDX-License-Identifier: Apache-2.0
//! A graph → the definition message: operations, what people are told about them, source map.
//!
//! Spec: BuildKit `ops.proto`, messages `Definition`, `OpMetadata`, `Source`.

use std::collections::BTreeMap;
use std::sync::Arc;

use oci::sha256;
use prost::Message;

use super::message as pb;
use super::{caps, encode, op_bytes};
use crate::{Edge, Graph, ProgressGroup, SourceFile, SourceRange, VertexDigest, VertexMeta};

/// Under this key of a description stands the name of the step.
const NAME_KEY: &str = "llb.customname";

/// Returns the definition of everything that `result` needs; the empty tree needs nothing.
pub(super) fn definition(graph: &Graph, result: Option<Edge>, language: &str) -> pb::Definition {
    let mut definition = pb::Definition::default();
    let mut files = Files::default();
    let mut locations = BTreeMap::new();
    let Some(result) = result else {
        return definition;
    };
    for id in graph.reachable(&[result]) {
        let vertex = graph.vertex(id);
        let inputs = input_digests(graph, &vertex.inputs);
        let bytes = op_bytes(&vertex.op, &inputs, vertex.platform.as_ref());
        definition.def.push(bytes);
        let digest = vertex.digest().to_string();
        let mut metadata = metadata(&vertex.meta);
        metadata.caps = caps::of(&vertex.op);
        definition.metadata.insert(digest.clone(), metadata);
        let location = vertex.meta.location.as_ref();
        let found = location.map(|range| files.location(range));
        let found = pb::Locations {
            locations: found.into_iter().collect(),
        };
        locations.insert(digest, found);
    }
    let end = pb::Op {
        inputs: encode::inputs(&input_digests(graph, &[result])),
        ..pb::Op::default()
    };
    let end = end.encode_to_vec();
    let known = definition.metadata.values();
    let described = known.clone().any(|one| !one.description.is_empty());
    let ignores_cache = known.clone().any(|one| one.ignore_cache);
    let of_all = pb::OpMetadata {
        caps: caps::of_definition(described, ignores_cache),
        ..pb::OpMetadata::default()
    };
    definition.metadata.insert(sha256(&end).to_string(), of_all);
    definition.def.push(end);
    definition.source = Some(pb::Source {
        locations,
        infos: files.infos(language),
    });
    definition
}

fn input_digests<'g>(graph: &'g Graph, inputs: &[Edge]) -> Vec<(&'g VertexDigest, u32)> {
    inputs
        .iter()
        .map(|edge| (graph.vertex(edge.vertex).digest(), edge.output))
        .collect()
}

fn metadata(meta: &VertexMeta) -> pb::OpMetadata {
    let mut description = meta.description.clone();
    if !meta.name.is_empty() {
        description.insert(NAME_KEY.to_owned(), meta.name.clone());
    }
    pb::OpMetadata {
        ignore_cache: meta.ignore_cache,
        description,
        caps: BTreeMap::new(),
        progress_group: meta.progress_group.as_ref().map(progress_group),
    }
}

fn progress_group(group: &ProgressGroup) -> pb::ProgressGroupMessage {
    pb::ProgressGroupMessage {
        id: group.id.clone(),
        name: group.name.clone(),
        weak: group.weak,
    }
}

/// The source files met so far.
#[derive(Default)]
struct Files(Vec<Arc<SourceFile>>);

impl Files {
    fn location(&mut self, range: &SourceRange) -> pb::Location {
        let known = self.0.iter().position(|file| **file == *range.file);
        let index = known.unwrap_or_else(|| {
            self.0.push(Arc::clone(&range.file));
            self.0.len() - 1
        });
        // One range for each line. `Observed:` BuildKit 73ed6825.
        let ranges = (range.start_line..=range.end_line).map(|line| {
            let position = pb::Position {
                line: i32::try_from(line).unwrap_or(i32::MAX),
                character: 0,
            };
            pb::Range {
                start: Some(position.clone()),
                end: Some(position),
            }
        });
        pb::Location {
            source_index: i32::try_from(index).unwrap_or(i32::MAX),
            ranges: ranges.collect(),
        }
    }

    fn infos(self, language: &str) -> Vec<pb::SourceInfo> {
        let files = self.0.into_iter();
        files
            .map(|file| pb::SourceInfo {
                filename: file.name.clone(),
                content: file.text.clone().into_bytes(),
                language: language.to_owned(),
            })
            .collect()
    }
}
