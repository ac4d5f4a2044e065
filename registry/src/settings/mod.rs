// SPDX-License-Identifier: Apache-2.0
//! The settings of a registry that is served: a TOML file, the environment and flags, made one.
//!
//! ```toml
//! [storage]
//! directory = "/var/lib/registry"
//!
//! [http]
//! address = "0.0.0.0:5000"
//! ```
//!
//! [`sections`] has every key with its default; [`resolve`] lays flags over the environment over
//! the file and says where each value comes from; [`distribution`] reads the file of another
//! registry instead. What a [`Problem`] is about is shown with its line.
//!
//! Owns the names of keys and variables. Does not read files or the environment, and does not know
//! what the values are for: the command line turns them into configurations of the components.
//!
//! Invariants
//! 1. Every key has a default, a variable `KILN_REGISTRY_<SECTION>_<KEY>` and a row in
//!    `docs/registry-config.md`.
//! 2. No secret is shown: not by `Debug`, not in the effective settings, not in an excerpt.

mod check;
pub mod distribution;
mod origin;
mod problem;
mod quantity;
mod render;
mod resolve;
mod secret;
pub mod sections;
mod shape;
#[cfg(test)]
mod tests;
mod variables;

pub use origin::Origin;
pub use problem::Problem;
pub use quantity::{Period, Size};
pub use resolve::{Effective, File, Flag, Foreign, Layers, resolve};
pub use secret::Secret;
pub use sections::Settings;
pub use variables::PREFIX;
