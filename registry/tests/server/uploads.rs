// SPDX-License-Identifier: Apache-2.0
//! Uploads: end-4, end-5, end-6, end-11, end-13, end-14.

use oci::{Algorithm, sha256};

use crate::peer::{Answer, Request, Server, config, digest_of};

fn open(server: &Server, name: &str) -> String {
    let path = format!("/v2/{name}/blobs/uploads/");
    let answer = server.send(&Request::new("POST", &path).header("content-length", "0"));
    assert_eq!(answer.status, 202, "end-4a opens a session: {answer:?}");
    assert_eq!(
        answer.header("range"),
        Some("0-0"),
        "end-4a says how far it is"
    );
    assert!(answer.header("docker-upload-uuid").is_some());
    let location = answer.header("location").unwrap();
    assert!(
        location.starts_with(&path),
        "end-4a answers a relative location"
    );
    location.to_owned()
}

fn patch(server: &Server, location: &str, range: &str, bytes: &[u8]) -> Answer {
    let request = Request::new("PATCH", location).body(bytes);
    server.send(&request.header("content-range", range))
}

fn close(server: &Server, location: &str, digest: &str, last: &[u8]) -> Answer {
    let path = format!("{location}?digest={digest}");
    server.send(&Request::new("PUT", &path).body(last))
}

/// Asserts that an upload was answered as created and can be read back.
fn assert_pullable(server: &Server, answer: &Answer, bytes: &[u8], digest: &str) {
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(answer.header("docker-content-digest"), Some(digest));
    let pulled = server.get(answer.header("location").unwrap());
    assert_eq!((pulled.status, &*pulled.body), (200, bytes));
    assert_eq!(pulled.header("docker-content-digest"), Some(digest));
}

#[test]
fn every_way_of_uploading_takes_every_size_and_algorithm() {
    let server = Server::start();
    let large: Vec<u8> = (0..900_000_u32).map(|n| n.to_le_bytes()[1]).collect();
    for bytes in [&b""[..], b"hello", &large] {
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let digest = digest_of(algorithm, bytes).to_string();
            let name = format!("a/{algorithm}");
            let path = format!("/v2/{name}/blobs/uploads/?digest={digest}");
            let once = server.send(&Request::new("POST", &path).body(bytes));
            assert_pullable(&server, &once, bytes, &digest);
            let put = close(&server, &open(&server, &name), &digest, bytes);
            assert_pullable(&server, &put, bytes, &digest);
            let location = open(&server, &name);
            let streamed = server.send(&Request::new("PATCH", &location).stream(bytes));
            assert_eq!(streamed.status, 202, "end-5 takes a stream: {streamed:?}");
            let put = close(&server, streamed.header("location").unwrap(), &digest, b"");
            assert_pullable(&server, &put, bytes, &digest);
        }
    }
}

#[test]
fn end_5_chunks_in_order() {
    let server = Server::start();
    let location = open(&server, "a");
    let first = patch(&server, &location, "0-4", b"hello");
    assert_eq!((first.status, first.header("range")), (202, Some("0-4")));
    let status = server.get(&location);
    assert_eq!(status.status, 204, "end-13");
    assert_eq!(status.header("range"), Some("0-4"));
    assert_eq!(status.header("location"), Some(&*location));
    let second = patch(&server, &location, "5-10", b" world");
    assert_eq!((second.status, second.header("range")), (202, Some("0-10")));
    let digest = sha256(b"hello world!").to_string();
    let path = format!("{location}?digest={digest}");
    let last = Request::new("PUT", &path).body(b"!");
    let put = server.send(&last.clone().header("content-range", "11-11"));
    assert_pullable(&server, &put, b"hello world!", &digest);
    let again = server.send(&last);
    assert_eq!(
        again.status, 201,
        "end-6 whose answer was lost may be sent again"
    );
    assert_eq!(server.get(&location).status, 404, "end-13 after the end");
    assert_eq!(
        patch(&server, &location, "0-0", b"x").status,
        404,
        "end-5 after the end"
    );
}

#[test]
fn end_5_and_end_6_out_of_order_are_416_and_the_session_goes_on() {
    let server = Server::start();
    let location = open(&server, "a");
    let digest = sha256(b"hello world").to_string();
    let put_at = |range: &str, bytes: &[u8]| {
        let path = format!("{location}?digest={digest}");
        server.send(
            &Request::new("PUT", &path)
                .body(bytes)
                .header("content-range", range),
        )
    };
    let skipped = patch(&server, &location, "5-9", b"world");
    assert_eq!(
        (skipped.status, skipped.code().as_str()),
        (416, "RANGE_INVALID")
    );
    assert_eq!(
        put_at("5-9", b"world").status,
        416,
        "PUT of a session without bytes"
    );
    assert_eq!(patch(&server, &location, "0-4", b"hello").status, 202);
    for (clause, answer) in [
        ("a gap", patch(&server, &location, "9-12", b"orld")),
        ("a repetition", patch(&server, &location, "0-4", b"hello")),
        ("a gap in PUT", put_at("9-12", b"orld")),
        ("a repetition in PUT", put_at("0-4", b"hello")),
    ] {
        assert_eq!(answer.status, 416, "{clause}");
        assert_eq!(answer.header("range"), Some("0-4"), "{clause}");
        assert_eq!(answer.header("location"), Some(&*location), "{clause}");
        let with_query = format!("{location}?digest={digest}");
        assert_eq!(server.get(&with_query).status, 204, "{clause}");
    }
    let put = put_at("5-10", b" world");
    assert_pullable(&server, &put, b"hello world", &digest);
}

#[test]
fn lengths_that_contradict_are_refused() {
    let server = Server::start();
    let location = open(&server, "a");
    let short = patch(&server, &location, "0-9", b"hello");
    assert_eq!((short.status, short.code().as_str()), (400, "SIZE_INVALID"));
    let streamed = Request::new("PATCH", &location).stream(b"hello");
    let streamed = server.send(&streamed.header("content-range", "0-9"));
    assert_eq!(
        (streamed.status, streamed.code().as_str()),
        (400, "SIZE_INVALID")
    );
    let malformed = patch(&server, &location, "five", b"hello");
    assert_eq!(malformed.status, 400);
    assert_eq!(server.get(&location).header("range"), Some("0-0"));
    let digest = sha256(b"hello").to_string();
    assert_eq!(close(&server, &location, &digest, b"hello").status, 201);
}

#[test]
fn wrong_digests_are_refused() {
    let server = Server::start();
    let right = sha256(b"hello").to_string();
    let patched = |bytes: &[u8]| {
        let location = open(&server, "a");
        assert_eq!(
            server
                .send(&Request::new("PATCH", &location).stream(bytes))
                .status,
            202
        );
        location
    };
    let post = |query: &str, bytes: &[u8]| {
        let path = format!("/v2/a/blobs/uploads/?{query}");
        server.send(&Request::new("POST", &path).body(bytes))
    };
    let spoiled = patched(b"jello");
    for (clause, answer) in [
        (
            "end-4b, other bytes",
            post(&format!("digest={right}"), b"jello"),
        ),
        ("end-4b, malformed", post("digest=sha256:xyz", b"hello")),
        (
            "end-4b, unknown algorithm",
            post("digest=md5:d41d8cd98f00b204e9800998ecf8427e", b""),
        ),
        (
            "end-4b, two that differ",
            post(&format!("digest={right}&digest={}", sha256(b"")), b"hello"),
        ),
        (
            "end-4a, unknown algorithm",
            post("digest-algorithm=md5", b""),
        ),
        (
            "end-6, other bytes",
            close(&server, &open(&server, "a"), &right, b"jello"),
        ),
        ("end-6 after end-5", close(&server, &spoiled, &right, b"")),
        (
            "end-6, malformed",
            close(&server, &open(&server, "a"), "sha256:xyz", b"hello"),
        ),
        (
            "end-6, missing",
            server.send(&Request::new("PUT", &open(&server, "a")).body(b"hello")),
        ),
    ] {
        let code = answer.code();
        assert_eq!((answer.status, &*code), (400, "DIGEST_INVALID"), "{clause}");
    }
    assert_eq!(server.get(&format!("/v2/a/blobs/{right}")).status, 404);
    assert_eq!(
        close(&server, &spoiled, &right, b"").status,
        404,
        "a spoiled session is over"
    );
}

#[test]
fn end_11_mount() {
    let server = Server::start();
    let digest = server.push_blob("from/here", b"hello");
    let post = |query: &str| {
        let path = format!("/v2/to/blobs/uploads/?{query}");
        server.send(&Request::new("POST", &path).header("content-length", "0"))
    };
    let from = post(&format!("mount={digest}&from=from/here"));
    assert_pullable(&server, &from, b"hello", &digest.to_string());
    assert_eq!(server.delete(&format!("/v2/to/blobs/{digest}")).status, 202);
    let anonymous = post(&format!("mount={digest}"));
    assert_pullable(&server, &anonymous, b"hello", &digest.to_string());
    let nowhere = sha256(b"nowhere");
    for (clause, query) in [
        ("a blob that is nowhere", format!("mount={nowhere}")),
        (
            "not in that repository",
            format!("mount={nowhere}&from=from/here"),
        ),
        (
            "no such repository",
            format!("mount={digest}&from=from/there"),
        ),
        ("no repository's name", format!("mount={digest}&from=../x")),
        ("from without mount", "from=from/here".to_owned()),
    ] {
        let answer = post(&query);
        assert_eq!(answer.status, 202, "{clause}");
        let location = answer.header("location").unwrap();
        let put = close(&server, location, &nowhere.to_string(), b"nowhere");
        assert_eq!(put.status, 201, "{clause}");
        server.delete(&format!("/v2/to/blobs/{nowhere}"));
    }
    let invalid = post("mount=sha256:xyz&from=from/here");
    assert_eq!((invalid.status, &*invalid.code()), (400, "DIGEST_INVALID"));
}

#[test]
fn end_14_cancel() {
    let server = Server::start();
    for bytes in [None, Some(b"hello")] {
        let location = open(&server, "a");
        if let Some(bytes) = bytes {
            patch(&server, &location, "0-4", bytes);
        }
        assert_eq!(server.delete(&location).status, 204);
        let gone = server.get(&location);
        assert_eq!((gone.status, &*gone.code()), (404, "BLOB_UPLOAD_UNKNOWN"));
        assert_eq!(server.delete(&location).status, 404);
        assert_eq!(patch(&server, &location, "0-4", b"hello").status, 404);
    }
}

#[test]
fn a_session_belongs_to_its_repository_and_cannot_be_guessed() {
    let server = Server::start();
    let location = open(&server, "a/b");
    let id = location.rsplit('/').next().unwrap();
    for path in [
        format!("/v2/a/c/blobs/uploads/{id}"),
        format!("/v2/a/b/blobs/uploads/{}", id.to_lowercase()),
        "/v2/a/b/blobs/uploads/x".into(),
        "/v2/a/b/blobs/uploads/..%2f..%2fmeta.db".into(),
    ] {
        assert_eq!(server.get(&path).status, 404, "{path}");
        assert_eq!(
            server.send(&Request::new("PATCH", &path).body(b"x")).status,
            404,
            "{path}"
        );
    }
}

#[test]
fn a_session_survives_a_restart() {
    let root = tempfile::tempdir().unwrap();
    let server = Server::on(config(root.path()));
    let empty = open(&server, "a");
    let begun = open(&server, "a");
    assert_eq!(patch(&server, &begun, "0-4", b"hello").status, 202);
    drop(server);
    // What was written but not acknowledged is forgotten.
    let id = begun.rsplit('/').next().unwrap();
    let path = root.path().join("uploads").join(id);
    std::fs::write(&path, b"hello, garbage").unwrap();
    let server = Server::on(config(root.path()));
    assert_eq!(server.get(&empty).status, 204);
    assert_eq!(server.get(&begun).header("range"), Some("0-4"));
    assert_eq!(patch(&server, &begun, "5-10", b" world").status, 202);
    let digest = sha256(b"hello world").to_string();
    let put = close(&server, &begun, &digest, b"");
    assert_pullable(&server, &put, b"hello world", &digest);
    assert!(!path.exists(), "a finished upload leaves no file");
    assert_eq!(
        std::fs::read_dir(root.path().join("uploads"))
            .unwrap()
            .count(),
        0
    );
}
