// SPDX-License-Identifier: Apache-2.0
//! Precedence of clients over work that nobody waits for: the collector stands back while somebody
//! pushes or deletes, for a moment at a time.
//!
//! It is a courtesy and no part of any argument about safety: it never holds a client up, and the
//! collector goes on after [`PATIENCE`] whatever happens, so that a registry which is never idle is
//! still collected.

use std::sync::Mutex;
use std::time::{Duration, Instant};

/// How long one step of the collector waits for clients at most. Ours: with all lanes waiting for
/// their turn together, a registry without a quiet moment still gets about 800 steps a second.
const PATIENCE: Duration = Duration::from_millis(20);
/// How long after the last client's write the next one is still expected: a push is several requests
/// with a round trip between them.
const LINGER: Duration = Duration::from_millis(3);
/// How often the collector looks again.
const PAUSE: Duration = Duration::from_millis(1);

/// How many clients wait for the store, and since when none does.
#[derive(Debug, Default)]
pub(crate) struct Precedence(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    waiting: usize,
    left: Option<Instant>,
}

/// A client that waits for the store, until dropped.
#[derive(Debug)]
pub(crate) struct Waiting<'a>(&'a Precedence);

impl Precedence {
    /// Counts a client that waits for something durable.
    pub(crate) fn enter(&self) -> Waiting<'_> {
        self.state().waiting += 1;
        Waiting(self)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().expect("no code panics under this lock")
    }

    fn is_taken(&self) -> bool {
        let state = self.state();
        let is_expected = |left: Instant| left.elapsed() < LINGER;
        state.waiting > 0 || state.left.is_some_and(is_expected)
    }

    /// Waits until no client waits, but not long.
    pub(crate) async fn give_way(&self) {
        let begun = Instant::now();
        while self.is_taken() && begun.elapsed() < PATIENCE {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.waiting -= 1;
        state.left = Some(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn time(precedence: &Precedence) -> Duration {
        let begun = Instant::now();
        precedence.give_way().await;
        begun.elapsed()
    }

    #[tokio::test]
    async fn nobody_waits_for_nobody() {
        let precedence = Precedence::default();
        assert!(time(&precedence).await < PAUSE);
    }

    #[tokio::test]
    async fn a_client_comes_first_and_is_expected_again() {
        let precedence = Precedence::default();
        let waiting = precedence.enter();
        let client = async {
            tokio::time::sleep(PAUSE * 3).await;
            drop(waiting);
        };
        let (took, ()) = tokio::join!(time(&precedence), client);
        assert!(took >= PAUSE * 3 + LINGER, "{took:?}");
    }

    #[tokio::test]
    async fn clients_without_end_stop_nobody_for_good() {
        let precedence = Precedence::default();
        let _waiting = precedence.enter();
        let took = time(&precedence).await;
        assert!(took >= PATIENCE, "{took:?}");
    }
}
