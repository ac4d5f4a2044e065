// SPDX-License-Identifier: Apache-2.0
//! What a download asks for: the attributes of its source operation.
//!
//! `Docs:` BuildKit `solver/pb/attr.go`, whose names these are.

use std::collections::BTreeMap;

use cache::{CacheKey, Owner};
use graph::{SourceOp, VertexId};
use oci::Digest;
use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};

use super::super::Ops;
use super::error::HttpError;
use crate::secret::Secrets;
use crate::step_error::StepError;

/// Headers that an operation may set; others are passed over. `Observed:` BuildKit 73ed6825.
const HEADERS: [&str; 2] = ["accept", "user-agent"];
const HEADER_PREFIX: &str = "http.header.";
/// Names of secrets, followed by the host.
const AUTH_HEADER_SECRET: &str = "HTTP_AUTH_HEADER_";
const AUTH_TOKEN_SECRET: &str = "HTTP_AUTH_TOKEN_";

/// The parts of a source operation.
#[derive(Debug)]
pub(super) struct Request<'a> {
    pub(super) url: &'a str,
    /// The name that the file gets; empty leaves it to the server and the address.
    pub(super) filename: &'a str,
    pub(super) checksum: Option<Digest>,
    pub(super) perm: u32,
    pub(super) owner: Owner,
    auth_secret: Option<&'a str>,
    headers: BTreeMap<String, &'a str>,
}

impl<'a> Request<'a> {
    /// Reads the operation of a vertex.
    pub(super) fn of(ops: &'a Ops, id: VertexId) -> Result<Self, StepError> {
        let name = || ops.graph.vertex(id).meta.name.clone();
        let source = ops.source(id).ok_or_else(|| StepError::BadSource(name()))?;
        Self::new(source)
    }

    fn new(source: &'a SourceOp) -> Result<Self, StepError> {
        let attr = |name: &str| source.attrs.get(name).map(String::as_str);
        let bad = || StepError::BadSource(without_credentials(&source.identifier));
        let number = |name: &str, default| match attr(name) {
            None => Ok(default),
            Some(text) => parse_number(text).ok_or_else(bad),
        };
        let checksum = attr("http.checksum").map(str::parse::<Digest>).transpose();
        let headers = source.attrs.iter().filter_map(|(name, value)| {
            let name = name.strip_prefix(HEADER_PREFIX)?.to_ascii_lowercase();
            HEADERS
                .contains(&name.as_str())
                .then_some((name, value.as_str()))
        });
        Ok(Self {
            url: &source.identifier,
            filename: attr("http.filename").unwrap_or_default(),
            checksum: checksum.map_err(|_| bad())?,
            perm: number("http.perm", 0o600)?,
            owner: Owner {
                uid: number("http.uid", 0)?,
                gid: number("http.gid", 0)?,
            },
            auth_secret: attr("http.authheadersecret"),
            headers: headers.collect(),
        })
    }

    /// Returns the key under which what is known of the address is kept.
    pub(super) fn memory_key(&self) -> CacheKey {
        let checksum = self.checksum.as_ref().map(ToString::to_string);
        let parts = [
            self.url,
            self.filename,
            &self.attributes(),
            checksum.as_deref().unwrap_or_default(),
        ];
        CacheKey::of("http memory 2", &parts.map(str::as_bytes))
    }

    /// Returns the key of a file with these properties.
    pub(super) fn content_key(
        &self,
        name: &str,
        digest: &Digest,
        last_modified: Option<&str>,
    ) -> CacheKey {
        let digest = digest.to_string();
        let parts = [
            name,
            &self.attributes(),
            &digest,
            last_modified.unwrap_or_default(),
        ];
        CacheKey::of("http content 2", &parts.map(str::as_bytes))
    }

    fn attributes(&self) -> String {
        let Owner { uid, gid } = self.owner;
        let secret = self.auth_secret;
        format!("{} {uid} {gid} {secret:?} {:?}", self.perm, self.headers)
    }

    /// Returns the headers to send, credentials among them.
    pub(super) fn headers(
        &self,
        secrets: &Secrets,
    ) -> Result<Vec<(HeaderName, HeaderValue)>, StepError> {
        let mut headers = Vec::new();
        for (name, value) in &self.headers {
            let name = name.parse::<HeaderName>();
            if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
                headers.push((name, value));
            }
        }
        let credentials = self.credentials(secrets);
        if let Some((id, text)) = credentials.map_err(|error| self.failed(error))? {
            let value = HeaderValue::from_bytes(&text);
            let mut value = value.map_err(|_| self.failed(HttpError::Secret(id)))?;
            value.set_sensitive(true);
            headers.push((AUTHORIZATION, value));
        }
        Ok(headers)
    }

    /// Returns the secret that is shown to the server, and its name.
    fn credentials(&self, secrets: &Secrets) -> Result<Option<(String, Vec<u8>)>, HttpError> {
        if let Some(id) = self.auth_secret {
            let value = secrets.get(id);
            let value = value.ok_or_else(|| HttpError::SecretMissing(id.to_owned()))?;
            return Ok(Some((id.to_owned(), value.to_vec())));
        }
        let url = reqwest::Url::parse(self.url).ok();
        let Some(host) = url.as_ref().and_then(reqwest::Url::host_str) else {
            return Ok(None);
        };
        let token = format!("{AUTH_TOKEN_SECRET}{host}");
        if let Some(value) = secrets.get(&token) {
            return Ok(Some((token, [b"Bearer ", value].concat())));
        }
        let header = format!("{AUTH_HEADER_SECRET}{host}");
        let value = secrets.get(&header).map(<[u8]>::to_vec);
        Ok(value.map(|value| (header, value)))
    }

    pub(super) fn failed(&self, source: HttpError) -> StepError {
        StepError::Http {
            url: without_credentials(self.url),
            source,
        }
    }
}

/// Reads a number as Go writes them: decimal, or octal behind `0` or `0o`.
fn parse_number(text: &str) -> Option<u32> {
    let octal = text.strip_prefix("0o").or_else(|| text.strip_prefix('0'));
    match octal {
        None => text.parse().ok(),
        Some("") => Some(0),
        Some(digits) => u32::from_str_radix(digits, 8).ok(),
    }
}

/// Returns an address as it may be shown.
pub(crate) fn without_credentials(url: &str) -> String {
    match reqwest::Url::parse(url) {
        Ok(mut parsed) => {
            // Both fail only for URLs that cannot have credentials.
            parsed.set_username("").ok();
            parsed.set_password(None).ok();
            parsed.to_string()
        }
        // Not understood, so nobody knows where in it a password is.
        Err(_) => match url.rsplit_once('@') {
            Some((_, rest)) => format!("…@{rest}"),
            None => url.to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(attrs: &[(&str, &str)]) -> SourceOp {
        let owned = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
        SourceOp {
            identifier: "https://user:pass@files.example/a/b".into(),
            attrs: attrs.iter().map(owned).collect(),
        }
    }

    #[test]
    fn credentials_never_show() {
        for (url, shown) in [
            (
                "https://user:secret@files.example/a",
                "https://files.example/a",
            ),
            ("https://user:sec ret@[bad/a", "…@[bad/a"),
        ] {
            assert_eq!(without_credentials(url), shown);
        }
    }

    #[test]
    fn numbers_are_read_as_buildkit_writes_them() {
        for (text, number) in [
            ("0644", Some(0o644)),
            ("0o644", Some(0o644)),
            ("0", Some(0)),
            ("1000", Some(1000)),
            ("x", None),
            ("089", None),
        ] {
            assert_eq!(parse_number(text), number, "{text}");
        }
    }

    #[test]
    fn secrets_become_the_authorization_of_their_host() {
        let mut secrets = Secrets::default();
        secrets.insert("HTTP_AUTH_HEADER_files.example".into(), b"Basic x".to_vec());
        secrets.insert("HTTP_AUTH_TOKEN_other.example".into(), b"t".to_vec());
        secrets.insert("MINE".into(), b"Own y".to_vec());
        let sent = |source: &SourceOp, secrets: &Secrets| {
            let headers = Request::new(source).unwrap().headers(secrets);
            let found = headers.map(|headers| {
                let value = headers.iter().find(|(name, _)| name == AUTHORIZATION);
                value.map(|(_, value)| value.to_str().unwrap().to_owned())
            });
            found.map_err(|error| error.to_string())
        };
        let plain = source(&[]);
        assert_eq!(sent(&plain, &secrets), Ok(Some("Basic x".into())));
        secrets.insert("HTTP_AUTH_TOKEN_files.example".into(), b"t".to_vec());
        assert_eq!(sent(&plain, &secrets), Ok(Some("Bearer t".into())));
        let named = source(&[("http.authheadersecret", "MINE")]);
        assert_eq!(sent(&named, &secrets), Ok(Some("Own y".into())));
        assert!(
            sent(&named, &Secrets::default()).is_err(),
            "it was asked for"
        );
        assert_eq!(sent(&plain, &Secrets::default()), Ok(None));
    }

    #[test]
    fn keys_know_content_and_not_the_address() {
        let digest = oci::sha256(b"x");
        let plain = source(&[]);
        let one = Request::new(&plain).unwrap();
        let moved = SourceOp {
            identifier: "https://elsewhere.example/b".into(),
            ..plain.clone()
        };
        let two = Request::new(&moved).unwrap();
        assert_eq!(
            one.content_key("b", &digest, None),
            two.content_key("b", &digest, None)
        );
        assert_ne!(one.memory_key(), two.memory_key());
        for (what, other) in [
            ("name", one.content_key("c", &digest, None)),
            ("content", one.content_key("b", &oci::sha256(b"y"), None)),
            ("time", one.content_key("b", &digest, Some("then"))),
        ] {
            assert_ne!(other, one.content_key("b", &digest, None), "{what}");
        }
        for attrs in [
            ("http.perm", "0644"),
            ("http.uid", "1"),
            ("http.gid", "1"),
            ("http.authheadersecret", "S"),
            ("http.header.Accept", "text/html"),
        ] {
            let other = source(&[attrs]);
            let other = Request::new(&other)
                .unwrap()
                .content_key("b", &digest, None);
            assert_ne!(other, one.content_key("b", &digest, None), "{attrs:?}");
        }
        let ignored = source(&[("http.header.cookie", "x")]);
        assert_eq!(
            Request::new(&ignored).unwrap().memory_key(),
            one.memory_key(),
            "headers that are not sent"
        );
    }
}
