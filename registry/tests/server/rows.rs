// SPDX-License-Identifier: Apache-2.0
//! What the specification asks for and no conformance tool checks.

use oci::{Algorithm, sha256};

use crate::peer::{MANIFEST, Request, Server, descriptor, digest_of, manifest};

#[test]
fn ns_is_answered_by_oci_namespace() {
    let server = Server::start();
    server.push_blob("a", b"{}");
    for (query, expected) in [
        ("?ns=docker.io", Some("docker.io")),
        (
            "?n=1&ns=registry.example%3A5000",
            Some("registry.example:5000"),
        ),
        ("?ns=", None),
        ("?ns=a%0d%0ax-y%3A%20z", None),
        ("?ns=%3Cscript%3E", None),
        ("", None),
    ] {
        let answer = server.get(&format!("/v2/a/tags/list{query}"));
        assert_eq!(answer.status, 200, "{query}");
        assert_eq!(answer.header("oci-namespace"), expected, "{query}");
        assert_eq!(answer.header("x-y"), None, "{query}");
    }
}

#[test]
fn extensions_are_listed() {
    let server = Server::start();
    let answer = server.get("/v2/_oci/ext/discover");
    assert_eq!(
        (answer.status, answer.json()),
        (200, serde_json::json!({ "extensions": [] }))
    );
    assert_eq!(server.head("/v2/_oci/ext/discover").status, 200);
}

#[test]
fn digest_algorithm_is_taken_or_refused() {
    let server = Server::start();
    let bytes = b"hello";
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        let digest = digest_of(algorithm, bytes);
        let name = digest.to_string();
        let name = name.split(':').next().unwrap();
        let path = format!("/v2/a/blobs/uploads/?digest-algorithm={name}");
        let start = server.send(&Request::new("POST", &path).body(b""));
        assert_eq!(start.status, 202, "{name}");
        let location = start.header("location").unwrap();
        let sent = server.send(&Request::new("PATCH", location).stream(bytes));
        assert_eq!(sent.status, 202, "{name}");
        let close = format!("{}?digest={digest}", sent.header("location").unwrap());
        let close = server.send(&Request::new("PUT", &close).body(b""));
        assert_eq!(close.status, 201, "{name}");
        let own = Some(digest.to_string());
        assert_eq!(close.header("docker-content-digest"), own.as_deref());
        let pulled = server.get(close.header("location").unwrap());
        assert_eq!(pulled.header("docker-content-digest"), own.as_deref());
        assert_eq!(pulled.body, bytes);
    }
}

#[test]
fn referrers_come_in_pages_that_clients_can_take() {
    let server = Server::start();
    let config = server.push_blob("a", b"{}");
    let subject = sha256(b"subject");
    let refers = descriptor(&subject, MANIFEST, 7);
    let note = "x".repeat(1 << 20);
    let mut expected = Vec::new();
    for n in 0..6 {
        let more = format!(",\"subject\":{refers},\"annotations\":{{\"n\":\"{n}{note}\"}}");
        let text = manifest(&config, &[], &more);
        let digest = sha256(text.as_bytes()).to_string();
        let put = server.put_manifest("a", &digest, text.as_bytes());
        assert_eq!(put.status, 201);
        expected.push(digest);
    }
    let mut found = Vec::new();
    let mut next = Some(format!("/v2/a/referrers/{subject}"));
    let mut pages = 0;
    while let Some(path) = next.take() {
        let page = server.get(&path);
        assert!(page.body.len() <= 4 << 20, "{} bytes", page.body.len());
        let json = page.json();
        let digests = json["manifests"].as_array().unwrap().iter();
        found.extend(digests.map(|one| one["digest"].as_str().unwrap().to_owned()));
        let link = page.header("link");
        next = link.map(|link| {
            let target = link.strip_prefix('<').unwrap();
            let (path, rest) = target.split_once('>').unwrap();
            assert_eq!(rest, "; rel=\"next\"");
            path.to_owned()
        });
        pages += 1;
    }
    expected.sort();
    assert_eq!(found, expected);
    assert_eq!(pages, 2);
}

#[test]
fn conditions_on_manifests() {
    let server = Server::start();
    let config = server.push_blob("a", b"{}");
    let text = manifest(&config, &[], "");
    let digest = sha256(text.as_bytes());
    let path = format!("/v2/a/manifests/{digest}");
    let put = |header: &str, value: &str| {
        let request = Request::new("PUT", &path).body(text.as_bytes());
        let request = request.header("content-type", MANIFEST);
        server.send(&request.header(header, value)).status
    };
    assert_eq!(put("if-match", "*"), 412, "it is not there");
    assert_eq!(put("if-none-match", "*"), 201, "it is not there");
    assert_eq!(put("if-none-match", "*"), 412, "it is there");
    assert_eq!(
        put("if-match", &format!("\"{digest}\"")),
        201,
        "it is there"
    );
    let tag = format!("\"{digest}\"");
    for (value, status) in [
        (format!("\"x\", W/{tag}"), 304),
        (format!("W/{tag}"), 304),
        ("*".to_owned(), 304),
        (format!("\"x\", \"{digest}y\""), 200),
        (digest.to_string(), 200),
    ] {
        for method in ["GET", "HEAD"] {
            let request = Request::new(method, &path).header("if-none-match", &value);
            assert_eq!(server.send(&request).status, status, "{method} {value}");
        }
    }
}

#[test]
fn conditions_on_deletes() {
    let server = Server::start();
    let config = server.push_blob("a", b"{}");
    let text = manifest(&config, &[], "");
    let other = manifest(&config, &[], ",\"annotations\":{\"n\":\"2\"}");
    server.put_manifest("a", "v1", text.as_bytes());
    let own = format!("\"{}\"", sha256(text.as_bytes()));
    let delete = |path: &str, header: &str, value: &str| {
        let request = Request::new("DELETE", &format!("/v2/a/{path}"));
        server.send(&request.header(header, value)).status
    };
    let by_tag = "manifests/v1";
    let by_digest = &*format!("manifests/{}", sha256(text.as_bytes()));
    let blob = &*format!("blobs/{config}");
    let blob_tag = format!("\"{config}\"");
    for path in [by_tag, by_digest, blob] {
        assert_eq!(delete(path, "if-match", "\"sha256:x\""), 412, "{path}");
        assert_eq!(delete(path, "if-none-match", "*"), 412, "{path}");
        let still = server.head(&format!("/v2/a/{path}")).status;
        assert_eq!(still, 200, "{path} is there");
    }
    server.put_manifest("a", "v1", other.as_bytes());
    assert_eq!(delete(by_tag, "if-match", &own), 412, "the tag has moved");
    assert_eq!(server.head("/v2/a/manifests/v1").status, 200);
    server.put_manifest("a", "v1", text.as_bytes());
    assert_eq!(delete(by_tag, "if-match", &own), 202);
    assert_eq!(delete(by_digest, "if-match", &own), 202);
    assert_eq!(delete(blob, "if-match", &blob_tag), 202);
    for path in [by_tag, by_digest, blob] {
        let status = delete(path, "if-match", &own);
        assert_eq!(status, 404, "{path} is gone, whatever is expected");
    }
}

#[test]
fn accept_never_changes_what_is_stored() {
    let server = Server::start();
    let config = server.push_blob("a", b"{}");
    let text = manifest(&config, &[], "");
    server.put_manifest("a", "x", text.as_bytes());
    for accept in [
        "*/*",
        "text/html",
        "application/*;q=0.5, */*;q=0",
        "",
        ";;;",
        "a/b, , c",
    ] {
        let request = Request::new("GET", "/v2/a/manifests/x").header("accept", accept);
        let answer = server.send(&request);
        assert_eq!(answer.status, 200, "{accept}");
        assert_eq!(answer.header("content-type"), Some(MANIFEST), "{accept}");
        assert_eq!(answer.body, text.as_bytes(), "{accept}");
    }
}
