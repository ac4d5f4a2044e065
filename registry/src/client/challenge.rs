// SPDX-License-Identifier: Apache-2.0
//! How a registry asks for a sign-in: the header `WWW-Authenticate`. Pure.
//!
//! Spec: RFC 9110 §11.6.1; Docs: distribution's token authentication specification.

use std::fmt;

use oci::Repository;

/// The longest header that is looked at, in bytes.
const HEADER_MAX_BYTES: usize = 16 << 10;

/// What the registry wants to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// A token from the service at `realm`.
    Bearer {
        realm: String,
        service: Option<String>,
        scope: Option<String>,
    },
    /// User and password.
    Basic,
}

/// A right that is asked for. Docs: distribution's token scope.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Scope(String);

impl Scope {
    pub(super) fn pull(repository: &Repository) -> Self {
        Self::of(repository, "pull")
    }

    pub(super) fn push(repository: &Repository) -> Self {
        Self::of(repository, "pull,push")
    }

    pub(super) fn delete(repository: &Repository) -> Self {
        Self::of(repository, "pull,delete")
    }

    pub(super) fn catalog() -> Self {
        Self("registry:catalog:*".into())
    }

    /// Returns the path of the repository, empty for the catalog.
    pub(super) fn path(&self) -> &str {
        let rest = self.0.strip_prefix("repository:").unwrap_or("");
        rest.rsplit_once(':').map_or("", |(path, _)| path)
    }

    fn of(repository: &Repository, actions: &str) -> Self {
        Self(format!("repository:{}:{actions}", repository.path()))
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Challenge {
    /// Returns the best of the challenges in all headers: Bearer before Basic.
    pub(super) fn from_headers(headers: &http::HeaderMap) -> Option<Self> {
        let values = headers.get_all(http::header::WWW_AUTHENTICATE);
        let texts = values.iter().filter_map(|value| value.to_str().ok());
        let found: Vec<Self> = texts.flat_map(Self::parse_all).collect();
        let bearer = |challenge: &&Self| matches!(challenge, Self::Bearer { .. });
        found.iter().find(bearer).or(found.first()).cloned()
    }

    /// Returns every challenge of one header that we can answer.
    fn parse_all(header: &str) -> Vec<Self> {
        if header.len() > HEADER_MAX_BYTES {
            return Vec::new();
        }
        let mut found = Vec::new();
        let mut scheme = String::new();
        let mut parameters: Vec<(String, String)> = Vec::new();
        for item in items(header) {
            match item {
                Item::Scheme(next) => {
                    found.extend(Self::of(&scheme, &parameters));
                    parameters.clear();
                    scheme = next;
                }
                Item::Parameter(name, value) => parameters.push((name, value)),
            }
        }
        found.extend(Self::of(&scheme, &parameters));
        found
    }

    fn of(scheme: &str, parameters: &[(String, String)]) -> Option<Self> {
        let get = |wanted: &str| {
            let found = parameters.iter().find(|(name, _)| name == wanted);
            found.map(|(_, value)| value.clone())
        };
        match scheme {
            "bearer" => Some(Self::Bearer {
                realm: get("realm")?,
                service: get("service"),
                scope: get("scope"),
            }),
            "basic" => Some(Self::Basic),
            _ => None,
        }
    }
}

enum Item {
    Scheme(String),
    Parameter(String, String),
}

/// Splits a header into schemes and parameters; what is neither is skipped.
fn items(header: &str) -> Vec<Item> {
    let mut found = Vec::new();
    let mut rest = header.trim_start_matches([' ', ',']);
    while !rest.is_empty() {
        let end = rest.find([' ', ',', '=']).unwrap_or(rest.len());
        let word = rest[..end].to_ascii_lowercase();
        rest = &rest[end..];
        if let Some(value) = rest.strip_prefix('=') {
            let (value, after) = take_value(value);
            found.push(Item::Parameter(word, value));
            rest = after;
        } else {
            found.push(Item::Scheme(word));
        }
        rest = rest.trim_start_matches([' ', ',']);
    }
    found
}

/// Takes a token or a quoted string from the start of `text`.
fn take_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([' ', ',']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            other => value.push(other),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(headers: &[&str]) -> Option<Challenge> {
        let mut map = http::HeaderMap::new();
        for header in headers {
            map.append(http::header::WWW_AUTHENTICATE, header.parse().unwrap());
        }
        Challenge::from_headers(&map)
    }

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
        Challenge::Bearer {
            realm: realm.into(),
            service: service.map(Into::into),
            scope: scope.map(Into::into),
        }
    }

    #[test]
    fn challenges_as_registries_write_them() {
        for (rule, headers, expected) in [
            (
                "docker hub",
                &[
                    r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull""#,
                ][..],
                Some(bearer(
                    "https://auth.docker.io/token",
                    Some("registry.docker.io"),
                    Some("repository:a/b:pull"),
                )),
            ),
            (
                "a comma inside quotes, unquoted values, odd case",
                &[r#"BEARER Realm="http://x/t?a,b" , service=s,scope="r:a:pull,push""#],
                Some(bearer("http://x/t?a,b", Some("s"), Some("r:a:pull,push"))),
            ),
            (
                "escapes",
                &[r#"Bearer realm="a\"b""#],
                Some(bearer("a\"b", None, None)),
            ),
            ("basic", &[r#"Basic realm="x""#], Some(Challenge::Basic)),
            (
                "bearer wins, whatever the order",
                &[r#"Basic realm="bearer""#, r#"Bearer realm="r""#],
                Some(bearer("r", None, None)),
            ),
            (
                "two in one header",
                &[r#"Basic realm="x", Bearer realm="r",service="s""#],
                Some(bearer("r", Some("s"), None)),
            ),
            ("no realm", &["Bearer"], None),
            ("unknown scheme", &["Negotiate abc"], None),
            (
                "unclosed quote",
                &["Bearer realm=\"r"],
                Some(bearer("r", None, None)),
            ),
            ("nothing", &[], None),
        ] {
            assert_eq!(parse(headers), expected, "{rule}");
        }
    }
}
