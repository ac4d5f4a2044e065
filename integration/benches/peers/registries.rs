// SPDX-License-Identifier: Apache-2.0
//! Registries: `kiln registry serve` and distribution, under the same load from the same client.

use integration::http::{Client, Request};
use integration::peers::{DISTRIBUTION, Distribution};
use integration::{KilnRegistry, Random, TestEnv, lacks};

use crate::load::{MANIFEST, blobs, load, put_blob, put_image};
use crate::measure::{Row, Scale, Table, Unit, in_turn, is_wanted, median, peak_memory};

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

/// Runs the rows of registries.
pub(crate) fn tables(scale: Scale) -> Vec<Table> {
    let (gets, puts) = (is_wanted("registry-get"), is_wanted("registry-put"));
    if !gets && !puts {
        return Vec::new();
    }
    let env = TestEnv::new();
    let mut contestants = vec![Contestant::Kiln(env.registry())];
    if !lacks("distribution", &[DISTRIBUTION]) {
        contestants.push(Contestant::Distribution(Distribution::start(&env.path(""))));
    }
    let mut rows = Vec::new();
    if gets {
        rows.extend(read_rows(&contestants, scale));
    }
    if puts {
        rows.extend(write_rows(&contestants, scale));
    }
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
        .map(|contestant| {
            let mut client = Client::new(contestant.address());
            let layer = Random::seeded(88).bytes(layer_bytes);
            put_image(&mut client, ("bench/app", "latest"), b"{}", &layer)
        })
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
