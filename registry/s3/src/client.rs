// SPDX-License-Identifier: Apache-2.0
//! The way to one bucket: the SDK's client, how long it waits, and what its errors mean.
//!
//! Does not know records or bytes.

use std::fmt;
use std::io;
use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_config::meta::region::RegionProviderChain;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{
    Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation, SharedHttpClient,
};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use registry::storage::StorageError;

use crate::config::BucketConfig;

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the first byte of an answer may take.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// How long one attempt at a small request may take.
const RECORD_TIMEOUT: Duration = Duration::from_secs(15);
/// How often a request is tried. Between two attempts lies a random part of an exponential wait,
/// and a budget shared by all requests keeps a store in trouble from being asked ever more.
const ATTEMPTS_MAX: u32 = 6;
/// The longest wait between two attempts.
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// How many connections wait for the next request.
const IDLE_CONNECTIONS_MAX: usize = 128;
/// How long they wait. Docs: AWS closes them after 5 s without a request or later.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);

/// One bucket, as seen below the configured prefix.
#[derive(Clone)]
pub(crate) struct Bucket {
    /// For bytes: attempts are as long as they need, as long as bytes flow.
    pub(crate) bytes: Client,
    /// For records: attempts are short.
    pub(crate) records: Client,
    /// For conditional writes: one attempt, because a second one must know of the first.
    pub(crate) once: Client,
    /// The bucket's name.
    pub(crate) name: String,
    /// Empty, or ends in a slash.
    prefix: String,
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bucket({})", self.address(""))
    }
}

impl Bucket {
    /// Returns the bucket of `config`. Asks the chain for keys only when they are needed.
    pub(crate) async fn new(config: &BucketConfig) -> Self {
        let shared = shared_config(config).await;
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT);
        let build = |timeouts: TimeoutConfig, retries: RetryConfig| {
            let service = aws_sdk_s3::config::Builder::from(&shared)
                .force_path_style(config.path_style)
                .timeout_config(timeouts)
                .retry_config(retries)
                // Other stores do not know the checksums that are sent by default.
                .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
                .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
            Client::from_conf(service.build())
        };
        let retries = RetryConfig::standard()
            .with_max_attempts(ATTEMPTS_MAX)
            .with_max_backoff(BACKOFF_MAX);
        let short = timeouts
            .clone()
            .operation_attempt_timeout(RECORD_TIMEOUT)
            .build();
        let prefix = config.prefix.trim_matches('/');
        Self {
            bytes: build(timeouts.build(), retries.clone()),
            records: build(short.clone(), retries),
            once: build(short, RetryConfig::disabled()),
            name: config.bucket.clone(),
            prefix: if prefix.is_empty() {
                String::new()
            } else {
                format!("{prefix}/")
            },
        }
    }

    /// Returns the object key of a key of ours.
    pub(crate) fn object(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    /// Returns the key of ours in an object key.
    pub(crate) fn key<'a>(&self, object: &'a str) -> Option<&'a str> {
        object.strip_prefix(&self.prefix)
    }

    /// Returns where a key of ours lies, for messages.
    pub(crate) fn address(&self, key: &str) -> String {
        format!("s3://{}/{}{key}", self.name, self.prefix)
    }

    /// Returns the error of a request about a key of ours.
    pub(crate) fn failed<E: ProvideErrorMetadata>(
        &self,
        action: &'static str,
        key: &str,
        error: &SdkError<E>,
    ) -> StorageError {
        StorageError::io(action, self.address(key), reason(error))
    }
}

/// Returns the status of the answer, if there was one.
pub(crate) fn status<E>(error: &SdkError<E>) -> Option<u16> {
    error.raw_response().map(|answer| answer.status().as_u16())
}

/// Tells whether the store says that there is no such object (or upload).
pub(crate) fn is_missing<E>(error: &SdkError<E>) -> bool {
    status(error) == Some(404)
}

/// Says in one line why a request failed.
fn reason<E: ProvideErrorMetadata>(error: &SdkError<E>) -> io::Error {
    match error {
        SdkError::TimeoutError(_) => io::ErrorKind::TimedOut.into(),
        SdkError::DispatchFailure(failure) => {
            let cause = failure.as_connector_error();
            let text = cause.map_or_else(|| "no connection".to_owned(), |error| innermost(error));
            io::Error::new(io::ErrorKind::ConnectionAborted, text)
        }
        _ => {
            let code = error.code().unwrap_or("no code");
            let status = status(error).unwrap_or_default();
            let message = error.message().unwrap_or("no message");
            io::Error::other(format!("store answered {status} {code}: {message}"))
        }
    }
}

/// Returns the last message of a chain: the others only say that something failed.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

async fn shared_config(config: &BucketConfig) -> aws_config::SdkConfig {
    let given = config.region.clone().map(Region::new);
    let region = match (given, &config.endpoint) {
        (Some(region), _) => RegionProviderChain::first_try(region),
        // Other stores do not care, and the instance's metadata service is not there to be asked.
        (None, Some(_)) => RegionProviderChain::first_try(Region::from_static("us-east-1")),
        (None, None) => {
            RegionProviderChain::default_provider().or_else(Region::from_static("us-east-1"))
        }
    };
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .region(region)
        .http_client(http_client(config));
    if let Some(endpoint) = &config.endpoint {
        loader = loader.endpoint_url(endpoint);
    }
    if let Some(keys) = &config.credentials {
        let mut credentials = Credentials::builder()
            .access_key_id(&keys.access_key_id)
            .secret_access_key(&keys.secret_access_key)
            .provider_name("configuration");
        credentials.set_session_token(keys.session_token.clone());
        loader = loader.credentials_provider(credentials.build());
    }
    loader.load().await
}

/// Returns the pool of connections. Without TLS no certificates are loaded: there may be none.
fn http_client(config: &BucketConfig) -> SharedHttpClient {
    let is_plain = config
        .endpoint
        .as_ref()
        .is_some_and(|endpoint| endpoint.starts_with("http://"));
    let pool = Builder::new()
        .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
        .pool_idle_timeout(IDLE_TIMEOUT);
    if is_plain && config.credentials.is_some() {
        return pool.build_http();
    }
    pool.tls_provider(Provider::Rustls(CryptoMode::AwsLc))
        .build_https()
}
