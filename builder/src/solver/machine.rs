// SPDX-License-Identifier: Apache-2.0
//! The solver's decisions as a pure state machine: events in, actions out. No I/O, no locks, no
//! awaits, so every history is a list of events in a test.
//!
//! Invariants
//! 1. A vertex runs at most once, and only if its result is wanted and no record was found.
//! 2. A vertex runs only when all its inputs are done.
//! 3. The phase of a vertex is only ever replaced by one further down in [`Phase`].

use cache::CacheKey;
use graph::VertexId;

use super::key::{self, InputKey, VertexKeys};

/// What is known about one vertex.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    /// Nobody asked yet.
    Unasked,
    /// A source is being asked what it is now.
    Identifying,
    /// Waits for the keys of inputs and the content of local files.
    Keying,
    /// Being looked up under the first key.
    LookingUp,
    /// No record; runs if somebody wants the result.
    Missed,
    /// Wanted; waits for the results of inputs.
    AwaitingInputs,
    /// The files that it reads from its inputs are being checksummed.
    Hashing,
    /// Being looked up under the content key.
    LookingUpAgain,
    /// Runs.
    Running,
    /// Has its result, from the cache or from the run.
    Done,
}

/// Something that the driver found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A source is this content.
    Identified(VertexId, CacheKey),
    /// The files that a vertex reads from an input (by position) have this checksum.
    Hashed(VertexId, usize, CacheKey),
    /// A record was found; its result was recorded under this key.
    Found(VertexId, CacheKey),
    /// No record was found.
    NotFound(VertexId),
    /// The run ended well.
    Finished(VertexId),
}

/// Something that the driver must do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Find out what a source is now; answer with [`Event::Identified`].
    Identify(VertexId),
    /// Checksum what a vertex reads from an input; answer with [`Event::Hashed`].
    Hash(VertexId, usize),
    /// Look up a record; answer with [`Event::Found`] or [`Event::NotFound`].
    LookUp(VertexId, CacheKey),
    /// Let a record be found under another key too; no answer.
    Alias {
        /// The other key.
        alias: CacheKey,
        /// The key of the record.
        key: CacheKey,
    },
    /// Make the result and record it under `key` and `alias`; answer with [`Event::Finished`].
    Run {
        /// The vertex.
        vertex: VertexId,
        /// Under which its result is recorded.
        key: CacheKey,
        /// Under which the next build finds that record.
        alias: Option<CacheKey>,
    },
}

struct State {
    phase: Phase,
    wanted: bool,
    /// The key that users chain on: presumed until the vertex is done.
    key: Option<CacheKey>,
    /// Checksums of content inputs, by position.
    content: Vec<Option<CacheKey>>,
    /// Keys that had no record.
    tried: Vec<CacheKey>,
    users: Vec<VertexId>,
}

/// See the module.
pub(crate) struct Machine {
    vertices: Vec<VertexKeys>,
    states: Vec<State>,
}

impl Machine {
    /// Returns a machine over `vertices` (inputs first; one entry per vertex of the graph) that has
    /// been told nothing.
    pub(crate) fn new(vertices: Vec<VertexKeys>) -> Self {
        let mut states: Vec<State> = vertices
            .iter()
            .map(|vertex| State {
                phase: Phase::Unasked,
                wanted: false,
                key: None,
                content: vec![None; vertex.inputs.len()],
                tried: Vec::new(),
                users: Vec::new(),
            })
            .collect();
        for (at, vertex) in vertices.iter().enumerate() {
            for input in &vertex.inputs {
                let users = &mut states[input.edge.vertex.index()].users;
                if users.last() != Some(&vertex.id) {
                    users.push(vertex.id);
                }
            }
            debug_assert_eq!(vertex.id.index(), at, "one entry per vertex, in order");
        }
        Self { vertices, states }
    }

    /// Asks for the results of `targets`; `needed` is everything that they reach, inputs first.
    pub(crate) fn start(&mut self, targets: &[VertexId], needed: &[VertexId]) -> Vec<Action> {
        let mut actions = Vec::new();
        for &id in needed {
            self.ask(id, &mut actions);
        }
        for &id in targets {
            self.want(id, &mut actions);
        }
        actions
    }

    /// Tells whether a vertex has its result.
    pub(crate) fn is_done(&self, id: VertexId) -> bool {
        self.state(id).phase == Phase::Done
    }

    /// Applies one event; returns what the driver must now do.
    ///
    /// # Panics
    ///
    /// If the event does not fit the phase of its vertex: a bug of the driver.
    pub(crate) fn apply(&mut self, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::Identified(id, key) => {
                self.expect(id, &[Phase::Identifying]);
                self.miss(id, key, &mut actions);
            }
            Event::Hashed(id, input, checksum) => {
                self.expect(id, &[Phase::Keying, Phase::Hashing]);
                self.state_mut(id).content[input] = Some(checksum);
                match self.state(id).phase {
                    Phase::Keying => self.try_key(id, &mut actions),
                    _ => self.try_content_key(id, &mut actions),
                }
            }
            Event::Found(id, key) => {
                self.expect(id, &[Phase::LookingUp, Phase::LookingUpAgain]);
                if self.state(id).phase == Phase::LookingUpAgain {
                    let alias = self.combine(id, false).filter(|alias| *alias != key);
                    actions.extend(alias.map(|alias| Action::Alias { alias, key }));
                }
                self.finish(id, key, &mut actions);
            }
            Event::NotFound(id) => {
                self.expect(id, &[Phase::LookingUp, Phase::LookingUpAgain]);
                let key = self.known_key(id);
                self.state_mut(id).tried.push(key);
                match self.state(id).phase {
                    Phase::LookingUp => self.miss(id, key, &mut actions),
                    _ => self.look_again_or_run(id, &mut actions),
                }
            }
            Event::Finished(id) => {
                self.expect(id, &[Phase::Running]);
                let key = self.known_key(id);
                self.finish(id, key, &mut actions);
            }
        }
        actions
    }

    fn ask(&mut self, id: VertexId, actions: &mut Vec<Action>) {
        if self.state(id).phase != Phase::Unasked {
            return;
        }
        if self.vertex(id).is_local {
            // A local directory has no key of its own: users checksum what they read.
            self.state_mut(id).phase = Phase::Missed;
            return;
        }
        if self.vertex(id).is_source {
            self.state_mut(id).phase = Phase::Identifying;
            actions.push(Action::Identify(id));
            return;
        }
        self.state_mut(id).phase = Phase::Keying;
        for at in 0..self.vertex(id).inputs.len() {
            if self.is_local_input(id, at) {
                actions.push(Action::Hash(id, at));
            }
        }
        self.try_key(id, actions);
    }

    fn want(&mut self, target: VertexId, actions: &mut Vec<Action>) {
        let mut wanted = vec![target];
        while let Some(id) = wanted.pop() {
            if std::mem::replace(&mut self.state_mut(id).wanted, true) {
                continue;
            }
            if self.state(id).phase == Phase::Missed {
                wanted.extend(self.make(id, actions));
            }
        }
    }

    /// A key phase ended without a record.
    fn miss(&mut self, id: VertexId, key: CacheKey, actions: &mut Vec<Action>) {
        let state = self.state_mut(id);
        state.phase = Phase::Missed;
        state.key = Some(key);
        if state.wanted {
            for input in self.make(id, actions) {
                self.want(input, actions);
            }
        }
        self.tell_users(id, actions);
    }

    /// A missed vertex is wanted: runs a source, asks for the inputs of others (returned).
    fn make(&mut self, id: VertexId, actions: &mut Vec<Action>) -> Vec<VertexId> {
        if self.vertex(id).is_local {
            self.state_mut(id).phase = Phase::Done;
            self.tell_users(id, actions);
            return Vec::new();
        }
        if self.vertex(id).is_source {
            self.run(id, actions);
            return Vec::new();
        }
        self.state_mut(id).phase = Phase::AwaitingInputs;
        let inputs: Vec<VertexId> = self
            .vertex(id)
            .inputs
            .iter()
            .map(|input| input.edge.vertex)
            .collect();
        self.try_inputs(id, actions);
        inputs
    }

    fn finish(&mut self, id: VertexId, key: CacheKey, actions: &mut Vec<Action>) {
        let state = self.state_mut(id);
        state.phase = Phase::Done;
        state.key = Some(key);
        self.tell_users(id, actions);
    }

    fn tell_users(&mut self, id: VertexId, actions: &mut Vec<Action>) {
        for user in self.state(id).users.clone() {
            match self.state(user).phase {
                Phase::Keying => self.try_key(user, actions),
                Phase::AwaitingInputs => self.try_inputs(user, actions),
                _ => {}
            }
        }
    }

    fn try_key(&mut self, id: VertexId, actions: &mut Vec<Action>) {
        let Some(key) = self.combine(id, false) else {
            return;
        };
        if self.vertex(id).ignore_cache {
            self.miss(id, key, actions);
            return;
        }
        let state = self.state_mut(id);
        state.phase = Phase::LookingUp;
        state.key = Some(key);
        actions.push(Action::LookUp(id, key));
    }

    fn try_inputs(&mut self, id: VertexId, actions: &mut Vec<Action>) {
        let all_done = self
            .vertex(id)
            .inputs
            .iter()
            .all(|input| self.is_done(input.edge.vertex));
        if !all_done {
            return;
        }
        self.state_mut(id).phase = Phase::Hashing;
        for at in 0..self.vertex(id).inputs.len() {
            if self.vertex(id).inputs[at].by_content && self.state(id).content[at].is_none() {
                actions.push(Action::Hash(id, at));
            }
        }
        self.try_content_key(id, actions);
    }

    fn try_content_key(&mut self, id: VertexId, actions: &mut Vec<Action>) {
        let missing = |(input, content): (&InputKey, &Option<CacheKey>)| {
            input.by_content && content.is_none()
        };
        let mut inputs = self.vertex(id).inputs.iter().zip(&self.state(id).content);
        if inputs.any(missing) {
            return;
        }
        self.look_again_or_run(id, actions);
    }

    /// Looks under the content key, then under the first key as it is now that inputs are done,
    /// each once; then runs.
    fn look_again_or_run(&mut self, id: VertexId, actions: &mut Vec<Action>) {
        for by_content in [true, false] {
            let key = self.combine(id, by_content).expect("inputs are done");
            if !self.state(id).tried.contains(&key) && !self.vertex(id).ignore_cache {
                let state = self.state_mut(id);
                state.phase = Phase::LookingUpAgain;
                state.key = Some(key);
                actions.push(Action::LookUp(id, key));
                return;
            }
        }
        self.state_mut(id).key = self.combine(id, true);
        self.run(id, actions);
    }

    fn run(&mut self, id: VertexId, actions: &mut Vec<Action>) {
        self.state_mut(id).phase = Phase::Running;
        let key = self.known_key(id);
        let alias = self.combine(id, false).filter(|alias| *alias != key);
        actions.push(Action::Run {
            vertex: id,
            key,
            alias: alias.filter(|_| !self.vertex(id).is_source),
        });
    }

    /// Returns the key of a vertex as far as it can be known: of each input its content
    /// (`by_content`, or local files), else the key that it has now.
    fn combine(&self, id: VertexId, by_content: bool) -> Option<CacheKey> {
        let vertex = self.vertex(id);
        let parts: Option<Vec<CacheKey>> = (0..vertex.inputs.len())
            .map(|at| {
                let input = &vertex.inputs[at];
                if self.is_local_input(id, at) || (by_content && input.by_content) {
                    return self.state(id).content[at];
                }
                let source = self.state(input.edge.vertex);
                let known = source.phase >= Phase::Missed;
                source
                    .key
                    .filter(|_| known)
                    .map(|key| key::of_output(key, input.edge.output))
            })
            .collect();
        Some(vertex.combine(&parts?))
    }

    fn is_local_input(&self, id: VertexId, at: usize) -> bool {
        let source = self.vertex(id).inputs[at].edge.vertex;
        self.vertex(source).is_local
    }

    fn known_key(&self, id: VertexId) -> CacheKey {
        self.state(id).key.expect("a vertex past keying has a key")
    }

    fn expect(&self, id: VertexId, phases: &[Phase]) {
        let phase = self.state(id).phase;
        assert!(
            phases.contains(&phase),
            "vertex {} is {phase:?}, not one of {phases:?}",
            id.index()
        );
    }

    fn vertex(&self, id: VertexId) -> &VertexKeys {
        &self.vertices[id.index()]
    }

    fn state(&self, id: VertexId) -> &State {
        &self.states[id.index()]
    }

    fn state_mut(&mut self, id: VertexId) -> &mut State {
        &mut self.states[id.index()]
    }
}
