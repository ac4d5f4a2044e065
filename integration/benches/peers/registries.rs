// SPDX-License-Identifier: Apache-2.0
//! Registries: `kiln registry serve` and distribution, under the same load from the same client.
//!
//! The client shares the two cores with the server it loads, so rates are those of both together.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use integration::http::{Client, Request};
use integration::peers::{DISTRIBUTION, Distribution};
use integration::{KilnRegistry, Random, TestEnv, lacks};
use serde_json::json;

use crate::measure::{Row, Scale, Table, Unit, in_turn, is_wanted, median, peak_memory};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// A server that takes part.
enum Contestant {
    Kiln(KilnRegistry),
    Distribution(Distribution),
}

impl Contestant {
    fn address(&self) -> &str {
        match self {
            Self::Kiln(registry) => registry.address(),
            Self::Distribution(registry) => registry.address(),
        }
    }

    fn id(&self) -> u32 {
        match self {
            Self::Kiln(registry) => registry.id(),
            Self::Distribution(registry) => registry.id(),
        }
    }
}

/// What one load did.
struct Load {
    requests: f64,
    bytes: f64,
    seconds: f64,
    /// Time of each request.
    latencies: Vec<f64>,
}

impl Load {
    fn per_second(&self) -> f64 {
        self.requests / self.seconds
    }

    fn megabytes_per_second(&self) -> f64 {
        self.bytes / 1e6 / self.seconds
    }

    fn p99(&self) -> Option<f64> {
        let mut sorted = self.latencies.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() * 99 / 100).copied()
    }
}

/// Runs `request` on `clients` connections until `total` requests are done; each returns its bytes.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts and bytes are far below 2^52"
)]
fn load(
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
fn put_blob(client: &mut Client, repository: &str, bytes: &[u8], digest: &str) {
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
fn blobs(seed: u64, count: u64, length: usize) -> Vec<(Vec<u8>, String)> {
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

/// Puts an image whose one layer is the blob that is fetched, and returns that blob's digest.
fn put_image(address: &str, layer_bytes: usize) -> String {
    let mut client = Client::new(address);
    let (config, layer) = (b"{}".as_slice(), Random::seeded(88).bytes(layer_bytes));
    let (config_digest, digest) = (
        oci::sha256(config).to_string(),
        oci::sha256(&layer).to_string(),
    );
    put_blob(&mut client, "bench/app", config, &config_digest);
    put_blob(&mut client, "bench/app", &layer, &digest);
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config_digest, "size": 2},
        "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest, "size": layer.len()}],
    })
    .to_string();
    let put = Request {
        method: "PUT",
        target: "/v2/bench/app/manifests/latest",
        headers: &[("Content-Type", MANIFEST)],
        body: manifest.as_bytes(),
    };
    let answer = client.send(&put).expect("the registry answers");
    assert_eq!(answer.status, 201, "{}", answer.text());
    digest
}

/// Runs the rows of registries.
pub(crate) fn tables(scale: Scale) -> Vec<Table> {
    if !is_wanted("registry") {
        return Vec::new();
    }
    let env = TestEnv::new();
    let mut contestants = vec![Contestant::Kiln(env.registry())];
    if !lacks("distribution", &[DISTRIBUTION]) {
        contestants.push(Contestant::Distribution(Distribution::start(&env.path(""))));
    }
    let mut rows = read_rows(&contestants, scale);
    rows.extend(write_rows(&contestants, scale));
    rows.push(Row {
        work: "peak memory after all that".to_owned(),
        unit: Unit::Mebibytes,
        medians: contestants
            .iter()
            .map(|contestant| peak_memory(contestant.id()))
            .collect(),
        target: "≤ 40 MiB",
    });
    let names = ["kiln", "distribution"].map(str::to_owned).to_vec();
    vec![Table {
        contestants: names.into_iter().take(contestants.len()).collect(),
        rows,
    }]
}

fn read_rows(contestants: &[Contestant], scale: Scale) -> Vec<Row> {
    let rounds = scale.of(1, 5);
    let layer_bytes = scale.of(8_000_000, 88_000_000);
    let digests: Vec<String> = contestants
        .iter()
        .map(|contestant| put_image(contestant.address(), layer_bytes))
        .collect();
    let requests = scale.of(500, 20_000);
    eprintln!("bench: manifest GET");
    let mut latencies: Vec<Vec<f64>> = vec![Vec::new(); contestants.len()];
    let manifests = in_turn(contestants.len(), rounds, |column| {
        let found = load(contestants[column].address(), 32, requests, |client, _| {
            let get = Request {
                headers: &[("Accept", MANIFEST)],
                ..Request::new("GET", "/v2/bench/app/manifests/latest")
            };
            let answer = client.send(&get).expect("the registry answers");
            assert_eq!(answer.status, 200, "{}", answer.text());
            answer.body.len() as u64
        });
        latencies[column].extend(found.p99());
        found.per_second()
    });
    eprintln!("bench: blob GET");
    let fetched = in_turn(contestants.len(), rounds, |column| {
        let target = format!("/v2/bench/app/blobs/{}", digests[column]);
        let found = load(
            contestants[column].address(),
            4,
            scale.of(8, 40),
            |client, _| {
                let (status, length) = client.get_length(&target).expect("the registry answers");
                assert_eq!(status, 200);
                length
            },
        );
        found.megabytes_per_second()
    });
    vec![
        Row {
            work: "manifest GET, 32 connections".to_owned(),
            unit: Unit::PerSecond,
            medians: manifests,
            target: "≥ 20,000/s",
        },
        Row {
            work: "the same, 99th percentile of a request".to_owned(),
            unit: Unit::Seconds,
            medians: latencies.into_iter().map(median).collect(),
            target: "≤ 5 ms",
        },
        Row {
            work: format!("blob GET, {} MB, 4 connections", layer_bytes / 1_000_000),
            unit: Unit::MegabytesPerSecond,
            medians: fetched,
            target: "≥ 1600 MB/s",
        },
    ]
}

fn write_rows(contestants: &[Contestant], scale: Scale) -> Vec<Row> {
    let rounds = scale.of(1, 5);
    let mut seed = 0;
    let mut fresh = |count: u64, length: usize| {
        seed += 1 << 32;
        blobs(seed, count, length)
    };
    eprintln!("bench: blob PUT");
    let small = in_turn(contestants.len(), rounds, |column| {
        let count = scale.of(40, 1_000);
        let blobs = fresh(count, 4 << 10);
        let found = load(contestants[column].address(), 8, count, |client, number| {
            let (bytes, digest) = &blobs[usize::try_from(number).expect("counts are small")];
            put_blob(client, "bench/small", bytes, digest);
            bytes.len() as u64
        });
        found.per_second()
    });
    let length = scale.of(8_000_000, 100_000_000);
    let large = in_turn(contestants.len(), rounds.min(3), |column| {
        let blobs = fresh(4, length);
        let found = load(contestants[column].address(), 2, 4, |client, number| {
            let (bytes, digest) = &blobs[usize::try_from(number).expect("counts are small")];
            put_blob(client, "bench/large", bytes, digest);
            bytes.len() as u64
        });
        found.megabytes_per_second()
    });
    vec![
        Row {
            work: "blob PUT, 4 KiB, 8 clients, durable".to_owned(),
            unit: Unit::PerSecond,
            medians: small,
            target: "≥ 2,000/s",
        },
        Row {
            work: format!("blob PUT, {} MB, 2 clients", length / 1_000_000),
            unit: Unit::MegabytesPerSecond,
            medians: large,
            target: "≥ 330 MB/s",
        },
    ]
}
