// SPDX-License-Identifier: Apache-2.0
//! The search: which actor does its next store operation, and how that ends.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use super::world::World;
use super::{Bounds, numbers};

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

/// Where the scheduler and the operations meet.
pub(super) type Told = Arc<Mutex<Turns>>;

/// Which operation may happen now, and how it ends.
///
/// An actor may wait for several operations at once: they have no order among themselves.
#[derive(Debug, Default)]
pub(super) struct Turns {
    ending: Ending,
    /// Which of the operations that wait, counted in the order in which they are polled; none when
    /// nobody schedules and all may happen.
    granted: Option<usize>,
    is_scheduled: bool,
    /// How many were polled and wait on.
    waiting: usize,
}

/// What to do next.
#[derive(Clone, Copy, Debug)]
enum Move {
    /// One of the operations that an actor waits for happens.
    Step(usize, usize, Ending),
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
        numbers::restart();
        let (world, actors) = make(&told);
        let mut execution = Execution {
            told,
            waiting: vec![1; actors.len()],
            actors: actors.into_iter().map(Some).collect(),
            current: 0,
            interruptions: 0,
            reorderings: 0,
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
    /// How many operations each actor waits for.
    waiting: Vec<usize>,
    current: usize,
    interruptions: usize,
    reorderings: usize,
    faults: usize,
}

impl Execution {
    /// Returns what may come next: going on with the same actor first.
    fn moves(&self, bounds: Bounds) -> Vec<Move> {
        let live = |at: &usize| self.actors[*at].is_some();
        let can_go_on = live(&self.current);
        let may_fail = self.faults < bounds.faults;
        let mut moves = Vec::new();
        let may_reorder = self.reorderings < bounds.reorderings;
        let mut add = |actor: usize| {
            let others = if may_reorder { self.waiting[actor] } else { 1 };
            for which in 0..others.max(1) {
                moves.push(Move::Step(actor, which, Ending::Done));
                if may_fail {
                    moves.push(Move::Step(actor, which, Ending::AnswerLost));
                    moves.push(Move::Step(actor, which, Ending::Failed));
                }
            }
            if may_fail {
                moves.push(Move::Stop(actor));
            }
        };
        if can_go_on {
            add(self.current);
        }
        if !can_go_on || self.interruptions < bounds.interruptions {
            let others = (0..self.actors.len()).filter(|at| *at != self.current);
            others.filter(live).for_each(&mut add);
        }
        moves
    }

    fn make(&mut self, chosen: Move) {
        let (Move::Step(actor, ..) | Move::Stop(actor)) = chosen;
        if actor != self.current && self.actors[self.current].is_some() {
            self.interruptions += 1;
        }
        self.current = actor;
        match chosen {
            Move::Stop(actor) => {
                self.faults += 1;
                self.actors[actor] = None;
            }
            Move::Step(actor, which, ending) => {
                self.faults += usize::from(ending != Ending::Done);
                self.reorderings += usize::from(which > 0);
                *self.told.lock().unwrap() = Turns {
                    ending,
                    granted: Some(which),
                    is_scheduled: true,
                    waiting: 0,
                };
                let future = self.actors[actor]
                    .as_mut()
                    .expect("a move is of a live actor");
                let mut context = Context::from_waker(Waker::noop());
                if future.as_mut().poll(&mut context).is_ready() {
                    self.actors[actor] = None;
                }
                let told = std::mem::take(&mut *self.told.lock().unwrap());
                self.waiting[actor] = told.waiting;
            }
        }
    }
}

/// Waits until the scheduler lets the operation behind it happen, and returns how it is to end.
pub(super) fn turn(told: &Told) -> impl Future<Output = Ending> {
    let mut waited = false;
    std::future::poll_fn(move |context| {
        let mut turns = told.lock().unwrap();
        let is_known = std::mem::replace(&mut waited, true);
        if is_known && !turns.is_scheduled {
            return Poll::Ready(Ending::Done);
        }
        let is_next = is_known && turns.granted == Some(0);
        if is_known {
            turns.granted = turns.granted.and_then(|which| which.checked_sub(1));
        }
        if is_next {
            return Poll::Ready(turns.ending);
        }
        turns.waiting += 1;
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
