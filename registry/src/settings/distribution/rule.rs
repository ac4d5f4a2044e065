// SPDX-License-Identifier: Apache-2.0
//! What becomes of each key of a distribution registry's configuration.

use serde_json::Value;

use super::apply::Target;
use super::plain;

/// What becomes of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// It is as it says anyway.
    Silent,
    /// It is left out; what to do is told.
    Warn(&'static str),
    /// It must not be left out.
    Refuse(&'static str),
    /// It is a key of ours.
    Map(&'static str, Target),
}

/// A value for which a key needs nothing: what is done anyway.
type Harmless = &'static [&'static str];

use Rule::{Map, Refuse, Silent, Warn};

/// One line: the path (a `*` at its end stands for everything below), the values that need nothing,
/// what becomes of others.
type Line = (&'static str, Harmless, Rule);

const FASTER: &str = "leave it out: there is no cache to configure, metadata are local";
const SHARED: &str = "leave it out: replicas share what they need through the storage";
const NO_COPY: &str = "leave it out: committing an upload copies nothing";
const LIMITS: &str = "leave it out: a page has at most 999 entries";
const ENCRYPT: &str = "set default encryption on the bucket, then leave it out";
const PARTS: &str = "write one [auth] section: tokens are issued by the registry itself";

const LINES: &[Line] = &[
    ("version", &[], Silent),
    ("log.level", &[], Map("log.level", Target::Level)),
    ("loglevel", &[], Map("log.level", Target::Level)),
    (
        "log.formatter",
        &["text", "json"],
        Warn("lines are JSON instead"),
    ),
    ("log.accesslog.disabled", &[], Silent),
    (
        "log.fields.*",
        &[],
        Warn("add fields where lines are collected"),
    ),
    (
        "log.hooks.*",
        &[],
        Warn("let what collects the log send mail"),
    ),
    ("log.reportcaller", &["false"], Warn("leave it out")),
    (
        "storage.filesystem.rootdirectory",
        &[],
        Map("storage.directory", Target::Directory),
    ),
    (
        "storage.filesystem.maxthreads",
        &[],
        Warn("leave it out: threads are bounded"),
    ),
    (
        "storage.s3.bucket",
        &[],
        Map("storage.s3.bucket", Target::Text),
    ),
    (
        "storage.s3.region",
        &[],
        Map("storage.s3.region", Target::Text),
    ),
    (
        "storage.s3.accesskey",
        &[""],
        Map("storage.s3.access_key_id", Target::Text),
    ),
    (
        "storage.s3.secretkey",
        &[""],
        Map("storage.s3.secret_access_key", Target::Secret),
    ),
    (
        "storage.s3.regionendpoint",
        &[""],
        Map("storage.s3.endpoint", Target::Endpoint),
    ),
    (
        "storage.s3.forcepathstyle",
        &[],
        Map("storage.s3.path_style", Target::Switch),
    ),
    (
        "storage.s3.chunksize",
        &[],
        Map("storage.s3.part_size", Target::Bytes),
    ),
    (
        "storage.s3.rootdirectory",
        &[],
        Map("storage.s3.prefix", Target::Prefix),
    ),
    (
        "storage.s3.redirectendpoint",
        &[""],
        Warn("redirects lead to `storage.s3.endpoint`"),
    ),
    ("storage.s3.encrypt", &["false"], Refuse(ENCRYPT)),
    ("storage.s3.keyid", &[""], Refuse(ENCRYPT)),
    (
        "storage.s3.secure",
        &["true"],
        Refuse("write `regionendpoint` with http://, then leave it out"),
    ),
    (
        "storage.s3.skipverify",
        &["false"],
        Refuse("make the store's certificate trusted, then leave it out"),
    ),
    (
        "storage.s3.v4auth",
        &["true"],
        Warn("leave it out: requests are signed by version 4"),
    ),
    ("storage.s3.multipartcopychunksize", &[], Warn(NO_COPY)),
    ("storage.s3.multipartcopymaxconcurrency", &[], Warn(NO_COPY)),
    ("storage.s3.multipartcopythresholdsize", &[], Warn(NO_COPY)),
    (
        "storage.s3.storageclass",
        &["STANDARD", ""],
        Warn("set a lifecycle rule on the bucket"),
    ),
    (
        "storage.s3.objectacl",
        &["private", ""],
        Refuse("set the policy of the bucket, then leave it out"),
    ),
    (
        "storage.s3.usefipsendpoint",
        &["false"],
        Refuse("name the FIPS endpoint in `regionendpoint`, then leave it out"),
    ),
    (
        "storage.s3.usedualstack",
        &["false"],
        Warn("name the dual-stack endpoint in `regionendpoint`"),
    ),
    (
        "storage.s3.accelerate",
        &["false"],
        Warn("name the accelerated endpoint in `regionendpoint`"),
    ),
    ("storage.s3.useragent", &[""], Warn("leave it out")),
    ("storage.s3.loglevel", &["off"], Warn("leave it out")),
    (
        "storage.gcs",
        &[],
        Refuse("keep the content in a directory or an S3 bucket"),
    ),
    (
        "storage.azure",
        &[],
        Refuse("keep the content in a directory or an S3 bucket"),
    ),
    (
        "storage.inmemory",
        &[],
        Refuse("name a directory in `storage.filesystem`"),
    ),
    (
        "storage.swift",
        &[],
        Refuse("keep the content in a directory or an S3 bucket"),
    ),
    (
        "storage.oss",
        &[],
        Refuse("keep the content in a directory or an S3 bucket"),
    ),
    (
        "storage.delete.enabled",
        &[],
        Map("storage.deletes", Target::Switch),
    ),
    ("storage.redirect.disable", &[], Silent),
    ("storage.cache.*", &[], Warn(FASTER)),
    (
        "storage.tag.*",
        &[],
        Warn("leave it out: looking up tags needs no bound"),
    ),
    (
        "storage.maintenance.uploadpurging.enabled",
        &["true"],
        Warn("unfinished uploads go after 7 days"),
    ),
    (
        "storage.maintenance.uploadpurging.age",
        &["168h"],
        Warn("unfinished uploads go after 7 days"),
    ),
    ("storage.maintenance.uploadpurging.interval", &[], Silent),
    (
        "storage.maintenance.uploadpurging.dryrun",
        &["false"],
        Warn("unfinished uploads go after 7 days"),
    ),
    (
        "storage.maintenance.readonly.enabled",
        &["false"],
        Refuse("forbid push by rules in [auth]; garbage collection needs no read-only mode"),
    ),
    (
        "auth.htpasswd.path",
        &[],
        Map("auth.htpasswd", Target::Text),
    ),
    ("auth.htpasswd.realm", &[], Silent),
    ("auth.token", &[], Refuse(PARTS)),
    (
        "auth.silly",
        &[],
        Refuse("it checks nothing; name users in `auth.htpasswd`"),
    ),
    ("auth.none", &[], Silent),
    ("auth.*", &[], Refuse(PARTS)),
    (
        "middleware.*",
        &[],
        Refuse("put a CDN in front of the registry, or let it redirect to the bucket"),
    ),
    (
        "reporting.*",
        &[],
        Warn("let what collects the log report errors"),
    ),
    ("catalog.maxentries", &["1000"], Warn(LIMITS)),
    ("tags.maxtags", &["1000"], Warn(LIMITS)),
    ("http.addr", &[], Map("http.address", Target::Address)),
    ("http.net", &["tcp", ""], Refuse("listen on an address")),
    (
        "http.prefix",
        &["/", ""],
        Refuse("let the proxy in front cut the prefix off"),
    ),
    ("http.host", &[""], Map("http.public_url", Target::Url)),
    ("http.secret", &[], Silent),
    ("http.relativeurls", &[], Silent),
    (
        "http.draintimeout",
        &[],
        Map("http.drain", Target::Duration),
    ),
    (
        "http.tls.certificate",
        &[""],
        Map("tls.certificate", Target::Text),
    ),
    ("http.tls.key", &[""], Map("tls.key", Target::Text)),
    (
        "http.tls.minimumtls",
        &[],
        Map("tls.min_version", Target::TlsVersion),
    ),
    (
        "http.tls.clientcas",
        &["[]"],
        Map("tls.client_ca", Target::OnePath),
    ),
    (
        "http.tls.clientauth",
        &["require-and-verify-client-cert", ""],
        Refuse("clients must have a certificate of `clientcas`, or none is asked for"),
    ),
    (
        "http.tls.ciphersuites",
        &["[]"],
        Warn("leave it out: only ciphers with forward secrecy are spoken"),
    ),
    (
        "http.tls.letsencrypt.*",
        &[""],
        Refuse(
            "let an ACME client write certificate and key; they are read again when they change",
        ),
    ),
    (
        "http.debug.addr",
        &[""],
        Map("metrics.address", Target::Address),
    ),
    ("http.debug.prometheus.enabled", &[], Silent),
    (
        "http.debug.prometheus.path",
        &["/metrics"],
        Warn("ask for /metrics"),
    ),
    ("http.headers.X-Content-Type-Options", &[], Silent),
    (
        "http.headers.*",
        &[],
        Warn("let the proxy in front add headers"),
    ),
    ("http.http2.disabled", &[], Map("http.http2", Target::Not)),
    ("http.h2c.enabled", &[], Silent),
    (
        "notifications.*",
        &[],
        Warn("no events are sent: read the access log (`log.access = \"json\"`)"),
    ),
    ("redis.*", &[], Warn(SHARED)),
    (
        "health.*",
        &[],
        Warn("ask /readyz: it looks at the storage"),
    ),
    (
        "proxy.remoteurl",
        &[""],
        Refuse("a registry that fetches from another is not served"),
    ),
    (
        "proxy.*",
        &[""],
        Warn("leave it out with `proxy.remoteurl`"),
    ),
    ("validation.enabled", &[], Silent),
    (
        "validation.disabled",
        &["false"],
        Warn("leave it out: addresses in manifests are not checked"),
    ),
    (
        "validation.manifests.urls.*",
        &[],
        Warn("addresses in manifests are not checked"),
    ),
    (
        "validation.manifests.indexes.platforms",
        &[],
        Map("storage.sparse", Target::Platforms),
    ),
    (
        "validation.manifests.indexes.platformlist",
        &[],
        Warn("an index may lack any of its manifests"),
    ),
    (
        "policy.*",
        &[],
        Warn("classes of repositories are not checked"),
    ),
];

/// Returns the rule of the key at `path`; none for a section whose keys have their own.
pub(super) fn rule_of(path: &str, value: &Value) -> Option<Rule> {
    let is_below = |pattern: &str| {
        let rest = pattern.strip_prefix(path);
        rest.is_some_and(|rest| rest.starts_with('.'))
    };
    // A section is told about by its keys.
    if value.is_object() && LINES.iter().any(|(pattern, ..)| is_below(pattern)) {
        return None;
    }
    let line = LINES
        .iter()
        .find(|(pattern, ..)| match pattern.strip_suffix(".*") {
            Some(section) => {
                let rest = path.strip_prefix(section);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            }
            None => path == *pattern,
        });
    let (pattern, harmless, rule) = line?;
    if value.is_null() && (pattern.ends_with(".*") || !matches!(rule, Refuse(_))) {
        return Some(Silent);
    }
    let text = plain(value);
    Some(if harmless.contains(&text.as_str()) {
        Silent
    } else {
        *rule
    })
}

/// Returns the paths of all lines, for the documentation and its test.
#[cfg(test)]
pub(super) fn paths() -> impl Iterator<Item = &'static str> {
    LINES.iter().map(|(path, ..)| *path)
}
