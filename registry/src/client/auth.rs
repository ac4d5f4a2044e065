// SPDX-License-Identifier: Apache-2.0
//! Signing in: from a challenge and credentials to the header `Authorization`.
//!
//! A token is kept per host and set of rights until shortly before it expires. Rights follow from
//! what is about to be done, so a push that mounts from another repository asks for both at once.
//!
//! Docs: distribution's token authentication specification (GET with Basic, or POST as in OAuth 2 with
//! a refresh token).

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;
use url::Url;

use super::challenge::{Challenge, Scope};
use super::credentials::{CredentialStore, Credentials, Secret};
use super::error::{ApiError, AuthError, TransportError};
use super::transport::{BODY_TIMEOUT, Endpoint, read_body};

/// How we call ourselves at token services.
const CLIENT_ID: &str = "kiln";
/// The largest answer of a token service that is read, in bytes.
const TOKEN_ANSWER_MAX_BYTES: usize = 1 << 20;
/// How long a token lives at least. Docs: distribution's token specification.
const TOKEN_LIFE_MIN: Duration = Duration::from_mins(1);
/// How long before its end a token is no longer used.
const TOKEN_MARGIN: Duration = Duration::from_secs(10);

/// Tokens and challenges of all hosts.
#[derive(Debug)]
pub(super) struct Auth {
    store: CredentialStore,
    known: Mutex<BTreeMap<Box<str>, Known>>,
}

/// What is known about one host.
#[derive(Debug, Default)]
struct Known {
    challenge: Option<Challenge>,
    /// By repository path. A helper program is not asked for each request.
    credentials: BTreeMap<String, Credentials>,
    tokens: BTreeMap<Vec<Scope>, Token>,
}

#[derive(Debug)]
struct Token {
    secret: Secret,
    expires: Instant,
}

#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

impl Auth {
    pub(super) fn new(store: CredentialStore) -> Self {
        Self {
            store,
            known: Mutex::default(),
        }
    }

    /// Returns what to send for `scopes`, as far as the host has asked for anything yet.
    ///
    /// Holding the lock while fetching makes parallel transfers share one token.
    pub(super) async fn header(
        &self,
        endpoint: &Endpoint,
        scopes: &[Scope],
    ) -> Result<Option<HeaderValue>, AuthError> {
        let mut hosts = self.known.lock().await;
        let Some(known) = hosts.get_mut(endpoint.host()) else {
            return Ok(None);
        };
        let Some(challenge) = &known.challenge else {
            return Ok(None);
        };
        let path = first_path(scopes);
        if !known.credentials.contains_key(path) {
            let found = self.store.find(endpoint.host(), path).await?;
            known.credentials.insert(path.to_owned(), found);
        }
        let credentials = &known.credentials[path];
        let Challenge::Bearer {
            realm,
            service,
            scope,
        } = challenge
        else {
            return Ok(basic(credentials));
        };
        let now = Instant::now();
        if let Some(token) = known.tokens.get(scopes)
            && token.expires > now
        {
            return Ok(Some(bearer(&token.secret)));
        }
        if let Credentials::RegistryToken(token) = credentials {
            return Ok(Some(bearer(token)));
        }
        let mut wanted: Vec<String> = scopes.iter().map(ToString::to_string).collect();
        if let Some(scope) = scope
            && wanted.is_empty()
        {
            wanted.push(scope.clone());
        }
        let request = TokenRequest {
            realm: realm_url(endpoint, realm, credentials)?,
            service: service.as_deref(),
            scopes: wanted,
        };
        let token = request.send(endpoint, credentials).await?;
        let header = bearer(&token.secret);
        known.tokens.insert(scopes.to_vec(), token);
        Ok(Some(header))
    }

    /// Takes note of a 401; returns whether trying again can help.
    pub(super) async fn challenged(
        &self,
        endpoint: &Endpoint,
        scopes: &[Scope],
        headers: &http::HeaderMap,
    ) -> bool {
        let Some(challenge) = Challenge::from_headers(headers) else {
            return false;
        };
        let mut hosts = self.known.lock().await;
        let known = hosts.entry(endpoint.host().into()).or_default();
        let had_token = known.tokens.remove(scopes).is_some();
        let first_time = known.challenge.is_none();
        if first_time || matches!(challenge, Challenge::Bearer { .. }) {
            known.challenge = Some(challenge);
        }
        had_token || first_time || matches!(known.challenge, Some(Challenge::Bearer { .. }))
    }
}

/// The repository path of the first scope: podman keeps credentials per path.
fn first_path(scopes: &[Scope]) -> &str {
    scopes.first().map_or("", Scope::path)
}

fn secret_header(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn bearer(token: &Secret) -> HeaderValue {
    secret_header(&format!("Bearer {}", token.reveal()))
        .expect("tokens are checked for printable characters when they come in")
}

fn basic(credentials: &Credentials) -> Option<HeaderValue> {
    let Credentials::Password { username, password } = credentials else {
        return None;
    };
    let joined = STANDARD.encode(format!("{username}:{}", password.reveal()));
    secret_header(&format!("Basic {joined}"))
}

/// Returns the address of the token service, relative ones against the registry. Credentials do
/// not go over plain HTTP if the registry itself is reached by TLS.
fn realm_url(
    endpoint: &Endpoint,
    realm: &str,
    credentials: &Credentials,
) -> Result<Url, AuthError> {
    let realm = endpoint.base().join(realm);
    let realm = realm.map_err(|_| AuthError::BadChallenge)?;
    let insecure = realm.scheme() != "https" && endpoint.base().scheme() == "https";
    if insecure && *credentials != Credentials::Anonymous {
        return Err(AuthError::InsecureRealm(host_of(&realm)));
    }
    match realm.scheme() {
        "http" | "https" => Ok(realm),
        _ => Err(AuthError::BadChallenge),
    }
}

fn host_of(url: &Url) -> Box<str> {
    url.host_str().unwrap_or("").into()
}

struct TokenRequest<'a> {
    realm: Url,
    service: Option<&'a str>,
    scopes: Vec<String>,
}

impl TokenRequest<'_> {
    async fn send(&self, endpoint: &Endpoint, who: &Credentials) -> Result<Token, AuthError> {
        let request = match who {
            Credentials::IdentityToken(token) => self.post(endpoint, token),
            _ => self.get(endpoint, who),
        };
        let host = host_of(&self.realm);
        let sent = request.timeout(BODY_TIMEOUT).send().await;
        let response = sent.map_err(|error| TransportError::new(&host, error))?;
        let status = response.status();
        let body = read_body(response, TOKEN_ANSWER_MAX_BYTES, &host).await?;
        if !status.is_success() {
            return Err(AuthError::Refused {
                source: ApiError::new(&host, status.as_u16(), &body),
                realm: host,
            });
        }
        let no_token = || AuthError::NoToken(host.clone());
        let answer: TokenAnswer = serde_json::from_slice(&body).map_err(|_| no_token())?;
        let text = answer.access_token.or(answer.token);
        let text = text.filter(|text| !text.is_empty()).ok_or_else(no_token)?;
        secret_header(&text).ok_or_else(no_token)?;
        let life = Duration::from_secs(answer.expires_in.unwrap_or(0)).max(TOKEN_LIFE_MIN);
        // A year: anything longer would overflow some clocks.
        let life = life.min(Duration::from_hours(24 * 365));
        Ok(Token {
            secret: Secret::new(text),
            expires: Instant::now() + life - TOKEN_MARGIN,
        })
    }

    fn get(&self, endpoint: &Endpoint, who: &Credentials) -> reqwest::RequestBuilder {
        let mut url = self.realm.clone();
        {
            let mut query = url.query_pairs_mut();
            if let Some(service) = self.service {
                query.append_pair("service", service);
            }
            for scope in &self.scopes {
                query.append_pair("scope", scope);
            }
            if let Credentials::Password { username, .. } = who {
                query.append_pair("account", username);
            }
            query.append_pair("client_id", CLIENT_ID);
        }
        let request = endpoint.http().get(url);
        match basic(who) {
            Some(header) => request.header(http::header::AUTHORIZATION, header),
            None => request,
        }
    }

    fn post(&self, endpoint: &Endpoint, token: &Secret) -> reqwest::RequestBuilder {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "refresh_token")
            .append_pair("client_id", CLIENT_ID)
            .append_pair("refresh_token", token.reveal())
            .append_pair("scope", &self.scopes.join(" "));
        if let Some(service) = self.service {
            form.append_pair("service", service);
        }
        endpoint
            .http()
            .post(self.realm.clone())
            .header(
                http::header::CONTENT_TYPE,
                "application/x-www-form-urlencoded",
            )
            .body(form.finish())
    }
}
