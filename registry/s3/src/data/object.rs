// SPDX-License-Identifier: Apache-2.0
//! Objects with bytes: put, get in ranges, delete.

use std::io;
use std::ops::Range;
use std::time::Duration;

use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use futures_util::stream;
use registry::storage::{StorageError, Stream};

use super::payload::Payload;
use crate::client::{Bucket, is_missing};

/// How often a body that breaks off is asked for again from there, without a byte in between.
const CUTS_MAX: u32 = 5;
/// How long to wait before that.
const CUT_PAUSE: Duration = Duration::from_millis(50);

/// Writes an object that nobody else writes; may be repeated.
pub(super) async fn put(bucket: &Bucket, key: &str, bytes: Payload) -> Result<(), StorageError> {
    let put = bucket.bytes.put_object();
    let put = put.bucket(&bucket.name).key(bucket.object(key));
    // The bytes were hashed once; signing them would hash them again.
    let sent = put.body(bytes.body()).customize();
    let sent = sent.disable_payload_signing().send().await;
    sent.map(drop)
        .map_err(|error| bucket.failed("write", key, &error))
}

/// Removes an object; an absent one is fine.
pub(super) async fn delete(bucket: &Bucket, key: &str) -> Result<(), StorageError> {
    let delete = bucket.records.delete_object();
    let delete = delete.bucket(&bucket.name).key(bucket.object(key));
    match delete.send().await {
        Err(error) if !is_missing(&error) => Err(bucket.failed("delete", key, &error)),
        _ => Ok(()),
    }
}

/// Returns how long an object is; none if the store does not say.
///
/// # Errors
///
/// [`StorageError::Missing`] if there is no such object.
pub(crate) async fn size(bucket: &Bucket, key: &str) -> Result<Option<u64>, StorageError> {
    let head = bucket.records.head_object();
    let head = head.bucket(&bucket.name).key(bucket.object(key));
    match head.send().await {
        Ok(head) => Ok(head
            .content_length()
            .and_then(|size| u64::try_from(size).ok())),
        Err(error) if is_missing(&error) => Err(StorageError::Missing(bucket.address(key))),
        Err(error) => Err(bucket.failed("look at", key, &error)),
    }
}

/// A range of an object on its way out. A body that breaks off is asked for again from there.
pub(crate) struct Reader {
    bucket: Bucket,
    key: String,
    range: Range<u64>,
    body: Option<ByteStream>,
    cuts: u32,
}

impl Reader {
    /// Opens `range`, which is not empty.
    ///
    /// # Errors
    ///
    /// [`StorageError::Missing`] if there is no such object, or it is shorter.
    pub(crate) async fn open(
        bucket: &Bucket,
        key: &str,
        range: Range<u64>,
    ) -> Result<Self, StorageError> {
        let mut reader = Self {
            bucket: bucket.clone(),
            key: key.to_owned(),
            range,
            body: None,
            cuts: 0,
        };
        reader.ask().await?;
        Ok(reader)
    }

    async fn ask(&mut self) -> Result<(), StorageError> {
        let (start, end) = (self.range.start, self.range.end);
        let get = self.bucket.bytes.get_object();
        let get = get.bucket(&self.bucket.name);
        let get = get.key(self.bucket.object(&self.key));
        let get = get.range(format!("bytes={start}-{}", end - 1));
        let missing = || StorageError::Missing(self.bucket.address(&self.key));
        match get.send().await {
            Ok(answer) => {
                let length = answer.content_length().unwrap_or_default();
                if u64::try_from(length) != Ok(end - start) {
                    return Err(missing());
                }
                self.body = Some(answer.body);
                Ok(())
            }
            Err(error) if is_missing(&error) || crate::client::status(&error) == Some(416) => {
                Err(missing())
            }
            Err(error) => Err(self.bucket.failed("read", &self.key, &error)),
        }
    }

    /// Returns the next piece; none at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, StorageError> {
        while !self.range.is_empty() {
            if self.body.is_none() {
                self.ask().await?;
            }
            let body = self.body.as_mut().expect("asked for just now");
            match body.next().await {
                Some(Ok(mut piece)) if !piece.is_empty() => {
                    let wanted = self.range.end - self.range.start;
                    piece.truncate(usize::try_from(wanted).unwrap_or(usize::MAX));
                    self.range.start += piece.len() as u64;
                    self.cuts = 0;
                    return Ok(Some(piece));
                }
                Some(Ok(_)) => {}
                // Too short, or reset: nothing that was passed on is asked for again.
                None | Some(Err(_)) => {
                    self.body = None;
                    self.cuts += 1;
                    if self.cuts > CUTS_MAX {
                        let cause = io::Error::from(io::ErrorKind::UnexpectedEof);
                        let place = self.bucket.address(&self.key);
                        return Err(StorageError::io("read", place, cause));
                    }
                    tokio::time::sleep(CUT_PAUSE * self.cuts).await;
                }
            }
        }
        Ok(None)
    }

    /// Returns all of it.
    pub(super) async fn whole(mut self) -> Result<Bytes, StorageError> {
        let size = self.range.end - self.range.start;
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
        while let Some(piece) = self.next().await? {
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes.into())
    }

    /// Returns it piece by piece; nothing is read ahead for a client that does not take it.
    pub(crate) fn stream(self) -> Stream {
        Box::pin(stream::try_unfold(self, |mut reader| async move {
            let piece = reader.next().await.map_err(io::Error::other)?;
            Ok(piece.map(|piece| (piece, reader)))
        }))
    }
}
