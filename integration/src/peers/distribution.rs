// SPDX-License-Identifier: Apache-2.0
//! distribution: the registry that most others are measured by.

use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use super::debian_program;
use crate::Background;
use crate::http::Client;

/// A running `docker-registry`.
#[derive(Debug)]
pub struct Distribution {
    server: Background,
    address: String,
}

impl Distribution {
    /// Starts a registry with its storage below `directory`.
    pub fn start(directory: &Path) -> Self {
        let address = free_address();
        let storage = directory.join("distribution");
        let config = directory.join("distribution.yml");
        let text = format!(
            "version: 0.1\nlog:\n  level: error\n  accesslog:\n    disabled: true\n\
             storage:\n  filesystem:\n    rootdirectory: {}\n  delete:\n    enabled: true\n\
             http:\n  addr: {address}\n",
            storage.display()
        );
        std::fs::write(&config, text).expect("the directory is writable");
        let server = debian_program("docker-registry")
            .env("OTEL_TRACES_EXPORTER", "none")
            .arg("serve")
            .arg(&config)
            .start();
        let registry = Self { server, address };
        let deadline = Instant::now() + Duration::from_secs(20);
        while registry.client().get("/v2/").is_err() {
            assert!(Instant::now() < deadline, "docker-registry does not answer");
            std::thread::sleep(Duration::from_millis(10));
        }
        registry
    }

    /// Returns `127.0.0.1:PORT`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Returns a connection to it.
    pub fn client(&self) -> Client {
        Client::new(&self.address)
    }

    /// Returns the process id.
    pub fn id(&self) -> u32 {
        self.server.id()
    }
}

/// Returns an address on loopback that was free a moment ago.
pub(crate) fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    listener
        .local_addr()
        .expect("the listener is bound")
        .to_string()
}
