// SPDX-License-Identifier: Apache-2.0
//! Which bucket a registry lies in, and how to reach it.

use std::fmt;
use std::time::Duration;

/// A key pair that was written into the configuration.
#[derive(Clone, PartialEq, Eq)]
pub struct StaticCredentials {
    /// Names the key; not secret.
    pub access_key_id: String,
    /// The secret.
    pub secret_access_key: String,
    /// Present for temporary keys.
    pub session_token: Option<String>,
}

impl fmt::Debug for StaticCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StaticCredentials")
            .field("access_key_id", &self.access_key_id)
            .finish_non_exhaustive()
    }
}

/// Where a registry lies, and what it may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketConfig {
    /// The bucket.
    pub bucket: String,
    /// What every key starts with, without slashes at its ends; empty for the whole bucket.
    pub prefix: String,
    /// The region; none asks the SDK's chain, or is `us-east-1` where an endpoint is given.
    pub region: Option<String>,
    /// The URL of a store other than AWS.
    pub endpoint: Option<String>,
    /// Whether the bucket is in the path of URLs, not in the name of the host.
    pub path_style: bool,
    /// The keys; none asks the SDK's chain (environment, profile, web identity, container,
    /// instance).
    pub credentials: Option<StaticCredentials>,
    /// How large a part of an upload is. Docs: S3 takes 5 MiB to 5 GiB, and 10,000 parts; R2 wants
    /// all but the last to be equal.
    pub part_bytes: u64,
    /// How much memory all uploads together may buffer.
    pub buffer_bytes: u64,
    /// From which size on clients are sent to the bucket for a blob; none never sends them.
    pub redirect_from_bytes: Option<u64>,
    /// How long an address that a client was sent to stays good.
    pub redirect_expiry: Duration,
    /// Whether to find out anew what the store can do, even if a result is kept in the bucket.
    pub probe_again: bool,
}

impl BucketConfig {
    /// Returns the configuration of `bucket` on AWS, everything else as it is by default.
    pub fn new(bucket: impl Into<String>) -> Self {
        Self {
            bucket: bucket.into(),
            prefix: String::new(),
            region: None,
            endpoint: None,
            path_style: false,
            credentials: None,
            part_bytes: 8 << 20,
            buffer_bytes: 96 << 20,
            redirect_from_bytes: None,
            redirect_expiry: Duration::from_mins(20),
            probe_again: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_in_debug() {
        let mut config = BucketConfig::new("images");
        config.credentials = Some(StaticCredentials {
            access_key_id: "AKIDEXAMPLE".into(),
            secret_access_key: "sesame".into(),
            session_token: Some("token-of-mine".into()),
        });
        let text = format!("{config:?}");
        assert!(text.contains("AKIDEXAMPLE"), "{text}");
        assert!(
            !text.contains("sesame") && !text.contains("token-of-mine"),
            "{text}"
        );
    }
}
