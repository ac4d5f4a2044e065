// SPDX-License-Identifier: Apache-2.0
//! podman: docker's commands without a daemon; here only what moves images.

use std::path::PathBuf;

use super::debian_program;
use crate::Program;

/// podman with a store of its own.
#[derive(Debug)]
pub struct Podman {
    home: PathBuf,
}

impl Podman {
    /// Returns podman with its store below `home`.
    pub fn at(home: PathBuf) -> Self {
        std::fs::create_dir_all(&home).expect("the test's directory is writable");
        Self { home }
    }

    /// Returns a call of a subcommand.
    pub fn call(&self, subcommand: &str) -> Program {
        debian_program("podman")
            .env("HOME", &self.home)
            .env("TMPDIR", "/var/tmp")
            .args(["--storage-driver", "overlay", "--root"])
            .arg(self.home.join("root"))
            .arg("--runroot")
            .arg(self.home.join("run"))
            .arg("--tmpdir")
            .arg(self.home.join("tmp"))
            .args(["--events-backend", "file", "--cgroup-manager", "cgroupfs"])
            .arg(subcommand)
    }
}
