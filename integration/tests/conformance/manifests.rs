// SPDX-License-Identifier: Apache-2.0
//! Rows 28 to 34: manifests by digest and by tag.

use oci::Algorithm;
use serde_json::json;

use super::data_sets::{INDEX, MANIFEST, Sample, empty_blob, image, manifest_path};
use super::target::{Call, Target, content, digest_of};

pub(super) fn row_28_a_manifest_by_digest_and_by_tag(target: &mut Target) {
    let name = target.repository();
    let sample = image("by digest and tag");
    sample.push(target, &name);
    sample.put(target, &name, "tag");
    // The same again changes nothing.
    sample.put(target, &name, "tag");
}

pub(super) fn row_29_a_body_of_another_digest(target: &mut Target) {
    let name = target.repository();
    let sample = image("two blanks");
    sample.push(target, &name);
    let other = Sample {
        bytes: [&*sample.bytes, b"  "].concat(),
        ..sample.clone()
    };
    let answer = target.send(&other.put_call(&name, &sample.digest.to_string()));
    assert_eq!(answer.status, 400, "{answer:?}");
    sample.is_what(&target.get(&manifest_path(&name, &sample.digest.to_string())));
}

pub(super) fn row_30_a_digest_that_is_none(target: &mut Target) {
    let name = target.repository();
    let sample = image("bad digest");
    for bad in ["sha256:baddigeststring", "sha256:", "md5:0123"] {
        let answer = target.send(&sample.put_call(&name, bad));
        assert_eq!(answer.status, 400, "{bad}: {answer:?}");
        let got = target.get(&manifest_path(&name, bad));
        assert!(matches!(got.status, 400 | 404), "{bad}: {got:?}");
    }
}

pub(super) fn row_31_manifests_that_are_not_there(target: &mut Target) {
    let name = target.repository();
    let digest = digest_of(Algorithm::Sha256, b"no manifest").to_string();
    for reference in [&*digest, "never-pushed"] {
        let answer = target.get(&manifest_path(&name, reference));
        assert_eq!(answer.status, 404, "{reference}: {answer:?}");
    }
}

pub(super) fn row_32_two_accept_headers(target: &mut Target) {
    let name = target.repository();
    let sample = image("accepted");
    sample.push(target, &name);
    sample.put(target, &name, "tag");
    for reference in ["tag", &*sample.digest.to_string()] {
        let path = manifest_path(&name, reference);
        for method in ["HEAD", "GET"] {
            let call = Call::new(method, &path)
                .header("Accept", INDEX)
                .header("Accept", MANIFEST);
            let answer = target.send(&call);
            assert_eq!(answer.status, 200, "{answer:?}");
            assert_eq!(answer.header("content-type"), Some(MANIFEST));
            let length = sample.bytes.len().to_string();
            assert_eq!(answer.header("content-length"), Some(&*length));
            target.says_digest(&answer, &sample.digest);
            let expected: &[u8] = if method == "GET" { &sample.bytes } else { b"" };
            assert_eq!(answer.body, expected);
        }
    }
}

pub(super) fn row_33_deletes_of_tags_and_manifests(target: &mut Target) {
    let name = target.repository();
    let sample = image("deleted");
    sample.push(target, &name);
    for tag in ["one", "two", "three"] {
        sample.put(target, &name, tag);
    }
    let digest = sample.digest.to_string();
    let answer = target.delete(&manifest_path(&name, "one"));
    assert_eq!(answer.status, 202, "{answer:?}");
    assert_eq!(target.head(&manifest_path(&name, "one")).status, 404);
    assert_eq!(target.head(&manifest_path(&name, "two")).status, 200);
    let answer = target.delete(&manifest_path(&name, &digest));
    assert_eq!(answer.status, 202, "{answer:?}");
    // Spec: §Deleting Manifests: tags on it go with it.
    for reference in [&*digest, "two", "three"] {
        assert_eq!(target.head(&manifest_path(&name, reference)).status, 404);
    }
    let never = digest_of(Algorithm::Sha256, b"never stored").to_string();
    assert_eq!(target.delete(&manifest_path(&name, &never)).status, 404);
    sample.put(target, &name, "two");
}

pub(super) fn row_34_the_subject_is_said(target: &mut Target) {
    let name = target.repository();
    let empty = empty_blob();
    let bytes = b"{}";
    target.push_blob(&name, &digest_of(Algorithm::Sha256, bytes), bytes);
    let subject = digest_of(Algorithm::Sha256, &content("no such subject", 9));
    let subject = json!({"mediaType": MANIFEST, "digest": subject.to_string(), "size": 9});
    let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": empty, "layers": [empty], "subject": subject});
    let index =
        json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [], "subject": subject});
    for document in [manifest, index] {
        let sample = Sample::of(&document);
        // `put` ends the test unless `OCI-Subject` is there.
        sample.put(target, &name, &sample.digest.to_string());
        sample.put(target, &name, "tag");
    }
}
