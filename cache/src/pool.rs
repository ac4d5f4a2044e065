// SPDX-License-Identifier: Apache-2.0
//! Work that makes more work, on a few threads: a walk over a tree.
//!
//! Last in, first out, so that a walk goes deep before it goes wide and holds few handles.

use std::num::NonZero;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// More threads than this only wait for each other's directory locks.
const THREADS_MAX: usize = 8;

struct State<T, E> {
    tasks: Vec<T>,
    /// Tasks being worked on.
    running: usize,
    failure: Option<E>,
}

pub(crate) struct Queue<T, E> {
    state: Mutex<State<T, E>>,
    wake: Condvar,
}

impl<T, E> Queue<T, E> {
    fn lock(&self) -> MutexGuard<'_, State<T, E>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a task.
    pub(crate) fn push(&self, task: T) {
        self.lock().tasks.push(task);
        self.wake.notify_one();
    }

    /// Returns the next task; waits for those that run to make some. `None` when all is done, or
    /// something failed.
    fn next(&self) -> Option<T> {
        let mut state = self.lock();
        loop {
            if state.failure.is_some() {
                return None;
            }
            if let Some(task) = state.tasks.pop() {
                state.running += 1;
                return Some(task);
            }
            if state.running == 0 {
                return None;
            }
            state = self
                .wake
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn done(&self, result: Result<(), E>) {
        let mut state = self.lock();
        state.running -= 1;
        if let Err(error) = result {
            state.failure.get_or_insert(error);
        }
        if state.running == 0 || state.failure.is_some() {
            self.wake.notify_all();
        }
    }

    fn waiting(&self) -> usize {
        self.lock().tasks.len()
    }
}

/// Returns how many threads are worth starting here.
pub(crate) fn threads() -> usize {
    std::thread::available_parallelism()
        .map_or(1, NonZero::get)
        .min(THREADS_MAX)
}

/// Does `first` and all that comes of it; returns the first failure, after which no new task is
/// begun. Helpers start only when there is something for them to do.
pub(crate) fn run<T: Send, E: Send>(
    first: T,
    work: impl Fn(T, &Queue<T, E>) -> Result<(), E> + Sync,
) -> Result<(), E> {
    let queue = Queue {
        state: Mutex::new(State {
            tasks: vec![first],
            running: 0,
            failure: None,
        }),
        wake: Condvar::new(),
    };
    let step = |task| {
        // A panic must not leave the others waiting.
        let guard = DoneOnPanic(&queue);
        let result = work(task, &queue);
        std::mem::forget(guard);
        queue.done(result);
    };
    let threads = threads();
    std::thread::scope(|scope| {
        let mut helpers = 1;
        while let Some(task) = queue.next() {
            step(task);
            while helpers < threads && queue.waiting() > 1 {
                helpers += 1;
                scope.spawn(|| {
                    while let Some(task) = queue.next() {
                        step(task);
                    }
                });
            }
        }
    });
    let state = queue
        .state
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    match state.failure {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

struct DoneOnPanic<'a, T, E>(&'a Queue<T, E>);

impl<T, E> Drop for DoneOnPanic<'_, T, E> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.tasks.clear();
        state.running -= 1;
        self.0.wake.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn everything_that_comes_of_the_first_task_is_done() {
        let sum = AtomicU64::new(0);
        let result: Result<(), ()> = run(10_u64, |depth, queue| {
            sum.fetch_add(1, Ordering::Relaxed);
            if depth > 0 {
                queue.push(depth - 1);
                queue.push(depth - 1);
            }
            Ok(())
        });
        assert_eq!((result, sum.into_inner()), (Ok(()), (1 << 11) - 1));
    }

    #[test]
    fn the_first_failure_ends_it() {
        let result: Result<(), u64> = run(0_u64, |task, queue| {
            queue.push(task + 1);
            if task == 100 { Err(task) } else { Ok(()) }
        });
        assert_eq!(result, Err(100));
    }
}
