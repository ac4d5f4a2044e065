// SPDX-License-Identifier: Apache-2.0
//! A registry whose every store operation waits for the scheduler, and the invariants over it.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::UNIX_EPOCH;

use oci::{Algorithm, Digest, Document, Tag};

use super::schedule::{Ending, Told, alone, turn};
use crate::endpoint::Name;
use crate::storage::data::{
    Answer, Bytes, Data, Guard, Location, Publication, Resume, Stage, Staged,
};
use crate::storage::error::StorageError;
use crate::storage::key;
use crate::storage::manifest::{ManifestPut, digest_of, references};
use crate::storage::memory::{MemoryData, MemoryMeta};
use crate::storage::meta::{Condition, LIST_MAX, Listed, Meta, Version, Write};
use crate::storage::record::{self, Content, Membership, State, TagRecord};
use crate::storage::scrub::ScrubPolicy;
use crate::storage::session::SessionId;
use crate::storage::store::{Backend, Clock, SparsePolicy, Store};

fn lost() -> StorageError {
    StorageError::Io {
        action: "reach",
        path: "the store".into(),
        source: Arc::new(std::io::ErrorKind::TimedOut.into()),
    }
}

/// Metadata, one key at a time, each at the scheduler's word.
#[derive(Debug)]
struct TurnMeta {
    inner: Arc<MemoryMeta>,
    told: Told,
}

impl TurnMeta {
    /// Does `operation` as the scheduler says.
    async fn turn<T>(
        &self,
        operation: impl Future<Output = Result<T, StorageError>>,
    ) -> Result<T, StorageError> {
        let ending = turn(&self.told).await;
        if ending == Ending::Failed {
            return Err(lost());
        }
        // In memory, so it ends without waiting but for the turns that the double takes itself.
        let result = alone(operation);
        if ending == Ending::AnswerLost {
            Err(lost())
        } else {
            result
        }
    }
}

impl Meta for TurnMeta {
    fn get<'a>(&'a self, key: &'a str) -> Answer<'a, Option<(Vec<u8>, Version)>> {
        Box::pin(self.turn(async move { self.inner.get(key).await }))
    }

    fn write(&self, steps: Vec<Write>) -> Answer<'_, ()> {
        Box::pin(async move {
            for step in steps {
                self.turn(self.inner.write(vec![step])).await?;
            }
            Ok(())
        })
    }

    fn write_stages(&self, stages: Vec<Vec<Write>>) -> Answer<'_, ()> {
        Box::pin(async move {
            for stage in stages {
                let steps = stage.into_iter().map(|step| vec![step]);
                let steps = steps.map(|step| self.turn(self.inner.write(step)));
                let mut results = futures_util::future::join_all(steps).await;
                // A lost answer weighs more than a lost race, as in a bucket.
                results.sort_by_key(|result| matches!(result, Err(StorageError::Conflict(_))));
                results.into_iter().collect::<Result<(), _>>()?;
            }
            Ok(())
        })
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: &'a str,
        limit: usize,
    ) -> Answer<'a, Vec<Listed>> {
        Box::pin(self.turn(async move { self.inner.list(prefix, after, limit).await }))
    }
}

/// Bytes, published and removed at the scheduler's word.
#[derive(Debug)]
struct TurnData {
    inner: Arc<MemoryData>,
    told: Told,
}

#[derive(Debug)]
struct TurnStaged {
    inner: Box<dyn Staged>,
    told: Told,
}

impl Staged for TurnStaged {
    fn offset(&self) -> u64 {
        self.inner.offset()
    }

    fn append(&mut self, pieces: Vec<bytes::Bytes>) -> Answer<'_, ()> {
        self.inner.append(pieces)
    }

    fn checkpoint(&mut self) -> Answer<'_, Resume> {
        self.inner.checkpoint()
    }

    fn is_known_as(&self, digest: &Digest) -> bool {
        self.inner.is_known_as(digest)
    }

    fn publish<'a>(&'a mut self, digest: &'a Digest) -> Answer<'a, Publication> {
        Box::pin(async move {
            let ending = turn(&self.told).await;
            let published = self.inner.publish(digest).await;
            if ending == Ending::Done {
                published
            } else {
                Err(lost())
            }
        })
    }
}

impl Data for TurnData {
    fn stage(&self, stage: Stage) -> Answer<'_, Box<dyn Staged>> {
        Box::pin(async move {
            let inner = self.inner.stage(stage).await?;
            let told = Arc::clone(&self.told);
            Ok(Box::new(TurnStaged { inner, told }) as Box<dyn Staged>)
        })
    }

    fn discard<'a>(&'a self, session: &'a SessionId, _: Option<&'a Location>) -> Answer<'a, ()> {
        self.inner.discard(session, None)
    }

    fn read<'a>(&'a self, location: &'a Location, range: Range<u64>) -> Answer<'a, Bytes> {
        self.inner.read(location, range)
    }

    fn size<'a>(&'a self, location: &'a Location) -> Answer<'a, Option<u64>> {
        self.inner.size(location)
    }

    fn lock<'a>(&'a self, location: &'a Location) -> Answer<'a, Guard> {
        self.inner.lock(location)
    }

    fn delete<'a>(&'a self, location: &'a Location, guard: &'a Guard) -> Answer<'a, ()> {
        Box::pin(async move {
            let ending = turn(&self.told).await;
            if ending != Ending::Failed {
                self.inner.delete(location, guard).await?;
            }
            if ending == Ending::Done {
                Ok(())
            } else {
                Err(lost())
            }
        })
    }

    fn sessions(&self) -> Answer<'_, Vec<SessionId>> {
        self.inner.sessions()
    }
}

/// What somebody was told with a 2xx.
#[derive(Debug, Default)]
pub(super) struct Promises {
    /// Manifests, with what they refer to and who was told so.
    manifests: Vec<(Name, Digest, Vec<Digest>)>,
    /// Tags and the manifest that each was last put on.
    tags: BTreeMap<(Name, Tag), Digest>,
    /// Every manifest whose push was acknowledged at some time, and what those refer to.
    acknowledged: BTreeSet<(Name, Digest)>,
}

/// One registry, seen by the actors (through turns) and by the checks (directly).
#[derive(Clone)]
pub(super) struct World {
    /// For actors.
    pub(super) store: Arc<Store>,
    /// For preparations and checks.
    pub(super) plain: Arc<Store>,
    meta: Arc<MemoryMeta>,
    data: Arc<MemoryData>,
    promises: Arc<Mutex<Promises>>,
    /// The state that was checked last.
    checked: Arc<Mutex<(u64, u64)>>,
    /// What some actor deletes, so that it may vanish.
    deleted: Arc<BTreeSet<(Name, Digest)>>,
    /// Whether some actor collects manifests without tags.
    untagged_go: bool,
}

impl World {
    pub(super) fn new(told: &Told, deleted: &[(Name, Digest)], untagged_go: bool) -> Self {
        let meta = Arc::new(MemoryMeta::default());
        let data = Arc::new(MemoryData::default());
        let clock = Clock(|| UNIX_EPOCH);
        let open = |data: Arc<dyn Data>, meta: Arc<dyn Meta>| {
            let store = alone(Store::open(
                Backend { data, meta },
                clock,
                SparsePolicy::All,
            ));
            Arc::new(store.unwrap())
        };
        let plain = open(data.clone(), meta.clone());
        let turn_data = TurnData {
            inner: data.clone(),
            told: Arc::clone(told),
        };
        let turn_meta = TurnMeta {
            inner: meta.clone(),
            told: Arc::clone(told),
        };
        let store = open(Arc::new(turn_data), Arc::new(turn_meta));
        Self {
            store,
            plain,
            meta,
            data,
            promises: Arc::default(),
            checked: Arc::default(),
            deleted: Arc::new(deleted.iter().cloned().collect()),
            untagged_go,
        }
    }

    /// Notes that a manifest was acknowledged.
    pub(super) fn promise(&self, put: &ManifestPut<'_>, needs: &[Digest]) {
        *self.checked.lock().unwrap() = (0, 0);
        let mut promises = self.promises.lock().unwrap();
        let name = put.name.clone();
        promises
            .manifests
            .push((name.clone(), put.digest.clone(), needs.to_vec()));
        for tag in &put.tags {
            promises
                .tags
                .insert((name.clone(), tag.clone()), put.digest.clone());
        }
    }

    /// Checks the invariants, if anything has changed since the last time.
    pub(super) fn check(&self, path: &[usize]) {
        let state = (self.meta.last_version(), self.data.changes());
        if std::mem::replace(&mut *self.checked.lock().unwrap(), state) == state {
            return;
        }
        let records = self.records();
        self.check_contents(&records, path);
        for (key, (bytes, _)) in &records {
            let Some((name, rest)) = key.strip_prefix("l/").and_then(|key| key.split_once("/@"))
            else {
                continue;
            };
            let name: Name = name.parse().unwrap();
            let digest = |id: &str| id.replacen('/', ":", 1).parse::<Digest>().unwrap();
            if let Some(id) = rest.strip_prefix("b/") {
                let found: Membership = record::decode(key, bytes).unwrap();
                let size = found.size_bytes;
                if found.state.is_readable() {
                    check_i2(
                        &records,
                        &name,
                        (&digest(id), size, &found.incarnation),
                        path,
                    );
                }
            } else if let Some(id) = rest.strip_prefix("m/") {
                let (found, _) = record::decode_manifest(key, bytes).unwrap();
                if !found.state.is_readable() {
                    continue;
                }
                let digest = digest(id);
                let size = found.size_bytes;
                check_i2(&records, &name, (&digest, size, &found.incarnation), path);
                if let Some(subject) = &found.subject {
                    let entry = key::referrer(&name, subject, &digest);
                    let entry = format!("{entry}{}", found.incarnation);
                    assert!(
                        records.contains_key(&entry),
                        "I5: {key} has no entry, path {path:?}"
                    );
                }
            }
        }
        self.check_promises(path);
    }

    fn records(&self) -> BTreeMap<String, (Vec<u8>, Version)> {
        let listed = alone(self.meta.list("", "", LIST_MAX)).unwrap();
        let read = |line: Listed| {
            let record = alone(self.meta.get(&line.key)).unwrap();
            (line.key, record.expect("nobody else runs"))
        };
        listed.into_iter().map(read).collect()
    }

    fn check_contents(&self, records: &BTreeMap<String, (Vec<u8>, Version)>, path: &[usize]) {
        let mut locations = HashSet::new();
        for (key, (bytes, _)) in records {
            if !key.starts_with(key::CONTENTS) {
                continue;
            }
            let content: Content = record::decode(key, bytes).unwrap();
            let is_new = locations.insert(content.location.clone());
            assert!(is_new, "I4: {key} shares its bytes, path {path:?}");
            if content.state.is_readable() && !self.data.is_damaged(&content.location) {
                let read = alone(self.data.read(&content.location, 0..content.size_bytes));
                assert!(read.is_ok(), "I3: {key} has no bytes, path {path:?}");
            }
        }
    }

    fn check_promises(&self, path: &[usize]) {
        let mut promises = self.promises.lock().unwrap();
        // An untagged manifest may go; a push of it that is not acknowledged brings back only it.
        let kept = std::mem::take(&mut promises.manifests).into_iter();
        promises.manifests = kept
            .filter(|(name, digest, _)| {
                !self.untagged_go
                    || self.is_readable_manifest(name, digest)
                    || self.is_tagged(&promises, name, digest)
            })
            .collect();
        for (name, digest, needs) in &promises.manifests {
            if self.is_deleted(name, digest) {
                continue;
            }
            assert!(
                self.is_readable_manifest(name, digest),
                "I1: manifest {digest} of {name} is gone, path {path:?}"
            );
            for need in needs {
                let is_there =
                    self.is_readable_blob(name, need) || self.is_readable_manifest(name, need);
                assert!(
                    is_there || self.is_deleted(name, need),
                    "I1: {need}, which manifest {digest} of {name} needs, is gone, path {path:?}"
                );
            }
        }
        for ((name, tag), digest) in &promises.tags {
            if self.is_deleted(name, digest) {
                continue;
            }
            let found = alone(self.plain.tag(name, tag)).unwrap();
            assert!(
                found.is_some(),
                "I1: tag {tag} of {name} is gone, path {path:?}"
            );
        }
    }

    fn is_tagged(&self, promises: &Promises, name: &Name, digest: &Digest) -> bool {
        let mut tags = promises.tags.iter();
        tags.any(|((of, tag), on)| {
            of == name
                && on == digest
                && alone(self.plain.tag(name, tag))
                    .unwrap()
                    .is_some_and(|stored| stored.digest == *digest)
        })
    }

    /// Leaves of a manifest what a deletion leaves that was stopped after its first write.
    pub(super) fn delete_half(&self, name: &Name, digest: &Digest) {
        let key = key::manifest(name, digest);
        let read = alone(self.plain.manifest_record(&key)).unwrap();
        let (mut header, ..) = read.expect("it was pushed");
        header.state = State::Dead;
        let dead = record::encode_manifest(&header, &[]);
        alone(self.meta.write(vec![Write::Put(key, dead, Condition::Any)])).unwrap();
        *self.promises.lock().unwrap() = Promises::default();
    }

    /// Makes the bytes of `digest` wrong.
    pub(super) fn damage(&self, digest: &Digest) {
        let read = alone(self.plain.read::<Content>(&key::content(digest)));
        let (content, _) = read.unwrap().expect("it was uploaded");
        self.data.damage(&content.location);
    }

    /// Checks that after one more scrub and one more upload the right bytes are read.
    pub(super) fn check_healing(
        &self,
        policy: &ScrubPolicy,
        name: &Name,
        bytes: &'static [u8],
        path: &[usize],
    ) {
        alone(self.plain.scrub(policy)).unwrap();
        let digest = digest_of(Algorithm::Sha256, bytes);
        let read = || {
            let blob = alone(self.plain.blob(name, &digest)).unwrap()?;
            let read = alone(self.plain.read_blob(&blob, 0..blob.size_bytes)).unwrap();
            Some(matches!(read, Bytes::Whole(read) if read == bytes))
        };
        let is_right = read();
        assert_ne!(
            is_right,
            Some(false),
            "wrong bytes are served, path {path:?}"
        );
        assert!(alone(self.upload(&self.plain, name, bytes)));
        assert_eq!(read(), Some(true), "a push did not heal, path {path:?}");
    }

    fn is_deleted(&self, name: &Name, digest: &Digest) -> bool {
        self.deleted.contains(&(name.clone(), digest.clone()))
    }

    fn is_readable_blob(&self, name: &Name, digest: &Digest) -> bool {
        let key = key::membership(name, digest);
        let read = alone(self.plain.read::<Membership>(&key)).unwrap();
        read.is_some_and(|(found, _)| found.state.is_readable())
    }

    fn is_readable_manifest(&self, name: &Name, digest: &Digest) -> bool {
        let key = key::manifest(name, digest);
        let read = alone(self.plain.manifest_record(&key)).unwrap();
        read.is_some_and(|(found, ..)| found.state.is_readable())
    }

    /// Returns every key with the first bytes of its record, for messages.
    pub(super) fn keys(&self) -> Vec<String> {
        let records = self.records();
        let lines = records.iter().map(|(key, (bytes, _))| {
            let text = String::from_utf8_lossy(bytes);
            format!("{key} {}", text.lines().next().unwrap_or_default())
        });
        lines.collect()
    }

    /// Returns how many tags there are whose manifest is not readable.
    pub(super) fn dangling_tags(&self) -> usize {
        let records = self.records();
        let tags = records.iter().filter_map(|(key, (bytes, _))| {
            let (name, tag) = key.strip_prefix("l/")?.split_once("/@t/")?;
            let found: TagRecord = record::decode(tag, bytes).unwrap();
            Some((name.parse::<Name>().unwrap(), found.digest))
        });
        tags.filter(|(name, digest)| !self.is_readable_manifest(name, digest))
            .count()
    }

    /// Returns the manifests that readers get although no push of them was ever acknowledged, and
    /// that lack something they refer to.
    pub(super) fn half_pushed(&self) -> Vec<String> {
        let records = self.records();
        let promises = self.promises.lock().unwrap();
        let half = records.iter().filter(|(key, (bytes, _))| {
            let Some((name, id)) = key
                .strip_prefix("l/")
                .and_then(|key| key.split_once("/@m/"))
            else {
                return false;
            };
            let name: Name = name.parse().unwrap();
            let digest: Digest = id.replacen('/', ":", 1).parse().unwrap();
            let (header, start) = record::decode_manifest(key, bytes).unwrap();
            if !header.state.is_readable()
                || promises.acknowledged.contains(&(name.clone(), digest))
            {
                return false;
            }
            let document = Document::parse(bytes[start..].to_vec(), None).unwrap();
            let named = references(&document);
            !named.iter().all(|one| {
                self.is_readable_blob(&name, &one.digest)
                    || self.is_readable_manifest(&name, &one.digest)
            })
        });
        half.map(|(key, _)| key.clone()).collect()
    }

    /// Returns how many published byte strings there are, and how many of them content names.
    pub(super) fn bytes_and_named(&self) -> (usize, usize) {
        let contents = self.records();
        let contents = contents
            .iter()
            .filter(|(key, _)| key.starts_with(key::CONTENTS));
        let live = contents.filter(|(key, (bytes, _))| {
            let content: Content = record::decode(key, bytes).unwrap();
            content.state != State::Dead
        });
        (self.data.published(), live.count())
    }

    /// Uploads a blob.
    pub(super) async fn upload(&self, store: &Store, name: &Name, bytes: &'static [u8]) -> bool {
        let digest = digest_of(Algorithm::Sha256, bytes);
        let stage = Stage::anonymous(Algorithm::Sha256);
        let uploaded = async {
            let mut staged = store.data.stage(stage).await?;
            staged
                .append(vec![bytes::Bytes::from_static(bytes)])
                .await?;
            store.publish_blob(name, &digest, &mut *staged).await
        };
        uploaded.await.is_ok()
    }

    /// Puts a manifest and notes the promise.
    pub(super) async fn put(
        &self,
        store: &Store,
        name: &Name,
        document: &Document,
        tags: &[&str],
    ) -> bool {
        let put = ManifestPut {
            name,
            digest: document.digest(),
            document: document.clone(),
            media_type: document.media_type().to_string(),
            tags: tags.iter().map(|tag| tag.parse().unwrap()).collect(),
            tag_condition: Condition::Any,
        };
        let Ok(sparse) = store.put_manifest(&put).await else {
            return false;
        };
        let references = references(document);
        let needs: Vec<Digest> = references.iter().map(|one| one.digest.clone()).collect();
        let told = std::iter::once(&put.digest).chain(&needs);
        let mut promises = self.promises.lock().unwrap();
        promises
            .acknowledged
            .extend(told.map(|digest| (name.clone(), digest.clone())));
        drop(promises);
        if sparse == 0 {
            self.promise(&put, &needs);
        }
        true
    }
}

fn check_i2(
    records: &BTreeMap<String, (Vec<u8>, Version)>,
    name: &Name,
    (digest, size, incarnation): (&Digest, u64, &str),
    path: &[usize],
) {
    let marker = key::marker(digest, name, size, incarnation);
    assert!(
        records.contains_key(&marker),
        "I2: {digest} of {name} has no marker, path {path:?}"
    );
    let content = key::content(digest);
    let content = records.get(&content).map(|(bytes, _)| {
        let content: Content = record::decode("content", bytes).unwrap();
        content.state
    });
    assert!(
        content.is_some_and(|state| state != State::Dead),
        "I2: {digest} of {name} has content {content:?}, path {path:?}"
    );
}
