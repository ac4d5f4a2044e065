// SPDX-License-Identifier: Apache-2.0
//! Rows 4 and 22 to 27: blobs that are there, or not.

use oci::{Algorithm, Digest};

use super::target::{Call, Target, blob_path, content, digest_of};

pub(super) fn row_04_a_blob_that_never_was(target: &mut Target) {
    let digest = digest_of(Algorithm::Sha256, b"never pushed");
    let path = blob_path(&target.repository(), &digest);
    assert_eq!(target.get(&path).status, 404);
    assert_eq!(target.head(&path).status, 404);
}

fn pushed(target: &mut Target, count: usize) -> Vec<(Digest, Vec<u8>, String)> {
    let name = target.repository();
    let mut blobs = Vec::new();
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        let bytes = content(&format!("blob {count} {algorithm}"), count);
        let digest = digest_of(algorithm, &bytes);
        target.push_blob(&name, &digest, &bytes);
        let path = blob_path(&name, &digest);
        blobs.push((digest, bytes, path));
    }
    blobs
}

pub(super) fn row_22_24_head_says_length_and_digest(target: &mut Target) {
    for (digest, bytes, path) in pushed(target, 512) {
        let head = target.head(&path);
        assert_eq!(head.status, 200, "{head:?}");
        assert_eq!(
            head.header("content-length"),
            Some(&*bytes.len().to_string())
        );
        assert_eq!(head.body, b"");
        target.says_digest(&head, &digest);
    }
}

pub(super) fn row_23_24_get_returns_the_bytes(target: &mut Target) {
    for (digest, bytes, path) in pushed(target, 512) {
        // Go's client asks for gzip by itself and then hides the length of an answer in gzip.
        let get = target.send(&Call::new("GET", &path).header("Accept-Encoding", "gzip"));
        assert_eq!(get.status, 200, "{get:?}");
        assert_eq!(get.header("content-encoding"), None);
        assert_eq!(
            get.header("content-length"),
            Some(&*bytes.len().to_string())
        );
        assert_eq!(get.body, bytes);
        target.says_digest(&get, &digest);
    }
}

pub(super) fn row_25_ranges(target: &mut Target) {
    for (_, bytes, path) in pushed(target, 2048) {
        let table = [
            ("500-1499", 500, 1500),
            ("500-", 500, 2048),
            ("-500", 1548, 2048),
            ("2000-5000", 2000, 2048),
        ];
        for (range, from, to) in table {
            let call = Call::new("GET", &path).header("Range", format!("bytes={range}"));
            let part = target.send(&call);
            assert_eq!(part.status, 206, "{range}: {part:?}");
            let said = format!("bytes {from}-{}/2048", to - 1);
            assert_eq!(part.header("content-range"), Some(&*said));
            assert_eq!(
                part.header("content-length"),
                Some(&*(to - from).to_string())
            );
            assert_eq!(part.body, &bytes[from..to], "{range}");
        }
    }
}

pub(super) fn row_26_ranges_that_hold_nothing(target: &mut Target) {
    for (_, _, path) in pushed(target, 2048) {
        for range in ["bytes=500-0", "bytes=5000-10000"] {
            let answer = target.send(&Call::new("GET", &path).header("Range", range));
            assert_eq!(answer.status, 416, "{range}: {answer:?}");
        }
    }
}

pub(super) fn row_27_a_deleted_blob_is_gone_here_alone(target: &mut Target) {
    let (name, other) = (target.repository(), target.other_repository());
    for (digest, bytes, path) in pushed(target, 512) {
        target.push_blob(&other, &digest, &bytes);
        let answer = target.delete(&path);
        assert_eq!(answer.status, 202, "{answer:?}");
        assert_eq!(target.head(&path).status, 404);
        assert_eq!(target.head(&blob_path(&other, &digest)).status, 200);
        assert_eq!(target.delete(&path).status, 404);
        target.push_blob(&name, &digest, &bytes);
        assert_eq!(target.head(&path).status, 200);
    }
}
