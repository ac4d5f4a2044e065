// SPDX-License-Identifier: Apache-2.0
//! Image references as people type them: `[host[:port]/]path[:tag][@digest]`.
//!
//! Defaults are Docker's: no host means `docker.io`, a one-part path there means `library/…`,
//! neither tag nor digest means `latest`.
//!
//! Spec: distribution's reference grammar; distribution-spec §Pulling manifests (`<name>`,
//! `<reference>`).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Digest, ParseDigestError};

/// The registry that a reference without a host means.
const DEFAULT_HOST: &str = "docker.io";
/// The longest repository name, host included. Spec: distribution's `NameTotalLengthMax`.
const NAME_MAX_BYTES: usize = 255;
/// The longest tag. Spec: distribution-spec §Pulling manifests.
const TAG_MAX_BYTES: usize = 128;

/// A repository: registry host and path.
///
/// Invariant: `host` is a host name or address with optional port; `path` is one or more lower-case
/// components between `/`, so it is safe in a URL; together at most 255 bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Repository {
    host: Box<str>,
    path: Box<str>,
}

impl Repository {
    /// Returns the registry host with its port if any, e.g. `docker.io` or `localhost:5000`.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Tells whether `text` may be the path of a repository, whatever the host.
    ///
    /// Spec: distribution-spec §Pulling manifests, `<name>`.
    pub fn is_path(text: &str) -> bool {
        text.len() <= NAME_MAX_BYTES && text.split('/').all(is_path_component)
    }

    /// Returns the path within the registry, e.g. `library/ubuntu`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns the repository of the same path on another `host`.
    ///
    /// # Errors
    ///
    /// [`ParseReferenceError`] if `host` is not a host.
    pub fn on_host(&self, host: &str) -> Result<Self, ParseReferenceError> {
        if !is_host(host) {
            return Err(ParseReferenceError::BadHost(host.into()));
        }
        Ok(Self {
            host: host.into(),
            path: self.path.clone(),
        })
    }

    /// Returns the name as Docker shows it: without `docker.io/` and `library/`.
    pub fn familiar(&self) -> &str {
        if &*self.host != DEFAULT_HOST {
            return "";
        }
        self.path.strip_prefix("library/").unwrap_or(&self.path)
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.path)
    }
}

/// A tag. Invariant: `[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(Box<str>);

impl Tag {
    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Tag {
    type Err = ParseReferenceError;

    fn from_str(text: &str) -> Result<Self, ParseReferenceError> {
        let first = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let rest = |byte: u8| first(byte) || byte == b'.' || byte == b'-';
        let fine = text.len() <= TAG_MAX_BYTES
            && text.bytes().next().is_some_and(first)
            && text.bytes().all(rest);
        if !fine {
            return Err(ParseReferenceError::BadTag(text.into()));
        }
        Ok(Self(text.into()))
    }
}

/// Names an image: repository, and tag or digest or both.
///
/// Invariant: at least one of tag and digest is there. With both, the digest decides.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    repository: Repository,
    tag: Option<Tag>,
    digest: Option<Digest>,
}

/// Why a text is not a reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseReferenceError {
    /// Nothing is there.
    #[error("reference is empty")]
    Empty,
    /// The host part is not a host name, address, or `host:port`.
    #[error("`{0}` is not a registry host")]
    BadHost(String),
    /// A path component breaks the grammar.
    #[error(
        "`{0}` is not a repository name (lower-case letters, digits, and single `.`, `_`, `-` between them)"
    )]
    BadPath(String),
    /// Upper case in a repository name, the most common mistake.
    #[error("repository name `{0}` must be lower case")]
    UpperCase(String),
    /// Host and path together are too long.
    #[error("repository name is longer than {NAME_MAX_BYTES} bytes")]
    TooLong,
    /// The tag breaks the grammar.
    #[error("`{0}` is not a tag (letters, digits, `_`, `.`, `-`; at most {TAG_MAX_BYTES})")]
    BadTag(String),
    /// The part after `@` is not a digest.
    #[error("`{text}` is not a digest")]
    BadDigest {
        /// The part after `@`.
        text: String,
        /// What is wrong with it.
        source: ParseDigestError,
    },
    /// 64 hexadecimal characters: Docker reads that as an image ID, so it is no name.
    #[error("`{0}` looks like an image ID, not a repository name")]
    LooksLikeId(String),
}

impl Reference {
    /// Returns the reference of `tag` in `repository`.
    pub fn with_tag(repository: Repository, tag: Tag) -> Self {
        Self {
            repository,
            tag: Some(tag),
            digest: None,
        }
    }

    /// Returns the reference of the manifest `digest` in `repository`.
    pub fn with_digest(repository: Repository, digest: Digest) -> Self {
        Self {
            repository,
            tag: None,
            digest: Some(digest),
        }
    }

    /// Returns the repository.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// Returns the tag, if one was given or implied.
    pub fn tag(&self) -> Option<&Tag> {
        self.tag.as_ref()
    }

    /// Returns the digest, if one was given.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// Returns the same image pinned to `digest`; the tag stays for display.
    #[must_use]
    pub fn pinned(&self, digest: Digest) -> Self {
        Self {
            digest: Some(digest),
            ..self.clone()
        }
    }

    /// Returns what goes after `/manifests/` in a request: the digest, else the tag.
    pub fn manifest_reference(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.to_string(),
            (None, None) => "latest".into(),
        }
    }

    /// Returns the short form people type: `ubuntu:latest`, `localhost:5000/app:1`.
    pub fn familiar(&self) -> String {
        let name = match self.repository.familiar() {
            "" => self.repository.to_string(),
            short => short.to_owned(),
        };
        self.suffixed(name)
    }

    fn suffixed(&self, mut name: String) -> String {
        if let Some(tag) = &self.tag {
            name = format!("{name}:{tag}");
        }
        if let Some(digest) = &self.digest {
            name = format!("{name}@{digest}");
        }
        name
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.suffixed(self.repository.to_string()))
    }
}

impl FromStr for Repository {
    type Err = ParseReferenceError;

    fn from_str(text: &str) -> Result<Self, ParseReferenceError> {
        if text.is_empty() {
            return Err(ParseReferenceError::Empty);
        }
        let (host, path) = match text.split_once('/') {
            Some((first, rest)) if looks_like_host(first) => (first, rest.to_owned()),
            _ => (DEFAULT_HOST, text.to_owned()),
        };
        let (host, path) = match host {
            "index.docker.io" | "registry-1.docker.io" => (DEFAULT_HOST, path),
            other => (other, path),
        };
        if !is_host(host) {
            return Err(ParseReferenceError::BadHost(host.into()));
        }
        let path = if host == DEFAULT_HOST && !path.contains('/') {
            format!("library/{path}")
        } else {
            path
        };
        if path.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(ParseReferenceError::UpperCase(text.into()));
        }
        if !path.split('/').all(is_path_component) {
            return Err(ParseReferenceError::BadPath(text.into()));
        }
        if host.len() + 1 + path.len() > NAME_MAX_BYTES {
            return Err(ParseReferenceError::TooLong);
        }
        Ok(Self {
            host: host.into(),
            path: path.into(),
        })
    }
}

impl FromStr for Reference {
    type Err = ParseReferenceError;

    fn from_str(text: &str) -> Result<Self, ParseReferenceError> {
        let is_id = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_id {
            return Err(ParseReferenceError::LooksLikeId(text.into()));
        }
        let (name, digest) = match text.split_once('@') {
            None => (text, None),
            Some((name, digest)) => {
                let bad = |source| ParseReferenceError::BadDigest {
                    text: digest.into(),
                    source,
                };
                (name, Some(digest.parse::<Digest>().map_err(bad)?))
            }
        };
        // A colon is a tag separator only after the last slash: before it, it starts a port.
        let slash = name.rfind('/').map_or(0, |at| at + 1);
        let (name, tag) = match name[slash..].split_once(':') {
            None => (name, None),
            Some((last, tag)) => (&name[..slash + last.len()], Some(tag.parse::<Tag>()?)),
        };
        let repository = name.parse::<Repository>()?;
        let tag = match (tag, &digest) {
            (None, None) => Some(Tag("latest".into())),
            (tag, _) => tag,
        };
        Ok(Self {
            repository,
            tag,
            digest,
        })
    }
}

impl Serialize for Reference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Tells a host from a first path component, as Docker does: it has a dot or a port, is
/// `localhost`, an IPv6 address, or has upper case (which no path may have).
fn looks_like_host(first: &str) -> bool {
    first == "localhost"
        || first.contains(['.', ':', '['])
        || first.bytes().any(|byte| byte.is_ascii_uppercase())
}

fn is_host(text: &str) -> bool {
    let (name, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let Some((address, after)) = rest.split_once(']') else {
                return false;
            };
            if address.parse::<std::net::Ipv6Addr>().is_err() {
                return false;
            }
            match after.strip_prefix(':') {
                Some(port) => ("ipv6", Some(port)),
                None if after.is_empty() => ("ipv6", None),
                None => return false,
            }
        }
        None => match text.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (text, None),
        },
    };
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    name.split('.').all(label) && port.is_none_or(|port| port.parse::<u16>().is_ok())
}

/// `[a-z0-9]+` joined by `.`, `_`, `__` or any number of `-`.
fn is_path_component(text: &str) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    if !bytes.first().copied().is_some_and(alphanumeric)
        || !bytes.last().copied().is_some_and(alphanumeric)
    {
        return false;
    }
    text.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        .all(|separator| {
            matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|byte| byte == b'-')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_dockers() {
        for (text, full) in [
            ("ubuntu", "docker.io/library/ubuntu:latest"),
            ("node:18", "docker.io/library/node:18"),
            ("acme/app", "docker.io/acme/app:latest"),
            ("index.docker.io/acme/app", "docker.io/acme/app:latest"),
            ("localhost/app", "localhost/app:latest"),
            ("localhost:5000/a/b:1", "localhost:5000/a/b:1"),
            ("[::1]:5000/app", "[::1]:5000/app:latest"),
            ("registry.example/app", "registry.example/app:latest"),
            (
                "127.0.0.1:5000/x__y/z-a.b:v1.0_-",
                "127.0.0.1:5000/x__y/z-a.b:v1.0_-",
            ),
        ] {
            assert_eq!(
                text.parse::<Reference>().unwrap().to_string(),
                full,
                "{text}"
            );
        }
    }

    #[test]
    fn familiar_form_reads_back_as_the_same() {
        for text in ["ubuntu:latest", "acme/app:1", "localhost:5000/app:1"] {
            let reference: Reference = text.parse().unwrap();
            assert_eq!(reference.familiar(), text);
            assert_eq!(
                reference.familiar().parse::<Reference>().unwrap(),
                reference
            );
        }
    }

    #[test]
    fn a_digest_needs_no_tag() {
        let digest = crate::sha256(b"x");
        let reference: Reference = format!("app@{digest}").parse().unwrap();
        assert_eq!(reference.tag(), None);
        assert_eq!(reference.digest(), Some(&digest));
        assert_eq!(reference.manifest_reference(), digest.to_string());
        let both: Reference = format!("app:1@{digest}").parse().unwrap();
        assert_eq!(both.manifest_reference(), digest.to_string());
    }

    #[test]
    fn bad_references_are_refused() {
        for text in [
            "",
            ":",
            "@",
            "/",
            "app:",
            "App",
            "a//b",
            "a/../b",
            "-a",
            "a-",
            "a..b",
            "a___b",
            "a b",
            "app@sha256:12",
            "host:99999/x",
            "app:.tag",
            "a/b/",
            "ünï",
            "0123456789012345678901234567890123456789012345678901234567890123",
        ] {
            assert!(text.parse::<Reference>().is_err(), "{text:?}");
        }
        let long = format!("a{}", "/b".repeat(200));
        assert_eq!(long.parse::<Reference>(), Err(ParseReferenceError::TooLong));
    }
}
