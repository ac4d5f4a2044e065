// SPDX-License-Identifier: Apache-2.0
//! What the bucket holds, and the conditions on changing it.
//!
//! Every method is one atomic operation: the caller holds the one lock around it. No I/O and no
//! protocol here; errors are S3's because they are its vocabulary.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use s3s::dto::{ETag, ETagCondition, Metadata};
use s3s::{S3Result, s3_error};

use crate::content::Content;
use crate::options::Conditions;
use crate::upload::Upload;

/// One object, as it was written.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) content: Content,
    /// Without quotes.
    pub(crate) etag: String,
    pub(crate) modified: SystemTime,
    pub(crate) attributes: Attributes,
}

/// What a client says about an object.
#[derive(Clone, Debug, Default)]
pub(crate) struct Attributes {
    pub(crate) content_type: Option<String>,
    pub(crate) metadata: Option<Metadata>,
}

/// The condition of a write.
#[derive(Clone, Debug, Default)]
pub(crate) struct Precondition {
    pub(crate) if_match: Option<ETagCondition>,
    pub(crate) if_none_match: Option<ETagCondition>,
}

impl Precondition {
    pub(crate) fn if_match(condition: Option<ETagCondition>) -> Self {
        Self {
            if_match: condition,
            if_none_match: None,
        }
    }

    /// Whether the write may replace `current`.
    ///
    /// Docs: S3 user guide, conditional writes: 412 for a condition that fails, 404 for `If-Match`
    /// on nothing, and no `If-None-Match` but `*`.
    fn check(&self, current: Option<&Object>) -> S3Result<()> {
        match (&self.if_none_match, current) {
            (None, _) | (Some(ETagCondition::Any), None) => {}
            (Some(ETagCondition::Any), Some(_)) => return Err(s3_error!(PreconditionFailed)),
            (Some(ETagCondition::ETag(_)), _) => {
                return Err(s3_error!(NotImplemented, "If-None-Match takes only *"));
            }
        }
        match (&self.if_match, current) {
            (None, _) => Ok(()),
            (Some(_), None) => Err(s3_error!(NoSuchKey)),
            (Some(condition), Some(object)) if matches(condition, &object.etag) => Ok(()),
            (Some(_), Some(_)) => Err(s3_error!(PreconditionFailed)),
        }
    }
}

/// Whether `condition` names `etag`.
pub(crate) fn matches(condition: &ETagCondition, etag: &str) -> bool {
    match condition {
        ETagCondition::Any => true,
        ETagCondition::ETag(ETag::Strong(value) | ETag::Weak(value)) => value == etag,
    }
}

/// One bucket.
#[derive(Debug, Default)]
pub(crate) struct Bucket {
    /// By key; text sorts by its bytes, as lists must.
    pub(crate) objects: BTreeMap<String, Arc<Object>>,
    /// Multipart uploads in progress, by key and id.
    pub(crate) uploads: BTreeMap<(String, String), Upload>,
    /// Uploads ever begun.
    pub(crate) uploads_begun: u64,
}

/// All buckets.
#[derive(Debug)]
pub(crate) struct Store {
    conditions: Conditions,
    buckets: BTreeMap<String, Bucket>,
}

impl Store {
    /// A store with one empty bucket.
    pub(crate) fn new(name: &str, conditions: Conditions) -> Self {
        Self {
            conditions,
            buckets: BTreeMap::from([(name.to_owned(), Bucket::default())]),
        }
    }

    pub(crate) fn create_bucket(&mut self, name: String) -> S3Result<()> {
        if self.buckets.contains_key(&name) {
            return Err(s3_error!(BucketAlreadyOwnedByYou));
        }
        self.buckets.insert(name, Bucket::default());
        Ok(())
    }

    pub(crate) fn bucket(&self, name: &str) -> S3Result<&Bucket> {
        self.buckets
            .get(name)
            .ok_or_else(|| s3_error!(NoSuchBucket))
    }

    pub(crate) fn bucket_mut(&mut self, name: &str) -> S3Result<&mut Bucket> {
        self.buckets
            .get_mut(name)
            .ok_or_else(|| s3_error!(NoSuchBucket))
    }

    pub(crate) fn get(&self, bucket: &str, key: &str) -> S3Result<Arc<Object>> {
        let found = self.bucket(bucket)?.objects.get(key);
        found.cloned().ok_or_else(|| s3_error!(NoSuchKey))
    }

    /// Writes an object if `condition` allows it.
    pub(crate) fn put(
        &mut self,
        bucket: &str,
        key: String,
        object: Object,
        condition: &Precondition,
    ) -> S3Result<()> {
        let checked = self.conditions != Conditions::Ignored;
        let objects = &mut self.bucket_mut(bucket)?.objects;
        if checked {
            condition.check(objects.get(&key).map(Arc::as_ref))?;
        }
        objects.insert(key, Arc::new(object));
        Ok(())
    }

    /// Deletes an object if `condition` allows it; to delete nothing succeeds.
    pub(crate) fn delete(
        &mut self,
        bucket: &str,
        key: &str,
        condition: &Precondition,
    ) -> S3Result<()> {
        let checked = self.conditions == Conditions::Full;
        let objects = &mut self.bucket_mut(bucket)?.objects;
        if checked {
            condition.check(objects.get(key).map(Arc::as_ref))?;
        }
        objects.remove(key);
        Ok(())
    }
}
