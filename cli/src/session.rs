// SPDX-License-Identifier: Apache-2.0
//! What commands work with: the state directory, the way to registries, and a reactor that stops
//! when the user says so.

use std::ffi::OsStr;
use std::future::Future;
use std::path::{Path, PathBuf};

use builder::GitOptions;
use oci::layout::Layout;
use registry::client::{Client, ClientConfig, CredentialStore};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::args::GlobalArgs;
use crate::environment::Environment;
use crate::report::{Exit, Failure};
use crate::settings::{self, Settings};

/// The number of SIGINT, and of SIGTERM. Spec: POSIX `kill`.
const SIGINT: u8 = 2;
const SIGTERM: u8 = 15;

/// One run of the program.
#[derive(Debug)]
pub(crate) struct Session {
    /// The environment.
    pub(crate) environment: Environment,
    /// What the config files say.
    pub(crate) settings: Settings,
    root: PathBuf,
}

impl Session {
    /// Reads what every command needs. Makes nothing.
    pub(crate) fn new(environment: Environment, global: &GlobalArgs) -> Result<Self, Failure> {
        let is_root = rustix::process::geteuid().is_root();
        Ok(Self {
            settings: Settings::read(&environment)?,
            root: environment.state_root(global.root.as_deref(), is_root)?,
            environment,
        })
    }

    /// Returns what a report on a problem should come with, one line each.
    pub(crate) fn describe(&self) -> String {
        let (configs, _) = self.environment.config_files();
        let configs = configs.iter().filter(|path| path.exists());
        let configs: Vec<String> = configs.map(|path| path.display().to_string()).collect();
        let bundle = settings::bundle(&self.environment);
        format!(
            "debug: kiln {}\ndebug: state directory {}\ndebug: config files [{}]\ndebug: CA bundle {}\ndebug: uid {}\n",
            env!("CARGO_PKG_VERSION"),
            self.root.display(),
            configs.join(", "),
            bundle.map_or("none".into(), |path| path.display().to_string()),
            rustix::process::geteuid().as_raw(),
        )
    }

    /// Returns the state directory.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Opens the local image store.
    pub(crate) fn layout(&self) -> Result<Layout, Failure> {
        Ok(builder::open_layout(&self.root)?)
    }

    /// Returns where credentials are kept.
    fn credentials(&self) -> CredentialStore {
        let home = self.environment.text("HOME").map(PathBuf::from);
        let runtime = self.environment.text("XDG_RUNTIME_DIR").map(PathBuf::from);
        let podman = [
            runtime.map(|directory| directory.join("containers/auth.json")),
            home.map(|directory| directory.join(".config/containers/auth.json")),
        ];
        CredentialStore {
            docker_config: self.environment.docker_config(),
            fallbacks: podman.into_iter().flatten().collect(),
            ..CredentialStore::default()
        }
    }

    /// Returns what fetching from git may use of this machine.
    pub(crate) fn git(&self) -> Result<GitOptions, Failure> {
        let home = self.environment.text("HOME").map(PathBuf::from);
        let known_hosts = home.map(|home| home.join(".ssh/known_hosts"));
        let bundle = self.settings.host_ca(None, &self.environment)?;
        Ok(GitOptions {
            path: self.environment.raw("PATH").map(OsStr::to_owned),
            proxies: self.environment.proxies(),
            ca_bundle: bundle.or_else(|| settings::bundle(&self.environment)),
            known_hosts: known_hosts.into_iter().collect(),
        })
    }

    /// Returns the way to registries.
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        let roots_pem = match settings::bundle(&self.environment) {
            None => Vec::new(),
            Some(path) => std::fs::read(&path).map_err(|error| {
                let message = format!("cannot read the CA bundle {}", path.display());
                Failure::new(Exit::Network, message).because(Some(&error))
            })?,
        };
        Ok(Client::new(ClientConfig {
            registries: self.settings.registries.clone(),
            roots_pem,
            credentials: self.credentials(),
            ..ClientConfig::default()
        })?)
    }
}

/// Runs `work` to its end. The first SIGINT or SIGTERM cancels the token that `work` got, the
/// second gives up waiting; what `work` had under way is dropped.
pub(crate) fn block_on<T, F>(work: impl FnOnce(CancellationToken) -> F) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Failure>>,
{
    let runtime = reactor()?;
    let result = runtime.block_on(until_stopped(work));
    // Blocking work that nobody waits for any more must not keep the program.
    runtime.shutdown_background();
    result
}

/// As [`block_on`], for work that may be dropped at any moment.
pub(crate) fn block_on_droppable<T>(
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    block_on(|cancel| async move {
        tokio::select! {
            result = work => result,
            () = cancel.cancelled() => Err(Failure::new(Exit::Failed, "stopped")),
        }
    })
}

/// Runs `work`, which handles signals itself.
pub(crate) fn block_on_program<T>(
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let runtime = reactor()?;
    let result = runtime.block_on(work);
    runtime.shutdown_background();
    result
}

fn reactor() -> Result<tokio::runtime::Runtime, Failure> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.enable_all().build().map_err(|error| {
        Failure::new(Exit::Failed, "cannot start the reactor").because(Some(&error))
    })
}

async fn until_stopped<T, F>(work: impl FnOnce(CancellationToken) -> F) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Failure>>,
{
    let handler = |kind| {
        signal(kind).map_err(|error| {
            Failure::new(Exit::Failed, "cannot handle signals").because(Some(&error))
        })
    };
    let mut interrupt = handler(SignalKind::interrupt())?;
    let mut terminate = handler(SignalKind::terminate())?;
    let cancel = CancellationToken::new();
    let mut work = std::pin::pin!(work(cancel.clone()));
    let mut stopped_by = None;
    loop {
        let number = tokio::select! {
            result = &mut work => return match (result, stopped_by) {
                (Err(_), Some(number)) => Err(stopped(number)),
                (result, _) => result,
            },
            _ = interrupt.recv() => SIGINT,
            _ = terminate.recv() => SIGTERM,
        };
        if stopped_by.is_some() {
            return Err(stopped(number));
        }
        stopped_by = Some(number);
        cancel.cancel();
    }
}

fn stopped(number: u8) -> Failure {
    Failure::new(Exit::Signal(number), "stopped")
}
