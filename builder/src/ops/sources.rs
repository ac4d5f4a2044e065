// SPDX-License-Identifier: Apache-2.0
//! Sources of COPY, ADD and bind mounts in local directories, looked up before anything runs.
//!
//! `Ours:` the step itself would find out as well, but only after those before it have run. What
//! takes more than a look (patterns, links that lead out of what the ignore file leaves) is left to
//! the step.

use std::collections::BTreeMap;
use std::path::Path;

use cache::View;
use graph::{Op, VertexId};

use super::{Ops, context};
use crate::solver::driver::SolveFailure;
use crate::solver::key::{self, Selector};
use crate::step_error::StepError;

/// Fails for the first of `needed` that reads a path which its context does not have.
pub(crate) fn check(ops: &Ops, needed: &[VertexId]) -> Result<(), SolveFailure> {
    let keys = key::keys(&ops.graph);
    let mut views = BTreeMap::new();
    for &id in needed {
        for input in &keys[id.index()].inputs {
            let Some(name) = local(ops, input.edge.vertex) else {
                continue;
            };
            for selector in &input.selectors {
                let found = check_one(ops, name, selector, &mut views);
                found.map_err(|error| SolveFailure::new(id, error))?;
            }
        }
    }
    Ok(())
}

fn check_one<'o>(
    ops: &Ops,
    name: &'o str,
    selector: &Selector,
    views: &mut BTreeMap<&'o str, View>,
) -> Result<(), StepError> {
    let context = context::get(ops, name)?;
    if !views.contains_key(name) {
        views.insert(name, context.view()?);
    }
    let itself = selector.required && selector.include.is_empty();
    let itself = itself.then_some(&selector.path);
    for path in selector.required_paths.iter().chain(itself) {
        if context.lacks(&views[name], Path::new(path)) {
            return Err(context.not_found(path.clone()));
        }
    }
    Ok(())
}

/// Returns the name of a directory of the caller.
fn local(ops: &Ops, id: VertexId) -> Option<&str> {
    match &ops.graph.vertex(id).op {
        Op::Source(source) => source.identifier.strip_prefix("local://"),
        _ => None,
    }
}
