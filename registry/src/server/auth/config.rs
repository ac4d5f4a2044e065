// SPDX-License-Identifier: Apache-2.0
//! What access control is told before it starts.

use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use super::htpasswd::ReadUsersError;
use super::origin::Network;
use super::rule::Rule;
use super::users;

/// What those may do who have not signed in, where no rule says otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Anonymous {
    /// Nothing.
    #[default]
    Nothing,
    /// Pull.
    Pull,
    /// Pull and push.
    Push,
    /// Everything: pull, push and delete.
    All,
}

/// Who may do what.
#[derive(Clone, Debug)]
pub struct AuthConfig {
    /// The file of users; nobody can sign in without.
    pub htpasswd: Option<PathBuf>,
    /// What those may do who have not signed in.
    pub anonymous: Anonymous,
    /// What users may do; the first that matches wins, and without one they may do everything.
    pub rules: Vec<Rule>,
    /// Users who may do everything, whatever the rules say.
    pub admins: Vec<Box<str>>,
    /// How this registry is called in tokens (`aud`) and challenges.
    pub service: String,
    /// Who issues the tokens (`iss`).
    pub issuer: String,
    /// How clients reach the registry; otherwise what they say in `Host`.
    pub public_url: Option<Url>,
    /// Whose `X-Forwarded-*` count.
    pub trusted_proxies: Vec<Network>,
    /// How long a token is good.
    pub token_ttl: Duration,
    /// How long a login is good that a client keeps in the place of the password.
    pub refresh_ttl: Duration,
    /// How long the answer to a wrong password waits; doubles with each further one, up to sixteen
    /// times as long.
    pub fail_delay: Duration,
}

impl Default for AuthConfig {
    /// Returns what lets nobody do anything; name a file of users, or let the anonymous do
    /// something.
    fn default() -> Self {
        Self {
            htpasswd: None,
            anonymous: Anonymous::default(),
            rules: Vec::new(),
            admins: Vec::new(),
            service: "kiln".into(),
            issuer: "kiln".into(),
            public_url: None,
            trusted_proxies: Vec::new(),
            // Docs: clients refresh by themselves, but not in the middle of a body.
            token_ttl: Duration::from_mins(15),
            refresh_ttl: Duration::from_hours(24 * 30),
            fail_delay: Duration::from_millis(500),
        }
    }
}

/// The shortest life of a token. Docs: distribution's token specification; clients assume as much.
const TOKEN_TTL_MIN: Duration = Duration::from_mins(1);

/// Why access control cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthError {
    /// The file of users cannot be used.
    #[error(transparent)]
    Users(#[from] ReadUsersError),
    /// Nobody can sign in, and who has not may do nothing.
    #[error("nobody may do anything: name a file of users, or let anonymous clients pull")]
    NobodyMayEnter,
    /// A rule, or an administrator, is a user whom no file names.
    #[error("there are rules for users, but no file of users")]
    NoUsers,
    /// Clients would misread a challenge with it.
    #[error(
        "{field} must be 1 to 255 printable characters without quotes, and hold neither `basic` nor `bearer`"
    )]
    BadText {
        /// Which setting.
        field: &'static str,
    },
    /// The address cannot be that of a registry.
    #[error("public address must be http or https, with a host, and without path, query or user")]
    BadPublicUrl,
    /// Clients assume at least a minute.
    #[error("tokens must be good for at least {TOKEN_TTL_MIN:?}")]
    ShortTokens,
}

impl AuthConfig {
    /// Reads the file of users, as a server does at its start. Blocking.
    ///
    /// # Errors
    ///
    /// [`AuthError::Users`].
    pub fn check_users(&self) -> Result<(), AuthError> {
        if let Some(path) = &self.htpasswd {
            users::check(path)?;
        }
        Ok(())
    }

    /// Finds what cannot work, without looking at files.
    ///
    /// # Errors
    ///
    /// [`AuthError`], except [`AuthError::Users`].
    pub fn check(&self) -> Result<(), AuthError> {
        for (field, text) in [("service", &self.service), ("issuer", &self.issuer)] {
            if !is_plain(text) {
                return Err(AuthError::BadText { field });
            }
        }
        if let Some(url) = &self.public_url {
            let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
            let named = url.username().is_empty() && url.password().is_none();
            let http = matches!(url.scheme(), "http" | "https") && url.has_host();
            if !bare || !named || !http {
                return Err(AuthError::BadPublicUrl);
            }
            if !is_plain(url.as_str()) {
                let field = "public address";
                return Err(AuthError::BadText { field });
            }
        }
        if self.token_ttl < TOKEN_TTL_MIN || self.refresh_ttl < TOKEN_TTL_MIN {
            return Err(AuthError::ShortTokens);
        }
        if self.htpasswd.is_some() {
            return Ok(());
        }
        if !self.admins.is_empty() || self.rules.iter().any(Rule::names_users) {
            return Err(AuthError::NoUsers);
        }
        let someone = self.anonymous != Anonymous::Nothing || !self.rules.is_empty();
        someone.then_some(()).ok_or(AuthError::NobodyMayEnter)
    }

    /// Tells whether nobody is ever asked who he is.
    pub(super) fn is_open(&self) -> bool {
        self.htpasswd.is_none() && self.rules.is_empty() && self.anonymous == Anonymous::All
    }
}

/// Tells whether `text` survives in a quoted parameter of a challenge. Observed: the conformance tool
/// takes the last `basic` or `bearer` of the header for the scheme, wherever it stands.
fn is_plain(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    (1..=255).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\')
        && !lower.contains("basic")
        && !lower.contains("bearer")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_cannot_work_are_refused() {
        let users = || AuthConfig {
            htpasswd: Some("users".into()),
            ..AuthConfig::default()
        };
        let with_url = |url: &str| AuthConfig {
            public_url: Some(url.parse().unwrap()),
            ..users()
        };
        for (rule, config, fine) in [
            ("users alone", users(), true),
            ("nobody", AuthConfig::default(), false),
            (
                "anonymous alone",
                AuthConfig {
                    anonymous: Anonymous::Pull,
                    ..AuthConfig::default()
                },
                true,
            ),
            (
                "administrators without users",
                AuthConfig {
                    anonymous: Anonymous::Pull,
                    admins: vec!["root".into()],
                    ..AuthConfig::default()
                },
                false,
            ),
            (
                "a quote",
                AuthConfig {
                    service: "a\"b".into(),
                    ..users()
                },
                false,
            ),
            (
                "the name of a scheme",
                AuthConfig {
                    issuer: "Bearer".into(),
                    ..users()
                },
                false,
            ),
            (
                "a short life",
                AuthConfig {
                    token_ttl: Duration::from_secs(59),
                    ..users()
                },
                false,
            ),
            ("an address", with_url("https://hub.example:5000"), true),
            ("a path", with_url("https://hub.example/registry"), false),
            ("a user", with_url("https://me@hub.example"), false),
            (
                "a scheme in the host",
                with_url("https://basic.example"),
                false,
            ),
            ("no HTTP", with_url("ftp://hub.example"), false),
        ] {
            assert_eq!(config.check().is_ok(), fine, "{rule}: {:?}", config.check());
        }
    }
}
