// SPDX-License-Identifier: Apache-2.0
//! Manifests and indexes of a repository.
//!
//! Spec: distribution-spec §Pulling manifests, §Pushing Manifests, §Deleting (end-3, end-7, end-9).

use std::str::FromStr;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, Method};
use oci::{Descriptor, Digest, Document, Hasher, MediaType, Reference, Repository};

use super::Client;
use super::challenge::Scope;
use super::error::CallError;
use super::transport::{Call, CallBody, Endpoint, read_body};
use crate::endpoint::{ManifestRef, Name, Resource};

/// What we understand, best first.
const ACCEPTED: [MediaType; 4] = [
    MediaType::OciIndex,
    MediaType::OciManifest,
    MediaType::DockerManifestList,
    MediaType::DockerManifest,
];
const DIGEST_HEADER: &str = "docker-content-digest";

/// The bytes that a registry gave for a manifest; their digest is verified, their form is not.
#[derive(Clone, Debug)]
pub(super) struct Received {
    pub(super) media_type: Option<MediaType>,
    pub(super) bytes: Bytes,
}

/// Returns what `reference` means within its repository.
pub(super) fn manifest_ref(reference: &Reference) -> ManifestRef {
    match (reference.digest(), reference.tag()) {
        (Some(digest), _) => ManifestRef::Digest(digest.clone()),
        (None, Some(tag)) => ManifestRef::Tag(tag.clone()),
        (None, None) => unreachable!("a reference has a tag or a digest"),
    }
}

fn manifest_path(repository: &Repository, reference: &ManifestRef) -> String {
    Resource::Manifest(Name::of(repository), reference.clone()).path()
}

fn accept(call: Call<'_>) -> Call<'_> {
    let types: Vec<&str> = ACCEPTED.iter().map(MediaType::as_str).collect();
    call.header(ACCEPT, &types.join(", "))
}

fn media_type_of(headers: &HeaderMap) -> Option<MediaType> {
    let text = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let bare = text.split(';').next().unwrap_or(text).trim();
    Some(MediaType::parse(bare))
}

fn digest_of(headers: &HeaderMap) -> Option<Digest> {
    Digest::from_str(headers.get(DIGEST_HEADER)?.to_str().ok()?).ok()
}

impl Client {
    /// Returns type, digest and size of what `reference` names, or none if there is no such thing.
    ///
    /// # Errors
    ///
    /// See [`CallError`].
    ///
    /// # Cancellation
    ///
    /// Nothing stays behind.
    pub async fn manifest_stat(
        &self,
        reference: &Reference,
    ) -> Result<Option<Descriptor>, CallError> {
        let repository = reference.repository();
        let endpoint = self.transport.endpoint(repository.host()).await?;
        let scopes = [Scope::pull(repository)];
        let wanted = manifest_ref(reference);
        let url = endpoint.url(&manifest_path(repository, &wanted));
        let call = accept(Call::new(Method::HEAD, url, &scopes));
        let response = self.transport.expect(&endpoint, &call, &[200, 404]).await?;
        if response.status() == 404 {
            return Ok(None);
        }
        let headers = response.headers();
        let length = headers.get(CONTENT_LENGTH);
        let length = length.and_then(|value| value.to_str().ok()?.parse().ok());
        let named = digest_of(headers).or(match wanted {
            ManifestRef::Digest(digest) => Some(digest),
            ManifestRef::Tag(_) => None,
        });
        let (Some(media_type), Some(digest), Some(size_bytes)) =
            (media_type_of(headers), named, length)
        else {
            // HEAD needs none of these headers by the letter of the specification.
            let received = self
                .manifest_at(&endpoint, repository, &manifest_ref(reference))
                .await?;
            let media_type = received.media_type.unwrap_or(MediaType::OciManifest);
            let size_bytes = received.bytes.len() as u64;
            let digest = oci::sha256(&received.bytes);
            return Ok(Some(Descriptor::new(media_type, digest, size_bytes)));
        };
        Ok(Some(Descriptor::new(media_type, digest, size_bytes)))
    }

    /// Reads a manifest; its bytes have the digest that was asked for or that the registry names.
    pub(super) async fn manifest_at(
        &self,
        endpoint: &Endpoint,
        repository: &Repository,
        reference: &ManifestRef,
    ) -> Result<Received, CallError> {
        let scopes = [Scope::pull(repository)];
        let url = endpoint.url(&manifest_path(repository, reference));
        let call = accept(Call::new(Method::GET, url, &scopes));
        let response = self.transport.expect(endpoint, &call, &[200]).await?;
        let media_type = media_type_of(response.headers());
        let named = match reference {
            ManifestRef::Digest(digest) => Some(digest.clone()),
            ManifestRef::Tag(_) => digest_of(response.headers()),
        };
        let bytes = read_body(response, Document::SIZE_MAX_BYTES, endpoint.host()).await?;
        if let Some(named) = named {
            let mut hasher = Hasher::new(named.algorithm());
            hasher.update(&bytes);
            if hasher.finish() != named {
                let what = "a manifest that does not match its digest";
                return Err(CallError::protocol(endpoint.host(), what));
            }
        }
        Ok(Received { media_type, bytes })
    }

    /// Writes a manifest or index under a tag or its digest.
    ///
    /// # Errors
    ///
    /// See [`CallError`].
    ///
    /// # Cancellation
    ///
    /// The manifest is written or not.
    pub async fn manifest_put(
        &self,
        reference: &Reference,
        media_type: &MediaType,
        bytes: Bytes,
    ) -> Result<(), CallError> {
        let repository = reference.repository();
        let endpoint = self.transport.endpoint(repository.host()).await?;
        let scopes = [Scope::push(repository)];
        let url = endpoint.url(&manifest_path(repository, &manifest_ref(reference)));
        let mut call =
            Call::new(Method::PUT, url, &scopes).header(CONTENT_TYPE, media_type.as_str());
        let sent = oci::sha256(&bytes);
        call.body = CallBody::Bytes(bytes);
        let wanted = [201, 200, 202, 204];
        let response = self.transport.expect(&endpoint, &call, &wanted).await?;
        match digest_of(response.headers()) {
            Some(stored) if stored.algorithm() == sent.algorithm() && stored != sent => {
                let what = "it stored another manifest than was sent";
                Err(CallError::protocol(endpoint.host(), what))
            }
            _ => Ok(()),
        }
    }

    /// Deletes a tag, or a manifest with all its tags; returns whether it was there.
    ///
    /// # Errors
    ///
    /// See [`CallError`]; registries that do not allow it answer `UNSUPPORTED`.
    ///
    /// # Cancellation
    ///
    /// It is there or not.
    pub async fn manifest_delete(&self, reference: &Reference) -> Result<bool, CallError> {
        let repository = reference.repository();
        let endpoint = self.transport.endpoint(repository.host()).await?;
        let scopes = [Scope::delete(repository)];
        let url = endpoint.url(&manifest_path(repository, &manifest_ref(reference)));
        self.delete_at(&endpoint, Call::new(Method::DELETE, url, &scopes))
            .await
    }
}
