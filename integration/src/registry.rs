// SPDX-License-Identifier: Apache-2.0
//! `kiln registry serve` on a port that the system chose.

use std::path::Path;
use std::time::Duration;

use crate::http::Client;
use crate::{Background, Program};

/// How long a registry may take until it names its address.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// A running registry.
#[derive(Debug)]
pub struct KilnRegistry {
    server: Background,
    address: String,
}

impl KilnRegistry {
    pub(crate) fn start(serve: Program, storage: &Path) -> Self {
        Self::serve(serve.arg("--storage").arg(storage))
    }

    /// Starts a registry that has been told everything but its address.
    pub(crate) fn serve(serve: Program) -> Self {
        let mut server = serve.args(["--addr", "127.0.0.1:0"]).start();
        let address = server.wait_for("address", START_TIMEOUT, loopback_address);
        Self { server, address }
    }

    /// Returns `127.0.0.1:PORT`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Returns the name of `image` in this registry.
    pub fn image(&self, image: &str) -> String {
        format!("{}/{image}", self.address)
    }

    /// Returns a connection to it.
    pub fn client(&self) -> Client {
        Client::new(&self.address)
    }

    /// Returns the process id.
    pub fn id(&self) -> u32 {
        self.server.id()
    }

    /// Kills the server as a power cut would (`SIGKILL`).
    pub fn kill(self) {
        self.server.kill_alone();
    }
}

/// Finds `127.0.0.1:PORT` in a line.
pub(crate) fn loopback_address(line: &str) -> Option<String> {
    const HOST: &str = "127.0.0.1:";
    let (_, rest) = line.split_once(HOST)?;
    let end = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    let port = rest.get(..end)?;
    (!port.is_empty() && port != "0").then(|| format!("{HOST}{port}"))
}
