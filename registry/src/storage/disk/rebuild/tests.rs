// SPDX-License-Identifier: Apache-2.0
//! A lost database comes back from the journal and the files, as it was.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::UNIX_EPOCH;

use bytes::Bytes;
use oci::{Algorithm, Digest, Document, Tag, sha256};
use tempfile::TempDir;

use super::{check, rebuild};
use crate::endpoint::Name;
use crate::storage::data::Stage;
use crate::storage::error::StorageError;
use crate::storage::gc::GcPolicy;
use crate::storage::manifest::ManifestPut;
use crate::storage::meta::Condition;
use crate::storage::scrub::{ScrubLevel, ScrubPolicy};
use crate::storage::store::{Clock, SparsePolicy, Store};

const CLOCK: Clock = Clock(|| UNIX_EPOCH);
const REPOSITORIES: [&str; 2] = ["a", "team/b"];
const BLOBS: [&[u8]; 4] = [b"zero", b"one", b"two", b"three"];
const TAGS: [&str; 3] = ["x", "y", "z"];

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

async fn open(root: &Path) -> Store {
    let backend = super::super::open(root, CLOCK).unwrap();
    let store = Store::open(backend, CLOCK, SparsePolicy::All).await;
    store.unwrap()
}

async fn upload(store: &Store, to: &Name, bytes: &'static [u8]) {
    let digest = sha256(bytes);
    let stage = Stage::anonymous(Algorithm::Sha256);
    let mut staged = store.data.stage(stage).await.unwrap();
    staged
        .append(vec![Bytes::from_static(bytes)])
        .await
        .unwrap();
    let publication = staged.publish(&digest).await.unwrap();
    let size = bytes.len() as u64;
    store
        .add_blob(to, &digest, size, publication)
        .await
        .unwrap();
}

/// An image of one blob; a referrer of the image of the blob before.
fn image(number: usize) -> Document {
    let descriptor = |digest: &Digest| serde_json::json!({ "mediaType": "application/octet-stream", "digest": digest.to_string(), "size": 5 });
    let mut manifest = serde_json::json!({
        "schemaVersion": 2,
        "config": descriptor(&sha256(BLOBS[number])),
        "layers": [],
    });
    if number > 1 {
        manifest["subject"] = descriptor(&image(number - 1).digest());
    }
    Document::parse(manifest.to_string().into_bytes(), None).unwrap()
}

async fn put(store: &Store, to: &Name, number: usize, tags: &[&str]) -> bool {
    let document = image(number);
    let put = ManifestPut {
        name: to,
        digest: document.digest(),
        media_type: document.media_type().to_string(),
        document,
        tags: tags.iter().map(|tag| tag.parse().unwrap()).collect(),
        tag_condition: Condition::Any,
    };
    store.put_manifest(&put).await.is_ok()
}

/// Everything that a client can see, as text.
async fn seen(store: &Store) -> BTreeMap<String, String> {
    let mut seen = BTreeMap::new();
    for text in REPOSITORIES {
        let name = name(text);
        for bytes in BLOBS {
            let blob = store.blob(&name, &sha256(bytes)).await.unwrap();
            seen.extend(
                blob.map(|blob| (format!("{name} {}", sha256(bytes)), format!("{blob:?}"))),
            );
        }
        for number in 0..BLOBS.len() {
            let digest = image(number).digest();
            let manifest = store.manifest(&name, &digest).await.unwrap();
            seen.extend(manifest.map(|it| {
                (
                    format!("{name} image {number}"),
                    format!("{:?} {:?}", it.header.media_type, it.bytes),
                )
            }));
            let referrers = store.referrers(&name, &digest, "").await.unwrap();
            seen.insert(
                format!("{name} on {number}"),
                format!("{:?}", referrers.descriptors),
            );
        }
        for tag in TAGS {
            let tag: Tag = tag.parse().unwrap();
            let stored = store.tag(&name, &tag).await.unwrap();
            seen.extend(stored.map(|stored| (format!("{name}:{tag}"), stored.digest.to_string())));
        }
        let tags = store.tags(&name, "", 100).await.unwrap();
        seen.insert(format!("{name} tags"), format!("{tags:?}"));
    }
    let all = store.repositories("", 100).await.unwrap();
    seen.insert("catalog".into(), format!("{all:?}"));
    seen
}

fn lose_database(root: &Path) {
    for name in ["meta.db", "meta.db-wal", "meta.db-shm"] {
        fs::remove_file(root.join(name)).unwrap_or_default();
    }
}

/// One of the things that clients and the collector do, by number.
async fn act(store: &Store, random: u64) {
    let pick = |shift: u32, of: usize| usize::try_from(random >> shift).unwrap_or(0) % of;
    let (name, other) = (
        name(REPOSITORIES[pick(8, 2)]),
        name(REPOSITORIES[pick(9, 2)]),
    );
    let number = pick(16, BLOBS.len());
    let tag = TAGS[pick(24, TAGS.len())];
    match random % 11 {
        0..=2 => upload(store, &name, BLOBS[number]).await,
        3..=5 => drop(put(store, &name, number, &[tag]).await),
        6 => drop(
            store
                .mount(&name, &other, &sha256(BLOBS[number]))
                .await
                .unwrap(),
        ),
        7 => drop(
            store
                .delete_tag(&name, &tag.parse().unwrap())
                .await
                .unwrap(),
        ),
        8 => drop(
            store
                .delete_manifest(&name, &image(number).digest())
                .await
                .unwrap(),
        ),
        9 => drop(
            store
                .delete_blob(&name, &sha256(BLOBS[number]))
                .await
                .unwrap(),
        ),
        _ => {
            let policy = GcPolicy {
                grace_seconds: 0,
                ..GcPolicy::default()
            };
            store.collect(&policy).await.unwrap();
        }
    }
}

#[tokio::test]
async fn whatever_was_acknowledged_is_there_and_nothing_deleted_is_back() {
    for seed in 1..=12_u64 {
        let root = TempDir::new().unwrap();
        let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut next = || {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random >> 3
        };
        for round in 0..3 {
            let store = open(root.path()).await;
            for _ in 0..25 {
                act(&store, next()).await;
            }
            let before = seen(&store).await;
            drop(store);
            lose_database(root.path());
            let refused = super::super::open(root.path(), CLOCK);
            assert!(matches!(refused, Err(StorageError::DatabaseLost(_))));
            let rebuilt = rebuild(root.path(), CLOCK).unwrap();
            assert_eq!((rebuilt.lost.len(), rebuilt.bad_lines), (0, 0));
            assert_eq!(check(root.path()).unwrap(), Vec::<String>::new());
            let store = open(root.path()).await;
            assert_eq!(seen(&store).await, before, "seed {seed}, round {round}");
            let policy = ScrubPolicy {
                level: ScrubLevel::Bytes,
                ..ScrubPolicy::default()
            };
            let report = store.scrub(&policy).await.unwrap();
            let broken = report.findings.iter();
            let broken =
                broken.filter(|it| it.damage != crate::storage::scrub::Damage::MissingReference);
            assert_eq!(broken.count(), 0, "{report:?}");
            assert_eq!(report.entries_restored, 0, "nothing was left out");
        }
        let names = fs::read_dir(root.path()).unwrap();
        let names = names.map(|it| it.unwrap().file_name().into_string().unwrap());
        assert_eq!(names.filter(|name| name.contains("new")).count(), 0);
    }
}

#[tokio::test]
async fn a_manifest_that_mentions_a_foreign_blob_does_not_open_it() {
    let root = TempDir::new().unwrap();
    let store = open(root.path()).await;
    upload(&store, &name("team/b"), BLOBS[0]).await;
    // Accepted as sparse: this repository never had the blob.
    assert!(put(&store, &name("a"), 0, &["x"]).await);
    drop(store);
    lose_database(root.path());
    rebuild(root.path(), CLOCK).unwrap();
    let store = open(root.path()).await;
    let digest = sha256(BLOBS[0]);
    assert_eq!(store.blob(&name("a"), &digest).await.unwrap(), None);
    assert!(
        store
            .blob(&name("team/b"), &digest)
            .await
            .unwrap()
            .is_some()
    );
    assert!(
        store
            .tag(&name("a"), &"x".parse().unwrap())
            .await
            .unwrap()
            .is_some()
    );
}

#[tokio::test]
async fn lost_files_are_named_and_come_back_with_a_push() {
    let root = TempDir::new().unwrap();
    let store = open(root.path()).await;
    upload(&store, &name("a"), BLOBS[0]).await;
    assert!(put(&store, &name("a"), 0, &["x"]).await);
    drop(store);
    lose_database(root.path());
    for digest in [sha256(BLOBS[0]), image(0).digest()] {
        let hex = digest.hex();
        fs::remove_file(root.path().join("blobs/sha256").join(&hex[..2]).join(hex)).unwrap();
    }
    let rebuilt = rebuild(root.path(), CLOCK).unwrap();
    assert_eq!(rebuilt.lost.len(), 2, "{rebuilt:?}");
    let store = open(root.path()).await;
    let digest = image(0).digest();
    assert!(store.manifest(&name("a"), &digest).await.unwrap().is_none());
    assert!(
        !put(&store, &name("a"), 0, &["x"]).await,
        "its blob must come first"
    );
    upload(&store, &name("a"), BLOBS[0]).await;
    assert!(put(&store, &name("a"), 0, &["x"]).await);
    assert!(store.manifest(&name("a"), &digest).await.unwrap().is_some());
}

#[tokio::test]
async fn a_damaged_database_is_told_of_and_what_can_be_kept_is() {
    let root = TempDir::new().unwrap();
    assert!(matches!(
        check(root.path()),
        Err(StorageError::NoRegistry(_))
    ));
    let store = open(root.path()).await;
    upload(&store, &name("a"), BLOBS[0]).await;
    let secret = store
        .meta
        .get(crate::storage::key::INSTANCE)
        .await
        .unwrap()
        .unwrap();
    drop(store);
    let rebuilt = rebuild(root.path(), CLOCK).unwrap();
    let old = rebuilt.old.expect("the old database is kept");
    assert!(old.exists());
    let store = open(root.path()).await;
    let kept = store
        .meta
        .get(crate::storage::key::INSTANCE)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(kept.0, secret.0);
    drop(store);
    let database = root.path().join("meta.db");
    let mut bytes = fs::read(&database).unwrap();
    bytes[4096..].fill(0xa5);
    fs::write(&database, bytes).unwrap();
    assert_ne!(check(root.path()).unwrap(), Vec::<String>::new());
    rebuild(root.path(), CLOCK).unwrap();
    let store = open(root.path()).await;
    let blob = store.blob(&name("a"), &sha256(BLOBS[0])).await.unwrap();
    assert!(blob.is_some());
}
