// SPDX-License-Identifier: Apache-2.0
//! Files of distribution registries, and what becomes of them.

use super::*;
use crate::settings::{Layers, resolve};

fn read(text: &str, variables: &[(&str, &str)]) -> Result<Converted, String> {
    let pairs = variables.iter();
    let variables: Vec<_> = pairs.map(|(n, v)| ((*n).into(), (*v).into())).collect();
    convert(&File::new("config.yml", text), &variables)
        .map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

fn settings(text: &str, variables: &[(&str, &str)]) -> crate::settings::Effective {
    let layers = Layers {
        foreign: Some(read(text, variables).unwrap().foreign),
        ..Layers::default()
    };
    resolve(&layers).unwrap()
}

/// The file that the image `registry:3` brings, by its keys.
const SHIPPED: &str = "version: 0.1
log:
  fields:
    service: registry
storage:
  cache:
    blobdescriptor: inmemory
  filesystem:
    rootdirectory: /var/lib/registry
  tag:
    concurrencylimit: 8
http:
  addr: :5000
  headers:
    X-Content-Type-Options: [nosniff]
health:
  storagedriver:
    enabled: true
    interval: 10s
    threshold: 3
";

#[test]
fn the_file_that_everybody_has_is_taken_over() {
    let effective = settings(SHIPPED, &[]);
    let settings = &effective.settings;
    assert_eq!(
        settings.storage.directory,
        Some("/var/lib/registry/kiln".into())
    );
    assert_eq!(settings.http.address.to_string(), "0.0.0.0:5000");
    assert!(!settings.storage.deletes, "off there unless switched on");
    assert_eq!(effective.origins["http.address"].to_string(), "config.yml");
    let content = read(SHIPPED, &[]).unwrap().content;
    assert_eq!(content, Some("/var/lib/registry".into()));
    let warned: Vec<String> = read(SHIPPED, &[])
        .unwrap()
        .warnings
        .iter()
        .map(|warning| warning.message.clone())
        .collect();
    assert_eq!(
        warned,
        [
            "`log.fields.service` has no effect",
            "`storage.cache.blobdescriptor` has no effect",
            "`storage.tag.concurrencylimit` has no effect",
            "`health.storagedriver` has no effect",
        ]
    );
}

#[test]
fn variables_win_over_the_file() {
    let effective = settings(
        SHIPPED,
        &[
            ("REGISTRY_HTTP_ADDR", "127.0.0.1:6000"),
            ("REGISTRY_STORAGE_DELETE_ENABLED", "true"),
            ("REGISTRY_HTTP_TLS_CLIENTCAS", "[/ca.pem]"),
            ("REGISTRY_HTTP_TLS_CERTIFICATE", "/c.pem"),
            ("REGISTRY_HTTP_TLS_KEY", "/k.pem"),
            ("REGISTRY_AUTH", "htpasswd"),
            ("REGISTRY_AUTH_HTPASSWD_PATH", "/users"),
            ("REGISTRY_AUTH_HTPASSWD_REALM", "x"),
            ("PATH", "/bin"),
        ],
    );
    let settings = &effective.settings;
    assert_eq!(settings.http.address.port(), 6000);
    assert!(settings.storage.deletes);
    assert_eq!(settings.tls.client_ca, Some("/ca.pem".into()));
    assert_eq!(settings.auth.htpasswd, Some("/users".into()));
    assert_eq!(
        effective.origins["http.address"].to_string(),
        "REGISTRY_HTTP_ADDR"
    );
}

#[test]
fn a_bucket_is_taken_over() {
    let text = "version: 0.1
storage:
  s3:
    accesskey: AKID
    secretkey: hunter2
    region: eu-west-1
    regionendpoint: minio.example:9000
    forcepathstyle: true
    bucket: images
    chunksize: 10485760
    rootdirectory: /registry
    secure: true
  redirect:
    disable: true
";
    let effective = settings(text, &[]);
    let s3 = &effective.settings.storage.s3;
    assert_eq!(s3.bucket.as_deref(), Some("images"));
    assert_eq!(s3.prefix, "registry/kiln");
    assert_eq!(s3.endpoint.as_deref(), Some("https://minio.example:9000"));
    assert_eq!(s3.part_size.0, 10 << 20);
    assert_eq!(s3.redirect_above, None);
    assert_eq!(s3.secret_access_key.as_ref().unwrap().reveal(), "hunter2");
    assert!(!effective.render().contains("hunter2"));
}

#[test]
fn what_would_be_less_safe_is_refused() {
    for (text, words) in [
        ("auth: {silly: {realm: a, service: b}}", "auth.silly"),
        ("auth: {token: {realm: a, issuer: b}}", "auth.token"),
        ("auth: silly", "auth.silly"),
        ("auth: htpasswd", "names no file"),
        ("auth: {htpasswd: {realm: a}}", "names no file"),
        ("auth: {other: {realm: a}}", "auth.other"),
        ("middleware: {storage: [{name: cloudfront}]}", "middleware"),
        ("proxy: {remoteurl: 'https://x.example'}", "proxy.remoteurl"),
        (
            "storage: {maintenance: {readonly: {enabled: true}}}",
            "readonly",
        ),
        ("storage: {gcs: {bucket: x}}", "storage.gcs"),
        ("storage: {inmemory: }", "storage.inmemory"),
        ("storage: {s3: {bucket: a, skipverify: true}}", "skipverify"),
        ("storage: {s3: {bucket: a, encrypt: true}}", "encrypt"),
        ("http: {addr: 'registry.example:5000'}", "not a name"),
        ("http: {net: unix, addr: /run/x}", "http.net"),
        (
            "http: {tls: {letsencrypt: {email: a@b.example}}}",
            "letsencrypt",
        ),
        (
            "http: {tls: {clientauth: request-client-cert}}",
            "clientauth",
        ),
    ] {
        let refused = read(&format!("version: 0.1\n{text}\n"), &[]).unwrap_err();
        assert!(refused.contains(words), "{text}: {refused}");
    }
}

#[test]
fn what_is_not_such_a_file_is_refused() {
    let bomb = "version: 0.1\na: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e]\n";
    let deep = format!(
        "version: 0.1\na: {}{}\n",
        "[".repeat(5000),
        "]".repeat(5000)
    );
    for text in ["", "[", "version: 0.2", "a: b", bomb, &deep] {
        assert!(read(text, &[]).is_err(), "{}", &text[..text.len().min(40)]);
    }
}

#[test]
fn every_rule_leads_to_a_key_that_exists() {
    let keys = shape::keys();
    for path in rule::paths() {
        let sample = Value::from("x");
        if let Some(Rule::Map(key, _)) = rule_of(path, &sample) {
            assert!(keys.iter().any(|known| known.path == key), "{path} → {key}");
        }
    }
}
