// SPDX-License-Identifier: Apache-2.0
//! Finding what unfinished uploads left in the bucket.

use registry::storage::{Location, SessionId, StorageError};

use super::multipart;
use super::{ANONYMOUS, folder, object};
use crate::client::Bucket;

/// Something found by a listing.
struct Found {
    key: String,
    /// Of a multipart upload.
    id: Option<String>,
    /// Seconds since 1970, by the store's clock.
    at: u64,
}

/// Removes everything of a session, but for `keep`.
pub(super) async fn session(
    bucket: &Bucket,
    session: &SessionId,
    keep: Option<&Location>,
) -> Result<(), StorageError> {
    let prefix = folder(session);
    let found = uploads(bucket, &prefix).await?.into_iter();
    let found = found.chain(objects(bucket, &prefix).await?);
    for found in found {
        if found.id.is_some() || keep.is_none_or(|keep| *keep.0 != *found.key) {
            remove(bucket, &found).await?;
        }
    }
    Ok(())
}

/// Removes what is older than `before` and belongs to nobody: uploads that were not completed, and
/// scraps without session.
pub(super) async fn old(bucket: &Bucket, before: u64) -> Result<usize, StorageError> {
    let mut count = 0;
    let found = uploads(bucket, "d/").await?.into_iter();
    let found = found.chain(objects(bucket, ANONYMOUS).await?);
    for found in found.filter(|found| found.at < before) {
        remove(bucket, &found).await?;
        count += 1;
    }
    Ok(count)
}

async fn remove(bucket: &Bucket, found: &Found) -> Result<(), StorageError> {
    match &found.id {
        Some(id) => multipart::abort(bucket, &found.key, id).await,
        None => object::delete(bucket, &found.key).await,
    }
}

async fn objects(bucket: &Bucket, prefix: &str) -> Result<Vec<Found>, StorageError> {
    let list = bucket.records.list_objects_v2().bucket(&bucket.name);
    let mut pages = list.prefix(bucket.object(prefix)).into_paginator().send();
    let mut found = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| bucket.failed("list", prefix, &error))?;
        found.extend(page.contents().iter().filter_map(|object| {
            Some(Found {
                key: bucket.key(object.key()?)?.to_owned(),
                id: None,
                at: seconds(object.last_modified()),
            })
        }));
    }
    Ok(found)
}

async fn uploads(bucket: &Bucket, prefix: &str) -> Result<Vec<Found>, StorageError> {
    let mut found = Vec::new();
    let mut after = (None, None);
    loop {
        let list = bucket.records.list_multipart_uploads().bucket(&bucket.name);
        let list = list.prefix(bucket.object(prefix));
        let list = list.set_key_marker(after.0).set_upload_id_marker(after.1);
        let page = list.send().await;
        let page = page.map_err(|error| bucket.failed("list uploads below", prefix, &error))?;
        found.extend(page.uploads().iter().filter_map(|upload| {
            Some(Found {
                key: bucket.key(upload.key()?)?.to_owned(),
                id: Some(upload.upload_id()?.to_owned()),
                at: seconds(upload.initiated()),
            })
        }));
        if !page.is_truncated().unwrap_or_default() {
            return Ok(found);
        }
        after = (
            page.next_key_marker().map(str::to_owned),
            page.next_upload_id_marker().map(str::to_owned),
        );
    }
}

/// One without a time is not old.
fn seconds(time: Option<&aws_sdk_s3::primitives::DateTime>) -> u64 {
    time.and_then(|time| u64::try_from(time.secs()).ok())
        .unwrap_or(u64::MAX)
}
