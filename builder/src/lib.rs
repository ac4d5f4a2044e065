// SPDX-License-Identifier: Apache-2.0
//! From a build description to an image: the order of everything.
//!
//! [`Builder::build`] is the spine: lower → solve → layers → image → store → push. The solver asks,
//! the machine below never calls up, but for progress events.
//!
//! Knows no Dockerfile (that is a [`graph::Frontend`]) and no terminal (that is a
//! [`progress::Sink`]).

mod assemble;
mod build;
mod cdi;
mod container;
mod emulation;
mod error;
mod explain;
pub mod export;
mod fetch;
mod forecast;
mod git;
pub mod import;
mod layer;
mod layouts;
mod open;
mod ops;
mod pins;
mod plan;
pub mod progress;
mod prune;
mod redact;
mod report;
mod request;
mod resolve;
mod result;
mod secret;
mod solver;
mod ssh;
mod step_error;
mod transfer;
mod unpack;

pub use build::{BuildOutcome, Solved};
pub use cdi::{DeviceConsent, DeviceError};
pub use container::{ContainerError, ContainerRequest, Volume};
pub use emulation::StepPlatform;
pub use error::{BuildError, FailedStep, StoreImageError};
pub use explain::{Explanation, ImageUse};
pub use export::layers::LayersError;
pub use fetch::{Download, FetchedSource, SourceAccess, SourceRequest};
pub use forecast::Fate;
pub use git::{GitError, GitOptions};
pub use layouts::{LayoutImageError, find_in_layout};
pub use open::{Builder, BuilderOptions, OpenBuilderError, make_root, open_layout};
pub use ops::git::GitCommit;
pub use ops::host_ca::HostCaError;
pub use ops::http::HttpError;
pub use ops::image::ImageFetchError;
pub use pins::SourcePins;
pub use plan::keys_text;
pub use prune::{PruneCacheError, PrunedCache};
pub use request::{BuildRequest, Compression, Destination, Entitlements, LocalContext, Output};
pub use runtime::binfmt::Emulation;
pub use runtime::{EnterError, EnterOptions, RunError, Rung, Runtime, enter};
pub use secret::Secrets;
pub use ssh::{DEFAULT_AGENT, KeyProblem, SshAgent, SshAgents, SshKeys};
pub use step_error::{IgnoredBy, StepError};
pub use unpack::{UnpackError, unpack_context};
