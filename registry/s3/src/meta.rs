// SPDX-License-Identifier: Apache-2.0
//! [`Meta`] in a bucket: a record is an object, its version the object's `ETag`.
//!
//! A conditional write whose answer is lost may have happened. It is tried again, and when the
//! store then says that the condition does not hold, the object tells by its nonce (see
//! [`crate::sealed`]) whether that is because of the first try. If it is somebody else's by then,
//! nobody can tell, and the write fails as a lost answer does, not as a lost race.
//!
//! A store that ignores the condition of a DELETE gets a conditional PUT of an empty object
//! instead, the *tombstone*, which reads and lists as absent. It can never be removed safely, and
//! is all that is left of a record there.
//!
//! A store that ignores all conditions gets none: a lock per key takes their place, which holds
//! within this process only ([`Mode::SingleWriter`]).

use std::time::Duration;

use aws_sdk_s3::primitives::{ByteStream, DateTime};
use futures_util::StreamExt as _;
use registry::storage::meta::LIST_MAX;
use registry::storage::{Answer, Condition, Listed, Meta, StorageError, Version, Write};
use tokio::sync::{Mutex, MutexGuard};

use crate::attempt::{ATTEMPTS_MAX, Failure, back_off};
use crate::client::{Bucket, is_missing};
use crate::mode::Mode;
use crate::sealed::{SEAL_BYTES, seal, unseal};
use crate::writer::Writer;

/// The largest record: a manifest with its header, and some.
const RECORD_BYTES_MAX: u64 = 16 << 20;
/// How many steps of one stage are under way at once.
const STEPS_PARALLEL: usize = 64;
/// How often a record whose bytes break off is asked for again.
const READS_MAX: u32 = 4;
/// How many locks there are in single-writer mode; keys share them.
const LOCKS: usize = 256;
/// How long a record may take to arrive, once it began to.
const BODY_TIMEOUT: Duration = Duration::from_secs(20);

/// Names in a bucket.
#[derive(Debug)]
pub(crate) struct S3Meta {
    bucket: Bucket,
    mode: Mode,
    locks: Vec<Mutex<()>>,
    /// In single-writer mode, unless the writer itself asks.
    writer: Option<Writer>,
}

/// An object as it was read.
struct Object {
    bytes: Vec<u8>,
    version: Version,
}

impl S3Meta {
    pub(crate) fn new(bucket: Bucket, mode: Mode) -> Self {
        Self {
            bucket,
            mode,
            locks: (0..LOCKS).map(|_| Mutex::new(())).collect(),
            writer: None,
        }
    }

    /// Returns names that are written only as long as `writer` is alone.
    pub(crate) fn kept_by(self, writer: Writer) -> Self {
        Self {
            writer: Some(writer),
            ..self
        }
    }

    async fn read(&self, key: &str) -> Result<Option<Object>, StorageError> {
        let mut attempts = 1;
        loop {
            match self.read_once(key).await {
                Err(Broken::Body(_)) if attempts < READS_MAX => back_off(attempts).await,
                Err(Broken::Body(error) | Broken::Whole(error)) => return Err(error),
                Ok(object) => return Ok(object),
            }
            attempts += 1;
        }
    }

    async fn read_once(&self, key: &str) -> Result<Option<Object>, Broken> {
        let asked = self.bucket.records.get_object();
        let asked = asked.bucket(&self.bucket.name).key(self.bucket.object(key));
        let answer = match asked.send().await {
            Ok(answer) => answer,
            Err(error) if is_no_object(&error) => return Ok(None),
            Err(error) => return Err(Broken::Whole(self.bucket.failed("read", key, &error))),
        };
        let failed = |cause| StorageError::io("read", self.bucket.address(key), cause);
        let size = answer.content_length().unwrap_or_default();
        if u64::try_from(size).unwrap_or_default() > RECORD_BYTES_MAX {
            let cause = std::io::ErrorKind::FileTooLarge.into();
            return Err(Broken::Whole(failed(cause)));
        }
        let version = self.version(key, answer.e_tag()).map_err(Broken::Whole)?;
        let body = tokio::time::timeout(BODY_TIMEOUT, answer.body.collect()).await;
        let body = body.map_err(|_| Broken::Body(failed(std::io::ErrorKind::TimedOut.into())))?;
        let body = body.map_err(|error| Broken::Body(failed(error.into())))?;
        let bytes = body.to_vec();
        Ok(Some(Object { bytes, version }))
    }

    /// Returns the version of what is there, without reading it.
    async fn current(&self, key: &str) -> Result<Option<Version>, StorageError> {
        let asked = self.bucket.records.head_object();
        let asked = asked.bucket(&self.bucket.name).key(self.bucket.object(key));
        match asked.send().await {
            Ok(answer) if answer.content_length() == Some(0) => Ok(None),
            Ok(answer) => self.version(key, answer.e_tag()).map(Some),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(self.bucket.failed("look at", key, &error)),
        }
    }

    fn version(&self, key: &str, tag: Option<&str>) -> Result<Version, StorageError> {
        let missing = || {
            let cause = std::io::Error::other("store gave no ETag");
            StorageError::io("read", self.bucket.address(key), cause)
        };
        // Listings of some stores leave the quotes out.
        let tag = tag.ok_or_else(missing)?.trim_matches('"');
        Ok(Version(tag.into()))
    }

    async fn apply(&self, step: Write) -> Result<(), StorageError> {
        if self
            .writer
            .as_ref()
            .is_some_and(|writer| !writer.is_alone())
        {
            return Err(StorageError::InUse(self.bucket.address("").into()));
        }
        match step {
            Write::Require(_, Condition::Any) => Ok(()),
            Write::Require(key, condition) | Write::Delete(key, condition @ Condition::Absent) => {
                self.require(&key, &condition).await
            }
            Write::Put(key, record, Condition::Any) => {
                let lock = self.lock(&key).await;
                let put = self.put(&key, seal(record)).await;
                drop(lock);
                put
            }
            Write::Delete(key, Condition::Any) => {
                let lock = self.lock(&key).await;
                let deleted = self.delete(&key).await;
                drop(lock);
                deleted
            }
            Write::Put(key, record, condition) => {
                self.change(&key, Change::Put(seal(record)), condition)
                    .await
            }
            Write::Delete(key, condition) => self.change(&key, Change::Delete, condition).await,
        }
    }

    async fn require(&self, key: &str, condition: &Condition) -> Result<(), StorageError> {
        let found = self.current(key).await?;
        let holds = match condition {
            Condition::Any => true,
            Condition::Absent => found.is_none(),
            Condition::Is(version) => found.as_ref() == Some(version),
        };
        if holds {
            Ok(())
        } else {
            Err(StorageError::Conflict(key.to_owned()))
        }
    }

    async fn put(&self, key: &str, object: Vec<u8>) -> Result<(), StorageError> {
        let asked = self.bucket.records.put_object();
        let asked = asked.bucket(&self.bucket.name).key(self.bucket.object(key));
        let sent = asked.body(ByteStream::from(object)).send().await;
        sent.map_err(|error| self.bucket.failed("write", key, &error))?;
        Ok(())
    }

    async fn delete(&self, key: &str) -> Result<(), StorageError> {
        let asked = self.bucket.records.delete_object();
        let asked = asked.bucket(&self.bucket.name).key(self.bucket.object(key));
        match asked.send().await {
            Err(error) if !is_missing(&error) => Err(self.bucket.failed("delete", key, &error)),
            _ => Ok(()),
        }
    }

    /// Holds the key of a write in single-writer mode.
    async fn lock(&self, key: &str) -> Option<MutexGuard<'_, ()>> {
        if self.mode != Mode::SingleWriter {
            return None;
        }
        let number = key.bytes().fold(0_usize, |number, byte| {
            number.wrapping_mul(31).wrapping_add(usize::from(byte))
        });
        Some(self.locks[number % LOCKS].lock().await)
    }

    /// Makes a change on a condition.
    async fn change(
        &self,
        key: &str,
        change: Change,
        condition: Condition,
    ) -> Result<(), StorageError> {
        if self.mode == Mode::SingleWriter {
            let lock = self.lock(key).await;
            self.require(key, &condition).await?;
            let done = match change {
                Change::Put(object) => self.put(key, object).await,
                Change::Delete => self.delete(key).await,
            };
            drop(lock);
            return done;
        }
        let change = match change {
            Change::Delete if self.mode == Mode::WithoutConditionalDelete => {
                Change::Put(Vec::new())
            }
            change => change,
        };
        self.change_atomically(key, &change, condition).await
    }

    async fn change_atomically(
        &self,
        key: &str,
        change: &Change,
        mut condition: Condition,
    ) -> Result<(), StorageError> {
        let conflict = || StorageError::Conflict(key.to_owned());
        let mut lost = None;
        let mut attempts = 0;
        loop {
            attempts += 1;
            let error = match self.attempt(key, change, &condition).await {
                Ok(()) => return Ok(()),
                Err(Failure::Refused(error)) => return Err(error),
                Err(Failure::Busy(error)) => error,
                Err(Failure::Unknown(error)) => {
                    lost = Some(error.clone());
                    error
                }
                Err(Failure::Condition) => {
                    let found = self.read(key).await?;
                    if lost.is_some() && change.is_made(found.as_ref()) {
                        return Ok(());
                    }
                    if let Some(lost) = lost {
                        return Err(lost);
                    }
                    match found {
                        // Absent, under the name of a tombstone.
                        Some(object) if object.bytes.is_empty() && is_absent(&condition) => {
                            condition = Condition::Is(object.version);
                            StorageError::Contended(key.to_owned())
                        }
                        // It went between the two looks.
                        None if is_absent(&condition) => StorageError::Contended(key.to_owned()),
                        _ => return Err(conflict()),
                    }
                }
            };
            if attempts == ATTEMPTS_MAX {
                return self.last_look(key, change, lost, error).await;
            }
            back_off(attempts).await;
        }
    }

    /// Gives up, unless a try whose answer was lost did it.
    async fn last_look(
        &self,
        key: &str,
        change: &Change,
        lost: Option<StorageError>,
        error: StorageError,
    ) -> Result<(), StorageError> {
        if lost.is_some()
            && let Ok(found) = self.read(key).await
            && change.is_made(found.as_ref())
        {
            return Ok(());
        }
        Err(lost.unwrap_or(error))
    }

    async fn attempt(
        &self,
        key: &str,
        change: &Change,
        condition: &Condition,
    ) -> Result<(), Failure> {
        let (is, absent) = match condition {
            Condition::Is(version) => (Some(format!("\"{version}\"")), None),
            Condition::Any => (None, None),
            Condition::Absent => (None, Some("*".to_owned())),
        };
        match change {
            Change::Put(object) => {
                let asked = self.bucket.once.put_object();
                let asked = asked.bucket(&self.bucket.name).key(self.bucket.object(key));
                let asked = asked.set_if_match(is).set_if_none_match(absent);
                let sent = asked.body(ByteStream::from(object.clone())).send().await;
                sent.map_err(|error| Failure::of(&self.bucket, "write", key, &error))?;
            }
            Change::Delete => {
                let asked = self.bucket.once.delete_object();
                let asked = asked.bucket(&self.bucket.name).key(self.bucket.object(key));
                let sent = asked.set_if_match(is).send().await;
                sent.map_err(|error| Failure::of(&self.bucket, "delete", key, &error))?;
            }
        }
        Ok(())
    }

    async fn list_page(
        &self,
        prefix: &str,
        after: &str,
        limit: usize,
    ) -> Result<(Vec<Listed>, Option<String>), StorageError> {
        let asked = self.bucket.records.list_objects_v2();
        let asked = asked
            .bucket(&self.bucket.name)
            .prefix(self.bucket.object(prefix))
            .set_start_after((after > prefix).then(|| self.bucket.object(after)))
            .max_keys(i32::try_from(limit).unwrap_or(i32::MAX));
        let answer = asked.send().await;
        let answer = answer.map_err(|error| self.bucket.failed("list", prefix, &error))?;
        let mut lines = Vec::with_capacity(limit);
        let mut last = None;
        for object in answer.contents() {
            let Some(key) = object.key().and_then(|key| self.bucket.key(key)) else {
                continue;
            };
            last = Some(key.to_owned());
            let size = u64::try_from(object.size().unwrap_or_default()).unwrap_or_default();
            // An empty object is a tombstone.
            let Some(size_bytes) = size.checked_sub(SEAL_BYTES as u64) else {
                continue;
            };
            let written_at = object.last_modified().map_or(0, DateTime::secs);
            lines.push(Listed {
                key: key.to_owned(),
                version: self.version(key, object.e_tag())?,
                written_at: u64::try_from(written_at).unwrap_or_default(),
                size_bytes,
            });
        }
        let more = answer.is_truncated() == Some(true);
        Ok((lines, last.filter(|_| more)))
    }
}

/// Why an object could not be read.
enum Broken {
    /// The SDK has tried often enough.
    Whole(StorageError),
    /// The bytes broke off; the SDK does not try that again.
    Body(StorageError),
}

/// A conditional change of one object.
enum Change {
    Put(Vec<u8>),
    Delete,
}

impl Change {
    /// Tells whether `found` can only be the work of this change.
    fn is_made(&self, found: Option<&Object>) -> bool {
        match (self, found) {
            // A tombstone is like any other: that somebody removed it is all that was wanted.
            (Self::Put(object), Some(found)) => *object == found.bytes,
            (Self::Delete, None) => true,
            _ => false,
        }
    }
}

fn is_absent(condition: &Condition) -> bool {
    *condition == Condition::Absent
}

/// Tells "no such record" from "no such bucket".
fn is_no_object(
    error: &aws_sdk_s3::error::SdkError<aws_sdk_s3::operation::get_object::GetObjectError>,
) -> bool {
    use aws_sdk_s3::error::ProvideErrorMetadata as _;
    is_missing(error) && error.code() != Some("NoSuchBucket")
}

impl Meta for S3Meta {
    fn get<'a>(&'a self, key: &'a str) -> Answer<'a, Option<(Vec<u8>, Version)>> {
        Box::pin(async move {
            let object = self
                .read(key)
                .await?
                .filter(|found| !found.bytes.is_empty());
            let Some(Object { bytes, version }) = object else {
                return Ok(None);
            };
            let not_ours = || {
                let cause = std::io::Error::other("object is not one of this registry's records");
                StorageError::io("read", self.bucket.address(key), cause)
            };
            Ok(Some((unseal(bytes).ok_or_else(not_ours)?, version)))
        })
    }

    fn write(&self, steps: Vec<Write>) -> Answer<'_, ()> {
        self.write_stages(steps.into_iter().map(|step| vec![step]).collect())
    }

    fn write_stages(&self, stages: Vec<Vec<Write>>) -> Answer<'_, ()> {
        Box::pin(async move {
            for stage in stages {
                let steps = stage.into_iter().map(|step| self.apply(step));
                let mut results =
                    futures_util::stream::iter(steps).buffer_unordered(STEPS_PARALLEL);
                let mut conflict = None;
                let mut failure = None;
                // All of them end before this does: nothing happens behind the caller's back.
                while let Some(result) = results.next().await {
                    match result {
                        Ok(()) => {}
                        Err(StorageError::Conflict(key)) => conflict = Some(key),
                        Err(error) => failure = Some(error),
                    }
                }
                // That nobody knows what happened weighs more than that somebody was faster.
                if let Some(error) = failure.or(conflict.map(StorageError::Conflict)) {
                    return Err(error);
                }
            }
            Ok(())
        })
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: &'a str,
        limit: usize,
    ) -> Answer<'a, Vec<Listed>> {
        Box::pin(async move {
            let limit = limit.min(LIST_MAX);
            let mut lines = Vec::new();
            // Behind all that start with the prefix: stores differ about such a start.
            if after > prefix && !after.starts_with(prefix) {
                return Ok(lines);
            }
            let mut after = after.to_owned();
            while lines.len() < limit {
                let wanted = limit - lines.len();
                let (page, next) = self.list_page(prefix, &after, wanted).await?;
                lines.extend(page);
                match next {
                    Some(last) => after = last,
                    None => break,
                }
            }
            Ok(lines)
        })
    }
}
