// SPDX-License-Identifier: Apache-2.0
//! Blobs, manifests, tags, referrers and the catalog: end-1 to end-3, end-7 to end-10, end-12.

use oci::{Algorithm, sha256};
use registry::storage::SparsePolicy;

use crate::peer::{INDEX, MANIFEST, Request, Server, digest_of, manifest};

/// Pushes an image of one config and one layer; returns the manifest.
fn push_image(server: &Server, name: &str, tag: &str) -> String {
    let config = server.push_blob(name, b"{}");
    let layer = server.push_blob(name, b"layer");
    let text = manifest(&config, &[&layer], "");
    let put = server.put_manifest(name, tag, text.as_bytes());
    assert_eq!(put.status, 201, "{put:?}");
    text
}

#[test]
fn end_1_says_that_this_is_a_registry() {
    let server = Server::start();
    for path in ["/v2/", "/v2"] {
        let answer = server.get(path);
        assert_eq!(answer.status, 200);
        assert_eq!(
            answer.header("docker-distribution-api-version"),
            Some("registry/2.0")
        );
    }
    assert_eq!(server.head("/v2/").status, 200);
}

/// Requests for what is not there: clause, method, path, status, code.
const ABSENT: &[(&str, &str, &str, u16, &str)] = &[
    ("end-2", "GET", "/v2/a/blobs/{digest}", 404, "BLOB_UNKNOWN"),
    (
        "end-3 by digest",
        "GET",
        "/v2/a/manifests/{digest}",
        404,
        "MANIFEST_UNKNOWN",
    ),
    (
        "end-3 by tag",
        "GET",
        "/v2/a/manifests/y",
        404,
        "MANIFEST_UNKNOWN",
    ),
    (
        "end-3, no repository",
        "GET",
        "/v2/b/manifests/x",
        404,
        "MANIFEST_UNKNOWN",
    ),
    (
        "end-8, no repository",
        "GET",
        "/v2/b/tags/list",
        404,
        "NAME_UNKNOWN",
    ),
    (
        "end-9 by digest",
        "DELETE",
        "/v2/a/manifests/{digest}",
        404,
        "MANIFEST_UNKNOWN",
    ),
    (
        "end-9 by tag",
        "DELETE",
        "/v2/a/manifests/y",
        404,
        "MANIFEST_UNKNOWN",
    ),
    (
        "end-10",
        "DELETE",
        "/v2/a/blobs/{digest}",
        404,
        "BLOB_UNKNOWN",
    ),
    (
        "end-12, bad digest",
        "GET",
        "/v2/a/referrers/sha256:x",
        400,
        "DIGEST_INVALID",
    ),
    ("bad name", "GET", "/v2/A/manifests/x", 400, "NAME_INVALID"),
    ("bad tag", "GET", "/v2/a/manifests/.x", 400, "TAG_INVALID"),
    (
        "bad digest",
        "GET",
        "/v2/a/manifests/sha256:baddigeststring",
        400,
        "DIGEST_INVALID",
    ),
    ("no such path", "GET", "/v2/a/b", 404, "NAME_UNKNOWN"),
    (
        "wrong method",
        "PATCH",
        "/v2/a/tags/list",
        405,
        "UNSUPPORTED",
    ),
];

#[test]
fn what_is_not_there() {
    let server = Server::start();
    push_image(&server, "a", "x");
    let digest = sha256(b"nothing");
    for (clause, method, path, status, code) in ABSENT {
        let path = path.replace("{digest}", &digest.to_string());
        let answer = server.send(&Request::new(method, &path));
        let code_found = answer.code();
        assert_eq!(
            (answer.status, &*code_found),
            (*status, *code),
            "{clause}: {path}"
        );
        if *method == "GET" {
            assert_eq!(server.head(&path).status, *status, "{clause}");
        }
    }
    let wrong = server.send(&Request::new("PATCH", "/v2/a/blobs/uploads/"));
    assert_eq!(wrong.header("allow"), Some("POST"));
}

#[test]
fn end_2_whole_in_part_and_unchanged() {
    let server = Server::start();
    let bytes: Vec<u8> = (0..2048_u32).map(|n| n.to_le_bytes()[0]).collect();
    let digest = server.push_blob("a", &bytes);
    let path = format!("/v2/a/blobs/{digest}");
    let (get, head) = (server.get(&path), server.head(&path));
    let tag = format!("\"{digest}\"");
    for answer in [&get, &head] {
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-length"), Some("2048"));
        assert_eq!(
            answer.header("docker-content-digest"),
            Some(&*digest.to_string())
        );
        assert_eq!(
            answer.header("content-type"),
            Some("application/octet-stream")
        );
        assert_eq!(answer.header("etag"), Some(&*tag));
        assert_eq!(answer.header("accept-ranges"), Some("bytes"));
    }
    assert_eq!(get.body, bytes);
    for (range, part, content_range) in [
        ("bytes=500-1499", &bytes[500..1500], "bytes 500-1499/2048"),
        ("bytes=500-", &bytes[500..], "bytes 500-2047/2048"),
        ("bytes=-500", &bytes[1548..], "bytes 1548-2047/2048"),
        ("bytes=2000-5000", &bytes[2000..], "bytes 2000-2047/2048"),
    ] {
        let answer = server.send(&Request::new("GET", &path).header("range", range));
        assert_eq!((answer.status, &*answer.body), (206, part), "{range}");
        assert_eq!(answer.header("content-range"), Some(content_range));
    }
    for range in ["bytes=500-0", "bytes=5000-10000"] {
        let answer = server.send(&Request::new("GET", &path).header("range", range));
        assert_eq!(
            (answer.status, &*answer.code()),
            (416, "RANGE_INVALID"),
            "{range}"
        );
        assert_eq!(answer.header("content-range"), Some("bytes */2048"));
    }
    for method in ["GET", "HEAD"] {
        let known = server.send(&Request::new(method, &path).header("if-none-match", &tag));
        assert_eq!(
            (known.status, known.header("etag")),
            (304, Some(&*tag)),
            "{method}"
        );
    }
    let empty = server.push_blob("a", b"");
    let head = server.head(&format!("/v2/a/blobs/{empty}"));
    assert_eq!(
        head.header("content-length"),
        Some("0"),
        "an empty blob says so"
    );
}

#[test]
fn end_3_and_end_7_by_tag_and_digest() {
    let server = Server::start();
    let config = server.push_blob("a", b"{}");
    let text = manifest(&config, &[], ",\"unknown\": [1, {}]");
    let digest = sha256(text.as_bytes()).to_string();
    for (reference, content_type) in [
        ("latest", MANIFEST.to_owned()),
        (&*digest, format!("{MANIFEST}; charset=utf-8")),
    ] {
        let path = format!("/v2/a/manifests/{reference}");
        let put = Request::new("PUT", &path).body(text.as_bytes());
        let put = server.send(&put.header("content-type", &content_type));
        assert_eq!(put.status, 201, "{put:?}");
        assert_eq!(put.header("docker-content-digest"), Some(&*digest));
        let location = put.header("location").unwrap();
        for path in [path.as_str(), location] {
            let accept = Request::new("GET", path).header("accept", INDEX);
            let get = server.send(&accept.header("accept", MANIFEST));
            let head = server.head(path);
            for answer in [&get, &head] {
                assert_eq!(answer.status, 200, "{path}");
                assert_eq!(answer.header("content-type"), Some(MANIFEST));
                assert_eq!(answer.header("docker-content-digest"), Some(&*digest));
                let length = text.len().to_string();
                assert_eq!(answer.header("content-length"), Some(&*length));
            }
            assert_eq!(get.body, text.as_bytes());
            let tag = format!("\"{digest}\"");
            let known = server.send(&Request::new("GET", path).header("if-none-match", &tag));
            assert_eq!(known.status, 304);
        }
    }
}

#[test]
fn end_7_refusals() {
    let server = Server::with(|config| config.sparse = SparsePolicy::Strict);
    let config = server.push_blob("a", b"{}");
    server.push_blob("elsewhere", b"private");
    let good = manifest(&config, &[], "");
    let other = sha256(b"other");
    let private = sha256(b"private");
    let missing = manifest(&config, &[&other, &private], "");
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let by_digest = sha256(good.as_bytes()).to_string();
    let blanks = format!("{good}  ");
    for (clause, reference, body, code) in [
        ("other bytes", &*by_digest, &*blanks, "DIGEST_INVALID"),
        (
            "not a digest",
            "sha256:baddigeststring",
            &*good,
            "DIGEST_INVALID",
        ),
        ("not a tag", "-x", &*good, "TAG_INVALID"),
        ("not JSON", "x", "{", "MANIFEST_INVALID"),
        ("empty", "x", "", "MANIFEST_INVALID"),
        ("deep", "x", &*deep, "MANIFEST_INVALID"),
        ("schema 1", "x", "{\"schemaVersion\":1}", "MANIFEST_INVALID"),
        (
            "missing references",
            "x",
            &*missing,
            "MANIFEST_BLOB_UNKNOWN",
        ),
    ] {
        let answer = server.put_manifest("a", reference, body.as_bytes());
        let found = answer.code();
        assert_eq!((answer.status, &*found), (400, code), "{clause}");
    }
    let answer = server.put_manifest("a", "x", missing.as_bytes());
    let details = answer.json()["errors"].as_array().unwrap().len();
    assert_eq!(details, 2, "one error for each missing reference");
    let index_type = Request::new("PUT", "/v2/a/manifests/x").body(good.as_bytes());
    let answer = server.send(&index_type.header("content-type", INDEX));
    assert_eq!(
        (answer.status, &*answer.code()),
        (400, "MANIFEST_INVALID"),
        "type mismatch"
    );
    assert_eq!(
        server.get("/v2/a/manifests/x").status,
        404,
        "nothing was stored"
    );
    let huge = vec![b' '; (8 << 20) + 1];
    let answer = server.put_manifest("a", "x", &huge);
    assert_eq!((answer.status, &*answer.code()), (413, "SIZE_INVALID"));
}

#[test]
fn end_7_never_gives_access_to_a_blob() {
    let server = Server::start();
    let private = server.push_blob("private", b"secret");
    let config = server.push_blob("a", b"{}");
    let text = manifest(&config, &[&private], "");
    let put = server.put_manifest("a", "x", text.as_bytes());
    assert_eq!(put.status, 201, "sparse manifests are allowed by default");
    assert!(put.header("warning").unwrap().starts_with("299 - \""));
    assert_eq!(server.get(&format!("/v2/a/blobs/{private}")).status, 404);
    // What was there and is gone is no sparse reference: the client trusts an old answer.
    assert_eq!(server.delete(&format!("/v2/a/blobs/{config}")).status, 202);
    let text = manifest(&config, &[], ",\"annotations\":{}");
    let put = server.put_manifest("a", "y", text.as_bytes());
    assert_eq!((put.status, &*put.code()), (400, "MANIFEST_BLOB_UNKNOWN"));
}

#[test]
fn end_7_tag_parameters_and_conditions() {
    let server = Server::start();
    let config = server.push_blob("a", b"{}");
    let one = manifest(&config, &[], "");
    let two = manifest(&config, &[], ",\"annotations\":{\"n\":\"2\"}");
    let digest = digest_of(Algorithm::Sha512, one.as_bytes());
    let put = server.put_manifest("a", &format!("{digest}?tag=v1&tag=v2"), one.as_bytes());
    assert_eq!(put.status, 201);
    assert_eq!(put.all("oci-tag").collect::<Vec<_>>(), ["v1", "v2"]);
    for tag in ["v1", "v2"] {
        let head = server.head(&format!("/v2/a/manifests/{tag}"));
        assert_eq!(
            head.header("docker-content-digest"),
            Some(&*digest.to_string())
        );
    }
    let many: Vec<_> = (0..51).map(|n| format!("tag=t{n}")).collect();
    let put = server.put_manifest("a", &format!("{digest}?{}", many.join("&")), one.as_bytes());
    assert_eq!(put.status, 414);
    let put_if = |header: &str, value: &str, tag: &str, text: &str| {
        let path = format!("/v2/a/manifests/{tag}");
        let request = Request::new("PUT", &path).body(text.as_bytes());
        let request = request
            .header("content-type", MANIFEST)
            .header(header, value);
        server.send(&request).status
    };
    let current = format!("\"{digest}\"");
    for (clause, header, value, tag, status) in [
        ("the tag exists", "if-none-match", "*", "v1", 412),
        ("the tag does not exist", "if-none-match", "*", "new", 201),
        ("another digest", "if-match", "\"sha256:x\"", "v1", 412),
        ("no tag at all", "if-match", &*current, "v9", 412),
        ("the right digest", "if-match", &*current, "v1", 201),
        ("it has moved", "if-match", &*current, "v1", 412),
    ] {
        assert_eq!(put_if(header, value, tag, &two), status, "{clause}");
    }
}

#[test]
fn end_9_and_end_10_deletes() {
    let server = Server::start();
    let text = push_image(&server, "a", "one");
    server.put_manifest("a", "two", text.as_bytes());
    let digest = sha256(text.as_bytes());
    assert_eq!(server.delete("/v2/a/manifests/one").status, 202);
    assert_eq!(server.head("/v2/a/manifests/one").status, 404);
    let by_digest = format!("/v2/a/manifests/{digest}");
    assert_eq!(
        server.head(&by_digest).status,
        200,
        "a tag's delete leaves the manifest"
    );
    assert_eq!(server.delete(&by_digest).status, 202);
    assert_eq!(server.head(&by_digest).status, 404);
    assert_eq!(
        server.head("/v2/a/manifests/two").status,
        404,
        "its tags are gone with it"
    );
    let tags = server.get("/v2/a/tags/list").json();
    assert_eq!(tags["tags"], serde_json::json!([]));
    assert_eq!(
        server.put_manifest("a", "two", text.as_bytes()).status,
        201,
        "and back again"
    );
    assert_eq!(server.get("/v2/a/manifests/two").body, text.as_bytes());
    let layer = sha256(b"layer");
    server.push_blob("b", b"layer");
    assert_eq!(server.delete(&format!("/v2/a/blobs/{layer}")).status, 202);
    assert_eq!(server.head(&format!("/v2/a/blobs/{layer}")).status, 404);
    assert_eq!(
        server.head(&format!("/v2/b/blobs/{layer}")).status,
        200,
        "only in this repository"
    );
    assert_eq!(server.delete(&format!("/v2/a/blobs/{layer}")).status, 404);
    server.push_blob("a", b"layer");
    assert_eq!(server.get(&format!("/v2/a/blobs/{layer}")).body, b"layer");
}

#[test]
fn deletes_can_be_switched_off() {
    let server = Server::with(|config| config.deletes = false);
    push_image(&server, "a", "x");
    let answer = server.delete("/v2/a/manifests/x");
    assert_eq!((answer.status, &*answer.code()), (405, "UNSUPPORTED"));
    assert_eq!(
        server
            .delete(&format!("/v2/a/blobs/{}", sha256(b"{}")))
            .status,
        405
    );
}

#[test]
fn names_made_of_the_protocols_words_route() {
    let server = Server::start();
    for name in [
        "blobs",
        "a/blobs/uploads",
        "tags/list",
        "manifests/tags",
        "a/referrers",
        "v2",
    ] {
        let text = push_image(&server, name, "list");
        assert_eq!(
            server.get(&format!("/v2/{name}/manifests/list")).body,
            text.as_bytes(),
            "{name}"
        );
        let tags = server.get(&format!("/v2/{name}/tags/list")).json();
        assert_eq!(
            tags,
            serde_json::json!({ "name": name, "tags": ["list"] }),
            "{name}"
        );
    }
}
