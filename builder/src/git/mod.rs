// SPDX-License-Identifier: Apache-2.0
//! Git as a source: from an address to a commit, from a commit to a tree of files.
//!
//! In order: [`source`] reads what a source operation says, [`resolve`] asks the remote which
//! commit that is, [`mirror`] brings the commit into a bare repository that is kept between builds,
//! [`checkout`] writes its files into a snapshot. All of them speak through [`command`], the only
//! place that starts `git`.
//!
//! The `git` program does the work rather than a library: shallow fetches by commit, submodules,
//! ssh and every way to authenticate are what servers are tested with.
//!
//! What is hostile: the address, the server, every object it sends. So: arguments never begin with
//! `-` nor follow where an option could stand; only the protocols http, https, ssh and git, also for
//! submodules; no configuration of the machine or the user, no hooks, no templates, no prompts, no
//! LFS; credentials go through the environment, never through arguments, output or files.
//!
//! Docs: BuildKit 73ed6825 `source/git`; attribute names as in `solver/pb/attr.go`.

pub(crate) mod checkout;
pub(crate) mod command;
mod error;
pub(crate) mod mirror;
mod options;
pub(crate) mod resolve;
mod said;
pub(crate) mod source;
mod ssh;

pub use error::GitError;
pub use options::GitOptions;
