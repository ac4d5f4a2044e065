// SPDX-License-Identifier: Apache-2.0
//! Why a request to a registry failed: the wire, the sign-in, or the registry's own words.
//!
//! No error holds a URL: queries of upload locations and of redirects carry secrets.

use std::error::Error as _;

use oci::Digest;

use crate::error::{ErrorBody, ErrorCode, ErrorEntry};

/// The longest message of a registry that is shown, in characters.
const MESSAGE_MAX_CHARS: usize = 500;
/// How many errors of one answer are shown.
const ENTRIES_MAX: usize = 8;

/// A registry said no.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{}", describe(*status, entries))]
#[non_exhaustive]
pub struct ApiError {
    /// The host that answered.
    pub host: Box<str>,
    /// HTTP status.
    pub status: u16,
    /// What the registry says is wrong; empty if its answer is not in the protocol's form.
    pub entries: Vec<ErrorEntry>,
}

impl ApiError {
    pub(super) fn new(host: &str, status: u16, body: &[u8]) -> Self {
        let body: ErrorBody = serde_json::from_slice(body).unwrap_or_default();
        let mut entries = body.errors;
        entries.truncate(ENTRIES_MAX);
        for entry in &mut entries {
            // The text goes to a terminal.
            let printable = |c: &char| !c.is_control();
            let message = entry.message.chars().filter(printable);
            entry.message = message.take(MESSAGE_MAX_CHARS).collect();
        }
        Self {
            host: host.into(),
            status,
            entries,
        }
    }

    /// Tells whether the registry named `code`.
    pub fn has_code(&self, code: ErrorCode) -> bool {
        self.entries.iter().any(|entry| entry.code == code)
    }

    /// Tells whether what was asked for does not exist.
    pub fn is_not_found(&self) -> bool {
        self.status == 404
    }

    /// Tells whether credentials are missing or do not suffice.
    pub fn is_denied(&self) -> bool {
        matches!(self.status, 401 | 403)
    }
}

fn describe(status: u16, entries: &[ErrorEntry]) -> String {
    if entries.is_empty() {
        let reason = http::StatusCode::from_u16(status)
            .ok()
            .and_then(|status| status.canonical_reason())
            .unwrap_or("unknown status");
        return format!("HTTP {status} {reason}");
    }
    let texts: Vec<String> = entries
        .iter()
        .map(|entry| match entry.message.as_str() {
            "" => entry.code.to_string(),
            message => format!("{}: {message}", entry.code),
        })
        .collect();
    texts.join("; ")
}

/// Nobody who is trusted here has issued a certificate. An error of its own so that it is found in
/// any chain of errors: what is to be done is the same for all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no authority that is known here has issued it")]
#[non_exhaustive]
pub struct UnknownIssuer {
    /// The server that has the certificate: a registry, or the token service it sent us to.
    pub host: Box<str>,
}

/// The wire failed: no answer, or half of one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// No connection.
    #[error("cannot connect to {host}")]
    Connect {
        /// The registry, or the token service it sent us to.
        host: Box<str>,
        /// Why.
        source: reqwest::Error,
    },
    /// The server speaks plain HTTP where TLS was expected.
    #[error(
        "{0} gave an HTTP response to an HTTPS client (mark it `http = true` in the configuration)"
    )]
    PlainHttp(Box<str>),
    /// The server's certificate is from nobody who is trusted here.
    #[error("the certificate of {} is not trusted", .0.host)]
    Untrusted(#[source] UnknownIssuer),
    /// Another fault of TLS: a certificate for other names or times, or no version in common.
    #[error("cannot make a secure connection to {host}")]
    Tls {
        /// The host.
        host: Box<str>,
        /// Why.
        source: reqwest::Error,
    },
    /// No answer in time.
    #[error("{0} did not answer in time")]
    TimedOut(Box<str>),
    /// The connection broke off.
    #[error("connection to {host} broke off")]
    Broken {
        /// The host.
        host: Box<str>,
        /// Why.
        source: reqwest::Error,
    },
    /// The file whose bytes were being sent cannot be read.
    #[error("cannot read blob {digest} while sending it")]
    Read {
        /// The blob.
        digest: Digest,
        /// Why.
        source: std::io::Error,
    },
    /// An answer is longer than any of its kind may be.
    #[error("{host} sent more than {max_bytes} bytes")]
    TooLong {
        /// The host.
        host: Box<str>,
        /// The limit.
        max_bytes: usize,
    },
    /// The CA file of a registry cannot be read.
    #[error("cannot read CA certificates from {path}")]
    Certificate {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The HTTP client cannot be set up, for instance because of a bad CA certificate.
    #[error("cannot set up HTTP")]
    SetUp(#[source] reqwest::Error),
}

impl TransportError {
    /// Sorts a failure of the HTTP client. URLs are dropped.
    pub(super) fn new(host: &str, error: reqwest::Error) -> Self {
        let host: Box<str> = host.into();
        let source = error.without_url();
        if source.is_timeout() {
            return Self::TimedOut(host);
        }
        match tls_fault(&source) {
            Some(TlsFault::NotTls) => Self::PlainHttp(host),
            Some(TlsFault::UnknownIssuer) => Self::Untrusted(UnknownIssuer { host }),
            Some(TlsFault::Other) => Self::Tls { host, source },
            None if source.is_connect() => Self::Connect { host, source },
            None => Self::Broken { host, source },
        }
    }

    /// Tells whether the same request may fare better in a moment.
    pub(super) fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Connect { .. } | Self::TimedOut(_) | Self::Broken { .. }
        )
    }
}

enum TlsFault {
    NotTls,
    UnknownIssuer,
    Other,
}

/// Looks for a TLS error in the chain. By its text: the HTTP client does not export the type, and
/// naming the TLS library here would tie us to its version.
fn tls_fault(error: &reqwest::Error) -> Option<TlsFault> {
    let mut cause = error.source();
    let mut fault = None;
    while let Some(source) = cause {
        let text = source.to_string();
        if text.contains("received corrupt message") {
            return Some(TlsFault::NotTls);
        }
        if text.contains("UnknownIssuer") {
            return Some(TlsFault::UnknownIssuer);
        }
        let words = [
            "certificate",
            "received fatal alert",
            "peer is incompatible",
        ];
        if words.iter().any(|word| text.contains(word)) {
            fault = Some(TlsFault::Other);
        }
        cause = source.source();
    }
    fault
}

/// Why a token could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthError {
    /// The token service said no, most often because of a wrong password.
    #[error("token service {realm} refused")]
    Refused {
        /// The host of the token service.
        realm: Box<str>,
        /// What it said.
        source: ApiError,
    },
    /// The challenge of the registry makes no sense.
    #[error("registry asks for a sign-in that is not understood")]
    BadChallenge,
    /// The token service is not reached by TLS while the registry is.
    #[error("registry sends credentials to {0} without encryption, which is refused")]
    InsecureRealm(Box<str>),
    /// The answer of the token service holds no token.
    #[error("token service {0} gave no token")]
    NoToken(Box<str>),
    /// The wire failed.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The credentials cannot be read.
    #[error(transparent)]
    Credentials(#[from] super::credentials::CredentialsError),
}

/// Why a single request failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The wire failed.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The registry said no.
    #[error("registry {} said no", .0.host)]
    Api(#[source] Box<ApiError>),
    /// Signing in failed.
    #[error("cannot sign in to {host}")]
    Auth {
        /// The registry.
        host: Box<str>,
        /// Why.
        source: Box<AuthError>,
    },
    /// The registry answered something that the protocol does not allow.
    #[error("registry {host} broke the protocol: {what}")]
    Protocol {
        /// The registry.
        host: Box<str>,
        /// What is wrong.
        what: &'static str,
    },
}

impl CallError {
    /// Returns the registry's own words, if it was the registry that said no.
    pub fn api(&self) -> Option<&ApiError> {
        match self {
            Self::Api(error) => Some(error),
            Self::Auth { source, .. } => match &**source {
                AuthError::Refused { source, .. } => Some(source),
                _ => None,
            },
            _ => None,
        }
    }

    /// Tells whether what was asked for does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Api(error) if error.is_not_found())
    }

    /// Tells whether credentials are missing or do not suffice.
    pub fn is_denied(&self) -> bool {
        self.api().is_some_and(ApiError::is_denied)
    }

    pub(super) fn protocol(host: &str, what: &'static str) -> Self {
        Self::Protocol {
            host: host.into(),
            what,
        }
    }
}
