// SPDX-License-Identifier: Apache-2.0
//! dockerd on a socket and a data directory of its own, without touching the machine's network.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::debian_program;
use crate::{Background, Program};

/// Which of its two builders docker uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Builder {
    /// BuildKit, as linked into dockerd.
    BuildKit,
    /// The builder before BuildKit.
    Classic,
}

/// Where the steps of a build run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DockerNetwork {
    /// In the machine's network, as kiln's: `--network host`.
    Host,
    /// On a bridge, docker's default; the daemon has a network namespace of its own for it.
    Bridge,
}

/// A running daemon.
#[derive(Debug)]
pub struct Dockerd {
    daemon: Option<Background>,
    home: PathBuf,
    network: DockerNetwork,
}

impl Dockerd {
    /// Starts a daemon with everything it writes below `home`.
    pub fn start(home: PathBuf) -> Self {
        Self::start_on(home, DockerNetwork::Host)
    }

    /// As [`Dockerd::start`], on a network.
    pub fn start_on(home: PathBuf, network: DockerNetwork) -> Self {
        std::fs::create_dir_all(home.join("config")).expect("the test's directory is writable");
        // Should this process be killed, the daemon is asked to end too, with its containerd.
        let (wrapper, options): (&[&str], &[&str]) = match network {
            DockerNetwork::Host => (
                &[],
                &["--bridge", "none", "--iptables=false", "--ip6tables=false"],
            ),
            DockerNetwork::Bridge => (
                &[
                    "unshare",
                    "--net",
                    "--mount",
                    "sh",
                    "-c",
                    "ip link set lo up && exec \"$@\"",
                    "sh",
                ],
                &[],
            ),
        };
        let daemon = debian_program("setpriv")
            .args(["--pdeathsig", "TERM"])
            .args(wrapper)
            .arg("dockerd")
            .arg("--host")
            .arg(format!("unix://{}", home.join("docker.sock").display()))
            .arg("--data-root")
            .arg(home.join("data"))
            .arg("--exec-root")
            .arg(home.join("exec"))
            .arg("--pidfile")
            .arg(home.join("pid"))
            .args(options)
            .args(["--storage-driver", "overlay2"])
            .start();
        let mut dockerd = Self {
            daemon: Some(daemon),
            home,
            network,
        };
        let deadline = Instant::now() + Duration::from_mins(1);
        while !dockerd.call("version").run().status.success() {
            let daemon = dockerd
                .daemon
                .as_mut()
                .expect("the daemon was just started");
            assert!(
                daemon.is_running() && Instant::now() < deadline,
                "dockerd does not answer: {}",
                daemon.output()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        dockerd
    }

    /// Returns a call of the client.
    pub fn call(&self, subcommand: &str) -> Program {
        debian_program("docker")
            .env("HOME", &self.home)
            .env(
                "DOCKER_HOST",
                format!("unix://{}", self.home.join("docker.sock").display()),
            )
            .env("DOCKER_CONFIG", self.home.join("config"))
            .arg(subcommand)
    }

    /// Returns the process id of the daemon, whose namespaces are those of its network.
    pub fn id(&self) -> u32 {
        let daemon = self.daemon.as_ref();
        daemon.expect("the daemon runs until it is dropped").id()
    }

    /// Makes an image of a root file system under `name`.
    pub fn import(&self, rootfs: &Path, name: &str) {
        drop(self.call("import").arg(rootfs).arg(name).ok());
    }

    /// Returns a call that builds `context`.
    pub fn build(&self, builder: Builder, context: &Path, tag: &str, options: &[&str]) -> Program {
        let buildkit = if builder == Builder::BuildKit {
            "1"
        } else {
            "0"
        };
        self.call("build")
            .env("DOCKER_BUILDKIT", buildkit)
            .args(match self.network {
                DockerNetwork::Host => &["--network", "host"][..],
                DockerNetwork::Bridge => &[],
            })
            .args(["-q", "-t", tag])
            .args(options)
            .arg(context)
    }
}

impl Drop for Dockerd {
    fn drop(&mut self) {
        // The daemon ends its containerd, and unmounts, only when it is asked to end.
        if let Some(daemon) = self.daemon.take() {
            daemon.try_stop(Duration::from_secs(30));
        }
    }
}
