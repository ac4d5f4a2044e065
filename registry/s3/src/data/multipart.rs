// SPDX-License-Identifier: Apache-2.0
//! One multipart upload: made with its first part, a few parts in flight, completed at most once.

use std::sync::Arc;

use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use registry::storage::StorageError;
use tokio::task::JoinSet;

use super::object;
use super::payload::Payload;
use crate::client::{Bucket, is_missing};

/// How many parts of one upload are in flight.
const FLYING_MAX: usize = 4;
/// How many parts there may be. Docs: S3 `UploadPart`.
pub(super) const PARTS_MAX: usize = 10_000;

/// Where an upload stands.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Progress {
    /// The key that it will make.
    pub(super) key: String,
    /// The store's id of it.
    pub(super) id: String,
    /// What the store said about each part.
    pub(super) tags: Vec<String>,
}

/// A multipart upload that is being written.
#[derive(Debug)]
pub(super) struct Multipart {
    bucket: Arc<Bucket>,
    progress: Progress,
    /// How many parts were sent off, those in flight included.
    sent: usize,
    flying: JoinSet<Result<(usize, String), StorageError>>,
}

impl Multipart {
    /// Makes a new one.
    pub(super) async fn create(bucket: &Arc<Bucket>, key: String) -> Result<Self, StorageError> {
        let create = bucket.records.create_multipart_upload();
        let create = create.bucket(&bucket.name).key(bucket.object(&key));
        let created = create.send().await;
        let created = created.map_err(|error| bucket.failed("begin", &key, &error))?;
        let id = created.upload_id().unwrap_or_default().to_owned();
        let tags = Vec::new();
        Ok(Self::resume(bucket, Progress { key, id, tags }))
    }

    /// Goes on with one.
    pub(super) fn resume(bucket: &Arc<Bucket>, progress: Progress) -> Self {
        Self {
            bucket: Arc::clone(bucket),
            sent: progress.tags.len(),
            progress,
            flying: JoinSet::new(),
        }
    }

    /// Where it stands; parts in flight are not in it.
    pub(super) fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Sends the next part; waits while too many are in flight.
    pub(super) async fn send(&mut self, bytes: Payload) -> Result<(), StorageError> {
        while self.flying.len() >= FLYING_MAX {
            self.land().await?;
        }
        if self.sent >= PARTS_MAX {
            let size = (PARTS_MAX as u64) * bytes.len() as u64;
            let cause = std::io::Error::other(format!("upload has more than {size} bytes"));
            let place = self.bucket.address(&self.progress.key);
            return Err(StorageError::io("write", place, cause));
        }
        let index = self.sent;
        self.sent += 1;
        let (bucket, key) = (Arc::clone(&self.bucket), self.progress.key.clone());
        let number = i32::try_from(index + 1).expect("bounded above");
        let part = bucket.bytes.upload_part().bucket(&bucket.name);
        let part = part.key(bucket.object(&key)).part_number(number);
        let part = part.upload_id(&self.progress.id);
        let part = part.body(bytes.body());
        self.flying.spawn(async move {
            let sent = part.customize().disable_payload_signing().send().await;
            let sent = sent.map_err(|error| bucket.failed("write a part of", &key, &error))?;
            Ok((index, sent.e_tag().unwrap_or_default().to_owned()))
        });
        Ok(())
    }

    async fn land(&mut self) -> Result<(), StorageError> {
        let Some(landed) = self.flying.join_next().await else {
            return Ok(());
        };
        let gone = |_| StorageError::Missing("a part of an upload".into());
        let (index, tag) = landed.map_err(gone)??;
        let tags = &mut self.progress.tags;
        tags.resize(tags.len().max(index + 1), String::new());
        tags[index] = tag;
        Ok(())
    }

    /// Waits until no part is in flight.
    pub(super) async fn settle(&mut self) -> Result<(), StorageError> {
        while !self.flying.is_empty() {
            self.land().await?;
        }
        Ok(())
    }

    /// Makes the object. May be repeated, by anybody who knows the progress.
    pub(super) async fn complete(&self, size_bytes: u64) -> Result<(), StorageError> {
        let Progress { key, id, tags } = &self.progress;
        let parts = tags.iter().zip(1..).map(|(tag, number)| {
            let part = CompletedPart::builder().part_number(number);
            part.e_tag(tag).build()
        });
        let parts = parts.collect();
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts));
        let complete = self.bucket.bytes.complete_multipart_upload();
        let complete = complete.bucket(&self.bucket.name);
        let complete = complete.key(self.bucket.object(key)).upload_id(id);
        match complete.multipart_upload(parts.build()).send().await {
            Ok(_) => Ok(()),
            // The answer to an earlier try was lost, or somebody else was faster.
            Err(error) if is_missing(&error) => match object::size(&self.bucket, key).await? {
                Some(size) if size == size_bytes => Ok(()),
                _ => Err(StorageError::Missing(self.bucket.address(key))),
            },
            Err(error) => Err(self.bucket.failed("complete", key, &error)),
        }
    }
}

/// Gives up an upload; one that is gone is fine.
pub(super) async fn abort(bucket: &Bucket, key: &str, id: &str) -> Result<(), StorageError> {
    let abort = bucket.records.abort_multipart_upload();
    let abort = abort.bucket(&bucket.name).key(bucket.object(key));
    match abort.upload_id(id).send().await {
        Err(error) if !is_missing(&error) => Err(bucket.failed("give up", key, &error)),
        _ => Ok(()),
    }
}
