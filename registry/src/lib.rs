// SPDX-License-Identifier: Apache-2.0
//! The OCI distribution-spec, both sides: a registry server and the client that pushes and pulls.
//!
//! Data order: an [`endpoint::Resource`] is what a path names; [`error`] is how either side says
//! no; [`client`] moves images over it; [`server`] answers from [`storage`], which keeps bytes
//! (`Data`) apart from names (`Meta`); [`import`] fills it from another registry's files.
//!
//! Depends on `oci` alone. Does not know builds, caches or processes.
//!
//! Spec: OCI distribution-spec 1.1 and its development version.

pub mod client;
pub mod endpoint;
pub mod error;
pub mod import;
pub mod server;
pub mod settings;
pub mod storage;
