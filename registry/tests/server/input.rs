// SPDX-License-Identifier: Apache-2.0
//! Bad input, one table for each part of a request: path, query, headers, framing, body.
//!
//! Whatever reaches the protocol is answered in its JSON. What breaks HTTP itself is answered by a
//! status alone, and the connection ends.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use oci::{Algorithm, sha256};

use crate::peer::{INDEX, MANIFEST, Request, Server, descriptor, digest_of, manifest};

/// Sends raw bytes and returns all that comes back until the server closes the connection.
pub(crate) fn exchange(server: &Server, bytes: &[u8], hang_up: bool) -> String {
    let mut stream = TcpStream::connect(server.address).unwrap();
    let patience = Some(Duration::from_secs(20));
    stream.set_read_timeout(patience).unwrap();
    // A server that refuses early may close before everything is written.
    stream.write_all(bytes).unwrap_or_default();
    if hang_up {
        let shut = stream.shutdown(std::net::Shutdown::Write);
        shut.unwrap_or_default();
    }
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap_or_default();
    String::from_utf8_lossy(&answer).into_owned()
}

/// Returns the statuses of the answers in `text`.
pub(crate) fn statuses(text: &str) -> Vec<u16> {
    let parts = text.split("HTTP/1.").skip(1);
    parts.map(|part| part[2..5].parse().unwrap()).collect()
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table, one row per input")]
fn paths() {
    let server = Server::start();
    let digest = sha256(b"x");
    let long = format!("/v2/{}/manifests/x", "a".repeat(256));
    let longest = format!("/v2/{}/manifests/x", "a".repeat(255));
    let endless = format!("/v2/{}", "a/".repeat(2000));
    let tag = "t".repeat(129);
    for (clause, path, status, code) in [
        (
            "encoded slash in a name",
            "/v2/a%2fb/manifests/x",
            404,
            "MANIFEST_UNKNOWN",
        ),
        ("dots", "/v2/a/../b/manifests/x", 400, "NAME_INVALID"),
        (
            "encoded dots",
            "/v2/a/%2e%2e/manifests/x",
            400,
            "NAME_INVALID",
        ),
        (
            "doubly encoded dots",
            "/v2/a/%252e%252e/manifests/x",
            400,
            "NAME_INVALID",
        ),
        ("NUL", "/v2/a%00/manifests/x", 400, "NAME_INVALID"),
        ("NUL in a tag", "/v2/a/manifests/x%00", 400, "TAG_INVALID"),
        (
            "line break",
            "/v2/a%0d%0ax/manifests/x",
            400,
            "NAME_INVALID",
        ),
        ("not UTF-8", "/v2/a%ff/manifests/x", 404, "NAME_UNKNOWN"),
        (
            "overlong UTF-8",
            "/v2/a%c0%af/manifests/x",
            404,
            "NAME_UNKNOWN",
        ),
        ("half an escape", "/v2/a%2/manifests/x", 404, "NAME_UNKNOWN"),
        ("no escape", "/v2/a%zz/manifests/x", 404, "NAME_UNKNOWN"),
        ("empty part", "/v2/a//b/manifests/x", 400, "NAME_INVALID"),
        ("upper case", "/v2/Abc/manifests/x", 400, "NAME_INVALID"),
        ("backslash", "/v2/a%5cb/manifests/x", 400, "NAME_INVALID"),
        ("longest name", &longest, 404, "MANIFEST_UNKNOWN"),
        ("name too long", &long, 400, "NAME_INVALID"),
        ("endless", &endless, 404, "NAME_UNKNOWN"),
        (
            "tag too long",
            &format!("/v2/a/manifests/{tag}"),
            400,
            "TAG_INVALID",
        ),
        (
            "digest in upper case",
            &format!("/v2/a/blobs/{}", digest.to_string().to_uppercase()),
            400,
            "DIGEST_INVALID",
        ),
        (
            "digest too short",
            "/v2/a/blobs/sha256:ab",
            400,
            "DIGEST_INVALID",
        ),
        (
            "unknown algorithm",
            "/v2/a/blobs/md5:d41d8cd98f00b204e9800998ecf8427e",
            400,
            "DIGEST_INVALID",
        ),
        (
            "two digests",
            &format!("/v2/a/blobs/{digest}@{digest}"),
            400,
            "DIGEST_INVALID",
        ),
        (
            "a tag where a digest belongs",
            "/v2/a/referrers/latest",
            400,
            "DIGEST_INVALID",
        ),
        (
            "session of nobody",
            "/v2/a/blobs/uploads/..%2f..%2fx",
            404,
            "NAME_UNKNOWN",
        ),
        (
            "session of odd letters",
            "/v2/a/blobs/uploads/%00",
            404,
            "BLOB_UPLOAD_UNKNOWN",
        ),
        ("outside", "/etc/passwd", 404, "NAME_UNKNOWN"),
    ] {
        let answer = server.get(path);
        let found = (answer.status, answer.code());
        assert_eq!(found, (status, code.to_owned()), "{clause}: {path}");
    }
}

#[test]
fn methods() {
    let server = Server::start();
    let digest = sha256(b"x");
    let blob = format!("/v2/a/blobs/{digest}");
    for (method, path, allow) in [
        ("OPTIONS", "/v2/", "GET, HEAD"),
        ("OPTIONS", "/v2/a/manifests/x", "GET, HEAD, PUT, DELETE"),
        ("TRACE", &*blob, "GET, HEAD, DELETE"),
        ("PUT", &*blob, "GET, HEAD, DELETE"),
        ("GET", "/v2/a/blobs/uploads/", "POST"),
        ("POST", "/v2/_catalog", "GET, HEAD"),
        ("DELETE", "/v2/_oci/ext/discover", "GET, HEAD"),
        (
            "FROB",
            "/v2/a/blobs/uploads/x",
            "PATCH, PUT, GET, DELETE, HEAD",
        ),
    ] {
        let answer = server.send(&Request::new(method, path));
        let found = (answer.status, answer.code());
        assert_eq!(found, (405, "UNSUPPORTED".into()), "{method} {path}");
        assert_eq!(answer.header("allow"), Some(allow), "{method} {path}");
    }
}

#[test]
fn queries() {
    let server = Server::start();
    let (one, other) = (sha256(b"one"), sha256(b"other"));
    let wide = digest_of(Algorithm::Sha512, b"one");
    let uploads = "/v2/a/blobs/uploads/";
    for (clause, query, status, code) in [
        (
            "two digests",
            format!("digest={one}&digest={other}"),
            400,
            "DIGEST_INVALID",
        ),
        (
            "two algorithms",
            format!("digest={one}&digest={wide}"),
            400,
            "DIGEST_INVALID",
        ),
        ("no digest", "digest=".into(), 400, "DIGEST_INVALID"),
        (
            "bad digest",
            "digest=sha256:zz".into(),
            400,
            "DIGEST_INVALID",
        ),
        (
            "mount of nothing",
            "mount=x&from=b".into(),
            400,
            "DIGEST_INVALID",
        ),
        (
            "unknown algorithm",
            "digest-algorithm=md5".into(),
            400,
            "DIGEST_INVALID",
        ),
        (
            "other bytes",
            format!("digest={other}"),
            400,
            "DIGEST_INVALID",
        ),
        (
            "the same twice",
            format!("digest={one}&digest={one}"),
            201,
            "",
        ),
        (
            "encoded",
            format!("digest={}", one.to_string().replace(':', "%3A")),
            201,
            "",
        ),
        (
            "unknown parameters",
            format!("x=%ff&&=&digest={one}&y"),
            201,
            "",
        ),
    ] {
        let request = Request::new("POST", &format!("{uploads}?{query}")).body(b"one");
        let answer = server.send(&request);
        assert_eq!(answer.status, status, "{clause}");
        if status != 201 {
            assert_eq!(answer.code(), code, "{clause}");
        }
    }
}

#[test]
fn ranges() {
    let server = Server::start();
    let digest = server.push_blob("a", b"0123456789");
    let path = format!("/v2/a/blobs/{digest}");
    for (range, status) in [
        ("bytes=0-0", 206),
        ("bytes=-1", 206),
        ("bytes=0-18446744073709551616", 206),
        ("bytes=18446744073709551615-", 416),
        ("bytes=99999999999999999999-99999999999999999999", 416),
        ("bytes=-0", 416),
        ("bytes=10-", 416),
        ("bytes=5-4", 416),
        ("bytes=0-1,3-4", 200),
        ("bytes=0-0,1-1,2-2,3-3,4-4,5-5,6-6,7-7,8-8,9-9", 200),
        ("bytes=", 200),
        ("bytes=-", 200),
        ("bytes=--1", 200),
        ("bytes=0x1-2", 200),
        ("bytes 0-1", 200),
        ("items=0-1", 200),
        ("bytes=٣-٤", 200),
    ] {
        let answer = server.send(&Request::new("GET", &path).header("range", range));
        assert_eq!(answer.status, status, "{range}");
        match status {
            200 => assert_eq!(answer.body, b"0123456789", "{range}"),
            416 => assert_eq!(answer.code(), "RANGE_INVALID", "{range}"),
            _ => assert!(
                b"0123456789".ends_with(&answer.body) || answer.body == b"0",
                "{range}"
            ),
        }
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table, one row per input")]
fn framing() {
    let server = Server::start();
    let post = "POST /v2/a/blobs/uploads/ HTTP/1.1\r\nhost: x\r\n";
    let next = "GET /v2/ HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let get =
        |more: &str| format!("GET /v2/ HTTP/1.1\r\nhost: x\r\n{more}connection: close\r\n\r\n");
    for (clause, text, expected) in [
        (
            "two lengths",
            format!("{post}content-length: 1\r\ncontent-length: 2\r\n\r\nx{next}"),
            &[400][..],
        ),
        (
            "a list of lengths",
            format!("{post}content-length: 1, 2\r\n\r\nx{next}"),
            &[400],
        ),
        (
            "a signed length",
            format!("{post}content-length: +1\r\n\r\nx{next}"),
            &[400],
        ),
        (
            "a length beyond numbers",
            format!("{post}content-length: 99999999999999999999\r\n\r\nx{next}"),
            &[400],
        ),
        (
            "chunked is not last",
            format!("{post}transfer-encoding: chunked, gzip\r\n\r\n0\r\n\r\n{next}"),
            &[400],
        ),
        (
            "an unknown coding",
            format!("{post}transfer-encoding: xchunked\r\n\r\n0\r\n\r\n{next}"),
            &[400],
        ),
        (
            "chunked in HTTP/1.0",
            format!(
                "{}transfer-encoding: chunked\r\n\r\n0\r\n\r\n",
                post.replace("1.1", "1.0")
            ),
            &[400],
        ),
        (
            "the coding beats the length",
            format!("{post}content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{next}"),
            &[202],
        ),
        (
            "a blank before the colon",
            format!("{post}content-length : 5\r\n\r\n{next}"),
            &[400],
        ),
        ("a folded header", get("x-y: a\r\n b\r\n"), &[400]),
        ("a bare carriage return", get("x-y: a\rb\r\n"), &[400]),
        ("NUL in a header", get("x-y: a\0b\r\n"), &[400]),
        ("a header without name", get(": a\r\n"), &[400]),
        ("HTTP/0.9", "GET /v2/\r\n\r\n".into(), &[400]),
        ("HTTP/3.0", "GET /v2/ HTTP/3.0\r\n\r\n".into(), &[400]),
        ("HTTP/1.0", "GET /v2/ HTTP/1.0\r\n\r\n".into(), &[200]),
        ("two hosts", get("host: y\r\n"), &[200]),
        (
            "absolute form",
            "GET http://other/v2/ HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".into(),
            &[200],
        ),
        (
            "authority form",
            "CONNECT x:443 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".into(),
            &[404],
        ),
        (
            "asterisk form",
            "OPTIONS * HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".into(),
            &[404],
        ),
        (
            "an upgrade",
            get("upgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n"),
            &[200],
        ),
        (
            "a web socket",
            get("upgrade: websocket\r\nsec-websocket-key: x\r\n"),
            &[200],
        ),
        ("too many headers", get(&"x-y: z\r\n".repeat(101)), &[431]),
        ("an unmet expectation", get("expect: 200-maybe\r\n"), &[200]),
        (
            "a body that nobody wants",
            format!("GET /v2/ HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nhello{next}"),
            &[200, 200],
        ),
        (
            "bytes between requests",
            format!(
                "{}\r\n\r\n{next}",
                get("").replace("connection: close\r\n", "")
            ),
            &[200, 200],
        ),
        (
            "TLS on a plain port",
            "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\u{fc}\u{3}\u{3}\r\n\r\n".into(),
            &[400],
        ),
    ] {
        let answer = exchange(&server, text.as_bytes(), false);
        assert_eq!(statuses(&answer), expected, "{clause}: {answer}");
        assert_eq!(
            server.get("/v2/").status,
            200,
            "{clause}: and the server lives"
        );
    }
}

#[test]
fn chunks_of_a_body() {
    let server = Server::start();
    let head = "PUT /v2/a/manifests/x HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
    for (clause, body) in [
        ("a size that is none", "zz\r\nhello\r\n0\r\n\r\n"),
        (
            "a size beyond numbers",
            "fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        ),
        ("a negative size", "-1\r\nhello\r\n0\r\n\r\n"),
        ("a size that lies", "3\r\nhello\r\n0\r\n\r\n"),
        ("no end", "5\r\nhello\r\n"),
        (
            "endless extensions",
            &format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(100_000)),
        ),
        (
            "endless trailers",
            &format!("0\r\n{}\r\n", "x-y: z\r\n".repeat(100_000)),
        ),
    ] {
        let answer = exchange(
            &server,
            format!("{head}{body}").as_bytes(),
            clause == "no end",
        );
        assert!(
            statuses(&answer).iter().all(|status| *status == 400),
            "{clause}: {answer}"
        );
        assert!(
            answer.is_empty() || answer.contains("{\"errors\":[{\"code\""),
            "{clause}: {answer}"
        );
        assert_eq!(
            server.get("/v2/a/manifests/x").status,
            404,
            "{clause}: nothing is stored"
        );
    }
}

#[test]
fn expectations_are_met_only_by_what_is_wanted() {
    let server = Server::start();
    let digest = sha256(b"hello");
    for (path, statuses_found) in [
        (
            format!("/v2/a/blobs/uploads/?digest={digest}"),
            &[100, 201][..],
        ),
        ("/v2/A/blobs/uploads/?digest=x".into(), &[400]),
        ("/v2/a/blobs/uploads/?digest=x".into(), &[400]),
    ] {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 5\r\nconnection: close\r\n\r\n"
        );
        let mut stream = TcpStream::connect(server.address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        let mut first = [0; 1024];
        let count = stream.read(&mut first).unwrap();
        let mut text = String::from_utf8_lossy(&first[..count]).into_owned();
        if text.starts_with("HTTP/1.1 100") {
            stream.write_all(b"hello").unwrap();
        }
        stream.read_to_string(&mut text).unwrap_or_default();
        assert_eq!(statuses(&text), statuses_found, "{path}: {text}");
    }
}

#[test]
fn early_refusals_are_seen_by_clients_that_are_still_sending() {
    let server = Server::start();
    let body = vec![b'x'; 12 << 20];
    for (method, path, status) in [
        ("PUT", "/v2/a/manifests/x", 413),
        ("PUT", "/v2/A/manifests/x", 400),
        ("POST", "/v2/nowhere", 404),
        ("PATCH", "/v2/a/blobs/uploads/unknown", 404),
        ("PUT", "/v2/a/tags/list", 405),
        ("POST", "/v2/a/blobs/uploads/?digest=sha256:x", 400),
    ] {
        let request = Request::new(method, path).body(&body);
        let answer = request.send(server.address).expect(path);
        assert_eq!(answer.status, status, "{path}");
        assert!(!answer.code().is_empty(), "{path}");
    }
}

#[test]
fn documents() {
    let server = Server::start();
    let config = server.push_blob("a", b"{}");
    let good = manifest(&config, &[], "");
    let deep = |open: &str, close: &str| {
        let (open, close) = (open.repeat(100_000), close.repeat(100_000));
        good.replacen('{', &format!("{{\"annotations\":{open}1{close},"), 1)
    };
    let wrong_type = good.replace(MANIFEST, "text/html");
    let no_config = format!("{{\"schemaVersion\":2,\"mediaType\":\"{MANIFEST}\",\"layers\":[]}}");
    let negative = good.replace("\"size\":2", "\"size\":-2");
    let huge = good.replace("\"size\":2", "\"size\":99999999999999999999");
    let children = vec![descriptor(&config, MANIFEST, 2); 20_001].join(",");
    let many =
        format!("{{\"schemaVersion\":2,\"mediaType\":\"{INDEX}\",\"manifests\":[{children}]}}");
    let both = good.replace("\"layers\"", "\"manifests\":[],\"layers\"");
    let twice = good.replacen("\"config\"", "\"config\":{},\"config\"", 1);
    let versions = good.replacen('{', "{\"schemaVersion\":1,", 1);
    for (clause, content_type, text) in [
        ("deep arrays", MANIFEST, deep("[", "]")),
        ("deep objects", MANIFEST, deep("{\"a\":", "}")),
        ("another type inside", MANIFEST, wrong_type),
        ("header and body disagree", INDEX, good.clone()),
        ("no config", MANIFEST, no_config),
        ("a negative size", MANIFEST, negative),
        ("a size beyond numbers", MANIFEST, huge),
        ("20,001 children", INDEX, many),
        ("image and index", MANIFEST, both),
        ("a key twice", MANIFEST, twice),
        ("a version twice", MANIFEST, versions),
        (
            "a digest that is none",
            MANIFEST,
            good.replace("sha256:", "sha256:../"),
        ),
        (
            "not UTF-8 inside",
            MANIFEST,
            good.replace("sha256:", "\\ud800"),
        ),
        ("more after the end", MANIFEST, format!("{good}{good}")),
        ("a mark of byte order", MANIFEST, format!("\u{feff}{good}")),
        ("an array", MANIFEST, "[]".into()),
        ("null", MANIFEST, "null".into()),
        ("gzip", MANIFEST, "\u{1f}\u{8b}\u{8}".into()),
    ] {
        let request = Request::new("PUT", "/v2/a/manifests/x").body(text.as_bytes());
        let answer = server.send(&request.header("content-type", content_type));
        assert_eq!(answer.status, 400, "{clause}");
        assert_eq!(answer.code(), "MANIFEST_INVALID", "{clause}");
    }
    assert_eq!(
        server.get("/v2/a/manifests/x").status,
        404,
        "nothing was stored"
    );
}
