// SPDX-License-Identifier: Apache-2.0
//! What is told while blobs move.

use std::fmt;
use std::sync::Arc;

use oci::{Digest, Repository};

/// Something that happened during a push or a pull.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransferEvent {
    /// A blob's turn has come.
    Started {
        /// The blob.
        digest: Digest,
        /// Its size.
        size_bytes: u64,
    },
    /// More bytes of a blob moved. May go back when a transfer starts over.
    Advanced {
        /// The blob.
        digest: Digest,
        /// Bytes moved or found in place, from the first.
        done_bytes: u64,
    },
    /// A blob is where it should be.
    Finished {
        /// The blob.
        digest: Digest,
        /// How it got there.
        outcome: Outcome,
    },
    /// A connection broke off and is made anew.
    Retrying {
        /// The blob.
        digest: Digest,
        /// The host.
        host: Box<str>,
        /// What happened, for people.
        reason: String,
    },
    /// A mirror could not help; the next host is asked.
    MirrorFailed {
        /// The mirror.
        host: Box<str>,
        /// What happened, for people.
        reason: String,
    },
}

/// How a blob got to its place.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// It was sent or fetched.
    Transferred,
    /// It was there before.
    Existed,
    /// The registry took it over from another of its repositories.
    Mounted(Repository),
    /// It is a foreign layer, which is never moved.
    Foreign,
}

/// Takes [`TransferEvent`]s, from several threads at once. Must not block.
#[derive(Clone)]
pub struct Progress(Arc<dyn Fn(TransferEvent) + Send + Sync>);

impl Progress {
    /// Calls `take` for each event.
    pub fn new(take: impl Fn(TransferEvent) + Send + Sync + 'static) -> Self {
        Self(Arc::new(take))
    }

    /// Ignores all events.
    pub fn none() -> Self {
        Self::new(|_| ())
    }

    pub(super) fn tell(&self, event: TransferEvent) {
        (self.0)(event);
    }

    pub(super) fn finished(&self, digest: &Digest, outcome: Outcome) {
        self.tell(TransferEvent::Finished {
            digest: digest.clone(),
            outcome,
        });
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::none()
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Progress")
    }
}

/// Returns an error and its causes in one line.
pub(super) fn in_one_line(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text = format!("{text}: {source}");
        cause = source.source();
    }
    text
}
