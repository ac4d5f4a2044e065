// SPDX-License-Identifier: Apache-2.0
//! The only writer of a store that checks no conditions: an object that beats, so that a second
//! writer sees the first, and the first a second.
//!
//! It is no lock: a store without conditions has none. Two writers that start in the same moment,
//! or one whose network is cut off for longer than [`Pace::patience`], can both write until the next
//! beat. No clock is compared: who comes waits, and sees whether the object changes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use registry::storage::{Condition, Meta as _, StorageError, Write, nonce};
use tokio::task::JoinHandle;

use crate::client::Bucket;
use crate::meta::S3Meta;
use crate::mode::Mode;
use crate::open::OpenError;

/// The object.
const WRITER: &str = "meta/writer";

/// How fast it beats.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// How long from one beat to the next.
    pub(crate) beat: Duration,
    /// How long somebody who comes waits for a beat; several beats.
    pub(crate) patience: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            beat: Duration::from_secs(5),
            patience: Duration::from_secs(18),
        }
    }
}

/// The presence of this process; ends when dropped.
#[derive(Debug)]
pub(crate) struct Writer {
    is_alone: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Writer {
    /// Becomes the writer of `bucket`.
    ///
    /// # Errors
    ///
    /// [`OpenError::SecondWriter`] if somebody else is.
    pub(crate) async fn enter(bucket: &Bucket, pace: Pace) -> Result<Self, OpenError> {
        let meta = S3Meta::new(bucket.clone(), Mode::SingleWriter);
        let taken = || OpenError::SecondWriter(bucket.address(""));
        if let Some((before, _)) = meta.get(WRITER).await? {
            // Its writer may have died without a word.
            tokio::time::sleep(pace.patience).await;
            let now = meta.get(WRITER).await?;
            if now.is_none_or(|(now, _)| now != before) {
                return Err(taken());
            }
        }
        let id = nonce();
        let mut beats = 0;
        beat(&meta, &id, &mut beats).await?;
        // Somebody who came at the same time has written by then.
        tokio::time::sleep(pace.beat).await;
        if !is_ours(&meta, &id).await? {
            return Err(taken());
        }
        let is_alone = Arc::new(AtomicBool::new(true));
        let told = Arc::clone(&is_alone);
        let task = tokio::spawn(async move {
            loop {
                tokio::time::sleep(pace.beat).await;
                match is_ours(&meta, &id).await {
                    Ok(true) => {}
                    Ok(false) => return told.store(false, Ordering::Release),
                    // Cut off; whether somebody else came shows when the store is back.
                    Err(_) => continue,
                }
                // One that is lost is made up for by the next.
                drop(beat(&meta, &id, &mut beats).await);
            }
        });
        Ok(Self { is_alone, task })
    }

    /// Tells whether nobody else was seen to write.
    pub(crate) fn is_alone(&self) -> bool {
        self.is_alone.load(Ordering::Acquire)
    }
}

/// What the object says: who, and how often.
fn says(id: &str, beats: u64) -> String {
    format!("{{\"writer\":\"{id}\",\"beats\":{beats}}}")
}

async fn beat(meta: &S3Meta, id: &str, beats: &mut u64) -> Result<(), StorageError> {
    *beats += 1;
    let bytes = says(id, *beats).into_bytes();
    let put = Write::Put(WRITER.to_owned(), bytes, Condition::Any);
    meta.write(vec![put]).await
}

async fn is_ours(meta: &S3Meta, id: &str) -> Result<bool, StorageError> {
    let found = meta.get(WRITER).await?;
    let ours = format!("{{\"writer\":\"{id}\",");
    Ok(found.is_some_and(|(bytes, _)| bytes.starts_with(ours.as_bytes())))
}
