// SPDX-License-Identifier: Apache-2.0
//! Why there is no image, or no container.

use std::path::PathBuf;

use graph::SourceRange;
use oci::layout::{BlobError, IndexError};
use oci::{ImageError, Reference};

use crate::export::ExportError;
use crate::export::layers::LayersError;
use crate::ops::host_ca::HostCaError;
use crate::step_error::StepError;

/// Why a build stopped. `E` is the frontend's error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError<E: std::error::Error + 'static> {
    /// The build description is not valid, or a base image cannot be resolved. Nothing was run.
    #[error(transparent)]
    Lower(E),
    /// The CA bundle of this machine cannot be used.
    #[error("cannot use the CA bundle of this machine")]
    HostCa(#[source] HostCaError),
    /// A step failed.
    #[error(transparent)]
    Step(Box<FailedStep>),
    /// The build was stopped by its caller.
    #[error("the build was cancelled")]
    Cancelled,
    /// Layers could not be made from the result.
    #[error("cannot export layers")]
    Layers(#[source] LayersError),
    /// Config and layers do not make an image.
    #[error("cannot assemble the image")]
    Assemble(#[source] ImageError),
    /// The image could not be stored.
    #[error("cannot store the image")]
    Store(#[source] StoreImageError),
    /// An output other than the store could not be written.
    #[error("cannot write the output")]
    Export(#[source] ExportError),
    /// The image was built and stored, but not pushed.
    #[error("cannot push {}", .reference.familiar())]
    Push {
        /// Where to.
        reference: Box<Reference>,
        /// Why.
        source: registry::client::PushError,
    },
    /// A push was asked for without a name.
    #[error("an image is pushed under a name, and none was given")]
    PushWithoutTag,
}

/// Why an image was not stored. Tags are as they were, or all set.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreImageError {
    /// The image store could not be written.
    #[error("cannot write the image store")]
    Blob(#[from] BlobError),
    /// A tag could not be set.
    #[error("cannot tag the image")]
    Tag(#[from] IndexError),
    /// The cache could not be written to the disk.
    #[error("cannot write the build cache")]
    Sync(#[from] cache::SnapshotError),
}

/// A step that failed, and what a person needs to know about it.
#[derive(Debug)]
pub struct FailedStep {
    /// Its name.
    pub name: String,
    /// Where it was written.
    pub location: Option<SourceRange>,
    /// Why it failed.
    pub error: StepError,
    /// The whole output, if there was any.
    pub log: Option<PathBuf>,
    /// The last lines of the output.
    pub log_tail: String,
}

impl std::fmt::Display for FailedStep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "failed to build: {}", self.name)
    }
}

impl std::error::Error for FailedStep {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}
