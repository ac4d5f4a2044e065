// SPDX-License-Identifier: Apache-2.0
//! What is damaged is found, taken out of sight, and comes back with a push.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use oci::{Algorithm, Digest, Document, sha256};
use tempfile::TempDir;

use super::{Damage, Remedy, ScrubLevel, ScrubPolicy, ScrubReport};
use crate::endpoint::Name;
use crate::storage::data::{self, Stage};
use crate::storage::disk;
use crate::storage::gc::{GcPolicy, Turns};
use crate::storage::key;
use crate::storage::manifest::ManifestPut;
use crate::storage::memory::{MemoryData, MemoryMeta};
use crate::storage::meta::{Condition, Write};
use crate::storage::record::{self, Content, State};
use crate::storage::store::{Backend, Clock, SparsePolicy, Store};

/// Far in the future, so that whatever is on a real disk is old.
const CLOCK: Clock = Clock(|| UNIX_EPOCH + Duration::from_secs(1 << 33));

const DEEP: ScrubPolicy = ScrubPolicy {
    level: ScrubLevel::Bytes,
    bytes_per_second: None,
    bytes_max: None,
    grace_seconds: 0,
    dry_run: false,
};

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// A registry whose bytes a test can reach behind its back.
struct Place {
    store: Store,
    memory: Option<Arc<MemoryData>>,
    directory: Option<TempDir>,
}

impl Place {
    async fn all() -> Vec<Self> {
        let directory = TempDir::new().unwrap();
        let backend = disk::open(directory.path(), CLOCK).unwrap();
        let disk = Self {
            store: open(backend).await,
            memory: None,
            directory: Some(directory),
        };
        let data = Arc::new(MemoryData::default());
        let backend = Backend {
            data: data.clone(),
            meta: Arc::new(MemoryMeta::default()),
        };
        let memory = Self {
            store: open(backend).await,
            memory: Some(data),
            directory: None,
        };
        vec![disk, memory]
    }

    fn file(&self, digest: &Digest) -> Option<PathBuf> {
        let root = self.directory.as_ref()?.path();
        Some(blob_file(root, digest))
    }

    /// Changes one bit of what is stored under `digest`.
    async fn damage(&self, digest: &Digest) {
        if let Some(file) = self.file(digest) {
            let mut bytes = fs::read(&file).unwrap();
            bytes[0] ^= 1;
            fs::write(file, bytes).unwrap();
        }
        if let Some(memory) = &self.memory {
            let read = self.store.read::<Content>(&key::content(digest)).await;
            memory.damage(&read.unwrap().unwrap().0.location);
        }
    }

    async fn upload(&self, to: &str, bytes: &'static [u8]) -> Digest {
        let digest = sha256(bytes);
        let stage = Stage::anonymous(Algorithm::Sha256);
        let mut staged = self.store.data.stage(stage).await.unwrap();
        staged
            .append(vec![Bytes::from_static(bytes)])
            .await
            .unwrap();
        let publication = staged.publish(&digest).await.unwrap();
        let size = bytes.len() as u64;
        let to = name(to);
        let added = self.store.add_blob(&to, &digest, size, publication);
        added.await.unwrap();
        digest
    }

    async fn put(&self, to: &str, document: Document, tag: &str) -> Digest {
        let put = ManifestPut {
            name: &name(to),
            digest: document.digest(),
            media_type: document.media_type().to_string(),
            document,
            tags: vec![tag.parse().unwrap()],
            tag_condition: Condition::Any,
        };
        self.store.put_manifest(&put).await.unwrap();
        put.digest
    }

    async fn pull(&self, from: &str, digest: &Digest) -> Option<Bytes> {
        let blob = self.store.blob(&name(from), digest).await.unwrap()?;
        match self
            .store
            .read_blob(&blob, 0..blob.size_bytes)
            .await
            .unwrap()
        {
            data::Bytes::Whole(bytes) => Some(bytes),
            data::Bytes::Stream(_) => unreachable!("it is small"),
        }
    }

    async fn scrub(&self, policy: &ScrubPolicy) -> ScrubReport {
        self.store.scrub(policy).await.unwrap()
    }
}

async fn open(backend: Backend) -> Store {
    let store = Store::open(backend, CLOCK, SparsePolicy::All).await;
    store.unwrap()
}

fn blob_file(root: &Path, digest: &Digest) -> PathBuf {
    let hex = digest.hex();
    root.join("blobs/sha256").join(&hex[..2]).join(hex)
}

fn image(layer: &Digest, subject: Option<&Digest>) -> Document {
    let descriptor = |digest: &Digest| serde_json::json!({ "mediaType": "application/octet-stream", "digest": digest.to_string(), "size": 5 });
    let mut manifest = serde_json::json!({
        "schemaVersion": 2,
        "config": descriptor(layer),
        "layers": [],
    });
    if let Some(subject) = subject {
        manifest["subject"] = descriptor(subject);
    }
    Document::parse(manifest.to_string().into_bytes(), None).unwrap()
}

#[tokio::test]
async fn a_flipped_bit_is_found_hidden_and_healed_by_a_push() {
    for place in Place::all().await {
        let layer = place.upload("team/app", b"layer").await;
        place.upload("team/other", b"layer").await;
        place.put("team/app", image(&layer, None), "v1").await;
        assert_eq!(place.scrub(&DEEP).await.findings, []);
        place.damage(&layer).await;

        let dry = ScrubPolicy {
            dry_run: true,
            ..DEEP
        };
        let report = place.scrub(&dry).await;
        assert_eq!(report.findings[0].remedy, Remedy::None);
        assert!(
            place.pull("team/app", &layer).await.is_some(),
            "only looked"
        );

        let report = place.scrub(&DEEP).await;
        let [finding] = &report.findings[..] else {
            panic!("{report:?}")
        };
        assert!(
            matches!(finding.damage, Damage::WrongBytes(_)),
            "{finding:?}"
        );
        assert_eq!(finding.remedy, Remedy::Quarantined);
        assert_eq!(finding.repositories, ["team/app", "team/other"]);
        assert_eq!(finding.tags, ["team/app:v1"]);
        for from in ["team/app", "team/other"] {
            assert_eq!(place.pull(from, &layer).await, None, "404");
        }

        // The collector keeps what waits for its bytes, and who names it is told to send it.
        let greedy = GcPolicy {
            grace_seconds: 0,
            thorough: true,
            ..GcPolicy::default()
        };
        place.store.collect(&greedy).await.unwrap();
        place.upload("team/app", b"layer").await;
        assert_eq!(place.pull("team/app", &layer).await.unwrap(), "layer");
        assert_eq!(place.scrub(&DEEP).await.findings, []);
    }
}

#[tokio::test]
async fn one_push_heals_every_repository() {
    for place in Place::all().await {
        let layer = place.upload("a", b"layer").await;
        for to in ["b", "c"] {
            let mounted = place.store.mount(&name(to), &name("a"), &layer).await;
            mounted.unwrap();
        }
        place.damage(&layer).await;
        assert!(place.scrub(&DEEP).await.has_damage());
        assert_eq!(place.pull("b", &layer).await, None);
        place.upload("c", b"layer").await;
        for from in ["a", "b", "c"] {
            assert_eq!(place.pull(from, &layer).await.unwrap(), "layer", "{from}");
        }
    }
}

#[tokio::test]
async fn a_manifest_heals_from_its_other_copy() {
    for place in Place::all().await {
        let layer = place.upload("a", b"layer").await;
        let digest = place.put("a", image(&layer, None), "v1").await;
        place.damage(&digest).await;
        let report = place.scrub(&DEEP).await;
        assert_eq!(report.findings[0].remedy, Remedy::Healed, "{report:?}");
        assert!(!report.has_damage());
        assert_eq!(place.scrub(&DEEP).await.findings, []);

        let key = key::manifest(&name("a"), &digest);
        let (mut record, _) = place.store.meta.get(&key).await.unwrap().unwrap();
        let bytes = record.clone();
        *record.last_mut().unwrap() ^= 1;
        let put = Write::Put(key.clone(), record, Condition::Any);
        place.store.meta.write(vec![put]).await.unwrap();
        let report = place.scrub(&DEEP).await;
        assert_eq!(report.findings[0].remedy, Remedy::Healed, "{report:?}");
        let (record, _) = place.store.meta.get(&key).await.unwrap().unwrap();
        let end =
            |record: &[u8]| record[record.iter().position(|it| *it == b'\n').unwrap()..].to_vec();
        assert_eq!(end(&record), end(&bytes));
    }
}

#[tokio::test]
async fn missing_entries_are_written_and_stale_ones_removed() {
    for place in Place::all().await {
        let layer = place.upload("a", b"layer").await;
        let subject = place.put("a", image(&layer, None), "v1").await;
        let other = place.upload("a", b"other").await;
        let referrer = place.put("a", image(&other, Some(&subject)), "sig").await;
        let meta = &place.store.meta;
        let prefix = key::referrer(&name("a"), &subject, &referrer);
        let entry = meta.list(&prefix, "", 1).await.unwrap()[0].key.clone();
        let reverse = key::tag_on(&name("a"), &subject, &"v1".parse().unwrap());
        let marker = meta.list(&key::markers(&layer), "", 1).await.unwrap()[0]
            .key
            .clone();
        let lost = [&entry, &reverse, &marker];
        for key in lost {
            let delete = Write::Delete(key.clone(), Condition::Any);
            meta.write(vec![delete]).await.unwrap();
        }
        let stale = key::marker(&layer, &name("a"), 5, "b0000");
        let put = Write::Put(stale.clone(), Vec::new(), Condition::Any);
        meta.write(vec![put]).await.unwrap();
        let report = place.scrub(&DEEP).await;
        assert_eq!((report.entries_restored, report.entries_removed), (3, 1));
        assert_eq!(report.findings, []);
        for key in lost {
            assert!(meta.get(key).await.unwrap().is_some(), "{key}");
        }
        assert!(meta.get(&stale).await.unwrap().is_none());
        let referrers = place.store.referrers(&name("a"), &subject, "").await;
        assert_eq!(referrers.unwrap().descriptors.len(), 1);
    }
}

#[tokio::test]
async fn hashing_goes_on_where_it_stopped() {
    for place in Place::all().await {
        for bytes in [b"one".as_slice(), b"two", b"three", b"four"] {
            place.upload("a", bytes).await;
        }
        let little = ScrubPolicy {
            bytes_max: Some(1),
            ..DEEP
        };
        let read = async || {
            let read = place.store.meta.get(key::SCRUBBED).await.unwrap();
            String::from_utf8(read.unwrap().0).unwrap()
        };
        let mut places = Vec::new();
        for _ in 0..4 {
            let report = place.scrub(&little).await;
            assert_eq!((report.verified, report.is_complete), (1, false));
            places.push(read().await);
        }
        places.dedup();
        assert_eq!(places.len(), 4, "each time another one");
        let report = place.scrub(&DEEP).await;
        assert_eq!((report.verified, report.is_complete), (4, true));
    }
}

#[tokio::test]
async fn files_without_a_record_go_and_files_cut_short_are_found() {
    let place = Place::all().await.remove(0);
    let layer = place.upload("a", b"layer").await;
    let root = place.directory.as_ref().unwrap().path();
    let orphan = blob_file(root, &sha256(b"orphan"));
    fs::create_dir_all(orphan.parent().unwrap()).unwrap();
    fs::write(&orphan, b"orphan").unwrap();
    fs::write(root.join("tmp/left"), b"x").unwrap();
    let sizes = ScrubPolicy {
        level: ScrubLevel::Sizes,
        ..DEEP
    };
    let patient = ScrubPolicy {
        grace_seconds: 1 << 34,
        ..sizes
    };
    assert_eq!(place.scrub(&patient).await.orphans, 0, "too young");
    fs::write(place.file(&layer).unwrap(), b"lay").unwrap();
    let report = place.scrub(&sizes).await;
    assert_eq!((report.orphans, report.orphan_bytes), (1, 6));
    assert_eq!(report.leftovers, 1);
    assert!(!orphan.exists() && !root.join("tmp/left").exists());
    assert_eq!(report.findings[0].damage, Damage::WrongSize(3));
    let aside = root
        .join("quarantine")
        .join(format!("sha256-{}", layer.hex()));
    assert_eq!(fs::read(aside).unwrap(), b"lay", "kept to be looked at");
    place.upload("a", b"layer").await;
    assert_eq!(place.pull("a", &layer).await.unwrap(), "layer");
}

#[tokio::test]
async fn a_stop_in_the_middle_of_a_quarantine_leaves_nothing_that_passes_for_good() {
    for place in Place::all().await {
        let layer = place.upload("a", b"layer").await;
        place.damage(&layer).await;
        let read = place.store.read::<Content>(&key::content(&layer)).await;
        let (content, _) = read.unwrap().unwrap();
        let guard = place.store.data.lock(&content.location).await.unwrap();
        let aside = place.store.data.set_aside(&content.location, &guard);
        aside.await.unwrap();
        drop(guard);
        // Here it stopped. On a disk a push writes the bytes anew; elsewhere the record is found.
        let report = place.scrub(&DEEP).await;
        assert_eq!(report.findings[0].damage, Damage::Missing);
        place.upload("a", b"layer").await;
        assert_eq!(place.pull("a", &layer).await.unwrap(), "layer");
    }
}

#[tokio::test]
async fn replicas_take_turns_at_scrubbing_and_one_period_has_one_scrub() {
    let backend = Backend {
        data: Arc::new(MemoryData::default()),
        meta: Arc::new(MemoryMeta::default()),
    };
    let open = |clock| Store::open(backend.clone(), clock, SparsePolicy::All);
    let (first, second) = (open(CLOCK).await.unwrap(), open(CLOCK).await.unwrap());
    let (one, other) = tokio::join!(
        first.scrub_in_turn(&DEEP, 3600),
        second.scrub_in_turn(&DEEP, 3600)
    );
    assert_ne!(one.unwrap().is_some(), other.unwrap().is_some());
    let early = Clock(|| UNIX_EPOCH + Duration::from_secs((1 << 33) + 3599));
    let early = open(early).await.unwrap();
    assert!(early.scrub_in_turn(&DEEP, 3600).await.unwrap().is_none());
    let turns = Turns {
        policy: GcPolicy::default(),
        every_seconds: 3600,
        thorough_every: 7,
    };
    let collected = early.collect_in_turn(&turns).await.unwrap();
    assert!(collected.is_some(), "the collector's turn is another one");
    let due = Clock(|| UNIX_EPOCH + Duration::from_secs((1 << 33) + 3600));
    let due = open(due).await.unwrap();
    assert!(due.scrub_in_turn(&DEEP, 3600).await.unwrap().is_some());
}

#[tokio::test]
async fn a_tag_that_a_stopped_deletion_left_is_removed() {
    for place in Place::all().await {
        let layer = place.upload("a", b"layer").await;
        let gone = place.put("a", image(&layer, None), "gone").await;
        let other = place.upload("a", b"other").await;
        let kept = place.put("a", image(&other, None), "kept").await;
        let key = key::manifest(&name("a"), &gone);
        let read = place.store.manifest_record(&key).await.unwrap();
        let (mut header, ..) = read.unwrap();
        header.state = State::Dead;
        let dead = record::encode_manifest(&header, &[]);
        let put = Write::Put(key.clone(), dead, Condition::Any);
        place.store.meta.write(vec![put]).await.unwrap();
        let only_look = ScrubPolicy {
            dry_run: true,
            ..DEEP
        };
        for (policy, remedy) in [(only_look, Remedy::None), (DEEP, Remedy::Removed)] {
            let report = place.scrub(&policy).await;
            let [finding] = &report.findings[..] else {
                panic!("{:?}", report.findings);
            };
            assert_eq!(finding.damage, Damage::DanglingTag);
            assert_eq!(finding.remedy, remedy);
            assert_eq!(finding.tags, ["a:gone"]);
            assert!(!report.has_damage());
        }
        let tag = async |tag: &str| {
            let tag = tag.parse().unwrap();
            let found = place.store.tag(&name("a"), &tag).await.unwrap();
            found.map(|found| found.digest)
        };
        assert_eq!(tag("gone").await, None);
        assert_eq!(tag("kept").await, Some(kept.clone()));
        assert_eq!(place.scrub(&DEEP).await.findings, []);

        // What has no record at all may have been lost, and its tag says what is.
        let lost = key::manifest(&name("a"), &kept);
        let delete = Write::Delete(lost, Condition::Any);
        place.store.meta.write(vec![delete]).await.unwrap();
        let report = place.scrub(&DEEP).await;
        assert_eq!(report.findings[0].remedy, Remedy::None);
        assert_eq!(tag("kept").await, Some(kept));
    }
}
