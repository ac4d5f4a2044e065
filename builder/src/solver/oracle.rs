// SPDX-License-Identifier: Apache-2.0
//! A naive evaluator without cache and without concurrency, and the property that the machine
//! agrees with it whatever the order of events.
//!
//! The world is arithmetic: a vertex's value is a hash of its operation and of what it reads from
//! its inputs; "content" that is read by selection is the value modulo a small number, so that
//! different inputs often have equal content, as files do.

use std::collections::HashMap;

use cache::CacheKey;
use graph::{Edge, Graph, Op, SourceOp, VertexId, VertexMeta};
use proptest::prelude::*;

use super::key::{InputKey, VertexKeys};
use super::machine::{Action, Event, Machine};

/// How many different contents a selection can have.
const CONTENTS: u64 = 3;

#[derive(Clone, Debug)]
struct World {
    vertices: Vec<VertexKeys>,
    names: Vec<u64>,
}

fn hash(parts: &[u64]) -> u64 {
    let bytes: Vec<u8> = parts.iter().flat_map(|part| part.to_le_bytes()).collect();
    let digest = blake3::hash(&bytes);
    u64::from_le_bytes(digest.as_bytes()[..8].try_into().unwrap())
}

fn key_of(value: u64) -> CacheKey {
    CacheKey::from_bytes(*blake3::hash(&value.to_le_bytes()).as_bytes())
}

/// The oracle: every value, by evaluating everything.
fn evaluate(world: &World, sources: &[u64]) -> Vec<u64> {
    let mut values: Vec<u64> = Vec::new();
    for (at, vertex) in world.vertices.iter().enumerate() {
        values.push(value_of(world, sources, at, &values, vertex));
    }
    values
}

fn value_of(world: &World, sources: &[u64], at: usize, values: &[u64], vertex: &VertexKeys) -> u64 {
    if vertex.is_source {
        return hash(&[world.names[at], sources[at]]);
    }
    let mut parts = vec![world.names[at]];
    for input in &vertex.inputs {
        let value = values[input.edge.vertex.index()];
        parts.push(if input.by_content {
            value % CONTENTS
        } else {
            value
        });
    }
    hash(&parts)
}

/// One build: drives the machine with answers delivered in an order that `choices` decides.
/// Returns the values of all vertices that have one, and which ran.
fn build(
    world: &World,
    sources: &[u64],
    records: &mut HashMap<CacheKey, (u64, CacheKey)>,
    choices: &[u8],
) -> (Vec<Option<u64>>, Vec<usize>) {
    let mut machine = Machine::new(world.vertices.clone());
    let ids: Vec<VertexId> = world.vertices.iter().map(|vertex| vertex.id).collect();
    let target = *ids.last().unwrap();
    let mut pending = machine.start(&[target], &ids);
    let mut values: Vec<Option<u64>> = vec![None; ids.len()];
    let mut ran = Vec::new();
    for vertex in world.vertices.iter().filter(|vertex| vertex.is_local) {
        let at = vertex.id.index();
        values[at] = Some(hash(&[world.names[at], sources[at]]));
    }
    let mut turn = 0;
    while !pending.is_empty() {
        let choice = usize::from(choices[turn % choices.len()]) % pending.len();
        turn += 1;
        let answer = match pending.swap_remove(choice) {
            Action::Identify(id) => {
                let at = id.index();
                Some(Event::Identified(
                    id,
                    key_of(hash(&[world.names[at], sources[at]])),
                ))
            }
            Action::Hash(id, input) => {
                let edge = world.vertices[id.index()].inputs[input].edge;
                let value = values[edge.vertex.index()].expect("hashed inputs are done");
                let by_content = world.vertices[id.index()].inputs[input].by_content;
                let content = if by_content { value % CONTENTS } else { value };
                Some(Event::Hashed(id, input, key_of(content)))
            }
            Action::LookUp(id, key) => Some(match records.get(&key) {
                Some(&(value, canonical)) => {
                    values[id.index()] = Some(value);
                    Event::Found(id, canonical)
                }
                None => Event::NotFound(id),
            }),
            Action::Alias { alias, key } => {
                let record = records[&key];
                records.insert(alias, record);
                None
            }
            Action::Run { vertex, key, alias } => {
                let at = vertex.index();
                let inputs: Vec<u64> = values.iter().map(|value| value.unwrap_or(0)).collect();
                for input in &world.vertices[at].inputs {
                    assert!(
                        machine.is_done(input.edge.vertex),
                        "inputs are done before a run"
                    );
                }
                let value = value_of(world, sources, at, &inputs, &world.vertices[at]);
                values[at] = Some(value);
                assert!(!ran.contains(&at), "a vertex runs once");
                ran.push(at);
                if !world.vertices[at].is_source {
                    record(records, value, key, alias);
                }
                Some(Event::Finished(vertex))
            }
        };
        if let Some(event) = answer {
            pending.extend(machine.apply(event));
        }
    }
    assert!(
        machine.is_done(target),
        "nothing is left to do, so the target is done"
    );
    (values, ran)
}

fn record(
    records: &mut HashMap<CacheKey, (u64, CacheKey)>,
    value: u64,
    key: CacheKey,
    alias: Option<CacheKey>,
) {
    for name in [Some(key), alias].into_iter().flatten() {
        records.insert(name, (value, key));
    }
}

fn worlds() -> impl Strategy<Value = World> {
    let vertex = (
        any::<u64>(),
        0_u8..4,
        prop::collection::vec((any::<usize>(), any::<bool>()), 1..4),
    );
    prop::collection::vec(vertex, 2..12).prop_map(|specs| {
        let mut graph = Graph::new();
        let mut world = World {
            vertices: Vec::new(),
            names: Vec::new(),
        };
        for (at, (name, kind, inputs)) in specs.into_iter().enumerate() {
            let source = SourceOp {
                identifier: format!("local://{at}"),
                attrs: std::collections::BTreeMap::new(),
            };
            let id = graph.add(Op::Source(source), vec![], None, VertexMeta::default());
            let is_source = at < 2 || kind == 0;
            let inputs = if is_source { Vec::new() } else { inputs };
            let inputs = inputs
                .into_iter()
                .map(|(from, by_content)| InputKey {
                    edge: Edge::first(world.vertices[from % at].id),
                    by_content,
                    selectors: Vec::new(),
                })
                .collect();
            let mut keys = VertexKeys::for_test(id, name, inputs);
            keys.is_source = is_source;
            keys.is_local = is_source && name % 2 == 0;
            world.vertices.push(keys);
            world.names.push(name);
        }
        world
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_machine_agrees_with_the_oracle(
        world in worlds(),
        first in prop::collection::vec(0_u64..4, 12),
        second in prop::collection::vec(0_u64..4, 12),
        choices in prop::collection::vec(any::<u8>(), 1..40),
    ) {
        let mut records = HashMap::new();
        for sources in [&first, &second, &first, &first] {
            let expected = evaluate(&world, sources);
            let (values, _) = build(&world, sources, &mut records, &choices);
            prop_assert_eq!(values.last().copied().flatten(), expected.last().copied());
        }
        let (_, ran) = build(&world, &first, &mut records, &choices);
        let steps: Vec<_> = ran.iter().filter(|at| !world.vertices[**at].is_source).collect();
        prop_assert!(steps.is_empty(), "an unchanged build runs nothing: {:?}", steps);
    }
}
