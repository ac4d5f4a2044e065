// SPDX-License-Identifier: Apache-2.0
//! The trait for names: a sorted map of small records with conditional writes.
//!
//! The interface is as weak as an object store with conditional requests: linearizable per key,
//! listings sorted and strongly consistent, nothing atomic across keys. An implementation may do
//! more (the disk applies a whole [`Meta::write`] or nothing), but algorithms must be right without.

use std::fmt;

use super::data::Answer;

/// The longest listing of one call. Docs: S3 `ListObjectsV2` returns at most as many.
pub const LIST_MAX: usize = 1000;

/// The version of one record, opaque. Every write of a key makes a new one, never an old one again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Version(pub Box<str>);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// When a write may happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Always.
    Any,
    /// When the key has no record.
    Absent,
    /// When the record still has this version.
    Is(Version),
}

impl Condition {
    /// Returns the condition "as I read it": absent, or the version that was read.
    pub fn unchanged(read: Option<Version>) -> Self {
        read.map_or(Self::Absent, Self::Is)
    }
}

/// One step of a [`Meta::write`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Stores a record.
    Put(String, Vec<u8>, Condition),
    /// Removes a record; an absent one is fine under [`Condition::Any`].
    Delete(String, Condition),
    /// Changes nothing, fails unless the condition holds at this point of the order.
    Require(String, Condition),
}

impl Write {
    /// Returns the key that the step is about.
    pub fn key(&self) -> &str {
        match self {
            Self::Put(key, ..) | Self::Delete(key, _) | Self::Require(key, _) => key,
        }
    }

    /// Returns the condition of the step.
    pub fn condition(&self) -> &Condition {
        match self {
            Self::Put(.., condition) | Self::Delete(_, condition) | Self::Require(_, condition) => {
                condition
            }
        }
    }
}

/// One line of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The whole key.
    pub key: String,
    /// Its version.
    pub version: Version,
    /// When it was written, in seconds since 1970, by the store's own clock.
    pub written_at: u64,
    /// How many bytes the record has.
    pub size_bytes: u64,
}

/// Where names are kept.
///
/// Lifecycle of a record: absent → put → replaced any number of times → deleted → absent. A reader
/// sees every write that was acknowledged before it asked. Implementations run
/// `contract::meta`.
pub trait Meta: fmt::Debug + Send + Sync + 'static {
    /// Returns the record and its version, or none.
    fn get<'a>(&'a self, key: &'a str) -> Answer<'a, Option<(Vec<u8>, Version)>>;

    /// Applies `steps` in order, stopping at the first whose condition does not hold. When it
    /// returns, every step is durable.
    ///
    /// # Errors
    ///
    /// [`StorageError::Conflict`](super::StorageError::Conflict) with the key whose condition did
    /// not hold: earlier steps may or may not have happened, that one and later ones have not.
    ///
    /// # Cancellation
    ///
    /// Any number of the first steps happen all the same.
    fn write(&self, steps: Vec<Write>) -> Answer<'_, ()>;

    /// Applies `stages` in order, the steps of each in any order or at once: a stage costs the time
    /// of one step where each is a journey of its own. Keys of a stage are different.
    ///
    /// # Errors
    ///
    /// As for [`Self::write`]: when a condition does not hold, other steps of its stage may or may
    /// not have happened, and none of a later stage has.
    ///
    /// # Cancellation
    ///
    /// As for [`Self::write`].
    fn write_stages(&self, stages: Vec<Vec<Write>>) -> Answer<'_, ()> {
        self.write(stages.into_iter().flatten().collect())
    }

    /// Tells whether all steps of a [`Self::write`] happen at one moment, or none of them.
    ///
    /// No algorithm is safe only because of this. Where it holds, steps that guard against a stop
    /// or another writer between two keys are left out, and records that only such a writer could
    /// still be about to touch are removed.
    fn is_atomic(&self) -> bool {
        false
    }

    /// Returns up to `limit` (at most [`LIST_MAX`]) records whose key starts with `prefix` and is
    /// greater than `after`, in byte order of the key.
    fn list<'a>(&'a self, prefix: &'a str, after: &'a str, limit: usize)
    -> Answer<'a, Vec<Listed>>;
}
