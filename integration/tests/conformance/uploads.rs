// SPDX-License-Identifier: Apache-2.0
//! Rows 5 to 21: the ways a blob comes into a repository.

use integration::http::Response;
use oci::{Algorithm, Digest};

use super::target::{Call, Target, blob_path, content, digest_of, location, uploads};

/// As the tool of the specification has them: three chunks, the last of them shorter.
const CHUNK: usize = 1024;
const CHUNKED: usize = 3 * CHUNK - 5;

const ALGORITHMS: [Algorithm; 2] = [Algorithm::Sha256, Algorithm::Sha512];

/// Every kind of blob that each way must take.
fn samples(seed: &str, count: usize) -> Vec<(Digest, Vec<u8>)> {
    let mut samples = Vec::new();
    for algorithm in ALGORITHMS {
        let bytes = content(&format!("{seed} {algorithm}"), count);
        samples.push((digest_of(algorithm, &bytes), bytes));
    }
    samples
}

fn wrong_digest(seed: &str) -> Digest {
    digest_of(Algorithm::Sha256, format!("not {seed}").as_bytes())
}

fn chunk(location: &str, from: usize, bytes: &[u8]) -> Call {
    let range = format!("{from}-{}", from + bytes.len() - 1);
    Call::new("PATCH", location)
        .header("Content-Type", "application/octet-stream")
        .header("Content-Range", range)
        .body(bytes)
}

fn finish(location: &str, digest: &Digest) -> Call {
    Call::new("PUT", location).query("digest", &digest.to_string())
}

pub(super) fn row_05_a_post_opens_an_upload(target: &mut Target) {
    let answer = target.send(&Call::new("POST", uploads(&target.repository())));
    assert_eq!(answer.status, 202, "{answer:?}");
    assert!(location(&answer).contains("/blobs/uploads/"));
}

pub(super) fn row_06_post_and_put(target: &mut Target) {
    let name = target.repository();
    for (digest, bytes) in samples("post and put", 512) {
        target.push_blob(&name, &digest, &bytes);
    }
}

pub(super) fn row_07_post_with_the_blob(target: &mut Target) {
    let name = target.repository();
    for (digest, bytes) in samples("single post", 512) {
        let post = Call::new("POST", uploads(&name)).query("digest", &digest.to_string());
        let post = post.header("Content-Type", "application/octet-stream");
        let answer = target.send(&post.body(bytes.clone()));
        target.created_blob(&answer, &digest, &bytes);
    }
    let wrong = wrong_digest("single post");
    let post = Call::new("POST", uploads(&name)).query("digest", &wrong.to_string());
    let answer = target.send(&post.body("other bytes"));
    assert_eq!(answer.status, 400, "{answer:?}");
}

pub(super) fn row_08_a_chunked_upload_begins_without_a_body(target: &mut Target) {
    let answer = target.send(&Call::new("POST", uploads(&target.repository())));
    assert_eq!(answer.status, 202, "{answer:?}");
    // Chunks of any size are taken; a least size would make clients with small buffers fail.
    assert_eq!(answer.header("oci-chunk-min-length"), None);
}

/// Sends all chunks but the last; returns where to go on and how far it is.
fn send_chunks(target: &mut Target, name: &str, bytes: &[u8]) -> (String, usize) {
    let mut at = 0;
    let mut there = target.open_upload(name);
    for piece in bytes.chunks(CHUNK).take(bytes.len().div_ceil(CHUNK) - 1) {
        let answer = target.send(&chunk(&there, at, piece));
        assert_eq!(answer.status, 202, "{answer:?}");
        at += piece.len();
        let range = format!("0-{}", at - 1);
        assert_eq!(answer.header("range"), Some(&*range), "{answer:?}");
        there = location(&answer);
    }
    (there, at)
}

pub(super) fn row_09_10_chunks_and_an_empty_end(target: &mut Target) {
    let name = target.repository();
    for (digest, bytes) in samples("chunks", CHUNKED) {
        let (there, at) = send_chunks(target, &name, &bytes);
        let answer = target.send(&chunk(&there, at, &bytes[at..]));
        assert_eq!(answer.status, 202, "{answer:?}");
        let answer = target.send(&finish(&location(&answer), &digest));
        target.created_blob(&answer, &digest, &bytes);
    }
}

pub(super) fn row_11_the_last_chunk_ends_the_upload(target: &mut Target) {
    let name = target.repository();
    for (digest, bytes) in samples("last chunk", CHUNKED) {
        let (there, at) = send_chunks(target, &name, &bytes);
        let last = finish(&there, &digest)
            .header("Content-Type", "application/octet-stream")
            .header("Content-Range", format!("{at}-{}", bytes.len() - 1))
            .body(&bytes[at..]);
        let answer = target.send(&last);
        target.created_blob(&answer, &digest, &bytes);
    }
}

/// Rows 12 and 14: the upload says where it is, and goes on there.
fn assert_goes_on(target: &mut Target, refused: &Response, there: &str, stored: usize) -> String {
    assert_eq!(refused.status, 416, "{refused:?}");
    assert!(refused.header("range").is_some(), "{refused:?}");
    let status = target.get(there);
    assert_eq!(status.status, 204, "{status:?}");
    let range = status.header("range").unwrap_or_default().to_owned();
    if stored > 0 {
        assert_eq!(range, format!("0-{}", stored - 1));
    } else {
        assert!(range.starts_with("0-"), "{range}");
    }
    status
        .header("location")
        .map_or_else(|| there.to_owned(), str::to_owned)
}

pub(super) fn row_12_14_a_patch_out_of_order(target: &mut Target) {
    let name = target.repository();
    for (digest, bytes) in samples("patch out of order", CHUNKED) {
        let there = target.open_upload(&name);
        let ahead = chunk(&there, CHUNK, &bytes[CHUNK..2 * CHUNK]);
        let refused = target.send(&ahead);
        let there = assert_goes_on(target, &refused, &there, 0);
        let first = target.send(&chunk(&there, 0, &bytes[..CHUNK]));
        assert_eq!(first.status, 202, "{first:?}");
        let again = target.send(&chunk(&location(&first), 0, &bytes[..CHUNK]));
        let there = assert_goes_on(target, &again, &location(&first), CHUNK);
        let second = target.send(&chunk(&there, CHUNK, &bytes[CHUNK..2 * CHUNK]));
        assert_eq!(second.status, 202, "{second:?}");
        let last = target.send(&chunk(&location(&second), 2 * CHUNK, &bytes[2 * CHUNK..]));
        let answer = target.send(&finish(&location(&last), &digest));
        target.created_blob(&answer, &digest, &bytes);
    }
}

pub(super) fn row_13_14_a_put_out_of_order(target: &mut Target) {
    let name = target.repository();
    for (digest, bytes) in samples("put out of order", CHUNKED) {
        let (there, at) = send_chunks(target, &name, &bytes);
        for from in [0, at + 10] {
            let put = finish(&there, &digest)
                .header("Content-Range", format!("{from}-{}", from + 9))
                .body(&bytes[..10]);
            let refused = target.send(&put);
            // The status is asked for at the address of the refused request, digest and all.
            let asked = format!("{there}{}digest={digest}", mark(&there));
            assert_goes_on(target, &refused, &asked, at);
        }
        let answer = target.send(&finish(&there, &digest).body(&bytes[at..]));
        target.created_blob(&answer, &digest, &bytes);
    }
}

fn mark(target: &str) -> char {
    if target.contains('?') { '&' } else { '?' }
}

pub(super) fn row_15_a_stream_without_a_length(target: &mut Target) {
    let name = target.repository();
    for (digest, bytes) in samples("stream", CHUNKED) {
        let there = target.open_upload(&name);
        let patch = Call::new("PATCH", &there)
            .header("Content-Type", "application/octet-stream")
            .body(bytes.clone());
        let answer = target.send(&patch.streamed());
        assert_eq!(answer.status, 202, "{answer:?}");
        let answer = target.send(&finish(&location(&answer), &digest));
        target.created_blob(&answer, &digest, &bytes);
    }
}

pub(super) fn row_16_the_empty_blob_every_way(target: &mut Target) {
    let name = target.repository();
    for algorithm in ALGORITHMS {
        let empty = digest_of(algorithm, b"");
        let text = empty.to_string();
        let at_once = Call::new("POST", uploads(&name)).query("digest", &text);
        let answer = target.send(&at_once.header("Content-Type", "application/octet-stream"));
        target.created_blob(&answer, &empty, b"");
        target.push_blob(&name, &empty, b"");
        let there = target.open_upload(&name);
        let patch = target.send(&Call::new("PATCH", &there).streamed());
        assert_eq!(patch.status, 202, "{patch:?}");
        let answer = target.send(&finish(&location(&patch), &empty));
        target.created_blob(&answer, &empty, b"");
        let head = target.head(&blob_path(&name, &empty));
        assert_eq!(head.header("content-length"), Some("0"));
    }
}

pub(super) fn row_17_a_wrong_digest_every_way(target: &mut Target) {
    let name = target.repository();
    let bytes = content("wrong", 512);
    let wrong = wrong_digest("wrong");
    let there = target.open_upload(&name);
    let put = target.send(&finish(&there, &wrong).body(bytes.clone()));
    assert_eq!(put.status, 400, "{put:?}");
    for streamed in [false, true] {
        let there = target.open_upload(&name);
        let patch = if streamed {
            Call::new("PATCH", &there).body(bytes.clone()).streamed()
        } else {
            chunk(&there, 0, &bytes)
        };
        let patch = target.send(&patch);
        assert_eq!(patch.status, 202, "{patch:?}");
        let put = target.send(&finish(&location(&patch), &wrong));
        assert_eq!(put.status, 400, "{put:?}");
    }
    assert_eq!(target.get(&blob_path(&name, &wrong)).status, 404);
}

pub(super) fn row_18_mount_from_a_repository(target: &mut Target) {
    let (name, from) = (target.repository(), target.other_repository());
    for (digest, bytes) in samples("mount from", 512) {
        target.push_blob(&from, &digest, &bytes);
        let mount = Call::new("POST", uploads(&name))
            .query("mount", &digest.to_string())
            .query("from", &from);
        let answer = target.send(&mount);
        target.created_blob(&answer, &digest, &bytes);
    }
}

pub(super) fn row_19_mount_from_anywhere(target: &mut Target) {
    let (name, from) = (target.repository(), target.other_repository());
    for (digest, bytes) in samples("mount anonymously", 512) {
        target.push_blob(&from, &digest, &bytes);
        let mount = Call::new("POST", uploads(&name)).query("mount", &digest.to_string());
        let answer = target.send(&mount);
        target.created_blob(&answer, &digest, &bytes);
    }
}

pub(super) fn row_20_a_mount_of_nothing_becomes_an_upload(target: &mut Target) {
    let (name, from) = (target.repository(), target.other_repository());
    for (digest, bytes) in samples("mount nothing", 512) {
        let mount = Call::new("POST", uploads(&name))
            .query("mount", &digest.to_string())
            .query("from", &from);
        let answer = target.send(&mount);
        assert_eq!(answer.status, 202, "{answer:?}");
        let put = finish(&location(&answer), &digest).body(bytes.clone());
        let answer = target.send(&put);
        target.created_blob(&answer, &digest, &bytes);
    }
}

pub(super) fn row_21_an_upload_is_cancelled(target: &mut Target) {
    let name = target.repository();
    let bytes = content("cancelled", 512);
    let digest = digest_of(Algorithm::Sha256, &bytes);
    for begun in [false, true] {
        let mut there = target.open_upload(&name);
        if begun {
            let answer = target.send(&chunk(&there, 0, &bytes));
            there = location(&answer);
        }
        let answer = target.delete(&there);
        assert_eq!(answer.status, 204, "{answer:?}");
        assert_eq!(target.get(&there).status, 404);
        assert_eq!(target.send(&finish(&there, &digest)).status, 404);
    }
}
