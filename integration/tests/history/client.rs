// SPDX-License-Identifier: Apache-2.0
//! One client: what it does next, how, and what it writes down.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use integration::Random;
use integration::http::{Client, Request, Response};
use serde_json::json;

use super::record::{Clock, Deed, Event, Object};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const REPOSITORIES: usize = 2;
const TAGS: usize = 6;
const MANIFESTS: usize = 8;
const BLOBS: usize = 8;
/// How often a push begins again because the collector took what had been there.
const PUSHES_MAX: usize = 20;

/// Returns the blobs that a manifest names: its config and its layer.
pub(super) fn blobs_of(manifest: usize) -> [usize; 2] {
    [manifest % BLOBS, (manifest * 3 + 1) % BLOBS]
}

/// Everything that there can be in one epoch.
#[derive(Debug)]
pub(super) struct World {
    repositories: Vec<String>,
    blobs: Vec<(String, Vec<u8>)>,
    manifests: Vec<(String, Vec<u8>)>,
}

impl World {
    pub(super) fn new(epoch: u64) -> Self {
        let blobs: Vec<(String, Vec<u8>)> = (0..BLOBS)
            .map(|number| {
                let seed = u64::try_from(number).expect("small");
                let bytes = Random::seeded(seed).bytes(500 * (number + 1));
                (oci::sha256(&bytes).to_string(), bytes)
            })
            .collect();
        let descriptor = |number: usize| {
            let (digest, bytes) = &blobs[number];
            json!({"mediaType": "application/octet-stream", "digest": digest, "size": bytes.len()})
        };
        let manifests = (0..MANIFESTS)
            .map(|number| {
                let [config, layer] = blobs_of(number);
                let document = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": descriptor(config), "layers": [descriptor(layer)], "annotations": {"number": number.to_string()}});
                let bytes = document.to_string().into_bytes();
                (oci::sha256(&bytes).to_string(), bytes)
            })
            .collect();
        Self {
            repositories: (0..REPOSITORIES)
                .map(|n| format!("epoch{epoch}/r{n}"))
                .collect(),
            blobs,
            manifests,
        }
    }

    fn path(&self, object: Object) -> String {
        let name = &self.repositories[object.repository()];
        match object {
            Object::Tag(_, tag) => format!("/v2/{name}/manifests/t{tag}"),
            Object::Manifest(_, number) => {
                format!("/v2/{name}/manifests/{}", self.manifests[number].0)
            }
            Object::Blob(_, number) => format!("/v2/{name}/blobs/{}", self.blobs[number].0),
        }
    }
}

/// A client and its diary.
#[derive(Debug)]
pub(super) struct Player {
    client: Client,
    world: Arc<World>,
    clock: Clock,
    random: Random,
    events: Vec<Event>,
}

/// The server is gone; what was asked last may have happened.
struct Gone;

impl From<io::Error> for Gone {
    fn from(_: io::Error) -> Self {
        Self
    }
}

impl Player {
    pub(super) fn new(address: &str, world: Arc<World>, clock: Clock, random: Random) -> Self {
        Self {
            client: Client::new(address),
            world,
            clock,
            random,
            events: Vec::new(),
        }
    }

    /// Does one thing after the other until told to stop, or until the server is gone.
    pub(super) fn play(mut self, stop: &AtomicBool) -> Vec<Event> {
        while !stop.load(Ordering::Relaxed) {
            if self.act().is_err() {
                break;
            }
        }
        self.events
    }

    /// Reads everything that there can be.
    pub(super) fn read_all(mut self) -> Vec<Event> {
        let mut objects = Vec::new();
        for repository in 0..REPOSITORIES {
            objects.extend((0..TAGS).map(|n| Object::Tag(repository, n)));
            objects.extend((0..MANIFESTS).map(|n| Object::Manifest(repository, n)));
            objects.extend((0..BLOBS).map(|n| Object::Blob(repository, n)));
        }
        for object in objects {
            assert!(self.read(object).is_ok(), "the registry does not answer");
        }
        self.events
    }

    fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).expect("small");
        usize::try_from(self.random.below(end)).expect("small")
    }

    fn act(&mut self) -> Result<(), Gone> {
        let repository = self.below(REPOSITORIES);
        let tag = Object::Tag(repository, self.below(TAGS));
        let number = self.below(MANIFESTS);
        let manifest = Object::Manifest(repository, number);
        match self.below(20) {
            0..8 => self.push(repository, tag, number),
            8..15 => self.pull(repository, tag),
            15 => self.retag(repository, tag),
            16 | 17 => self.delete(tag),
            18 => self.delete(manifest),
            _ => {
                let blob = Object::Blob(repository, self.below(BLOBS));
                self.delete(blob)
            }
        }
    }

    /// Pushes as clients do: asks for each blob, uploads or mounts what is not there, tags last.
    fn push(&mut self, repository: usize, tag: Object, number: usize) -> Result<(), Gone> {
        for _ in 0..PUSHES_MAX {
            for blob in blobs_of(number) {
                let object = Object::Blob(repository, blob);
                let path = self.world.path(object);
                let head = self.client.send(&Request::new("HEAD", &path))?;
                match head.status {
                    200 => {}
                    404 => self.bring(repository, blob)?,
                    other => panic!("HEAD {path}: {other}"),
                }
            }
            if self.put_manifest(tag, number)? {
                return Ok(());
            }
        }
        // Another client deletes what this one brings; nothing was promised.
        Ok(())
    }

    /// Returns whether it was taken; refused is a manifest whose blobs went meanwhile.
    fn put_manifest(&mut self, tag: Object, number: usize) -> Result<bool, Gone> {
        let path = self.world.path(tag);
        let body = self.world.manifests[number].1.clone();
        let headers = [("Content-Type", MANIFEST)];
        let put = Request {
            method: "PUT",
            target: &path,
            headers: &headers,
            body: &body,
        };
        let start = self.clock.now();
        let answer = self.client.send(&put);
        let manifest = Object::Manifest(tag.repository(), number);
        let was_taken = match &answer {
            Ok(answer) if answer.status == 400 => {
                assert!(
                    answer.text().contains("MANIFEST_BLOB_UNKNOWN"),
                    "{}",
                    answer.text()
                );
                return Ok(false);
            }
            Ok(answer) => {
                assert_eq!(answer.status, 201, "PUT {path}: {}", answer.text());
                true
            }
            Err(_) => false,
        };
        self.note(manifest, Deed::Put(number), start, was_taken);
        self.note(tag, Deed::Put(number), start, was_taken);
        answer?;
        Ok(true)
    }

    /// Brings a blob into a repository: from the other one, at once, or in two pieces.
    fn bring(&mut self, repository: usize, blob: usize) -> Result<(), Gone> {
        let world = Arc::clone(&self.world);
        let (digest, bytes) = &world.blobs[blob];
        let object = Object::Blob(repository, blob);
        let name = &world.repositories[repository];
        let from = &world.repositories[(repository + 1) % REPOSITORIES];
        let uploads = format!("/v2/{name}/blobs/uploads/");
        let start = self.clock.now();
        let way = self.below(3);
        let opened = if way == 0 {
            let mount = format!("{uploads}?mount={digest}&from={from}");
            let answer = self.client.send(&Request::new("POST", &mount));
            if !matches!(&answer, Ok(answer) if answer.status == 202) {
                return self.brought(object, start, answer);
            }
            answer?
        } else {
            self.client.send(&Request::new("POST", &uploads))?
        };
        let mut place = opened
            .header("location")
            .expect("where to upload")
            .to_owned();
        let mut rest = bytes.as_slice();
        if way == 1 {
            let (first, second) = bytes.split_at(bytes.len() / 2);
            let patch = Request {
                body: first,
                ..Request::new("PATCH", &place)
            };
            let answer = self.client.send(&patch)?;
            assert_eq!(answer.status, 202, "{}", answer.text());
            place = answer
                .header("location")
                .expect("where to go on")
                .to_owned();
            rest = second;
        }
        let mark = if place.contains('?') { '&' } else { '?' };
        let target = format!("{place}{mark}digest={digest}");
        let put = Request {
            body: rest,
            ..Request::new("PUT", &target)
        };
        let answer = self.client.send(&put);
        self.brought(object, start, answer)
    }

    fn brought(
        &mut self,
        blob: Object,
        start: u64,
        answer: io::Result<Response>,
    ) -> Result<(), Gone> {
        let Object::Blob(_, number) = blob else {
            panic!("only blobs are brought");
        };
        if let Ok(answer) = &answer {
            assert_eq!(answer.status, 201, "{blob:?}: {}", answer.text());
        }
        self.note(blob, Deed::Put(number), start, answer.is_ok());
        answer?;
        Ok(())
    }

    fn pull(&mut self, repository: usize, tag: Object) -> Result<(), Gone> {
        let Some(number) = self.read(tag)? else {
            return Ok(());
        };
        for blob in blobs_of(number) {
            self.read(Object::Blob(repository, blob))?;
        }
        self.read(Object::Manifest(repository, number))?;
        Ok(())
    }

    fn retag(&mut self, repository: usize, tag: Object) -> Result<(), Gone> {
        if let Some(number) = self.read(tag)? {
            let other = Object::Tag(repository, self.below(TAGS));
            self.put_manifest(other, number)?;
        }
        Ok(())
    }

    fn delete(&mut self, object: Object) -> Result<(), Gone> {
        let path = self.world.path(object);
        let start = self.clock.now();
        let answer = self.client.send(&Request::new("DELETE", &path));
        match &answer {
            Ok(answer) if answer.status == 404 => return Ok(()),
            Ok(answer) => assert_eq!(answer.status, 202, "DELETE {path}: {}", answer.text()),
            Err(_) => {}
        }
        self.note(object, Deed::Delete, start, answer.is_ok());
        answer?;
        Ok(())
    }

    /// Reads an object, and returns its number if it is there.
    fn read(&mut self, object: Object) -> Result<Option<usize>, Gone> {
        let path = self.world.path(object);
        let start = self.clock.now();
        let answer = self.client.get(&path)?;
        let seen = match answer.status {
            404 => None,
            200 => Some(self.number_of(object, &answer.body)),
            other => panic!("GET {path}: {other} {}", answer.text()),
        };
        self.note(object, Deed::Read(seen), start, true);
        Ok(seen)
    }

    /// Finds out which bytes these are; others than were pushed end the test.
    fn number_of(&self, object: Object, body: &[u8]) -> usize {
        let all = match object {
            Object::Blob(..) => &self.world.blobs,
            Object::Tag(..) | Object::Manifest(..) => &self.world.manifests,
        };
        let found = all.iter().position(|(_, bytes)| bytes == body);
        let found = found.unwrap_or_else(|| panic!("{object:?} has bytes that nobody pushed"));
        if let Object::Manifest(_, number) | Object::Blob(_, number) = object {
            assert_eq!(found, number, "{object:?} has the bytes of another");
        }
        found
    }

    fn note(&mut self, object: Object, deed: Deed, start: u64, is_certain: bool) {
        self.events.push(Event {
            object,
            deed,
            start,
            end: self.clock.now(),
            is_certain,
        });
    }
}
