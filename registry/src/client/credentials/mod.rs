// SPDX-License-Identifier: Apache-2.0
//! Credentials for registries, as docker and podman keep them.
//!
//! Looked up in this order: a helper for the host (`credHelpers`), the helper for all hosts
//! (`credsStore`), `auths` of docker's file, `auths` of podman's files.
//!
//! Does not know where those files are: the caller, who reads the environment, says so. Secrets
//! show neither in `Debug` nor in errors.
//!
//! Docs: docker's `config.json`; docker-credential-helpers' protocol; containers-auth.json(5).

mod file;
mod helper;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::PathBuf;

use file::AuthFile;
pub use helper::HelperError;

/// The name under which docker keeps the credentials of docker.io.
const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";
/// The user name by which a helper says that the secret is an identity token.
const TOKEN_USER: &str = "<token>";

/// Text that must not be shown.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(String);

impl Secret {
    /// Wraps `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns the text, to send it and for nothing else.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// Who we are to a registry.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Credentials {
    /// Nobody in particular.
    #[default]
    Anonymous,
    /// User and password.
    Password {
        /// The user.
        username: String,
        /// The password.
        password: Secret,
    },
    /// A refresh token of OAuth 2, to be exchanged at the token service.
    IdentityToken(Secret),
    /// A token for the registry itself.
    RegistryToken(Secret),
}

/// Where credentials are kept.
#[derive(Clone, Debug, Default)]
pub struct CredentialStore {
    /// Credentials by host that come before all others.
    pub given: BTreeMap<String, Credentials>,
    /// Docker's `config.json`; the only file that [`CredentialStore::save`] writes.
    pub docker_config: Option<PathBuf>,
    /// Files of the same form that are only read: podman's `auth.json`.
    pub fallbacks: Vec<PathBuf>,
    /// Directory of the helper programs; without it they are found like other programs.
    pub helper_dir: Option<PathBuf>,
}

/// Why credentials cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialsError {
    /// The operating system refused.
    #[error("cannot {action} {path}")]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not of docker's form.
    #[error("{path} is not a valid credentials file")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// An entry of the file cannot be decoded. Its content is a secret and not shown.
    #[error("{path} has a malformed entry for {host}")]
    BadEntry {
        /// The file.
        path: PathBuf,
        /// Whose entry.
        host: String,
    },
    /// A helper program failed.
    #[error("credential helper `{helper}` failed for {host}")]
    Helper {
        /// The program.
        helper: String,
        /// Whose credentials it was asked for.
        host: String,
        /// Why.
        source: HelperError,
    },
    /// There is no place to keep credentials.
    #[error("no credentials file is known (set HOME or DOCKER_CONFIG)")]
    NoFile,
    /// Anonymous needs no keeping, and a registry token comes from elsewhere.
    #[error("credentials of this kind are not kept")]
    NotKept,
}

impl CredentialStore {
    /// Returns the credentials for `path` on `host`, [`Credentials::Anonymous`] if there are none.
    ///
    /// # Errors
    ///
    /// See [`CredentialsError`]. A file that does not exist is no error.
    ///
    /// # Cancellation
    ///
    /// A helper that runs is killed.
    pub async fn find(&self, host: &str, path: &str) -> Result<Credentials, CredentialsError> {
        if let Some(given) = self.given.get(host) {
            return Ok(given.clone());
        }
        if let Some(config) = &self.docker_config {
            let file = AuthFile::read(config)?;
            if let Some(helper) = file.helper(host) {
                let found = self.ask_helper(&helper, host).await?;
                if found != Credentials::Anonymous {
                    return Ok(found);
                }
            }
            if let Some(found) = file.find(host, path)? {
                return Ok(found);
            }
        }
        for fallback in &self.fallbacks {
            if let Some(found) = AuthFile::read(fallback)?.find(host, path)? {
                return Ok(found);
            }
        }
        Ok(Credentials::Anonymous)
    }

    async fn ask_helper(&self, helper: &str, host: &str) -> Result<Credentials, CredentialsError> {
        let program = self.helper_program(helper);
        let found = helper::get(&program, &file::key_of(host)).await;
        found.map_err(helper_error(helper, host))
    }

    fn helper_program(&self, helper: &str) -> PathBuf {
        let name = format!("docker-credential-{helper}");
        match &self.helper_dir {
            Some(directory) => directory.join(name),
            None => name.into(),
        }
    }

    /// Keeps `credentials` for `host` as `docker login` does: by the helper if one is configured,
    /// else in docker's file, which is replaced atomically and readable by its owner only.
    ///
    /// # Errors
    ///
    /// See [`CredentialsError`].
    ///
    /// # Cancellation
    ///
    /// The file is either the old or the new one.
    pub async fn save(
        &self,
        host: &str,
        credentials: &Credentials,
    ) -> Result<(), CredentialsError> {
        let path = self
            .docker_config
            .as_ref()
            .ok_or(CredentialsError::NoFile)?;
        let (username, secret) = match credentials {
            Credentials::Password { username, password } => (username.as_str(), password),
            Credentials::IdentityToken(token) => (TOKEN_USER, token),
            _ => return Err(CredentialsError::NotKept),
        };
        let mut file = AuthFile::read(path)?;
        if let Some(helper) = file.helper(host) {
            let program = self.helper_program(&helper);
            helper::store(&program, &file::key_of(host), username, secret)
                .await
                .map_err(helper_error(&helper, host))?;
            file.insert_empty(host);
        } else {
            file.insert(host, credentials);
        }
        file.write(path)
    }

    /// Forgets the credentials for `host` as `docker logout` does; returns whether there were any.
    ///
    /// # Errors
    ///
    /// See [`CredentialsError`].
    ///
    /// # Cancellation
    ///
    /// The file is either the old or the new one.
    pub async fn forget(&self, host: &str) -> Result<bool, CredentialsError> {
        let path = self
            .docker_config
            .as_ref()
            .ok_or(CredentialsError::NoFile)?;
        let mut file = AuthFile::read(path)?;
        let mut known = false;
        if let Some(helper) = file.helper(host) {
            let program = self.helper_program(&helper);
            let key = file::key_of(host);
            let erased = async {
                known = helper::get(&program, &key).await? != Credentials::Anonymous;
                if known {
                    helper::erase(&program, &key).await?;
                }
                Ok(())
            };
            erased.await.map_err(helper_error(&helper, host))?;
        }
        if file.remove(host) {
            known = true;
            file.write(path)?;
        }
        Ok(known)
    }
}

fn helper_error(helper: &str, host: &str) -> impl FnOnce(HelperError) -> CredentialsError {
    let (helper, host) = (format!("docker-credential-{helper}"), host.to_owned());
    move |source| CredentialsError::Helper {
        helper,
        host,
        source,
    }
}
