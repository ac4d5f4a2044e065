// SPDX-License-Identifier: Apache-2.0
//! What clients asked for and what they were told: a history that can be checked.
//!
//! Knows neither stores nor faults.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use oci::Digest;

/// What a client asked for, in one repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// A manifest, with a tag that points at it.
    Push { tag: String, digest: Digest },
    /// A tag taken away.
    Untag { tag: String },
    /// A manifest taken away, with all tags on it.
    Delete { digest: Digest },
}

/// How it ended, as far as the client knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was acknowledged.
    Done,
    /// It failed, and may have been done, or half of it.
    Unknown,
}

/// One request of one client.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) repository: String,
    pub(crate) action: Action,
    pub(crate) outcome: Outcome,
    /// Before it was sent, on the history's clock.
    pub(crate) began: u64,
    /// After it was answered.
    pub(crate) ended: u64,
}

impl Event {
    /// Whether it was surely over before `other` began. What failed may still come into force.
    pub(crate) fn precedes(&self, other: &Self) -> bool {
        self.outcome == Outcome::Done && self.ended < other.began
    }
}

/// All requests, and the clock that orders them.
#[derive(Debug, Default)]
pub(crate) struct History {
    clock: AtomicU64,
    events: Mutex<Vec<Event>>,
}

impl History {
    pub(crate) fn now(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    /// Notes a request that began at `began` and ends now.
    pub(crate) fn add(&self, repository: &str, action: Action, outcome: Outcome, began: u64) {
        let event = Event {
            repository: repository.to_owned(),
            action,
            outcome,
            began,
            ended: self.now(),
        };
        self.events.lock().unwrap().push(event);
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.events.lock().unwrap().clone()
    }
}
