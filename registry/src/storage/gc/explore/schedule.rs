// SPDX-License-Identifier: Apache-2.0
//! The search: which actor does its next store operation, and how that ends.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use super::Bounds;
use super::world::World;

/// One participant.
pub(super) type Actor = Pin<Box<dyn Future<Output = ()>>>;

/// How the operation that an actor waits for ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Ending {
    /// As it should.
    #[default]
    Done,
    /// It happens, but the answer is an error.
    AnswerLost,
    /// It does not happen, and the answer is an error.
    Failed,
}

/// Where the scheduler tells the operation at hand how to end.
pub(super) type Told = Arc<Mutex<Ending>>;

/// What to do next.
#[derive(Clone, Copy, Debug)]
enum Move {
    Step(usize, Ending),
    Stop(usize),
}

/// One point of an execution: which of how many moves was made.
#[derive(Clone, Copy, Debug)]
struct Choice {
    made: usize,
    of: usize,
}

/// What a search found.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Found {
    pub(super) executions: u64,
    pub(super) operations: u64,
}

/// Runs every execution within `bounds` of the actors that `make` gives, each in a fresh world.
pub(super) fn search(
    bounds: Bounds,
    make: impl Fn(&Told) -> (World, Vec<Actor>),
    check_end: impl Fn(&World, bool, &[usize]),
) -> Found {
    let mut found = Found::default();
    let mut path: Vec<Choice> = Vec::new();
    loop {
        let told = Told::default();
        let (world, actors) = make(&told);
        let mut execution = Execution {
            told,
            actors: actors.into_iter().map(Some).collect(),
            current: 0,
            interruptions: 0,
            faults: 0,
        };
        let mut depth = 0;
        loop {
            let moves = execution.moves(bounds);
            if moves.is_empty() {
                break;
            }
            if depth == path.len() {
                path.push(Choice {
                    made: 0,
                    of: moves.len(),
                });
            }
            assert_eq!(path[depth].of, moves.len(), "an execution can be run again");
            execution.make(moves[path[depth].made]);
            found.operations += 1;
            depth += 1;
            world.check(
                &path[..depth]
                    .iter()
                    .map(|choice| choice.made)
                    .collect::<Vec<_>>(),
            );
        }
        let whole: Vec<usize> = path.iter().map(|choice| choice.made).collect();
        check_end(&world, execution.faults > 0, &whole);
        found.executions += 1;
        while path
            .last()
            .is_some_and(|choice| choice.made + 1 == choice.of)
        {
            path.pop();
        }
        match path.last_mut() {
            Some(choice) => choice.made += 1,
            None => return found,
        }
    }
}

struct Execution {
    told: Told,
    actors: Vec<Option<Actor>>,
    current: usize,
    interruptions: usize,
    faults: usize,
}

impl Execution {
    /// Returns what may come next: going on with the same actor first.
    fn moves(&self, bounds: Bounds) -> Vec<Move> {
        let live = |at: &usize| self.actors[*at].is_some();
        let can_go_on = live(&self.current);
        let may_fail = self.faults < bounds.faults_max;
        let mut moves = Vec::new();
        let mut add = |actor: usize| {
            moves.push(Move::Step(actor, Ending::Done));
            if may_fail {
                moves.push(Move::Step(actor, Ending::AnswerLost));
                moves.push(Move::Step(actor, Ending::Failed));
                moves.push(Move::Stop(actor));
            }
        };
        if can_go_on {
            add(self.current);
        }
        if !can_go_on || self.interruptions < bounds.interruptions_max {
            let others = (0..self.actors.len()).filter(|at| *at != self.current);
            others.filter(live).for_each(&mut add);
        }
        moves
    }

    fn make(&mut self, chosen: Move) {
        let (Move::Step(actor, _) | Move::Stop(actor)) = chosen;
        if actor != self.current && self.actors[self.current].is_some() {
            self.interruptions += 1;
        }
        self.current = actor;
        match chosen {
            Move::Stop(actor) => {
                self.faults += 1;
                self.actors[actor] = None;
            }
            Move::Step(actor, ending) => {
                self.faults += usize::from(ending != Ending::Done);
                *self.told.lock().unwrap() = ending;
                let future = self.actors[actor]
                    .as_mut()
                    .expect("a move is of a live actor");
                let mut context = Context::from_waker(Waker::noop());
                if future.as_mut().poll(&mut context).is_ready() {
                    self.actors[actor] = None;
                }
                *self.told.lock().unwrap() = Ending::Done;
            }
        }
    }
}

/// Waits once: the scheduler decides when the operation behind it happens.
pub(super) fn turn() -> impl Future<Output = ()> {
    let mut waited = false;
    std::future::poll_fn(move |context| {
        if std::mem::replace(&mut waited, true) {
            return Poll::Ready(());
        }
        // Lanes poll only what woke them; they return to the scheduler all the same.
        context.waker().wake_by_ref();
        Poll::Pending
    })
}

/// Runs a future to its end, alone.
pub(super) fn alone<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
    }
}
