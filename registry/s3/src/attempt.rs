// SPDX-License-Identifier: Apache-2.0
//! What a failed attempt at a conditional write means, and how long to wait before the next.

use std::time::Duration;

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use registry::storage::{StorageError, nonce};

use crate::client::{Bucket, status};

/// How often a conditional write is tried.
pub(crate) const ATTEMPTS_MAX: u32 = 8;
/// The longest wait before the second attempt; it doubles from there.
const BACKOFF: Duration = Duration::from_millis(40);
/// The longest wait.
const BACKOFF_MAX: Duration = Duration::from_secs(3);

/// Why an attempt did not succeed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The condition did not hold. Nothing was written by this attempt.
    Condition,
    /// Another conditional write of the key was under way. Nothing was written by this attempt.
    ///
    /// Docs: S3 answers 409 `ConditionalRequestConflict`, to be tried again.
    Busy(StorageError),
    /// It was written, or it was not: the answer is lost, or says that something broke.
    Unknown(StorageError),
    /// The store will not do it.
    Refused(StorageError),
}

impl Failure {
    /// Returns what the answer to a conditional write of `key` means.
    pub(crate) fn of<E: ProvideErrorMetadata>(
        bucket: &Bucket,
        action: &'static str,
        key: &str,
        error: &SdkError<E>,
    ) -> Self {
        let failed = || bucket.failed(action, key, error);
        let code = error.code().unwrap_or_default();
        match (status(error), code) {
            (_, "NoSuchBucket") => Self::Refused(failed()),
            // 404: there is nothing that could have the wanted version.
            (Some(412 | 404), _) => Self::Condition,
            (Some(409), _) => Self::Busy(failed()),
            // Docs: S3 says so when the body of a request came too slowly.
            (_, "RequestTimeout") | (Some(408 | 429 | 500 | 502..=599), _) => {
                Self::Unknown(failed())
            }
            (Some(_), _) => Self::Refused(failed()),
            (None, _) => match error {
                SdkError::ConstructionFailure(_) => Self::Refused(failed()),
                _ => Self::Unknown(failed()),
            },
        }
    }
}

/// Waits a random part of a time that grows with the number of attempts made.
pub(crate) async fn back_off(attempts: u32) {
    let longest = BACKOFF
        .saturating_mul(1 << attempts.min(10))
        .min(BACKOFF_MAX);
    let random = u32::from_str_radix(&nonce()[..8], 16).unwrap_or(u32::MAX);
    let part = f64::from(random) / f64::from(u32::MAX);
    tokio::time::sleep(longest.mul_f64(part)).await;
}
