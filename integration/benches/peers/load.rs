// SPDX-License-Identifier: Apache-2.0
//! Load on a registry: requests from many connections at once, each timed.
//!
//! The client shares the cores with the server it loads, so rates are those of both together.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use integration::Random;
use integration::http::{Client, Request};
use serde_json::json;

pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// What one load did.
pub(crate) struct Load {
    pub(crate) requests: f64,
    pub(crate) bytes: f64,
    pub(crate) seconds: f64,
    /// Time of each request.
    pub(crate) latencies: Vec<f64>,
}

impl Load {
    pub(crate) fn per_second(&self) -> f64 {
        self.requests / self.seconds
    }

    pub(crate) fn megabytes_per_second(&self) -> f64 {
        self.bytes / 1e6 / self.seconds
    }

    pub(crate) fn p99(&self) -> Option<f64> {
        percentile(&self.latencies, 99)
    }
}

/// Runs `request` on `clients` connections until `total` requests are done; each returns its bytes.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts and bytes are far below 2^52"
)]
pub(crate) fn load(
    address: &str,
    clients: u64,
    total: u64,
    request: impl Fn(&mut Client, u64) -> u64 + Sync,
) -> Load {
    let next = AtomicU64::new(0);
    let bytes = AtomicU64::new(0);
    let started = Instant::now();
    let latencies = thread::scope(|scope| {
        let worker = || {
            let mut client = Client::new(address);
            let mut latencies = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= total {
                    return latencies;
                }
                let begun = Instant::now();
                bytes.fetch_add(request(&mut client, number), Ordering::Relaxed);
                latencies.push(begun.elapsed().as_secs_f64());
            }
        };
        let workers: Vec<_> = (0..clients).map(|_| scope.spawn(worker)).collect();
        let joined = workers
            .into_iter()
            .map(|worker| worker.join().expect("a request failed"));
        joined.flatten().collect()
    });
    Load {
        requests: total as f64,
        bytes: bytes.into_inner() as f64,
        seconds: started.elapsed().as_secs_f64(),
        latencies,
    }
}

/// Uploads one blob in one piece (end-4a, end-6).
pub(crate) fn put_blob(client: &mut Client, repository: &str, bytes: &[u8], digest: &str) {
    let target = format!("/v2/{repository}/blobs/uploads/");
    let opened = client
        .send(&Request::new("POST", &target))
        .expect("the registry answers");
    assert_eq!(opened.status, 202, "{}", opened.text());
    let location = opened.header("location").expect("a session has a place");
    let separator = if location.contains('?') { '&' } else { '?' };
    let target = format!("{location}{separator}digest={digest}");
    let headers = [("Content-Type", "application/octet-stream")];
    let put = Request {
        method: "PUT",
        target: &target,
        headers: &headers,
        body: bytes,
    };
    let answer = client.send(&put).expect("the registry answers");
    assert_eq!(answer.status, 201, "{}", answer.text());
}

/// Makes `count` different blobs with their digests, before anything is measured.
pub(crate) fn blobs(seed: u64, count: u64, length: usize) -> Vec<(Vec<u8>, String)> {
    let mut random = Random::seeded(seed);
    let common = random.bytes(length);
    let blob = |number: u64| {
        let mut bytes = common.clone();
        bytes[..8].copy_from_slice(&(seed ^ number).to_le_bytes());
        let digest = oci::sha256(&bytes).to_string();
        (bytes, digest)
    };
    (0..count).map(blob).collect()
}

/// Puts an image whose one layer is `layer` under `repository` and `tag`; returns the layer's digest.
pub(crate) fn put_image(
    client: &mut Client,
    (repository, tag): (&str, &str),
    config: &[u8],
    layer: &[u8],
) -> String {
    let config_digest = oci::sha256(config).to_string();
    let digest = oci::sha256(layer).to_string();
    put_blob(client, repository, config, &config_digest);
    put_blob(client, repository, layer, &digest);
    let layers = [(digest.clone(), layer.len())];
    let manifest = manifest(&config_digest, config.len(), &layers);
    let put = Request {
        method: "PUT",
        target: &format!("/v2/{repository}/manifests/{tag}"),
        headers: &[("Content-Type", MANIFEST)],
        body: manifest.as_bytes(),
    };
    let answer = client.send(&put).expect("the registry answers");
    assert_eq!(answer.status, 201, "{}", answer.text());
    digest
}

/// Returns a manifest.
pub(crate) fn manifest(config: &str, config_bytes: usize, layers: &[(String, usize)]) -> String {
    let layer = |(digest, size): &(String, usize)| {
        let media_type = "application/vnd.oci.image.layer.v1.tar";
        json!({ "mediaType": media_type, "digest": digest, "size": size })
    };
    let layers: Vec<_> = layers.iter().map(layer).collect();
    let media_type = "application/vnd.oci.image.config.v1+json";
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": { "mediaType": media_type, "digest": config, "size": config_bytes },
        "layers": layers,
    });
    manifest.to_string()
}

/// Returns the value that `percent` of all are not above.
pub(crate) fn percentile(values: &[f64], percent: usize) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() * percent / 100).copied()
}
