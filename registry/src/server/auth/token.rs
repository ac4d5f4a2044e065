// SPDX-License-Identifier: Apache-2.0
//! Tokens: JSON web tokens that carry rights for some minutes, and logins that clients keep in the
//! place of a password.
//!
//! Both are signed by HMAC with keys that follow from the secret of the instance, so that every
//! replica takes the tokens of all. The keys differ: neither kind passes for the other. The
//! algorithm is ours to know and not the token's to say.
//!
//! Time is told by the server's clock, which tests fix, and not by the library's.
//!
//! Spec: RFC 7519. Docs: distribution's token specification (claims).

use std::fmt;

use aws_lc_rs::hmac;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::config::AuthConfig;
use super::htpasswd::PasswordHash;
use super::scope::Grant;
use crate::server::access::Principal;
use crate::storage::Store;
use crate::storage::store::{hex, nonce};

/// The longest token that is looked at, in bytes. Heads of requests are bounded as well.
const TOKEN_MAX_BYTES: usize = 16 << 10;
/// How many bytes of rights one token holds; proxies take 8 KiB of head, base64 adds a third.
const GRANTS_MAX_BYTES: usize = 5 << 10;
/// How far the clocks of replicas may be apart, in seconds.
const LEEWAY_SECONDS: u64 = 30;

/// What a token says. Docs: distribution's token specification.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: String,
    exp: u64,
    nbf: u64,
    iat: u64,
    jti: String,
    /// In a token for requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    access: Option<Vec<Grant>>,
    /// In a login: which password it stands for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    password: Option<String>,
}

/// A token that was just made.
pub(super) struct Issued {
    pub(super) text: String,
    /// In seconds since 1970.
    pub(super) at: u64,
    pub(super) seconds: u64,
    pub(super) grants: Vec<Grant>,
}

/// Makes and checks tokens.
pub(super) struct Tokens {
    requests: Keys,
    logins: Keys,
    fingerprints: hmac::Key,
    validation: Validation,
    service: String,
    issuer: String,
    token_seconds: u64,
    login_seconds: u64,
}

struct Keys {
    header: Header,
    encoding: EncodingKey,
    decoding: DecodingKey,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens")
            .field("service", &self.service)
            .finish_non_exhaustive()
    }
}

impl Keys {
    fn of(secret: [u8; 32]) -> Self {
        let mut header = Header::new(Algorithm::HS256);
        // Which key, should there be several some day; nothing about it.
        let id = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &secret);
        header.kid = Some(hex(&id.as_ref()[..8]));
        Self {
            header,
            encoding: EncodingKey::from_secret(&secret),
            decoding: DecodingKey::from_secret(&secret),
        }
    }
}

impl Tokens {
    pub(super) fn new(store: &Store, config: &AuthConfig) -> Self {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_audience(&[&config.service]);
        validation.set_issuer(&[&config.issuer]);
        validation.set_required_spec_claims(&["aud", "iss", "exp", "nbf"]);
        validation.validate_exp = false;
        validation.validate_nbf = false;
        Self {
            requests: Keys::of(store.derive("token of a request")),
            logins: Keys::of(store.derive("token of a login")),
            fingerprints: hmac::Key::new(hmac::HMAC_SHA256, &store.derive("password of a login")),
            validation,
            service: config.service.clone(),
            issuer: config.issuer.clone(),
            token_seconds: config.token_ttl.as_secs(),
            login_seconds: config.refresh_ttl.as_secs(),
        }
    }

    /// Makes a token; of too many rights it holds the first.
    pub(super) fn issue(&self, principal: &Principal, mut grants: Vec<Grant>, now: u64) -> Issued {
        let mut bytes = 0;
        grants.retain(|grant| {
            bytes += grant.text().len() + GRANT_OVERHEAD_BYTES;
            bytes <= GRANTS_MAX_BYTES
        });
        let claims = Claims {
            access: Some(grants.clone()),
            ..self.claims(principal, now, self.token_seconds)
        };
        Issued {
            text: sign(&self.requests, &claims),
            at: now,
            seconds: self.token_seconds,
            grants,
        }
    }

    /// Returns whose token it is and what it carries; none if it is not good (any more).
    pub(super) fn verify(&self, text: &str, now: u64) -> Option<(Principal, Vec<Grant>)> {
        let claims = self.open(&self.requests, text, now)?;
        Some((Principal::from_text(&claims.sub), claims.access?))
    }

    /// Makes a login for the user `name`, good until the password changes.
    pub(super) fn issue_login(&self, name: &str, hash: &PasswordHash, now: u64) -> String {
        let principal = Principal::User(name.into());
        let claims = Claims {
            password: Some(self.fingerprint(name, hash)),
            ..self.claims(&principal, now, self.login_seconds)
        };
        sign(&self.logins, &claims)
    }

    /// Returns the user whose login it is, if `hash_of` gives the hash that it was made with.
    pub(super) fn verify_login<'a>(
        &self,
        text: &str,
        now: u64,
        hash_of: impl FnOnce(&str) -> Option<&'a PasswordHash>,
    ) -> Option<Box<str>> {
        let claims = self.open(&self.logins, text, now)?;
        let fingerprint = self.fingerprint(&claims.sub, hash_of(&claims.sub)?);
        (claims.password? == fingerprint).then(|| claims.sub.into())
    }

    fn claims(&self, principal: &Principal, now: u64, seconds: u64) -> Claims {
        Claims {
            iss: self.issuer.clone(),
            sub: principal.as_str().into(),
            aud: self.service.clone(),
            exp: now.saturating_add(seconds),
            nbf: now,
            iat: now,
            jti: nonce(),
            access: None,
            password: None,
        }
    }

    fn open(&self, keys: &Keys, text: &str, now: u64) -> Option<Claims> {
        let dots = text.bytes().filter(|byte| *byte == b'.').count();
        if text.len() > TOKEN_MAX_BYTES || dots != 2 {
            return None;
        }
        let claims = verified::<Claims>(text, &keys.decoding, &self.validation)?;
        let begun = claims.nbf <= now.saturating_add(LEEWAY_SECONDS);
        let over = claims.exp.saturating_add(LEEWAY_SECONDS) <= now;
        (begun && !over).then_some(claims)
    }

    /// Which password a login stands for. A signature, so that the hash cannot be tried against it.
    fn fingerprint(&self, name: &str, hash: &PasswordHash) -> String {
        let text = format!("{name}:{}", hash.as_str());
        let tag = hmac::sign(&self.fingerprints, text.as_bytes());
        hex(&tag.as_ref()[..16])
    }
}

/// How much longer a grant is in JSON than its text.
const GRANT_OVERHEAD_BYTES: usize = 48;

fn verified<T: DeserializeOwned>(
    text: &str,
    key: &DecodingKey,
    validation: &Validation,
) -> Option<T> {
    decode(text, key, validation).ok().map(|token| token.claims)
}

fn sign(keys: &Keys, claims: &Claims) -> String {
    encode(&keys.header, claims, &keys.encoding).expect("HMAC signs whatever is JSON")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::super::scope::granted;
    use super::*;
    use crate::storage::memory::{MemoryData, MemoryMeta};
    use crate::storage::{Backend, Clock, SparsePolicy};

    const CLOCK: Clock = Clock(|| std::time::UNIX_EPOCH);

    async fn store() -> Store {
        let backend = Backend {
            data: Arc::new(MemoryData::default()),
            meta: Arc::new(MemoryMeta::default()),
        };
        Store::open(backend, CLOCK, SparsePolicy::All)
            .await
            .unwrap()
    }

    fn grants(scope: &str) -> Vec<Grant> {
        granted([scope].into_iter(), |_| true)
    }

    fn amy() -> Principal {
        Principal::User("amy".into())
    }

    #[tokio::test]
    async fn a_token_says_who_and_what_until_it_expires() {
        let tokens = Tokens::new(&store().await, &AuthConfig::default());
        for principal in [amy(), Principal::Anonymous] {
            let issued = tokens.issue(&principal, grants("repository:a:pull"), 1000);
            assert_eq!(issued.seconds, 900);
            let good = Some((principal, grants("repository:a:pull")));
            for (now, expected) in [
                (1000, good.clone()),
                (970, good.clone()),
                (969, None),
                (1929, good.clone()),
                (1930, None),
            ] {
                assert_eq!(tokens.verify(&issued.text, now), expected, "at {now}");
            }
        }
    }

    #[tokio::test]
    async fn tokens_of_others_are_refused() {
        let here = store().await;
        let config = AuthConfig::default();
        let tokens = Tokens::new(&here, &config);
        let good = tokens.issue(&amy(), grants("repository:a:*"), 1000).text;
        assert!(tokens.verify(&good, 1000).is_some());
        let service = AuthConfig {
            service: "other".into(),
            ..config.clone()
        };
        let issuer = AuthConfig {
            issuer: "other".into(),
            ..config.clone()
        };
        for (rule, others) in [
            ("another key", Tokens::new(&store().await, &config)),
            ("another audience", Tokens::new(&here, &service)),
            ("another issuer", Tokens::new(&here, &issuer)),
        ] {
            assert!(others.verify(&good, 1000).is_none(), "{rule}");
        }
        // A replica has the same secret.
        assert!(Tokens::new(&here, &config).verify(&good, 1000).is_some());
    }

    #[tokio::test]
    async fn forged_tokens_are_refused() {
        let tokens = Tokens::new(&store().await, &AuthConfig::default());
        let good = tokens.issue(&amy(), grants("repository:a:pull"), 1000).text;
        let parts: Vec<&str> = good.split('.').collect();
        let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#);
        let other = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS512","typ":"JWT"}"#);
        let payload = URL_SAFE_NO_PAD.decode(parts[1]).unwrap();
        let payload = String::from_utf8(payload).unwrap().replace("amy", "bob");
        let payload = URL_SAFE_NO_PAD.encode(payload);
        for (rule, text) in [
            ("no algorithm", format!("{none}.{}.", parts[1])),
            (
                "no algorithm, signed",
                format!("{none}.{}.{}", parts[1], parts[2]),
            ),
            (
                "another algorithm",
                format!("{other}.{}.{}", parts[1], parts[2]),
            ),
            (
                "another user",
                format!("{}.{payload}.{}", parts[0], parts[2]),
            ),
            ("no signature", format!("{}.{}.", parts[0], parts[1])),
            ("a bit less", good[..good.len() - 1].into()),
            ("a part more", format!("{good}.x")),
            ("many dots", ".".repeat(10_000)),
            ("huge", "a".repeat(1 << 20)),
            ("nothing", String::new()),
        ] {
            assert!(tokens.verify(&text, 1000).is_none(), "{rule}");
        }
    }

    #[tokio::test]
    async fn a_login_is_good_until_the_password_changes() {
        let tokens = Tokens::new(&store().await, &AuthConfig::default());
        let hash =
            |password| -> PasswordHash { bcrypt::hash(password, 4).unwrap().parse().unwrap() };
        let (old, new) = (hash("old"), hash("new"));
        let login = tokens.issue_login("amy", &old, 1000);
        let who = |hash| tokens.verify_login(&login, 1000, |_| hash);
        assert_eq!(who(Some(&old)).as_deref(), Some("amy"));
        assert_eq!(who(Some(&new)), None, "changed");
        assert_eq!(who(None), None, "gone");
        assert_eq!(
            tokens.verify(&login, 1000),
            None,
            "it is no token for requests"
        );
        let token = tokens.issue(&amy(), Vec::new(), 1000).text;
        let who = tokens.verify_login(&token, 1000, |_| Some(&old));
        assert_eq!(who, None, "and a token no login");
    }

    #[tokio::test]
    async fn the_largest_token_fits_a_head() {
        let tokens = Tokens::new(&store().await, &AuthConfig::default());
        let scopes: Vec<String> = (0..64)
            .map(|n| format!("repository:{}{n}:*", "a".repeat(240)))
            .collect();
        let grants = granted(scopes.iter().map(String::as_str), |_| true);
        let issued = tokens.issue(&amy(), grants, 1000);
        assert!(issued.text.len() < 8000, "{}", issued.text.len());
        assert!(!issued.grants.is_empty() && tokens.verify(&issued.text, 1000).is_some());
    }
}
