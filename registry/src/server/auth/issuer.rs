// SPDX-License-Identifier: Apache-2.0
//! The token service: an address beside the registry's that gives tokens for passwords, for logins,
//! and for nothing.
//!
//! What a client asks for and what it may have is intersected; less than asked for is no error,
//! wrong credentials are. The parameter `service` is not compared: there is one service here, and
//! proxies rename it.
//!
//! Docs: distribution's token authentication (GET) and its OAuth 2 form (POST).

use std::sync::Arc;
use std::time::Duration;

use http::header::{self, HeaderValue};
use http::{Method, StatusCode};
use jiff::Timestamp;
use serde::Serialize;
use tokio::time::timeout;

use super::gate::{Credentials, Gate, credentials};
use super::htpasswd::PasswordHash;
use super::password::Password;
use super::scope::{Grant, granted};
use super::token::Issued;
use crate::error::ErrorCode;
use crate::server::access::{Principal, Sender, Unidentified};
use crate::server::answer::{Answer, ApiError, whole};
use crate::server::body::RequestBody;
use crate::server::monitor::Requester;
use crate::server::query::Query;

/// Where tokens are; no repository can be called so, because it is not below `/v2/`.
pub(in crate::server) const TOKEN_PATH: &str = "/token";
/// The largest form.
const FORM_MAX_BYTES: usize = 64 << 10;
/// How long the whole form may take.
const FORM_MAX: Duration = Duration::from_secs(30);

/// One request for a token.
#[derive(Debug)]
pub(in crate::server) struct TokenRequest<'a> {
    pub(in crate::server) method: &'a Method,
    pub(in crate::server) sender: Sender<'a>,
    pub(in crate::server) query: &'a Query,
    /// Is told who gets the token.
    pub(in crate::server) requester: &'a Requester,
}

/// Answers requests for tokens.
#[derive(Clone, Debug)]
pub(in crate::server) struct Issuer(pub(super) Arc<Gate>);

/// Docs: distribution's token specification; both names of the token, because clients know one or
/// the other.
#[derive(Serialize)]
struct TokenAnswer<'a> {
    token: &'a str,
    access_token: &'a str,
    token_type: &'static str,
    expires_in: u64,
    issued_at: String,
    scope: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
}

/// Who gets a token.
struct Holder {
    principal: Principal,
    /// What a login would stand for.
    hash: Option<PasswordHash>,
}

impl Issuer {
    /// Answers one request.
    ///
    /// # Errors
    ///
    /// 401 for wrong credentials, 400 for a form that makes no sense, 429 for too many tries.
    pub(in crate::server) async fn answer(
        &self,
        request: TokenRequest<'_>,
        body: &mut RequestBody,
    ) -> Result<Answer, ApiError> {
        let sender = request.sender;
        match *request.method {
            Method::GET | Method::HEAD => {
                let holder = self.by_header(sender).await?;
                request.requester.tell(&holder.principal);
                let offline = request.query.get("offline_token") == Some("true");
                let scopes = request.query.all("scope");
                Ok(self.give(&holder, scopes, offline))
            }
            Method::POST => {
                let form = read(body).await?;
                let holder = self.by_form(sender, &form).await?;
                request.requester.tell(&holder.principal);
                let offline = form.get("access_type") == Some("offline");
                Ok(self.give(&holder, form.all("scope"), offline))
            }
            _ => {
                let message = "tokens are got by GET or POST";
                let error = ApiError::new(ErrorCode::Unsupported, message);
                Err(error.with_header(header::ALLOW, "GET, HEAD, POST"))
            }
        }
    }

    async fn by_header(&self, sender: Sender<'_>) -> Result<Holder, ApiError> {
        match credentials(sender.headers) {
            Credentials::None => Ok(Holder {
                principal: Principal::Anonymous,
                hash: None,
            }),
            Credentials::Password(name, password) => self.sign_in(&name, password, sender).await,
            Credentials::Token(_) | Credentials::Malformed => Err(wrong()),
        }
    }

    async fn by_form(&self, sender: Sender<'_>, form: &Query) -> Result<Holder, ApiError> {
        match form.get("grant_type") {
            Some("password") => {
                let name = form.get("username").unwrap_or_default();
                let password = form.get("password").unwrap_or_default();
                let password = Password::new(password.into());
                self.sign_in(name, password, sender).await
            }
            Some("refresh_token") => {
                let login = form.get("refresh_token").unwrap_or_default();
                let found = self.0.user_of_login(login).await;
                let (name, hash) = found.ok_or_else(wrong)?;
                Ok(Holder {
                    principal: Principal::User(name),
                    hash: Some(hash),
                })
            }
            _ => {
                let message = "grant_type must be password or refresh_token";
                let error = ApiError::new(ErrorCode::Unsupported, message);
                Err(error.with_status(StatusCode::BAD_REQUEST))
            }
        }
    }

    async fn sign_in(
        &self,
        name: &str,
        password: Password,
        sender: Sender<'_>,
    ) -> Result<Holder, ApiError> {
        let hash = self.0.sign_in(name, password, sender).await;
        let hash = hash.map_err(|error| match error {
            Unidentified::Busy(wait) => later(wait),
            Unidentified::BadToken | Unidentified::BadCredentials => wrong(),
        })?;
        Ok(Holder {
            principal: Principal::User(name.into()),
            hash: Some(hash),
        })
    }

    fn give<'a>(
        &self,
        holder: &Holder,
        scopes: impl Iterator<Item = &'a str>,
        offline: bool,
    ) -> Answer {
        let who = &holder.principal;
        let grants = granted(scopes, |need| self.0.permits(who, need));
        let issued = self.0.issue(who, grants);
        let refresh_token = match (who, &holder.hash) {
            (Principal::User(name), Some(hash)) if offline => Some(self.0.issue_login(name, hash)),
            _ => None,
        };
        answer(&issued, refresh_token)
    }
}

fn answer(issued: &Issued, refresh_token: Option<String>) -> Answer {
    let scopes: Vec<String> = issued.grants.iter().map(Grant::text).collect();
    let body = TokenAnswer {
        token: &issued.text,
        access_token: &issued.text,
        token_type: "Bearer",
        expires_in: issued.seconds,
        issued_at: rfc3339(issued.at),
        scope: scopes.join(" "),
        refresh_token,
    };
    let json = serde_json::to_vec(&body).expect("tokens are strings and numbers");
    let mut answer = whole("application/json", json);
    // Spec: RFC 6749 §5.1.
    let no_store = HeaderValue::from_static("no-store");
    answer.headers_mut().insert(header::CACHE_CONTROL, no_store);
    answer
}

/// Reads a form. Clients differ in how they call its type, so that is not looked at.
async fn read(body: &mut RequestBody) -> Result<Query, ApiError> {
    let read = timeout(FORM_MAX, body.whole(FORM_MAX_BYTES)).await;
    if let Ok(Ok(bytes)) = read {
        return Ok(Query::of_form(&bytes));
    }
    body.drain().await;
    let message = format!("the form is not complete, or has more than {FORM_MAX_BYTES} bytes");
    Err(ApiError::new(ErrorCode::SizeInvalid, message))
}

fn wrong() -> ApiError {
    let message = "user, password or login is wrong";
    let error = ApiError::new(ErrorCode::Unauthorized, message);
    error.with_header(header::WWW_AUTHENTICATE, "Basic realm=\"token\"")
}

/// The answer to one of too many tries.
pub(in crate::server) fn later(wait: Duration) -> ApiError {
    let message = "too many failed attempts to sign in; try again later";
    let seconds = wait.as_secs().saturating_add(1).to_string();
    ApiError::new(ErrorCode::TooManyRequests, message).with_header(header::RETRY_AFTER, &seconds)
}

/// Returns a time as clients read it. Spec: RFC 3339.
fn rfc3339(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok();
    let time = time.and_then(|seconds| Timestamp::from_second(seconds).ok());
    time.unwrap_or(Timestamp::MAX).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_073_741_824, "2004-01-10T13:37:04Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
        ] {
            assert_eq!(rfc3339(seconds), expected);
        }
    }
}
