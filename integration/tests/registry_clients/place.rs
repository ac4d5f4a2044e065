// SPDX-License-Identifier: Apache-2.0
//! The registries that clients visit: how they are configured, certified and started.
//!
//! Does not know clients.

use std::path::PathBuf;
use std::time::Duration;

use integration::{Background, Program, TestEnv, kiln_binary};

pub(super) const USER: &str = "amy";
pub(super) const PASSWORD: &str = "correct horse";
/// An address that no client takes for loopback, which docker never asks for a certificate.
///
/// Spec: RFC 5737: it is nobody's.
pub(super) const NO_LOOPBACK: &str = "192.0.2.1";
/// How long the registry may take to say something.
const PATIENCE: Duration = Duration::from_secs(20);

/// A kind of registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Open,
    Login,
    LoginAndTls,
}

/// A running registry.
pub(super) struct Place {
    // Before the directory that it writes to: fields are dropped in this order.
    server: Background,
    pub(super) env: TestEnv,
    pub(super) kind: Kind,
    pub(super) host: String,
    /// A directory with the certificate `ca.crt`, if one is needed.
    pub(super) certificates: PathBuf,
}

/// What a client knows of the registry's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    Http,
    Nothing,
    OurAuthority,
}

impl Place {
    /// Starts a registry; `beside` is a process in whose network it is.
    pub(super) fn start(kind: Kind, beside: Option<u32>) -> Self {
        let env = TestEnv::new();
        let config = env.write("registry.toml", configuration(&env, kind));
        let address = if beside.is_some() {
            NO_LOOPBACK
        } else {
            "127.0.0.1"
        };
        let serve = match beside {
            None => env.kiln(["registry"]),
            Some(id) => enter(id, "--net")
                .arg(kiln_binary())
                .arg("registry")
                .envs(env.vars()),
        };
        let serve = serve.args(["serve", "--addr", &format!("{address}:0"), "--config"]);
        let mut server = serve.arg(config).start();
        let host = server.wait_for("address", PATIENCE, |line| {
            let (_, rest) = line.strip_prefix("registry on ")?.split_once("://")?;
            rest.split(',').next().map(str::to_owned)
        });
        Self {
            certificates: env.path("certificates"),
            env,
            kind,
            server,
            host,
        }
    }

    pub(super) fn image(&self, name: &str) -> String {
        format!("{}/{name}", self.host)
    }

    pub(super) fn authority(&self) -> PathBuf {
        self.certificates.join("ca.crt")
    }

    /// Waits for a request that mounted a blob into `repository`.
    pub(super) fn has_mounted_into(&mut self, repository: &str) {
        let start = format!("\"POST /v2/{repository}/blobs/uploads/?");
        self.server.wait_for("mount", PATIENCE, |line| {
            let is_mount = line.contains(&start) && line.contains("mount=sha256");
            (is_mount && line.contains("\" 201 ")).then_some(())
        });
    }
}

/// Returns the registry's configuration, after it has made what that names.
///
/// With a login everybody pulls, but nobody without one from `private/`.
fn configuration(env: &TestEnv, kind: Kind) -> String {
    let storage = env.path("registry");
    let mut text = format!("[storage]\ndirectory = {storage:?}\n[log]\naccess = \"text\"\n");
    if kind != Kind::Open {
        let htpasswd = env.kiln(["registry", "htpasswd", "--bcrypt", USER]);
        let users = env.write("users", htpasswd.stdin(PASSWORD).ok().stdout);
        let auth = format!(
            "[auth]\nhtpasswd = {users:?}\nanonymous = \"pull\"\n\
             [[auth.rules]]\nrepositories = \"private/**\"\nusers = [\"anonymous\"]\nactions = []\n"
        );
        text.push_str(&auth);
    }
    if kind == Kind::LoginAndTls {
        let (certificate, key) = issue(env);
        let tls = format!("[tls]\ncertificate = {certificate:?}\nkey = {key:?}\n");
        text.push_str(&tls);
    }
    text
}

/// Makes an authority and a certificate of it, and returns where the latter and its key are.
fn issue(env: &TestEnv) -> (PathBuf, PathBuf) {
    let mut parameters = rcgen::CertificateParams::new(Vec::new()).expect("no name is malformed");
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let name = &mut parameters.distinguished_name;
    name.push(rcgen::DnType::CommonName, "an authority of our own");
    let key = rcgen::KeyPair::generate().expect("keys can be made");
    let authority = rcgen::CertifiedIssuer::self_signed(parameters, key).expect("it is complete");
    let names = ["127.0.0.1", NO_LOOPBACK].map(String::from);
    let parameters = rcgen::CertificateParams::new(names).expect("these are addresses");
    let key = rcgen::KeyPair::generate().expect("keys can be made");
    let certificate = parameters.signed_by(&key, &authority);
    env.write("certificates/ca.crt", authority.pem());
    (
        env.write("tls.crt", certificate.expect("it is complete").pem()),
        env.write("tls.key", key.serialize_pem()),
    )
}

/// Returns a call of what follows, in a namespace of process `id`.
pub(super) fn enter(id: u32, namespace: &str) -> Program {
    Program::new("/usr/bin/nsenter")
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .args(["--target", &id.to_string(), namespace, "--"])
}
