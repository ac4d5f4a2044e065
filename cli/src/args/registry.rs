// SPDX-License-Identifier: Apache-2.0
//! Flags of `kiln registry`, `kiln login` and `kiln logout`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Run a registry.
#[derive(Subcommand, Clone, Debug)]
pub(crate) enum RegistryCommand {
    /// Serve images over HTTP until stopped
    Serve(ServeArgs),
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
