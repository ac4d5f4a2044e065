// SPDX-License-Identifier: Apache-2.0
//! Flags of the commands on images in the local store.

use std::path::PathBuf;

use clap::Args;
use oci::{Platform, Reference};

use super::value::{self, Pair};

/// Download an image.
#[derive(Args, Clone, Debug)]
pub(crate) struct PullArgs {
    /// Image to download
    #[arg(value_name = "NAME[:TAG|@DIGEST]")]
    pub(crate) image: String,
    /// Platform to choose
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub(crate) platform: Option<Platform>,
    /// Download all tags of the repository
    #[arg(short, long)]
    pub(crate) all_tags: bool,
    /// Print nothing but the name
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// Upload an image.
#[derive(Args, Clone, Debug)]
pub(crate) struct PushArgs {
    /// Image to upload
    #[arg(value_name = "NAME[:TAG]")]
    pub(crate) image: String,
    /// Upload all tags of the repository
    #[arg(short, long)]
    pub(crate) all_tags: bool,
    /// Print nothing but the name
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// Give an image another name.
#[derive(Args, Clone, Debug)]
pub(crate) struct TagArgs {
    /// Name or ID of the image
    pub(crate) source: String,
    /// The new name
    #[arg(value_name = "NAME[:TAG]")]
    pub(crate) target: Reference,
}

/// List images.
#[derive(Args, Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub(crate) struct ImagesArgs {
    /// Only images of this repository, or with this name; `*` matches anything but `/`
    #[arg(value_name = "NAME[:TAG]")]
    pub(crate) name: Option<String>,
    /// Print only IDs
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Also show digests
    #[arg(long)]
    pub(crate) digests: bool,
    /// Show full IDs
    #[arg(long)]
    pub(crate) no_trunc: bool,
    /// Show all images; there are no hidden ones
    #[arg(short, long)]
    pub(crate) all: bool,
    /// `table`, `json`, or a template such as '{{.Repository}}:{{.Tag}}'
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub(crate) format: String,
    /// reference=PATTERN, dangling=true|false, label=NAME[=VALUE]
    #[arg(short, long, value_name = "FILTER", value_parser = value::parse_pair)]
    pub(crate) filter: Vec<Pair>,
}

/// Remove images.
#[derive(Args, Clone, Debug)]
pub(crate) struct RmiArgs {
    /// Names or IDs
    #[arg(value_name = "IMAGE", required = true)]
    pub(crate) images: Vec<String>,
    /// Remove an image that has several names, and don't fail if there is none
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Keep what the names no longer reach until the next prune
    #[arg(long)]
    pub(crate) no_prune: bool,
}

/// Show everything about images, as JSON.
#[derive(Args, Clone, Debug)]
pub(crate) struct InspectArgs {
    /// Names or IDs
    #[arg(value_name = "IMAGE", required = true)]
    pub(crate) images: Vec<String>,
    /// A template such as '{{.Id}}' or '{{json .Config}}'
    #[arg(short, long, value_name = "FORMAT")]
    pub(crate) format: Option<String>,
    /// Platform to choose of an image for several
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub(crate) platform: Option<Platform>,
    /// Kind of object; only images exist
    #[arg(long, value_parser = ["image"], hide = true)]
    pub(crate) r#type: Option<String>,
}

/// Show how an image came to be.
#[derive(Args, Clone, Debug)]
pub(crate) struct HistoryArgs {
    /// Name or ID
    pub(crate) image: String,
    /// Print only IDs
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Show whole commands
    #[arg(long)]
    pub(crate) no_trunc: bool,
    /// Print sizes and times for people
    #[arg(short = 'H', long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "true", hide_possible_values = true, action = clap::ArgAction::Set)]
    pub(crate) human: bool,
    /// `table`, `json`, or a template such as `{{.CreatedBy}}`
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub(crate) format: String,
}

/// Write images into a tar file.
#[derive(Args, Clone, Debug)]
pub(crate) struct SaveArgs {
    /// Names or IDs
    #[arg(value_name = "IMAGE", required = true)]
    pub(crate) images: Vec<String>,
    /// File to write to [default: stdout]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Platform for `docker load` if an image has several
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub(crate) platform: Option<Platform>,
    /// `docker-archive` (also an OCI layout) or `oci-archive`
    #[arg(long, value_name = "FORMAT", default_value = "docker-archive", value_parser = ["docker-archive", "oci-archive"])]
    pub(crate) format: String,
}

/// Read images from a tar file.
#[derive(Args, Clone, Debug)]
pub(crate) struct LoadArgs {
    /// File to read [default: stdin]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) input: Option<PathBuf>,
    /// Print only names
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Platform to choose of an image for several of which only some are in the file
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub(crate) platform: Option<Platform>,
}

/// Make an image of a tar file with a root file system.
#[derive(Args, Clone, Debug)]
pub(crate) struct ImportArgs {
    /// File, or `-` for stdin; may be compressed
    #[arg(value_name = "FILE")]
    pub(crate) file: String,
    /// Name of the image
    #[arg(value_name = "NAME[:TAG]")]
    pub(crate) name: Option<Reference>,
    /// Dockerfile instruction to apply: CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD,
    /// SHELL, STOPSIGNAL, USER, VOLUME, WORKDIR
    #[arg(short, long, value_name = "INSTRUCTION")]
    pub(crate) change: Vec<String>,
    /// Remark in the history of the image
    #[arg(short, long, value_name = "TEXT")]
    pub(crate) message: Option<String>,
    /// Platform of the image [default: this machine's]
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub(crate) platform: Option<Platform>,
}
