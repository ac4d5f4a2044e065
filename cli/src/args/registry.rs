// SPDX-License-Identifier: Apache-2.0
//! Flags of `kiln registry`, `kiln login` and `kiln logout`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use super::value::{parse_bytes, parse_duration};

/// Run a registry.
#[derive(Subcommand, Clone, Debug)]
pub(crate) enum RegistryCommand {
    /// Serve images over HTTP until stopped
    Serve(ServeArgs),
    /// Remove what nothing refers to from a registry that is not being served
    Gc(GcArgs),
    /// Work with the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Look for damage in a registry that is not being served, and mend what can be mended
    Scrub(ScrubArgs),
    /// Check a registry that is not being served; make the database of its directory again
    Fsck(FsckArgs),
    /// Take over what another registry keeps in a directory or a bucket
    Import(RegistryImportArgs),
    /// Print the line of a user for a registry's file of users
    Htpasswd(HtpasswdArgs),
}

/// Work with the configuration of a registry.
#[derive(Subcommand, Clone, Debug)]
pub(crate) enum ConfigCommand {
    /// Check a configuration without serving
    Check(CheckArgs),
}

/// Flags of `kiln registry serve`. They win over variables, and those over the file.
#[derive(Args, Clone, Debug)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    /// Address to listen on [default: 127.0.0.1:5000]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) addr: Option<SocketAddr>,
    #[command(flatten)]
    pub(crate) state: StateArgs,
    /// How often garbage is collected while serving; 0s for never [default: 24h]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) gc_every: Option<Duration>,
    /// How often all content is verified while serving; 0s for never [default: 0s]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) scrub_every: Option<Duration>,
}

/// Which registry that is not being served.
#[derive(Args, Clone, Debug)]
pub(crate) struct PlaceArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    /// Directory with the registry's content [default: ROOT/registry]
    #[arg(long, value_name = "DIR")]
    pub(crate) storage: Option<PathBuf>,
}

/// Where the configuration is.
#[derive(Args, Clone, Debug)]
pub(crate) struct SourceArgs {
    /// Configuration file [default: /etc/kiln/registry.toml if there]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Configuration file of a distribution registry (YAML), read in the place of our own
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    pub(crate) distribution_config: Option<PathBuf>,
}

/// Where the content is, and what of it is garbage.
#[derive(Args, Clone, Debug)]
pub(crate) struct StateArgs {
    /// Directory with the registry's content [default: ROOT/registry]
    #[arg(long, value_name = "DIR")]
    pub(crate) storage: Option<PathBuf>,
    /// How old something that nothing refers to must be [default: 24h]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) gc_grace: Option<Duration>,
    /// Collect manifests too that have had neither tag nor index nor subject for so long [default: keep]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) gc_untagged: Option<Duration>,
}

/// Flags of `kiln registry gc`.
#[derive(Args, Clone, Debug)]
pub(crate) struct GcArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    #[command(flatten)]
    pub(crate) state: StateArgs,
    /// Only say what would go
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Look at every repository, also at those that have not changed since the last time
    #[arg(long)]
    pub(crate) thorough: bool,
}

/// Flags of `kiln registry htpasswd`.
#[derive(Args, Clone, Debug)]
pub(crate) struct HtpasswdArgs {
    /// Name of the user; the password is asked for, or read from stdin
    #[arg(value_name = "USER")]
    pub(crate) user: String,
    /// Hash by bcrypt, for programs that do not know argon2id
    #[arg(long)]
    pub(crate) bcrypt: bool,
}

/// Flags of `kiln registry config check`.
#[derive(Args, Clone, Debug)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    /// Print the configuration in force as TOML, with where each value comes from
    #[arg(long)]
    pub(crate) print: bool,
}

/// Flags of `kiln registry scrub`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ScrubArgs {
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    /// How closely to look: at records, also at the sizes of files, also at their bytes
    #[arg(long, value_name = "LEVEL", default_value = "bytes")]
    pub(crate) level: ScrubLevelArg,
    /// Read at most so many bytes in a second
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    pub(crate) rate: Option<u64>,
    /// Stop after so many bytes; the next scrub goes on there
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    pub(crate) max_bytes: Option<u64>,
    /// How old something that belongs to nothing must be before it is removed
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = parse_duration)]
    pub(crate) grace: Duration,
    /// Only say what is damaged
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print the report as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Flags of `kiln registry fsck`.
#[derive(Args, Clone, Debug)]
pub(crate) struct FsckArgs {
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    /// Make the database again from the journal and the files; the old one is kept beside it
    #[arg(long)]
    pub(crate) rebuild: bool,
    /// How closely to look: at records, also at the sizes of files, also at their bytes
    #[arg(long, value_name = "LEVEL", default_value = "sizes")]
    pub(crate) level: ScrubLevelArg,
    /// How old something that belongs to nothing must be before it is removed
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = parse_duration)]
    pub(crate) grace: Duration,
    /// Only say what is damaged
    #[arg(long, conflicts_with = "rebuild")]
    pub(crate) dry_run: bool,
}

/// How closely to look for damage.
#[derive(ValueEnum, Clone, Copy, Debug)]
pub(crate) enum ScrubLevelArg {
    /// At the records alone
    Names,
    /// Also whether all bytes are there
    Sizes,
    /// Also whether they are the right ones
    Bytes,
}

/// Flags of `kiln registry import`.
#[derive(Args, Clone, Debug)]
pub(crate) struct RegistryImportArgs {
    /// Storage directory of distribution or of zot, or `s3://BUCKET/PREFIX` of distribution
    #[arg(value_name = "SOURCE")]
    pub(crate) source: PathBuf,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    #[command(flatten)]
    pub(crate) bucket: SourceBucketArgs,
    /// Believe the digests of blobs that need not be copied
    #[arg(long)]
    pub(crate) trust: bool,
    /// Print the report as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// How the bucket that is imported is reached. Its keys are those of the AWS tools: variables,
/// profile, role of the machine.
#[derive(Args, Clone, Debug)]
pub(crate) struct SourceBucketArgs {
    /// Address of the store of an s3:// source, if it is not AWS [default: as the registry's own bucket]
    #[arg(long = "source-endpoint", value_name = "URL")]
    pub(crate) endpoint: Option<String>,
    /// Region of an s3:// source
    #[arg(long = "source-region", value_name = "NAME")]
    pub(crate) region: Option<String>,
    /// Name the bucket of an s3:// source in the path instead of the host
    #[arg(long = "source-path-style")]
    pub(crate) path_style: bool,
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
