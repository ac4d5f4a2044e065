// SPDX-License-Identifier: Apache-2.0
//! Flags of the commands on the state directory.

use clap::{Args, Subcommand};

use super::value::{self, Pair};

/// Look after the state directory.
#[derive(Subcommand, Clone, Debug)]
pub(crate) enum SystemCommand {
    /// Show how much space is used
    Df,
    /// Remove what is not used
    Prune(PruneArgs),
}

/// Remove what is not used.
#[derive(Args, Clone, Debug)]
pub(crate) struct PruneArgs {
    /// Also images that have a name, and the whole build cache
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Don't ask
    #[arg(short, long)]
    pub(crate) force: bool,
    /// until=DURATION: keep of the build cache what was used since, e.g. 24h [default: 168h]
    #[arg(long, value_name = "FILTER", value_parser = value::parse_pair)]
    pub(crate) filter: Vec<Pair>,
}
