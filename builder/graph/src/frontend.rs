// SPDX-License-Identifier: Apache-2.0
//! What a frontend is asked for, what it may ask back, and what it answers: the [`Plan`].

use std::future::Future;

use oci::{Digest, ImageConfig, Platform, Reference};

use crate::{Edge, Graph, SourceOp};

/// Turns some build description into a [`Plan`].
pub trait Frontend {
    /// The description: text and options.
    type Input: Sync;
    /// Why there is no plan: every problem, not the first.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Lowers `input`. Does no I/O but through `resolver`.
    ///
    /// # Errors
    ///
    /// The frontend's own; nothing has been built then.
    ///
    /// # Cancellation
    ///
    /// Nothing stays behind.
    fn lower<R: ImageResolver + SourceTimes>(
        &self,
        input: &Self::Input,
        resolver: &R,
    ) -> impl Future<Output = Result<Plan, Self::Error>> + Send;
}

/// Answers a question that flows against the data path: what is this base image?
///
/// Within one build the same reference must give the same digest, even if the tag moves meanwhile.
/// Implementations run [`crate::contract::image_resolver`] in their tests.
pub trait ImageResolver: Sync {
    /// Returns the config of `reference` for `platform`, and the digest it was read at.
    ///
    /// # Errors
    ///
    /// [`ResolveError::NotFound`] if there is no such tag, or no manifest for `platform`.
    ///
    /// # Cancellation
    ///
    /// Nothing stays behind but what was already downloaded.
    fn resolve(
        &self,
        reference: &Reference,
        platform: &Platform,
        mode: ResolveMode,
    ) -> impl Future<Output = Result<ResolvedImage, ResolveError>> + Send;

    /// Returns the config, for `platform`, of the image that `reference` names by digest in an image
    /// layout of the caller, known to the build as `store`.
    ///
    /// # Errors
    ///
    /// [`ResolveError::NotFound`] if there is no such store, or no such digest in it.
    ///
    /// # Cancellation
    ///
    /// Nothing stays behind.
    fn resolve_layout(
        &self,
        store: &str,
        reference: &Reference,
        platform: &Platform,
    ) -> impl Future<Output = Result<ResolvedImage, ResolveError>> + Send;
}

/// Answers the other question against the data path: what time does this source have? Asked if
/// `SOURCE_DATE_EPOCH` names a source instead of a time.
///
/// What was answered is what the build then uses: a branch or a file that changes meanwhile changes
/// neither. Implementations run [`crate::contract::source_times`] in their tests.
pub trait SourceTimes: Sync {
    /// Returns the time of `source` in seconds since 1970: of the commit, of the last modification
    /// that a server tells, else of the newest file in a downloaded archive. None if the source has
    /// no time of its own, as directories and images.
    ///
    /// # Errors
    ///
    /// [`SourceTimeError`] if the source cannot be fetched.
    ///
    /// # Cancellation
    ///
    /// Nothing stays behind but what was already downloaded.
    fn time(
        &self,
        source: &SourceOp,
    ) -> impl Future<Output = Result<Option<i64>, SourceTimeError>> + Send;
}

/// A source that `SOURCE_DATE_EPOCH` names cannot be asked.
#[derive(Debug, thiserror::Error)]
#[error("cannot tell the time of {identifier}")]
pub struct SourceTimeError {
    /// The source, without credentials.
    pub identifier: String,
    /// Why.
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// Where a base image may come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResolveMode {
    /// The local store if it has the tag, else the registry.
    #[default]
    Default,
    /// Always ask the registry (`--pull`).
    Pull,
    /// Only the local store.
    Local,
}

/// A base image, pinned.
#[derive(Clone, Debug)]
pub struct ResolvedImage {
    /// The digest that the reference had when it was asked: of the index if it names one, else of
    /// the manifest. Becomes part of the source identifier.
    pub digest: Digest,
    /// The config for the wanted platform.
    pub config: ImageConfig,
}

/// Why a base image cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// No such repository, tag or digest, anywhere that was asked.
    #[error("image {reference} is not found")]
    NotFound {
        /// What was asked for.
        reference: Reference,
        /// What the registry said, if it was asked.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// The image exists, but for other platforms.
    #[error("image {reference} has no manifest for {platform} (it has: {})", available.join(", "))]
    NoPlatform {
        /// What was asked for.
        reference: Reference,
        /// For which platform.
        platform: Platform,
        /// What there is, in the order of the index.
        available: Vec<String>,
    },
    /// The registry cannot be reached, refuses, or sent something that is no image.
    #[error("cannot read image {reference}")]
    Failed {
        /// What was asked for.
        reference: Reference,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// What is to be built: the joint between frontend and solver.
#[derive(Clone, Debug)]
pub struct Plan {
    /// All operations.
    pub graph: Graph,
    /// One result per platform, in the order asked for; never empty.
    pub targets: Vec<PlanTarget>,
    /// Whether the result is an index, even of one image.
    pub multi_platform: bool,
    /// `SOURCE_DATE_EPOCH` in seconds, if the build has one.
    pub source_date_epoch: Option<i64>,
}

/// The image for one platform.
#[derive(Clone, Debug)]
pub struct PlanTarget {
    /// What it runs on.
    pub platform: Platform,
    /// Its root file system; none is the empty tree.
    pub result: Option<Edge>,
    /// Its config: complete but for `created`, the new layers' `rootfs.diff_ids` and the times in
    /// `history`. `rootfs.diff_ids` holds those of the base; history entries that came with the base
    /// keep their `created`, new ones have none and are filled by the assembler.
    pub config: ImageConfig,
}
