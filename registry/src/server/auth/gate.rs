// SPDX-License-Identifier: Apache-2.0
//! The gate: identifies callers by password or token, and says no in the way from which each client
//! knows what to do next.
//!
//! - Nobody signed in: 401 with a challenge.
//! - A token that is not good: the same, with `error="invalid_token"`.
//! - A token without the right: the same, with `error="insufficient_scope"`, even if no token can
//!   help. Observed: Docker 28.2 takes 403 on HEAD for a fault and tries again and again; with this
//!   error it says "denied" and stops.
//! - A password whose user has not the right: 403.
//!
//! `/v2/` is answered by 401 to whoever brings nothing, even where everybody may pull: docker sends
//! no credentials to a registry that did not ask for them there. The challenge is Bearer and never
//! Basic, which would keep out clients without credentials; Basic is taken all the same.
//!
//! Docs: distribution's token authentication; RFC 6750 §3 (`error`).

use std::sync::Arc;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::HeaderMap;
use http::header;

use super::config::{AuthConfig, AuthError};
use super::htpasswd::{PasswordHash, Users};
use super::issuer::{Issuer, TOKEN_PATH};
use super::origin::Origin;
use super::password::{Checked, Password, Passwords};
use super::rule::Policy;
use super::scope::{Grant, asking_for};
use super::token::{Issued, Tokens};
use super::users::UserFile;
use crate::endpoint::Name;
use crate::server::access::{
    Access, Action, Caller, Need, Pending, Principal, Refusal, Rights, Sender, Unidentified,
};
use crate::server::config::Reporter;
use crate::storage::{Clock, Store};

/// The longest header of credentials that is looked at.
const HEADER_MAX_BYTES: usize = 24 << 10;
/// Base64 with or without padding: clients write both.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Identifies callers.
#[derive(Debug)]
pub(in crate::server) struct Gate {
    policy: Arc<Policy>,
    users: Option<Arc<UserFile>>,
    passwords: Arc<Passwords>,
    tokens: Tokens,
    origin: Origin,
    clock: Clock,
    service: String,
    is_open: bool,
}

/// What a request brings to say who sends it.
pub(super) enum Credentials {
    /// Nothing.
    None,
    /// A user and his password.
    Password(Box<str>, Password),
    /// A token.
    Token(Box<str>),
    /// Something that is neither.
    Malformed,
}

/// What somebody who was identified brought.
#[derive(Clone, Debug)]
enum Proof {
    Nothing,
    Password,
    Token(Vec<Grant>),
    /// The upload that he owns.
    Upload,
}

/// The rights of one request.
#[derive(Debug)]
struct Held {
    policy: Arc<Policy>,
    principal: Principal,
    proof: Proof,
    is_open: bool,
}

impl Gate {
    /// Reads the file of users and derives the keys.
    ///
    /// # Errors
    ///
    /// [`AuthError`].
    pub(in crate::server) fn open(
        config: &AuthConfig,
        store: &Store,
        report: Reporter,
    ) -> Result<Arc<Self>, AuthError> {
        config.check()?;
        let users = match &config.htpasswd {
            Some(path) => Some(Arc::new(UserFile::open(path.clone(), report)?)),
            None => None,
        };
        Ok(Arc::new(Self {
            policy: Arc::new(Policy::of(config)),
            users,
            passwords: Arc::new(Passwords::new(config.fail_delay)),
            tokens: Tokens::new(store, config),
            origin: Origin::of(config),
            clock: store.clock,
            service: config.service.clone(),
            is_open: config.is_open(),
        }))
    }

    async fn users(&self) -> Arc<Users> {
        match &self.users {
            Some(file) => file.current().await,
            None => Arc::default(),
        }
    }

    /// Checks a password; returns the hash in the file.
    pub(super) async fn sign_in(
        &self,
        name: &str,
        password: Password,
        sender: Sender<'_>,
    ) -> Result<PasswordHash, Unidentified> {
        let users = self.users().await;
        let source = self.origin.source(sender);
        let checked = self.passwords.check(&users, (name, password), source);
        match checked.await {
            Checked::Right => {}
            Checked::Wrong => return Err(Unidentified::BadCredentials),
            Checked::Busy(wait) => return Err(Unidentified::Busy(wait)),
        }
        users.get(name).cloned().ok_or(Unidentified::BadCredentials)
    }

    /// Returns the user behind a login, and the hash that he has now.
    pub(super) async fn user_of_login(&self, login: &str) -> Option<(Box<str>, PasswordHash)> {
        let users = self.users().await;
        let now = self.clock.seconds();
        let name = self
            .tokens
            .verify_login(login, now, |name| users.get(name))?;
        let hash = users.get(&name)?.clone();
        Some((name, hash))
    }

    /// Tells whether a token for `principal` may hold a right.
    pub(super) fn permits(&self, principal: &Principal, need: &Need) -> bool {
        match &need.repository {
            Some(name) => self.policy.may(principal, name, need.action),
            None => need.action == Action::Catalog && self.may_list(principal),
        }
    }

    pub(super) fn issue(&self, principal: &Principal, grants: Vec<Grant>) -> Issued {
        self.tokens.issue(principal, grants, self.clock.seconds())
    }

    pub(super) fn issue_login(&self, name: &str, hash: &PasswordHash) -> String {
        self.tokens.issue_login(name, hash, self.clock.seconds())
    }

    fn may_list(&self, principal: &Principal) -> bool {
        may_list(&self.policy, principal)
    }

    async fn is_there(&self, principal: &Principal) -> bool {
        match principal {
            Principal::User(name) => self.users().await.get(name).is_some(),
            Principal::Anonymous => true,
            Principal::Everybody => false,
        }
    }

    fn caller(&self, principal: Principal, proof: Proof) -> Caller {
        Caller {
            principal: principal.clone(),
            rights: Arc::new(Held {
                policy: Arc::clone(&self.policy),
                principal,
                proof,
                is_open: self.is_open,
            }),
        }
    }

    async fn identified(&self, sender: Sender<'_>) -> Result<Caller, Unidentified> {
        match credentials(sender.headers) {
            Credentials::None => Ok(self.caller(Principal::Anonymous, Proof::Nothing)),
            Credentials::Password(name, password) => {
                self.sign_in(&name, password, sender).await?;
                Ok(self.caller(Principal::User(name), Proof::Password))
            }
            Credentials::Token(text) => {
                let verified = self.tokens.verify(&text, self.clock.seconds());
                let (principal, grants) = verified.ok_or(Unidentified::BadToken)?;
                if !self.is_there(&principal).await {
                    return Err(Unidentified::BadToken);
                }
                Ok(self.caller(principal, Proof::Token(grants)))
            }
            Credentials::Malformed => Err(Unidentified::BadCredentials),
        }
    }

    fn challenge(&self, sender: Sender<'_>, scope: &str, error: Option<&str>) -> Refusal {
        let realm = self.origin.address(sender, TOKEN_PATH);
        let mut text = format!("Bearer realm=\"{realm}\",service=\"{}\"", self.service);
        for (name, value) in [("scope", Some(scope)), ("error", error)] {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                text.extend([",", name, "=\"", value, "\""]);
            }
        }
        Refusal::Challenge(text)
    }
}

/// Tells whether there is a list of repositories for `principal`, be it an empty one. Users always
/// get theirs; to others we do not tell a list without anything from none.
fn may_list(policy: &Policy, principal: &Principal) -> bool {
    matches!(principal, Principal::User(_)) || !policy.horizon(principal).is_empty()
}

impl Access for Arc<Gate> {
    fn identify<'a>(&'a self, sender: Sender<'a>) -> Pending<'a, Result<Caller, Unidentified>> {
        Box::pin(self.identified(sender))
    }

    fn owner(&self, principal: Principal) -> Pending<'_, Option<Caller>> {
        Box::pin(async move {
            let there = self.is_there(&principal).await;
            there.then(|| self.caller(principal, Proof::Upload))
        })
    }

    fn refuse(
        &self,
        sender: Sender<'_>,
        caller: Result<&Caller, Unidentified>,
        needs: &[Need],
        also: Option<Need>,
    ) -> Refusal {
        let scope = asking_for(needs.iter().chain(also.iter()));
        match caller {
            Err(Unidentified::Busy(wait)) => Refusal::Later(wait),
            Err(Unidentified::BadToken) => self.challenge(sender, &scope, Some("invalid_token")),
            Err(Unidentified::BadCredentials) => self.challenge(sender, &scope, None),
            Ok(_) if bearer_in(sender.headers) => {
                self.challenge(sender, &scope, Some("insufficient_scope"))
            }
            Ok(caller) => match caller.principal {
                Principal::User(_) => Refusal::Denied,
                Principal::Anonymous | Principal::Everybody => self.challenge(sender, &scope, None),
            },
        }
    }

    fn issuer(&self) -> Option<Issuer> {
        Some(Issuer(Arc::clone(self)))
    }
}

impl Rights for Held {
    fn has(&self, need: &Need) -> bool {
        let allowed = match &need.repository {
            Some(name) => self.policy.may(&self.principal, name, need.action),
            None => match need.action {
                Action::Catalog => may_list(&self.policy, &self.principal),
                _ => true,
            },
        };
        let carried = match (&self.proof, need.action) {
            (Proof::Password, _) | (Proof::Token(_), Action::Base) => true,
            (Proof::Token(grants), _) => grants.iter().any(|grant| grant.meets(need)),
            (Proof::Nothing, Action::Base | Action::Catalog) => self.is_open,
            (Proof::Nothing | Proof::Upload, _) => need.repository.is_some(),
        };
        allowed && carried
    }

    fn sees(&self, name: &Name) -> bool {
        self.policy.may(&self.principal, name, Action::Pull)
    }

    fn horizon(&self) -> Vec<String> {
        self.policy.horizon(&self.principal)
    }
}

fn bearer_in(headers: &HeaderMap) -> bool {
    matches!(credentials(headers), Credentials::Token(_))
}

/// Reads what a request brings.
pub(super) fn credentials(headers: &HeaderMap) -> Credentials {
    let mut values = headers.get_all(header::AUTHORIZATION).into_iter();
    let value = match (values.next(), values.next()) {
        (None, _) => return Credentials::None,
        (Some(value), None) => value,
        // Which of them a proxy looked at nobody knows.
        (Some(_), Some(_)) => return Credentials::Malformed,
    };
    let text = value
        .to_str()
        .ok()
        .filter(|text| text.len() <= HEADER_MAX_BYTES);
    let Some((scheme, rest)) = text.and_then(|text| text.trim().split_once(' ')) else {
        return Credentials::Malformed;
    };
    let rest = rest.trim_start();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Credentials::Token(rest.into());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return Credentials::Malformed;
    }
    let decoded = BASE64.decode(rest).ok();
    let decoded = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
    match decoded.as_deref().and_then(|text| text.split_once(':')) {
        Some((name, password)) => {
            Credentials::Password(name.into(), Password::new(password.into()))
        }
        None => Credentials::Malformed,
    }
}
