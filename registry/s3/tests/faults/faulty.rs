// SPDX-License-Identifier: Apache-2.0
//! Three replicas on one bucket that refuses, forgets to answer, and cuts answers short.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bucket::{Fault, Faults, Operation, Options, Rule, Server};
use registry::storage::memory::{MemoryData, MemoryMeta};
use registry::storage::{Backend, Clock};
use registry_s3::{BucketConfig, StaticCredentials};

use crate::world::{Replica, World};

const CLIENTS: u64 = 12;
const ROUNDS: usize = 25;
const SEEDS: std::ops::Range<u64> = 1..3;

#[expect(clippy::disallowed_methods, reason = "a test that runs in real time")]
fn clock() -> Clock {
    Clock(SystemTime::now)
}

fn config(server: &Server) -> BucketConfig {
    let mut config = BucketConfig::new(server.name());
    config.endpoint = Some(server.endpoint());
    config.path_style = true;
    config.part_bytes = 5 << 20;
    config.credentials = Some(StaticCredentials {
        access_key_id: server.access_key().to_owned(),
        secret_access_key: server.secret_key().to_owned(),
        session_token: None,
    });
    config
}

async fn replica(server: &Server) -> Replica {
    let opened = registry_s3::open(&config(server), clock()).await.unwrap();
    Replica::new(opened.backend, clock()).await
}

/// Everything that may go wrong, each with a few of a thousand requests.
fn faults(seed: u64) -> Faults {
    let writes = |fault| {
        Rule::new(fault)
            .on(Operation::PutObject)
            .on(Operation::DeleteObject)
            .on(Operation::CompleteUpload)
    };
    let latency = Fault::Latency {
        base: Duration::ZERO,
        jitter: Duration::from_millis(4),
    };
    let cut = Rule::new(Fault::BodyCut { after_bytes: 7 });
    Faults::seeded(seed)
        .with(Rule::new(latency))
        .with(Rule::new(Fault::SlowDown).per_mille(15))
        .with(Rule::new(Fault::Refused).per_mille(10))
        .with(Rule::new(Fault::RequestLost).per_mille(10))
        .with(writes(Fault::Conflict).per_mille(15))
        .with(writes(Fault::AnswerLost).per_mille(20))
        .with(writes(Fault::AnswerWrong).per_mille(20))
        .with(cut.on(Operation::GetObject).per_mille(15))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_or_wrong_on_a_bucket_that_fails() {
    for seed in SEEDS {
        let server = Server::start(Options::default()).unwrap();
        let replicas = vec![
            replica(&server).await,
            replica(&server).await,
            replica(&server).await,
        ];
        let world = Arc::new(World::new(replicas));
        server.faults(faults(seed));
        world.run(seed, CLIENTS, ROUNDS).await;
        let spoilt = server
            .requests()
            .iter()
            .filter(|request| request.fault.is_some())
            .count();
        server.faults(Faults::none());
        let wrong = world.verdict(&replica(&server).await).await;
        assert!(wrong.is_empty(), "seed {seed}: {}", wrong.join("\n"));
        let counts = world.counts();
        assert!(spoilt > 50, "too few faults: {spoilt}, {counts:?}");
        assert!(counts[&("push", true)] > 50, "too few pushes: {counts:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_clients_find_nothing_wrong_in_memory() {
    let data = Arc::new(MemoryData::default());
    let meta = Arc::new(MemoryMeta::default());
    // Everything in memory was written in 1970, and would count as forgotten a day later.
    let clock = Clock(|| UNIX_EPOCH + Duration::from_hours(1));
    let open = || {
        Replica::new(
            Backend {
                data: data.clone(),
                meta: meta.clone(),
            },
            clock,
        )
    };
    let world = Arc::new(World::new(vec![open().await, open().await]));
    world.run(1, CLIENTS, ROUNDS).await;
    let wrong = world.verdict(&open().await).await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
