// SPDX-License-Identifier: Apache-2.0
//! buildah: another daemonless builder.

use std::path::{Path, PathBuf};

use super::debian_program;
use crate::{Program, TestEnv};

/// buildah with a store of its own.
#[derive(Debug)]
pub struct Buildah {
    home: PathBuf,
}

impl Buildah {
    /// Returns buildah for one test.
    pub fn new(env: &TestEnv) -> Self {
        Self::at(env.path("buildah"))
    }

    /// Returns buildah with its store below `home`.
    pub fn at(home: PathBuf) -> Self {
        std::fs::create_dir_all(&home).expect("the test's directory is writable");
        let policy = r#"{"default":[{"type":"insecureAcceptAnything"}]}"#;
        std::fs::write(home.join("policy.json"), policy).expect("the directory is writable");
        Self { home }
    }

    /// Returns a call of a subcommand.
    pub fn call(&self, subcommand: &str) -> Program {
        debian_program("buildah")
            .env("HOME", &self.home)
            .env("TMPDIR", "/var/tmp")
            .args(["--storage-driver", "overlay", "--root"])
            .arg(self.home.join("root"))
            .arg("--runroot")
            .arg(self.home.join("run"))
            .arg(subcommand)
    }

    /// Returns a call of `buildah pull`.
    pub fn pull(&self, image: &str) -> Program {
        self.call("pull")
            .args(["--tls-verify=false", "--signature-policy"])
            .arg(self.home.join("policy.json"))
            .arg(image)
    }

    /// Returns a call of `buildah push`.
    pub fn push(&self, image: &str, to: &str) -> Program {
        self.call("push")
            .args(["--tls-verify=false", "--signature-policy"])
            .arg(self.home.join("policy.json"))
            .args([image, to])
    }

    /// Makes an image of a root file system under `name`.
    pub fn import(&self, rootfs: &Path, name: &str) {
        let container = self.call("from").arg("scratch").ok().line().to_owned();
        drop(self.call("add").arg(&container).arg(rootfs).arg("/").ok());
        drop(
            self.call("commit")
                .arg("--signature-policy")
                .arg(self.home.join("policy.json"))
                .args([container.as_str(), name])
                .ok(),
        );
        drop(self.call("rm").arg(&container).ok());
    }

    /// Returns a call that builds `context` with cached layers, without user namespaces.
    ///
    /// Options stand before the context: buildah takes nothing after it.
    pub fn build(&self, context: &Path, tag: &str, options: &[&str]) -> Program {
        self.call("build")
            .args([
                "--isolation",
                "chroot",
                "--layers",
                "--pull-never",
                "--signature-policy",
            ])
            .arg(self.home.join("policy.json"))
            .args(["-t", tag])
            .args(options)
            .arg(context)
    }
}
