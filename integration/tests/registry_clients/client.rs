// SPDX-License-Identifier: Apache-2.0
//! Clients of registries, by what they have in common.
//!
//! Does not know what is expected of a registry.

use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use integration::peers::{Buildah, Dockerd, Podman, Skopeo};
use integration::{Program, TestEnv};

use super::place::{Place, Trust};

/// What every client brings, and what it is called there.
pub(super) const EXAMPLE: &str = "example:1";

/// One client with a store and a login of its own.
pub(super) trait Client {
    /// Takes the example from an archive.
    fn take(&self, archive: &Path);
    /// Returns a call that lacks user, password and registry.
    fn login(&self) -> Program;
    fn logout(&self, host: &str) -> Program;
    /// Uploads the example.
    fn push(&self, image: &str) -> Program;
    fn pull(&self, image: &str) -> Program;
    /// Returns the digest of the config of an image that was pulled.
    fn id(&self, image: &str) -> String;
    /// Brings what was pushed as `from` to another repository.
    fn copy(&self, _from: &str, to: &str) -> Program {
        self.push(to)
    }
    fn tags(&self, _repository: &str) -> Option<Program> {
        None
    }
    fn delete(&self, _image: &str) -> Option<Program> {
        None
    }
}

/// What tools on `containers/image` want to know: who asks, and how the registry is reached.
pub(super) struct Account {
    file: PathBuf,
    flag: Option<String>,
}

impl Account {
    pub(super) fn new(place: &Place, name: &str, trust: Trust) -> Self {
        Self {
            file: place.env.write(&format!("{name}/auth.json"), "{}"),
            flag: match trust {
                Trust::Http => Some("tls-verify=false".into()),
                Trust::Nothing => None,
                Trust::OurAuthority => Some(format!("cert-dir={}", place.certificates.display())),
            },
        }
    }

    /// Adds the account to a call, and the flag for the side `prefix` of it.
    fn on(&self, program: Program, prefixes: &[&str]) -> Program {
        let flag = self.flag.as_ref();
        let flags = prefixes
            .iter()
            .filter_map(|prefix| Some(format!("--{prefix}{}", flag?)));
        program.env("REGISTRY_AUTH_FILE", &self.file).args(flags)
    }
}

pub(super) struct SkopeoClient {
    pub(super) skopeo: Skopeo,
    pub(super) account: Account,
    pub(super) home: PathBuf,
}

impl SkopeoClient {
    fn transfer(&self, from: &str, to: &str) -> Program {
        let copy = self
            .account
            .on(self.skopeo.call("copy"), &["src-", "dest-"]);
        copy.args([from, to])
    }
}

impl Client for SkopeoClient {
    fn take(&self, archive: &Path) {
        fs::copy(archive, self.home.join("example.tar")).expect("both can be opened");
    }

    fn login(&self) -> Program {
        self.account.on(self.skopeo.call("login"), &[""])
    }

    fn logout(&self, host: &str) -> Program {
        self.account.on(self.skopeo.call("logout"), &[]).arg(host)
    }

    fn push(&self, image: &str) -> Program {
        let archive = self.home.join("example.tar");
        let from = format!("docker-archive:{}", archive.display());
        self.transfer(&from, &format!("docker://{image}"))
    }

    fn pull(&self, image: &str) -> Program {
        let to = format!("dir:{}", self.home.join("pulled").display());
        self.transfer(&format!("docker://{image}"), &to)
    }

    fn id(&self, _image: &str) -> String {
        let manifest = fs::read(self.home.join("pulled/manifest.json")).expect("it was pulled");
        let manifest: serde_json::Value = serde_json::from_slice(&manifest).expect("JSON");
        let id = manifest["config"]["digest"].as_str();
        id.expect("a manifest has a config").to_owned()
    }

    fn copy(&self, from: &str, to: &str) -> Program {
        self.transfer(&format!("docker://{from}"), &format!("docker://{to}"))
    }

    fn tags(&self, repository: &str) -> Option<Program> {
        let list = self.account.on(self.skopeo.call("list-tags"), &[""]);
        Some(list.arg(format!("docker://{repository}")))
    }

    fn delete(&self, image: &str) -> Option<Program> {
        let delete = self.account.on(self.skopeo.call("delete"), &[""]);
        Some(delete.arg(format!("docker://{image}")))
    }
}

pub(super) struct BuildahClient {
    pub(super) buildah: Buildah,
    pub(super) account: Account,
}

impl BuildahClient {
    fn call(&self, subcommand: &str) -> Program {
        self.account.on(self.buildah.call(subcommand), &[""])
    }
}

impl Client for BuildahClient {
    fn take(&self, archive: &Path) {
        let pull = self.call("pull");
        drop(
            pull.arg(format!("docker-archive:{}", archive.display()))
                .ok(),
        );
    }

    fn login(&self) -> Program {
        self.call("login")
    }

    fn logout(&self, host: &str) -> Program {
        self.account.on(self.buildah.call("logout"), &[]).arg(host)
    }

    fn push(&self, image: &str) -> Program {
        self.call("push")
            .args([EXAMPLE, &format!("docker://{image}")])
    }

    fn pull(&self, image: &str) -> Program {
        // Else it takes what it has, without a question.
        let pull = self.call("pull").args(["--policy", "always"]);
        pull.arg(format!("docker://{image}"))
    }

    fn id(&self, image: &str) -> String {
        let inspect = self.buildah.call("inspect").args(["--type", "image", "-f"]);
        let found = inspect.args(["{{.FromImageID}}", image]).ok();
        found.line().to_owned()
    }
}

/// `podman search` has no `--cert-dir`: the environment names the authority for all subcommands.
pub(super) struct PodmanClient {
    pub(super) podman: Podman,
    pub(super) account: Account,
    pub(super) authority: Option<PathBuf>,
}

impl PodmanClient {
    fn call(&self, subcommand: &str) -> Program {
        let call = self.account.on(self.podman.call(subcommand), &[""]);
        match &self.authority {
            Some(authority) => call.env("SSL_CERT_FILE", authority),
            None => call,
        }
    }
}

impl Client for PodmanClient {
    fn take(&self, archive: &Path) {
        drop(self.podman.call("load").arg("-i").arg(archive).ok());
    }

    fn login(&self) -> Program {
        self.call("login")
    }

    fn logout(&self, host: &str) -> Program {
        self.account.on(self.podman.call("logout"), &[]).arg(host)
    }

    fn push(&self, image: &str) -> Program {
        self.call("push")
            .args([EXAMPLE, &format!("docker://{image}")])
    }

    fn pull(&self, image: &str) -> Program {
        self.call("pull").arg(format!("docker://{image}"))
    }

    fn id(&self, image: &str) -> String {
        let inspect = self.podman.call("inspect").args(["-f", "{{.Id}}", image]);
        inspect.ok().line().to_owned()
    }

    fn tags(&self, repository: &str) -> Option<Program> {
        Some(self.call("search").args(["--list-tags", repository]))
    }
}

/// One login at a daemon that all of its clients share.
pub(super) struct DockerClient {
    pub(super) daemon: Rc<Dockerd>,
    pub(super) config: PathBuf,
}

impl DockerClient {
    pub(super) fn call(&self, subcommand: &str) -> Program {
        self.daemon
            .call(subcommand)
            .env("DOCKER_CONFIG", &self.config)
    }
}

impl Client for DockerClient {
    fn take(&self, archive: &Path) {
        drop(self.call("load").arg("-i").arg(archive).ok());
    }

    fn login(&self) -> Program {
        self.call("login")
    }

    fn logout(&self, host: &str) -> Program {
        self.call("logout").arg(host)
    }

    fn push(&self, image: &str) -> Program {
        drop(self.call("tag").args([EXAMPLE, image]).ok());
        self.call("push").arg(image)
    }

    fn pull(&self, image: &str) -> Program {
        self.call("pull").arg(image)
    }

    fn id(&self, image: &str) -> String {
        let inspect = self.call("inspect").args(["-f", "{{.Id}}", image]);
        inspect.ok().line().to_owned()
    }
}

pub(super) struct KilnClient(pub(super) TestEnv);

impl Client for KilnClient {
    fn take(&self, archive: &Path) {
        drop(self.0.kiln(["load", "-i"]).arg(archive).ok());
    }

    fn login(&self) -> Program {
        self.0.kiln(["login"])
    }

    fn logout(&self, host: &str) -> Program {
        self.0.kiln(["logout", host])
    }

    fn push(&self, image: &str) -> Program {
        drop(self.0.kiln(["tag", EXAMPLE, image]).ok());
        self.0.kiln(["push", image])
    }

    fn pull(&self, image: &str) -> Program {
        self.0.kiln(["pull", image])
    }

    fn id(&self, image: &str) -> String {
        let inspect = self.0.kiln(["inspect", "-f", "{{.Id}}", image]);
        inspect.ok().line().to_owned()
    }
}
