// SPDX-License-Identifier: Apache-2.0
//! What refers to a manifest: signatures, attestations, bills of materials.
//!
//! Spec: distribution-spec §Listing Referrers (end-12), with its fallback for registries without.

use oci::{Descriptor, Digest, Document, Index, Repository};

use super::Client;
use super::challenge::Scope;
use super::error::CallError;
use crate::endpoint::{ManifestRef, Name, Resource};

impl Client {
    /// Returns descriptors of the manifests whose subject is `digest`; all, or those of one type.
    ///
    /// # Errors
    ///
    /// See [`CallError`].
    ///
    /// # Cancellation
    ///
    /// Nothing stays behind.
    pub async fn referrers(
        &self,
        repository: &Repository,
        digest: &Digest,
        artifact_type: Option<&str>,
    ) -> Result<Vec<Descriptor>, CallError> {
        let endpoint = self.transport.endpoint(repository.host()).await?;
        let scopes = [Scope::pull(repository)];
        let path = Resource::Referrers(Name::of(repository), digest.clone()).path();
        let pages: Result<Vec<Index>, _> = self.pages(&endpoint, &path, &scopes).await;
        let mut found: Vec<Descriptor> = match pages {
            Ok(pages) => pages.into_iter().flat_map(|page| page.manifests).collect(),
            Err(error) if error.is_not_found() => self.referrers_by_tag(repository, digest).await?,
            Err(error) => return Err(error),
        };
        // Filtering here spares the question whether the registry did.
        if let Some(wanted) = artifact_type {
            found.retain(|descriptor| descriptor.artifact_type.as_deref() == Some(wanted));
        }
        Ok(found)
    }

    /// Reads the index under the tag `sha256-…`. Spec: §Referrers Tag Schema.
    async fn referrers_by_tag(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Vec<Descriptor>, CallError> {
        let endpoint = self.transport.endpoint(repository.host()).await?;
        let hex: String = digest.hex().chars().take(64).collect();
        let tag = format!("{}-{hex}", digest.algorithm());
        let tag = tag.parse().expect("hexadecimal after a word is a tag");
        let reference = ManifestRef::Tag(tag);
        let received = match self.manifest_at(&endpoint, repository, &reference).await {
            Ok(received) => received,
            Err(error) if error.is_not_found() => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let media_type = received.media_type.as_ref();
        if let Ok(Document::Index(index, _)) = Document::parse(received.bytes.to_vec(), media_type)
        {
            return Ok(index.manifests);
        }
        let what = "a referrers tag that names no index";
        Err(CallError::protocol(endpoint.host(), what))
    }
}
