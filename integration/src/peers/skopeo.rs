// SPDX-License-Identifier: Apache-2.0
//! skopeo: copies images between registries, layouts and archives.

use std::path::PathBuf;

use super::debian_program;
use crate::{Program, TestEnv};

/// skopeo with a home of its own and a policy that accepts unsigned images.
#[derive(Debug)]
pub struct Skopeo {
    home: PathBuf,
}

impl Skopeo {
    /// Returns skopeo for one test.
    pub fn new(env: &TestEnv) -> Self {
        let policy = r#"{"default":[{"type":"insecureAcceptAnything"}]}"#;
        env.write("skopeo/policy.json", policy);
        Self {
            home: env.path("skopeo"),
        }
    }

    /// Returns a call of `skopeo copy` between two addresses, e.g. `docker://…` and `oci:…`.
    pub fn copy(&self, from: &str, to: &str) -> Program {
        self.call("copy")
            .args(["--src-tls-verify=false", "--dest-tls-verify=false"])
            .args([from, to])
    }

    /// Returns a call of `skopeo inspect` on an address.
    pub fn inspect(&self, image: &str) -> Program {
        self.call("inspect").arg("--tls-verify=false").arg(image)
    }

    /// Returns a call of another subcommand.
    pub fn call(&self, subcommand: &str) -> Program {
        debian_program("skopeo")
            .env("HOME", &self.home)
            .arg("--policy")
            .arg(self.home.join("policy.json"))
            .arg(subcommand)
    }
}
