// SPDX-License-Identifier: Apache-2.0
//! The config files: how registries are reached, and what builds trust.
//!
//! ```toml
//! host-ca = true                      # as --host-ca; or a path
//!
//! [registries."docker.io"]
//! mirrors = ["127.0.0.1:5000"]
//! ```
//!
//! `$KILN_CONFIG`, else `/etc/kiln/config.toml` and then `~/.config/kiln/config.toml`, whose keys
//! win. The form of `registries` belongs to `registry::client`.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use registry::client::{RegistryConfig, parse_registries};
use serde::Deserialize;

use crate::args::build::HostCaArg;
use crate::environment::Environment;
use crate::report::{Exit, Failure};

/// Where systems keep the certificates they trust, most common first.
const BUNDLES: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
/// The largest config file, in bytes.
const FILE_MAX_BYTES: u64 = 1 << 20;

/// What the config files say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Settings {
    /// Registries that are reached in a special way.
    pub(crate) registries: BTreeMap<String, RegistryConfig>,
    /// Whether steps trust the host's CA bundle, and which.
    pub(crate) host_ca: Option<HostCa>,
}

/// `host-ca` in a file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub(crate) enum HostCa {
    /// The bundle of the machine, or none.
    Switch(bool),
    /// A bundle.
    Path(PathBuf),
}

#[derive(Deserialize)]
struct File {
    #[serde(rename = "host-ca")]
    host_ca: Option<HostCa>,
    #[serde(rename = "registries")]
    _registries: Option<toml::Table>,
    #[serde(flatten)]
    unknown: BTreeMap<String, toml::Value>,
}

impl Settings {
    /// Reads the config files that exist.
    pub(crate) fn read(environment: &Environment) -> Result<Self, Failure> {
        let (files, must_exist) = environment.config_files();
        let mut settings = Self::default();
        for path in files {
            match read_text(&path) {
                Ok(text) => settings.add(&path, &text)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound && !must_exist => {}
                Err(error) => {
                    let message = format!("cannot read config file {}", path.display());
                    return Err(Failure::usage(message).because(Some(&error)));
                }
            }
        }
        Ok(settings)
    }

    fn add(&mut self, path: &Path, text: &str) -> Result<(), Failure> {
        let bad = |error: &dyn std::error::Error| {
            let message = format!("config file {} is not valid", path.display());
            Failure::usage(message).because(Some(error))
        };
        let file: File = toml::from_str(text).map_err(|error| bad(&error))?;
        if let Some(key) = file.unknown.keys().next() {
            let message = format!("config file {} has an unknown key `{key}`", path.display());
            return Err(Failure::usage(message).hint("known keys: host-ca, registries"));
        }
        let registries = parse_registries(text).map_err(|error| bad(&error))?;
        self.registries.extend(registries);
        self.host_ca = file.host_ca.or(self.host_ca.take());
        Ok(())
    }

    /// Returns the CA bundle for steps: the flag, else the config.
    pub(crate) fn host_ca(
        &self,
        flag: Option<&HostCaArg>,
        environment: &Environment,
    ) -> Result<Option<PathBuf>, Failure> {
        let path = match (flag, &self.host_ca) {
            (Some(HostCaArg::At(path)), _) | (None, Some(HostCa::Path(path))) => Some(path.clone()),
            (Some(HostCaArg::Found), _) | (None, Some(HostCa::Switch(true))) => None,
            (None, None | Some(HostCa::Switch(false))) => return Ok(None),
        };
        match path.or_else(|| bundle(environment)) {
            Some(path) => Ok(Some(path)),
            None => Err(
                Failure::new(Exit::Failed, "no CA bundle is found on this machine")
                    .hint("name one: --host-ca=PATH"),
            ),
        }
    }
}

/// Returns the file with the certificates that this machine trusts.
pub(crate) fn bundle(environment: &Environment) -> Option<PathBuf> {
    let named = environment.text("SSL_CERT_FILE").map(PathBuf::from);
    let known = BUNDLES.iter().map(PathBuf::from);
    named.into_iter().chain(known).find(|path| path.is_file())
}

fn read_text(path: &Path) -> io::Result<String> {
    use io::Read as _;
    let mut text = String::new();
    let file = std::fs::File::open(path)?;
    file.take(FILE_MAX_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_files_win_key_by_key() {
        let mut settings = Settings::default();
        let first = "host-ca = true\n[registries.\"a.b\"]\nhttp = true\n";
        settings.add(Path::new("1"), first).unwrap();
        settings
            .add(Path::new("2"), "[registries.\"c.d\"]\nhttp = true\n")
            .unwrap();
        assert_eq!(settings.registries.len(), 2);
        assert_eq!(settings.host_ca, Some(HostCa::Switch(true)));
        settings
            .add(Path::new("3"), "host-ca = \"/x.pem\"")
            .unwrap();
        let found = settings.host_ca(None, &Environment::default()).unwrap();
        assert_eq!(found, Some("/x.pem".into()));
    }

    #[test]
    fn mistakes_are_told_with_the_file() {
        for text in [
            "[",
            "hostca = true",
            "host-ca = 3",
            "[registries.\"a.b\"]\nx = 1",
        ] {
            let failure = Settings::default()
                .add(Path::new("/etc/k.toml"), text)
                .unwrap_err();
            assert!(failure.render(false).contains("/etc/k.toml"), "{text}");
            assert_eq!(failure.exit(), Exit::Usage);
        }
    }
}
