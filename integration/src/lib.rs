// SPDX-License-Identifier: Apache-2.0
//! Fixtures for the proof that kiln's parts agree with each other and with the outside.
//!
//! Tests here start the `kiln` program as a person does, and other people's programs beside it.
//! Nothing of the workspace is called as a library except `oci`, for digests and references, and the
//! S3 server `bucket`: what these tests show is true of the binary.
//!
//! Invariants
//! 1. A [`TestEnv`] shares nothing with another: state directory, home, configuration, clock.
//! 2. Every process has a time limit, and is killed with its whole process group when a test ends.
//! 3. No test waits for a fixed time; it waits for a line, a port or an end.
//! 4. A fixture that cannot be made fails the test that wants it, with a panic that says why.

#![expect(
    clippy::missing_panics_doc,
    reason = "invariant 4: a fixture that cannot be made fails its test"
)]

mod busybox;
pub mod corpus;
mod debian;
pub mod git_server;
pub mod http;
pub mod image;
mod liar;
mod narrow;
pub mod peers;
mod process;
mod random;
mod registry;
mod requirement;
mod setting;
mod test_env;
mod web;

pub use busybox::{APPLETS, busybox_rootfs};
pub use debian::debian_rootfs;
pub use git_server::GitServer;
pub use liar::{Answer, LyingRegistry};
pub use narrow::NarrowLine;
pub use process::{Background, Finished, Program};
pub use random::Random;
pub use registry::KilnRegistry;
pub use requirement::{Requirement, lacks};
pub use setting::{
    bench_only, corpus_filter, is_blessing, kiln_binary, minutes, rounds, workspace_root,
};
pub use test_env::TestEnv;
pub use web::{Page, WebServer};
