// SPDX-License-Identifier: Apache-2.0
//! Signing in and out for good.

use http::Method;

use super::error::CallError;
use super::transport::Call;
use super::{Client, Credentials, CredentialsError};
use crate::endpoint::Resource;

/// Why signing in or out failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoginError {
    /// Wrong user or password.
    #[error("{0} does not accept these credentials")]
    Refused(Box<str>, #[source] Box<CallError>),
    /// The registry cannot be asked.
    #[error("cannot check the credentials with {0}")]
    Unchecked(Box<str>, #[source] Box<CallError>),
    /// They cannot be kept.
    #[error("cannot keep the credentials for {0}")]
    Keep(Box<str>, #[source] CredentialsError),
    /// They cannot be forgotten.
    #[error("cannot forget the credentials for {0}")]
    Forget(Box<str>, #[source] CredentialsError),
}

impl Client {
    /// Checks `credentials` with the registry `host` and keeps them as `docker login` does. A
    /// client made later finds them.
    ///
    /// # Errors
    ///
    /// See [`LoginError`]; nothing was kept then.
    ///
    /// # Cancellation
    ///
    /// The credentials are kept or not.
    pub async fn login(&self, host: &str, credentials: &Credentials) -> Result<(), LoginError> {
        self.check(host, credentials).await.map_err(|error| {
            let make = if error.is_denied() {
                LoginError::Refused
            } else {
                LoginError::Unchecked
            };
            make(host.into(), Box::new(error))
        })?;
        let store = &self.transport.config().credentials;
        let kept = store.save(host, credentials).await;
        kept.map_err(|source| LoginError::Keep(host.into(), source))
    }

    /// Asks for `/v2/` as somebody who has nothing but `credentials`.
    async fn check(&self, host: &str, credentials: &Credentials) -> Result<(), CallError> {
        let mut config = self.transport.config().clone();
        config.credentials.given = [(host.to_owned(), credentials.clone())].into();
        let client = Self::new(config)?;
        let endpoint = client.transport.endpoint(host).await?;
        let call = Call::new(Method::GET, endpoint.url(&Resource::Base.path()), &[]);
        client.transport.expect(&endpoint, &call, &[200]).await?;
        Ok(())
    }

    /// Forgets the credentials for `host`; returns whether there were any.
    ///
    /// # Errors
    ///
    /// [`LoginError::Forget`].
    ///
    /// # Cancellation
    ///
    /// They are forgotten or not.
    pub async fn logout(&self, host: &str) -> Result<bool, LoginError> {
        let store = &self.transport.config().credentials;
        let forgotten = store.forget(host).await;
        forgotten.map_err(|source| LoginError::Forget(host.into(), source))
    }
}
