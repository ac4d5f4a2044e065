// SPDX-License-Identifier: Apache-2.0
//! Rows 1 to 3 and 36 to 38: the base, lists of tags, referrers.

use oci::Algorithm;
use serde_json::{Value, json};

use super::data_sets::{INDEX, Sample, empty_blob, image};
use super::target::{Call, Target, digest_of, json};

/// Row 3: exactly, without parameters.
const INDEX_TYPE: &str = INDEX;

pub(super) fn row_01_the_base_answers(target: &mut Target) {
    let answer = target.get("/v2/");
    assert!(matches!(answer.status, 200 | 401), "{answer:?}");
    let version = answer.header("docker-distribution-api-version");
    assert_eq!(version, Some("registry/2.0"));
}

pub(super) fn row_02_tags_of_an_unknown_repository(target: &mut Target) {
    let answer = target.get(&format!("/v2/{}/tags/list", target.repository()));
    if answer.status == 200 {
        json(&answer);
    } else {
        assert_eq!(answer.status, 404, "{answer:?}");
    }
}

pub(super) fn row_03_referrers_of_nothing(target: &mut Target) {
    let digest = digest_of(Algorithm::Sha256, b"nothing refers to it");
    let answer = target.get(&format!("/v2/{}/referrers/{digest}", target.repository()));
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some(INDEX_TYPE));
    let index = json(&answer);
    assert_eq!(index["schemaVersion"], 2);
    assert_eq!(index["mediaType"], INDEX);
    assert_eq!(index["manifests"], json!([]));
}

pub(super) fn row_36_tags_after_one_and_all(target: &mut Target) {
    let name = target.repository();
    let mut tags = vec!["Z", "_", "a", "a.b", "b-1", "latest", "v1", "v10", "v2"];
    let sample = image("tags");
    sample.push(target, &name);
    for tag in &tags {
        sample.put(target, &name, tag);
    }
    tags.sort_unstable();
    let path = format!("/v2/{name}/tags/list");
    let all = target.get(&path);
    assert_eq!(all.status, 200, "{all:?}");
    assert_eq!(json(&all)["tags"], json!(tags));
    for (at, last) in tags.iter().enumerate() {
        let rest = target.send(&Call::new("GET", &path).query("last", last));
        assert_eq!(json(&rest)["tags"], json!(tags[at + 1..]), "after {last}");
    }
    let page = target.send(&Call::new("GET", &path).query("n", "4"));
    assert_eq!(json(&page)["tags"], json!(tags[..4]));
    let link = page.header("link").expect("there are more");
    assert!(link.ends_with("rel=\"next\""), "{link}");
}

fn descriptors(target: &mut Target, name: &str, subject: &str, filter: Option<&str>) -> Vec<Value> {
    let mut call = Call::new("GET", format!("/v2/{name}/referrers/{subject}"));
    if let Some(filter) = filter {
        call = call.query("artifactType", filter);
    }
    let answer = target.send(&call);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some(INDEX_TYPE));
    let applied = filter.map(|_| "artifactType");
    assert_eq!(answer.header("oci-filters-applied"), applied, "{answer:?}");
    let mut index = json(&answer);
    let Value::Array(mut manifests) = index["manifests"].take() else {
        panic!("{index}");
    };
    manifests.sort_by_key(|descriptor| descriptor["digest"].to_string());
    manifests
}

/// What refers to `subject`, with what a list of referrers must say of each.
fn referrers(subject: &Sample) -> Vec<(Sample, Value)> {
    let link = json!({"mediaType": subject.media_type, "digest": subject.digest.to_string(), "size": subject.bytes.len()});
    let empty = empty_blob();
    let manifest = |extra: Value| {
        let mut document = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": empty,
            "layers": [empty],
            "subject": link,
        });
        let fields = extra.as_object().expect("an object").clone();
        document.as_object_mut().expect("an object").extend(fields);
        Sample::of(&document)
    };
    let typed = manifest(
        json!({"artifactType": "application/vnd.example.sbom+json", "annotations": {"a": "1", "b": "2"}}),
    );
    let mut by_config = empty.clone();
    by_config["mediaType"] = json!("application/vnd.example.config");
    let configured = manifest(json!({"config": by_config}));
    let index = Sample::of(&json!({
        "schemaVersion": 2,
        "mediaType": INDEX,
        "artifactType": "application/vnd.example.index",
        "manifests": [],
        "subject": link,
        "annotations": {"c": "3"},
    }));
    let untyped = Sample::of(
        &json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [], "subject": link}),
    );
    let expected = |sample: &Sample, rest: Value| {
        let mut entry = json!({"mediaType": sample.media_type, "digest": sample.digest.to_string(), "size": sample.bytes.len()});
        let fields = rest.as_object().expect("an object").clone();
        entry.as_object_mut().expect("an object").extend(fields);
        entry
    };
    let rows = [
        (
            typed,
            json!({"artifactType": "application/vnd.example.sbom+json", "annotations": {"a": "1", "b": "2"}}),
        ),
        (
            configured,
            json!({"artifactType": "application/vnd.example.config"}),
        ),
        (
            index,
            json!({"artifactType": "application/vnd.example.index", "annotations": {"c": "3"}}),
        ),
        (untyped, json!({})),
    ];
    let rows = rows.map(|(sample, rest)| {
        let entry = expected(&sample, rest);
        (sample, entry)
    });
    rows.into()
}

pub(super) fn row_37_38_referrers_and_their_filter(target: &mut Target) {
    let name = target.repository();
    let subject = image("subject");
    subject.push(target, &name);
    let mut entries = Vec::new();
    for (sample, entry) in referrers(&subject) {
        sample.put(target, &name, &sample.digest.to_string());
        entries.push(entry);
    }
    entries.sort_by_key(|descriptor| descriptor["digest"].to_string());
    let digest = subject.digest.to_string();
    assert_eq!(descriptors(target, &name, &digest, None), entries);
    for wanted in [
        "application/vnd.example.sbom+json",
        "application/vnd.example.config",
        "application/vnd.example.index",
        "application/vnd.example.nothing",
    ] {
        let some: Vec<Value> = entries
            .iter()
            .filter(|entry| entry["artifactType"] == wanted)
            .cloned()
            .collect();
        assert_eq!(
            descriptors(target, &name, &digest, Some(wanted)),
            some,
            "{wanted}"
        );
    }
    // A referrer that goes is listed no more.
    let gone = entries[0]["digest"].as_str().expect("text").to_owned();
    let answer = target.delete(&format!("/v2/{name}/manifests/{gone}"));
    assert_eq!(answer.status, 202, "{answer:?}");
    assert_eq!(descriptors(target, &name, &digest, None), entries[1..]);
}
