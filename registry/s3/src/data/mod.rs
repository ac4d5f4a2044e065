// SPDX-License-Identifier: Apache-2.0
//! [`Data`] in a bucket.
//!
//! Owns every key below `d/`, none of which is ever used twice:
//!
//! ```text
//! d/k/<alg>/<hex>/<random>   bytes that came all at once; named by what they are said to be
//! d/u/<session>/<random>     bytes of a session: parts being made, scraps of a tail, and the blob
//! d/a/<random>               scraps of a stalled upload without session
//! ```
//!
//! Does not know records or repositories.
//!
//! Invariants
//! 1. An object that is published has been verified; it was not copied to become so.
//! 2. A session's record exists before anything below `d/u/<session>/` does. The others name their
//!    digest, or go by age.
//! 3. The memory of all uploads together is bounded, see [`pool`].

mod hash;
mod janitor;
mod multipart;
pub(crate) mod object;
mod payload;
mod pool;
mod resume;
mod staged;
mod sweep;
mod tail;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_s3::presigning::PresigningConfig;
use registry::storage::data::{self, Answer, Data, Stage, Staged};
use registry::storage::{Guard, Location, SessionId, StorageError};

use crate::client::Bucket;
use crate::config::BucketConfig;
use janitor::Janitor;
use object::Reader;
use pool::Pool;
use resume::INLINE_MAX_BYTES;
use staged::BucketStaged;

/// Where scraps without session lie.
const ANONYMOUS: &str = "d/a/";
/// Up to which size a range is read at once.
const WHOLE_MAX_BYTES: u64 = 256 << 10;

/// What all uploads share.
#[derive(Debug)]
struct Shared {
    bucket: Arc<Bucket>,
    pool: Arc<Pool>,
    part_bytes: u64,
    janitor: Janitor,
}

/// Bytes in a bucket.
#[derive(Debug)]
pub(crate) struct BucketData {
    shared: Arc<Shared>,
    redirect_from_bytes: Option<u64>,
    redirect_expiry: Duration,
}

impl BucketData {
    pub(crate) fn new(bucket: Bucket, config: &BucketConfig) -> Self {
        let bytes = |count| usize::try_from(count).unwrap_or(usize::MAX);
        let bucket = Arc::new(bucket);
        Self {
            shared: Arc::new(Shared {
                janitor: Janitor::new(Arc::clone(&bucket)),
                bucket,
                pool: Pool::new(bytes(config.buffer_bytes), bytes(config.part_bytes)),
                part_bytes: config.part_bytes,
            }),
            redirect_from_bytes: config.redirect_from_bytes,
            redirect_expiry: config.redirect_expiry,
        }
    }
}

/// Returns what the keys of a session start with.
fn folder(session: &SessionId) -> String {
    format!("d/u/{session}/")
}

/// Returns a name that nobody else makes: 128 random bits.
fn fresh_name() -> String {
    format!(
        "{}{}",
        registry::storage::nonce(),
        registry::storage::nonce()
    )
}

impl Data for BucketData {
    fn unclaimed_max_bytes(&self) -> u64 {
        INLINE_MAX_BYTES as u64
    }

    fn stage(&self, stage: Stage) -> Answer<'_, Box<dyn Staged>> {
        let staged = BucketStaged::open(&self.shared, stage);
        Box::pin(async move { Ok(Box::new(staged?) as Box<dyn Staged>) })
    }

    fn discard<'a>(&'a self, session: &'a SessionId, keep: Option<&'a Location>) -> Answer<'a, ()> {
        Box::pin(sweep::session(&self.shared.bucket, session, keep))
    }

    fn link<'a>(&'a self, location: &'a Location, size_bytes: u64) -> Answer<'a, Option<String>> {
        Box::pin(async move {
            if self
                .redirect_from_bytes
                .is_none_or(|from| size_bytes < from)
            {
                return Ok(None);
            }
            let Ok(config) = PresigningConfig::expires_in(self.redirect_expiry) else {
                return Ok(None);
            };
            let bucket = &self.shared.bucket;
            let get = bucket.bytes.get_object().bucket(&bucket.name);
            let get = get.key(bucket.object(&location.0));
            match get.presigned(config).await {
                Ok(request) => Ok(Some(request.uri().to_owned())),
                Err(error) => Err(bucket.failed("sign an address for", &location.0, &error)),
            }
        })
    }

    fn read<'a>(&'a self, location: &'a Location, range: Range<u64>) -> Answer<'a, data::Bytes> {
        Box::pin(async move {
            if range.is_empty() {
                return Ok(data::Bytes::Whole(bytes::Bytes::new()));
            }
            let size = range.end - range.start;
            let reader = Reader::open(&self.shared.bucket, &location.0, range).await?;
            if size > WHOLE_MAX_BYTES {
                return Ok(data::Bytes::Stream(reader.stream()));
            }
            Ok(data::Bytes::Whole(reader.whole().await?))
        })
    }

    fn lock<'a>(&'a self, _: &'a Location) -> Answer<'a, Guard> {
        Box::pin(async { Ok(Guard::not_needed()) })
    }

    fn delete<'a>(&'a self, location: &'a Location, _: &'a Guard) -> Answer<'a, ()> {
        Box::pin(async move {
            if !location.0.starts_with("d/") {
                return Err(StorageError::Missing(location.to_string()));
            }
            object::delete(&self.shared.bucket, &location.0).await
        })
    }

    fn size<'a>(&'a self, location: &'a Location) -> Answer<'a, Option<u64>> {
        Box::pin(object::size(&self.shared.bucket, &location.0))
    }

    fn sessions(&self) -> Answer<'_, Vec<SessionId>> {
        // Their records lead to them.
        Box::pin(async { Ok(Vec::new()) })
    }

    fn placed<'a>(&'a self, after: Option<&'a Location>) -> Answer<'a, Vec<data::Placed>> {
        Box::pin(crate::orphan::placed(&self.shared.bucket, after))
    }

    fn sweep(&self, before: u64) -> Answer<'_, usize> {
        Box::pin(sweep::old(&self.shared.bucket, before))
    }
}
