// SPDX-License-Identifier: Apache-2.0
//! Docker's `config.json` and podman's `auth.json`: reading, and writing without losing anything.
//!
//! Docs: docker's `config.json`, properties `auths`, `credsStore`, `credHelpers`.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::{Credentials, CredentialsError, DOCKER_HUB_KEY, Secret};

/// The largest file that is read, in bytes.
const FILE_MAX_BYTES: u64 = 4 << 20;

/// The whole document; keys that we do not know survive a write.
#[derive(Debug)]
pub(super) struct AuthFile {
    path: PathBuf,
    document: Map<String, Value>,
}

/// Returns the key under which docker keeps the credentials of `host`.
pub(super) fn key_of(host: &str) -> String {
    match host {
        "docker.io" => DOCKER_HUB_KEY.into(),
        other => other.into(),
    }
}

/// Returns the host and path that a key means: old docker versions wrote URLs.
fn place_of(key: &str) -> &str {
    let rest = key
        .strip_prefix("https://")
        .or_else(|| key.strip_prefix("http://"))
        .unwrap_or(key);
    let rest = rest.trim_end_matches('/');
    let rest = rest.strip_suffix("/v1").or(rest.strip_suffix("/v2"));
    match rest.unwrap_or(key_without_scheme(key)) {
        "index.docker.io" | "registry-1.docker.io" => "docker.io",
        other => other,
    }
}

fn key_without_scheme(key: &str) -> &str {
    let rest = key.split_once("://").map_or(key, |(_, rest)| rest);
    rest.trim_end_matches('/')
}

impl AuthFile {
    /// Reads the file; one that does not exist is empty.
    pub(super) fn read(path: &Path) -> Result<Self, CredentialsError> {
        let io = |source| CredentialsError::Io {
            action: "read",
            path: path.to_owned(),
            source,
        };
        let mut bytes = Vec::new();
        match File::open(path) {
            Ok(file) => {
                let mut limited = file.take(FILE_MAX_BYTES + 1);
                limited.read_to_end(&mut bytes).map_err(io)?;
                if bytes.len() as u64 > FILE_MAX_BYTES {
                    return Err(io(io::ErrorKind::FileTooLarge.into()));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(io(source)),
        }
        let document = if bytes.trim_ascii().is_empty() {
            Map::new()
        } else {
            serde_json::from_slice(&bytes).map_err(|source| CredentialsError::Malformed {
                path: path.to_owned(),
                source,
            })?
        };
        Ok(Self {
            path: path.to_owned(),
            document,
        })
    }

    /// Returns the name of the helper that keeps the credentials of `host`.
    pub(super) fn helper(&self, host: &str) -> Option<String> {
        let per_host = self.document.get("credHelpers").and_then(|helpers| {
            let helpers = helpers.as_object()?;
            let found = helpers.iter().find(|(key, _)| place_of(key) == host);
            found.and_then(|(_, helper)| helper.as_str())
        });
        let for_all = || self.document.get("credsStore")?.as_str();
        let helper = per_host.or_else(for_all)?;
        // It becomes part of a program's name: no path may hide in it.
        let fine = !helper.is_empty() && !helper.contains('/');
        fine.then(|| helper.to_owned())
    }

    /// Returns the credentials of the longest key that `host/path` lies under.
    pub(super) fn find(
        &self,
        host: &str,
        path: &str,
    ) -> Result<Option<Credentials>, CredentialsError> {
        let Some(auths) = self.document.get("auths").and_then(Value::as_object) else {
            return Ok(None);
        };
        let full = format!("{host}/{path}");
        let covers = |place: &str| {
            let rest = full.strip_prefix(place);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let best = auths
            .iter()
            .filter(|(key, entry)| covers(place_of(key)) && !is_empty(entry))
            .max_by_key(|(key, _)| place_of(key).len());
        let Some((_, entry)) = best else {
            return Ok(None);
        };
        let found = decode(entry).ok_or_else(|| CredentialsError::BadEntry {
            path: self.path.clone(),
            host: host.to_owned(),
        })?;
        Ok(Some(found))
    }

    fn auths(&mut self) -> &mut Map<String, Value> {
        let auths = self
            .document
            .entry("auths")
            .or_insert_with(|| Value::Object(Map::new()));
        if !auths.is_object() {
            *auths = Value::Object(Map::new());
        }
        auths.as_object_mut().expect("it was just made an object")
    }

    /// Puts the credentials in place of all others of `host`.
    pub(super) fn insert(&mut self, host: &str, credentials: &Credentials) {
        self.remove(host);
        let mut entry = Map::new();
        match credentials {
            Credentials::Password { username, password } => {
                let joined = format!("{username}:{}", password.reveal());
                entry.insert("auth".into(), STANDARD.encode(joined).into());
            }
            Credentials::IdentityToken(token) => {
                let user = format!("{}:", "00000000-0000-0000-0000-000000000000");
                entry.insert("auth".into(), STANDARD.encode(user).into());
                entry.insert("identitytoken".into(), token.reveal().into());
            }
            Credentials::Anonymous | Credentials::RegistryToken(_) => {}
        }
        self.auths().insert(key_of(host), Value::Object(entry));
    }

    /// Notes that a helper has the credentials: docker lists such hosts with an empty entry.
    pub(super) fn insert_empty(&mut self, host: &str) {
        self.remove(host);
        self.auths().insert(key_of(host), Value::Object(Map::new()));
    }

    /// Removes what is kept for `host`; returns whether there was anything.
    pub(super) fn remove(&mut self, host: &str) -> bool {
        let Some(auths) = self.document.get_mut("auths") else {
            return false;
        };
        let Some(auths) = auths.as_object_mut() else {
            return false;
        };
        let before = auths.len();
        auths.retain(|key, _| place_of(key) != host);
        auths.len() < before
    }

    /// Replaces the file at `path`, or what it is a symbolic link to.
    pub(super) fn write(&self, path: &Path) -> Result<(), CredentialsError> {
        let io = |action| {
            move |source| CredentialsError::Io {
                action,
                path: path.to_owned(),
                source,
            }
        };
        let target = match std::fs::canonicalize(path) {
            Ok(target) => target,
            Err(_) => path.to_owned(),
        };
        let directory = target.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(directory).map_err(io("make the directory of"))?;
        // Docker indents with a tab; two spaces are as good.
        let mut bytes =
            serde_json::to_vec_pretty(&self.document).expect("a JSON document serializes");
        bytes.push(b'\n');
        let temporary = target.with_extension(format!("kiln-{}", std::process::id()));
        let written = (|| {
            // Left by a killed process with our process id; it may be readable by others.
            if let Err(error) = std::fs::remove_file(&temporary)
                && error.kind() != io::ErrorKind::NotFound
            {
                return Err(error);
            }
            let mut options = OpenOptions::new();
            let mut file = options
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&temporary)?;
            file.write_all(&bytes)?;
            file.sync_data()?;
            std::fs::rename(&temporary, &target)
        })();
        if written.is_err() {
            std::fs::remove_file(&temporary).ok();
        }
        written.map_err(io("write"))
    }
}

fn text<'a>(entry: &'a Value, key: &str) -> Option<&'a str> {
    entry.get(key)?.as_str().filter(|text| !text.is_empty())
}

fn is_empty(entry: &Value) -> bool {
    ["auth", "identitytoken", "registrytoken", "username"]
        .iter()
        .all(|key| text(entry, key).is_none())
}

fn decode(entry: &Value) -> Option<Credentials> {
    if let Some(token) = text(entry, "registrytoken") {
        return Some(Credentials::RegistryToken(Secret::new(token)));
    }
    if let Some(token) = text(entry, "identitytoken") {
        return Some(Credentials::IdentityToken(Secret::new(token)));
    }
    if let Some(encoded) = text(entry, "auth") {
        // Docker pads with zero bytes in some versions.
        let bytes = STANDARD.decode(encoded.trim()).ok()?;
        let joined = String::from_utf8(bytes).ok()?;
        let (username, password) = joined.split_once(':')?;
        return Some(Credentials::Password {
            username: username.to_owned(),
            password: Secret::new(password.trim_end_matches('\0')),
        });
    }
    Some(Credentials::Password {
        username: text(entry, "username")?.to_owned(),
        password: Secret::new(text(entry, "password")?),
    })
}
