// SPDX-License-Identifier: Apache-2.0
//! The words people type: every command and flag, as one table of types.
//!
//! Knows docker's flags and their meanings. Does not look at files, networks or the environment;
//! [`crate::environment`] has what comes from there.

pub(crate) mod allow;
pub(crate) mod build;
pub(crate) mod build_context;
pub(crate) mod call;
mod csv;
pub(crate) mod fmt;
pub(crate) mod images;
pub(crate) mod lint;
pub(crate) mod output;
pub(crate) mod registry;
pub(crate) mod run;
pub(crate) mod secret;
pub(crate) mod ssh;
pub(crate) mod system;
#[cfg(test)]
mod tests;
pub(crate) mod unsupported;
pub(crate) mod value;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Builds container images, keeps them, moves them and tries them; and is a registry.
#[derive(Parser, Clone, Debug)]
#[command(
    name = "kiln",
    version,
    propagate_version = false,
    max_term_width = 100
)]
#[command(disable_help_subcommand = true, subcommand_required = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags of every command.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct GlobalArgs {
    /// State directory [env: `KILN_ROOT`; default: /var/lib/kiln, for users ~/.local/share/kiln]
    #[arg(long, value_name = "DIR", global = true)]
    pub(crate) root: Option<PathBuf>,
    /// Show what the command works with: version, directories, identity
    #[arg(short = 'D', long, global = true)]
    pub(crate) debug: bool,
}

/// A command.
#[derive(Subcommand, Clone, Debug)]
pub(crate) enum Command {
    /// Build an image from a Dockerfile
    Build(Box<build::BuildArgs>),
    /// Check Dockerfiles
    Lint(Box<lint::LintArgs>),
    /// Put Dockerfiles in one style without changing what they mean
    Fmt(fmt::FmtArgs),
    /// Run a program in an image, in the foreground
    Run(Box<run::RunArgs>),
    /// Download an image
    Pull(images::PullArgs),
    /// Upload an image
    Push(images::PushArgs),
    /// Give an image another name
    Tag(images::TagArgs),
    /// List images
    Images(images::ImagesArgs),
    /// Remove images
    Rmi(images::RmiArgs),
    /// Show everything about images, as JSON
    Inspect(images::InspectArgs),
    /// Show how an image came to be
    History(images::HistoryArgs),
    /// Write images into a tar file
    Save(images::SaveArgs),
    /// Read images from a tar file
    Load(images::LoadArgs),
    /// Make an image of a tar file with a root file system
    Import(images::ImportArgs),
    /// Sign in to a registry
    Login(registry::LoginArgs),
    /// Sign out of a registry
    Logout(registry::LogoutArgs),
    /// Run a registry
    #[command(subcommand)]
    Registry(registry::RegistryCommand),
    /// Look after the state directory
    #[command(subcommand)]
    System(system::SystemCommand),
    /// Remove what is not used: the same as `kiln system prune`
    Prune(system::PruneArgs),
    /// The commands on images, as `docker image` has them
    #[command(subcommand)]
    Image(ImageCommand),
    /// Show the version
    Version,
}

/// `kiln image …`: other words for the same commands.
#[derive(Subcommand, Clone, Debug)]
pub(crate) enum ImageCommand {
    /// Build an image from a Dockerfile
    Build(Box<build::BuildArgs>),
    /// Download an image
    Pull(images::PullArgs),
    /// Upload an image
    Push(images::PushArgs),
    /// Give an image another name
    Tag(images::TagArgs),
    /// List images
    #[command(visible_alias = "list")]
    Ls(images::ImagesArgs),
    /// Remove images
    #[command(visible_alias = "remove")]
    Rm(images::RmiArgs),
    /// Show everything about images, as JSON
    Inspect(images::InspectArgs),
    /// Show how an image came to be
    History(images::HistoryArgs),
    /// Write images into a tar file
    Save(images::SaveArgs),
    /// Read images from a tar file
    Load(images::LoadArgs),
    /// Make an image of a tar file with a root file system
    Import(images::ImportArgs),
}

impl ImageCommand {
    /// Returns the command that this is another word for.
    pub(crate) fn into_command(self) -> Command {
        match self {
            Self::Build(args) => Command::Build(args),
            Self::Pull(args) => Command::Pull(args),
            Self::Push(args) => Command::Push(args),
            Self::Tag(args) => Command::Tag(args),
            Self::Ls(args) => Command::Images(args),
            Self::Rm(args) => Command::Rmi(args),
            Self::Inspect(args) => Command::Inspect(args),
            Self::History(args) => Command::History(args),
            Self::Save(args) => Command::Save(args),
            Self::Load(args) => Command::Load(args),
            Self::Import(args) => Command::Import(args),
        }
    }
}
