// SPDX-License-Identifier: Apache-2.0
//! `kiln run`: one process of an image in the foreground, in the sandbox that builds use.
//!
//! Changes to the root file system are dropped when it ends. The network is the host's, so that a
//! port the process listens on is open at once; there is no bridge to publish from.

use std::net::IpAddr;
use std::path::PathBuf;

use oci::{ContainerConfig, Image, Platform, Reference};
use runtime::binfmt::Emulation;
use runtime::{Mount, MountSource, Network, Overlay, RunError, Step};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::emulation::{self, is_wrong_format};
use crate::open::Builder;
use crate::ops::host_ca::{HostCa, HostCaError};
use crate::ops::image::{ImageFetchError, SourceImage, Unpack};
use crate::ops::mounts;
use crate::ops::run::DEFAULT_PATH;
use registry::client::Progress;

/// What to run.
#[derive(Clone, Debug)]
pub struct ContainerRequest {
    /// Where the image is from, if layers must be fetched.
    pub reference: Reference,
    /// The image.
    pub image: Image,
    /// Replaces the image's entrypoint, and drops its command.
    pub entrypoint: Option<Vec<String>>,
    /// Replaces the image's command, if not empty.
    pub args: Vec<String>,
    /// Added to the image's environment; later ones win.
    pub env: Vec<(String, String)>,
    /// Directories and files of this machine.
    pub volumes: Vec<Volume>,
    /// Replaces the image's working directory.
    pub working_dir: Option<String>,
    /// Replaces the image's user.
    pub user: Option<String>,
    /// Host name inside.
    pub hostname: Option<String>,
    /// Whether there is only loopback inside.
    pub no_network: bool,
    /// Additional lines of `/etc/hosts`.
    pub extra_hosts: Vec<(String, IpAddr)>,
    /// Whether the root file system cannot be written.
    pub read_only: bool,
    /// Whether the process gets a terminal.
    pub terminal: bool,
    /// A CA bundle of this machine that the process trusts.
    pub host_ca: Option<PathBuf>,
    /// Memory limit, in bytes.
    pub memory_bytes: Option<u64>,
    /// Limit of processes and threads.
    pub pids_max: Option<u64>,
}

/// A directory or file of this machine, seen inside.
#[derive(Clone, Debug)]
pub struct Volume {
    /// On this machine.
    pub source: PathBuf,
    /// Inside, absolute.
    pub target: String,
    /// Whether writes fail.
    pub read_only: bool,
}

/// Why a container did not run to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ContainerError {
    /// There is no way to run processes: the builder was opened without one.
    #[error("this command cannot run processes")]
    NoRuntime,
    /// Neither image nor command line says what to run.
    #[error("no command is given, and the image has none")]
    NoCommand,
    /// The image could not be unpacked.
    #[error("cannot unpack the image")]
    Image(#[source] ImageFetchError),
    /// The image is for another processor, and nothing here runs its programs.
    #[error("{0} programs do not run on this machine")]
    NoEmulation(Box<Platform>),
    /// No root file system could be prepared.
    #[error("cannot prepare the root file system")]
    Snapshot(#[source] cache::SnapshotError),
    /// The CA bundle of this machine cannot be used.
    #[error("cannot use the CA bundle of this machine")]
    HostCa(#[source] HostCaError),
    /// The process could not be started.
    #[error("cannot run the container")]
    Run(#[source] RunError),
}

impl ContainerError {
    /// Returns the exit code that Docker gives for the same failure: 125, 126 or 127.
    pub fn exit_code(&self) -> i32 {
        match self {
            Self::Run(error) => error.shell_code(),
            // Docs: shells, for a program that cannot be executed.
            Self::NoEmulation(_) => 126,
            _ => 125,
        }
    }
}

impl Builder {
    /// Runs a container to its end; returns the exit code of its process, 128 + n for signal n.
    ///
    /// Every number that `signals` gives is sent to the process.
    ///
    /// # Errors
    ///
    /// [`ContainerError`]. A process that fails is no error.
    ///
    /// # Cancellation
    ///
    /// Dropping the future kills the process; its root file system is dropped.
    pub async fn run_container(
        &self,
        request: &ContainerRequest,
        mut signals: UnboundedReceiver<i32>,
        progress: &Progress,
    ) -> Result<i32, ContainerError> {
        let runtime = self.runtime.as_ref().ok_or(ContainerError::NoRuntime)?;
        let platform = emulation::of_platform(&request.image.config().platform());
        let unpack = Unpack {
            store: self.store.clone(),
            layout: self.layout.clone(),
            client: self.client.clone(),
        };
        let source = SourceImage {
            reference: request.reference.clone(),
            image: request.image.clone(),
            layout: None,
        };
        let tree = unpack
            .run(&source, progress)
            .await
            .map_err(ContainerError::Image)?;
        let active = self
            .store
            .prepare(tree.snapshot)
            .map_err(ContainerError::Snapshot)?;
        let overlay = Overlay {
            lower: active.lowers().to_vec(),
            upper: Some((active.upper_dir().into(), active.work_dir().into())),
        };
        let mut step = step(request, overlay)?;
        if let Emulation::Mounted { interpreter } = &platform.emulation {
            step.mounts.push(mounts::interpreter(interpreter));
        }
        let output = if request.terminal {
            runtime::Output::Terminal
        } else {
            runtime::Output::Inherit
        };
        let mut running = runtime.start(&step, output).map_err(ContainerError::Run)?;
        let status = loop {
            tokio::select! {
                status = running.wait() => break status,
                Some(signal) = signals.recv() => running.signal(signal),
            }
        };
        active.abort();
        self.clean_up().await;
        // Tried, since images exist that say the wrong platform.
        let status = status.map_err(|error| match platform.emulation {
            Emulation::Native => ContainerError::Run(error),
            _ if is_wrong_format(&error) => {
                ContainerError::NoEmulation(Box::new(platform.platform))
            }
            _ => ContainerError::Run(error),
        })?;
        Ok(status.shell_code())
    }
}

fn step(request: &ContainerRequest, overlay: Overlay) -> Result<Step, ContainerError> {
    let config = &request.image.config().config;
    let mut step = Step::new(command(request, config)?, overlay);
    step.env = environment(request, config);
    step.cwd = match &request.working_dir {
        Some(directory) => directory.clone(),
        None if config.working_dir.is_empty() => "/".into(),
        None => config.working_dir.clone(),
    };
    step.user = request.user.clone().unwrap_or_else(|| config.user.clone());
    step.read_only_root = request.read_only;
    step.network = if request.no_network {
        Network::None
    } else {
        Network::Host
    };
    step.extra_hosts.clone_from(&request.extra_hosts);
    step.init = true;
    step.limits.memory_bytes = request.memory_bytes;
    step.limits.pids_max = request.pids_max;
    step.hostname = request
        .hostname
        .clone()
        .unwrap_or_else(|| request.image.id().short().to_owned());
    for volume in &request.volumes {
        step.mounts.push(Mount {
            target: volume.target.clone(),
            source: MountSource::HostPath(volume.source.clone()),
            read_only: volume.read_only,
        });
    }
    if let Some(path) = &request.host_ca {
        let host_ca = HostCa::read(path).map_err(ContainerError::HostCa)?;
        step.mounts.extend(host_ca.mounts());
        let known: Vec<String> = step.env.iter().map(|(name, _)| name.clone()).collect();
        let added = HostCa::variables(|name| known.iter().any(|one| one == name));
        step.env.extend(added);
    }
    Ok(step)
}

/// Docs: docker run: `--entrypoint` drops the image's CMD; arguments replace CMD.
fn command(
    request: &ContainerRequest,
    config: &ContainerConfig,
) -> Result<Vec<String>, ContainerError> {
    let (mut command, default_args) = match &request.entrypoint {
        Some(entrypoint) => (entrypoint.clone(), Vec::new()),
        None => (
            config.entrypoint.clone().unwrap_or_default(),
            config.cmd.clone().unwrap_or_default(),
        ),
    };
    if request.args.is_empty() {
        command.extend(default_args);
    } else {
        command.extend(request.args.iter().cloned());
    }
    match command.first() {
        None => Err(ContainerError::NoCommand),
        Some(program) if program.is_empty() => Err(ContainerError::NoCommand),
        Some(_) => Ok(command),
    }
}

fn environment(request: &ContainerRequest, config: &ContainerConfig) -> Vec<(String, String)> {
    let mut env: Vec<(String, String)> = Vec::new();
    let hostname = request.hostname.clone().unwrap_or_default();
    let defaults = [("PATH", DEFAULT_PATH), ("HOSTNAME", hostname.as_str())];
    let image = config.env.iter().filter_map(|pair| pair.split_once('='));
    let terminal = request.terminal.then_some(("TERM", "xterm"));
    let given = request
        .env
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    for (name, value) in defaults
        .into_iter()
        .chain(terminal)
        .chain(image)
        .chain(given)
    {
        if name == "HOSTNAME" && value.is_empty() {
            continue;
        }
        match env.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => value.clone_into(old),
            None => env.push((name.to_owned(), value.to_owned())),
        }
    }
    env
}
