// SPDX-License-Identifier: Apache-2.0
//! The records behind the keys: JSON, so that a bucket or database can be read with any tool.
//!
//! Every record that garbage collection moves through states has an *incarnation*, chosen when it
//! becomes live, which also appears in the keys that support it, and a *nonce* that is fresh on
//! every write, so that no two writes of a key have the same bytes (an object store's version is
//! often a hash of them).
//!
//! State machine: absent → live → condemned → dead, and from any of them back to live by a
//! publisher. Only the collector ([`super::gc`]) condemns, and a push that takes back its manifest;
//! a publisher that meets a condemned record rescues it. Only scrubbing ([`super::scrub`])
//! quarantines, from live or condemned: readers find nothing then; whoever brings the bytes again
//! makes it live, in the same incarnation.

use oci::{Algorithm, Descriptor, Digest};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::data::{Location, Resume};
use super::error::StorageError;

/// Where a record is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// In use.
    Live,
    /// A collector found no reference and will look once more.
    Condemned,
    /// Gone for readers; the record stays until it is swept.
    Dead,
    /// The bytes were found to be damaged; the next upload of the digest replaces them.
    Quarantined,
}

impl State {
    /// Tells whether readers get it: a condemned record is still good.
    pub fn is_readable(self) -> bool {
        matches!(self, Self::Live | Self::Condemned)
    }

    /// Tells whether it is something to be had, or to be had again once its bytes are back.
    pub fn is_there(self) -> bool {
        self != Self::Dead
    }
}

/// Bytes with a digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Content {
    /// Where it is in its life.
    pub state: State,
    /// How many bytes.
    #[serde(rename = "size")]
    pub size_bytes: u64,
    /// Where they lie.
    pub location: Location,
    /// Fresh on every write.
    pub nonce: String,
}

/// How a repository came to a blob.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// Its bytes were sent to it.
    Upload,
    /// It was mounted from the named repository.
    Mount(String),
}

/// The right of one repository to serve one blob.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Membership {
    /// Where it is in its life.
    pub state: State,
    /// Appears in the marker that supports it.
    pub incarnation: String,
    /// Fresh on every write.
    pub nonce: String,
    /// How many bytes the blob has.
    #[serde(rename = "size")]
    pub size_bytes: u64,
    /// Where the bytes lay when this was written.
    pub location: Location,
    /// How it came.
    pub origin: Origin,
    /// When it was last confirmed, in seconds since 1970.
    pub at: u64,
}

/// The first line of a manifest record; the raw bytes follow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ManifestHeader {
    /// Where it is in its life.
    pub state: State,
    /// Appears in the marker and the referrer entry that support it.
    pub incarnation: String,
    /// Fresh on every write.
    pub nonce: String,
    /// What `Content-Type` says.
    pub media_type: String,
    /// How many bytes.
    #[serde(rename = "size")]
    pub size_bytes: u64,
    /// The manifest that this one refers to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Digest>,
    /// The pushes of which none is known to have failed, if nobody else may rely on it
    /// (`withdraw`); none where a write is one moment.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pushes: Vec<String>,
    /// When it was last pushed, in seconds since 1970.
    pub at: u64,
}

/// Where a tag points.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TagRecord {
    /// The manifest, in the algorithm it was pushed under.
    pub digest: Digest,
    /// Its media type.
    pub media_type: String,
    /// Its size.
    #[serde(rename = "size")]
    pub size_bytes: u64,
    /// Fresh on every write.
    pub nonce: String,
    /// When the tag was set, in seconds since 1970.
    pub at: u64,
    /// Where it pointed before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Digest>,
}

/// One entry among the referrers of a subject.
pub type ReferrerRecord = Descriptor;

/// How far an upload session is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Takes bytes.
    Open,
    /// Has all its bytes, verified as far as they can be before they are readable, and is being
    /// published; whoever asks for the same digest may finish it.
    Committing(Digest),
    /// Was published; kept for a while, so that a client that lost the answer may ask again.
    Done(Digest),
    /// Was cancelled or spoiled; kept until the id expires, so that it cannot come back.
    Cancelled,
}

/// An upload session with bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionRecord {
    /// How far it is.
    pub phase: Phase,
    /// How many bytes are durable.
    #[serde(rename = "offset")]
    pub offset_bytes: u64,
    /// The algorithm it is hashed with.
    #[serde(with = "algorithm_name")]
    pub algorithm: Algorithm,
    /// What the store needs to go on.
    #[serde(default, skip_serializing_if = "Resume::is_empty")]
    pub resume: Resume,
    /// Fresh on every write: tells who wrote last.
    pub nonce: String,
    /// When it was last written, in seconds since 1970.
    pub at: u64,
}

mod algorithm_name {
    use oci::Algorithm;
    use serde::{Deserialize as _, Deserializer, Serializer};

    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde calls it with a reference"
    )]
    pub(super) fn serialize<S: Serializer>(
        algorithm: &Algorithm,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(algorithm.name())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Algorithm, D::Error> {
        let name = String::deserialize(deserializer)?;
        Algorithm::from_name(&name).ok_or_else(|| serde::de::Error::custom("unknown algorithm"))
    }
}

/// Returns the bytes of a record.
///
/// # Panics
///
/// Never: every record serializes.
pub fn encode<T: Serialize>(record: &T) -> Vec<u8> {
    serde_json::to_vec(record).expect("records hold only strings and integers")
}

/// Returns the record in `bytes`.
///
/// # Errors
///
/// [`StorageError::BadRecord`] with `key`.
pub fn decode<T: DeserializeOwned>(key: &str, bytes: &[u8]) -> Result<T, StorageError> {
    serde_json::from_slice(bytes).map_err(|source| StorageError::BadRecord {
        key: key.to_owned(),
        source: source.into(),
    })
}

/// Returns header and raw bytes as one record.
pub fn encode_manifest(header: &ManifestHeader, bytes: &[u8]) -> Vec<u8> {
    let mut record = encode(header);
    record.push(b'\n');
    record.extend_from_slice(bytes);
    record
}

/// Returns the header, and where in `record` the raw bytes begin.
///
/// # Errors
///
/// [`StorageError::BadRecord`] with `key`.
pub fn decode_manifest(key: &str, record: &[u8]) -> Result<(ManifestHeader, usize), StorageError> {
    // JSON without white space holds no raw line feed, so the first one ends the header.
    let end = record.iter().position(|&byte| byte == b'\n');
    let end = end.unwrap_or(record.len());
    let header = decode(key, &record[..end])?;
    Ok((header, (end + 1).min(record.len())))
}
