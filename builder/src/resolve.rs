// SPDX-License-Identifier: Apache-2.0
//! Base images: from a name to the manifest that the whole build then uses.
//!
//! A name is asked for once: the local store if it has the tag, else the registry. What was found
//! is kept for the source operation, so that a tag that moves during the build changes nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use graph::{ImageResolver, ResolveError, ResolveMode, ResolvedImage};
use oci::layout::{ANNOTATION_INDEX_DIGEST, Layout};
use oci::{Digest, Image, Platform, Reference};
use registry::client::{Client, PullError};

use crate::open::Builder;
use crate::ops::image::{ImageSources, SourceImage};
use crate::report::StepReport;

/// Resolves base images for one build.
#[derive(Debug)]
pub(crate) struct Resolver {
    layout: Layout,
    client: Client,
    report: StepReport,
    known: Mutex<BTreeMap<(String, String), ResolvedImage>>,
    sources: Arc<Mutex<ImageSources>>,
}

impl Resolver {
    pub(crate) fn new(builder: &Builder, report: StepReport) -> Self {
        Self {
            layout: builder.layout.clone(),
            client: builder.client.clone(),
            report,
            known: Mutex::default(),
            sources: Arc::default(),
        }
    }

    /// Returns everything that was resolved, for the source operations.
    pub(crate) fn into_sources(self) -> ImageSources {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *sources)
    }

    async fn find(
        &self,
        reference: &Reference,
        platform: &Platform,
        mode: ResolveMode,
    ) -> Result<(Digest, Image), ResolveError> {
        let local = match mode {
            ResolveMode::Pull => None,
            ResolveMode::Default | ResolveMode::Local => {
                self.find_local(reference, platform).await?
            }
        };
        let fallback = match local {
            Some((found, true)) => return Ok(found),
            Some((found, false)) => Some(found),
            None => None,
        };
        if mode == ResolveMode::Local {
            return fallback.ok_or_else(|| ResolveError::NotFound {
                reference: reference.clone(),
                source: None,
            });
        }
        let name = format!("[internal] load metadata for {reference}");
        let step = self.report.begin(&name, oci::sha256(name.as_bytes()));
        let resolved = self.client.resolve(reference, platform).await;
        let resolved = resolved.map_err(|error| refused(reference, platform, error));
        self.report.end_with(step, &resolved);
        // Docs: BuildKit takes an image that stands alone whatever it is for; the frontend warns.
        match (resolved, fallback) {
            (Ok(resolved), _) => Ok((resolved.digest, resolved.image)),
            (Err(_), Some(fallback)) => Ok(fallback),
            (Err(error), None) => Err(error),
        }
    }

    /// A local image for another platform does not count if it is one of several: the registry has
    /// the others. One that stands alone is found, with false, for want of a better one.
    async fn find_local(
        &self,
        reference: &Reference,
        platform: &Platform,
    ) -> Result<Option<((Digest, Image), bool)>, ResolveError> {
        let (layout, name, platform) = (self.layout.clone(), reference.clone(), platform.clone());
        let found = tokio::task::spawn_blocking(move || {
            let Some(descriptor) = layout
                .resolve(&name)
                .map_err(|error| Box::new(failed(&name, error)))?
            else {
                return Ok(None);
            };
            let index = descriptor.annotations.get(ANNOTATION_INDEX_DIGEST);
            let stands_alone = index.is_none() && descriptor.media_type.is_manifest();
            let digest = index
                .and_then(|text| text.parse().ok())
                .unwrap_or_else(|| descriptor.digest.clone());
            let Ok(image) = Image::read(&layout, &descriptor, &platform) else {
                return Ok(None);
            };
            let fits = platform.match_rank(&image.config().platform()).is_some();
            Ok((fits || stands_alone).then_some(((digest, image), fits)))
        });
        let found: Result<_, Box<ResolveError>> =
            found.await.expect("reading an image does not panic");
        found.map_err(|error| *error)
    }
}

impl ImageResolver for Resolver {
    async fn resolve(
        &self,
        reference: &Reference,
        platform: &Platform,
        mode: ResolveMode,
    ) -> Result<ResolvedImage, ResolveError> {
        let key = (reference.to_string(), platform.to_string());
        let known = self
            .known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&key)
            .cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let (digest, image) = self.find(reference, platform, mode).await?;
        let resolved = ResolvedImage {
            digest: digest.clone(),
            config: image.config().clone(),
        };
        self.known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(key, resolved.clone());
        let source = SourceImage {
            reference: reference.clone(),
            image,
        };
        self.sources
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(&digest, platform, source);
        Ok(resolved)
    }
}

fn failed(
    reference: &Reference,
    error: impl std::error::Error + Send + Sync + 'static,
) -> ResolveError {
    ResolveError::Failed {
        reference: reference.clone(),
        source: Box::new(error),
    }
}

fn refused(reference: &Reference, platform: &Platform, error: PullError) -> ResolveError {
    match error {
        PullError::NotFound(_, source) => ResolveError::NotFound {
            reference: reference.clone(),
            source: Some(source),
        },
        PullError::Image(_, source) => match *source {
            oci::ImageError::NoPlatform { offered, .. } => ResolveError::NoPlatform {
                reference: reference.clone(),
                platform: platform.clone(),
                available: offered.iter().map(ToString::to_string).collect(),
            },
            other => failed(reference, other),
        },
        other => failed(reference, other),
    }
}
