// SPDX-License-Identifier: Apache-2.0
//! The OCI image format: what an image is made of, and how it lies on a disk.
//!
//! Data order: [`Digest`] names bytes, a [`Descriptor`] points at them, an [`ImageConfig`] says how
//! a root file system is run and from which layers it is built, a [`Manifest`] joins config and
//! layers, an [`Index`] joins manifests of several platforms, and [`layout::Layout`] keeps all of
//! them in a directory that other tools read too.
//!
//! Depends on no other crate of the workspace and knows nothing of registries, builds or
//! processes. Blocking: async callers move calls to their blocking pool.
//!
//! Spec: OCI image-spec 1.1 (`descriptor.md`, `config.md`, `manifest.md`, `image-index.md`,
//! `image-layout.md`), distribution's reference grammar.

mod chain;
mod config;
mod descriptor;
mod digest;
mod image;
mod index;
pub mod layer;
pub mod layout;
mod manifest;
mod media_type;
mod platform;
mod reference;
mod validate;

pub use chain::{ChainId, DiffId, chain_ids};
pub use config::{ContainerConfig, Healthcheck, History, ImageConfig, RootFs};
pub use descriptor::Descriptor;
pub use digest::{
    Algorithm, Digest, Hasher, ParseDigestError, VerifyError, VerifyingReader, sha256,
};
pub use image::{Image, ImageError, read_document};
pub use index::Index;
pub use layout::{BlobError, BlobWriter, IndexError, Layout, StoredBlob};
pub use manifest::{Document, Manifest, ParseDocumentError};
pub use media_type::MediaType;
pub use platform::{ParsePlatformError, Platform};
pub use reference::{ParseReferenceError, Reference, Repository, Tag};
pub use validate::{Violation, validate};
