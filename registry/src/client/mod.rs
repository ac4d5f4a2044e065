// SPDX-License-Identifier: Apache-2.0
//! The client side of the distribution-spec: push, pull, and every single request they are made of.
//!
//! [`Client::pull`] and [`Client::push`] say in which order things are moved; the other modules
//! are one resource each, named as on the server. One [`Client`] serves many registries; it
//! remembers how each is reached and the tokens it got, and is cheap to clone.
//!
//! Does not read the environment or any configuration file by itself, except docker's credentials
//! (where the caller says they are).
//!
//! Invariants
//! 1. Bytes enter a layout only under the digest that a verified document names.
//! 2. A tag, local or remote, is written after everything it names is in place.
//! 3. Secrets show in no error, event or debug text.
//!
//! Spec: distribution-spec 1.1. Docs: docker's `config.json`, distribution's token specification.

mod auth;
mod blob;
mod body;
mod challenge;
mod config;
mod credentials;
mod download;
mod error;
#[cfg(fuzzing)]
pub mod fuzz;
mod login;
mod manifest;
mod progress;
mod pull;
mod push;
mod ranges;
mod referrer;
mod sink;
mod tag;
#[cfg(test)]
mod tests;
mod transport;
mod upload;

use std::sync::Arc;

pub use config::{ClientConfig, ParseConfigError, RegistryConfig, parse_registries};
pub use credentials::{CredentialStore, Credentials, CredentialsError, HelperError, Secret};
pub use download::FetchError;
pub use error::{ApiError, AuthError, CallError, TransportError, UnknownIssuer};
pub use login::LoginError;
pub use progress::{Outcome, Progress, TransferEvent};
pub use pull::{Platforms, PullError, PullOptions, Pulled, Resolved};
pub use push::{PushError, Pushed};

use transport::Transport;

/// Talks to registries.
#[derive(Clone, Debug)]
pub struct Client {
    transport: Arc<Transport>,
}

impl Client {
    /// Returns a client. Nothing is connected yet.
    ///
    /// # Errors
    ///
    /// [`TransportError::SetUp`] if a certificate is malformed.
    pub fn new(config: ClientConfig) -> Result<Self, TransportError> {
        let transport = Arc::new(Transport::new(config)?);
        Ok(Self { transport })
    }

    /// Returns what requests to servers other than registries are made with: the same certificates
    /// and proxies, no credentials.
    pub fn web(&self) -> &reqwest::Client {
        self.transport.web()
    }
}

/// Runs blocking work of a layout aside from the reactor.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let joined = tokio::task::spawn_blocking(work).await;
    match joined {
        Ok(value) => value,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
