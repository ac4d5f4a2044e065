// SPDX-License-Identifier: Apache-2.0
//! Finds out what a store does, instead of believing its name: writes, races, lists and deletes a
//! few objects under `meta/probe/`.
//!
//! What the registry cannot do without (a read sees what was written, a listing sees it and is
//! sorted, versions are the same everywhere) makes it refuse. Conditions that are not checked, or
//! checked in one moment and acted on in the next, leave one writer.
//!
//! The conditions of `CompleteMultipartUpload` are not tried: keys of bytes are never used twice.

use aws_sdk_s3::primitives::ByteStream;
use futures_util::future::join_all;
use registry::storage::{Condition, Meta as _, StorageError, Version, Write, nonce};

use crate::attempt::{Failure, back_off};
use crate::client::{Bucket, is_missing};
use crate::meta::S3Meta;
use crate::mode::Mode;
use crate::open::OpenError;

/// How many write at once in a race.
const RACERS: usize = 32;
/// How often a check is tried that ends in errors which say nothing.
const TRIES_MAX: u32 = 5;

/// What came out.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) mode: Mode,
    /// Why it is not the best of modes.
    pub(crate) reason: Option<&'static str>,
}

/// Probes the store. Its objects are removed again.
pub(crate) async fn probe(bucket: &Bucket) -> Result<Found, OpenError> {
    let probe = Probe {
        bucket,
        prefix: format!("meta/probe/{}/", nonce()),
        // Writes without conditions and reads are the same in every mode.
        meta: S3Meta::new(bucket.clone(), Mode::SingleWriter),
    };
    probe.basics().await?;
    let found = probe.conditions().await?;
    probe.clean_up().await?;
    Ok(found)
}

struct Probe<'a> {
    bucket: &'a Bucket,
    prefix: String,
    meta: S3Meta,
}

/// How one conditional write ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Done,
    /// The condition did not hold.
    Refused,
    /// The store does not know such a condition.
    NotKnown,
    /// Somebody else was at it; nothing happened.
    Busy,
    /// Nobody knows.
    Lost,
}

impl Probe<'_> {
    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn unfit(&self, check: &'static str, means: &'static str) -> OpenError {
        OpenError::Unfit {
            address: self.bucket.address(""),
            check,
            means,
        }
    }

    async fn put(&self, name: &str, bytes: &str) -> Result<(), StorageError> {
        let put = Write::Put(self.key(name), bytes.into(), Condition::Any);
        self.meta.write(vec![put]).await
    }

    async fn get(&self, name: &str) -> Result<Option<(Vec<u8>, Version)>, StorageError> {
        self.meta.get(&self.key(name)).await
    }

    /// Checks what nothing can do without.
    async fn basics(&self) -> Result<(), OpenError> {
        let mut versions = Vec::new();
        for bytes in ["1", "2"] {
            self.put("b", bytes).await?;
            match self.get("b").await? {
                Some((found, version)) if found == bytes.as_bytes() => versions.push(version),
                _ => {
                    let means = "an image could vanish right after it was pushed";
                    return Err(self.unfit("a read sees the last write", means));
                }
            }
        }
        if versions[0] == versions[1] {
            let means = "changes of a record could not be noticed";
            return Err(self.unfit("different bytes have different ETags", means));
        }
        for name in ["a", "c", "B", "_"] {
            self.put(name, name).await?;
        }
        let listed = self.meta.list(&self.prefix, "", 10).await?;
        let names: Vec<_> = listed
            .iter()
            .filter_map(|line| line.key.strip_prefix(&self.prefix))
            .collect();
        if names != ["B", "_", "a", "b", "c"] {
            let means = "garbage collection could remove what is in use";
            return Err(self.unfit("a listing has every object, sorted by bytes", means));
        }
        if listed.get(3).map(|line| &line.version) != versions.get(1) {
            let means = "records could not be compared with listings";
            return Err(self.unfit("a listing has the ETags that reads have", means));
        }
        let rest = self.meta.list(&self.prefix, &self.key("a"), 10).await?;
        let rest: Vec<_> = rest.iter().map(|line| &line.key).collect();
        if rest != [&self.key("b"), &self.key("c")] {
            let means = "lists of tags would repeat or miss some";
            return Err(self.unfit("start-after begins behind the key", means));
        }
        let delete = Write::Delete(self.key("c"), Condition::Any);
        self.meta.write(vec![delete]).await?;
        let listed = self.meta.list(&self.prefix, "", 10).await?;
        if listed.iter().any(|line| line.key == self.key("c")) || self.get("c").await?.is_some() {
            let means = "deleted images would come back";
            return Err(self.unfit("a deleted object is gone", means));
        }
        Ok(())
    }

    /// Checks what several writers need.
    async fn conditions(&self) -> Result<Found, OpenError> {
        let single = |reason| {
            Ok(Found {
                mode: Mode::SingleWriter,
                reason: Some(reason),
            })
        };
        let stale = Condition::Is(Version("0123456789abcdef0123456789abcdef".into()));
        if self.try_put("x", &Condition::Absent).await? != Ended::Done {
            return single("it does not take a PUT with If-None-Match");
        }
        if self.try_put("x", &Condition::Absent).await? != Ended::Refused {
            return single("it ignores If-None-Match on PUT");
        }
        let version = self.version("x").await?;
        if self.try_put("x", &stale).await? != Ended::Refused || self.version("x").await? != version
        {
            return single("it ignores If-Match on PUT");
        }
        if self.try_put("none", &stale).await? != Ended::Refused {
            return single("it ignores If-Match on PUT where there is no object");
        }
        if self.try_put("x", &Condition::Is(version)).await? != Ended::Done {
            return single("it refuses a PUT with the right If-Match");
        }
        if !self.race(false).await? {
            return single("of several PUTs at once with If-None-Match more than one succeeds");
        }
        if !self.race(true).await? {
            return single("of several PUTs at once with one If-Match more than one succeeds");
        }
        let version = self.version("x").await?;
        let ended = self.try_delete("x", &stale).await?;
        let is_kept = self.get("x").await?.is_some();
        let is_checked = ended == Ended::Refused && is_kept;
        if is_checked && self.try_delete("x", &Condition::Is(version)).await? == Ended::Done {
            return Ok(Found {
                mode: Mode::MultiWriter,
                reason: None,
            });
        }
        Ok(Found {
            mode: Mode::WithoutConditionalDelete,
            reason: Some("it ignores If-Match on DELETE"),
        })
    }

    async fn version(&self, name: &str) -> Result<Version, OpenError> {
        let gone = || self.unfit("a written object stays", "images would vanish");
        Ok(self.get(name).await?.ok_or_else(gone)?.1)
    }

    /// Lets many write one key at once; tells whether at most one of them did.
    async fn race(&self, is_change: bool) -> Result<bool, OpenError> {
        for round in 0..TRIES_MAX {
            let name = format!("race-{is_change}-{round}");
            let mut condition = Condition::Absent;
            if is_change {
                self.put(&name, "start").await?;
                condition = Condition::Is(self.version(&name).await?);
            }
            let racers = (0..RACERS).map(|_| self.put_once(&name, &condition));
            let ended: Result<Vec<Ended>, StorageError> =
                join_all(racers).await.into_iter().collect();
            let winners = ended?.into_iter().filter(|ended| *ended == Ended::Done);
            match winners.count() {
                // All were told that somebody else is at it, or that the store is busy.
                0 => back_off(round).await,
                1 => return Ok(true),
                _ => return Ok(false),
            }
        }
        Err(self.unfit(
            "one of several writers succeeds",
            "pushes at the same time would all fail",
        ))
    }

    async fn try_put(&self, name: &str, condition: &Condition) -> Result<Ended, OpenError> {
        for tries in 0..TRIES_MAX {
            match self.put_once(name, condition).await? {
                // It may have happened, and then the next try would be refused for it.
                Ended::Lost | Ended::Busy => back_off(tries).await,
                ended => return Ok(ended),
            }
        }
        Err(self.unsure())
    }

    async fn try_delete(&self, name: &str, condition: &Condition) -> Result<Ended, OpenError> {
        for tries in 0..TRIES_MAX {
            let Condition::Is(version) = condition else {
                break;
            };
            let asked = self.bucket.once.delete_object();
            let asked = asked.bucket(&self.bucket.name);
            let asked = asked.key(self.bucket.object(&self.key(name)));
            let sent = asked.if_match(format!("\"{version}\"")).send().await;
            match self.ended("delete", name, sent)? {
                Ended::Lost | Ended::Busy => back_off(tries).await,
                ended => return Ok(ended),
            }
        }
        Err(self.unsure())
    }

    fn unsure(&self) -> OpenError {
        let means = "it is too busy or too unreliable to be probed now";
        self.unfit("a small write is answered", means)
    }

    async fn put_once(&self, name: &str, condition: &Condition) -> Result<Ended, StorageError> {
        let (is, absent) = match condition {
            Condition::Is(version) => (Some(format!("\"{version}\"")), None),
            Condition::Absent => (None, Some("*".to_owned())),
            Condition::Any => (None, None),
        };
        let asked = self.bucket.once.put_object();
        let asked = asked.bucket(&self.bucket.name);
        let asked = asked.key(self.bucket.object(&self.key(name)));
        let asked = asked.set_if_match(is).set_if_none_match(absent);
        let object = crate::sealed::seal(Vec::new());
        let sent = asked.body(ByteStream::from(object)).send().await;
        self.ended("write", name, sent)
    }

    fn ended<T, E>(
        &self,
        action: &'static str,
        name: &str,
        sent: Result<T, aws_sdk_s3::error::SdkError<E>>,
    ) -> Result<Ended, StorageError>
    where
        E: aws_sdk_s3::error::ProvideErrorMetadata,
    {
        let Err(error) = sent else {
            return Ok(Ended::Done);
        };
        let status = crate::client::status(&error);
        match Failure::of(self.bucket, action, &self.key(name), &error) {
            Failure::Condition => Ok(Ended::Refused),
            Failure::Busy(_) => Ok(Ended::Busy),
            Failure::Unknown(_) => Ok(Ended::Lost),
            Failure::Refused(_) if matches!(status, Some(400 | 501)) => Ok(Ended::NotKnown),
            Failure::Refused(error) => Err(error),
        }
    }

    async fn clean_up(&self) -> Result<(), OpenError> {
        let listed = self.meta.list(&self.prefix, "", 100).await?;
        let deletes = listed.into_iter().map(|line| {
            let asked = self.bucket.records.delete_object();
            let asked = asked.bucket(&self.bucket.name);
            let sent = asked.key(self.bucket.object(&line.key)).send();
            async move {
                match sent.await {
                    Err(error) if !is_missing(&error) => {
                        Err(self.bucket.failed("delete", &line.key, &error))
                    }
                    _ => Ok(()),
                }
            }
        });
        join_all(deletes)
            .await
            .into_iter()
            .collect::<Result<(), _>>()?;
        Ok(())
    }
}
