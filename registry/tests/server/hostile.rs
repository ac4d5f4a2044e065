// SPDX-License-Identifier: Apache-2.0
//! Odd and hostile requests: each gets an answer of its own kind, and the server stays well.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use oci::sha256;

use crate::input::{exchange, statuses};
use crate::peer::{Answer, MANIFEST, Request, Server, descriptor};

/// Sends raw bytes; returns the status, or none if the server just hung up.
fn raw(server: &Server, bytes: &[u8], hang_up: bool) -> Option<u16> {
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    // A server that refuses early may close before everything is written.
    stream.write_all(bytes).unwrap_or_default();
    if hang_up {
        stream
            .shutdown(std::net::Shutdown::Write)
            .unwrap_or_default();
    }
    Answer::read(stream, false).ok().map(|answer| answer.status)
}

#[test]
fn raw_requests() {
    let server = Server::start();
    let flood = "x-y: z\r\n".repeat(1000);
    let long = format!(
        "GET /v2/{} HTTP/1.1\r\nhost: x\r\n\r\n",
        "a".repeat(400_000)
    );
    for (clause, text, statuses) in [
        ("not HTTP", "\x16\x03\x01\x02garbage\r\n\r\n".to_owned(), &[Some(400), None][..]),
        ("no host is fine", "GET /v2/ HTTP/1.1\r\nconnection: close\r\n\r\n".into(), &[Some(200)]),
        ("absolute form", "GET http://x/v2/ HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".into(), &[Some(200)]),
        ("header flood", format!("GET /v2/ HTTP/1.1\r\n{flood}\r\n"), &[Some(431), Some(400), None]),
        ("huge line", long, &[Some(414), Some(431), Some(400), None]),
        ("dot segments", "GET /v2/../../etc/passwd HTTP/1.1\r\nconnection: close\r\n\r\n".into(), &[Some(404), Some(400)]),
        ("encoded slashes", "GET /v2/a%2f..%2f..%2fx/manifests/y HTTP/1.1\r\nconnection: close\r\n\r\n".into(), &[Some(400)]),
        ("two lengths", "POST /v2/a/blobs/uploads/ HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx".into(), &[Some(400), None]),
        ("length and coding", "PUT /v2/a/manifests/x HTTP/1.1\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n0\r\n\r\n".into(), &[Some(400), None]),
        ("negative length", "PUT /v2/a/manifests/x HTTP/1.1\r\ncontent-length: -1\r\n\r\n".into(), &[Some(400), None]),
        ("unknown method", "BREW /v2/ HTTP/1.1\r\nconnection: close\r\n\r\n".into(), &[Some(405)]),
    ] {
        let status = raw(&server, text.as_bytes(), false);
        assert!(statuses.contains(&status), "{clause}: {status:?}");
        assert_eq!(server.get("/v2/").status, 200, "{clause}: and the server lives");
    }
}

/// What hyper answers itself has no body; everything else is the specification's JSON.
#[test]
fn heads_that_are_too_large() {
    let server = Server::start();
    let request = |target: &str, fields: &str| {
        format!("GET {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{fields}\r\n")
    };
    let field = |size: usize| format!("x-y: {}\r\n", "z".repeat(size));
    let long = |size: usize| format!("/v2/{}", "a".repeat(size));
    for (clause, text, status, is_json) in [
        (
            "100 fields",
            request("/v2/", &"x-y: z\r\n".repeat(98)),
            200,
            true,
        ),
        (
            "101 fields",
            request("/v2/", &"x-y: z\r\n".repeat(99)),
            431,
            true,
        ),
        (
            "400 fields",
            request("/v2/", &"x-y: z\r\n".repeat(398)),
            431,
            true,
        ),
        (
            "401 fields",
            request("/v2/", &"x-y: z\r\n".repeat(399)),
            431,
            false,
        ),
        ("60 KB", request("/v2/", &field(60_000)), 200, true),
        ("70 KB", request("/v2/", &field(70_000)), 431, true),
        ("200 KB", request("/v2/", &field(200_000)), 431, true),
        ("300 KB", request("/v2/", &field(300_000)), 431, false),
        ("for a token", request("/token", &field(70_000)), 431, true),
        ("a target of 20 KB", request(&long(20_000), ""), 414, true),
        ("a target of 60 KB", request(&long(60_000), ""), 414, true),
        ("a target of 70 KB", request(&long(70_000), ""), 414, false),
    ] {
        let answer = exchange(&server, text.as_bytes(), false);
        assert_eq!(statuses(&answer), [status], "{clause}: {answer}");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let head = head.to_lowercase();
        let found = head.contains("content-type: application/json");
        assert_eq!(found, is_json, "{clause}: {answer}");
        assert_eq!(body.starts_with('{'), is_json, "{clause}: {answer}");
        assert!(
            is_json || head.contains("connection: close"),
            "{clause}: {answer}"
        );
    }
}

#[test]
fn encoded_bodies_are_refused() {
    let server = Server::start();
    let digest = sha256(b"hello");
    for path in [
        "/v2/a/manifests/x".to_owned(),
        format!("/v2/a/blobs/uploads/x?digest={digest}"),
    ] {
        let request = Request::new("PUT", &path).body(b"hello");
        let answer = server.send(&request.header("content-encoding", "gzip"));
        assert_eq!(
            (answer.status, &*answer.code()),
            (415, "UNSUPPORTED"),
            "{path}"
        );
    }
}

#[test]
fn answers_are_never_compressed_nor_sniffed() {
    let server = Server::start();
    let digest = server.push_blob("a", b"<script>alert(1)</script>");
    let path = format!("/v2/a/blobs/{digest}");
    let request = Request::new("GET", &path).header("accept-encoding", "gzip");
    let answer = server.send(&request.header("accept", "text/html"));
    assert_eq!(answer.header("content-encoding"), None);
    assert_eq!(
        answer.header("content-type"),
        Some("application/octet-stream")
    );
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(answer.body, b"<script>alert(1)</script>");
}

#[test]
fn an_index_of_ten_thousand_children() {
    let server = Server::start();
    let children: Vec<_> = (0..10_000_u32)
        .map(|n| descriptor(&sha256(&n.to_le_bytes()), MANIFEST, 9))
        .collect();
    let text = format!(
        "{{\"schemaVersion\":2,\"manifests\":[{}]}}",
        children.join(",")
    );
    let put = server.put_manifest("a", "x", text.as_bytes());
    assert_eq!(put.status, 400, "the header says it is an image");
    let request = Request::new("PUT", "/v2/a/manifests/x").body(text.as_bytes());
    let put = server.send(&request.header("content-type", crate::peer::INDEX));
    assert_eq!(put.status, 201, "{put:?}");
    assert_eq!(server.get("/v2/a/manifests/x").body, text.as_bytes());
}

#[test]
fn a_body_that_breaks_off_leaves_nothing_or_a_session() {
    let server = Server::start();
    let digest = sha256(b"hello world");
    let path = format!("/v2/a/blobs/uploads/?digest={digest}");
    let whole = Request::new("POST", &path).body(b"hello world").bytes();
    raw(&server, &whole[..whole.len() - 5], true);
    assert_eq!(server.head(&format!("/v2/a/blobs/{digest}")).status, 404);
    let start = Request::new("POST", "/v2/a/blobs/uploads/").header("content-length", "0");
    let answer = server.send(&start);
    let location = answer.header("location").unwrap();
    let cut = Request::new("PATCH", location).body(b"hello world").bytes();
    raw(&server, &cut[..cut.len() - 5], true);
    // The server notices the cut in its own time; the session is free once it has.
    let rest = Request::new("PATCH", location).body(b"world");
    let rest = server.send(&rest.header("content-range", "6-10"));
    assert_eq!(
        rest.status, 202,
        "what came before the cut is kept: {rest:?}"
    );
    let close = format!("{location}?digest={digest}");
    assert_eq!(
        server.send(&Request::new("PUT", &close).body(b"")).status,
        201
    );
}

#[test]
fn a_newer_request_takes_a_session_over() {
    let server = Server::start();
    let start = Request::new("POST", "/v2/a/blobs/uploads/").header("content-length", "0");
    let answer = server.send(&start);
    let location = answer.header("location").unwrap();
    let mut stalled = TcpStream::connect(server.address).unwrap();
    let head = format!("PATCH {location} HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nhello");
    stalled.write_all(head.as_bytes()).unwrap();
    // Wait until the server holds the session: its status is unknown to a second writer before.
    std::thread::sleep(Duration::from_millis(300));
    let digest = sha256(b"hello world");
    let path = format!("{location}?digest={digest}");
    let rest = Request::new("PUT", &path)
        .body(b" world")
        .header("content-range", "5-10");
    let answer = server.send(&rest);
    assert_eq!(answer.status, 201, "{answer:?}");
    let mut text = String::new();
    stalled
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    stalled.read_to_string(&mut text).unwrap_or_default();
    assert!(text.starts_with("HTTP/1.1 400"), "{text}");
}

#[test]
fn slow_clients_are_cut_off() {
    let server = Server::with(|config| {
        config.limits.body_idle = Duration::from_millis(200);
        config.limits.head = Duration::from_millis(200);
        config.limits.write_idle = Duration::from_millis(200);
    });
    let mut head = TcpStream::connect(server.address).unwrap();
    head.write_all(b"GET /v2/ HT").unwrap();
    let mut body = TcpStream::connect(server.address).unwrap();
    body.write_all(b"PUT /v2/a/manifests/x HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{")
        .unwrap();
    let digest = server.push_blob("a", &vec![7; 64 << 20]);
    let mut reader = TcpStream::connect(server.address).unwrap();
    let get = format!("GET /v2/a/blobs/{digest} HTTP/1.1\r\nhost: x\r\n\r\n");
    reader.write_all(get.as_bytes()).unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    for (clause, stream) in [
        ("head", &mut head),
        ("body", &mut body),
        ("reader", &mut reader),
    ] {
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        let mut bytes = Vec::new();
        // Ends, or is reset; either way the server has let go.
        let count = stream.read_to_end(&mut bytes).map_or(0, |count| count);
        assert!(count < 64 << 20, "{clause}");
        assert_eq!(
            bytes.starts_with(b"HTTP/1.1 408"),
            clause != "reader" && !bytes.is_empty()
        );
    }
}
