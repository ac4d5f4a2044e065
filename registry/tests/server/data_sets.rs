// SPDX-License-Identifier: Apache-2.0
//! The kinds of manifests that must be taken and given back byte for byte.

use oci::{Algorithm, Digest, sha256};

use crate::peer::{
    Answer, INDEX, MANIFEST, Request, Server, descriptor, digest_of, index, manifest,
};

const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

fn put(server: &Server, digest: &Digest, media_type: &str, text: &str) -> Answer {
    let path = format!("/v2/a/manifests/{digest}");
    let request = Request::new("PUT", &path).body(text.as_bytes());
    server.send(&request.header("content-type", media_type))
}

fn assert_round_trip(clause: &str, media_type: &str, text: &str) {
    let server = Server::start();
    server.push_blob("a", b"{}");
    server.push_blob("a", b"layer");
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        let digest = digest_of(algorithm, text.as_bytes());
        let answer = put(&server, &digest, media_type, text);
        assert_eq!(answer.status, 201, "{clause}: {answer:?}");
        let got = server.get(&format!("/v2/a/manifests/{digest}"));
        assert_eq!(got.body, text.as_bytes(), "{clause}");
        assert_eq!(got.header("content-type"), Some(media_type), "{clause}");
        assert_eq!(
            got.header("docker-content-digest"),
            Some(&*digest.to_string()),
            "{clause}"
        );
    }
}

#[test]
fn every_data_set_comes_back_byte_for_byte() {
    for (clause, media_type, text) in data_sets() {
        assert_round_trip(clause, media_type, &text);
    }
}

#[expect(clippy::too_many_lines, reason = "a table, one row per data set")]
fn data_sets() -> Vec<(&'static str, &'static str, String)> {
    let empty = sha256(b"{}");
    let layer = sha256(b"layer");
    let gone = sha256(b"never pushed");
    let image = manifest(&empty, &[&layer], "");
    let child = sha256(image.as_bytes());
    let size = image.len();
    let annotations: Vec<_> = (0..390)
        .map(|n| format!("\"k{n}\":\"{}\"", "x".repeat(10_000)))
        .collect();
    let large = manifest(
        &empty,
        &[],
        &format!(",\"annotations\":{{{}}}", annotations.join(",")),
    );
    let subject = format!(",\"subject\":{}", descriptor(&gone, MANIFEST, 9));
    let data = image.replace("\"size\":2}", "\"size\":2,\"data\":\"e30=\"}");
    let urls = image.replace(
        "\"size\":5}",
        "\"size\":5,\"urls\":[\"https://x.example/y\"]}",
    );
    let docker = image.replace(MANIFEST, DOCKER_MANIFEST);
    let list = index(&[(&child, size)], "").replace(INDEX, DOCKER_LIST);
    let untyped = image.replace(
        &format!("\"mediaType\":\"{MANIFEST}\",\"config\""),
        "\"config\"",
    );
    vec![
        ("image", MANIFEST, image.clone()),
        ("large manifest", MANIFEST, large),
        ("index", INDEX, index(&[(&child, size)], "")),
        (
            "nested index",
            INDEX,
            index(&[(&child, size)], ",\"annotations\":{}").replace(MANIFEST, INDEX),
        ),
        ("empty index", INDEX, index(&[], "")),
        (
            "artifact",
            MANIFEST,
            manifest(&empty, &[&layer], ",\"artifactType\":\"x/y\""),
        ),
        (
            "artifact index",
            INDEX,
            index(&[], ",\"artifactType\":\"x/y\""),
        ),
        (
            "artifact without layers",
            MANIFEST,
            manifest(&empty, &[&empty], ",\"artifactType\":\"x/y\""),
        ),
        (
            "artifact with missing subject",
            MANIFEST,
            manifest(&empty, &[], &subject),
        ),
        ("index with missing subject", INDEX, index(&[], &subject)),
        ("data field", MANIFEST, data),
        ("non-distributable layers", MANIFEST, urls),
        (
            "custom fields",
            MANIFEST,
            manifest(&empty, &[], ",\"x\":{\"y\":[null]}"),
        ),
        ("no layers", MANIFEST, manifest(&empty, &[], "")),
        ("sparse image", MANIFEST, manifest(&empty, &[&gone], "")),
        ("sparse index", INDEX, index(&[(&gone, 7)], "")),
        ("docker manifest", DOCKER_MANIFEST, docker),
        ("docker manifest list", DOCKER_LIST, list),
        ("type said by the header alone", MANIFEST, untyped),
        ("odd white space", MANIFEST, format!("\n {image}\r\n\t")),
    ]
}

#[test]
fn the_algorithms_are_worlds_of_their_own() {
    let server = Server::start();
    let empty = sha256(b"{}");
    server.push_blob("a", b"{}");
    let wide = digest_of(Algorithm::Sha512, b"{}");
    let path = format!("/v2/a/blobs/uploads/?digest={wide}");
    assert_eq!(
        server.send(&Request::new("POST", &path).body(b"{}")).status,
        201
    );
    assert_eq!(server.delete(&format!("/v2/a/blobs/{empty}")).status, 202);
    assert_eq!(server.get(&format!("/v2/a/blobs/{wide}")).body, b"{}");
}
