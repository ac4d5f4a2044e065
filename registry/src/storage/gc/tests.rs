// SPDX-License-Identifier: Apache-2.0
//! What goes and what stays, on a directory and in memory.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use oci::{Algorithm, Digest, Document, MediaType};
use tempfile::TempDir;

use super::{GcPolicy, GcReport, Turns};
use crate::endpoint::Name;
use crate::storage::data::Stage;
use crate::storage::disk;
use crate::storage::manifest::{ManifestPut, PutManifestError, digest_of};
use crate::storage::memory::{MemoryData, MemoryMeta};
use crate::storage::meta::Condition;
use crate::storage::store::{Backend, Clock, SparsePolicy, Store};

const NOW: GcPolicy = GcPolicy {
    grace_seconds: 0,
    untagged_seconds: None,
    thorough: false,
    dry_run: false,
};

fn clock() -> Clock {
    Clock(|| UNIX_EPOCH + Duration::from_secs(1_000_000))
}

fn name() -> Name {
    "team/app".parse().unwrap()
}

async fn stores() -> Vec<(Store, Option<TempDir>)> {
    let open = |data, meta| Store::open(Backend { data, meta }, clock(), SparsePolicy::All);
    let directory = TempDir::new().unwrap();
    let disk = disk::open(directory.path(), clock()).unwrap();
    let memory = (
        Arc::new(MemoryData::default()),
        Arc::new(MemoryMeta::default()),
    );
    vec![
        (open(disk.data, disk.meta).await.unwrap(), Some(directory)),
        (open(memory.0, memory.1).await.unwrap(), None),
    ]
}

async fn upload(store: &Store, bytes: &'static [u8]) -> Digest {
    let digest = digest_of(Algorithm::Sha256, bytes);
    let stage = Stage::anonymous(Algorithm::Sha256);
    let mut staged = store.data.stage(stage).await.unwrap();
    staged
        .append(vec![bytes::Bytes::from_static(bytes)])
        .await
        .unwrap();
    let publication = staged.publish(&digest).await.unwrap();
    let size = bytes.len() as u64;
    store
        .add_blob(&name(), &digest, size, publication)
        .await
        .unwrap();
    digest
}

async fn put(store: &Store, document: Document, tags: &[&str]) -> Digest {
    let digest = document.digest();
    try_put(store, document, tags).await.unwrap();
    digest
}

/// Returns how many references are missing.
async fn try_put(
    store: &Store,
    document: Document,
    tags: &[&str],
) -> Result<usize, PutManifestError> {
    let put = ManifestPut {
        name: &name(),
        digest: document.digest(),
        media_type: document.media_type().to_string(),
        document,
        tags: tags.iter().map(|tag| tag.parse().unwrap()).collect(),
        tag_condition: Condition::Any,
    };
    store.put_manifest(&put).await
}

fn image(layer: &Digest, subject: Option<&Digest>) -> Document {
    let descriptor = |media_type: &str, digest: &Digest| serde_json::json!({ "mediaType": media_type, "digest": digest.to_string(), "size": 5 });
    let mut manifest = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("application/vnd.oci.image.config.v1+json", layer),
        "layers": [],
    });
    if let Some(subject) = subject {
        manifest["subject"] = descriptor("application/vnd.oci.image.manifest.v1+json", subject);
    }
    Document::parse(manifest.to_string().into_bytes(), None).unwrap()
}

fn index(child: &Digest) -> Document {
    let index = serde_json::json!({
        "schemaVersion": 2,
        "manifests": [{
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": child.to_string(),
            "size": 5,
        }],
    });
    Document::parse(index.to_string().into_bytes(), Some(&MediaType::OciIndex)).unwrap()
}

async fn has(store: &Store, digest: &Digest) -> bool {
    store.blob(&name(), digest).await.unwrap().is_some()
}

async fn is_stored(store: &Store, digest: &Digest) -> bool {
    let key = crate::storage::key::content(digest);
    store.meta.get(&key).await.unwrap().is_some()
}

#[tokio::test]
async fn what_nothing_refers_to_goes_with_its_bytes() {
    for (store, _directory) in stores().await {
        let loose = upload(&store, b"loose").await;
        let kept = upload(&store, b"kept!").await;
        put(&store, image(&kept, None), &["v1"]).await;
        let report = store.collect(&NOW).await.unwrap();
        assert_eq!((report.memberships.killed, report.contents.killed), (1, 1));
        assert_eq!(report.bytes, 5);
        assert!(!has(&store, &loose).await && !is_stored(&store, &loose).await);
        assert!(has(&store, &kept).await && is_stored(&store, &kept).await);
        assert_eq!(upload(&store, b"loose").await, loose, "it can come back");
        assert!(has(&store, &loose).await);
    }
}

#[tokio::test]
async fn what_was_deleted_is_remembered_although_there_is_no_grace() {
    let directory = TempDir::new().unwrap();
    let Backend { data, meta } = disk::open(directory.path(), clock()).unwrap();
    let open = |clock| {
        let (data, meta) = (Arc::clone(&data), Arc::clone(&meta));
        Store::open(Backend { data, meta }, clock, SparsePolicy::All)
    };
    let store = open(clock()).await.unwrap();
    for (bytes, is_deleted) in [(b"layer", true), (b"loose", false)] {
        let blob = upload(&store, bytes).await;
        if is_deleted {
            assert!(store.delete_blob(&name(), &blob).await.unwrap());
        }
        for _ in 0..3 {
            store.collect(&NOW).await.unwrap();
        }
        // Somebody was told that it is there, and relies on that.
        let refused = try_put(&store, image(&blob, None), &["v1"]).await;
        assert!(
            matches!(&refused, Err(PutManifestError::Missing(missing)) if *missing == [blob]),
            "{refused:?}"
        );
    }
    let later = Clock(|| UNIX_EPOCH + Duration::from_secs(1_003_600));
    let report = open(later).await.unwrap().collect(&NOW).await.unwrap();
    assert_eq!(report.dead_records, 2, "not for good");
}

#[tokio::test]
async fn a_dry_run_and_the_young_change_nothing() {
    for (store, _directory) in stores().await {
        let loose = upload(&store, b"loose").await;
        let dry = GcPolicy {
            dry_run: true,
            ..NOW
        };
        let report = store.collect(&dry).await.unwrap();
        assert_eq!(
            (report.memberships.candidates, report.memberships.killed),
            (1, 0)
        );
        // The double knows no times: everything in it is as old as can be.
        let patient = GcPolicy {
            grace_seconds: 10_000_000,
            ..NOW
        };
        assert_eq!(
            store.collect(&patient).await.unwrap().memberships.killed,
            0,
            "too young"
        );
        assert!(has(&store, &loose).await);
    }
}

#[tokio::test]
async fn untagged_manifests_stay_unless_the_policy_says_otherwise() {
    let untagged = GcPolicy {
        untagged_seconds: Some(0),
        ..NOW
    };
    for (store, _directory) in stores().await {
        let config = upload(&store, b"conf1").await;
        let child = put(&store, image(&config, None), &[]).await;
        let parent = put(&store, index(&child), &["multi"]).await;
        let other = upload(&store, b"conf2").await;
        let referrer = put(&store, image(&other, Some(&child)), &[]).await;
        let third = upload(&store, b"conf3").await;
        let alone = put(&store, image(&third, None), &[]).await;
        assert_eq!(store.collect(&NOW).await.unwrap().manifests.killed, 0);
        let report = store.collect(&untagged).await.unwrap();
        assert_eq!(report.manifests.killed, 1, "only what nothing keeps");
        let is_there = async |digest| store.manifest(&name(), digest).await.unwrap().is_some();
        assert!(!is_there(&alone).await && !has(&store, &third).await);
        for kept in [&child, &parent, &referrer] {
            assert!(is_there(kept).await, "{kept}");
        }
        assert!(
            store
                .delete_tag(&name(), &"multi".parse().unwrap())
                .await
                .unwrap()
        );
        let report = store.collect(&untagged).await.unwrap();
        assert_eq!(report.manifests.killed, 3, "index, image, referrer in turn");
        assert!(!has(&store, &config).await && !has(&store, &other).await);
    }
}

#[tokio::test]
async fn a_repository_that_has_not_changed_is_not_looked_at_again() {
    for (store, _directory) in stores().await {
        let kept = upload(&store, b"kept!").await;
        put(&store, image(&kept, None), &["v1"]).await;
        let unchanged = |report: GcReport| report.repositories_unchanged;
        assert_eq!(unchanged(store.collect(&NOW).await.unwrap()), 0);
        assert_eq!(unchanged(store.collect(&NOW).await.unwrap()), 1);
        let thorough = GcPolicy {
            thorough: true,
            ..NOW
        };
        assert_eq!(unchanged(store.collect(&thorough).await.unwrap()), 0);
        upload(&store, b"other").await;
        assert_eq!(unchanged(store.collect(&NOW).await.unwrap()), 0);
    }
}

#[tokio::test]
async fn a_damaged_record_leaves_its_repository_alone() {
    for (store, _directory) in stores().await {
        let loose = upload(&store, b"loose").await;
        let kept = upload(&store, b"kept!").await;
        let digest = put(&store, image(&kept, None), &["v1"]).await;
        let key = crate::storage::key::manifest(&name(), &digest);
        let (record, _) = store.meta.get(&key).await.unwrap().unwrap();
        let line = record.iter().position(|byte| *byte == b'\n').unwrap();
        let record = [&record[..=line], b"{ not JSON"].concat();
        let put = crate::storage::Write::Put(key, record, Condition::Any);
        store.meta.write(vec![put]).await.unwrap();
        let report = store.collect(&NOW).await.unwrap();
        assert_eq!(report.repositories_skipped, 1);
        assert!(has(&store, &loose).await && has(&store, &kept).await);
    }
}

#[tokio::test]
async fn bytes_that_nobody_recorded_are_swept_after_a_day() {
    for young in [true, false] {
        let clock = Clock(|| UNIX_EPOCH + Duration::from_secs(1_000_000));
        let early = Clock(|| UNIX_EPOCH + Duration::from_hours(1));
        let data = Arc::new(MemoryData::default());
        let backend = Backend {
            data: data.clone(),
            meta: Arc::new(MemoryMeta::default()),
        };
        let clock = if young { early } else { clock };
        let store = Store::open(backend, clock, SparsePolicy::All)
            .await
            .unwrap();
        let kept = upload(&store, b"kept!").await;
        put(&store, image(&kept, None), &["v1"]).await;
        let before = data.published();
        for bytes in [&b"forgotten"[..], b"kept!"] {
            let mut staged = store
                .data
                .stage(Stage::anonymous(Algorithm::Sha256))
                .await
                .unwrap();
            let digest = digest_of(Algorithm::Sha256, bytes);
            staged
                .append(vec![bytes::Bytes::from_static(bytes)])
                .await
                .unwrap();
            staged.publish(&digest).await.unwrap();
        }
        let report = store.collect(&NOW).await.unwrap();
        let (swept, left) = if young { (0, 2) } else { (2, 0) };
        assert_eq!(report.orphans, swept);
        assert_eq!(data.published(), before + left);
        let blob = store.blob(&name(), &kept).await.unwrap().unwrap();
        store.read_blob(&blob, 0..5).await.unwrap();
    }
}

#[tokio::test]
async fn replicas_take_turns_and_one_period_has_one_cycle() {
    let backend = Backend {
        data: Arc::new(MemoryData::default()),
        meta: Arc::new(MemoryMeta::default()),
    };
    let open = |clock| Store::open(backend.clone(), clock, SparsePolicy::All);
    let (first, second) = (open(clock()).await.unwrap(), open(clock()).await.unwrap());
    let turns = Turns {
        policy: NOW,
        every_seconds: 3600,
        thorough_every: 2,
    };
    let (one, other) = tokio::join!(
        first.collect_in_turn(&turns),
        second.collect_in_turn(&turns)
    );
    assert_ne!(one.unwrap().is_some(), other.unwrap().is_some());
    assert!(second.collect_in_turn(&turns).await.unwrap().is_none());
    let later = Clock(|| UNIX_EPOCH + Duration::from_secs(1_003_600));
    let third = open(later).await.unwrap();
    assert!(third.collect_in_turn(&turns).await.unwrap().is_some());
}
