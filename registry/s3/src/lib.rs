// SPDX-License-Identifier: Apache-2.0
//! A registry's state in one bucket, shared by any number of replicas.
//!
//! Implements `Data` and `Meta` of [`registry::storage`] over S3 with conditional requests. A crate
//! of its own, so that the client of a registry does not wait for the SDK to be built.

mod attempt;
mod client;
mod config;
mod data;
mod foreign;
mod meta;
mod mode;
mod open;
mod orphan;
mod probe;
mod sealed;
#[cfg(test)]
mod tests;
mod writer;

pub use config::{BucketConfig, StaticCredentials};
pub use foreign::ForeignBucket;
pub use mode::Mode;
pub use open::{OpenError, Opened, open};
