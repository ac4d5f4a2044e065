// SPDX-License-Identifier: Apache-2.0
//! A server with users and rules, and what clients say to sign in.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use registry::server::auth::{Actions, AuthConfig, Rule};
use registry::server::monitor::Monitor;

use crate::peer::{Answer, Request, Server};

/// A server whose users are amy (administrator), bob, ci and eve; each has his name as password.
pub(crate) struct Guarded {
    pub(crate) server: Server,
    pub(crate) folder: tempfile::TempDir,
}

pub(crate) fn users(names: &[&str]) -> String {
    let lines = names.iter().map(|name| {
        let hash = bcrypt::hash(name, 4).unwrap();
        format!("{name}:{hash}\n")
    });
    lines.collect()
}

pub(crate) fn rule(pattern: &str, who: &str, actions: &[&str]) -> Rule {
    Rule {
        repositories: pattern.parse().unwrap(),
        who: vec![who.parse().unwrap()],
        actions: Actions::from_words(actions.iter().copied()).unwrap(),
    }
}

impl Guarded {
    /// Starts a server whose access control `change` has changed.
    pub(crate) fn with(change: impl FnOnce(&mut AuthConfig)) -> Self {
        Self::watched(change, None)
    }

    /// Starts a server that `monitor` watches.
    pub(crate) fn watched(
        change: impl FnOnce(&mut AuthConfig),
        monitor: Option<Arc<Monitor>>,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users");
        std::fs::write(&path, users(&["amy", "bob", "ci", "eve"])).unwrap();
        let mut auth = AuthConfig {
            htpasswd: Some(path),
            admins: vec!["amy".into()],
            rules: vec![
                rule("private/**", "bob", &["pull"]),
                rule("private/**", "*", &[]),
                rule("public/**", "anonymous", &["pull"]),
                rule("team/*", "ci", &["push"]),
                rule("**", "*", &[]),
            ],
            fail_delay: Duration::from_millis(1),
            ..AuthConfig::default()
        };
        change(&mut auth);
        Self {
            server: Server::with(|config| {
                config.auth = Some(auth);
                if let Some(monitor) = monitor {
                    config.monitor = monitor;
                }
            }),
            folder,
        }
    }

    pub(crate) fn start() -> Self {
        Self::with(|_| {})
    }

    /// Asks for a token; returns the whole answer.
    pub(crate) fn ask(&self, user: Option<&str>, query: &str) -> Answer {
        let request = Request::new("GET", &format!("/token?service=kiln&{query}"));
        self.server.send(&match user {
            Some(name) => request.header("authorization", &basic(name, name)),
            None => request,
        })
    }

    /// Returns the header with a token of `user` for `scope`.
    pub(crate) fn token(&self, user: Option<&str>, scope: &str) -> String {
        let answer = self.ask(user, &format!("scope={scope}"));
        assert_eq!(answer.status, 200, "{answer:?}");
        format!("Bearer {}", answer.json()["token"].as_str().unwrap())
    }

    pub(crate) fn send(&self, request: Request, authorization: Option<&str>) -> Answer {
        self.server.send(&match authorization {
            Some(value) => request.header("authorization", value),
            None => request,
        })
    }

    /// Uploads a blob as amy.
    pub(crate) fn push_blob(&self, name: &str, bytes: &[u8]) -> oci::Digest {
        let digest = oci::sha256(bytes);
        let path = format!("/v2/{name}/blobs/uploads/?digest={digest}");
        let request = Request::new("POST", &path).body(bytes);
        let answer = self.send(request, Some(&basic("amy", "amy")));
        assert_eq!(answer.status, 201, "{answer:?}");
        digest
    }

    /// Opens an upload; returns its whole address.
    pub(crate) fn open_upload(&self, name: &str, authorization: &str) -> String {
        let request = Request::new("POST", &format!("/v2/{name}/blobs/uploads/")).body(b"");
        let answer = self.send(request, Some(authorization));
        assert_eq!(answer.status, 202, "{answer:?}");
        answer.header("location").unwrap().to_owned()
    }
}

pub(crate) fn basic(name: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
}
