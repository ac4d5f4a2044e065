// SPDX-License-Identifier: Apache-2.0
//! Makes room in the build cache. What the images of the store are made of stays.

use std::time::Duration;

use cache::{PruneRequest, StoreError, Timestamp};
use oci::layout::IndexError;
use oci::{ChainId, Descriptor, Document, Image, Platform, chain_ids, read_document};

use crate::open::Builder;

/// What went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PrunedCache {
    /// Results that are forgotten.
    pub records: usize,
    /// File trees that were deleted.
    pub snapshots: usize,
    /// Bytes of disk that are free now.
    pub freed_bytes: u64,
}

/// Why the cache was not pruned, or not to the end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PruneCacheError {
    /// It is not known which images there are.
    #[error("cannot tell which images are in use")]
    Images(#[from] IndexError),
    /// The cache cannot be written.
    #[error("cannot prune the build cache")]
    Store(#[from] StoreError),
}

impl Builder {
    /// Forgets results that were not used for `unused_for`, or all with none, and deletes the file
    /// trees that nothing needs then. Blocking.
    ///
    /// # Errors
    ///
    /// See [`PruneCacheError`]. What went until then stays gone.
    pub fn prune_cache(
        &self,
        unused_for: Option<Duration>,
    ) -> Result<PrunedCache, PruneCacheError> {
        let mut keep_chains = Vec::new();
        for entry in self.layout.entries()? {
            self.add_chains(&entry.descriptor, &mut keep_chains);
        }
        let since = unused_for.map(|unused| {
            let seconds = i64::try_from(unused.as_secs()).unwrap_or(i64::MAX);
            let now = self.store.now();
            Timestamp {
                secs: now.secs.saturating_sub(seconds),
                ..now
            }
        });
        let pruned = self.store.prune(&PruneRequest {
            keep_chains: &keep_chains,
            keep_records_since: since,
        })?;
        Ok(PrunedCache {
            records: pruned.records,
            snapshots: pruned.snapshots,
            freed_bytes: pruned.freed_bytes,
        })
    }

    /// Adds the chains of an image, or of those of an index that are here. One that cannot be read
    /// has none: its trees are then made again when they are needed.
    fn add_chains(&self, image: &Descriptor, chains: &mut Vec<ChainId>) {
        let children = match read_document(&self.layout, image) {
            Ok(Document::Index(index, _)) => index.manifests,
            Ok(Document::Manifest(..)) => vec![image.clone()],
            Err(_) => Vec::new(),
        };
        for child in children {
            if let Ok(image) = Image::read(&self.layout, &child, &Platform::host()) {
                chains.extend(chain_ids(&image.config().rootfs.diff_ids));
            }
        }
    }
}
