// SPDX-License-Identifier: Apache-2.0
//! What the stages start from, as far as it can be known.
//!
//! `kiln build --check` asks for every base image, as a build does. `kiln lint` takes what can be
//! had: an image that nobody can describe leaves its stages with unknown variables, so that rules
//! about variables say nothing there.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use graph::{
    ImageResolver, ResolveError, ResolveMode, ResolvedImage, SourceOp, SourceTimeError, SourceTimes,
};
use oci::{ImageConfig, Platform, Reference};

/// Which base images have to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BaseImages {
    /// All: one that is missing is an error.
    Required,
    /// Those that can be had.
    IfFound,
    /// None: nobody is asked.
    Unknown,
}

/// Asks a resolver, and takes no for an answer.
pub(super) struct Bases<'a, R> {
    resolver: &'a R,
    policy: BaseImages,
    unknown: Mutex<BTreeSet<(Reference, Platform)>>,
}

impl<'a, R> Bases<'a, R> {
    pub(super) fn new(resolver: &'a R, policy: BaseImages) -> Self {
        Self {
            resolver,
            policy,
            unknown: Mutex::default(),
        }
    }

    /// Returns the images that were asked for and that nobody knows.
    pub(super) fn unknown(&self) -> BTreeSet<(Reference, Platform)> {
        let unknown = self.unknown.lock();
        unknown.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn nothing(&self, reference: &Reference, platform: &Platform) -> ResolvedImage {
        let mut unknown = self.unknown.lock().unwrap_or_else(PoisonError::into_inner);
        unknown.insert((reference.clone(), platform.clone()));
        ResolvedImage {
            digest: oci::sha256(b""),
            config: ImageConfig::default(),
        }
    }
}

impl<R: ImageResolver> ImageResolver for Bases<'_, R> {
    async fn resolve(
        &self,
        reference: &Reference,
        platform: &Platform,
        mode: ResolveMode,
    ) -> Result<ResolvedImage, ResolveError> {
        if self.policy == BaseImages::Unknown {
            return Ok(self.nothing(reference, platform));
        }
        match self.resolver.resolve(reference, platform, mode).await {
            Err(_) if self.policy == BaseImages::IfFound => Ok(self.nothing(reference, platform)),
            answer => answer,
        }
    }

    async fn resolve_layout(
        &self,
        store: &str,
        reference: &Reference,
        platform: &Platform,
    ) -> Result<ResolvedImage, ResolveError> {
        if self.policy == BaseImages::Unknown {
            return Ok(self.nothing(reference, platform));
        }
        let answer = self.resolver.resolve_layout(store, reference, platform);
        match answer.await {
            Err(_) if self.policy == BaseImages::IfFound => Ok(self.nothing(reference, platform)),
            answer => answer,
        }
    }
}

/// No rule depends on a time, so nobody is asked unless a build would be.
impl<R: SourceTimes> SourceTimes for Bases<'_, R> {
    async fn time(&self, source: &SourceOp) -> Result<Option<i64>, SourceTimeError> {
        match self.policy {
            BaseImages::Required => self.resolver.time(source).await,
            BaseImages::IfFound | BaseImages::Unknown => Ok(None),
        }
    }
}
