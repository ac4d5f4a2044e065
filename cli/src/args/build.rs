// SPDX-License-Identifier: Apache-2.0
//! Flags of `kiln build`, with the meanings that they have in docker buildx.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use oci::{Platform, Reference};

use super::allow::AllowArg;
use super::build_context::{ContextArg, NamedContextArg, parse_named};
use super::call::CallArgs;
use super::output::OutputArg;
use super::secret::SecretArg;
use super::ssh::SshArg;
use super::value::{self, Pair, UlimitArg};

/// How a build reports what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProgressKind {
    /// A live view on a terminal, else plain.
    Auto,
    /// A live view.
    Tty,
    /// Line by line.
    Plain,
    /// JSON lines, as buildx writes them.
    Rawjson,
    /// Nothing.
    Quiet,
    /// The same as quiet.
    #[value(hide = true)]
    None,
}

/// Where a build stops to show what it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Joint {
    /// The instructions of the Dockerfile.
    Ast,
    /// The graph and the image config.
    Graph,
    /// The graph in BuildKit's form, as JSON.
    Llb,
    /// The cache keys.
    Keys,
    /// The layers.
    Layers,
    /// Manifest and config.
    Image,
}

/// Network of RUN steps that don't name one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum NetworkArg {
    /// What the machine offers.
    Default,
    /// No network.
    None,
    /// The network of the machine.
    Host,
}

/// `--host-ca`, with a path or without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HostCaArg {
    /// The bundle of the machine.
    Found,
    /// This bundle.
    At(PathBuf),
}

impl From<&str> for HostCaArg {
    fn from(text: &str) -> Self {
        match text {
            "" => Self::Found,
            path => Self::At(path.into()),
        }
    }
}

/// Build an image from a Dockerfile.
#[derive(Args, Clone, Debug)]
pub(crate) struct BuildArgs {
    /// Directory with the files of the build, the address of a git repository, an archive or a
    /// Dockerfile, or `-` for a Dockerfile or tar file on stdin
    #[arg(value_name = "CONTEXT")]
    pub(crate) context: ContextArg,
    #[command(flatten)]
    pub(crate) input: InputArgs,
    #[command(flatten)]
    pub(crate) steps: StepArgs,
    #[command(flatten)]
    pub(crate) result: ResultArgs,
    #[command(flatten)]
    pub(crate) question: CallArgs,
    #[command(flatten)]
    pub(crate) unsupported: super::unsupported::UnsupportedArgs,
}

/// What is built.
#[derive(Args, Clone, Debug)]
pub(crate) struct InputArgs {
    /// Dockerfile, `-` for stdin, or its address [default: CONTEXT/Dockerfile]
    #[arg(short, long, value_name = "PATH")]
    pub(crate) file: Option<PathBuf>,
    /// Stage to build [default: the last]
    #[arg(long, value_name = "STAGE")]
    pub(crate) target: Option<String>,
    /// Value of an ARG; without `=VALUE`, from the environment
    #[arg(long, value_name = "NAME[=VALUE]", value_parser = value::parse_pair)]
    pub(crate) build_arg: Vec<Pair>,
    /// Additional context: a directory, an address, `docker-image://IMAGE`,
    /// `oci-layout://DIR[:TAG][@DIGEST]` or `target:STAGE`
    #[arg(long, value_name = "NAME=CONTEXT", value_parser = parse_named)]
    pub(crate) build_context: Vec<(String, NamedContextArg)>,
    /// Platform to build for
    #[arg(long, value_name = "OS/ARCH[/VARIANT]", value_delimiter = ',')]
    pub(crate) platform: Vec<Platform>,
    /// Label of the image
    #[arg(long, value_name = "NAME=VALUE", value_parser = value::parse_pair)]
    pub(crate) label: Vec<Pair>,
    /// Run every step again
    #[arg(long)]
    pub(crate) no_cache: bool,
    /// Run the steps of these stages again
    #[arg(long, value_name = "STAGE", value_delimiter = ',')]
    pub(crate) no_cache_filter: Vec<String>,
    /// Ask registries for base images even if they are here
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false", hide_default_value = true, hide_possible_values = true)]
    pub(crate) pull: bool,
    /// Refuse a Dockerfile that asks for another frontend (`# syntax=`) than kiln's
    #[arg(long)]
    pub(crate) frontend_strict: bool,
}

/// What steps see.
#[derive(Args, Clone, Debug)]
pub(crate) struct StepArgs {
    /// Secret that steps may mount: id=ID[,src=FILE|,env=NAME]
    #[arg(long, value_name = "SECRET")]
    pub(crate) secret: Vec<SecretArg>,
    /// SSH agent or keys that steps may sign with: default, ID=SOCKET, or ID=KEY,KEY…
    #[arg(long, value_name = "ID[=PATH]")]
    pub(crate) ssh: Vec<SshArg>,
    /// Line in /etc/hosts of steps
    #[arg(long, value_name = "HOST:IP", value_parser = value::parse_host)]
    pub(crate) add_host: Vec<(String, IpAddr)>,
    /// Network of RUN steps
    #[arg(long, value_name = "MODE", default_value = "default")]
    pub(crate) network: NetworkArg,
    /// What steps may have beyond the sandbox: network.host, security.insecure, device[=NAME]
    #[arg(long, value_name = "ENTITLEMENT")]
    pub(crate) allow: Vec<AllowArg>,
    /// Size of /dev/shm of steps, e.g. 64m
    #[arg(long, value_name = "BYTES", value_parser = value::parse_bytes)]
    pub(crate) shm_size: Option<u64>,
    /// Limit of steps, e.g. nofile=1024:4096
    #[arg(long, value_name = "NAME=SOFT[:HARD]", value_parser = value::parse_ulimit)]
    pub(crate) ulimit: Vec<UlimitArg>,
    /// Control group that those of steps are made in
    #[arg(long, value_name = "GROUP", value_parser = value::parse_cgroup_parent)]
    pub(crate) cgroup_parent: Option<String>,
    /// Let steps trust the CA bundle of this machine (or the one at PATH)
    #[arg(long, value_name = "PATH", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub(crate) host_ca: Option<HostCaArg>,
}

/// What becomes of the result.
#[derive(Args, Clone, Debug)]
pub(crate) struct ResultArgs {
    /// Name of the image
    #[arg(short, long, value_name = "NAME[:TAG]")]
    pub(crate) tag: Vec<Reference>,
    /// Where the result goes: type=image|registry|oci|docker|local|tar|cacheonly[,dest=PATH],
    /// a directory, or `-`
    #[arg(short, long, value_name = "OUTPUT")]
    pub(crate) output: Vec<OutputArg>,
    /// Push the image: the same as --output=type=registry
    #[arg(long)]
    pub(crate) push: bool,
    /// Keep the image in the local store: the default
    #[arg(long)]
    pub(crate) load: bool,
    /// File to write the image ID to
    #[arg(long, value_name = "FILE")]
    pub(crate) iidfile: Option<PathBuf>,
    /// File to write digests and names to, as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) metadata_file: Option<PathBuf>,
    /// Print nothing but the image ID
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// How progress is shown
    #[arg(long, value_name = "KIND")]
    pub(crate) progress: Option<ProgressKind>,
}
