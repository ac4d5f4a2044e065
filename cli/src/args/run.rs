// SPDX-License-Identifier: Apache-2.0
//! Flags of `kiln run`, with docker's meanings.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use oci::Platform;

use super::build::{HostCaArg, NetworkArg};
use super::value::{self, Pair};

/// When `kiln run` asks a registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PullPolicy {
    /// Always.
    Always,
    /// If the image is not here.
    Missing,
    /// Never.
    Never,
}

/// A directory of this machine that the program sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VolumeArg {
    /// On this machine.
    pub(crate) source: PathBuf,
    /// In the container.
    pub(crate) target: PathBuf,
    /// Whether it cannot be written.
    pub(crate) readonly: bool,
}

/// A port of the container that is reached from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PortArg {
    /// On this machine.
    pub(crate) host: u16,
    /// In the container.
    pub(crate) container: u16,
}

/// Run a program in an image, in the foreground.
#[derive(Args, Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub(crate) struct RunArgs {
    /// Name or ID of the image
    pub(crate) image: String,
    /// Program and arguments [default: the image's]
    #[arg(
        value_name = "ARG",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    pub(crate) args: Vec<String>,
    /// Remove what the program wrote: the default
    #[arg(long)]
    pub(crate) rm: bool,
    /// Variable of the environment; without `=VALUE`, from the environment
    #[arg(short, long, value_name = "NAME[=VALUE]", value_parser = value::parse_pair)]
    pub(crate) env: Vec<Pair>,
    /// File with variables, one a line
    #[arg(long, value_name = "FILE")]
    pub(crate) env_file: Vec<PathBuf>,
    /// Directory or file of this machine to show
    #[arg(short, long, value_name = "SOURCE:TARGET[:ro]", value_parser = parse_volume)]
    pub(crate) volume: Vec<VolumeArg>,
    /// Directory to start in
    #[arg(short, long, value_name = "PATH")]
    pub(crate) workdir: Option<String>,
    /// User to run as
    #[arg(short, long, value_name = "USER[:GROUP]")]
    pub(crate) user: Option<String>,
    /// Program instead of the image's entrypoint
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) entrypoint: Option<String>,
    /// Port to reach from outside; both must be the same for now
    #[arg(short, long, value_name = "HOST:CONTAINER", value_parser = parse_port)]
    pub(crate) publish: Vec<PortArg>,
    /// Keep stdin open
    #[arg(short, long)]
    pub(crate) interactive: bool,
    /// Give the program a terminal
    #[arg(short, long)]
    pub(crate) tty: bool,
    /// Name of the machine
    #[arg(long, value_name = "NAME")]
    pub(crate) hostname: Option<String>,
    /// Line in /etc/hosts
    #[arg(long, value_name = "HOST:IP", value_parser = value::parse_host)]
    pub(crate) add_host: Vec<(String, IpAddr)>,
    /// Network of the program
    #[arg(long, value_name = "MODE", default_value = "default")]
    pub(crate) network: NetworkArg,
    /// Whether the program may write its root file system
    #[arg(long)]
    pub(crate) read_only: bool,
    /// Platform to choose
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub(crate) platform: Option<Platform>,
    /// When to ask the registry
    #[arg(long, value_name = "POLICY", default_value = "missing")]
    pub(crate) pull: PullPolicy,
    /// Let the program trust the CA bundle of this machine (or the one at PATH)
    #[arg(long, value_name = "PATH", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub(crate) host_ca: Option<HostCaArg>,
}

fn parse_volume(text: &str) -> Result<VolumeArg, String> {
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, options) = match parts[..] {
        [source, target] => (source, target, ""),
        [source, target, options] => (source, target, options),
        _ => return Err("a volume is SOURCE:TARGET or SOURCE:TARGET:ro".into()),
    };
    if !source.starts_with(['/', '.', '~']) {
        return Err(format!(
            "`{source}` is not a path; named volumes are not supported yet (write ./{source} for a directory)"
        ));
    }
    if !target.starts_with('/') {
        return Err(format!("target `{target}` is not an absolute path"));
    }
    let mut readonly = false;
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option {
            "ro" | "readonly" => readonly = true,
            "rw" | "z" | "Z" => {}
            _ => {
                return Err(format!(
                    "option `{option}` of a volume is not supported yet"
                ));
            }
        }
    }
    Ok(VolumeArg {
        source: source.into(),
        target: target.into(),
        readonly,
    })
}

fn parse_port(text: &str) -> Result<PortArg, String> {
    let text = text.strip_suffix("/tcp").unwrap_or(text);
    let shape = || format!("`{text}` is not of the form HOST:CONTAINER");
    let (host, container) = text.rsplit_once(':').ok_or_else(shape)?;
    let container: u16 = container.parse().map_err(|_| shape())?;
    let host: u16 = host.parse().map_err(|_| shape())?;
    if host != container {
        return Err(format!(
            "-p {text} is not supported yet: programs use the network of this machine, so both ports must be the same"
        ));
    }
    Ok(PortArg { host, container })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_and_ports() {
        let volume = parse_volume("/a:/b:ro").unwrap();
        assert!(volume.readonly);
        for text in ["/a", "name:/b", "/a:b", "/a:/b:shared", "/a:/b:ro:x"] {
            assert!(parse_volume(text).is_err(), "{text}");
        }
        assert!(parse_port("8080:8080").is_ok());
        assert!(parse_port("8080:8080/tcp").is_ok());
        for text in ["8080:80", "80", "127.0.0.1:80:80", "80:80/udp", "x:y"] {
            assert!(parse_port(text).is_err(), "{text}");
        }
    }
}
