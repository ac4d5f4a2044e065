// SPDX-License-Identifier: Apache-2.0
//! The storage traits with every operation counted and timed.
//!
//! A method that the traits gain must be passed on here: its default would go around what the
//! implementation does better.

use std::future::Future;
use std::ops::Range;
use std::sync::Arc;

use tokio::time::Instant;

use super::metrics::Metrics;
use crate::storage::data::{Adopted, Placed, Resume, Stage};
use crate::storage::{
    Answer, Bytes, Data, Guard, Listed, Location, Meta, Publication, SessionId, Staged,
    StorageError, Version, Write,
};
use oci::Digest;

/// [`Data`], counted.
#[derive(Debug)]
pub(super) struct CountedData {
    inner: Arc<dyn Data>,
    metrics: Arc<Metrics>,
}

/// [`Meta`], counted.
#[derive(Debug)]
pub(super) struct CountedMeta {
    inner: Arc<dyn Meta>,
    metrics: Arc<Metrics>,
}

/// [`Staged`], counted.
#[derive(Debug)]
struct CountedStaged {
    inner: Box<dyn Staged>,
    metrics: Arc<Metrics>,
}

/// Runs `work` and counts it under `operation`.
async fn count<T>(
    metrics: &Metrics,
    operation: &'static str,
    work: impl Future<Output = Result<T, StorageError>>,
) -> Result<T, StorageError> {
    let start = Instant::now();
    let result = work.await;
    let outcome = result.as_ref().map_or_else(outcome, |_| "ok");
    metrics.operation(operation, outcome, start.elapsed());
    result
}

/// Returns the kind of an error.
fn outcome(error: &StorageError) -> &'static str {
    match error {
        StorageError::Full(_) => "full",
        StorageError::Conflict(_) => "conflict",
        StorageError::WrongDigest { .. } => "wrong_digest",
        StorageError::Missing(_) => "missing",
        _ => "error",
    }
}

impl CountedData {
    pub(super) fn new(inner: Arc<dyn Data>, metrics: Arc<Metrics>) -> Self {
        Self { inner, metrics }
    }
}

impl CountedMeta {
    pub(super) fn new(inner: Arc<dyn Meta>, metrics: Arc<Metrics>) -> Self {
        Self { inner, metrics }
    }
}

impl Data for CountedData {
    fn stage(&self, stage: Stage) -> Answer<'_, Box<dyn Staged>> {
        Box::pin(async move {
            let staged = count(&self.metrics, "stage", self.inner.stage(stage)).await?;
            let metrics = Arc::clone(&self.metrics);
            let counted: Box<dyn Staged> = Box::new(CountedStaged {
                inner: staged,
                metrics,
            });
            Ok(counted)
        })
    }

    fn unclaimed_max_bytes(&self) -> u64 {
        self.inner.unclaimed_max_bytes()
    }

    fn discard<'a>(&'a self, session: &'a SessionId, keep: Option<&'a Location>) -> Answer<'a, ()> {
        let discard = self.inner.discard(session, keep);
        Box::pin(count(&self.metrics, "discard", discard))
    }

    fn link<'a>(&'a self, location: &'a Location, size_bytes: u64) -> Answer<'a, Option<String>> {
        let link = self.inner.link(location, size_bytes);
        Box::pin(count(&self.metrics, "link", link))
    }

    fn read<'a>(&'a self, location: &'a Location, range: Range<u64>) -> Answer<'a, Bytes> {
        let read = self.inner.read(location, range);
        Box::pin(count(&self.metrics, "read", read))
    }

    fn lock<'a>(&'a self, location: &'a Location) -> Answer<'a, Guard> {
        Box::pin(count(&self.metrics, "lock", self.inner.lock(location)))
    }

    fn delete<'a>(&'a self, location: &'a Location, guard: &'a Guard) -> Answer<'a, ()> {
        let delete = self.inner.delete(location, guard);
        Box::pin(count(&self.metrics, "delete", delete))
    }

    fn sessions(&self) -> Answer<'_, Vec<SessionId>> {
        Box::pin(count(&self.metrics, "sessions", self.inner.sessions()))
    }

    fn placed<'a>(&'a self, after: Option<&'a Location>) -> Answer<'a, Vec<Placed>> {
        Box::pin(count(&self.metrics, "placed", self.inner.placed(after)))
    }

    fn size<'a>(&'a self, location: &'a Location) -> Answer<'a, Option<u64>> {
        Box::pin(count(&self.metrics, "size", self.inner.size(location)))
    }

    fn set_aside<'a>(&'a self, location: &'a Location, guard: &'a Guard) -> Answer<'a, ()> {
        let set_aside = self.inner.set_aside(location, guard);
        Box::pin(count(&self.metrics, "set_aside", set_aside))
    }

    fn published<'a>(&'a self, after: &'a str) -> Answer<'a, Vec<Placed>> {
        Box::pin(count(
            &self.metrics,
            "published",
            self.inner.published(after),
        ))
    }

    fn adopt(&self, adopted: Adopted) -> Answer<'_, Publication> {
        Box::pin(count(&self.metrics, "adopt", self.inner.adopt(adopted)))
    }

    fn sweep(&self, before: u64) -> Answer<'_, usize> {
        Box::pin(count(&self.metrics, "sweep", self.inner.sweep(before)))
    }
}

impl Staged for CountedStaged {
    fn offset(&self) -> u64 {
        self.inner.offset()
    }

    fn ready(&mut self) -> Answer<'_, u64> {
        Box::pin(count(&self.metrics, "ready", self.inner.ready()))
    }

    fn append(&mut self, pieces: Vec<bytes::Bytes>) -> Answer<'_, ()> {
        let append = self.inner.append(pieces);
        Box::pin(count(&self.metrics, "append", append))
    }

    fn checkpoint(&mut self) -> Answer<'_, Resume> {
        let checkpoint = self.inner.checkpoint();
        Box::pin(count(&self.metrics, "checkpoint", checkpoint))
    }

    fn is_due(&self) -> bool {
        self.inner.is_due()
    }

    fn pause(&mut self) -> Answer<'_, ()> {
        Box::pin(count(&self.metrics, "pause", self.inner.pause()))
    }

    fn prepare<'a>(&'a mut self, digest: &'a Digest) -> Answer<'a, Option<Resume>> {
        let prepare = self.inner.prepare(digest);
        Box::pin(count(&self.metrics, "prepare", prepare))
    }

    fn is_known_as(&self, digest: &Digest) -> bool {
        self.inner.is_known_as(digest)
    }

    fn publish<'a>(&'a mut self, digest: &'a Digest) -> Answer<'a, Publication> {
        let publish = self.inner.publish(digest);
        Box::pin(count(&self.metrics, "publish", publish))
    }
}

impl Meta for CountedMeta {
    fn get<'a>(&'a self, key: &'a str) -> Answer<'a, Option<(Vec<u8>, Version)>> {
        Box::pin(count(&self.metrics, "meta_get", self.inner.get(key)))
    }

    fn write(&self, steps: Vec<Write>) -> Answer<'_, ()> {
        Box::pin(count(&self.metrics, "meta_write", self.inner.write(steps)))
    }

    fn write_stages(&self, stages: Vec<Vec<Write>>) -> Answer<'_, ()> {
        let write = self.inner.write_stages(stages);
        Box::pin(count(&self.metrics, "meta_write", write))
    }

    fn is_atomic(&self) -> bool {
        self.inner.is_atomic()
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: &'a str,
        limit: usize,
    ) -> Answer<'a, Vec<Listed>> {
        let list = self.inner.list(prefix, after, limit);
        Box::pin(count(&self.metrics, "meta_list", list))
    }
}
