// SPDX-License-Identifier: Apache-2.0
//! What the client promises, against a registry that fails when told to.

mod auth;
mod fake;
mod pull;
mod push;
mod ranges;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use oci::{
    Descriptor, DiffId, Digest, Image, ImageConfig, Layout, Manifest, MediaType, Platform,
    Reference, sha256,
};

use super::{Client, ClientConfig, Outcome, Platforms, Progress, PullOptions, TransferEvent};
use fake::{Answer, Fake, Fault};

/// A registry, an empty local store and a client.
struct World {
    fake: Fake,
    client: Client,
    layout: Layout,
    events: Arc<Mutex<Vec<TransferEvent>>>,
    directory: tempfile::TempDir,
}

fn config() -> ClientConfig {
    ClientConfig {
        retry_wait: Duration::from_millis(1),
        ..ClientConfig::default()
    }
}

impl World {
    fn new() -> Self {
        Self::with(config())
    }

    fn with(config: ClientConfig) -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self {
            fake: Fake::start(),
            client: Client::new(config).unwrap(),
            layout: Layout::create(directory.path().join("images")).unwrap(),
            events: Arc::default(),
            directory,
        }
    }

    fn reference(&self, rest: &str) -> Reference {
        format!("{}/{rest}", self.fake.host).parse().unwrap()
    }

    fn progress(&self) -> Progress {
        let events = Arc::clone(&self.events);
        Progress::new(move |event| events.lock().unwrap().push(event))
    }

    fn options(&self, platforms: Platforms) -> PullOptions {
        PullOptions {
            platforms,
            progress: self.progress(),
        }
    }

    async fn pull(&self, rest: &str) -> Result<super::Pulled, super::PullError> {
        let options = self.options(Platforms::One(Platform::host()));
        self.client
            .pull(&self.reference(rest), &self.layout, &options)
            .await
    }

    async fn push(
        &self,
        descriptor: &Descriptor,
        rest: &str,
    ) -> Result<super::Pushed, super::PushError> {
        let reference = self.reference(rest);
        self.client
            .push(&self.layout, descriptor, &reference, &self.progress())
            .await
    }

    fn outcomes(&self) -> Vec<Outcome> {
        let mut events = self.events.lock().unwrap();
        let outcome = |event| match event {
            TransferEvent::Finished { outcome, .. } => Some(outcome),
            _ => None,
        };
        events.drain(..).filter_map(outcome).collect()
    }

    /// Reads all of an image from the local store.
    fn check_local(&self, descriptor: &Descriptor) {
        let image = Image::read(&self.layout, descriptor, &Platform::host()).unwrap();
        for (layer, _) in image.layers() {
            self.layout.read_blob(layer, 1 << 20).unwrap();
        }
    }
}

/// An image of some layers, as bytes.
struct Sample {
    image: Image,
    layers: Vec<Vec<u8>>,
}

fn layer(text: &str) -> Vec<u8> {
    text.repeat(3000).into_bytes()
}

fn sample(texts: &[&str]) -> Sample {
    let layers: Vec<Vec<u8>> = texts.iter().map(|text| layer(text)).collect();
    let mut config = ImageConfig {
        os: "linux".into(),
        architecture: Platform::host().architecture,
        ..ImageConfig::default()
    };
    config.rootfs.diff_ids = layers.iter().map(|bytes| DiffId(sha256(bytes))).collect();
    let config = config.to_bytes();
    let descriptor =
        |media_type, bytes: &[u8]| Descriptor::new(media_type, sha256(bytes), bytes.len() as u64);
    let manifest = Manifest::new(
        descriptor(MediaType::OciConfig, &config),
        layers
            .iter()
            .map(|bytes| descriptor(MediaType::OciLayer, bytes))
            .collect(),
    );
    Sample {
        image: Image::new(manifest.to_bytes(), config).unwrap(),
        layers,
    }
}

impl Sample {
    fn put_remote(&self, fake: &Fake, name: &str, tag: &str) {
        for layer in &self.layers {
            fake.put_blob(name, layer);
        }
        fake.put_blob(name, self.image.config_bytes());
        let bytes = self.image.manifest_bytes();
        fake.put_manifest(name, tag, &MediaType::OciManifest, bytes);
    }

    fn put_local(&self, layout: &Layout) -> Descriptor {
        for layer in &self.layers {
            layout.put_bytes(MediaType::OciLayer, layer).unwrap();
        }
        self.image.write(layout).unwrap()
    }

    fn digest(&self, layer: usize) -> Digest {
        sha256(&self.layers[layer])
    }
}

/// Makes a fault happen the first `times` times that `method` asks for something with `part`.
fn on(
    times: usize,
    method: &'static str,
    part: impl std::fmt::Display,
    fault: impl Fn() -> Fault + Send + 'static,
) -> impl FnMut(&fake::Request) -> Option<Fault> + Send + 'static {
    let mut left = times;
    let part = part.to_string();
    move |request| {
        let hit = left > 0 && request.method == method && request.target.contains(&part);
        left -= usize::from(hit);
        hit.then(&fault)
    }
}
