// SPDX-License-Identifier: Apache-2.0
//! Blobs of a repository: asking, reading small ones, deleting.
//!
//! Spec: distribution-spec §Pulling blobs, §Deleting Blobs (end-2, end-10).

use bytes::Bytes;
use http::Method;
use http::header::CONTENT_LENGTH;
use oci::{BlobError, Descriptor, Digest, Hasher, Repository, VerifyError};

use super::challenge::Scope;
use super::error::CallError;
use super::transport::{Call, Endpoint, read_body, refusal};
use super::{Client, FetchError};
use crate::endpoint::{Name, Resource};

pub(super) fn blob_path(repository: &Repository, digest: &Digest) -> String {
    Resource::Blob(Name::of(repository), digest.clone()).path()
}

impl Client {
    /// Returns the size of a blob, or none if the repository does not have it.
    ///
    /// # Errors
    ///
    /// See [`CallError`].
    ///
    /// # Cancellation
    ///
    /// Nothing stays behind.
    pub async fn blob_stat(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Option<u64>, CallError> {
        let endpoint = self.transport.endpoint(repository.host()).await?;
        let scopes = [Scope::pull(repository)];
        self.stat_at(&endpoint, repository, digest, &scopes).await
    }

    pub(super) async fn stat_at(
        &self,
        endpoint: &Endpoint,
        repository: &Repository,
        digest: &Digest,
        scopes: &[Scope],
    ) -> Result<Option<u64>, CallError> {
        let url = endpoint.url(&blob_path(repository, digest));
        let call = Call::new(Method::HEAD, url, scopes);
        let response = self.transport.expect(endpoint, &call, &[200, 404]).await?;
        if response.status() == 404 {
            return Ok(None);
        }
        let length = response.headers().get(CONTENT_LENGTH);
        let length = length.and_then(|value| value.to_str().ok()?.parse().ok());
        let what = "a blob without Content-Length";
        length
            .map(Some)
            .ok_or_else(|| CallError::protocol(endpoint.host(), what))
    }

    /// Reads a small blob into memory, verified.
    pub(super) async fn read_at(
        &self,
        endpoint: &Endpoint,
        repository: &Repository,
        descriptor: &Descriptor,
        max_bytes: usize,
    ) -> Result<Bytes, FetchError> {
        let digest = &descriptor.digest;
        if descriptor.size_bytes > max_bytes as u64 {
            return Err(FetchError::Store(BlobError::TooLarge {
                digest: digest.clone(),
                size_bytes: descriptor.size_bytes,
                max_bytes: max_bytes as u64,
            }));
        }
        let scopes = [Scope::pull(repository)];
        let url = endpoint.url(&blob_path(repository, digest));
        let call = Call::new(Method::GET, url, &scopes);
        let response = self.transport.expect(endpoint, &call, &[200]).await?;
        let bytes = read_body(response, max_bytes, endpoint.host()).await;
        let bytes = bytes.map_err(CallError::from)?;
        let mut hasher = Hasher::new(digest.algorithm());
        hasher.update(&bytes);
        let actual = hasher.finish();
        if actual == *digest {
            return Ok(bytes);
        }
        Err(FetchError::Mismatch {
            host: endpoint.host().into(),
            digest: digest.clone(),
            source: VerifyError::WrongDigest {
                expected: digest.clone(),
                actual,
            },
        })
    }

    /// Deletes a blob from a repository; returns whether it was there.
    ///
    /// # Errors
    ///
    /// See [`CallError`]; registries that do not allow it answer `UNSUPPORTED`.
    ///
    /// # Cancellation
    ///
    /// The blob is there or not.
    pub async fn blob_delete(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<bool, CallError> {
        let endpoint = self.transport.endpoint(repository.host()).await?;
        let scopes = [Scope::delete(repository)];
        let url = endpoint.url(&blob_path(repository, digest));
        self.delete_at(&endpoint, Call::new(Method::DELETE, url, &scopes))
            .await
    }

    pub(super) async fn delete_at(
        &self,
        endpoint: &Endpoint,
        call: Call<'_>,
    ) -> Result<bool, CallError> {
        let response = self.transport.send(endpoint, &call).await?;
        match response.status().as_u16() {
            200 | 202 | 204 => Ok(true),
            404 => Ok(false),
            _ => Err(refusal(endpoint, response).await),
        }
    }
}
