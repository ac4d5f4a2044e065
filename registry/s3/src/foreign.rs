// SPDX-License-Identifier: Apache-2.0
//! Objects that somebody else wrote, for an import: listed and read, nothing else.

use futures_util::stream;
use registry::import::Objects;
use registry::storage::{Answer, StorageError, Stream};

use crate::client::Bucket;
use crate::config::BucketConfig;
use crate::data::object::{self, Reader};

/// A part of a bucket that is read alone.
#[derive(Debug)]
pub struct ForeignBucket {
    bucket: Bucket,
}

impl ForeignBucket {
    /// Returns what lies in the bucket of `config` below its prefix. Asks nothing yet.
    pub async fn new(config: &BucketConfig) -> Self {
        Self {
            bucket: Bucket::new(config).await,
        }
    }

    async fn page(&self, prefix: &str, after: &str) -> Result<Vec<String>, StorageError> {
        let bucket = &self.bucket;
        let after = (!after.is_empty()).then(|| bucket.object(after));
        let asked = bucket.records.list_objects_v2();
        let asked = asked.bucket(&bucket.name).prefix(bucket.object(prefix));
        let answer = asked.set_start_after(after).send().await;
        let answer = answer.map_err(|error| bucket.failed("list", prefix, &error))?;
        let keys = answer.contents().iter();
        let keys = keys.filter_map(|object| bucket.key(object.key()?).map(str::to_owned));
        Ok(keys.collect())
    }

    async fn open(&self, key: &str) -> Result<(u64, Stream), StorageError> {
        let size = object::size(&self.bucket, key).await?;
        let size = size.ok_or_else(|| StorageError::Missing(self.bucket.address(key)))?;
        if size == 0 {
            return Ok((0, Box::pin(stream::empty())));
        }
        let reader = Reader::open(&self.bucket, key, 0..size).await?;
        Ok((size, reader.stream()))
    }
}

impl Objects for ForeignBucket {
    fn list<'a>(&'a self, prefix: &'a str, after: &'a str) -> Answer<'a, Vec<String>> {
        Box::pin(self.page(prefix, after))
    }

    fn read<'a>(&'a self, key: &'a str) -> Answer<'a, (u64, Stream)> {
        Box::pin(self.open(key))
    }

    fn shown(&self) -> String {
        self.bucket.address("")
    }
}
