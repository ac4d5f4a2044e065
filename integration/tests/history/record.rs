// SPDX-License-Identifier: Apache-2.0
//! What happened: one event for each request, with when it began and ended.

use std::time::Instant;

/// The time of all clients.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock(Instant);

impl Clock {
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }

    /// Returns nanoseconds since the start.
    pub(super) fn now(self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// What an event is about. Manifests and blobs go by their number in the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Object {
    Tag(usize, usize),
    Manifest(usize, usize),
    Blob(usize, usize),
}

impl Object {
    pub(super) fn repository(self) -> usize {
        let (Self::Tag(repository, _) | Self::Manifest(repository, _) | Self::Blob(repository, _)) =
            self;
        repository
    }
}

/// What was done. The value of a tag is the number of its manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    Put(usize),
    Delete,
    /// What was seen: nothing, or the number of a manifest or blob.
    Read(Option<usize>),
}

/// One request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Event {
    pub(super) object: Object,
    pub(super) deed: Deed,
    pub(super) start: u64,
    pub(super) end: u64,
    /// Whether it was answered. If not, it may have happened or not.
    pub(super) is_certain: bool,
}

impl Event {
    /// Tells whether all of `self` lies before all of `other`.
    pub(super) fn before(&self, other: &Self) -> bool {
        self.end < other.start
    }
}
