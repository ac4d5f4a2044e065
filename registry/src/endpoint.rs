// SPDX-License-Identifier: Apache-2.0
//! The endpoints of the protocol, one table for server and client.
//!
//! A [`Resource`] is what a path names; [`ENDPOINTS`] says which methods it takes and under which
//! number the specification lists them. Paths are read from the right, because a repository name
//! may itself contain `blobs`, `manifests`, `tags` or `uploads`.
//!
//! Does not know queries, headers or bodies.
//!
//! Spec: distribution-spec §Endpoints.

use std::fmt;
use std::str::FromStr;

use http::Method;
use oci::{Digest, Repository, Tag};

/// A repository name within one registry: the path of a [`Repository`].
///
/// Invariant: one or more lower-case components between `/`, at most [`Name::MAX_BYTES`] bytes, so
/// it needs no escaping in a path and holds no `@`.
///
/// Spec: distribution-spec §Pulling manifests, `<name>`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Box<str>);

impl Name {
    /// The longest name. Spec: distribution-spec §Pulling manifests (host and name under 256).
    pub const MAX_BYTES: usize = 255;

    /// Returns the name of `repository` within its registry.
    pub fn of(repository: &Repository) -> Self {
        Self(repository.path().into())
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Name {
    type Err = ParseResourceError;

    fn from_str(text: &str) -> Result<Self, ParseResourceError> {
        if text.len() > Self::MAX_BYTES || !Repository::is_path(text) {
            return Err(ParseResourceError::BadName);
        }
        Ok(Self(text.into()))
    }
}

/// What goes after `/manifests/`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ManifestRef {
    /// The current manifest of a tag.
    Tag(Tag),
    /// One manifest for ever.
    Digest(Digest),
}

impl fmt::Display for ManifestRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => tag.fmt(f),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

impl FromStr for ManifestRef {
    type Err = ParseResourceError;

    fn from_str(text: &str) -> Result<Self, ParseResourceError> {
        // No tag holds a colon, every digest does.
        if text.contains(':') {
            let digest = text.parse();
            return digest
                .map(Self::Digest)
                .map_err(|_| ParseResourceError::BadDigest);
        }
        let tag = text.parse();
        tag.map(Self::Tag).map_err(|_| ParseResourceError::BadTag)
    }
}

/// What the path of a request names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resource {
    /// `/v2/`
    Base,
    /// `/v2/_catalog`, every repository. Docs: distribution's catalog API; the specification
    /// reserves the name.
    Catalog,
    /// `/v2/_oci/ext/discover`, what the registry can do beyond the protocol. Spec: distribution-spec
    /// `extensions/_oci.md`.
    Extensions,
    /// `/v2/<name>/tags/list`
    Tags(Name),
    /// `/v2/<name>/blobs/uploads/`, where uploads start.
    Uploads(Name),
    /// `/v2/<name>/blobs/uploads/<session>`, one upload. The session is the server's own text.
    Upload(Name, String),
    /// `/v2/<name>/blobs/<digest>`
    Blob(Name, Digest),
    /// `/v2/<name>/manifests/<reference>`
    Manifest(Name, ManifestRef),
    /// `/v2/<name>/referrers/<digest>`
    Referrers(Name, Digest),
}

/// Why a path names no resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseResourceError {
    /// The path has none of the shapes.
    #[error("path is not one of the distribution API")]
    NoSuchPath,
    /// The part before `/blobs/` and so on breaks the grammar of names.
    #[error("repository name is not valid")]
    BadName,
    /// The reference is neither digest nor tag.
    #[error("tag is not valid")]
    BadTag,
    /// Not a digest, or of an algorithm other than sha256 and sha512.
    #[error("digest is not valid")]
    BadDigest,
}

impl Resource {
    /// The longest path that is looked at. Ours: name, digest and words fit in half of it.
    pub const PATH_MAX_BYTES: usize = 1024;

    /// Returns the resource that `path` names; `path` is percent-encoded, without query.
    ///
    /// # Errors
    ///
    /// [`ParseResourceError`].
    pub fn parse(path: &str) -> Result<Self, ParseResourceError> {
        if path.len() > Self::PATH_MAX_BYTES {
            return Err(ParseResourceError::NoSuchPath);
        }
        let rest = match path {
            "/v2" | "/v2/" => return Ok(Self::Base),
            "/v2/_catalog" => return Ok(Self::Catalog),
            "/v2/_oci/ext/discover" => return Ok(Self::Extensions),
            _ => path.strip_prefix("/v2/"),
        };
        let rest = rest.ok_or(ParseResourceError::NoSuchPath)?;
        let decoded = percent_decode(rest).ok_or(ParseResourceError::NoSuchPath)?;
        Self::parse_named(&decoded)
    }

    fn parse_named(rest: &str) -> Result<Self, ParseResourceError> {
        let nowhere = ParseResourceError::NoSuchPath;
        for start in ["/blobs/uploads/", "/blobs/uploads"] {
            if let Some(name) = rest.strip_suffix(start) {
                return Ok(Self::Uploads(name.parse()?));
            }
        }
        let (head, last) = rest.rsplit_once('/').ok_or(nowhere)?;
        let (name, word) = head.rsplit_once('/').ok_or(nowhere)?;
        match word {
            "manifests" => Ok(Self::Manifest(name.parse()?, last.parse()?)),
            "blobs" => Ok(Self::Blob(name.parse()?, parse_digest(last)?)),
            "referrers" => Ok(Self::Referrers(name.parse()?, parse_digest(last)?)),
            "tags" if last == "list" => Ok(Self::Tags(name.parse()?)),
            "uploads" => {
                let name = name.strip_suffix("/blobs").ok_or(nowhere)?;
                Ok(Self::Upload(name.parse()?, last.to_owned()))
            }
            _ => Err(nowhere),
        }
    }

    /// Returns the path, ready to be put into a request.
    pub fn path(&self) -> String {
        match self {
            Self::Base => "/v2/".into(),
            Self::Catalog => "/v2/_catalog".into(),
            Self::Extensions => "/v2/_oci/ext/discover".into(),
            Self::Tags(name) => format!("/v2/{name}/tags/list"),
            Self::Uploads(name) => format!("/v2/{name}/blobs/uploads/"),
            Self::Upload(name, session) => format!("/v2/{name}/blobs/uploads/{session}"),
            Self::Blob(name, digest) => format!("/v2/{name}/blobs/{digest}"),
            Self::Manifest(name, reference) => format!("/v2/{name}/manifests/{reference}"),
            Self::Referrers(name, digest) => format!("/v2/{name}/referrers/{digest}"),
        }
    }

    /// Returns the repository, if the resource lies in one.
    pub fn name(&self) -> Option<&Name> {
        match self {
            Self::Base | Self::Catalog | Self::Extensions => None,
            Self::Tags(name)
            | Self::Uploads(name)
            | Self::Upload(name, _)
            | Self::Blob(name, _)
            | Self::Manifest(name, _)
            | Self::Referrers(name, _) => Some(name),
        }
    }

    /// Returns the kind, under which [`ENDPOINTS`] lists it.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Base => Kind::Base,
            Self::Catalog => Kind::Catalog,
            Self::Extensions => Kind::Extensions,
            Self::Tags(_) => Kind::Tags,
            Self::Uploads(_) => Kind::Uploads,
            Self::Upload(..) => Kind::Upload,
            Self::Blob(..) => Kind::Blob,
            Self::Manifest(..) => Kind::Manifest,
            Self::Referrers(..) => Kind::Referrers,
        }
    }

    /// Returns the methods that the resource takes, for `Allow`.
    pub fn methods(&self) -> impl Iterator<Item = &'static Method> {
        let kind = self.kind();
        let listed = ENDPOINTS.iter().filter(move |row| row.kind == kind);
        listed.map(|row| &row.method)
    }
}

/// A [`Resource`] without its parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is documented at `Resource`")]
pub enum Kind {
    Base,
    Catalog,
    Extensions,
    Tags,
    Uploads,
    Upload,
    Blob,
    Manifest,
    Referrers,
}

/// One row of the specification's table.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// The specification's number, or a word where it has none.
    pub id: &'static str,
    /// The method.
    pub method: Method,
    /// What the path names.
    pub kind: Kind,
    /// The status of success. Rows that differ only in the query share method and kind.
    pub success: u16,
}

const fn row(id: &'static str, method: Method, kind: Kind, success: u16) -> Endpoint {
    Endpoint {
        id,
        method,
        kind,
        success,
    }
}

/// Every endpoint. Spec: distribution-spec §Endpoints (end-14, cancel, is of the development
/// version).
pub static ENDPOINTS: &[Endpoint] = &[
    row("end-1", Method::GET, Kind::Base, 200),
    row("end-1", Method::HEAD, Kind::Base, 200),
    row("end-2", Method::GET, Kind::Blob, 200),
    row("end-2", Method::HEAD, Kind::Blob, 200),
    row("end-3", Method::GET, Kind::Manifest, 200),
    row("end-3", Method::HEAD, Kind::Manifest, 200),
    row("end-4a, end-4b, end-11", Method::POST, Kind::Uploads, 202),
    row("end-5", Method::PATCH, Kind::Upload, 202),
    row("end-6", Method::PUT, Kind::Upload, 201),
    row("end-7", Method::PUT, Kind::Manifest, 201),
    row("end-8a, end-8b", Method::GET, Kind::Tags, 200),
    row("end-9", Method::DELETE, Kind::Manifest, 202),
    row("end-10", Method::DELETE, Kind::Blob, 202),
    row("end-12a, end-12b", Method::GET, Kind::Referrers, 200),
    row("end-13", Method::GET, Kind::Upload, 204),
    row("end-14", Method::DELETE, Kind::Upload, 204),
    row("catalog", Method::GET, Kind::Catalog, 200),
    row("discover", Method::GET, Kind::Extensions, 200),
    // Spec: RFC 9110 §9.1: whatever takes GET takes HEAD.
    row("HEAD", Method::HEAD, Kind::Tags, 200),
    row("HEAD", Method::HEAD, Kind::Referrers, 200),
    row("HEAD", Method::HEAD, Kind::Upload, 204),
    row("HEAD", Method::HEAD, Kind::Catalog, 200),
    row("HEAD", Method::HEAD, Kind::Extensions, 200),
];

fn parse_digest(text: &str) -> Result<Digest, ParseResourceError> {
    text.parse().map_err(|_| ParseResourceError::BadDigest)
}

/// Decodes `%41` and the like; none if malformed or not UTF-8 afterwards.
fn percent_decode(text: &str) -> Option<String> {
    if !text.contains('%') {
        return Some(text.to_owned());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let high = char::from(rest.next()?).to_digit(16)?;
            let low = char::from(rest.next()?).to_digit(16)?;
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn paths_read_back_as_what_was_written() {
        let digest: Digest = format!("sha256:{HEX}").parse().unwrap();
        for name in [
            "a",
            "library/ubuntu",
            "blobs",
            "a/blobs/uploads",
            "tags",
            "a/tags/list",
            "manifests/blobs",
            "uploads/referrers",
            "v2/a__b/c-d",
        ] {
            let name: Name = name.parse().unwrap();
            let tag = ManifestRef::Tag("list".parse().unwrap());
            for resource in [
                Resource::Base,
                Resource::Catalog,
                Resource::Extensions,
                Resource::Tags(name.clone()),
                Resource::Uploads(name.clone()),
                Resource::Upload(name.clone(), "abc_-9".into()),
                Resource::Blob(name.clone(), digest.clone()),
                Resource::Manifest(name.clone(), tag),
                Resource::Manifest(name.clone(), ManifestRef::Digest(digest.clone())),
                Resource::Referrers(name.clone(), digest.clone()),
            ] {
                assert_eq!(Resource::parse(&resource.path()), Ok(resource));
            }
        }
    }

    #[test]
    fn odd_and_hostile_paths() {
        use ParseResourceError::{BadDigest, BadName, BadTag, NoSuchPath};
        let long = format!("/v2/{}a/tags/list", "a/".repeat(128));
        for (path, error) in [
            ("/", NoSuchPath),
            ("/v1/", NoSuchPath),
            ("/v2/a", NoSuchPath),
            ("/v2/a/b", NoSuchPath),
            ("/v2/a/tags/lists", NoSuchPath),
            ("/v2/a/uploads/x", NoSuchPath),
            ("/v2/a/%zz/list", NoSuchPath),
            ("/v2/a%2", NoSuchPath),
            ("/v2/../etc/manifests/x", BadName),
            ("/v2/%2e%2e/manifests/x", BadName),
            ("/v2/A/manifests/x", BadName),
            ("/v2//manifests/x", BadName),
            ("/v2/a%00b/manifests/x", BadName),
            ("/v2/a/@t/manifests/x", BadName),
            ("/v2/a/manifests/", BadTag),
            ("/v2/a/manifests/-x", BadTag),
            ("/v2/a/manifests/sha256:baddigeststring", BadDigest),
            ("/v2/a/blobs/sha256:zz", BadDigest),
            ("/v2/a/blobs/latest", BadDigest),
            (&long, BadName),
        ] {
            assert_eq!(Resource::parse(path), Err(error), "{path}");
        }
        let escaped = format!("/v2/a/blobs/sha256%3A{HEX}");
        assert!(Resource::parse(&escaped).is_ok(), "{escaped}");
    }

    #[test]
    fn whatever_parses_names_the_same_when_written() {
        let paths = [
            format!("/v2/a/b/blobs/sha256:{HEX}"),
            "/v2/a-b/manifests/v1.0".into(),
            "/v2/a/blobs/uploads/AbC-_9".into(),
            "/v2/a__b/tags/list".into(),
        ];
        for path in paths {
            for at in 0..path.len() {
                for byte in [0, b' ', b'%', b'/', b'.', b'@', b':', b'A', b'a', 0x7f] {
                    let mut bytes = path.clone().into_bytes();
                    bytes[at] = byte;
                    let changed = String::from_utf8(bytes).unwrap();
                    for text in [&changed, &changed[..at], &changed[at..]] {
                        if let Ok(resource) = Resource::parse(text) {
                            assert_eq!(Resource::parse(&resource.path()), Ok(resource), "{text}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn every_kind_has_a_method() {
        for resource in [Resource::Base, Resource::Tags("a".parse().unwrap())] {
            assert!(resource.methods().any(|method| method == Method::GET));
        }
    }
}
