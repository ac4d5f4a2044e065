// SPDX-License-Identifier: Apache-2.0
//! Opens a registry that lies in a bucket: checks the configuration, finds out what the store can
//! do (or reads what was found out before), and joins the two halves.

use std::sync::Arc;

use registry::storage::{Backend, Clock, Condition, Meta as _, StorageError, Write};
use serde::{Deserialize, Serialize};

use crate::client::Bucket;
use crate::config::BucketConfig;
use crate::data::BucketData;
use crate::meta::S3Meta;
use crate::mode::Mode;
use crate::probe::probe;
use crate::writer::{Pace, Writer};

/// Where the result of a probe is kept.
const PROBED: &str = "meta/store";
/// Rises when the probe asks more than before: older results do not count then.
const PROBE_VERSION: u32 = 1;
/// The longest prefix. Docs: S3 keys have at most 1,024 bytes, and ours need 700 of them.
const PREFIX_BYTES_MAX: usize = 300;

/// Why a bucket cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The prefix has characters that stores, tools or URLs treat specially.
    #[error(
        "prefix {0:?} is not made of letters, digits and `-_.`, separated by single slashes, or is longer than 300 bytes"
    )]
    BadPrefix(String),
    /// No bucket was named.
    #[error("name of the bucket is empty")]
    NoBucket,
    /// Uploads could not work with it.
    #[error("part size of {0} bytes is not between 5 MiB and 5 GiB")]
    BadPartSize(u64),
    /// The store does not do what a registry needs.
    #[error("store at {address} is not fit for a registry: failed check: {check} (else {means})")]
    Unfit {
        /// The bucket and prefix.
        address: String,
        /// What was checked.
        check: &'static str,
        /// What would happen if it were used all the same.
        means: &'static str,
    },
    /// The store checks no conditions, and another process writes there.
    #[error("{0} is written by another registry, and its store allows only one")]
    SecondWriter(String),
    /// The store could not be asked.
    #[error("cannot open the bucket")]
    Storage(#[from] StorageError),
}

/// A registry in a bucket.
#[derive(Debug)]
pub struct Opened {
    /// Its two halves.
    pub backend: Backend,
    /// How the bucket may be used. Say it, loudly if it does not allow replicas.
    pub mode: Mode,
    /// Why it is not the best of modes, about the store ("it ignores …").
    pub reason: Option<String>,
}

/// What was found out about the store, as it is kept in it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Probed {
    version: u32,
    /// The endpoint, and the bucket: a copy of the bucket elsewhere is probed anew.
    store: String,
    mode: Mode,
    reason: Option<String>,
    at: u64,
}

/// Opens the registry in the bucket of `config`.
///
/// # Errors
///
/// [`OpenError`]; nothing but objects under `meta/` was written.
///
/// # Cancellation
///
/// As for errors; objects of the probe may be left under `meta/probe/`.
pub async fn open(config: &BucketConfig, clock: Clock) -> Result<Opened, OpenError> {
    open_at(config, clock, Pace::default()).await
}

pub(crate) async fn open_at(
    config: &BucketConfig,
    clock: Clock,
    pace: Pace,
) -> Result<Opened, OpenError> {
    check(config)?;
    let bucket = Bucket::new(config).await;
    let probed = probed(config, &bucket, clock).await?;
    let mut meta = S3Meta::new(bucket.clone(), probed.mode);
    if probed.mode == Mode::SingleWriter {
        meta = meta.kept_by(Writer::enter(&bucket, pace).await?);
    }
    let backend = Backend {
        data: Arc::new(BucketData::new(bucket, config)),
        meta: Arc::new(meta),
    };
    Ok(Opened {
        backend,
        mode: probed.mode,
        reason: probed.reason,
    })
}

fn check(config: &BucketConfig) -> Result<(), OpenError> {
    if config.bucket.is_empty() {
        return Err(OpenError::NoBucket);
    }
    let prefix = config.prefix.trim_matches('/');
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let is_part =
        |part: &str| !part.is_empty() && part != "." && part != ".." && part.bytes().all(is_plain);
    let is_fine = prefix.is_empty() || prefix.split('/').all(is_part);
    if !is_fine || prefix.len() > PREFIX_BYTES_MAX {
        return Err(OpenError::BadPrefix(config.prefix.clone()));
    }
    if !(5 << 20..=5 << 30).contains(&config.part_bytes) {
        return Err(OpenError::BadPartSize(config.part_bytes));
    }
    Ok(())
}

/// Returns what the store can do, from what is kept in it if that is of this store.
async fn probed(config: &BucketConfig, bucket: &Bucket, clock: Clock) -> Result<Probed, OpenError> {
    let endpoint = config.endpoint.as_deref().unwrap_or("aws");
    let store = format!("{endpoint} {}", bucket.name);
    // Reads, and writes without conditions, are the same in every mode.
    let meta = S3Meta::new(bucket.clone(), Mode::MultiWriter);
    let kept = meta.get(PROBED).await?;
    let kept = kept.and_then(|(bytes, _)| serde_json::from_slice::<Probed>(&bytes).ok());
    if let Some(kept) = kept
        && !config.probe_again
        && kept.version == PROBE_VERSION
        && kept.store == store
    {
        return Ok(kept);
    }
    let found = probe(bucket).await?;
    let probed = Probed {
        version: PROBE_VERSION,
        store,
        mode: found.mode,
        reason: found.reason.map(str::to_owned),
        at: clock.seconds(),
    };
    let bytes = serde_json::to_vec(&probed).expect("it holds only strings and integers");
    let put = Write::Put(PROBED.to_owned(), bytes, Condition::Any);
    meta.write(vec![put]).await?;
    Ok(probed)
}
