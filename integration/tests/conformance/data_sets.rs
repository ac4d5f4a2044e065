// SPDX-License-Identifier: Apache-2.0
//! The data sets: kinds of manifests that are pushed, listed, read back and deleted, whole.
//!
//! Each is played through in the order of the specification's tool: blobs, manifests by digest
//! with children first, tags; then lists, HEAD, GET, referrers; then deletes, children last.

use std::collections::BTreeSet;

use oci::{Algorithm, Digest};
use serde_json::{Value, json};

use super::target::{Call, Target, Version, blob_path, content, digest_of, json, location};

pub(super) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(super) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";

/// One manifest or index, with the blobs that are pushed before it.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) media_type: String,
    pub(super) bytes: Vec<u8>,
    pub(super) digest: Digest,
    pub(super) subject: Option<String>,
    pub(super) blobs: Vec<(Digest, Vec<u8>)>,
}

impl Sample {
    /// Returns the sample of a document.
    pub(super) fn of(document: &Value) -> Self {
        Self::with(document, Vec::new(), Algorithm::Sha256)
    }

    fn with(document: &Value, blobs: Vec<Vec<u8>>, algorithm: Algorithm) -> Self {
        let bytes = serde_json::to_vec_pretty(document).expect("JSON can be written");
        let blobs = blobs
            .into_iter()
            .map(|blob| (digest_of(algorithm, &blob), blob));
        Self {
            media_type: document["mediaType"].as_str().unwrap_or(MANIFEST).into(),
            digest: digest_of(algorithm, &bytes),
            subject: document["subject"]["digest"].as_str().map(str::to_owned),
            blobs: blobs.collect(),
            bytes,
        }
    }

    fn descriptor(&self) -> Value {
        json!({"mediaType": self.media_type, "digest": self.digest.to_string(), "size": self.bytes.len()})
    }

    /// Pushes the blobs, then the document by digest.
    pub(super) fn push(&self, target: &mut Target, name: &str) {
        for (digest, bytes) in &self.blobs {
            target.push_blob(name, digest, bytes);
        }
        self.put(target, name, &self.digest.to_string());
    }

    /// Puts the document; row 28 and 34 hold for every one.
    pub(super) fn put(&self, target: &mut Target, name: &str, reference: &str) {
        let put = self.put_call(name, reference);
        let answer = target.send(&put);
        assert_eq!(answer.status, 201, "{reference}: {answer:?}");
        let subject = answer.header("oci-subject");
        assert_eq!(subject, self.subject.as_deref(), "{answer:?}");
        let got = target.get(&location(&answer));
        self.is_what(&got);
    }

    pub(super) fn put_call(&self, name: &str, reference: &str) -> Call {
        Call::new("PUT", manifest_path(name, reference))
            .header("Content-Type", &*self.media_type)
            .body(self.bytes.clone())
    }

    /// Ends the test unless `got` is this document.
    pub(super) fn is_what(&self, got: &integration::http::Response) {
        assert_eq!(got.status, 200, "{got:?}");
        assert_eq!(got.header("content-type"), Some(&*self.media_type));
        let length = self.bytes.len().to_string();
        assert_eq!(got.header("content-length"), Some(&*length));
        assert!(got.body == self.bytes, "other bytes than were pushed");
    }
}

pub(super) fn manifest_path(name: &str, reference: &str) -> String {
    format!("/v2/{name}/manifests/{reference}")
}

/// The descriptor of the empty JSON blob. Spec: image-spec §Guidance for an empty descriptor.
pub(super) fn empty_blob() -> Value {
    descriptor(EMPTY, Algorithm::Sha256, b"{}")
}

fn descriptor(media_type: &str, algorithm: Algorithm, bytes: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": digest_of(algorithm, bytes).to_string(), "size": bytes.len()})
}

/// Returns an image with one layer, like no other of another seed.
pub(super) fn image(seed: &str) -> Sample {
    image_in(seed, Algorithm::Sha256, &json!({}))
}

fn image_in(seed: &str, algorithm: Algorithm, extra: &Value) -> Sample {
    let config = format!("{{\"architecture\":\"amd64\",\"os\":\"linux\",\"author\":\"{seed}\"}}");
    let layer = content(seed, 512);
    let mut document = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor(CONFIG, algorithm, config.as_bytes()),
        "layers": [descriptor(LAYER, algorithm, &layer)],
    });
    merge(&mut document, extra);
    Sample::with(&document, vec![config.into_bytes(), layer], algorithm)
}

fn merge(document: &mut Value, extra: &Value) {
    let fields = extra.as_object().expect("an object").clone();
    document.as_object_mut().expect("an object").extend(fields);
}

fn index_of(children: &[&Sample], extra: &Value) -> Sample {
    let children: Vec<Value> = children.iter().map(|child| child.descriptor()).collect();
    let mut document = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": children});
    merge(&mut document, extra);
    Sample::of(&document)
}

fn artifact(extra: &Value) -> Sample {
    let mut document = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": "application/vnd.example.data",
        "config": empty_blob(),
        "layers": [descriptor("text/plain", Algorithm::Sha256, b"data of an artifact")],
    });
    merge(&mut document, extra);
    let blobs = vec![b"{}".to_vec(), b"data of an artifact".to_vec()];
    Sample::with(&document, blobs, Algorithm::Sha256)
}

/// Documents, children first, and which of them has which tag.
type Set = (Vec<Sample>, Vec<(&'static str, usize)>);

fn one(sample: Sample) -> Set {
    (vec![sample], vec![("image", 0)])
}

fn plain_sets() -> Vec<(&'static str, Set)> {
    let uncompressed = content("uncompressed", 512);
    let uncompressed = json!({"layers": [descriptor("application/vnd.oci.image.layer.v1.tar", Algorithm::Sha256, &uncompressed)]});
    let mut plain = image_in("plain", Algorithm::Sha256, &uncompressed);
    let layer = content("uncompressed", 512);
    plain
        .blobs
        .push((digest_of(Algorithm::Sha256, &layer), layer));
    // Spec: §Pushing Manifests, 4 MiB must be taken.
    let annotations: serde_json::Map<String, Value> = (0..390)
        .map(|n| (format!("org.example.{n}"), json!("x".repeat(10_000))))
        .collect();
    let large = image_in(
        "large",
        Algorithm::Sha256,
        &json!({"annotations": annotations}),
    );
    let url = json!({"mediaType": "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", "digest": digest_of(Algorithm::Sha256, b"elsewhere").to_string(), "size": 9, "urls": ["https://layers.example/1"]});
    let mut foreign = image("non-distributable");
    let mut document: Value = serde_json::from_slice(&foreign.bytes).expect("it was written so");
    let layers = document["layers"].as_array_mut().expect("layers");
    layers.insert(0, url.clone());
    layers.push(url);
    foreign = Sample {
        blobs: foreign.blobs,
        ..Sample::of(&document)
    };
    let inline = json!({"config": {"mediaType": EMPTY, "digest": digest_of(Algorithm::Sha256, b"{}").to_string(), "size": 2, "data": "e30="}});
    vec![
        ("image", one(image("image"))),
        ("uncompressed layers", one(plain)),
        ("large manifest", one(large)),
        ("artifact", one(artifact(&json!({})))),
        (
            "artifact without layers",
            one(artifact(&json!({"layers": [empty_blob()]}))),
        ),
        ("data field", one(artifact(&inline))),
        ("non-distributable layers", one(foreign)),
        (
            "custom fields",
            one(image_in(
                "custom",
                Algorithm::Sha256,
                &json!({"x-field": {"deep": [null, 1.5]}, "another": true}),
            )),
        ),
        ("no layers", one(artifact(&json!({"layers": []})))),
        ("missing subject", one(artifact(&subject_never_pushed()))),
    ]
}

fn subject_never_pushed() -> Value {
    let digest = digest_of(Algorithm::Sha256, b"a subject that never was");
    json!({"subject": {"mediaType": MANIFEST, "digest": digest.to_string(), "size": 100}})
}

fn index_sets() -> Vec<(&'static str, Set)> {
    let (left, right) = (image("left"), image("right"));
    let platform = json!({"annotations": {"set": "index"}});
    let both = index_of(&[&left, &right], &platform);
    let (inner, outer_left) = (
        index_of(&[&right], &json!({})),
        index_of(&[&left], &json!({})),
    );
    let nested = index_of(&[&outer_left, &inner], &json!({}));
    let kind = json!({"artifactType": "application/vnd.example.set"});
    let data = artifact(&json!({}));
    let custom = index_of(&[&left], &json!({"x-field": {"a": []}}));
    let never = image("never pushed");
    let sparse_index = index_of(&[&left, &never], &json!({}));
    let absent = json!({"layers": [descriptor(LAYER, Algorithm::Sha256, b"never pushed layer")]});
    let sparse_image = image_in("sparse", Algorithm::Sha256, &absent);
    vec![
        (
            "index",
            (
                vec![left.clone(), right.clone(), both],
                vec![("index", 2), ("image", 0)],
            ),
        ),
        (
            "nested index",
            (
                vec![left.clone(), right, inner, outer_left, nested],
                vec![("index", 4)],
            ),
        ),
        (
            "empty index",
            (vec![index_of(&[], &json!({}))], vec![("index", 0)]),
        ),
        (
            "artifact index",
            (
                vec![data.clone(), index_of(&[&data], &kind)],
                vec![("index", 1)],
            ),
        ),
        (
            "custom fields in an index",
            (vec![left.clone(), custom], vec![("index", 1)]),
        ),
        (
            "sparse index",
            (vec![left, sparse_index], vec![("index", 1)]),
        ),
        ("sparse image", one(sparse_image)),
    ]
}

fn subject_sets() -> Vec<(&'static str, Set)> {
    let subject = image("has referrers");
    let link = json!({"subject": subject.descriptor()});
    let by = |kind: &str| {
        let mut extra = link.clone();
        merge(
            &mut extra,
            &json!({"artifactType": kind, "annotations": {"kind": kind}}),
        );
        artifact(&extra)
    };
    let config_type = json!({"mediaType": "application/vnd.example.config", "digest": digest_of(Algorithm::Sha256, b"{}").to_string(), "size": 2});
    let mut fallback = link.clone();
    merge(&mut fallback, &json!({"config": config_type}));
    let mut document: Value =
        serde_json::from_slice(&artifact(&fallback).bytes).expect("it was written so");
    document
        .as_object_mut()
        .expect("an object")
        .remove("artifactType");
    let artifacts = vec![
        subject.clone(),
        by("application/vnd.example.one"),
        by("application/vnd.example.two"),
        by("application/vnd.example.three"),
        Sample::of(&document),
    ];
    let child = image_in("child with subject", Algorithm::Sha256, &link);
    let other = image_in("other child with subject", Algorithm::Sha256, &link);
    let index = index_of(&[&child, &other], &link);
    vec![
        ("artifacts with subject", (artifacts, vec![("image", 0)])),
        (
            "index with subject",
            (vec![subject, child, other, index], vec![("index", 3)]),
        ),
    ]
}

fn sha512_sets() -> Vec<(&'static str, Set)> {
    let left = image_in("left 512", Algorithm::Sha512, &json!({}));
    let right = image_in("right 512", Algorithm::Sha512, &json!({}));
    let document = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [left.descriptor(), right.descriptor()]});
    let index = Sample::with(&document, Vec::new(), Algorithm::Sha512);
    // Addressed by digest alone: a PUT by tag would make it sha256.
    vec![("sha512", (vec![left, right, index], Vec::new()))]
}

pub(super) fn every_data_set(target: &mut Target) {
    let sets = [plain_sets(), index_sets(), subject_sets(), sha512_sets()].concat();
    for (title, set) in sets {
        target.begin(&format!("set-{}", title.replace([' ', '_'], "-")));
        play(target, title, &set);
    }
}

fn play(target: &mut Target, title: &str, (samples, tags): &Set) {
    let name = target.repository();
    for sample in samples {
        sample.push(target, &name);
    }
    for (tag, at) in tags {
        samples[*at].put(target, &name, tag);
    }
    let list = target.get(&format!("/v2/{name}/tags/list"));
    let mut expected: Vec<&str> = tags.iter().map(|(tag, _)| *tag).collect();
    expected.sort_unstable();
    if !expected.is_empty() {
        assert_eq!(json(&list)["tags"], json!(expected), "{title}");
    }
    let tagged = tags.iter().map(|(tag, at)| ((*tag).to_owned(), *at));
    let by_digest = samples
        .iter()
        .enumerate()
        .map(|(at, sample)| (sample.digest.to_string(), at));
    let references: Vec<(String, usize)> = tagged.chain(by_digest).collect();
    for (reference, at) in &references {
        let path = manifest_path(&name, reference);
        let head = target.head(&path);
        assert_eq!(head.status, 200, "{title}: {head:?}");
        target.says_digest(&head, &samples[*at].digest);
        samples[*at].is_what(&target.get(&path));
    }
    referrers_are_listed(target, &name, samples);
    remove(target, &name, samples, &references);
}

fn referrers_are_listed(target: &mut Target, name: &str, samples: &[Sample]) {
    let subjects: BTreeSet<&String> = samples.iter().filter_map(|s| s.subject.as_ref()).collect();
    for subject in subjects {
        let answer = target.get(&format!("/v2/{name}/referrers/{subject}"));
        let index = json(&answer);
        let listed = index["manifests"].as_array().expect("a list").iter();
        let listed: BTreeSet<&str> = listed
            .filter_map(|entry| entry["digest"].as_str())
            .collect();
        let expected: Vec<String> = samples
            .iter()
            .filter(|sample| sample.subject.as_ref() == Some(subject))
            .map(|sample| sample.digest.to_string())
            .collect();
        assert_eq!(listed, expected.iter().map(String::as_str).collect());
    }
}

fn remove(target: &mut Target, name: &str, samples: &[Sample], references: &[(String, usize)]) {
    let tags = references.iter().filter(|(text, _)| !text.contains(':'));
    let digests = references.iter().filter(|(text, _)| text.contains(':'));
    for (reference, _) in tags.chain(digests.rev()) {
        let path = manifest_path(name, reference);
        let answer = target.delete(&path);
        assert_eq!(answer.status, 202, "{reference}: {answer:?}");
        assert_eq!(target.head(&path).status, 404);
    }
    let blobs = samples.iter().flat_map(|sample| &sample.blobs);
    let digests: BTreeSet<&Digest> = blobs.map(|(digest, _)| digest).collect();
    for digest in digests {
        let path = blob_path(name, digest);
        let answer = target.delete(&path);
        assert_eq!(answer.status, 202, "{digest}: {answer:?}");
        assert_eq!(target.head(&path).status, 404);
    }
}

/// Row 35, with both algorithms: an index gets two tags, each child one.
pub(super) fn row_35_tag_parameters(target: &mut Target) {
    if target.version == Version::Released {
        return;
    }
    let name = target.repository();
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        let child = image_in(&format!("tagged {algorithm}"), algorithm, &json!({}));
        let document =
            json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [child.descriptor()]});
        let index = Sample::with(&document, Vec::new(), algorithm);
        child.push(target, &name);
        for (sample, tags) in [(&child, vec!["child"]), (&index, vec!["both-1", "both-2"])] {
            let mut put = sample.put_call(&name, &sample.digest.to_string());
            for tag in &tags {
                put = put.query("tag", tag);
            }
            let answer = target.send(&put);
            assert_eq!(answer.status, 201, "{answer:?}");
            let said: Vec<&str> = answer
                .headers
                .iter()
                .filter(|(header, _)| header == "oci-tag")
                .flat_map(|(_, value)| value.split(','))
                .map(str::trim)
                .collect();
            assert_eq!(said, tags, "{answer:?}");
            for tag in tags {
                let got = target.get(&manifest_path(&name, tag));
                sample.is_what(&got);
                target.says_digest(&got, &sample.digest);
            }
        }
    }
}
