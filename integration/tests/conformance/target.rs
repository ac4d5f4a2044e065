// SPDX-License-Identifier: Apache-2.0
//! A registry as the conformance rows see it: requests that log in by themselves, as clients do.
//!
//! Spec: distribution-spec; the token flow of distribution's documentation.

use std::collections::HashMap;

use integration::http::{Client, Request, Response};
use oci::{Algorithm, Digest, Hasher};

/// The token flow needs two requests before the one that counts.
const LOGINS_MAX: usize = 2;

/// Which requirements hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// 1.1.
    Released,
    /// 1.1 and what came to the specification since.
    Development,
}

/// One registry under test.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) version: Version,
    client: Client,
    login: Option<(String, String)>,
    /// By repository and method, as clients keep them.
    tokens: HashMap<(String, String), String>,
    row: String,
    /// Ask for a new connection each time: a balancer then picks another replica.
    closes: bool,
}

/// One request.
#[derive(Clone, Debug)]
pub(super) struct Call {
    method: &'static str,
    target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Call {
    pub(super) fn new(method: &'static str, target: impl Into<String>) -> Self {
        Self {
            method,
            target: target.into(),
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    pub(super) fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub(super) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Sends the body in chunks of the transfer coding, its length unsaid.
    pub(super) fn streamed(self) -> Self {
        self.header("Transfer-Encoding", "chunked")
    }

    /// Adds `key=value` to the query.
    pub(super) fn query(mut self, key: &str, value: &str) -> Self {
        let mark = if self.target.contains('?') { '&' } else { '?' };
        let value = value
            .replace('+', "%2B")
            .replace('/', "%2F")
            .replace(':', "%3A");
        self.target = format!("{}{mark}{key}={value}", self.target);
        self
    }
}

impl Target {
    pub(super) fn new(address: &str, version: Version) -> Self {
        Self {
            version,
            client: Client::new(address),
            login: None,
            tokens: HashMap::new(),
            row: String::new(),
            closes: false,
        }
    }

    /// Logs in when the registry asks for it.
    pub(super) fn with_login(mut self, user: &str, password: &str) -> Self {
        self.login = Some((user.into(), password.into()));
        self
    }

    /// Sends every request on a connection of its own.
    pub(super) fn with_connections(mut self) -> Self {
        self.closes = true;
        self
    }

    /// Says which row is next; its repositories are its own.
    pub(super) fn begin(&mut self, row: &str) {
        self.row = row.to_owned();
    }

    /// Returns the first repository of this row.
    pub(super) fn repository(&self) -> String {
        format!("conformance/{}/one", self.row)
    }

    /// Returns the second repository of this row.
    pub(super) fn other_repository(&self) -> String {
        format!("conformance/{}/two", self.row)
    }

    /// Sends a request, with a token where one is asked for.
    pub(super) fn send(&mut self, call: &Call) -> Response {
        let place = (repository_of(&call.target), call.method.to_owned());
        for _ in 0..LOGINS_MAX {
            let token = self.tokens.get(&place).cloned();
            let answer = self.send_once(call, token.as_deref());
            let Some(challenge) = answer
                .header("www-authenticate")
                .filter(|_| answer.status == 401 && self.login.is_some())
            else {
                return answer;
            };
            let token = self.token(challenge);
            self.tokens.insert(place.clone(), token);
        }
        panic!("{call:?} is refused with a token that was made for it");
    }

    fn send_once(&mut self, call: &Call, token: Option<&str>) -> Response {
        let mut headers = call.headers.clone();
        if let Some(token) = token {
            headers.push(("Authorization".into(), format!("Bearer {token}")));
        }
        if self.closes {
            headers.push(("Connection".into(), "close".into()));
        }
        let headers: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (&**n, &**v)).collect();
        let request = Request {
            method: call.method,
            target: &call.target,
            headers: &headers,
            body: &call.body,
        };
        let answer = self.client.send(&request);
        answer.unwrap_or_else(|error| panic!("{} {}: {error}", call.method, call.target))
    }

    fn token(&mut self, challenge: &str) -> String {
        let (user, password) = self.login.clone().expect("asked for with a login only");
        let parameter = |name: &str| {
            let (_, rest) = challenge.split_once(&format!("{name}=\""))?;
            rest.split_once('"').map(|(value, _)| value.to_owned())
        };
        assert!(challenge.starts_with("Bearer "), "{challenge}");
        let realm = parameter("realm").expect("a challenge has a realm");
        let mut call = Call::new("GET", realm);
        for name in ["service", "scope"] {
            if let Some(value) = parameter(name) {
                call = call.query(name, &value.replace(' ', "%20"));
            }
        }
        let basic = base64(format!("{user}:{password}").as_bytes());
        let answer = self.send_once(
            &call.header("Authorization", format!("Basic {basic}")),
            None,
        );
        assert_eq!(answer.status, 200, "{answer:?}");
        let body = json(&answer);
        let token = body.get("access_token").or_else(|| body.get("token"));
        let token = token.and_then(|token| token.as_str());
        token.expect("a token answer has a token").to_owned()
    }

    pub(super) fn get(&mut self, path: &str) -> Response {
        self.send(&Call::new("GET", path))
    }

    pub(super) fn head(&mut self, path: &str) -> Response {
        self.send(&Call::new("HEAD", path))
    }

    pub(super) fn delete(&mut self, path: &str) -> Response {
        self.send(&Call::new("DELETE", path))
    }

    /// Opens an upload and returns its location.
    pub(super) fn open_upload(&mut self, name: &str) -> String {
        let answer = self.send(&Call::new("POST", uploads(name)));
        assert_eq!(answer.status, 202, "{answer:?}");
        location(&answer)
    }

    /// Pushes a blob by POST and PUT.
    pub(super) fn push_blob(&mut self, name: &str, digest: &Digest, bytes: &[u8]) {
        let put = Call::new("PUT", self.open_upload(name));
        let put = put.query("digest", &digest.to_string()).body(bytes);
        let answer = self.send(&put.header("Content-Type", "application/octet-stream"));
        assert_eq!(answer.status, 201, "{answer:?}");
        self.created_blob(&answer, digest, bytes);
    }

    /// Ends the test unless `answer` says that the blob was made and where it is.
    pub(super) fn created_blob(&mut self, answer: &Response, digest: &Digest, bytes: &[u8]) {
        assert_eq!(answer.status, 201, "{answer:?}");
        self.says_digest(answer, digest);
        let got = self.get(&location(answer));
        assert_eq!(got.status, 200, "{got:?}");
        assert_eq!(got.body, bytes);
    }

    /// Ends the test unless the digest header is right, and there if the version wants it.
    pub(super) fn says_digest(&self, answer: &Response, digest: &Digest) {
        match answer.header("docker-content-digest") {
            Some(said) => assert_eq!(said, digest.to_string()),
            None => assert_eq!(self.version, Version::Released, "{answer:?}"),
        }
    }
}

fn repository_of(target: &str) -> String {
    let path = target.split('?').next().unwrap_or_default();
    let parts = ["/blobs/", "/manifests/", "/tags/", "/referrers/"];
    let end = parts.iter().filter_map(|part| path.rfind(part)).max();
    path.get(..end.unwrap_or(0)).unwrap_or_default().to_owned()
}

pub(super) fn uploads(name: &str) -> String {
    format!("/v2/{name}/blobs/uploads/")
}

pub(super) fn blob_path(name: &str, digest: &Digest) -> String {
    format!("/v2/{name}/blobs/{digest}")
}

/// Returns where an answer leads.
pub(super) fn location(answer: &Response) -> String {
    let location = answer.header("location");
    location
        .unwrap_or_else(|| panic!("no Location: {answer:?}"))
        .to_owned()
}

pub(super) fn json(answer: &Response) -> serde_json::Value {
    serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
}

pub(super) fn digest_of(algorithm: Algorithm, bytes: &[u8]) -> Digest {
    let mut hasher = Hasher::new(algorithm);
    hasher.update(bytes);
    hasher.finish()
}

/// Returns bytes that no other call of another `seed` returns.
pub(super) fn content(seed: &str, count: usize) -> Vec<u8> {
    let pattern = sha_text(seed);
    pattern.bytes().cycle().take(count).collect()
}

fn sha_text(seed: &str) -> String {
    oci::sha256(seed.as_bytes()).to_string()
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let mut bits = 0_u32;
        for at in 0..3 {
            bits = bits << 8 | u32::from(group.get(at).copied().unwrap_or(0));
        }
        for at in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * at) & 63) as usize];
            let used = at <= group.len();
            text.push(if used { char::from(digit) } else { '=' });
        }
    }
    text
}
