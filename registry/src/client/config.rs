// SPDX-License-Identifier: Apache-2.0
//! How registries are reached: mirrors, plain HTTP, extra certificates. Text in, values out.
//!
//! ```toml
//! [registries."docker.io"]
//! mirrors = ["127.0.0.1:5000"]
//!
//! [registries."registry.example:5000"]
//! http = true
//! ca = "/etc/ssl/registry.pem"
//! ```
//!
//! Does not know where configuration files lie; keys of other parts of kiln are left alone.
//! Ours: the names follow containers-registries.conf and containerd's hosts.toml as far as they agree.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::credentials::CredentialStore;

/// The most mirrors of one registry.
const MIRRORS_MAX: usize = 16;

/// What a client must be told; everything has a default that works.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// Registries that are reached in a special way, by the host in references.
    pub registries: BTreeMap<String, RegistryConfig>,
    /// Certificates that are trusted, PEM: the host's bundle. Without any, no TLS works.
    pub roots_pem: Vec<u8>,
    /// Where credentials come from.
    pub credentials: CredentialStore,
    /// How long the first repetition of a failed request waits; each next one twice as long.
    pub retry_wait: Duration,
    /// How many connections move blobs to or from one registry at once.
    pub transfers_max: usize,
    /// Blobs of at least this size are fetched over several connections, in parts.
    pub parts_from_bytes: u64,
    /// The size of such a part. What a connection costs to set going must be little beside it.
    pub part_bytes: u64,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            registries: BTreeMap::new(),
            roots_pem: Vec::new(),
            credentials: CredentialStore::default(),
            retry_wait: Duration::from_millis(250),
            transfers_max: 6,
            parts_from_bytes: 32 << 20,
            part_bytes: 8 << 20,
        }
    }
}

/// How one registry is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegistryConfig {
    /// Hosts that are asked first when pulling, in order.
    #[serde(default)]
    pub mirrors: Vec<String>,
    /// The registry speaks plain HTTP.
    #[serde(default)]
    pub http: bool,
    /// Certificates that are trusted for this registry besides the usual ones: a PEM file.
    #[serde(default)]
    pub ca: Option<PathBuf>,
}

#[derive(Default, Deserialize)]
struct File {
    #[serde(default)]
    registries: BTreeMap<String, RegistryConfig>,
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ParseConfigError {
    /// Not TOML, or a key of the wrong type or name.
    #[error("configuration is not valid")]
    Toml(#[from] toml::de::Error),
    /// A registry or mirror is not a host with an optional port.
    #[error("`{0}` is not a registry host")]
    BadHost(String),
    /// Too many mirrors.
    #[error("registry `{0}` has more than {MIRRORS_MAX} mirrors")]
    TooManyMirrors(String),
}

/// Returns the registries that the configuration file `text` names.
///
/// # Errors
///
/// See [`ParseConfigError`].
pub fn parse_registries(text: &str) -> Result<BTreeMap<String, RegistryConfig>, ParseConfigError> {
    let file: File = toml::from_str(text)?;
    for (host, registry) in &file.registries {
        if registry.mirrors.len() > MIRRORS_MAX {
            return Err(ParseConfigError::TooManyMirrors(host.clone()));
        }
        for host in std::iter::once(host).chain(&registry.mirrors) {
            // A host is what can stand before the path of a reference.
            let parsed = format!("{host}/x").parse::<oci::Repository>();
            if !parsed.is_ok_and(|repository| repository.host() == host) {
                return Err(ParseConfigError::BadHost(host.clone()));
            }
        }
    }
    Ok(file.registries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_http_and_ca() {
        let text = r#"
            other = { key = 1 }
            [registries."docker.io"]
            mirrors = ["127.0.0.1:5000", "mirror.example"]
            [registries."registry.example:5000"]
            http = true
            ca = "/etc/x.pem"
        "#;
        let registries = parse_registries(text).unwrap();
        assert_eq!(
            registries["docker.io"].mirrors,
            ["127.0.0.1:5000", "mirror.example"]
        );
        let registry = &registries["registry.example:5000"];
        assert!(registry.http && registry.mirrors.is_empty());
        assert_eq!(registry.ca.as_deref(), Some("/etc/x.pem".as_ref()));
        assert!(parse_registries("").unwrap().is_empty());
    }

    #[test]
    fn mistakes_are_named() {
        for (rule, text, word) in [
            ("not TOML", "[", ""),
            ("unknown key", "[registries.\"a.b\"]\ninsecure = true", ""),
            ("wrong type", "[registries.\"a.b\"]\nmirrors = 1", ""),
            ("a path is no host", "[registries.\"a.b/c\"]", "a.b/c"),
            ("a name is no host", "[registries.docker]", "docker"),
            (
                "a URL is no host",
                "[registries.\"a.b\"]\nmirrors = [\"http://x.y\"]",
                "http://x.y",
            ),
        ] {
            let error = parse_registries(text).unwrap_err();
            assert!(error.to_string().contains(word), "{rule}: {error}");
        }
    }
}
