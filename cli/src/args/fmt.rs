// SPDX-License-Identifier: Apache-2.0
//! Flags of `kiln fmt`.

use std::path::PathBuf;

use clap::Args;

/// Put Dockerfiles in one style without changing what they mean.
#[derive(Args, Clone, Debug)]
pub(crate) struct FmtArgs {
    /// Change nothing; list the files that are not in style, and fail if there are any
    #[arg(long)]
    pub(crate) check: bool,
    /// Change nothing; show what would change
    #[arg(long)]
    pub(crate) diff: bool,
    /// Files to format; `-` is standard input to standard output
    #[arg(value_name = "FILE", default_value = "Dockerfile")]
    pub(crate) files: Vec<PathBuf>,
}
