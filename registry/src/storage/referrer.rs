// SPDX-License-Identifier: Apache-2.0
//! The referrers of a subject: what a manifest's entry says, and a page of them.

use oci::{Descriptor, Digest, Document};

use super::error::StorageError;
use super::key;
use super::manifest::{ManifestPut, READS_PER_TURN};
use super::meta::LIST_MAX;
use super::store::Store;
use crate::endpoint::Name;

/// Where a page of referrers ends, in bytes of descriptors. Spec: distribution-spec §Listing
/// Referrers (clients limit an index to 4 MiB).
const REFERRERS_PAGE_BYTES: usize = 3 << 20;

/// One page of referrers.
#[derive(Clone, Debug, Default)]
pub struct ReferrerPage {
    /// The descriptors, sorted by digest.
    pub descriptors: Vec<Descriptor>,
    /// Where the next page starts, if there is one.
    pub next: Option<String>,
}

impl Store {
    /// Returns the referrers of `subject` in `name` from `start` on (empty: from the first).
    ///
    /// # Errors
    ///
    /// Whatever the metadata reports.
    pub async fn referrers(
        &self,
        name: &Name,
        subject: &Digest,
        start: &str,
    ) -> Result<ReferrerPage, StorageError> {
        let prefix = key::referrers(name, subject);
        let after = format!("{prefix}{start}");
        let listed = self.meta.list(&prefix, &after, LIST_MAX).await?;
        let full = listed.len() == LIST_MAX;
        let mut page = ReferrerPage::default();
        let mut size_bytes = 0;
        let mut last = None;
        for line in listed {
            if size_bytes >= REFERRERS_PAGE_BYTES {
                page.next = last;
                return Ok(page);
            }
            if let Some((descriptor, _)) = self.read::<Descriptor>(&line.key).await? {
                size_bytes += usize::try_from(line.size_bytes).unwrap_or(REFERRERS_PAGE_BYTES);
                page.descriptors.push(descriptor);
            }
            if page.descriptors.len().is_multiple_of(READS_PER_TURN) {
                tokio::task::yield_now().await;
            }
            last = line.key.strip_prefix(&prefix).map(str::to_owned);
        }
        page.descriptors.dedup_by(|b, a| a.digest == b.digest);
        page.next = last.filter(|_| full);
        Ok(page)
    }
}

/// Returns the entry of a manifest among the referrers of its subject.
///
/// Spec: distribution-spec §Listing Referrers (artifact type of an image falls back to its config's
/// media type, that of an index does not).
pub(super) fn referrer_descriptor(put: &ManifestPut<'_>) -> Descriptor {
    let (artifact_type, annotations) = match &put.document {
        Document::Manifest(manifest, _) => {
            let own = manifest.artifact_type.clone().filter(|own| !own.is_empty());
            let artifact_type = own.unwrap_or_else(|| manifest.config.media_type.to_string());
            (Some(artifact_type), manifest.annotations.clone())
        }
        Document::Index(index, _) => (index.artifact_type.clone(), index.annotations.clone()),
    };
    let size_bytes = put.document.bytes().len() as u64;
    let media_type = oci::MediaType::parse(&put.media_type);
    Descriptor {
        annotations,
        artifact_type,
        ..Descriptor::new(media_type, put.digest.clone(), size_bytes)
    }
}
