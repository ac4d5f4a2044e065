// SPDX-License-Identifier: Apache-2.0
//! The resolver of whoever asks nobody: there are no base images, and sources have no time.

use graph::{
    ImageResolver, ResolveError, ResolveMode, ResolvedImage, SourceOp, SourceTimeError, SourceTimes,
};
use oci::{Platform, Reference};

/// Answers nothing.
pub(crate) struct Offline;

impl ImageResolver for Offline {
    async fn resolve(
        &self,
        reference: &Reference,
        _platform: &Platform,
        _mode: ResolveMode,
    ) -> Result<ResolvedImage, ResolveError> {
        Err(ResolveError::NotFound {
            reference: reference.clone(),
            source: None,
        })
    }

    async fn resolve_layout(
        &self,
        _store: &str,
        reference: &Reference,
        platform: &Platform,
    ) -> Result<ResolvedImage, ResolveError> {
        self.resolve(reference, platform, ResolveMode::Local).await
    }
}

impl SourceTimes for Offline {
    async fn time(&self, _source: &SourceOp) -> Result<Option<i64>, SourceTimeError> {
        Ok(None)
    }
}
