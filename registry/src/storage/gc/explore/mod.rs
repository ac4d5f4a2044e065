// SPDX-License-Identifier: Apache-2.0
//! Runs publishers, deleters and collectors against each other in every order of their store
//! operations, with stops and lost answers at every point, and checks the invariants after each.
//!
//! The code that runs is the real one. Its store operations wait for the scheduler, so that an
//! execution is a list of choices; a depth-first search goes through all lists. The metadata is as
//! weak as the trait allows: one key at a time, and what is asked at once in any order.
//!
//! Ours: exhaustive within named bounds, where a model of the protocol would only show that the
//! model is right.

mod documents;
pub(in crate::storage) mod numbers;
mod scenario;
mod schedule;
mod world;

/// How far a search goes.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    /// How often an actor may be interrupted while it could go on.
    interruptions: usize,
    /// How often, of the operations that an actor has under way at once, not the first happens.
    reorderings: usize,
    /// How many actors may be stopped for good, or lose the answer of an operation.
    faults: usize,
}
