// SPDX-License-Identifier: Apache-2.0
//! Flags of `kiln registry`, `kiln login` and `kiln logout`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::value::parse_duration;

/// Run a registry.
#[derive(Subcommand, Clone, Debug)]
pub(crate) enum RegistryCommand {
    /// Serve images over HTTP until stopped
    Serve(ServeArgs),
    /// Remove what nothing refers to from a registry that is not being served
    Gc(GcArgs),
}

/// Flags of `kiln registry serve`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ServeArgs {
    /// Address to listen on
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:5000")]
    pub(crate) addr: SocketAddr,
    /// Directory with the registry's content [default: ROOT/registry]
    #[arg(long, value_name = "DIR")]
    pub(crate) storage: Option<PathBuf>,
    /// How often garbage is collected while serving; 0s for never
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = parse_duration)]
    pub(crate) gc_every: Duration,
    #[command(flatten)]
    pub(crate) policy: GcPolicyArgs,
}

/// Flags of `kiln registry gc`.
#[derive(Args, Clone, Debug)]
pub(crate) struct GcArgs {
    /// Directory with the registry's content [default: ROOT/registry]
    #[arg(long, value_name = "DIR")]
    pub(crate) storage: Option<PathBuf>,
    /// Only say what would go
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Look at every repository, also at those that have not changed since the last time
    #[arg(long)]
    pub(crate) thorough: bool,
    #[command(flatten)]
    pub(crate) policy: GcPolicyArgs,
}

/// What counts as garbage.
#[derive(Args, Clone, Debug)]
pub(crate) struct GcPolicyArgs {
    /// How old something that nothing refers to must be
    #[arg(long = "gc-grace", value_name = "DURATION", default_value = "24h", value_parser = parse_duration)]
    pub(crate) grace: Duration,
    /// Collect manifests too that have had neither tag nor index nor subject for so long [default: keep]
    #[arg(long = "gc-untagged", value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) untagged: Option<Duration>,
}

/// Sign in to a registry.
#[derive(Args, Clone, Debug)]
pub(crate) struct LoginArgs {
    /// Registry [default: docker.io]
    #[arg(value_name = "HOST")]
    pub(crate) host: Option<String>,
    /// User
    #[arg(short, long, value_name = "NAME")]
    pub(crate) username: Option<String>,
    /// Password; seen by everybody on this machine while the command runs
    #[arg(short, long, value_name = "TEXT", conflicts_with = "password_stdin")]
    pub(crate) password: Option<String>,
    /// Read the password from stdin
    #[arg(long, requires = "username")]
    pub(crate) password_stdin: bool,
}

/// Sign out of a registry.
#[derive(Args, Clone, Debug)]
pub(crate) struct LogoutArgs {
    /// Registry [default: docker.io]
    #[arg(value_name = "HOST")]
    pub(crate) host: Option<String>,
}
