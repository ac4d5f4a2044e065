// SPDX-License-Identifier: Apache-2.0
//! Clients of some replicas: they push, tag, delete and collect, and write down what they were told.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::StreamExt as _;
use oci::{Digest, Document, Tag, sha256};
use registry::endpoint::Name;
use registry::storage::data::Stage;
use registry::storage::{
    Backend, Blob, Bytes, Clock, Condition, Data, GcPolicy, ManifestPut, Mounted, SparsePolicy,
    StorageError, Store,
};

use crate::checker;
use crate::history::{Action, Event, History, Outcome};

const REPOSITORIES: [&str; 2] = ["team/app", "team/base"];
const TAGS: [&str; 3] = ["v1", "v2", "latest"];
/// Inline, an object of its own, and (with parts of 5 MiB) several parts.
const BLOB_SIZES: [usize; 6] = [10, 5_000, 70_000, 300_000, 1_200_000, 5_500_000];
const IMAGES: usize = 8;

/// Nothing is too young to go.
const NOW: GcPolicy = GcPolicy {
    grace_seconds: 0,
    untagged_seconds: None,
    thorough: true,
    dry_run: false,
};

/// One process of a registry.
pub(crate) struct Replica {
    store: Store,
    data: Arc<dyn Data>,
}

impl Replica {
    pub(crate) async fn new(backend: Backend, clock: Clock) -> Self {
        let data = Arc::clone(&backend.data);
        let store = Store::open(backend, clock, SparsePolicy::Strict)
            .await
            .unwrap();
        Self { store, data }
    }

    async fn push_blob(&self, name: &Name, bytes: &bytes::Bytes) -> Result<(), StorageError> {
        let digest = sha256(bytes);
        let size = bytes.len() as u64;
        let stage = Stage::whole(&digest, Some(size));
        let mut staged = self.data.stage(stage).await?;
        staged.append(vec![bytes.clone()]).await?;
        self.store.publish_blob(name, &digest, &mut *staged).await
    }

    async fn read(&self, blob: &Blob) -> Result<Vec<u8>, StorageError> {
        match self.store.read_blob(blob, 0..blob.size_bytes).await? {
            Bytes::Whole(bytes) => Ok(bytes.to_vec()),
            Bytes::Stream(mut stream) => {
                let mut whole = Vec::new();
                while let Some(piece) = stream.next().await {
                    let cut = |error| StorageError::io("read", "a blob", error);
                    whole.extend_from_slice(&piece.map_err(cut)?);
                }
                Ok(whole)
            }
        }
    }
}

/// An image that clients push: a manifest and its blobs.
struct Image {
    manifest: Vec<u8>,
    digest: Digest,
    blobs: Vec<bytes::Bytes>,
}

/// A sequence of numbers that looks random.
pub(crate) struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}

/// Everything that clients share.
pub(crate) struct World {
    replicas: Vec<Replica>,
    images: Vec<Image>,
    history: History,
    /// What a reader saw that must not be.
    wrong: std::sync::Mutex<Vec<String>>,
    is_over: AtomicBool,
}

impl World {
    pub(crate) fn new(replicas: Vec<Replica>) -> Self {
        let blobs: Vec<bytes::Bytes> = BLOB_SIZES.iter().map(|size| blob(*size)).collect();
        Self {
            replicas,
            images: (0..IMAGES).map(|number| image(number, &blobs)).collect(),
            history: History::default(),
            wrong: std::sync::Mutex::default(),
            is_over: AtomicBool::new(false),
        }
    }

    /// Runs `clients` until each has done `rounds` rounds, with a collector besides.
    pub(crate) async fn run(self: &Arc<Self>, seed: u64, clients: u64, rounds: usize) {
        let client = |number: u64| {
            let world = Arc::clone(self);
            async move {
                let mut dice = Dice(seed ^ (number << 32) ^ 0x5DEE_CE66);
                for _ in 0..rounds {
                    world.round(&mut dice).await;
                }
            }
        };
        let clients: Vec<_> = (0..clients)
            .map(|number| tokio::spawn(client(number)))
            .collect();
        let collector = tokio::spawn(Arc::clone(self).collect());
        for client in clients {
            client.await.unwrap();
        }
        self.is_over.store(true, Ordering::Relaxed);
        collector.await.unwrap();
    }

    async fn collect(self: Arc<Self>) {
        let mut cycle = 0;
        while !self.is_over.load(Ordering::Relaxed) {
            // A cycle that fails is gone on with by the next one.
            let replica = &self.replicas[cycle % self.replicas.len()];
            drop(replica.store.collect(&NOW).await);
            cycle += 1;
            tokio::task::yield_now().await;
        }
    }

    async fn round(&self, dice: &mut Dice) {
        let replica = dice.pick(&self.replicas);
        let repository = *dice.pick(&REPOSITORIES);
        let tag = *dice.pick(&TAGS);
        let image = dice.pick(&self.images);
        match dice.below(20) {
            0..10 => self.push(replica, repository, tag, image, dice).await,
            10..12 => self.untag(replica, repository, tag).await,
            12..14 => self.delete(replica, repository, image).await,
            _ => self.look(replica, repository, tag).await,
        }
    }

    async fn push(
        &self,
        replica: &Replica,
        repository: &str,
        tag: &str,
        image: &Image,
        dice: &mut Dice,
    ) {
        let name: Name = repository.parse().unwrap();
        for blob in &image.blobs {
            let digest = sha256(blob);
            let is_there = matches!(replica.store.blob(&name, &digest).await, Ok(Some(_)));
            if is_there {
                continue;
            }
            let from: Name = dice.pick(&REPOSITORIES).parse().unwrap();
            let mounted = replica.store.mount(&name, &from, &digest).await;
            if !matches!(mounted, Ok(Mounted::Yes)) && replica.push_blob(&name, blob).await.is_err()
            {
                return;
            }
        }
        let document = Document::parse(image.manifest.clone(), None).unwrap();
        let put = ManifestPut {
            name: &name,
            digest: image.digest.clone(),
            media_type: document.media_type().to_string(),
            document,
            tags: vec![tag.parse().unwrap()],
            tag_condition: Condition::Any,
        };
        let began = self.history.now();
        let result = replica.store.put_manifest(&put).await;
        let action = Action::Push {
            tag: tag.to_owned(),
            digest: image.digest.clone(),
        };
        self.history
            .add(repository, action, outcome(&result), began);
    }

    async fn untag(&self, replica: &Replica, repository: &str, tag: &str) {
        let name: Name = repository.parse().unwrap();
        let began = self.history.now();
        let result = replica.store.delete_tag(&name, &tag.parse().unwrap()).await;
        let action = Action::Untag {
            tag: tag.to_owned(),
        };
        self.history
            .add(repository, action, outcome(&result), began);
    }

    async fn delete(&self, replica: &Replica, repository: &str, image: &Image) {
        let name: Name = repository.parse().unwrap();
        let began = self.history.now();
        let result = replica.store.delete_manifest(&name, &image.digest).await;
        let action = Action::Delete {
            digest: image.digest.clone(),
        };
        self.history
            .add(repository, action, outcome(&result), began);
    }

    /// Follows a tag to its bytes: what is there must be right, whatever happens meanwhile.
    async fn look(&self, replica: &Replica, repository: &str, tag: &str) {
        let name: Name = repository.parse().unwrap();
        let Ok(Some(found)) = replica.store.tag(&name, &tag.parse().unwrap()).await else {
            return;
        };
        let Some(image) = self
            .images
            .iter()
            .find(|image| image.digest == found.digest)
        else {
            self.blame(format!(
                "{repository}:{tag} is at {}, which nobody pushed",
                found.digest
            ));
            return;
        };
        if let Ok(Some(manifest)) = replica.store.manifest(&name, &image.digest).await
            && manifest.bytes != image.manifest
        {
            self.blame(format!("manifest {} has other bytes", image.digest));
        }
        for blob in &image.blobs {
            let digest = sha256(blob);
            let Ok(Some(held)) = replica.store.blob(&name, &digest).await else {
                continue;
            };
            if let Ok(bytes) = replica.read(&held).await
                && bytes != *blob
            {
                self.blame(format!(
                    "blob {digest} came back as {} other bytes",
                    bytes.len()
                ));
            }
        }
    }

    fn blame(&self, what: String) {
        self.wrong.lock().unwrap().push(what);
    }

    /// Looks at everything once nothing fails any more, as `replica` sees it.
    pub(crate) async fn verdict(&self, replica: &Replica) -> Vec<String> {
        // Nothing may go that is in use, however often it is looked for.
        for _ in 0..2 {
            replica.store.collect(&NOW).await.unwrap();
        }
        for repository in REPOSITORIES {
            let name: Name = repository.parse().unwrap();
            self.check_tags(replica, repository, &name).await;
            for image in &self.images {
                self.check_image(replica, repository, &name, image).await;
            }
        }
        self.wrong.lock().unwrap().clone()
    }

    async fn check_tags(&self, replica: &Replica, repository: &str, name: &Name) {
        let events = self.history.events();
        for tag in TAGS {
            let parsed: Tag = tag.parse().unwrap();
            let found = replica.store.tag(name, &parsed).await.unwrap();
            let found = found.map(|found| found.digest);
            if !checker::tag_is_explained(&events, repository, tag, found.as_ref()) {
                self.blame(format!(
                    "{repository}:{tag} is at {found:?}; {:#?}",
                    of_tag(&events, repository, tag)
                ));
            }
            if let Some(digest) = found
                && replica
                    .store
                    .manifest(name, &digest)
                    .await
                    .unwrap()
                    .is_none()
            {
                self.blame(format!(
                    "{repository}:{tag} is at {digest}, which is not there"
                ));
            }
        }
    }

    async fn check_image(&self, replica: &Replica, repository: &str, name: &Name, image: &Image) {
        let events = self.history.events();
        let digest = &image.digest;
        let found = replica.store.manifest(name, digest).await.unwrap();
        let must = checker::manifest_must_be_there(&events, repository, digest);
        let may = checker::manifest_may_be_there(&events, repository, digest);
        let Some(found) = found else {
            if must {
                self.blame(format!(
                    "{repository}@{digest} was acknowledged and is lost"
                ));
            }
            return;
        };
        if !may {
            self.blame(format!("{repository}@{digest} was deleted and is there"));
        }
        if found.bytes != image.manifest {
            self.blame(format!("{repository}@{digest} has other bytes"));
        }
        for blob in &image.blobs {
            let wanted = sha256(blob);
            let bytes = match replica.store.blob(name, &wanted).await.unwrap() {
                None => None,
                Some(held) => Some(replica.read(&held).await),
            };
            match bytes {
                Some(Ok(bytes)) if bytes == *blob => {}
                Some(Ok(bytes)) => self.blame(format!(
                    "{wanted} of {digest} has {} other bytes",
                    bytes.len()
                )),
                Some(Err(error)) => {
                    self.blame(format!("{wanted} of {digest} cannot be read: {error}"));
                }
                None => self.blame(format!("{repository}@{digest} lacks its blob {wanted}")),
            }
        }
    }

    /// How many requests of each kind were acknowledged, and how many failed.
    pub(crate) fn counts(&self) -> BTreeMap<(&'static str, bool), usize> {
        let mut counts = BTreeMap::new();
        for event in self.history.events() {
            let kind = match event.action {
                Action::Push { .. } => "push",
                Action::Untag { .. } => "untag",
                Action::Delete { .. } => "delete",
            };
            let is_done = event.outcome == Outcome::Done;
            *counts.entry((kind, is_done)).or_default() += 1;
        }
        counts
    }
}

fn of_tag(events: &[Event], repository: &str, tag: &str) -> Vec<Event> {
    let concerns = |event: &&Event| match &event.action {
        Action::Push { tag: name, .. } | Action::Untag { tag: name } => name == tag,
        Action::Delete { .. } => true,
    };
    let here = events.iter().filter(|event| event.repository == repository);
    here.filter(concerns).cloned().collect()
}

fn outcome<T, E>(result: &Result<T, E>) -> Outcome {
    match result {
        Ok(_) => Outcome::Done,
        Err(_) => Outcome::Unknown,
    }
}

fn blob(size: usize) -> bytes::Bytes {
    let mut dice = Dice(size as u64);
    let bytes = std::iter::repeat_with(|| u8::try_from(dice.below(256)).unwrap());
    bytes.take(size).collect::<Vec<u8>>().into()
}

/// Image `number`: two of the blobs, so that images share them.
fn image(number: usize, blobs: &[bytes::Bytes]) -> Image {
    let chosen = [number % blobs.len(), (number * 5 + 1) % blobs.len()].map(|at| blobs[at].clone());
    let descriptor = |media_type: &str, blob: &bytes::Bytes| {
        serde_json::json!({
            "mediaType": media_type,
            "digest": sha256(blob).to_string(),
            "size": blob.len(),
        })
    };
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("application/vnd.oci.image.config.v1+json", &chosen[0]),
        "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", &chosen[1])],
        "annotations": { "number": number.to_string() },
    });
    let manifest = manifest.to_string().into_bytes();
    Image {
        digest: sha256(&manifest),
        manifest,
        blobs: chosen.into(),
    }
}
