// SPDX-License-Identifier: Apache-2.0
//! What registries need in memory: many large uploads at once, many connections that do nothing.

use std::net::TcpStream;

use integration::peers::{DISTRIBUTION, Distribution};
use integration::{Random, TestEnv, lacks};

use crate::load::{load, put_blob};
use crate::measure::{Row, Scale, Table, Unit, is_wanted, peak_memory};

/// How many uploads run at once.
const UPLOADS: u64 = 32;

/// Runs the rows of memory.
pub(crate) fn tables(scale: Scale) -> Vec<Table> {
    if !is_wanted("registry-memory") {
        return Vec::new();
    }
    let env = TestEnv::new();
    let peer =
        (!lacks("distribution", &[DISTRIBUTION])).then(|| Distribution::start(&env.path("")));
    let mut servers = Vec::new();
    let uploads = env.registry_on("uploads");
    servers.push((uploads.address().to_owned(), uploads.id()));
    if let Some(peer) = &peer {
        servers.push((peer.address().to_owned(), peer.id()));
    }
    let (rates, peaks): (Vec<_>, Vec<_>) = servers
        .iter()
        .map(|(address, id)| uploads_at_once(address, *id, scale))
        .unzip();
    let megabytes = length(scale) / 1_000_000;
    let connections = scale.of(200, 10_000);
    let idle = env.registry_on("idle");
    let before = peak_memory(idle.id());
    let held = idle_connections(idle.address(), connections);
    let mut contestants = vec!["kiln".to_owned()];
    contestants.extend(peer.as_ref().map(|_| "distribution".to_owned()));
    let row = |work: String, unit, medians| Row {
        work,
        unit,
        medians,
        target: "",
    };
    vec![Table {
        contestants,
        rows: vec![
            row(
                format!("{UPLOADS} uploads of {megabytes} MB at once"),
                Unit::MegabytesPerSecond,
                rates,
            ),
            row("peak memory after that".to_owned(), Unit::Mebibytes, peaks),
            row(
                "peak memory of a fresh server".to_owned(),
                Unit::Mebibytes,
                vec![before],
            ),
            row(
                format!("the same with {held} idle connections that asked once"),
                Unit::Mebibytes,
                vec![peak_memory(idle.id())],
            ),
        ],
    }]
}

fn length(scale: Scale) -> usize {
    scale.of(4_000_000, 100_000_000)
}

/// Uploads different blobs from one buffer: each is a little shorter than the one before.
pub(crate) fn uploads_at_once(address: &str, id: u32, scale: Scale) -> (Option<f64>, Option<f64>) {
    let bytes = Random::seeded(32).bytes(length(scale));
    let part = |number: u64| &bytes[..bytes.len() - usize::try_from(number).expect("small")];
    let digests: Vec<String> = (0..UPLOADS)
        .map(|number| oci::sha256(part(number)).to_string())
        .collect();
    eprintln!("bench: {UPLOADS} uploads at once");
    let found = load(address, UPLOADS, UPLOADS, |client, number| {
        let digest = &digests[usize::try_from(number).expect("small")];
        put_blob(client, "bench/large", part(number), digest);
        part(number).len() as u64
    });
    (Some(found.megabytes_per_second()), peak_memory(id))
}

/// Opens connections, asks each once and keeps it; returns how many there were.
///
/// As many as this process may have descriptors; the server is its child and may have as many.
fn idle_connections(address: &str, wanted: usize) -> usize {
    use std::io::{Read, Write};
    let mut kept = Vec::new();
    for _ in 0..wanted {
        let Ok(mut stream) = TcpStream::connect(address) else {
            break;
        };
        let request = format!("GET /v2/ HTTP/1.1\r\nHost: {address}\r\n\r\n");
        let mut answer = [0; 1024];
        let asked = stream.write_all(request.as_bytes());
        if asked.and_then(|()| stream.read(&mut answer)).is_err() {
            break;
        }
        kept.push(stream);
    }
    kept.len()
}
